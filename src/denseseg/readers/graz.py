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
from dataclasses import dataclass
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
from denseseg.errors import DataError, explained
from denseseg.files import read_csv
from denseseg.geometry.frame import Size
from denseseg.pictures import read_picture
from denseseg.readers.files import Report, cached_image, few, one_file_each, verify_checksums

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
PUBLISHED = "give the file as it was published"
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
    and how to fix it. Single cases whose annotation can't be used are left out, and reported; a damaged file stops the run.
    """
    if absent not in ("nan", "keep"):
        raise DataError(f"absent={absent!r}: give 'nan' (a bone with an empty mask has no landmarks) or 'keep'")
    paths, rows, points = find_images(Path(images)), read_table(Path(table)), read_landmarks(Path(landmarks))
    if checksums is not None:
        report.notes += verify_checksums(Path(images), Path(checksums), paths)
    with open_masks(Path(segmentations)) as masks:
        source = _Source(paths, rows, points, masks, absent, None if converted is None else Path(converted))
        report.left_out |= {name: reason for name in sorted(points) if (reason := source.lacks(name))}
        names = [name for name in sorted(points) if name not in report.left_out]
        if not names:
            reason = Counter(report.left_out.values()).most_common(1)[0][0]
            raise DataError(f"{landmarks}: none of its {len(points)} cases can be used; for most of them: {reason}")
        sample = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, SAMPLE).astype(int))]
        source.check_landmarks(sample, Path(landmarks))
        source.check_images(sample, Path(images))
        seen = []
        for name in tqdm(names, desc=NAME, unit="image", disable=not progress):
            bones = read_masks(masks, name)
            if not bones.any():
                report.left_out[name] = "all its masks are empty"
                continue
            if misplaced(points[name], bones):
                report.left_out[name] = "most of its bones have their landmarks away from their masks"
                continue
            image, known = source.image(name), metadata(rows[name])  # a damaged file stops the run: it can be copied again
            try:
                case = Case(name, image, source.landmarks(name, bones), WRIST, bones, spacing=None, metadata=known)
            except DataError as error:
                report.left_out[name] = str(error).removeprefix(f"case {name}: ")
                continue
            seen.append(_seen(case, bones))
            report.kept.append(name)
            yield case
        report.notes += _remarks(pd.DataFrame(seen), absent) if seen else []
        for what, unused in (("images", paths.keys() - points), ("masks", set(masks) - points.keys())):
            report.notes += [f"{what} without landmarks, not used: {len(unused)}"] if unused else []


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

    def lacks(self, name: str) -> str | None:
        """Why an annotated case can't be used, or None where it has all it needs."""
        if (row := self.rows.get(name)) is None:
            return "the table has no such filestem"
        if row["projection"] != FRONTAL:
            return f"projection {row['projection']:g} is not frontal ({FRONTAL})"
        if FOLD in row and pd.isna(row[FOLD]):
            return f"the table gives no {FOLD}"
        if name not in self.paths:
            return "no image"
        return None if name in self.masks else "no masks"

    def landmarks(self, name: str, masks: np.ndarray) -> np.ndarray:
        points = self.points[name].copy()
        if self.absent == "nan":
            points[~np.any(masks, axis=(1, 2))[WRIST.membership]] = np.nan
        return points

    def image(self, name: str) -> np.ndarray:
        kept = None if self.converted is None else self.converted / f"{name}.png"
        return cached_image(kept, FRAME, lambda: read_wrist(self.paths[name], mirror=self.rows[name]["laterality"] == "R"))

    # An error of the whole set shows in a few cases: look for it there before the work begins.

    def check_landmarks(self, names: list[str], path: Path) -> None:
        """Raise DataError, with the likely cause, where landmarks lie away from the masks in most of the cases."""
        causes = [cause for name in names if (cause := misplaced(self.points[name], read_masks(self.masks, name)))]
        if len(causes) > len(names) / 2:
            likely = Counter(causes).most_common(1)[0][0]
            raise DataError(f"{path}: landmarks lie away from the masks in {len(causes)} of {len(names)} cases looked at; {likely}")

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


