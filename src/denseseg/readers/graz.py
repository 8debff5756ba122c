"""GRAZPEDWRI-DX wrist radiographs with the published masks and landmarks -> cases of the wrist anatomy.

Images, from the public distribution (Nagy et al. 2022), in one folder or in several below it:
    0001_..._WRI-L1_M014.png   16 bit, of any size, bone bright; left and right hands

Annotations, published by Keuth et al. with DenseSeg, all in a frame of 384 x 224 pixels in which every hand is a left one:
    raw_segmentations_no_cast.h5   group `segmentation_mask`: file stem -> (17, 384, 224), in the order of the anatomy
    lms_dsc_900.pth                `keys`: file stems; `lms`: for each of them 17 tensors (n, 2), (y, x) in a frame that is padded
                                   by 32 pixels on each side. 900 stands for a Dice of 0.9 with the masks; there are 800 and 875 too
    dataset_with_cv_split.csv      the distribution's dataset.csv and the column cv_test_idx: -1, 0, 1 or 2

What is done to them: frontal images only (projection 1); those of right hands are mirrored; all are resized to 384 x 224, which
changes their aspect ratio, as the authors did; each image's own smallest and largest grey value become 0 and 1. Folds 0 and 2
train, -1 and 1 test. The spacing in dataset.csv belongs to the images before resizing, so cases have none and errors are pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch
from skimage.transform import resize
from tqdm.auto import tqdm

from denseseg.anatomy import WRIST
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.files import read_png
from denseseg.geometry.frame import Size
from denseseg.readers.files import Report, few, kept_image, verify_checksums

NAME = "GRAZPEDWRI-DX"
FRAME: Size = (384, 224)
PADDING = 32  # pixels on each side of the frame of the landmark file
MASK_GROUP = "segmentation_mask"
FRONTAL = 1
FOLD = "cv_test_idx"
PARTS = {0: "train", 2: "train", -1: "test", 1: "test"}
SEXES = {"M": "male", "F": "female"}
BAND = 4  # years of age in a stratum
NEAR = 10.0  # pixels that a bone's mean landmark may lie off the box of its mask
SAMPLE = 20  # cases in which errors of the whole set are looked for before the work begins
INFO = {
    "source": "GRAZPEDWRI-DX (Nagy et al. 2022); masks, landmarks and folds: Keuth et al. 2025 (DenseSeg)",
    "licence": "images: CC BY 4.0, cite Nagy et al.; for the annotations see the terms of their authors",
}


def read_graz(
    images: str | Path, segmentations: str | Path, landmarks: str | Path, table: str | Path, **options: Any
) -> tuple[CaseSet, Report]:
    """All cases of `graz_cases`, with its options, in memory: about 2 MB each, so 9 GB for the 4830 published ones."""
    report = Report()
    cases = graz_cases(images, segmentations, landmarks, table, report, **options)
    return CaseSet(NAME, WRIST, cases, INFO), report


def graz_cases(
    images: str | Path,
    segmentations: str | Path,
    landmarks: str | Path,
    table: str | Path,
    report: Report,
    *,
    absent: str = "nan",
    checksums: str | Path | None = None,
    converted: str | Path | None = None,
    progress: bool = False,
) -> Iterator[Case]:
    """The cases described at the top of this module, one after the other in the order of their names.

    report: filled in on the way, complete after the last case.
    absent: what an empty mask means. "nan": the bone is not there (yet), so its landmarks become NaN; the registration that made
        the landmarks puts them somewhere nevertheless. "keep": landmarks stay as they are.
    checksums: a file as sha256sum writes it, with names relative to `images`; verified before anything else.
    converted: a folder that keeps the finished images as 16-bit PNG; those it already holds are not converted again.

    Metadata of a case: `split`, `fold`, `laterality`, `stratum` (age in bands of four years), and where the table has them
    `patient`, `age_months` (by the calendar), `sex`, `cast`, `metal` (1 or 0). Raises DataError that names the file, the case
    and the mend. Single cases whose annotation can't be used are left out, and reported; a damaged file stops the run.
    """
    if absent not in ("nan", "keep"):
        raise DataError(f"absent={absent!r}: give 'nan' (a bone with an empty mask has no landmarks) or 'keep'")
    paths, rows, points = find_images(Path(images)), read_table(Path(table)), read_landmarks(Path(landmarks))
    if checksums is not None:
        report.notes += verify_checksums(Path(images), Path(checksums), paths)
    with open_masks(Path(segmentations)) as masks:
        names = _usable(paths, rows, points, masks, report)
        if not names:
            reason = Counter(report.left_out.values()).most_common(1)[0][0]
            raise DataError(f"{landmarks}: none of its {len(points)} cases can be used; for most of them: {reason}")
        source = _Source(paths, rows, points, masks, absent, None if converted is None else Path(converted))
        sample = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, SAMPLE).astype(int))]
        source.check_landmarks(sample, Path(landmarks))
        source.check_images(sample, Path(images))
        tally = _Tally()
        for name in tqdm(names, desc=NAME, unit="image", disable=not progress):
            bones = read_masks(masks, name)
            if fault := _fault(points[name], bones):
                report.left_out[name] = fault
                continue
            image, known = source.image(name), metadata(rows[name])  # a damaged file stops the run: it can be copied again
            try:
                case = Case(name, image, source.landmarks(name, bones), WRIST, bones, spacing=None, metadata=known)
            except DataError as error:
                report.left_out[name] = str(error).removeprefix(f"case {name}: ")
                continue
            tally.add(case)
            report.kept.append(name)
            yield case
        report.notes += tally.notes(absent) + _unused(paths, points, masks)


def _usable(
    paths: dict[str, Path], rows: dict[str, dict[str, Any]], points: dict[str, np.ndarray], masks: h5py.Group, report: Report
) -> list[str]:
    """Names of the annotated cases that have all they need; why the others don't goes into the report."""
    for name in sorted(points):
        if name not in rows:
            report.left_out[name] = "the table has no such filestem"
        elif rows[name]["projection"] != FRONTAL:
            report.left_out[name] = f"projection {rows[name]['projection']:g} is not frontal ({FRONTAL})"
        elif FOLD in rows[name] and pd.isna(rows[name][FOLD]):
            report.left_out[name] = f"the table gives no {FOLD}"
        elif name not in paths:
            report.left_out[name] = "no image"
        elif name not in masks:
            report.left_out[name] = "no masks"
    return [name for name in sorted(points) if name not in report.left_out]


