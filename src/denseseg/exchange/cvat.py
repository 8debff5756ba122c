"""CVAT for images 1.1: one XML file for all images (docs.cvat.ai, "XML annotation format").

Whole outlines are polygons and whole curves polylines; single landmarks, and incomplete outlines, are skeletons, whose points are
named and may be "outside": not placed. "occluded" is a landmark that the image does not show. Boxes, masks and tags hold no
landmarks and are passed over. CVAT takes a file in where the task has these images and these labels.

CVAT counts from the corner of the first pixel: its canvas spans (0, 0) to (width, height). In the example of its documentation a
line runs from y = 0 to y = 1200 in an image 1200 pixels high; see also its issue 9973.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError, field_validator

from denseseg.anatomy import Anatomy, Kind
from denseseg.errors import DataError, told
from denseseg.exchange.annotation import CORNER, Mark, Marked
from denseseg.files import atomic_file

ORIGIN = CORNER
SHAPES = ("polygon", "polyline", "points", "skeleton")
LINES = {Kind.OUTLINE: "polygon", Kind.CURVE: "polyline"}


class _Points(BaseModel):
    """A polygon, a polyline, points, or a single point of a skeleton."""

    label: str
    points: list[tuple[FiniteFloat, FiniteFloat]]
    occluded: bool = False
    outside: bool = False

    @field_validator("points", mode="before")
    @classmethod
    def _pairs(cls, text: str | list) -> list[list[str]]:
        if not isinstance(text, str):  # a skeleton's points
            raise ValueError("must be written as x,y;x,y")
        return [pair.split(",") for pair in text.split(";")]

    @property
    def placed(self) -> np.ndarray:
        return np.where(self.outside, np.nan, np.array(self.points))


class _Skeleton(BaseModel):
    label: str
    points: list[_Points]


class _Image(BaseModel):
    name: str
    width: int
    height: int
    shapes: list[_Points | _Skeleton]


def matches(content: Any) -> bool:
    return isinstance(content, Element) and content.tag == "annotations"


def read(content: Element, path: Path, anatomy: Anatomy) -> list[Marked]:
    """All images of the file, also those without a mark. Raises DataError that names file and field."""
    if content.find("track") is not None:
        raise DataError(f"{path} is CVAT for video; export the task as CVAT for images 1.1")
    found = [{**image.attrib, "shapes": [_plain(e) for e in image if e.tag in SHAPES]} for image in content.iter("image")]
    try:
        images = TypeAdapter(list[_Image]).validate_python(found)
    except ValidationError as error:
        raise DataError(f"{path}: image {told(error)}") from None
    return [Marked(image.name, (image.height, image.width), [_mark(shape) for shape in image.shapes]) for image in images]


def _plain(element: Element) -> dict[str, Any]:
    points = [dict(point.attrib) for point in element.iter("points")]
    return {**element.attrib, "points": points} if element.tag == "skeleton" else dict(element.attrib)


def _mark(shape: _Points | _Skeleton) -> Mark:
    if isinstance(shape, _Points):
        return Mark(shape.label, shape.placed, np.full(len(shape.points), shape.occluded))
    points = np.array([point.placed[0] for point in shape.points]).reshape(-1, 2)
    return Mark(shape.label, points, np.array([p.occluded for p in shape.points], bool), tuple(p.label for p in shape.points))


def write(folder: Path, images: Iterable[Marked]) -> None:
    """annotations.xml, to be taken in by a task with these images and labels."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    for number, marked in enumerate(images):
        height, width = marked.size or (0, 0)
        image = SubElement(root, "image", id=str(number), name=marked.image, width=str(width), height=str(height))
        for mark in marked.marks:
            _append(image, mark)
    indent(root)
    with atomic_file(folder / "annotations.xml") as temporary:
        ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _append(image: Element, mark: Mark) -> None:
    line = LINES.get(mark.structure.kind) if mark.structure else None
    if line and mark.present.all() and len(set(mark.hidden)) == 1:
        state = {"occluded": str(int(mark.hidden[0])), "points": _text(mark.points)}
        SubElement(image, line, {"label": mark.label, "source": "manual", **state, "z_order": "0"})
        return
    skeleton = SubElement(image, "skeleton", label=mark.label, source="manual", z_order="0")
    for name, point, hidden, there in zip(mark.names, np.nan_to_num(mark.points), mark.hidden, mark.present, strict=True):
        outside, occluded = str(int(not there)), str(int(hidden))
        SubElement(skeleton, "points", label=name, source="manual", points=_text(point[None]), outside=outside, occluded=occluded)


def _text(points: np.ndarray) -> str:
    return ";".join(f"{x:.4f},{y:.4f}" for x, y in points)