def _seen(case: Case, masks: np.ndarray) -> dict[str, Any]:
    """What is gathered of each case for the remarks on the whole set."""
    return {
        "case": case.id,
        "split": case.metadata.get("split"),
        "patient": case.metadata.get("patient"),
        "empty": [name for name, mask in zip(WRIST.names, masks, strict=True) if not mask.any()],
        "astray": astray(case.landmarks, masks).any(),
        "dark": contrast(case.image, np.any(masks, axis=0)) < 0,
    }


def _remarks(seen: pd.DataFrame, absent: str) -> list[str]:
    notes = []
    empty = seen["empty"].explode().value_counts()
    if len(empty):
        meaning = "absent from the image, without landmarks" if absent == "nan" else "landmarks kept all the same"
        counts = ", ".join(f"{name} in {empty[name]}" for name in WRIST.names if name in empty)
        notes.append(f"empty masks ({meaning}): {counts} cases")
    far = f"a bone's landmarks lie more than {NEAR:g} pixels off its mask"
    for column, what in (("astray", far), ("dark", "bones darker than the rest")):
        if odd := seen.loc[seen[column], "case"].tolist():
            notes.append(f"{what}, please look at {few(odd)}")
    return [*notes, _split_note(seen)]


def _split_note(seen: pd.DataFrame) -> str:
    if seen["split"].isna().any():
        return f"the table has no column {FOLD}, so there is no published split; use split('patients') or 'stratified'"
    if seen["patient"].isna().all():
        return "the table has no column patient_id, so nobody can tell whether patients are in both parts"
    train, test = (seen["patient"][seen["split"] == part].dropna() for part in ("train", "test"))
    both = set(train) & set(test)
    note = f"{len(both)} patients are in both parts of the published split"
    share = f"{test.isin(both).sum()} of the {len(test)} test cases"
    return f"{note}, with {share}; split('patients') keeps each in one part" if both else note


def metadata(row: dict[str, Any]) -> dict[str, Any]:
    """What a case tells about itself, from a row of `read_table`."""
    data: dict[str, Any] = {"split": PARTS[int(row[FOLD])], "fold": int(row[FOLD])} if FOLD in row else {}
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
    files = [(path.stem, path) for path in sorted(folder.rglob("*")) if path.suffix.lower() == ".png"]
    nothing = "no PNG image, nor does a folder below it; unpack images_part1.zip, ... there"
    return one_file_each(folder, files, "the PNG images, or images_part1, ...", nothing, keep="the published 16-bit one")


def read_wrist(path: Path, mirror: bool) -> np.ndarray:
    """The image as (384, 224) float32; its own smallest and largest grey value become 0 and 1. Raises DataError."""
    image = read_picture(path)
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
    if not path.exists():
        raise DataError(f"{path} is missing; get raw_segmentations_no_cast.h5 from the authors of DenseSeg")
    with explained(f"{path} cannot be read as HDF5", "get raw_segmentations_no_cast.h5 from the authors of DenseSeg again"):
        file = h5py.File(path, "r")
    with file:
        if not isinstance(file.get(MASK_GROUP), h5py.Group):
            raise DataError(f"{path} has no group {MASK_GROUP!r}; give raw_segmentations_no_cast.h5")
        yield file[MASK_GROUP]


def read_masks(group: h5py.Group, name: str) -> np.ndarray:
    """(17, 384, 224) bool. Raises DataError for another shape, or what are no numbers."""
    where, expected = f"{group.file.filename}: the masks of {name}", (len(WRIST), *FRAME)
    with explained(f"{where} cannot be read", "get the file again"):
        found = getattr(group[name], "shape", None)
        if found != expected:
            raise DataError(f"{where} have shape {found} instead of {expected}; {PUBLISHED}")
        values = group[name][:]
    if values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise DataError(f"{where} are not finite numbers; {PUBLISHED}")
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
        fault = f"is damaged, or holds more than tensors, lists and text ({type(error).__name__})"
        raise DataError(f"{path} {fault}; nothing in it was run: get it again from the authors of DenseSeg") from None
    keys, lms = (content.get(part) if isinstance(content, dict) else None for part in ("keys", "lms"))
    if not isinstance(keys, list | tuple) or not isinstance(lms, list | tuple) or not keys or len(keys) != len(lms):
        raise DataError(f"{path} does not hold a list `keys` and a list `lms` of the same length; give lms_dsc_900.pth")
    names = [str(name) for name in keys]
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path} holds {name} twice; {PUBLISHED}")
    return {name: _points(bones, f"{path}: {name}") for name, bones in zip(names, lms, strict=True)}


