"""Cases and data sets: one radiograph with its landmarks, a set of them, and the folder they live in.

The data-set folder is a folder that a person can read:

    dataset.toml      name, anatomy, source, licence
    cases.csv         case, spacing, split, and any other column (patient, age, stratum, ...)
    landmarks.csv     case, structure, index, x, y      (pixels; a missing landmark has no row)
    images/ID.png     8 or 16 bit, one channel
    masks/ID.npz      optional: bool array `masks` of shape (C, H, W)

Points are (x, y) in pixels with (0, 0) the centre of the top-left pixel; arrays are [row, column].
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd
from imageio.v3 import imwrite
from skimage.io import imread
from skimage.transform import resize

from denseseg.anatomy import Anatomy, get_anatomy

Size = tuple[int, int]


class DataError(ValueError):
    """Bad input. The message names the file or case, what is wrong, and the mend."""


def inside_image(points: np.ndarray, size: Size) -> np.ndarray:
    """Which of (..., 2) points (x, y) lie on the pixels of an (H, W) image: (...,) bool, False for a missing one."""
    return np.all((points >= -0.5) & (points <= np.array([size[1], size[0]]) - 0.5), axis=-1)


def scale_points(points: np.ndarray, old: Size, new: Size) -> np.ndarray:
    """Move (..., 2) points from an image of `old` = (H, W) to one of `new`: x' = (x + 0.5) s - 0.5."""
    scale = np.array([new[1] / old[1], new[0] / old[0]])
    return (points + 0.5) * scale - 0.5


