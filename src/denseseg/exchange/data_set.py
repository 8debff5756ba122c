"""A whole data set out to a tool, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from denseseg.anatomy import get_anatomy
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases, read_description
from denseseg.errors import DataError
from denseseg.exchange.cases import annotated_cases, annotation_of, corrected_cases
from denseseg.exchange.files import Tool, read_annotations, write_annotations
from denseseg.exchange.slicer import write_image
from denseseg.files import write_png
from denseseg.readers.image import read_image
from denseseg.readers.image_files import image_files


def exported(cases: CaseSet, folder: str | Path, tool: Tool) -> Path:
    """Write the annotations and images of all cases, and return the folder. Raises DataError where it holds annotations already."""
    annotations = (annotation_of(picture(case.id, tool), case.size, case.landmarks, case.spacing) for case in cases)
    folder = write_annotations(folder, annotations, cases.anatomy, tool)
    for case in cases:
        write_picture(folder / picture(case.id, tool), case.image, case.spacing)
    return folder


def picture(name: str, tool: Tool) -> str:
    """The file of an image beside a tool's annotations. Millimetres, which 3D Slicer needs, are in an MHA, but in no PNG."""
    return f"{name}.mha" if tool == "slicer" else f"{name}.png"


def write_picture(path: Path, image: np.ndarray, spacing: float | None) -> None:
    """(H, W) in [0, 1] for a tool: LabelMe opens no PNG of 16 bit, so it has 8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mha":
        write_image(path, image, spacing)
    else:
        write_png(path, image, bits=8)


def imported(annotations: str | Path, images: str | Path, anatomy: str | None = None) -> CaseSet:
    """The cases that annotations and images make together; those without any landmark are left out.

    images: a folder of images, or a data-set folder, of which all but the landmarks is kept. anatomy: a built-in name, or a folder
    whose dataset.toml describes it; not needed with a data-set folder. Raises DataError.
    """
    images = Path(images)
    if (images / "dataset.toml").exists():
        cases = read_cases(images)
        found = read_annotations(annotations, cases.anatomy, spacing={case.id: case.spacing for case in cases}.get)
        return CaseSet(cases.name, cases.anatomy, corrected_cases(cases, found), cases.info)
    if anatomy is None:
        raise DataError(f"{images} is no data-set folder, so it does not say what the landmarks are; name the anatomy as well")
    name, known, info = read_description(Path(anatomy)) if Path(anatomy).is_dir() else (anatomy, get_anatomy(anatomy), {})
    files = image_files([images])
    found = read_annotations(annotations, known, spacing=lambda case: read_image(files[case]).spacing if case in files else None)
    return CaseSet(name, known, annotated_cases(found, files, known), info)
