"""LabelMe: a JSON file for each image.

Closed outlines are polygons and open curves line strips, labelled with the structure; single landmarks, and what there is of an
incomplete outline, are points labelled with the landmark. A flag "hidden" marks what the image does not show. Rectangles, circles
and masks hold no landmarks and are passed over.

LabelMe counts from the corner of the first pixel: it draws the image from (0, 0) to (width, height) and keeps the cursor's place
divided by the scale (labelme/widgets/canvas.py, `_draw_pixmap_layer` and `_transform_point_widget_to_image`, version 6.3.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, FiniteFloat

from denseseg.anatomy import Anatomy, Kind
from denseseg.errors import validated
from denseseg.exchange.annotation import CORNER, Mark, Marked, image_id
from denseseg.files import write_json

ORIGIN = CORNER
ORDERED = ("polygon", "linestrip", "line", "points", "point")


class _Shape(BaseModel):
    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    shape_type: str
    flags: dict[str, bool] | None = None
    group_id: int | None = None
    description: str | None = ""


class _File(BaseModel):
    version: str
    flags: dict[str, bool] | None = None
    shapes: list[_Shape]
    imagePath: str
    imageData: str | None = None
    imageHeight: int | None = None
    imageWidth: int | None = None


def matches(content: Any) -> bool:
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read(content: Any, path: Path, anatomy: Anatomy) -> list[Marked]:
    """The image of one file. Raises DataError that names file and field."""
    file = validated(_File, {**content, "imageData": None}, str(path))
    size = None if file.imageHeight is None or file.imageWidth is None else (file.imageHeight, file.imageWidth)
    marks = [
        Mark(
            shape.label,
            np.array(shape.points, float).reshape(-1, 2),
            np.full(len(shape.points), (shape.flags or {}).get("hidden", False)),
        )
        for shape in file.shapes
        if shape.shape_type in ORDERED
    ]
    return [Marked(file.imagePath, size, marks)]


def write(folder: Path, images: Iterable[Marked]) -> None:
    """ID.json for each image."""
    for marked in images:
        shapes = [shape for mark in marked.marks for shape in _shapes(mark)]
        height, width = marked.size or (None, None)
        file = _File(version="6.3.1", flags={}, shapes=shapes, imagePath=marked.image, imageHeight=height, imageWidth=width)
        write_json(folder / f"{image_id(marked.image)}.json", file.model_dump())


def _shapes(mark: Mark) -> Iterator[_Shape]:
    """One line where the structure is whole, and all of it is shown or none; else a point for each landmark that there is."""
    assert mark.structure is not None
    kind, least = {Kind.OUTLINE: ("polygon", 3), Kind.CURVE: ("linestrip", 2)}.get(mark.structure.kind, ("point", np.inf))
    whole = mark.present.all() and len(mark.points) >= least and len(set(mark.hidden)) == 1
    parts = (
        [(mark.label, mark.points, mark.hidden[0])]
        if whole
        else list(zip(mark.names, mark.points[:, None], mark.hidden, strict=True))
    )
    for label, points, hidden in parts:
        if np.isfinite(points).all():
            flags = {"hidden": True} if hidden else {}
            yield _Shape(label=label, points=points.round(4).tolist(), shape_type=kind if whole else "point", flags=flags)
