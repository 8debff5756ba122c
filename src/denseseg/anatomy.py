"""Names and counts: which structures an anatomy has, and how their N landmarks lie in one array, structure after structure."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, model_validator

from denseseg.errors import DataError, checked, validated
from denseseg.names import Name


class Kind(StrEnum):
    """What the landmarks of a structure are."""

    OUTLINE = "outline"  # once round its closed outline, in order, so that they bound a mask
    CURVE = "curve"  # along an open curve, in order
    POINTS = "points"  # single landmarks in no order


@checked
class Structure:
    """One anatomical structure of `count` landmarks.

    name: as shown to people, such as "right lung" (the patient's right).
    group: the row under which tables pool it, such as "lungs".
    labels: a name for each landmark, such as "sella", or none.
    region: "hull" where the convex hull of single landmarks, with a margin, shall count as the region they cover.
    """

    name: Name
    count: Annotated[int, Field(ge=1)]
    group: Name
    kind: Kind = Kind.OUTLINE
    labels: tuple[str, ...] = ()
    region: Literal["hull"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Structure:
        if "average" in (self.name, self.group):
            raise ValueError("'average' is what results call the mean of all groups; give the structure and its group other names")
        if self.labels and len(self.labels) != self.count:
            raise ValueError(f"{self.name} has {self.count} landmarks but {len(self.labels)} labels; give one a landmark, or none")
        if self.region is not None and self.kind is not Kind.POINTS:
            raise ValueError(f"{self.name}: region = {self.region!r} is for kind = 'points' only")
        if self.region is not None and self.count < 3:
            raise ValueError(f"{self.name}: a hull needs 3 landmarks or more, and it has {self.count}; leave region out")
        return self

    @property
    def outlined(self) -> bool:
        """Whether the landmarks are a closed outline."""
        return self.kind is Kind.OUTLINE

    @property
    def covers(self) -> bool:
        """Whether the structure covers a region of the image, so that it has a mask and can have a uv map."""
        return self.outlined or self.region is not None


@checked
class Anatomy:
    """An ordered set of structures; landmark arrays have shape (N, 2) with N = `n_landmarks`."""

    name: Name
    structures: Annotated[tuple[Structure, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Anatomy:
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise ValueError(f"two structures are called {min(twice)!r}; give each a name of its own")
        return self

    @classmethod
    def from_dict(cls, content: dict[str, Any], source: str = "anatomy") -> Anatomy:
        """The anatomy that `to_dict` wrote. Raises DataError that names `source`, the field and what was expected."""
        return validated(cls, content, source)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: name, and structures as a list of dicts without the fields that have their default."""
        return TypeAdapter(Anatomy).dump_python(self, mode="json", exclude_defaults=True)

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
    def landmark_names(self) -> list[tuple[str, int, str]]:
        """Structure, index within it, and label ("" without one) of each of the N landmarks."""
        return [(s.name, i, s.labels[i] if s.labels else "") for s in self.structures for i in range(s.count)]

    def absent(self, landmarks: np.ndarray) -> np.ndarray:
        """(..., C) bool: structures without any landmark in (..., N, 2), where a missing one is NaN."""
        missing = np.isnan(landmarks).all(-1)
        return np.stack([missing[..., where].all(-1) for where in self.slices.values()], axis=-1)

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

    @cached_property
    def padded(self) -> np.ndarray:
        """(C, n) integers: the landmarks of each structure as positions in an (N, 2) array, -1 beyond a structure's count."""
        places = np.full((len(self), max(self.counts)), -1)
        for row, where in zip(places, self.slices.values(), strict=True):
            row[: where.stop - where.start] = np.arange(where.start, where.stop)
        return places

    def reduced(self, percent: int) -> Anatomy:
        """This share of each structure's landmarks, but at least 4 where it has them, without labels. DataError beyond 1..99."""
        if not 1 <= percent <= 99:
            raise DataError(f"{percent} % of the landmarks: give a whole number from 1 to 99")
        counts = [min(n, max(4, round(n * percent / 100))) for n in self.counts]
        structures = tuple(replace(s, count=n, labels=()) for s, n in zip(self.structures, counts, strict=True))
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
        *(Structure(name, 30, "carpals") for name in ("lunate", "pisiform", "scaphoid", "trapezium")),
        Structure("trapezoid", 25, "carpals"),
        Structure("triquetrum", 30, "carpals"),
        *(Structure(f"metacarpal {n}", 60 if n == 5 else 50, "metacarpals") for n in range(1, 6)),
        Structure("radius", 80, "ulna/radius"),
        Structure("ulna", 75, "ulna/radius"),
    ),
)

# The landmarks of the Digital Hand Atlas in the order of its public landmark files; "base" is the end towards the wrist.
HAND_LABELS = (
    "ulnar corner of the ulna's metaphysis", "ulnar styloid process", "radial corner of the ulna's metaphysis",
    "ulnar corner of the radius's metaphysis", "radial corner of the radius's metaphysis", "radial styloid process",
    *(f"proximal end of the {bone}" for bone in (
        "triquetrum", "lunate", "scaphoid", "hamate", "capitate", "trapezoid", "trapezium")),
    *(f"base of metacarpal {n}" for n in range(5, 0, -1)),
    "base of proximal phalanx 1", "base of distal phalanx 1", "tip of finger 1",
    *(part.format(n) for n in range(2, 6) for part in (
        "base of proximal phalanx {}", "base of middle phalanx {}", "base of distal phalanx {}", "tip of finger {}")),
)  # fmt: skip

HAND = Anatomy("hand", (Structure("hand", 37, "hand", Kind.POINTS, HAND_LABELS, region="hull"),))

ANATOMIES = {anatomy.name: anatomy for anatomy in (CHEST, WRIST, HAND)}


def get_anatomy(name: str) -> Anatomy:
    """The built-in anatomy called `name`. Raises DataError that lists the known ones."""
    if name not in ANATOMIES:
        raise DataError(f"unknown anatomy {name!r}; built in are: {', '.join(ANATOMIES)}")
    return ANATOMIES[name]


def wrist_spacing(landmarks: np.ndarray) -> float:
    """Millimetres per pixel of a hand whose wrist, between its two styloid processes (landmarks 1 and 5), counts as 50 mm wide.

    So errors are scaled where nobody knows the size of a pixel, as in the Digital Hand Atlas (SCN, Section 4.1). landmarks: (37, 2)
    pixels of `HAND`; NaN where one of the two is missing, infinite where they are one point.
    """
    with np.errstate(divide="ignore"):
        return float(50 / np.linalg.norm(landmarks[1] - landmarks[5]))
