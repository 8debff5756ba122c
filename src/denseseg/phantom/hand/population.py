"""Who a hand phantom is, and the invertible maps of its bones: those of a wrist phantom, bent fingers, another field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denseseg.anatomy import WRIST
from denseseg.phantom.hand.shapes import FINGERS, MARKS, phalanx
from denseseg.phantom.warps import Affine, Chain, smooth_variation
from denseseg.phantom.wrist.population import Child, Maps
from denseseg.phantom.wrist.shapes import ORIGIN

FIELD = (100.0, 400 / 3)  # width and height of the field in its own units; 50, 50 is its middle
BEND = 3.0  # degrees, standard deviation at each joint of a finger, sideways
MARGINS = np.array([(5.0, 12.0), (6.0, 13.0), (5.0, 12.0), (4.0, 14.0)])  # left, top, right, bottom of the landmarks


def draw_child(rng: np.random.Generator) -> Child:
    """A child all of whose bones with a landmark have ossified: in a younger one nobody could see where some landmarks are."""
    while True:
        child = Child.random(rng)
        if all(there or name == "pisiform" for name, there in zip(WRIST.names, child.present, strict=True)):
            return child


@dataclass(frozen=True)
class HandMaps:
    """Where everything of one phantom is, in hundredths of the field's width.

    bones: as in the wrist phantom. phalanges: of each bone of `FINGERS`, from the canonical hand to where it lies in it.
    """

    bones: Maps
    phalanges: tuple[tuple[Chain, ...], ...]

    @classmethod
    def random(cls, child: Child, rng: np.random.Generator) -> HandMaps:
        turn = Affine.of(degrees=rng.uniform(-10, 10), centre=ORIGIN)
        lying = Chain((*smooth_variation(rng, ORIGIN, 0.02, 0.6, 120).warps, turn))
        maps = Maps.within(child, lying, 1.0, None, rng)
        loose = cls(maps, tuple(_phalanges(number, chain, rng) for number, chain in enumerate(maps.fingers)))
        view = _view(loose.landmarks, rng)
        return cls(maps.then(Chain((view,)), view.matrix[0][0] / child.length), loose.phalanges)

    @property
    def chains(self) -> tuple[Chain, ...]:
        """(37,) the map of the bone that each landmark belongs to, from the canonical hand into the field."""
        named = dict(zip(WRIST.names, self.bones.structures, strict=True))
        for f, finger in enumerate(self.phalanges):
            named |= {phalanx(f, n): chain.then(self.bones.hand) for n, chain in enumerate(finger)}
        return tuple(named[bone] for bone, _ in MARKS)

    @property
    def landmarks(self) -> np.ndarray:
        """(37, 2) the marked places in the field."""
        return np.array([chain.forward(*np.array(place)) for chain, (_, place) in zip(self.chains, MARKS, strict=True)])


def _phalanges(number: int, finger: Chain, rng: np.random.Generator) -> tuple[Chain, ...]:
    """The maps of a finger's phalanges within the hand: each is turned about its own foot, then goes along with those before it."""
    bends: tuple[Affine, ...] = ()
    chains = []
    for bone in FINGERS[number]:
        bends = (Affine.of(degrees=BEND * float(np.clip(rng.normal(), -2, 2)), centre=bone.root), *bends)
        chains.append(Chain(bends).then(finger))
    return tuple(chains)


def _view(landmarks: np.ndarray, rng: np.random.Generator) -> Affine:
    """Scale and shift that make (37, 2) landmarks fill the field up to random margins: images of the real atlas are cropped so."""
    left, top, right, bottom = rng.uniform(*MARGINS.T)
    low, size = landmarks.min(0), np.ptp(landmarks, axis=0)
    room = np.array(FIELD) - (left + right, top + bottom)
    scale = float((room / size).min())
    corner = 50 - np.array(FIELD) / 2 + (left, top) + (room - scale * size) / 2
    shift = corner - low * scale
    return Affine.of((scale, scale), shift=(float(shift[0]), float(shift[1])))
