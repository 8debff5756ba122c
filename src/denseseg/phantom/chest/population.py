"""Who a chest phantom is: the physiology, and the invertible maps that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from denseseg.anatomy import CHEST
from denseseg.phantom.warps import Affine, Chain, Coupling, Wave, smooth_variation

RIGHT_LUNG, LEFT_LUNG, HEART, RIGHT_CLAVICLE, LEFT_CLAVICLE = range(len(CHEST))


@dataclass(frozen=True)
class Physiology:
    """What varies from one phantom to the next, besides smooth individual variation.

    Numbers are in standard deviations of the population, 0 for the average, except `sex` ("female" or "male").

    build: wide (+) or narrow (-); height: tall (+) or short (-); breathing: inspiration (+) or expiration (-);
    heart: size of the heart; shrug: shoulders raised (+); rotation: of the patient before the film; tilt: of the spine;
    tissue: thickness of the soft tissues.
    """

    sex: str
    build: float
    height: float
    breathing: float
    heart: float
    shrug: float
    rotation: float
    tilt: float
    tissue: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Physiology:
        """Independent draws, truncated at 2.5 standard deviations."""
        sex = "female" if rng.random() < 0.5 else "male"
        numbers = np.clip(rng.normal(size=len(fields(cls)) - 1), -2.5, 2.5)
        return cls(sex, *map(float, numbers))


def _body(who: Physiology, rng: np.random.Generator) -> Chain:
    """Canonical body -> field: build, spine, individual variation, posture."""
    wide, tall = np.exp(0.075 * who.build), np.exp(0.065 * who.height)
    lean = Coupling(0, shift=Wave(sines=((0.9 * who.tilt, 1 / 110, rng.uniform(0, 2 * np.pi)),)))
    build = Affine.of((wide, tall), centre=(50, 40))
    shift = (1.6 * rng.normal(), 2.6 * np.clip(rng.normal(), -2.5, 2.5) + 1.5)
    posture = Affine.of(degrees=1.3 * who.tilt, centre=(50, 40), shift=shift)
    return Chain((build, lean, smooth_variation(rng, (50, 40), 0.025, 0.7, 90), posture))


def _heart(who: Physiology, rng: np.random.Generator) -> Chain:
    """Canonical heart -> canonical body: size, and a hanging (inspiration) or lying (expiration) axis."""
    size = 1 + 0.085 * who.heart
    scale = (size * np.exp(-0.03 * who.breathing), np.sqrt(size) * np.exp(0.03 * who.breathing))
    degrees = 3.0 * who.breathing + 2.5 * rng.normal()
    shift = (0.8 * who.rotation, 2.4 * who.breathing + 1.2 * rng.normal())
    place = Affine.of(scale, degrees, (50, 62), shift)
    return Chain((smooth_variation(rng, (56, 60), 0.04, 0.6, 45), place))


def _lung(who: Physiology, rng: np.random.Generator, right: bool, heart: Chain) -> Chain:
    """Canonical lung -> canonical body: individual form, room for the heart, then depth of breath."""
    wall, border, level = (12.0, 39.0, 60.0) if right else (88.0, 72.0, 60.0)
    moved, _ = heart.forward(np.array([border]), np.array([level]))
    room = float(np.log(np.clip((wall - moved[0]) / (wall - border), 0.7, 1.4)))
    beside_heart = Coupling(0, Wave(bumps=((room, level, 13.0),)), pivot=wall)
    apex = Coupling(0, Wave(bumps=((0.07 * rng.normal(), 8.0, 16.0),)), pivot=40.0 if right else 60.0)
    # the dome rises towards the middle by more or less: y is scaled by an amount that depends on x
    dome = Wave(0.085 * who.breathing + 0.025 * rng.normal(), bumps=((0.02 * rng.normal(), 30 if right else 70, 10),))
    breath = Coupling(1, dome, Wave(-0.6 * who.breathing), pivot=8.0)
    return Chain((smooth_variation(rng, (30 if right else 70, 40), 0.03, 0.8, 55), apex, beside_heart, breath))


def _shoulder(who: Physiology, rng: np.random.Generator, right: bool) -> Affine:
    """Canonical shoulder -> canonical body: clavicle and shoulder blade turn about the sternal end and ride on the breath."""
    side = 1 if right else -1
    scale = (1 + 0.07 * rng.normal(), 1 + 0.05 * rng.normal())
    degrees = side * (5.0 * who.shrug + 2.5 * rng.normal())
    shift = (1.2 * who.rotation + 0.5 * rng.normal(), -1.6 * who.breathing - 0.8 * who.shrug + 0.8 * rng.normal())
    return Affine.of(scale, degrees, (45 if right else 55, 18), shift)


def _clavicle(rng: np.random.Generator, right: bool) -> Chain:
    """Canonical clavicle -> canonical shoulder: bow and thickness."""
    bow = Coupling(1, shift=Wave.random(rng, 0.9, 28))
    thick = Coupling(1, Wave(0.10 * rng.normal()), pivot=16.0)
    return Chain((thick, smooth_variation(rng, (34 if right else 66, 16), 0.03, 0.3, 25), bow))


@dataclass(frozen=True)
class Parts:
    """The maps of one phantom before they are put together, each from a canonical frame into the frame that carries it.

    body: canonical body -> field. lungs (right, left), heart and shoulders (right, left): into the canonical body.
    clavicles (right, left): into the canonical shoulder.
    """

    body: Chain
    heart: Chain
    lungs: tuple[Chain, Chain]
    shoulders: tuple[Chain, Chain]
    clavicles: tuple[Chain, Chain]

    @classmethod
    def random(cls, who: Physiology, rng: np.random.Generator) -> Parts:
        body, heart = _body(who, rng), _heart(who, rng)
        lungs = (_lung(who, rng, True, heart), _lung(who, rng, False, heart))
        shoulders = (Chain((_shoulder(who, rng, True),)), Chain((_shoulder(who, rng, False),)))
        return cls(body, heart, lungs, shoulders, (_clavicle(rng, True), _clavicle(rng, False)))


@dataclass(frozen=True)
class Maps:
    """Where everything of one phantom is: maps from canonical frames into the field (both in hundredths of the field).

    girdle: of the shoulders (right, left), into the canonical body only.
    """

    body: Chain
    shoulders: tuple[Chain, Chain]
    structures: tuple[Chain, ...]
    girdle: tuple[Chain, Chain]

    @classmethod
    def random(cls, who: Physiology, rng: np.random.Generator) -> Maps:
        return cls.of(Parts.random(who, rng))

    @classmethod
    def of(cls, parts: Parts) -> Maps:
        right, left = (shoulder.then(parts.body) for shoulder in parts.shoulders)
        within = [part.then(parts.body) for part in (*parts.lungs, parts.heart)]
        clavicles = [clavicle.then(shoulder) for clavicle, shoulder in zip(parts.clavicles, (right, left), strict=True)]
        return cls(parts.body, (right, left), (*within, *clavicles), parts.shoulders)
