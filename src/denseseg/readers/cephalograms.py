"""Lateral cephalograms of the ISBI 2015 challenge with the lists and landmarks that Payer et al. published -> cases of 19 points.

Images (Wang et al. 2016), in one folder or in several below it, in their original size of 1935 x 2400 pixels of 0.1 mm:
    001.bmp (or .png, .jpg, .tif) ... 400.bmp   bone bright

Setup, published with the code of SpatialConfiguration-Net (folder cep/setup):
    all_challenge.csv   a line an image: its number, then x and y of 19 landmarks in mm
    all_senior.csv      the same by the senior of two observers (Lindner et al. 2016)
    all_junior.csv      and by the junior one
    train.txt           150 numbers; test1.txt 150, test2.txt 100

The paper trains and tests on all_challenge.csv. It is told to be the mean of both observers, but in the published files it equals
all_senior.csv but for the soft-tissue pogonion (landmark 15, 0-based) of test2; the observers lie 2.15 mm apart on average.

Metadata of a case: `split` (train or test) and `part` (train, test1 or test2).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from tqdm.auto import tqdm

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import Size, inside_image
from denseseg.readers.files import Report, few, shrunk
from denseseg.readers.image import read_image
from denseseg.readers.numbered import find_images, read_landmarks, read_list

NAME = "cephalograms"
EXAMPLE = "001.bmp"
FRAME: Size = (2400, 1935)
SPACING = 0.1  # mm per pixel
PARTS = ("train", "test1", "test2")
LABELS = (
    "sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion", "gonion",
    "lower incisor", "upper incisor", "upper lip", "lower lip", "subnasale", "soft-tissue pogonion", "posterior nasal spine",
    "anterior nasal spine", "articulare",
)  # fmt: skip
CEPHALOGRAM = Anatomy("cephalogram", (Structure("skull", len(LABELS), "skull", Kind.POINTS, LABELS, region="hull"),))
INFO = {
    "source": "ISBI 2015 cephalometric challenge (Wang et al. 2016); lists and landmarks: Payer et al. 2019",
    "licence": "see the terms of the challenge for the images, those of the authors for the landmarks",
}


class Truth(StrEnum):
    """Whose landmarks are taken for true."""

    CHALLENGE = "challenge"
    SENIOR = "senior"
    JUNIOR = "junior"


def read_cephalograms(
    images: str | Path,
    setup: str | Path,
    *,
    truth: Truth | str = Truth.CHALLENGE,
    longest: int | None = 512,
    progress: bool = False,
) -> tuple[CaseSet, Report]:
    """Read the folders described at the top of this module.

    truth: whose landmarks; "challenge" are the paper's.
    longest: pixels of an image's longer side, to which it is shrunk at its own aspect ratio; None keeps 2400 x 1935, which takes
        7 GB of memory for all.

    Raises DataError that names the file and how to fix it. Images that no list names, or without landmarks, are left out.
    """
    if truth not in list(Truth):
        raise DataError(f"truth={truth!r}: give one of {', '.join(Truth)}")
    setup, report = Path(setup), Report()
    paths = find_images(Path(images), EXAMPLE)
    points = read_landmarks(setup / f"all_{truth}.csv", CEPHALOGRAM.n_landmarks)
    part_of = {name: part for part in PARTS for name in read_list(setup / f"{part}.txt")}
    report.left_out = {name: "in none of the lists" for name in paths if name not in part_of}
    report.left_out |= {name: "no landmarks" for name in paths if name in part_of and name not in points}
    if missing := sorted(part_of.keys() - paths.keys()):
        report.notes.append(f"images that the lists name but that are not here: {few(missing)}")
    report.kept = [name for name in sorted(paths) if name not in report.left_out]
    cases = []
    for name in tqdm(report.kept, desc=NAME, unit="image", disable=not progress):
        image = read_image(paths[name]).image
        if image.shape != FRAME:
            raise DataError(f"{paths[name]} has {image.shape[1]} x {image.shape[0]} pixels; give the original of 1935 x 2400")
        landmarks = points[name] / SPACING
        if not inside_image(landmarks, FRAME).all():
            raise DataError(f"{setup}: the landmarks of {name} lie outside the image; they must be in mm")
        metadata = {"split": "train" if part_of[name] == "train" else "test", "part": part_of[name]}
        cases.append(shrunk(Case(name, image, landmarks, CEPHALOGRAM, spacing=SPACING, metadata=metadata), longest))
    if not cases:
        raise DataError(f"{images}: none of its {len(paths)} images is in the lists of {setup}")
    return CaseSet(NAME, CEPHALOGRAM, cases, INFO), report
