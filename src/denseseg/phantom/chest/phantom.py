"""Synthetic frontal chest radiographs whose dense correspondence is known exactly.

Every structure has a canonical shape (`chest/shapes.py`) and an invertible map from it to the image (`warps`): its own
deformation first (heart size, breathing, clavicle posture, individual variation), then that of the whole body (build,
posture), then the pixel grid. Landmarks are the images of the canonical landmarks, and the radiograph is drawn by looking up
the canonical shapes through the inverse maps, so that texture inside a structure moves with it: what is true at the
landmarks is true at every pixel.

The field of view measures 358.4 mm along the image's shorter side, as in JSRT; the spacing is 358.4 / min(H, W) mm.
Anatomy depends on (seed, index) only, never on the size.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property

import numpy as np

from denseseg.anatomy import CHEST
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.phantom.chest.drawing import develop, draw
from denseseg.phantom.chest.opacities import add_opacities
from denseseg.phantom.chest.population import Maps, Parts, Physiology
from denseseg.phantom.chest.randomisation import NO_RANDOMISATION, Randomisation, Tissues, outlines_of, varied, widened
from denseseg.phantom.looks import NO_LOOKS, Looks, lay_on
from denseseg.phantom.phantom import Phantom, phantom_set

FIELD_MM = 358.4


class ChestPhantom(Phantom):
    """A chest of 166 landmarks; `case` is its radiograph, `physiology` the parameters behind it.

    randomisation, looks: what varies beyond the population and the film of the default phantom (none of it, unless given).
    Raises DataError where the size is smaller than 32 x 32.
    """

    anatomy = CHEST

    def __init__(
        self,
        seed: int,
        index: int,
        size: Size = (256, 256),
        randomisation: Randomisation = NO_RANDOMISATION,
        looks: Looks = NO_LOOKS,
    ):
        if min(size) < 32:
            raise DataError(f"phantom of size {tuple(size)}: give at least 32 x 32 pixels")
        super().__init__(seed, index, size, looks)
        rng = self._random(0)
        self.randomisation = randomisation
        self.physiology = widened(Physiology.random(rng), randomisation)
        self.maps = Maps.of(varied(Parts.random(self.physiology, rng), randomisation, self._streams))
        self.outlines, self.chains = outlines_of(randomisation), self.maps.structures

    @property
    def cardiothoracic_ratio(self) -> float:
        """Greatest width of the heart over the greatest width of the chest (outer lung borders)."""
        heart, right, left = (self.landmarks[CHEST.slices[name]][:, 0] for name in ("heart", "right lung", "left lung"))
        return float(np.ptp(heart) / (left.max() - right.min()))

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W) float32 in [0, 1], the radiograph."""
        tissues = Tissues.random(self.randomisation, self._streams)
        canvas = draw(self.maps, self.outlines, self.physiology, tissues, self.size, self._random(1))
        for side in (0, 1):
            add_opacities(canvas, self.maps.structures[side], self.outlines[side], side, self.randomisation, self._streams)
        lay_on(canvas, self.looks, self._streams)
        return develop(canvas, self.physiology, self.looks, self._random(2), self._streams)

    @cached_property
    def case(self) -> Case:
        parameters = {k: v if isinstance(v, str) else round(v, 3) for k, v in asdict(self.physiology).items()}
        split = "train" if 13 * self.index % 20 < 13 else "test"
        metadata = {"split": split, "stratum": self.physiology.sex, "ctr": round(self.cardiothoracic_ratio, 3), **parameters}
        spacing = FIELD_MM / min(self.size)
        return Case(f"chest{self.index:04d}", self.image, self.landmarks, CHEST, spacing=spacing, metadata=metadata)


def chest_phantom(
    n: int,
    size: Size = (256, 256),
    seed: int = 0,
    randomisation: Randomisation = NO_RANDOMISATION,
    looks: Looks = NO_LOOKS,
) -> CaseSet:
    """A data set of `n` chest phantoms of `size` = (H, W) pixels; 65 % are marked train, the others test.

    Case i is the same anatomy for every `n` and every `size`. Metadata: split, stratum (the sex), ctr (cardiothoracic ratio)
    and the parameters of `Physiology`. randomisation, looks: see `ChestPhantom`; with any of them it is called
    "randomised chest phantom".
    """
    cases = (ChestPhantom(seed, i, size, randomisation, looks).case for i in range(n))
    randomised = (randomisation, looks) != (NO_RANDOMISATION, NO_LOOKS)
    return phantom_set(CHEST, cases, seed, randomised)