def _unused(paths: dict[str, Path], points: dict[str, np.ndarray], masks: h5py.Group) -> list[str]:
    counts = {"images without landmarks": len(paths.keys() - points), "masks without landmarks": len(set(masks) - points.keys())}
    return [f"{what}, not used: {count}" for what, count in counts.items() if count]


# ---- one case -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """Everything that cases are made from."""

    paths: dict[str, Path]
    rows: dict[str, dict[str, Any]]
    points: dict[str, np.ndarray]
    masks: h5py.Group
    absent: str
    converted: Path | None

    def landmarks(self, name: str, masks: np.ndarray) -> np.ndarray:
        points = self.points[name].copy()
        if self.absent == "nan":
            points[~np.any(masks, axis=(1, 2))[WRIST.membership]] = np.nan
        return points

    def image(self, name: str) -> np.ndarray:
        kept = None if self.converted is None else self.converted / f"{name}.png"
        return kept_image(kept, FRAME, lambda: read_wrist(self.paths[name], mirror=self.rows[name]["laterality"] == "R"))

    # An error of the whole set shows in a few cases: look for it there before the work begins.

    def check_landmarks(self, names: list[str], path: Path) -> None:
        """Raise DataError, with the mend, where landmarks lie away from the masks in most of the cases."""
        mends = [mend for name in names if (mend := misplaced(self.points[name], read_masks(self.masks, name)))]
        if len(mends) > len(names) / 2:
            likely = Counter(mends).most_common(1)[0][0]
            raise DataError(f"{path}: landmarks lie away from the masks in {len(mends)} of {len(names)} cases looked at; {likely}")

    def check_images(self, names: list[str], folder: Path) -> None:
        """Raise DataError where most bones are dark, or most right hands fit their masks without having been mirrored."""
        dark, right, wrong = 0, 0, 0
        for name in names:
            image, bones = self.image(name), np.any(read_masks(self.masks, name), axis=0)
            dark += contrast(image, bones) < 0
            if self.rows[name]["laterality"] == "R":
                right += 1
                wrong += contrast(image, bones) < contrast(image[:, ::-1], bones)
        if dark > len(names) / 2:
            raise DataError(f"{folder}: bones are darker than the rest in {dark} of {len(names)} images; invert them")
        if wrong > right / 2:
            raise DataError(f"{folder}: right hands fit their masks without mirroring; give the images as they were published")