@dataclass
class Case:
    """One radiograph.

    id: unique within its data set; it names the files.
    image: (H, W) float32 in [0, 1], bone bright.
    landmarks: (N, 2) float64, (x, y) in pixels; NaN marks a missing landmark. A structure without any landmark is absent: it is not
        in the image. Landmarks may lie outside the image, where its border cuts a structure off.
    masks: (C, H, W) bool in the anatomy's order, or None where the contours of the landmarks are the masks.
    spacing: millimetres per pixel, or None where unknown.
    metadata: further columns of cases.csv (split, stratum, age, ...).

    Raises DataError on construction where these do not hold.
    """

    id: str
    image: np.ndarray
    landmarks: np.ndarray
    anatomy: Anatomy
    masks: np.ndarray | None = None
    spacing: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.image = np.asarray(self.image, dtype=np.float32)
        self.landmarks = np.asarray(self.landmarks, dtype=np.float64)
        self._check_image()
        self._check_landmarks()
        if self.masks is not None:
            self.masks = np.asarray(self.masks, dtype=bool)
            if self.masks.shape != (len(self.anatomy), *self.size):
                raise DataError(
                    f"case {self.id}: masks have shape {self.masks.shape}; "
                    f"give one (H, W) mask per structure: {(len(self.anatomy), *self.size)}"
                )
        if self.spacing is not None and not (np.isfinite(self.spacing) and self.spacing > 0):
            raise DataError(f"case {self.id}: spacing {self.spacing} is not a positive number of mm; leave it empty if unknown")

    def _check_image(self) -> None:
        if self.image.ndim != 2:
            raise DataError(f"case {self.id}: the image has shape {self.image.shape}; convert it to one grey channel (H, W)")
        if min(self.image.shape) < 8:
            raise DataError(f"case {self.id}: the image has only {self.image.shape} pixels; give at least 8 x 8")
        if not np.isfinite(self.image).all():
            raise DataError(f"case {self.id}: the image contains NaN or infinite values; replace them before building the case")
        if self.image.min() < 0 or self.image.max() > 1:
            raise DataError(
                f"case {self.id}: the image spans {self.image.min():g}..{self.image.max():g}; scale grey values to 0..1"
            )

    def _check_landmarks(self) -> None:
        expected = (self.anatomy.n_landmarks, 2)
        if self.landmarks.shape != expected:
            raise DataError(
                f"case {self.id}: landmarks have shape {self.landmarks.shape}, {self.anatomy.name} needs {expected}; "
                "mark missing ones with NaN"
            )
        if np.isinf(self.landmarks).any():
            raise DataError(f"case {self.id}: a landmark is infinite; mark missing ones with NaN")
        if np.isnan(self.landmarks).all():
            raise DataError(f"case {self.id}: every landmark is missing; remove the case or add its rows to landmarks.csv")
        height, width = self.size
        margin = 0.5 * max(height, width)
        far = (self.landmarks < -margin) | (self.landmarks > np.array([width, height]) + margin)
        if far.any():
            index = int(np.argwhere(far)[0, 0])
            raise DataError(
                f"case {self.id}: landmark {index} at {self.landmarks[index].round(1).tolist()} lies far outside the "
                f"{width} x {height} image; check the axis order (x, y) and the pixel frame"
            )

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def points(self, structure: str) -> np.ndarray:
        """(n, 2) landmarks of one structure."""
        self.anatomy.index(structure)
        return self.landmarks[self.anatomy.slices[structure]]

    def resized(self, size: Size) -> Case:
        """The case at another (H, W), with landmarks, masks and spacing moved along.

        Spacing stays a single number, so height and width must scale alike; raises DataError otherwise.
        """
        if size == self.size:
            return self
        rows, columns = size[0] / self.size[0], size[1] / self.size[1]
        if abs(rows - columns) > 0.02 * columns and self.spacing is not None:
            raise DataError(
                f"case {self.id}: resizing {self.size} to {size} changes the aspect ratio, and millimetres with it; "
                "crop or pad to the same aspect first"
            )
        image = resize(self.image, size, order=1, anti_aliasing=True).astype(np.float32)
        masks = None
        if self.masks is not None:
            masks = np.stack([resize(m.astype(np.float32), size, order=1, anti_aliasing=True) >= 0.5 for m in self.masks])
        return replace(
            self,
            image=np.clip(image, 0, 1),
            landmarks=scale_points(self.landmarks, self.size, size),
            masks=masks,
            spacing=None if self.spacing is None else self.spacing / columns,
        )


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a data set. `validation` is taken from the training part, never from the test part."""

    train: CaseSet
    validation: CaseSet
    test: CaseSet


class CaseSet(Sequence[Case]):
    """A list of cases of one anatomy, with the data set's name and description."""

    def __init__(self, name: str, anatomy: Anatomy, cases: Iterable[Case], info: dict[str, str] | None = None):
        self.name = name
        self.anatomy = anatomy
        self.cases = list(_distinct(name, anatomy, cases))
        self.info = dict(info or {})

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> CaseSet: ...
    def __getitem__(self, index):
        return self.subset(range(len(self))[index]) if isinstance(index, slice) else self.cases[index]

    def subset(self, indices: Iterable[int]) -> CaseSet:
        """The cases at these positions, in this order."""
        return CaseSet(self.name, self.anatomy, (self.cases[i] for i in indices), self.info)

    @property
    def ids(self) -> list[str]:
        return [case.id for case in self.cases]

    @property
    def images(self) -> np.ndarray:
        """(M, H, W) float32. Raises DataError where sizes differ."""
        self._require_one_size()
        return np.stack([case.image for case in self.cases])

    @property
    def landmarks(self) -> np.ndarray:
        """(M, N, 2) float64, pixels."""
        return np.stack([case.landmarks for case in self.cases])

    def _require_one_size(self) -> None:
        sizes = {case.size for case in self.cases}
        if len(sizes) != 1:
            raise DataError(f"{self.name}: images have {len(sizes)} different sizes; call resized((H, W)) first")

    def resized(self, size: Size) -> CaseSet:
        """Every case at (H, W)."""
        return CaseSet(self.name, self.anatomy, (case.resized(size) for case in self.cases), self.info)

    def fingerprint(self) -> str:
        """SHA-256 over ids, images (as 16 bit) and landmarks (to 1e-4 px): the `data_sha256` of a record."""
        digest = hashlib.sha256()
        for case in sorted(self.cases, key=lambda c: c.id):
            digest.update(case.id.encode())
            digest.update(np.round(case.image * 65535).astype("<u2").tobytes())
            digest.update(np.round(np.nan_to_num(case.landmarks, nan=-9999.0), 4).astype("<f8").tobytes())
        return digest.hexdigest()

    # ---- splits -------------------------------------------------------------------------------------------------

    def split(self, scheme: str = "paper", *, validation: float = 0.1, train: float = 160 / 246, seed: int = 0) -> Split:
        """Divide into training, validation and test part.

        scheme: "paper" uses the `split` column of cases.csv (train or test, as published); "stratified" shuffles by
            `seed` within each value of the `stratum` column and puts the share `train` of each into training;
            "patients" does so too, but keeps the cases of one patient together, as the `patient` column names them.
        validation: share of the training part that is set aside to choose between models; stratified likewise. Whatever the
            scheme, no patient is in both. A case that names no patient counts as a patient of its own.
        Shares are met to within the cases of one patient. `patients_in_both` tells whom a published split has in two parts.
        Raises DataError where the scheme or the column is unknown or a part would be empty.
        """
        rng = np.random.default_rng(seed)
        if scheme == "paper":
            marks = [case.metadata.get("split") for case in self.cases]
            unknown = sorted({str(m) for m in marks} - {"train", "test"})
            if unknown:
                raise DataError(
                    f"{self.name}: the split column of cases.csv holds {', '.join(unknown)}; "
                    "give every case train or test, or use scheme='stratified'"
                )
            learning = [i for i, m in enumerate(marks) if m == "train"]
            test = [i for i, m in enumerate(marks) if m == "test"]
        elif scheme in ("stratified", "patients"):
            if scheme == "patients" and not any(map(_patient, self.cases)):
                raise DataError(f"{self.name}: no case names its patient; add a column patient to cases.csv, or use 'stratified'")
            learning, test = self._divide(list(range(len(self))), train, rng, together=scheme == "patients")
        else:
            raise DataError(f"unknown split {scheme!r}; known: paper, stratified, patients")
        if not 0 <= validation < 1:
            raise DataError(f"validation={validation}: give a share from 0 up to, but not including, 1")
        held_out, kept = self._divide(learning, validation, rng, together=True)
        parts = {"training": kept, "test": test} | ({"validation": held_out} if validation else {})
        for part, indices in parts.items():
            if not indices:
                raise DataError(f"{self.name}: the {part} part of split {scheme!r} is empty with {len(self)} cases; add cases")
        return Split(self.subset(sorted(kept)), self.subset(sorted(held_out)), self.subset(sorted(test)))

    def _divide(self, indices: list[int], share: float, rng: np.random.Generator, together: bool) -> tuple[list[int], list[int]]:
        """Two lists with `share` and the rest of the indices, each stratum divided alike, sizes exact to rounding.

        together: the cases of a patient go to the same list, in the stratum of the first; sizes are then exact to one patient.
        """
        groups = self._by_patient(indices) if together else {i: [i] for i in indices}
        strata: dict[str, list[int]] = {}
        for i in groups:
            strata.setdefault(str(self.cases[i].metadata.get("stratum", "")), []).append(i)
        first: list[int] = []
        done = 0
        for key in sorted(strata):
            done += sum(len(groups[i]) for i in strata[key])
            for i in rng.permutation(strata[key]).tolist():
                if len(first) < round(share * done):  # cumulative, so the total is exact
                    first += groups[i]
        chosen = set(first)
        return first, [i for i in indices if i not in chosen]

    def _by_patient(self, indices: list[int]) -> dict[int, list[int]]:
        """First index of each patient -> all of the patient's indices."""
        patients: dict[object, list[int]] = {}
        for i in indices:
            patients.setdefault(_patient(self.cases[i]) or i, []).append(i)  # text or number, so that they can't be confused
        return {members[0]: members for members in patients.values()}

    # ---- the folder ---------------------------------------------------------------------------------------------

    def write(self, folder: str | Path, bits: int = 16) -> Path:
        """Write the data-set folder described at the top of this module; `bits` is 8 or 16 for the images.

        All or nothing: files that are already there are replaced only after every new one is whole. Raises DataError.
        """
        return write_cases(folder, self.name, self.anatomy, self.cases, self.info, bits)

    @classmethod
    def read(cls, folder: str | Path) -> CaseSet:
        """Read a data-set folder. Raises DataError that names the file, the case and the mend."""
        folder = Path(folder)
        info = _read_description(folder)
        name = info.pop("name", folder.name)
        try:
            anatomy = get_anatomy(info.pop("anatomy"))
        except KeyError as error:
            raise DataError(f"{folder / 'dataset.toml'}: {error.args[0]}; correct the line `anatomy = ...`") from None
        table = _read_table(folder / "cases.csv", {"case"})
        if table["case"].isna().any():
            raise DataError(
                f"{folder / 'cases.csv'}: line {table['case'].isna().argmax() + 2} names no case; fill it in or remove it"
            )
        points = _landmark_arrays(folder / "landmarks.csv", anatomy, set(table["case"]))
        cases = [_read_case(folder, row, points, anatomy) for row in table.to_dict("records")]
        return cls(name, anatomy, cases, info)


