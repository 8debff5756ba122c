"""What every phantom is: canonical outlines, a map for each, and a pixel grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from denseseg.anatomy import Anatomy
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.phantom.looks import Looks, Streams, streams
from denseseg.phantom.outlines import ShapeOutline
from denseseg.phantom.warps import Warp


def phantom_set(anatomy: Anatomy, cases: Iterable[Case], seed: int, randomised: bool) -> CaseSet:
    """Phantoms as a data set. Its information's `kind` is how programs tell it from a real one, whatever the set is called."""
    name = f"{'randomised ' if randomised else ''}{anatomy.name} phantom"
    info = {
        "kind": "phantom",
        "source": f"procedural {name} of denseseg, seed {seed}",
        "licence": "CC0-1.0",
        "note": "synthetic; no patient data",
    }
    return CaseSet(name, anatomy, cases, info)


class Phantom:
    """Phantom number `index` of the population `seed` at `size` = (H, W) pixels, whose radiograph looks as `looks` says.

    outlines: the canonical outline of each structure, in the anatomy's order.
    chains: the map of each structure from its canonical frame into the field; both in hundredths of the image's shorter side.
    """

    anatomy: Anatomy
    outlines: Sequence[ShapeOutline]
    chains: Sequence[Warp]

    def __init__(self, seed: int, index: int, size: Size, looks: Looks):
        if seed < 0 or index < 0:
            raise DataError(f"seed = {seed}, index = {index}: phantoms are counted from 0")
        self.seed, self.index, self.size, self.looks = int(seed), int(index), (int(size[0]), int(size[1])), looks
        self.pixel = 100 / min(self.size)  # side of a pixel in hundredths of the field

    def _random(self, stream: int) -> np.random.Generator:
        """Independent random numbers for anatomy (0), texture (1) and film (2)."""
        return np.random.default_rng([self.seed, self.index, stream])

    @property
    def _streams(self) -> Streams:
        """Independent random numbers for each switch of a randomisation, by its name."""
        return streams(self.seed, self.index)

    def _to_field(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = (np.asarray(points, dtype=float) - (np.array(self.size[::-1]) - 1) / 2) * self.pixel + 50
        return moved[..., 0], moved[..., 1]

    def _to_pixels(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (np.stack([x, y], axis=-1) - 50) / self.pixel + (np.array(self.size[::-1]) - 1) / 2

    @property
    def canonical(self) -> np.ndarray:
        """(N, 2) px, the undeformed landmarks in the pixel frame of the image."""
        return self._to_pixels(*np.concatenate([outline.landmarks for outline in self.outlines]).T)

    def place(self, structure_index: int, material: np.ndarray) -> np.ndarray:
        """Canonical positions (P, 2) px of a structure -> (P, 2) px in the image."""
        return self._to_pixels(*self.chains[structure_index].forward(*self._to_field(material)))

    def material(self, structure_index: int, points: np.ndarray) -> np.ndarray:
        """Image positions (P, 2) px -> (P, 2) px in the structure's canonical shape; the exact inverse of `place`."""
        return self._to_pixels(*self.chains[structure_index].inverse(*self._to_field(points)))

    @cached_property
    def landmarks(self) -> np.ndarray:
        """(N, 2) px, the canonical landmarks put in place."""
        canonical = self.canonical
        return np.concatenate([self.place(i, canonical[where]) for i, where in enumerate(self.anatomy.slices.values())])