def _points(bones: Any, where: str) -> np.ndarray:
    """17 tensors (n, 2) of (y, x) in the padded frame as one array of (x, y)."""
    if not isinstance(bones, list | tuple) or not all(isinstance(bone, torch.Tensor) for bone in bones):
        raise DataError(f"{where} does not have a list of tensors; {PUBLISHED}")
    if len(bones) != len(WRIST):
        raise DataError(f"{where} has {len(bones)} bones instead of {len(WRIST)}; {PUBLISHED}")
    for structure, bone in zip(WRIST.structures, bones, strict=True):
        found, expected = tuple(bone.shape), (structure.count, 2)
        if found != expected:
            raise DataError(f"{where} has landmarks of shape {found} for the {structure.name} instead of {expected}; {PUBLISHED}")
    points = torch.cat(list(bones)).detach().double().numpy()[:, ::-1] - PADDING
    if not np.isfinite(points).all():
        raise DataError(f"{where} has a landmark that is not finite; {PUBLISHED}")
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
    """The likely cause where more than half of the bones are astray, else None."""
    limit = masks.any(axis=(1, 2)).sum() / 2
    if astray(points, masks).sum() <= limit:
        return None
    causes = {
        "x and y are swapped: each row must be (y, x)": points[:, ::-1],
        f"they must be in the frame with {PADDING} pixels of padding": points + PADDING,
        "they are mirrored: all hands must be shown as left ones": (FRAME[1] - 1, 0) + points * (-1, 1),
    }
    fitting = (cause for cause, changed in causes.items() if astray(changed, masks).sum() <= limit)
    return next(fitting, "check that the two files belong together")


# ---- the table ------------------------------------------------------------------------------------------------------


def read_table(path: Path) -> dict[str, dict[str, Any]]:
    """File stem -> its row of dataset.csv or dataset_with_cv_split.csv, of the columns that are used.

    Raises DataError for a column that is needed and missing, a file stem that is there twice, and values that mean nothing.
    """
    text = read_csv(path, missing="give dataset_with_cv_split.csv")
    text = text.where(text != "")  # a patient may be called NA
    if missing := [column for column in ("filestem", "laterality", "projection") if column not in text]:
        raise DataError(f"{path} lacks the column(s) {', '.join(missing)}; give dataset_with_cv_split.csv or dataset.csv")
    numbers = text[[column for column in ("projection", "age", "cast", "metal", FOLD) if column in text]]
    numbers = numbers.apply(pd.to_numeric, errors="coerce")
    table = text[[column for column in ("filestem", "laterality", "patient_id", "gender") if column in text]].join(numbers)
    known = [(column, table[column].notna() | text[column].isna(), "a number") for column in numbers]
    known += [
        ("filestem", table["filestem"].notna() & ~table["filestem"].duplicated(), "a name that is there once"),
        ("laterality", table["laterality"].isin(["L", "R"]), "L or R"),
        ("projection", table["projection"].notna(), "a number, 1 for frontal"),
    ]
    if "age" in table:
        known.append(("age", table["age"].isna() | table["age"].between(0, 120), "years"))
    if FOLD in table:
        known.append((FOLD, table[FOLD].isna() | table[FOLD].isin(list(PARTS)), "-1, 0, 1 or 2"))
    for column, right, expected in known:
        if not right.all():
            row = int(np.argmin(right))
            value = (text if pd.isna(table[column].iloc[row]) else table)[column].iloc[row]
            shown = "(empty)" if pd.isna(value) else repr(value) if isinstance(value, str) else f"{value:g}"
            line = f"line {table.index[row] + 2} ({text['filestem'].iloc[row]})"
            raise DataError(f"{path}: {line} has {column} {shown}; it must be {expected}: mend that line")
    return {row["filestem"]: row for row in table.to_dict("records")}
