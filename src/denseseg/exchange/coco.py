"""COCO keypoints: one JSON file for all images, a category for each structure and an annotation for each structure of an image.

visibility 0 is a landmark that was not placed, 1 one that was placed though the image does not show it, 2 one that is seen. A file
with a single category for the whole anatomy, such as "person", is read too. Keypoints are found by their names, see
`annotation.landmarks_of`.

COCO's keypoints are indices of pixels, so whole numbers are pixel centres, as here; its polygons and boxes count from the pixel's
corner. So reads them Detectron2 (detectron2/data/datasets/coco.py, with issues 1373 and 2401), the reference of those who train
on COCO. Tools that export to COCO from a canvas (CVAT, Label Studio) often keep their own corner:
`read_annotations(..., origin=0.5)` reads those; `denseseg import` takes the file to be as COCO says.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, FiniteFloat

from denseseg.anatomy import Anatomy, Kind
from denseseg.errors import DataError, validated
from denseseg.exchange.annotation import CENTRE, CORNER, Mark, Marked
from denseseg.files import write_json
from denseseg.geometry.contour import signed_area

ORIGIN = CENTRE


class _Image(BaseModel):
    id: int
    file_name: str
    width: int
    height: int


class _Category(BaseModel):
    id: int
    name: str
    supercategory: str = ""
    keypoints: list[str] = []
    skeleton: list[tuple[int, int]] = []  # pairs of keypoints that a line joins, counted from 1


class _Instance(BaseModel):
    id: int
    image_id: int
    category_id: int
    keypoints: list[FiniteFloat] = []  # x, y, visibility of each
    num_keypoints: int | None = None
    bbox: list[float] = []  # left, top, width, height
    area: float = 0.0
    segmentation: Any = []
    iscrowd: int = 0


class _File(BaseModel):
    info: Any = {}
    licenses: Any = []
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Instance]


def matches(content: Any) -> bool:
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read(content: Any, path: Path, anatomy: Anatomy) -> list[Marked]:
    """All images of the file, also those without a keypoint. Raises DataError that names file and field."""
    file = validated(_File, content, str(path))
    images = {image.id: Marked(image.file_name, (image.height, image.width)) for image in file.images}
    categories = {category.id: category for category in file.categories}
    for one in file.annotations:
        where = f"{path}: annotation {one.id}"
        if one.image_id not in images or one.category_id not in categories:
            found = f"is of image {one.image_id} and category {one.category_id}"
            raise DataError(f"{where} {found}, which are not both listed; add them")
        category = categories[one.category_id]
        if len(one.keypoints) != 3 * len(category.keypoints):
            found = f"has {len(one.keypoints)} numbers for the {len(category.keypoints)} keypoints of {category.name!r}"
            raise DataError(f"{where} {found}; give x, y and visibility of each")
        points, visibility = np.split(np.array(one.keypoints).reshape(-1, 3), [2], axis=1)
        if not np.isin(visibility, (0, 1, 2)).all():
            raise DataError(f"{where} has a visibility other than 0, 1 and 2; correct it")
        if len(points):
            names = tuple(category.keypoints)
            mark = Mark(category.name, np.where(visibility > 0, points, np.nan), visibility[:, 0] == 1, names)
            images[one.image_id].marks.append(mark)
    return list(images.values())


def write(folder: Path, images: Iterable[Marked]) -> None:
    """annotations.json, which pycocotools reads."""
    images = list(images)
    categories: dict[str, _Category] = {}
    instances: list[_Instance] = []
    for number, marked in enumerate(images, 1):
        for mark in marked.marks:
            category = categories.setdefault(mark.label, _category(mark, id=len(categories) + 1))
            instances.append(_instance(mark, id=len(instances) + 1, image_id=number, category_id=category.id))
    listed = []
    for number, marked in enumerate(images, 1):
        if marked.size is None:
            raise DataError(f"COCO wants the size of {marked.image}; give it")
        listed.append(_Image(id=number, file_name=marked.image, width=marked.size[1], height=marked.size[0]))
    file = _File(images=listed, categories=list(categories.values()), annotations=instances)
    write_json(folder / "annotations.json", file.model_dump())


def _category(mark: Mark, **ids: int) -> _Category:
    assert mark.structure is not None
    numbers, joined = range(1, len(mark.points) + 1), mark.structure.kind != Kind.POINTS
    skeleton = list(pairwise(numbers)) if joined else []
    if mark.structure.outlined and len(numbers) > 2:
        skeleton.append((len(numbers), 1))
    return _Category(**ids, name=mark.label, supercategory=mark.structure.group, keypoints=list(mark.names), skeleton=skeleton)


def _instance(mark: Mark, **ids: int) -> _Instance:
    assert mark.structure is not None
    visibility = np.where(mark.present, np.where(mark.hidden, 1, 2), 0)
    keypoints = np.column_stack([np.nan_to_num(mark.points), visibility]).round(4).ravel().tolist()
    there = mark.points[mark.present] - CENTRE + CORNER
    low, extent = there.min(0), np.ptp(there, axis=0)
    outline = mark.structure.outlined and len(there) > 2
    area = abs(signed_area(there)) if outline else extent.prod()
    return _Instance(
        **ids, keypoints=keypoints, num_keypoints=len(there), bbox=[*low.round(4).tolist(), *extent.round(4).tolist()],
        area=float(area), segmentation=[there.round(4).ravel().tolist()] if outline else [],
    )  # fmt: skip