def patients_in_both(split: Split) -> list[str]:
    """Patients (column `patient`) with cases in the test part and also in the training or validation part of a split.

    A network may know such a patient's bones again, so its error on them says less about new patients.
    """
    learning = {_patient(case) for part in (split.train, split.validation) for case in part}
    return sorted(learning & {_patient(case) for case in split.test} - {""})


def _patient(case: Case) -> str:
    """The patient's name, or nothing where the case tells none."""
    name = case.metadata.get("patient")
    return "" if name is None or pd.isna(name) else str(name)


def _distinct(name: str, anatomy: Anatomy, cases: Iterable[Case]) -> Iterator[Case]:
    """The cases, as they come. Raises DataError at one of another anatomy, or whose id was there before."""
    seen: set[str] = set()
    for case in cases:
        if case.anatomy != anatomy:
            raise DataError(f"{name}: case {case.id} is a {case.anatomy.name}, the set a {anatomy.name}; split them")
        if case.id in seen:
            raise DataError(f"{name}: two cases are called {case.id}; give each its own id")
        seen.add(case.id)
        yield case


def write_cases(
    folder: str | Path,
    name: str,
    anatomy: Anatomy,
    cases: Iterable[Case],
    info: dict[str, str] | None = None,
    bits: int = 16,
) -> Path:
    """Write the data-set folder described at the top of this module, as `CaseSet.write` does.

    cases: may be a generator; each case is written and forgotten before the next is asked for, so that a set need not fit
        into memory. Where the generator raises an error, what was in the folder is left as it was.
    Raises DataError.
    """
    if bits not in (8, 16):
        raise DataError(f"bits={bits}: PNG images are written with 8 or 16 bit")
    folder = Path(folder)
    with staged(folder) as staging:
        rows = [_write_case(staging, case, bits) for case in _distinct(name, anatomy, cases)]
        if not rows:
            raise DataError(f"{name} has no cases to write; check how it was selected")
        pd.DataFrame(rows).to_csv(staging / "cases.csv", index=False)
        lines = {"name": name, "anatomy": anatomy.name, **(info or {})}
        text = "".join(f"{key} = {_toml_string(value)}\n" for key, value in lines.items())
        (staging / "dataset.toml").write_text(text, encoding="utf-8")
        new_masks = {path.name for path in staging.glob("masks/*.npz")}
    for file in {f"{row['case']}.npz" for row in rows} - new_masks:  # those of an earlier set would be read back as this one's
        (folder / "masks" / file).unlink(missing_ok=True)
    return folder