def _fault(points: np.ndarray, masks: np.ndarray) -> str | None:
    """Why a case can't be used, or None."""
    if not masks.any():
        return "all its masks are empty"
    return "most of its bones have their landmarks away from their masks" if misplaced(points, masks) else None


@dataclass
class _Tally:
    """What is counted on the way: bones without a mask, dark bones, patients."""

    empty: Counter[str] = field(default_factory=Counter)
    astray: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)
    patients: dict[str, Counter[str]] = field(default_factory=lambda: {"train": Counter(), "test": Counter()})
    published: bool = True

    def add(self, case: Case) -> None:
        assert case.masks is not None
        self.empty.update(name for name, mask in zip(WRIST.names, case.masks, strict=True) if not mask.any())
        if astray(case.landmarks, case.masks).any():
            self.astray.append(case.id)
        if contrast(case.image, np.any(case.masks, axis=0)) < 0:
            self.dark.append(case.id)
        if "split" not in case.metadata:
            self.published = False
        elif "patient" in case.metadata:
            self.patients[case.metadata["split"]][case.metadata["patient"]] += 1

    def notes(self, absent: str) -> list[str]:
        notes = []
        if self.empty:
            meaning = "absent from the image, without landmarks" if absent == "nan" else "landmarks kept all the same"
            counts = ", ".join(f"{name} in {self.empty[name]}" for name in WRIST.names if self.empty[name])
            notes.append(f"empty masks ({meaning}): {counts} cases")
        if self.astray:
            notes.append(f"a bone's landmarks lie more than {NEAR:g} pixels off its mask, please look at {few(self.astray)}")
        if self.dark:
            notes.append(f"bones darker than the rest, please look at {few(self.dark)}")
        return [*notes, self._split_note()]

    def _split_note(self) -> str:
        train, test = self.patients["train"], self.patients["test"]
        if not self.published:
            return f"the table has no column {FOLD}, so there is no published split; use split('patients') or 'stratified'"
        if not train and not test:
            return "the table has no column patient_id, so nobody can tell whether patients are in both parts"
        both = train.keys() & test.keys()
        share = f"with {sum(test[name] for name in both)} of the {test.total()} test cases"
        mend = "split('patients') keeps each in one part"
        return f"{len(both)} patients are in both parts of the published split" + (f", {share}; {mend}" if both else "")


