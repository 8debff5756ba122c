"""Hand radiographs of the Digital Hand Atlas with the landmarks and folds that Payer et al. published -> cases of the hand anatomy.

Images, in one folder or in several below it, named by number, as large as they were when they were annotated:
    3142.mha (or .jpg, .png, .tif)   left hands, bone bright

Setup, published with the code of SpatialConfiguration-Net (folder hand_xray/hand_xray_dataset/setup):
    all.csv                           a line an image: its number, then x and y of 37 landmarks in pixels of that image
    cv/set1/test.txt                  numbers of the images that are tested in the first of three folds; those of the others train
    cv_rand/10/1/set1/train.txt       a random choice of 10 of the first fold's training images, the first such choice

The published files hold landmarks of 910 images, of which 895 are in a fold (298, 298 and 299): the 895 of the paper. The other
15 are in none and are left out. Nobody knows the size of a pixel: every wrist counts as 50 mm wide (`wrist_spacing`).

Metadata of a case:
    fold          0, 1 or 2: the fold in which the case is tested
    split         test for fold 0, else train
    subset_10_0   the folds that have the case in their random choice of 10 training images, in words such as "fold 0, fold 2";
                  missing where there is none. The last number counts the choices from 0: those that were published (two for each of
                  10, 50 and 100 images) and one that is drawn here, for the paper tells of three. Where an image of a choice is
                  missing from the folder, the column is left out: few-shot training then has to draw its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_fill_holes
from skimage.exposure import match_histograms
from skimage.filters import threshold_otsu
from tqdm.auto import tqdm

from denseseg.anatomy import HAND, wrist_spacing
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.contour import largest_component
from denseseg.geometry.frame import inside_image
from denseseg.readers.files import Report, few, shrunk
from denseseg.readers.image import read_image
from denseseg.readers.numbered import find_images, read_landmarks, read_list

NAME = "Digital Hand Atlas"
EXAMPLE = "3142.mha"
FOLDS = 3
LEAST_SPAN = 0.5  # of the image's height that the landmarks span; they span at least 0.85 of 133 images that were looked at
INFO = {
    "source": "Digital Hand Atlas (USC); landmarks, folds and subsets: Payer et al. 2019 (SpatialConfiguration-Net)",
    "licence": "see the terms of the Digital Hand Atlas for the images, those of the authors for the landmarks",
    "spacing": "such that the wrist, between landmarks 1 and 5, is 50 mm wide",
}


def read_hand_atlas(images: str | Path, setup: str | Path, **options: Any) -> tuple[CaseSet, Report]:
    """All cases of `hand_atlas_cases`, with its options, in memory."""
    report = Report()
    return CaseSet(NAME, HAND, hand_atlas_cases(images, setup, report, **options), INFO), report


def hand_atlas_cases(
    images: str | Path,
    setup: str | Path,
    report: Report,
    *,
    longest: int | None = 512,
    reference: str | None = None,
    progress: bool = False,
) -> Iterator[Case]:
    """The cases described at the top of this module, one after the other in the order of their numbers.

    report: filled in on the way, complete after the last case.
    longest: pixels of an image's longer side, to which it is shrunk at its own aspect ratio; None keeps the original size.
    reference: number of the image to whose histogram the others are matched within the outline of the hand (SCN, Section 4.1; the
        paper does not tell which one it took), or None for grey values as they are.

    Raises DataError that names the file and how to fix it: a damaged one, an image that is not in the frame of its landmarks or
    whose bones are dark, a case in two folds, no case at all.
    """
    setup = Path(setup)
    paths, points = find_images(Path(images), EXAMPLE), read_landmarks(setup / "all.csv", HAND.n_landmarks)
    folds = read_folds(setup)
    fold_of = {name: fold for fold, names in enumerate(folds) for name in names}
    if reference is not None and reference not in paths.keys() & points:
        raise DataError(f"{images}: there is no reference image {reference} with landmarks; name another one")
    model = None if reference is None else _case(reference, paths[reference], points[reference], longest).image
    for name in sorted(points):
        if name not in fold_of:
            report.left_out[name] = "in none of the three folds"
        elif name not in paths:
            report.left_out[name] = "no image"
    report.kept = [name for name in sorted(points) if name not in report.left_out]
    if not report.kept:
        raise DataError(f"{images}: none of its {len(paths)} images is in {setup / 'all.csv'} and a fold; names must be numbers")
    subsets = read_subsets(setup, folds)
    complete = {column: chosen for column, chosen in subsets.items() if set().union(*chosen) <= set(report.kept)}
    report.notes += _remarks(points, folds, paths, subsets, complete)
    for name in tqdm(report.kept, desc=NAME, unit="image", disable=not progress):
        case = _case(name, paths[name], points[name], longest)
        image = case.image if model is None else matched(case.image, model)
        yield replace(case, image=image, metadata=_metadata(name, fold_of[name], complete))


def _metadata(name: str, fold: int, subsets: dict[str, list[set[str]]]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"split": "train" if fold else "test", "fold": fold}
    for column, chosen in subsets.items():
        if training := [f"fold {k}" for k, names in enumerate(chosen) if name in names]:
            metadata[column] = ", ".join(training)
    return metadata


# ---- images ---------------------------------------------------------------------------------------------------------


def _case(name: str, path: Path, points: np.ndarray, longest: int | None) -> Case:
    """The case at its final size, after checks of frame and polarity at its original one."""
    image = read_image(path).image
    height, width = image.shape
    frame = f"{path} has {width} x {height} pixels, its landmarks span {np.round(points.min(0))} to {np.round(points.max(0))}"
    if not inside_image(points, (height, width), margin=0).all() or np.ptp(points[:, 1]) < LEAST_SPAN * height:
        raise DataError(f"{frame}: it was resized or cropped; give the image as it was published, or remove it")
    rows, columns = np.round(points[:, ::-1]).astype(int).T
    if image[rows, columns].mean() <= np.median(image):
        raise DataError(f"{path}: bones are not brighter than the rest; invert the image, or copy it again")
    case = shrunk(Case(name, image, points, HAND), longest)
    return replace(case, spacing=wrist_spacing(case.landmarks))


def matched(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(H, W) grey values with those of the hand matched to the histogram of another image's hand (SCN, Section 4.1)."""
    hand, model = hand_mask(image), reference[hand_mask(reference)]
    result = image.copy()
    result[hand] = match_histograms(image[hand], model)
    return result


