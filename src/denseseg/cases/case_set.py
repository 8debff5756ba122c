"""A set of cases of one anatomy, and how it is divided into parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import pandas as pd

from denseseg.anatomy import Anatomy
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.geometry.frame import Size


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
        """(M, H, W) float32. Raises DataError where sizes differ."""
        sizes = {case.size for case in self.cases}
        if len(sizes) != 1:
            raise DataError(f"{self.name}: images have {len(sizes)} different sizes; call fitted((H, W)) first")
        return np.stack([case.image for case in self.cases])

    @property
    def landmarks(self) -> np.ndarray:
        """(M, N, 2) float64, pixels."""
        return np.stack([case.landmarks for case in self.cases])

    def resized(self, size: Size) -> CaseSet:
        """Every case stretched to (H, W)."""
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
                found, fix = ", ".join(unknown), "give every case train or test, or use scheme='stratified'"
                raise DataError(f"{self.name}: the split column of cases.csv holds {found}; {fix}")
            learning, test = ([i for i, mark in enumerate(marks) if mark == part] for part in ("train", "test"))
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
        patients: dict[object, list[int]] = {}
        for i in indices:
            name = together and _patient(self.cases[i])
            patients.setdefault(name or i, []).append(i)  # text or number, so that they can't be confused
        strata: dict[str, list[list[int]]] = {}
        for members in patients.values():
            strata.setdefault(str(self.cases[members[0]].metadata.get("stratum", "")), []).append(members)
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
    learning = {_patient(case) for part in (split.train, split.validation) for case in part}
    return sorted(learning & {_patient(case) for case in split.test} - {""})


def _patient(case: Case) -> str:
    """The patient's name, or nothing where the case tells none."""
    name = case.metadata.get("patient")
    return "" if name is None or pd.isna(name) else str(name)


def distinct(name: str, anatomy: Anatomy, cases: Iterable[Case]) -> Iterator[Case]:
    """The cases, as they come. Raises DataError at one of another anatomy, or whose id was there before."""
    seen: set[str] = set()
    for case in cases:
        if case.anatomy != anatomy:
            raise DataError(f"{name}: case {case.id} is a {case.anatomy.name}, the set a {anatomy.name}; split them")
        if case.id in seen:
            raise DataError(f"{name}: two cases are called {case.id}; give each its own id")
        seen.add(case.id)
        yield case
