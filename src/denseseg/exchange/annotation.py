"""What a person placed in one image, in no tool's words, and how an anatomy names it.

Every tool knows marks: a label, and one or more points under it. A mark is a whole structure, its landmarks in order, or a single
landmark. `marks_of` and `landmarks_of` are the two ways between marks and the (N, 2) landmarks of an anatomy, for all tools.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PureWindowsPath

import numpy as np

from denseseg.anatomy import Anatomy, Structure
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.readers.image_files import image_name

CENTRE, CORNER = 0.0, 0.5  # where a tool that counts from a pixel's centre, or from its corner, has the centre of the first pixel


@dataclass(frozen=True)
class Annotation:
    """The landmarks of one image.

    image: the image's file, as the tool names it. size: its (H, W), or None where the file does not say.
    landmarks: (N, 2) pixels (x, y), pixel centres at whole numbers; NaN where nothing was placed.
    hidden: (N,) bool, placed where the image does not show them: COCO's visibility 1, CVAT's "occluded".
    spacing: millimetres per pixel, or None where unknown.
    """

    image: str
    size: Size | None
    landmarks: np.ndarray
    hidden: np.ndarray
    spacing: float | None = None


@dataclass(frozen=True)
class Mark:
    """Points (n, 2) under one label, NaN where missing; names: of the points, where there are some.

    structure: that of the anatomy, in marks to be written; those that were read know their label alone.
    """

    label: str
    points: np.ndarray
    hidden: np.ndarray
    names: tuple[str, ...] = ()
    structure: Structure | None = None

    @property
    def present(self) -> np.ndarray:
        """(n,) bool: points that were placed."""
        return np.isfinite(self.points).all(1)


@dataclass(frozen=True)
class Marked:
    """The marks of one image, as a file holds them: in the tool's own pixels (Slicer: millimetres)."""

    image: str
    size: Size | None
    marks: list[Mark] = field(default_factory=list)


def image_id(name: str) -> str:
    """The case that an image's file belongs to: its name without folder (of any system) and ending."""
    return image_name(PureWindowsPath(name))


def landmark_ids(anatomy: Anatomy) -> list[str]:
    """A name for each of the N landmarks that no other has: its label where that is unique, else structure and index."""
    fallback = [f"{structure}: {index}" for structure, index, _ in anatomy.landmark_names]
    count = Counter([*fallback, *anatomy.names, *(label for *_, label in anatomy.landmark_names)])
    return [
        label if label and count[label] == 1 else name for name, (*_, label) in zip(fallback, anatomy.landmark_names, strict=True)
    ]


def marks_of(landmarks: np.ndarray, hidden: np.ndarray, anatomy: Anatomy) -> Iterator[Mark]:
    """A mark for each structure that has any landmark: all its points, in order and named."""
    ids = landmark_ids(anatomy)
    for structure, where in zip(anatomy.structures, anatomy.slices.values(), strict=True):
        if np.isfinite(landmarks[where]).any():
            yield Mark(structure.name, landmarks[where], hidden[where], tuple(ids[where]), structure)


def landmarks_of(marks: Iterable[Mark], anatomy: Anatomy, source: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) landmarks, NaN where there is no mark, and (N,) whether they are hidden.

    Points that have names are placed by them; where none of the names is known, and where there are no names, by their order.
    Raises DataError that names `source` for a label that the anatomy has not, another number of points, and what is there twice.
    """
    points, hidden = np.full((anatomy.n_landmarks, 2), np.nan), np.zeros(anatomy.n_landmarks, bool)
    for mark in marks:
        where, there = _positions(mark, anatomy, source), mark.present
        if np.isfinite(points[where][there]).any():
            raise DataError(f"{source}: {mark.label!r} is marked twice; remove one of the two")
        points[where[there]], hidden[where[there]] = mark.points[there], mark.hidden[there]
    return points, hidden


def _positions(mark: Mark, anatomy: Anatomy, source: str) -> np.ndarray:
    """The positions of a mark's points in the anatomy's (N, 2) landmarks."""
    everything, ids = range(anatomy.n_landmarks), {name: i for i, name in enumerate(landmark_ids(anatomy))}
    ids |= {f"{structure}: {index}": i for i, (structure, index, _) in enumerate(anatomy.landmark_names)}
    if mark.label in anatomy.slices:
        own = everything[anatomy.slices[mark.label]]
        labels = {label: own[i] for i, label in enumerate(anatomy.structures[anatomy.index(mark.label)].labels)}
        return _named_or_ordered(mark, own, labels | {name: i for name, i in ids.items() if i in own}, source)
    if mark.label in ids and len(mark.points) == 1:
        return np.array([ids[mark.label]])
    if len(mark.points) == len(everything) or (mark.names and set(mark.names) <= ids.keys()):  # one mark for the whole anatomy
        return _named_or_ordered(mark, everything, ids, source)
    known = ", ".join([*anatomy.names[:8], *list(ids)[:3], "..."])
    raise DataError(
        f"{source}: {mark.label!r} with {len(mark.points)} points is no part of the {anatomy.name}; rename it ({known})"
    )


def _named_or_ordered(mark: Mark, own: range, known: Mapping[str, int], source: str) -> np.ndarray:
    strange = [name for name in mark.names if name not in known]
    if mark.names and not strange:
        if len(set(mark.names)) < len(mark.names):
            raise DataError(f"{source}: two points of {mark.label!r} have the same name; rename one")
        return np.array([known[name] for name in mark.names])
    if len(strange) < len(mark.names):
        raise DataError(f"{source}: {mark.label!r} has no landmark {strange[0]!r}; it has: {', '.join(list(known)[:8])}, ...")
    if len(mark.points) != len(own):
        found, fix = f"{mark.label!r} has {len(mark.points)} points instead of {len(own)}", "add or remove points"
        raise DataError(f"{source}: {found}; {fix}, or change `count` in dataset.toml")
    return np.array(own)
