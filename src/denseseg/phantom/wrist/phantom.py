"""Synthetic radiographs of children's hands and wrists whose dense correspondence and age are known exactly.

Posterior-anterior views of a left hand (right ones are shown flipped): fingers up, thumb and radius on the right. Seventeen
structures with 710 landmarks as in GRAZPEDWRI-DX. As in the chest phantom, every bone has a canonical shape (`wrist/shapes.py`)
and an invertible map from it to the image (`warps`): its own form first (maturity, individual variation), then its place in the
hand (posture), then that of the hand in the image (size, turn, field of view). The radiograph is drawn by looking up the
canonical shapes through the inverse maps, so what is true at the landmarks is true at every pixel.

Bone age drives everything that grows (`wrist/growth.py`). A bone that has not ossified yet is absent: its landmarks are NaN and
nothing of it is drawn. Radius and ulna go on beyond the lower border; their landmarks end some 5 to 30 px (of 384 rows) below it.
This end is no place of the anatomy but where the label ends, so the shaft is stretched to meet it. Metacarpals reach beyond the
other borders where the image shows a smaller section. Phalanges come into view without being structures.

There is no metal and no fracture, unlike in the real set, and no cast but where a randomisation draws one.

The field is 100 units wide (along the shorter side); anatomy depends on (seed, index) only, never on the size.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cached_property

import numpy as np

from denseseg.anatomy import WRIST
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.phantom.looks import NO_LOOKS, Looks
from denseseg.phantom.phantom import Phantom, phantom_set
from denseseg.phantom.wrist.drawing import draw
from denseseg.phantom.wrist.growth import YOUNGEST, age_band
from denseseg.phantom.wrist.population import Child, Maps
from denseseg.phantom.wrist.randomisation import NO_WRIST_RANDOMISATION, WristRandomisation, varied, widened
from denseseg.phantom.wrist.shapes import wrist_outlines


class WristPhantom(Phantom):
    """A child's hand of 710 landmarks at (H, W) pixels, about 12 high to 7 wide; `case` is its radiograph.

    canonical: (N, 2) px, of a mature hand. landmarks: (N, 2) px, NaN for bones that have not ossified, which `present` (17
    booleans) tells; `place` and `material` answer for those, too. physiology: the parameters behind it.
    age_months, bone_age_months: the chronological age, and the maturity that is seen.

    age: the same child at another age in years, 2 or more, as early or late as ever; None leaves the age that was drawn.
    looks: what varies in the look of the radiograph (nothing, unless given). randomisation: what varies beyond the population.
    Raises DataError where the size is smaller than 96 x 56 or of another aspect, or the age is too low.
    """

    anatomy = WRIST

    def __init__(
        self,
        seed: int,
        index: int,
        size: Size = (384, 224),
        age: float | None = None,
        looks: Looks = NO_LOOKS,
        randomisation: WristRandomisation = NO_WRIST_RANDOMISATION,
    ):
        if size[0] < 96 or size[1] < 56:
            raise DataError(f"wrist phantom of size {tuple(size)}: give at least 96 x 56 pixels (height x width)")
        if not 1.6 < size[0] / size[1] < 1.85:
            raise DataError(f"wrist phantom of size {tuple(size)}: give about 12 rows to 7 columns, such as 384 x 224")
        super().__init__(seed, index, size, looks)
        rng = self._random(0)
        self.child = Child.random(rng)
        if age is not None:
            if not age >= YOUNGEST:
                raise DataError(f"age = {age} years: these hands are of children from {YOUNGEST} years on")
            self.child = replace(self.child, age=age, bone_age=age + self.child.bone_age - self.child.age)
        self.randomisation, self.child = randomisation, widened(self.child, randomisation, self._streams)
        self.maps = varied(Maps.random(self.child, rng), randomisation, self._streams)
        self.outlines, self.chains = wrist_outlines(), self.maps.structures
        self.laterality = "L" if rng.random() < 0.5 else "R"
        self.age_months, self.bone_age_months = round(12 * self.child.age, 1), round(12 * self.child.bone_age, 1)
        self.physiology, self.present, self.mm_per_pixel = self.child.who, self.child.present, self.pixel / self.maps.zoom

    @cached_property
    def landmarks(self) -> np.ndarray:
        """(N, 2) px, the canonical landmarks put in place, NaN where the bone has not ossified."""
        return np.where(np.array(self.present)[WRIST.membership, None], super().landmarks, np.nan)

    @cached_property
    def case(self) -> Case:
        image = draw(
            self.maps, self.child, self.size, self._random(1), self._random(2), self.looks, self._streams, self.randomisation
        )
        metadata = {
            "split": "train" if 3 * self.index % 5 < 3 else "test",
            "stratum": age_band(self.child.age),
            "patient": f"child{self.index:04d}",
            "age_months": self.age_months,
            "bone_age_months": self.bone_age_months,
            "laterality": self.laterality,
            "mm_per_pixel": round(self.mm_per_pixel, 4),
            **{name: round(value, 3) for name, value in asdict(self.physiology).items()},
        }
        return Case(f"wrist{self.index:04d}", image, self.landmarks, WRIST, metadata=metadata)  # the real set has no spacing, too


def wrist_phantom(
    n: int,
    size: Size = (384, 224),
    seed: int = 0,
    looks: Looks = NO_LOOKS,
    randomisation: WristRandomisation = NO_WRIST_RANDOMISATION,
) -> CaseSet:
    """A data set of `n` wrist phantoms of `size` = (H, W) pixels; 60 % are marked train, the others test.

    Case i is the same anatomy for every `n` and every `size`. Metadata: split, stratum (age band), patient, age_months,
    bone_age_months, laterality, mm_per_pixel and the parameters of `Physiology`.
    looks, randomisation: see `WristPhantom`; with any of them it is called "randomised wrist phantom".
    """
    cases = (WristPhantom(seed, i, size, looks=looks, randomisation=randomisation).case for i in range(n))
    return phantom_set(WRIST, cases, seed, (looks, randomisation) != (NO_LOOKS, NO_WRIST_RANDOMISATION))