def _write_case(folder: Path, case: Case, bits: int) -> dict[str, Any]:
    """Write the image and masks of a case, append its landmarks to landmarks.csv, and return its row of cases.csv."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(exist_ok=True)
    write_png(folder / "images" / f"{case.id}.png", case.image, bits)
    if case.masks is not None:
        np.savez_compressed(folder / "masks" / f"{case.id}.npz", masks=case.masks)
    table = folder / "landmarks.csv"
    _landmark_rows(case).to_csv(table, mode="a", header=not table.exists(), index=False, float_format="%.4f")
    return {"case": case.id, "spacing": case.spacing, **case.metadata}


def _landmark_rows(case: Case) -> pd.DataFrame:
    points = case.landmarks.round(4)  # as in fingerprint(), which then survives writing and reading
    columns = {
        "case": case.id,
        "structure": np.repeat(case.anatomy.names, case.anatomy.counts),
        "index": np.concatenate([np.arange(count) for count in case.anatomy.counts]),
        "x": points[:, 0],
        "y": points[:, 1],
    }
    return pd.DataFrame(columns).dropna(subset=["x", "y"])


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to write into; its files move to `folder` when the block ends without an error, dataset.toml last.

    So a full disk or a stopped run leaves what was in `folder` as it was. Raises DataError where it cannot be written.
    """
    staging = folder / ".unfinished"
    description = folder / "dataset.toml"
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
        staging.mkdir(parents=True)
        yield staging
        files = [path.relative_to(staging) for path in sorted(staging.rglob("*")) if path.is_file()]
        if (staging / "dataset.toml").exists():
            description.unlink(missing_ok=True)  # its presence says that the folder is whole
        for file in sorted(files, key=lambda file: file.name == "dataset.toml"):
            (folder / file).parent.mkdir(exist_ok=True)
            (staging / file).replace(folder / file)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); free space or choose another folder, then run again") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_png(path: Path, image: np.ndarray, bits: int = 16) -> None:
    """Write (H, W) in [0, 1] as a PNG of 8 or 16 bit; `read_png` reads it back."""
    kind, top = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    path.write_bytes(imwrite("<bytes>", np.round(image * top).astype(kind), extension=".png"))


def _toml_string(value: str) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _read_description(folder: Path) -> dict[str, str]:
    path = folder / "dataset.toml"
    if not path.exists():
        raise DataError(f"{path} is missing: not a finished data-set folder; run the script that prepares it (again)")
    try:
        info = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid TOML ({error}); mend that line") from None
    if "anatomy" not in info:
        raise DataError(f'{path} does not name an anatomy; add a line such as: anatomy = "chest"')
    return {key: str(value) for key, value in info.items()}


