"""Names and counts: which structures an anatomy has and how many landmarks each.

An `Anatomy` says how the N landmarks of a case are laid out in one array: structure after structure, each a slice.
It knows nothing of pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Structure:
    """One anatomical structure.

    name: as shown to people, such as "right lung" (the patient's right).
    count: number of landmarks.
    group: the row under which tables pool it, such as "lungs".
    contour: True where the landmarks run once round the outline, in order, so that they bound a mask.
    """

    name: str
    count: int
    group: str
    contour: bool = True


@dataclass(frozen=True)
class Anatomy:
    """An ordered set of structures; landmark arrays have shape (N, 2) with N = `n_landmarks`."""

    name: str
    structures: tuple[Structure, ...]

    def __len__(self) -> int:
        return len(self.structures)

    @property
    def names(self) -> list[str]:
        return [structure.name for structure in self.structures]

    @property
    def counts(self) -> list[int]:
        return [structure.count for structure in self.structures]

    @property
    def n_landmarks(self) -> int:
        return sum(self.counts)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Structure name -> the slice of its landmarks in an (N, 2) array."""
        ends = np.cumsum(self.counts).tolist()
        return {s.name: slice(end - s.count, end) for s, end in zip(self.structures, ends, strict=True)}

    @cached_property
    def membership(self) -> np.ndarray:
        """(N,) integers: the structure index of each landmark."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def groups(self) -> dict[str, list[int]]:
        """Group name -> indices of its structures, in order of first appearance."""
        groups: dict[str, list[int]] = {}
        for index, structure in enumerate(self.structures):
            groups.setdefault(structure.group, []).append(index)
        return groups

    def index(self, name: str) -> int:
        """Index of the structure called `name`. Raises KeyError that lists the known names."""
        if name not in self.slices:
            raise KeyError(f"{self.name} has no structure {name!r}; it has: {', '.join(self.names)}")
        return self.names.index(name)

    def reduced(self, percent: int) -> Anatomy:
        """The anatomy with this share of each structure's landmarks, rounded as Python rounds, but at least 4 where it has them.

        Its name, such as "wrist 25 %", says all that `get_anatomy` needs to make it again. Raises ValueError beyond 1..99.
        """
        if not 1 <= percent <= 99:
            raise ValueError(f"{percent} % of the landmarks: give a whole number from 1 to 99")
        counts = [min(n, max(4, round(n * percent / 100))) for n in self.counts]
        structures = tuple(replace(s, count=n) for s, n in zip(self.structures, counts, strict=True))
        return Anatomy(f"{self.name} {percent} %", structures)


CHEST = Anatomy(
    "chest",
    (
        Structure("right lung", 44, "lungs"),
        Structure("left lung", 50, "lungs"),
        Structure("heart", 26, "heart"),
        Structure("right clavicle", 23, "clavicles"),
        Structure("left clavicle", 23, "clavicles"),
    ),
)

WRIST = Anatomy(
    "wrist",
    (
        Structure("epiphysis of radius", 40, "ulna/radius"),
        Structure("epiphysis of ulna", 20, "ulna/radius"),
        Structure("capitate", 35, "carpals"),
        Structure("hamate", 25, "carpals"),
        Structure("lunate", 30, "carpals"),
        Structure("pisiform", 30, "carpals"),
        Structure("scaphoid", 30, "carpals"),
        Structure("trapezium", 30, "carpals"),
        Structure("trapezoid", 25, "carpals"),
        Structure("triquetrum", 30, "carpals"),
        *(Structure(f"metacarpal {n}", 60 if n == 5 else 50, "metacarpals") for n in range(1, 6)),
        Structure("radius", 80, "ulna/radius"),
        Structure("ulna", 75, "ulna/radius"),
    ),
)

HAND = Anatomy("hand", (Structure("hand", 37, "hand", contour=False),))

ANATOMIES = {anatomy.name: anatomy for anatomy in (CHEST, WRIST, HAND)}


def get_anatomy(name: str) -> Anatomy:
    """The anatomy called `name`, or its reduction such as "wrist 25 %". Raises KeyError that lists the known ones."""
    if reduction := re.fullmatch(r"(.+) ([1-9]\d?) %", name):
        return get_anatomy(reduction[1]).reduced(int(reduction[2]))
    if name not in ANATOMIES:
        raise KeyError(f"unknown anatomy {name!r}; known: {', '.join(ANATOMIES)}")
    return ANATOMIES[name]