def hand_mask(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: the largest connected part that is brighter than Otsu's threshold, with what it encloses.

    Where the palm is much brighter than the fingers, it lacks finger tips. The image must not be of a single grey value.
    """
    return binary_fill_holes(largest_component(image > threshold_otsu(image)))


# ---- the setup files ------------------------------------------------------------------------------------------------


def read_folds(setup: Path) -> list[set[str]]:
    """The numbers of the images that each fold tests. Raises DataError where a fold is missing or an image is in two."""
    folds = [read_list(setup / "cv" / f"set{fold + 1}" / "test.txt") for fold in range(FOLDS)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        if twice := folds[one] & folds[other]:
            raise DataError(f"{setup / 'cv'}: {min(twice)} is tested in set{one + 1} and set{other + 1}; give the published files")
    return folds


def read_subsets(setup: Path, folds: list[set[str]]) -> dict[str, list[set[str]]]:
    """Column -> for each fold the numbers of its random choice of training images; the last draw of each size is our own.

    Raises DataError where a choice is incomplete, or holds an image that its fold tests.
    """
    subsets = {}
    drawn = (path for path in (setup / "cv_rand").glob("*/*") if path.name.isdecimal() and path.parent.name.isdecimal())
    for folder in sorted(drawn, key=lambda path: (int(path.parent.name), int(path.name))):
        chosen = [read_list(folder / f"set{fold + 1}" / "train.txt") for fold in range(FOLDS)]
        for fold, names in enumerate(chosen):
            if tested := names & folds[fold]:
                raise DataError(f"{folder / f'set{fold + 1}'}: {min(tested)} trains and is tested; give the published files")
        subsets[f"subset_{folder.parent.name}_{int(folder.name) - 1}"] = chosen
    for size in sorted({int(column.split("_")[1]) for column in subsets}):
        draw = sum(column.startswith(f"subset_{size}_") for column in subsets)
        subsets[f"subset_{size}_{draw}"] = [_drawn(folds, fold, size) for fold in range(FOLDS)]
    return subsets


def _drawn(folds: list[set[str]], fold: int, size: int) -> set[str]:
    """A random choice of training images of a fold, always the same."""
    training = sorted(set().union(*folds) - folds[fold])
    if size > len(training):
        raise DataError(f"fold {fold} has {len(training)} images to choose {size} from; give the published files")
    return set(np.random.default_rng([size, fold]).choice(training, size, replace=False).tolist())


def _remarks(
    points: dict[str, np.ndarray],
    folds: list[set[str]],
    paths: dict[str, Path],
    subsets: dict[str, list[set[str]]],
    complete: dict[str, list[set[str]]],
) -> list[str]:
    known = [sum(name in paths for name in names) for names in folds]
    notes = [f"landmarks of {len(points)} images; the folds test {[len(names) for names in folds]}, of which {known} are here"]
    if unmarked := sorted(set().union(*folds) - set(points)):
        notes.append(f"in a fold but without landmarks: {few(unmarked)}")
    if unused := sorted(set(paths) - set(points)):
        notes.append(f"images without landmarks, not used: {few(unused)}")
    if missing := [column for column in subsets if column not in complete]:
        notes.append(f"images are missing, so the published few-shot subsets are left out: {', '.join(missing)}")
    return notes