def metadata(row: dict[str, Any]) -> dict[str, Any]:
    """What a case tells about itself, from a row of `read_table`."""
    data: dict[str, Any] = {}
    if FOLD in row:
        data |= {"split": PARTS[int(row[FOLD])], "fold": int(row[FOLD])}
    data["stratum"] = "age unknown"
    if not pd.isna(row.get("age", np.nan)):
        band = int(row["age"] // BAND) * BAND
        data |= {"stratum": f"{band:02d} to {band + BAND - 1:02d} years", "age_months": round(12 * float(row["age"]), 2)}
    if not pd.isna(row.get("patient_id", np.nan)):
        data["patient"] = row["patient_id"]
    if row.get("gender") in SEXES:
        data["sex"] = SEXES[row["gender"]]
    data["laterality"] = row["laterality"]
    return data | {flag: int(row[flag] == 1) for flag in ("cast", "metal") if flag in row}


# ---- images ---------------------------------------------------------------------------------------------------------


def find_images(folder: Path) -> dict[str, Path]:
    """File stem -> file, of all PNG files in `folder` and below. Raises DataError where there is none, or two of one name."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one that holds the PNG images, or the folders images_part1, ...")
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png"):
        if path.stem in found:
            raise DataError(f"{found[path.stem]} and {path} are the same case; keep the published 16-bit one")
        found[path.stem] = path
    if not found:
        raise DataError(f"{folder} holds no PNG image, nor does a folder below it; unpack images_part1.zip, ... there")
    return found


def read_wrist(path: Path, mirror: bool) -> np.ndarray:
    """The image as (384, 224) float32; its own smallest and largest grey value become 0 and 1. Raises DataError."""
    image = read_png(path)
    low, high = image.min(), image.max()
    if low == high:
        raise DataError(f"{path}: all pixels have the same value; copy it again")
    image = resize((image - low) / (high - low), FRAME, order=1, anti_aliasing=True)
    return np.clip(image[:, ::-1] if mirror else image, 0, 1).astype(np.float32)


def contrast(image: np.ndarray, bones: np.ndarray) -> float:
    """Mean grey value of (H, W) pixels in the mask less that of the others; 0 where either is empty."""
    return float(image[bones].mean() - image[~bones].mean()) if bones.any() and not bones.all() else 0.0


# ---- masks and landmarks --------------------------------------------------------------------------------------------


@contextmanager
def open_masks(path: Path) -> Iterator[h5py.Group]:
    """The group of masks in the HDF5 file. Raises DataError where the file is missing, damaged or another one."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        what = "is missing" if not path.exists() else f"cannot be read as HDF5 ({_line(error)})"
        raise DataError(f"{path} {what}; get raw_segmentations_no_cast.h5 from the authors of DenseSeg (again)") from None
    with file:
        if not isinstance(file.get(MASK_GROUP), h5py.Group):
            raise DataError(f"{path} has no group {MASK_GROUP!r}; give raw_segmentations_no_cast.h5")
        yield file[MASK_GROUP]


def read_masks(group: h5py.Group, name: str) -> np.ndarray:
    """(17, 384, 224) bool. Raises DataError for another shape, or what are no numbers."""
    where, expected = f"{group.file.filename}: the masks of {name}", (len(WRIST), *FRAME)
    try:
        found = getattr(group[name], "shape", None)
        if found != expected:
            raise DataError(f"{where} have shape {found} instead of {expected}; give the file as it was published")
        values = group[name][:]
    except (OSError, KeyError, RuntimeError) as error:
        raise DataError(f"{where} cannot be read ({_line(error)}); get the file again") from None
    if values.dtype.kind not in "buif" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise DataError(f"{where} are not finite numbers; give the file as it was published")
    return np.asarray(values > 0.5)


def read_landmarks(path: Path) -> dict[str, np.ndarray]:
    """File stem -> (710, 2) float64 landmarks, (x, y) in the frame of 384 x 224 pixels.

    A .pth file is a pickle, which can hold a program. It is read in torch's mode for tensors, lists, dicts and text alone.
    Raises DataError for anything else in it, damage, wrong counts, NaN, and a case that is there twice.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; get lms_dsc_900.pth from the authors of DenseSeg")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files, and one for those that would run code
        raise DataError(
            f"{path} is damaged, or holds more than tensors, lists and text ({type(error).__name__}); nothing in it was run: "
            "get it again from the authors of DenseSeg"
        ) from None
    keys, lms = (content.get(part) if isinstance(content, dict) else None for part in ("keys", "lms"))
    if not isinstance(keys, list | tuple) or not isinstance(lms, list | tuple) or not keys or len(keys) != len(lms):
        raise DataError(f"{path} does not hold a list `keys` and a list `lms` of the same length; give lms_dsc_900.pth")
    names = [str(name) for name in keys]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{path} holds {twice[0]} twice; give the file as it was published")
    return {name: _points(bones, f"{path}: {name}") for name, bones in zip(names, lms, strict=True)}


def _points(bones: Any, where: str) -> np.ndarray:
    """17 tensors (n, 2) of (y, x) in the padded frame as one array of (x, y)."""
    if not isinstance(bones, list | tuple) or not all(isinstance(bone, torch.Tensor) for bone in bones):
        raise DataError(f"{where} does not have a list of tensors; give the file as it was published")
    if len(bones) != len(WRIST):
        raise DataError(f"{where} has {len(bones)} bones instead of {len(WRIST)}; give the file as it was published")
    for structure, bone in zip(WRIST.structures, bones, strict=True):
        if tuple(bone.shape) != (structure.count, 2):
            raise DataError(
                f"{where} has landmarks of shape {tuple(bone.shape)} for the {structure.name} instead of {(structure.count, 2)}; "
                "give the file as it was published"
            )
    points = torch.cat(list(bones)).detach().double().numpy()[:, ::-1] - PADDING
    if not np.isfinite(points).all():
        raise DataError(f"{where} has a landmark that is not finite; give the file as it was published")
    return points


def astray(points: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Which bones of (710, 2) landmarks lie more than `NEAR` pixels off the box of their (384, 224) mask: (17,) bool.

    It is the mean landmark that counts, where landmarks beyond the border, as of a bone that is cut off, count as on it. A bone
    with an empty mask or without landmarks is not astray.
    """
    found = np.zeros(len(WRIST), dtype=bool)
    for i, (where, mask) in enumerate(zip(WRIST.slices.values(), masks, strict=True)):
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]])
            mean = np.clip(points[where], 0, np.array(FRAME[::-1]) - 1).mean(axis=0)
            found[i] = (np.maximum(low - mean, mean - high) > NEAR).any()
    return found


