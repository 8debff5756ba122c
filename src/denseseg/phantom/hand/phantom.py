"""Synthetic radiographs of children's whole hands with the 37 landmarks of the Digital Hand Atlas, known exactly.

The hand is that of the wrist phantom (see there), to its finger tips: a left one, fingers up, thumb on the right. Landmarks are
places of the bones: corners, processes and joint surfaces at the wrist, the bases of metacarpals and phalanges, the finger tips.
Each goes where the invertible map of its bone takes it, and the radiograph is drawn through the inverses of the same maps.

As in the real set every landmark is there in each image, the image is cut off just below the wrist, and the hand fills it however
old the child is, so nobody can tell the size of a pixel: the spacing is what makes the wrist 50 mm wide. Unlike in the real set,
where people mark also what has not ossified yet, children are so old that every marked bone is seen: from about 5 years on.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from denseseg.anatomy import HAND, wrist_spacing
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.phantom.hand.drawing import draw
from denseseg.phantom.hand.population import HandMaps, draw_child
from denseseg.phantom.hand.shapes import MARKS
from denseseg.phantom.looks import NO_LOOKS, Looks
from denseseg.phantom.phantom import Phantom, phantom_set
from denseseg.phantom.wrist.growth import age_band

FOLDS = 3


class HandPhantom(Phantom):
    """A child's hand of 37 landmarks at (H, W) pixels, about 4 high to 3 wide; `case` is its radiograph.

    chains: the map of each landmark's bone, so `place` and `material` are asked by landmark, not by structure.
    age_months, bone_age_months: the chronological age, and the maturity that is seen. mm_per_pixel: true millimetres.
    looks: what varies in the look of the radiograph (nothing, unless given).

    Raises DataError where the size is smaller than 64 x 48 or of another aspect.
    """

    anatomy = HAND

    def __init__(self, seed: int, index: int, size: Size = (320, 240), looks: Looks = NO_LOOKS):
        if size[0] < 64 or size[1] < 48:
            raise DataError(f"hand phantom of size {tuple(size)}: give at least 64 x 48 pixels (height x width)")
        if not 1.25 < size[0] / size[1] < 1.45:
            raise DataError(f"hand phantom of size {tuple(size)}: give about 4 rows to 3 columns, such as 320 x 240")
        super().__init__(seed, index, size, looks)
        rng = self._random(0)
        self.child = draw_child(rng)
        self.maps = HandMaps.random(self.child, rng)
        self.chains = self.maps.chains
        self.age_months, self.bone_age_months = round(12 * self.child.age, 1), round(12 * self.child.bone_age, 1)
        self.mm_per_pixel = self.pixel / self.maps.bones.zoom

    @property
    def canonical(self) -> np.ndarray:
        """(37, 2) px, the marked places of the undeformed hand in the pixel frame of the image."""
        return self._to_pixels(*np.array([place for _, place in MARKS]).T)

    @cached_property
    def landmarks(self) -> np.ndarray:
        """(37, 2) px, the canonical landmarks put in place."""
        return np.stack([self.place(i, point) for i, point in enumerate(self.canonical)])

    @cached_property
    def case(self) -> Case:
        image = draw(self.maps, self.child, self.size, self._random(1), self._random(2), self.looks, self._streams)
        fold = self.index % FOLDS
        metadata = {
            "split": "train" if fold else "test",
            "fold": fold,
            "stratum": age_band(self.child.age),
            "patient": f"child{self.index:04d}",
            "age_months": self.age_months,
            "bone_age_months": self.bone_age_months,
            "mm_per_pixel": round(self.mm_per_pixel, 4),
        }
        spacing = wrist_spacing(self.landmarks)
        return Case(f"hand{self.index:04d}", image, self.landmarks, HAND, spacing=spacing, metadata=metadata)


def hand_phantom(n: int, size: Size = (320, 240), seed: int = 0, looks: Looks = NO_LOOKS) -> CaseSet:
    """A data set of `n` hand phantoms of `size` = (H, W) pixels; a case is tested in the one of three folds that `fold` names.

    Case i is the same anatomy for every `n` and every `size`. Metadata: fold (0, 1 or 2), split (test for fold 0), stratum (age
    band), patient, age_months, bone_age_months, mm_per_pixel (true ones, unlike `spacing`).
    looks: see `HandPhantom`.
    """
    cases = (HandPhantom(seed, i, size, looks=looks).case for i in range(n))
    return phantom_set(HAND, cases, seed, looks != NO_LOOKS)
