"""A set of cases of one anatomy, and how it is divided into parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import pandas as pd

from denseseg.anatomy import Anatomy
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.geometry.frame import Size, inside_image
from denseseg.names import name_fault, same_file


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a data set. `validation` is taken from the training part, never from the test part.

    Raises DataError where a case is in two of them.
    """

    train: CaseSet
    validation: CaseSet
    test: CaseSet

    def __post_init__(self) -> None:
        require_disjoint(training=self.train, validation=self.validation, test=self.test)


class CaseSet(Sequence[Case]):
    """A list of cases of one anatomy, with the data set's name and description."""

    def __init__(self, name: str, anatomy: Anatomy, cases: Iterable[Case], info: dict[str, str] | None = None):
        self.name = name
        self.anatomy = anatomy
        self.cases = list(distinct(name, anatomy, cases))
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
        """(M, H, W) float32. Raises DataError where sizes differ, or there are no cases."""
        sizes = {case.size for case in self.cases}
        if not sizes:
            raise DataError(f"{self.name} has no cases")
        if len(sizes) > 1:
            raise DataError(f"{self.name}: images have {len(sizes)} different sizes; call fitted((H, W)) first")
        return np.stack([case.image for case in self.cases])

    @property
    def landmarks(self) -> np.ndarray:
        """(M, N, 2) float64, pixels."""
        return np.array([case.landmarks for case in self.cases]).reshape(-1, self.anatomy.n_landmarks, 2)

    @property
    def shown(self) -> np.ndarray:
        """(M, N) bool: landmarks that are known and lie in the image of their case."""
        return np.stack([inside_image(case.landmarks, case.size) for case in self.cases])

    @property
    def absent(self) -> np.ndarray:
        """(M, C) bool: see `Case.absent`."""
        return np.stack([case.absent for case in self.cases])

    def resized(self, size: Size) -> CaseSet:
        """Every case stretched to (H, W). Raises DataError where they have several aspect ratios, or where `Case.resized` does."""
        aspects = [case.size[0] / case.size[1] for case in self.cases]
        if aspects and max(aspects) > 1.02 * min(aspects):
            fault = f"{self.name}: images have aspect ratios from {min(aspects):.2f} to {max(aspects):.2f}"
            raise DataError(f"{fault}, of which all but one would be squeezed; use fitted((H, W)), which pads instead")
        return CaseSet(self.name, self.anatomy, (case.resized(size) for case in self.cases), self.info)

    def fitted(self, size: Size) -> CaseSet:
        """Every case scaled and padded to (H, W), without the frames that lead back: see `Case.fitted`."""
        return CaseSet(self.name, self.anatomy, (case.fitted(size)[0] for case in self.cases), self.info)

    def fingerprint(self) -> str:
        """SHA-256 over the anatomy, and each case's id, image (as 16 bit), landmarks (to 1e-4 px), masks and spacing.

        The `data_sha256` of a record. It survives writing and reading with 16 bit, and ignores the order of the cases. It is never
        kept, so that it can't speak of cases as they were before a change.
        """
        digest = hashlib.sha256(json.dumps(self.anatomy.to_dict(), sort_keys=True).encode())
        for case in sorted(self.cases, key=lambda c: c.id):
            digest.update(repr((case.id, case.size, case.spacing, case.masks is not None)).encode())
            digest.update(np.round(case.image * 65535).astype("<u2").tobytes())
            digest.update(np.round(np.nan_to_num(case.landmarks, nan=-9999.0), 4).astype("<f8").tobytes())
            digest.update(b"" if case.masks is None else np.packbits(case.masks).tobytes())
        return digest.hexdigest()

    def split(
        self,
        scheme: str = "paper",
        *,
        validation: float = 0.1,
        train: float = 160 / 246,
        seed: int = 0,
        fold: int | None = None,
        folds: int | None = None,
        train_size: int | None = None,
        draw: int = 0,
    ) -> Split:
        """Divide into training, validation and test part.

        scheme: "paper" uses the `split` column of cases.csv (train or test, as published); "stratified" shuffles by
            `seed` within each value of the `stratum` column and puts the share `train` of each into training;
            "patients" does so too, but keeps the cases of one patient together, as the `patient` column names them;
            "folds" tests fold number `fold` of a cross-validation, from 0, and trains on the others: each case is tested in the
            fold that the `fold` column names. Where there is no such column, `folds` folds are drawn, strata alike and patients
            kept together.
        validation: share of the training part that is set aside to choose between models, one case at least unless it is 0;
            stratified likewise. Whatever the scheme, no patient is in both. A case that names no patient counts as a patient of its
            own.
        train_size: how many cases there are to learn from, those of the validation part included; None takes all. Which ones is
            said by the column `subset_<train_size>_<draw>` (see `_few`), or where there is none drawn with `draw` as seed: of the
            same draw, the smaller set is then part of the larger one.
        Shares are met to within the cases of one patient. `patients_in_both` tells whom a published split has in two parts.
        Raises DataError where the scheme or the column is unknown or a part would be empty.
        """
        rng = np.random.default_rng(seed)
        learning, test = self._learning_and_test(scheme, train, fold, folds, rng)
        if not 0 <= validation < 1:
            raise DataError(f"validation={validation}: give a share from 0 up to, but not including, 1")
        if train_size is not None:
            learning = self._few(learning, train_size, draw, fold or 0)
        held_out, kept = self._divide(learning, validation, rng, together=True)
        if validation and not held_out and len(learning) > 1:  # of few cases a share is less than half a case: then one
            held_out, kept = self._divide(learning, 1 / len(learning), rng, together=True)
        parts = {"training": kept, "test": test} | ({"validation": held_out} if validation else {})
        for part, indices in parts.items():
            if not indices:
                fix = "add cases" + ", or ask for no validation part" * bool(validation)
                raise DataError(f"{self.name}: the {part} part of split {scheme!r} is empty with {len(self)} cases; {fix}")
        return Split(self.subset(sorted(kept)), self.subset(sorted(held_out)), self.subset(sorted(test)))

    def _learning_and_test(
        self, scheme: str, train: float, fold: int | None, folds: int | None, rng: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        if scheme == "paper":
            marks = [published_part(case) for case in self.cases]
            unknown = sorted(set(marks) - {"train", "test"})
            if unknown:
                found, fix = ", ".join(unknown), "give every case train or test, or use scheme='stratified'"
                raise DataError(f"{self.name}: the split column of cases.csv holds {found}; {fix}")
            learning, test = ([i for i, mark in enumerate(marks) if mark == part] for part in ("train", "test"))
        elif scheme in ("stratified", "patients"):
            if scheme == "patients" and not any(map(patient_of, self.cases)):
                raise DataError(f"{self.name}: no case names its patient; add a column patient to cases.csv, or use 'stratified'")
            learning, test = self._divide(list(range(len(self))), train, rng, together=scheme == "patients")
        elif scheme == "folds":
            tested = self._folds(folds, rng)
            if fold not in tested:
                raise DataError(f"{self.name}: there is no fold {fold}; give a fold from 0 to {max(tested)}")
            learning, test = ([i for i, own in enumerate(tested) if (own == fold) == here] for here in (False, True))
        else:
            raise DataError(f"unknown split {scheme!r}; known: paper, stratified, patients, folds")
        return learning, test

    def _folds(self, number: int | None, rng: np.random.Generator) -> list[int]:
        """The fold, from 0, in which each case is tested: as the column `fold` names it, or else drawn."""
        named = [case.metadata.get("fold") for case in self.cases]
        if all(map(_empty, named)):
            return self._drawn_folds(number, rng)
        found = [_whole(cell) for cell in named]
        if None in found:
            case = self.cases[found.index(None)]
            fault = f"case {case.id} has {case.metadata.get('fold')!r} in the column fold of cases.csv"
            raise DataError(f"{self.name}: {fault}; give every case the number of the fold in which it is tested")
        known = [fold for fold in found if fold is not None]
        if set(known) != set(range(number or max(known) + 1)):
            wanted = f"{number} folds" if number else "all folds from 0"
            raise DataError(f"{self.name}: the column fold of cases.csv names {sorted(set(known))}, not {wanted}; correct either")
        return known

    def _drawn_folds(self, number: int | None, rng: np.random.Generator) -> list[int]:
        if number is None or number < 2:
            raise DataError(f"{self.name}: cases.csv has no column fold; say how many folds shall be drawn, at least 2")
        found, rest = [0] * len(self), list(range(len(self)))
        for fold in range(number):
            part, rest = self._divide(rest, 1 / (number - fold), rng, together=True)
            for i in part:
                found[i] = fold
        return found

    def _few(self, learning: list[int], size: int, draw: int, fold: int) -> list[int]:
        """`size` of the cases to learn from, as published or else drawn.

        The column `subset_<size>_<draw>` of cases.csv holds a published choice: for each case the folds in which it is one of the
        few to learn from, as in "fold 0, fold 2". Splits without folds take those of fold 0.
        """
        column = f"subset_{size}_{draw}"
        cells = [case.metadata.get(column) for case in self.cases]
        if not all(map(_empty, cells)):
            chosen = [i for i in learning if f"fold {fold}" in str(cells[i]).split(", ")]
            if len(chosen) != size:
                fault = f"the column {column} of cases.csv names {len(chosen)} of the cases to learn from in fold {fold}"
                raise DataError(f"{self.name}: {fault}; correct it, or take another draw")
            return chosen
        if not 0 < size <= len(learning):
            raise DataError(f"{self.name}: train_size={size}, but there are {len(learning)} cases to learn from; take fewer")
        return sorted(learning[i] for i in np.random.default_rng(draw).permutation(len(learning))[:size])

    def _divide(self, indices: list[int], share: float, rng: np.random.Generator, together: bool) -> tuple[list[int], list[int]]:
        """Two lists with `share` and the rest of the indices, each stratum divided alike, sizes exact to rounding.

        together: the cases of a patient go to the same list, in the stratum of the first; sizes are then exact to one patient.
        """
        patients: dict[object, list[int]] = {}
        for i in indices:
            name = together and patient_of(self.cases[i])
            patients.setdefault(name or i, []).append(i)  # text or number, so that they can't be confused
        strata: dict[str, list[list[int]]] = {}
        for members in patients.values():
            strata.setdefault(str(self.cases[members[0]].metadata.get("stratum", "")).strip(), []).append(members)
        first: list[int] = []
        done = 0
        for _, groups in sorted(strata.items()):
            done += sum(map(len, groups))
            for number in rng.permutation(len(groups)):
                if len(first) < round(share * done):  # cumulative, so the total is exact
                    first += groups[number]
        return first, sorted(set(indices) - set(first))


def patients_in_both(split: Split) -> list[str]:
    """Patients (column `patient`) with cases in the test part and also in another; errors on them say less about new patients."""
    learning = {patient_of(case) for part in (split.train, split.validation) for case in part}
    return sorted(learning & {patient_of(case) for case in split.test} - {""})


def published_part(case: Case) -> str:
    """What the column split says of a case, without blanks at its ends; "None" where it says nothing."""
    return str(case.metadata.get("split")).strip()


def names_parts(cases: Iterable[Case]) -> bool:
    """Whether the column split says something of any case."""
    return any(not _empty(case.metadata.get("split")) for case in cases)


def patient_of(case: Case) -> str:
    """The patient's name, or nothing where the case tells none."""
    name = case.metadata.get("patient")
    return "" if _empty(name) else str(name).strip()  # a blank at an end makes no other patient


def _empty(cell: Any) -> bool:
    """Whether a cell of cases.csv says nothing."""
    return cell == "" or bool(pd.isna(cell))


def _whole(cell: Any) -> int | None:
    """The number in a cell of cases.csv, which pandas may have read as 1, 1.0 or "1"; None where it is none."""
    text = str(cell).strip().removesuffix(".0")
    return int(text) if text.isdecimal() else None


def require_disjoint(**parts: Sequence[Case]) -> None:
    """Raise DataError where two parts share a case, by whatever id: the same image with the same landmarks."""
    seen: dict[tuple[Any, ...], list[tuple[str, Case]]] = {}
    for part, cases in parts.items():
        for case in cases:
            key = (case.size, case.landmarks.tobytes(), case.image[::8, ::8].tobytes())  # quick to make, and seldom shared
            for other, twin in seen.setdefault(key, []):
                if other != part and np.array_equal(case.image, twin.image):
                    fault = f"case {case.id} of the {part} part is case {twin.id} of the {other} part"
                    raise DataError(f"{fault}: the same image and landmarks; leave it out of one of them")
            seen[key].append((part, case))


def distinct(name: str, anatomy: Anatomy, cases: Iterable[Case]) -> Iterator[Case]:
    """The cases, as they come. Raises DataError at one of another anatomy, or whose id is no name or means the files of another."""
    seen: dict[str, str] = {}
    for case in cases:
        if fault := name_fault(case.id):
            raise DataError(f"{name}: the id {case.id!r:.80} {fault}; give that case another")
        if case.anatomy != anatomy:
            raise DataError(f"{name}: case {case.id} is a {case.anatomy.name}, the set a {anatomy.name}; split them")
        twin = seen.get(same_file(case.id))
        if twin == case.id:
            raise DataError(f"{name}: two cases are called {case.id}; give each its own id")
        if twin is not None:
            raise DataError(f"{name}: the ids {twin} and {case.id} name one file on some disks; make them differ in more than that")
        seen[same_file(case.id)] = case.id
        yield case
