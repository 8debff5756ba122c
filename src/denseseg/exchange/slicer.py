"""3D Slicer markups: a folder for each image, in it a .mrk.json file for each structure, since Slicer saves each on its own.

Closed outlines are closed curves, open curves curves, single landmarks a point list; a landmark that was not placed has the
position status "undefined". What is hidden cannot be said in Slicer and is lost. A file ID.mrk.json with all structures of an
image, each with its name, is read too. Schema: Slicer, Modules/Loadable/Markups/Resources/Schema, version 1.0.3.

Positions are millimetres in LPS (x to the patient's left, y to the back) or RAS (both reversed). An image that says nothing of
where it lies has its first pixel's centre at the origin and x and y along L and P, so a position is spacing * (x, y, 0): that is
ITK's rule, by which Slicer reads images. A PNG has no spacing, so Slicer takes a pixel of it for a millimetre: `write_image` gives
the image as MHA, which has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat

from denseseg.anatomy import Anatomy, Kind
from denseseg.errors import DataError, explained, validated
from denseseg.exchange.annotation import CENTRE, Mark, Marked, image_id
from denseseg.files import write_json
from denseseg.names import FORBIDDEN

ORIGIN = CENTRE
ENDING = ".mrk.json"
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)
TYPES = {Kind.OUTLINE: "ClosedCurve", Kind.CURVE: "Curve", Kind.POINTS: "Fiducial"}


class _ControlPoint(BaseModel):
    id: str = ""
    label: str = ""
    position: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    positionStatus: str = "defined"


class _Markup(BaseModel):
    type: str
    name: str = ""
    coordinateSystem: Literal["LPS", "RAS"] = "LPS"
    coordinateUnits: str | list[str] = "mm"
    controlPoints: list[_ControlPoint] = []


class _File(BaseModel):
    markups: list[_Markup]
    schema_: str = Field(SCHEMA, alias="@schema")


def matches(content: Any) -> bool:
    return isinstance(content, dict) and "markups" in content


def read(content: Any, path: Path, anatomy: Anatomy) -> list[Marked]:
    """The image of one file, its points still in millimetres. Raises DataError that names file and field."""
    file, stem = validated(_File, content, str(path)), path.name.removesuffix(".json").removesuffix(".mrk")
    own_file = stem in map(_plain, anatomy.names)  # of one structure; else the file is of one image
    return [Marked(path.absolute().parent.name if own_file else stem, None, [_mark(m, stem, path) for m in file.markups])]


def _mark(markup: _Markup, stem: str, path: Path) -> Mark:
    units = markup.coordinateUnits
    if set([units] if isinstance(units, str) else units) != {"mm"}:
        raise DataError(f"{path}: coordinateUnits is {units!r}; save the markups in millimetres")
    sign = -1.0 if markup.coordinateSystem == "RAS" else 1.0
    placed = [p.position[:2] if p.position and p.positionStatus == "defined" else (np.nan, np.nan) for p in markup.controlPoints]
    names = tuple(point.label for point in markup.controlPoints)
    return Mark(markup.name or stem, sign * np.array(placed).reshape(-1, 2), np.zeros(len(placed), bool), names)


def write(folder: Path, images: Iterable[Marked]) -> None:
    """ID/STRUCTURE.mrk.json for each image and structure, in LPS. Raises DataError where two structures would share a file."""
    for marked in images:
        names = [_plain(mark.label).lower() for mark in marked.marks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise DataError(f"two structures of {marked.image} would share the file {min(twice)}{ENDING}; rename one")
        for mark in marked.marks:
            file = _File(markups=[_markup(mark)], **{"@schema": SCHEMA})  # type: ignore[arg-type]
            write_json(folder / image_id(marked.image) / f"{_plain(mark.label)}{ENDING}", file.model_dump(by_alias=True))


def _markup(mark: Mark) -> _Markup:
    assert mark.structure is not None
    rows = zip(mark.names, np.nan_to_num(mark.points).round(6).tolist(), mark.present, strict=True)
    points = [
        _ControlPoint(id=str(number), label=name, position=(x, y, 0.0), positionStatus="defined" if there else "undefined")
        for number, (name, (x, y), there) in enumerate(rows, 1)
    ]
    return _Markup(type=TYPES[mark.structure.kind], name=mark.label, controlPoints=points)


def write_image(path: Path, image: np.ndarray, spacing: float | None) -> None:
    """(H, W) in [0, 1] as an MHA file of 16 bit that Slicer shows in its millimetres. Raises DataError without SimpleITK."""
    with explained(f"writing {path} needs SimpleITK", "pip install denseseg[medical]", ImportError):
        import SimpleITK as sitk
    content = sitk.GetImageFromArray(np.round(image * 65535).astype(np.uint16))
    content.SetSpacing([spacing or 1.0] * 2)
    sitk.WriteImage(content, str(path), useCompression=True)
    if spacing is None:  # the library always writes one; without it Slicer takes a pixel for a millimetre, too
        path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1 1\n", b"", 1))


def _plain(name: str) -> str:
    """The name of a file for a structure."""
    return "".join("_" if letter in FORBIDDEN else letter for letter in name)