def _read_table(path: Path, columns: set[str]) -> pd.DataFrame:
    if not path.exists():
        raise DataError(f"{path} is missing; run the script that prepares the data set (again)")
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(("case", "structure", "split", "stratum", "patient"), str))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a readable CSV table ({error}); write it again") from None
    missing = columns - set(table.columns)
    if missing:
        raise DataError(f"{path} lacks the column(s) {', '.join(sorted(missing))}; add them to its first line")
    return table


def _landmark_arrays(path: Path, anatomy: Anatomy, cases: set[str]) -> dict[str, np.ndarray]:
    """landmarks.csv as case -> (N, 2) array with NaN where a row is absent."""
    table = _read_table(path, {"case", "structure", "index", "x", "y"})
    for column, known, what in (("structure", set(anatomy.names), "structure"), ("case", cases, "case")):
        strange = table[~table[column].isin(known)]
        if len(strange):
            row = strange.iloc[0]
            raise DataError(
                f"{path}: unknown {what} {row[column]!r} (line {strange.index[0] + 2}, case {row['case']}); "
                f"known are {', '.join(sorted(known)[:8])}{', ...' if len(known) > 8 else ''}"
            )
    for column in ("index", "x", "y"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    broken = table[table[["index", "x", "y"]].isna().any(axis=1) | (table["index"] % 1 != 0)]
    if len(broken):
        raise DataError(
            f"{path}: line {broken.index[0] + 2} (case {broken.iloc[0]['case']}) needs a whole index and numbers x and y; "
            "leave missing landmarks out"
        )
    counts = table["structure"].map(dict(zip(anatomy.names, anatomy.counts, strict=True)))
    outside = table[(table["index"] < 0) | (table["index"] >= counts)]
    if len(outside):
        row = outside.iloc[0]
        raise DataError(
            f"{path}: case {row['case']} has landmark {int(row['index'])} of the {row['structure']}, which has only "
            f"{int(counts[outside.index[0]])} (0-based); check the anatomy"
        )
    twice = table[table.duplicated(["case", "structure", "index"])]
    if len(twice):
        raise DataError(f"{path}: line {twice.index[0] + 2} gives a landmark of case {twice.iloc[0]['case']} twice; keep one")
    starts = {name: where.start for name, where in anatomy.slices.items()}
    position = table["structure"].map(starts).to_numpy() + table["index"].to_numpy().astype(int)
    arrays = {case: np.full((anatomy.n_landmarks, 2), np.nan) for case in cases}
    for case, rows in table.groupby("case").indices.items():
        arrays[case][position[rows]] = table[["x", "y"]].to_numpy()[rows]
    return arrays


def _read_case(folder: Path, row: dict[str, Any], points: dict[str, np.ndarray], anatomy: Anatomy) -> Case:
    name = row.pop("case")
    try:
        return Case(
            id=name,
            image=read_png(folder / "images" / f"{name}.png"),
            landmarks=points[name],
            anatomy=anatomy,
            masks=_read_masks(folder / "masks" / f"{name}.npz"),
            spacing=_read_spacing(row.pop("spacing", None)),
            metadata={key: value for key, value in row.items() if not pd.isna(value)},
        )
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None


def _read_spacing(value: Any) -> float | None:
    try:
        return None if value is None or pd.isna(value) else float(value)
    except ValueError:
        raise DataError(f"spacing {value!r} in cases.csv is not a number of mm; leave it empty if unknown") from None


def read_png(path: Path) -> np.ndarray:
    """An 8- or 16-bit one-channel PNG as (H, W) float32 in [0, 1]. Raises DataError that names the file."""
    if not path.exists():
        raise DataError(f"{path} is missing; add the image or remove its line from cases.csv")
    try:
        image = imread(path)
    except Exception as error:  # the image libraries raise many kinds for damaged files
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}); copy it again") from None
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path} has pixels of type {image.dtype}; save it with 8 or 16 bit")
    if image.ndim == 3 and image.shape[2] in (3, 4) and (np.ptp(image[..., :3], axis=2) == 0).all():
        image = image[..., 0]  # grey saved as colour
    if image.ndim != 2:
        raise DataError(f"{path} has shape {image.shape}; convert it to one grey channel")
    return image.astype(np.float32) / np.iinfo(image.dtype).max


def _read_masks(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["masks"]
    except Exception as error:  # a damaged archive raises many kinds
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}); write it again or remove it") from None