def misplaced(points: np.ndarray, masks: np.ndarray) -> str | None:
    """The mend where more than half of the bones are astray, else None."""
    limit = masks.any(axis=(1, 2)).sum() / 2
    if astray(points, masks).sum() <= limit:
        return None
    mends = {
        "x and y are swapped: each row must be (y, x)": points[:, ::-1],
        f"they must be in the frame with {PADDING} pixels of padding": points + PADDING,
        "they are mirrored: all hands must be shown as left ones": (FRAME[1] - 1, 0) + points * (-1, 1),
    }
    fitting = [mend for mend, changed in mends.items() if astray(changed, masks).sum() <= limit]
    return fitting[0] if fitting else "check that the two files belong together"


# ---- the table ------------------------------------------------------------------------------------------------------


def read_table(path: Path) -> dict[str, dict[str, Any]]:
    """File stem -> its row of dataset.csv or dataset_with_cv_split.csv, of the columns that are used.

    Raises DataError for a column that is needed and missing, a file stem that is there twice, and values that mean nothing.
    """
    numbers = ["projection", "age", "cast", "metal", FOLD]
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:  # ParserError, EmptyDataError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{path} cannot be read as a CSV table ({_line(error)}); give dataset_with_cv_split.csv") from None
    if missing := [column for column in ("filestem", "laterality", "projection") if column not in table]:
        raise DataError(f"{path} lacks the column(s) {', '.join(missing)}; give dataset_with_cv_split.csv or dataset.csv")
    table = table[[column for column in ("filestem", "laterality", "patient_id", "gender", *numbers) if column in table]]
    for column in set(numbers) & set(table):
        table[column] = _numbers(table, column, path)
    known = {
        "filestem": (table["filestem"].notna() & ~table["filestem"].duplicated(), "a name that is there once"),
        "laterality": (table["laterality"].isin(["L", "R"]), "L or R"),
        "projection": (table["projection"].notna(), "a number, 1 for frontal"),
    }
    if "age" in table:
        known["age"] = (table["age"].isna() | table["age"].between(0, 120), "years")
    if FOLD in table:
        known[FOLD] = (table[FOLD].isna() | table[FOLD].isin(list(PARTS)), "-1, 0, 1 or 2")
    for column, (right, expected) in known.items():
        if not right.all():
            raise _bad_row(table, int(np.argmin(right)), column, expected, path)
    return {row["filestem"]: row for row in table.to_dict("records")}


def _numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    values = pd.to_numeric(table[column], errors="coerce")
    wrong = values.isna() & table[column].notna()
    if wrong.any():
        raise _bad_row(table, int(np.argmax(wrong)), column, "a number", path)
    return values


def _bad_row(table: pd.DataFrame, row: int, column: str, expected: str, path: Path) -> DataError:
    name, value = table["filestem"].iloc[row], table[column].iloc[row]
    shown = "(empty)" if pd.isna(value) else repr(value) if isinstance(value, str) else f"{value:g}"
    return DataError(f"{path}: line {row + 2} ({name}) has {column} {shown}; it must be {expected}: mend that line")


def _line(error: Exception) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
