"""A whole data set out to a tool, and back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from denseseg.anatomy import get_anatomy
from denseseg.cases.case_set import CaseSet, names_parts
from denseseg.cases.folder import read_cases, read_description
from denseseg.errors import DataError, explained
from denseseg.exchange.annotation import Annotation
from denseseg.exchange.cases import annotated_cases, annotation_of, corrected_cases
from denseseg.exchange.files import Tool, new_folder, read_annotations, write_annotations
from denseseg.exchange.slicer import write_image
from denseseg.files import read_csv
from denseseg.pictures import write_png
from denseseg.readers.image import read_image
from denseseg.readers.image_files import image_files

UNMOVED = 0.01  # pixels; files round to less


def exported(cases: CaseSet, folder: str | Path, tool: Tool) -> Path:
    """Write the annotations and images of all cases into a new folder, and return it. Raises DataError where it holds anything."""
    annotations = (annotation_of(picture(case.id, tool), case.size, case.landmarks, case.spacing) for case in cases)
    folder = new_folder(folder)
    for case in cases:
        write_picture(folder / picture(case.id, tool), case.image, case.spacing)
    return write_annotations(folder, annotations, cases.anatomy, tool)


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


def imported(
    annotations: str | Path,
    images: str | Path,
    anatomy: str | None = None,
    predicted: str | Path | None = None,
    name: str | None = None,
) -> CaseSet:
    """The cases that annotations and images make together; those without any landmark are left out.

    images: a folder of images, or a data-set folder, of which all but the landmarks is kept. anatomy: a built-in name, or a folder
    whose dataset.toml describes it; not needed with a data-set folder. predicted: the landmarks.csv from which the annotations were
    made; images in which nobody changed anything are then left out. name: of the set; by default that of the data-set folder or the
    anatomy. Raises DataError.
    """
    images = Path(images)
    if (images / "dataset.toml").exists():
        cases = read_cases(images)
        found = read_annotations(annotations, cases.anatomy, spacing={case.id: case.spacing for case in cases}.get)
        found = found if predicted is None else touched(found, predicted)
        return CaseSet(name or cases.name, cases.anatomy, corrected_cases(cases, found), cases.info)
    if anatomy is None:
        raise DataError(f"{images} is no data-set folder, so it does not say what the landmarks are; name the anatomy as well")
    known = read_description(Path(anatomy))[1] if Path(anatomy).is_dir() else get_anatomy(anatomy)
    files = image_files([images])
    spacing = cache(lambda case: _spacing(files[case]) if case in files else None)  # Slicer has many files an image
    found = read_annotations(annotations, known, spacing=spacing)
    found = found if predicted is None else touched(found, predicted)
    return CaseSet(name or known.name, known, annotated_cases(found, files, known), {"source": f"imported from {annotations}"})


def _spacing(path: Path) -> float | None:
    """Millimetres per pixel of an image whose annotations are in millimetres. Raises DataError where they are not its pixels'."""
    read = read_image(path)
    if read.placed:
        fault = f"{path} has an origin or a direction of its own, so its annotations in millimetres are not its pixels"
        raise DataError(f"{fault}; annotate an MHA without them, as `denseseg export --to slicer` writes it")
    return read.spacing


def touched(annotations: dict[str, Annotation], predicted: str | Path) -> dict[str, Annotation]:
    """Annotations in which a person moved, added or removed a landmark of what landmarks.csv says was predicted.

    Only these are truth: of the others nobody knows whether anyone looked. Raises DataError where there are none, or the table is
    no such table.
    """
    fix = "give the landmarks.csv that was written with them"
    table = read_csv(Path(predicted), missing=fix)
    with explained(f"{predicted} cannot be read", fix, (KeyError, ValueError)):
        points = table.set_index("case")[["x", "y"]].replace("", "nan").astype(float)
    before = {name: rows.to_numpy() for name, rows in points.groupby(level="case")}
    changed = {name: one for name, one in annotations.items() if not _same(one.landmarks, before.get(name))}
    if not changed:
        fault = f"in none of the {len(annotations)} annotated images has a landmark been changed against {predicted}"
        raise DataError(f"{fault}; correct some first, or leave that table out if all of them are right as they are")
    return changed


def _same(landmarks: np.ndarray, others: np.ndarray | None) -> bool:
    """Whether (N, 2) landmarks are the same to within what the files round."""
    if others is None or others.shape != landmarks.shape:
        return False
    return np.allclose(landmarks, others, atol=UNMOVED, rtol=0, equal_nan=True)


def joined(cases: CaseSet, more: CaseSet) -> CaseSet:
    """Both sets as one, named as the further one. Its cases are for training, where the first set says what is for what.

    They were chosen, because a method was wrong there: as test cases they would say nothing of all others. Of what is told about
    the sets (licence, kind and so on) only that is kept in which they agree, and the sources of both.
    """
    divided = names_parts(cases)
    further = (replace(case, metadata={"split": "train", **case.metadata}) if divided else case for case in more)
    info = {key: value for key, value in cases.info.items() if more.info.get(key) == value}
    if sources := [one.info["source"] for one in (cases, more) if "source" in one.info]:
        info["source"] = "; ".join(dict.fromkeys(sources))
    return CaseSet(more.name, cases.anatomy, [*cases, *further], info)
