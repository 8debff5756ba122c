"""Chest phantoms made for transfer: anatomy and tissues varied far beyond the population, with the truth as exact as ever.

Domain randomisation in the manner of SynthSeg (Billot et al., Medical Image Analysis 86, 2023, 102789), between the population and
the drawing: every change of anatomy is one more invertible map in the chain of a structure, so landmarks, masks and correspondence
follow it exactly. Each switch has random numbers of its own: switching one off leaves what the others draw as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from denseseg.errors import checked
from denseseg.phantom.chest.annotated import annotated_outlines
from denseseg.phantom.chest.population import Parts, Physiology
from denseseg.phantom.chest.shapes import chest_outlines
from denseseg.phantom.looks import Chance, Spread, Streams, normal
from denseseg.phantom.outlines import ShapeOutline
from denseseg.phantom.warps import Affine, Chain, Coupling, Table, Wave, smooth_variation

APEX_LEVEL, MIDDLE = 8.0, 50.0
Pairs = tuple[Chain, Chain]


@checked
class Randomisation:
    """How far anatomy and tissues may go beyond the default phantom; zero (False) is the default phantom. None may be negative.

    annotated: outlines as people draw them (`chest/annotated.py`): the inner borders of the lungs are those of the heart, the lungs
    end where the heart ends, and a clavicle is cut where it leaves the rib cage.
    population: by how much the spread of `Physiology` grows (1: twice as wide).
    Standard deviations, 1 for clearly visible and still plausible: lungs (form, and the slant of the chest wall), heart (size, form
    and place), diaphragm (higher or lower, each side for itself), clavicles (angle, height, length and thickness), shoulders (place
    and turn of the blades, arms), girth (of the trunk, and where the armpits lie), breasts (their size), ribs (their slope).
    neck: how much higher the skin beside the neck may lie, 1 for up to 8 hundredths of the field.
    size, tissues: standard deviations of the logarithm of how large the patient is shown, and of each tissue's contrast.
    Uniform in +-: rotation, of the whole patient in degrees; shift, in hundredths of the field; turn, of the patient about his long
    axis, in hundredths by which what lies in front moves; tilt, forwards or backwards, in hundredths by which the clavicles rise or
    fall before the lungs.
    Chances: child, of a child's proportions; framed, that a patient whose lungs stick out of the picture is shown smaller and
    shifted until they do not; and for each lung consolidation, effusion (which hides the costophrenic angle), nodules.
    hidden: how much of the heart's upper and lower end cannot be seen, at most.
    Raises DataError where a value is out of its bounds.
    """

    annotated: bool = False
    population: Spread = 0.0
    lungs: Spread = 0.0
    heart: Spread = 0.0
    diaphragm: Spread = 0.0
    clavicles: Spread = 0.0
    shoulders: Spread = 0.0
    size: Spread = 0.0
    rotation: Spread = 0.0
    shift: Spread = 0.0
    turn: Spread = 0.0
    tilt: Spread = 0.0
    child: Chance = 0.0
    framed: Chance = 0.0
    girth: Spread = 0.0
    neck: Spread = 0.0
    breasts: Spread = 0.0
    tissues: Spread = 0.0
    ribs: Spread = 0.0
    hidden: Chance = 0.0
    consolidation: Chance = 0.0
    effusion: Chance = 0.0
    nodules: Chance = 0.0


NO_RANDOMISATION = Randomisation()
TRANSFER = Randomisation(
    annotated=True, population=0.4, lungs=1.0, heart=1.0, diaphragm=1.0, clavicles=1.0, shoulders=1.0,
    size=0.1, rotation=6.0, shift=4.0, turn=3.0, tilt=3.0, child=0.1, framed=0.85,
    girth=1.0, neck=1.0, breasts=1.0, tissues=0.3, ribs=1.0, hidden=1.0,
    consolidation=0.12, effusion=0.08, nodules=0.12,
)  # fmt: skip


# Logarithms of each tissue's contrast, in units of the switch `tissues`: middle and standard deviation. Bones and vessels of the
# default phantom are clearer, and the lung behind its heart and the shoulders fainter, than on most films, by judgement.
CONTRASTS = {
    "air": (0.0, 0.4), "rim": (-2.0, 2.0), "ribs": (-1.5, 2.0), "vessels": (-1.0, 2.0), "hila": (-1.5, 2.0), "heart": (0.0, 1.0),
    "behind": (1.5, 2.0), "airways": (0.0, 1.0), "spine": (0.5, 1.5), "shoulders": (1.5, 1.5), "clavicles": (-1.0, 1.5),
    "breasts": (0.5, 1.5), "gas": (1.2, 1.2), "softness": (-2.0, 1.5),
}  # fmt: skip


@dataclass(frozen=True)
class Tissues:
    """How one phantom's tissues show. Factors of their contrast, 1 in the default phantom, and:

    behind: of the lung behind the heart. gas: size of the stomach's bubble; gas_place: by how much it lies
    elsewhere, in hundredths. softness: width of the lungs' edges.
    slope: how far from heart and diaphragm a lung has its full depth, in hundredths. overlap: how far beyond the outline, in
    hundredths, air is seen towards heart and diaphragm, where people outline the dark; at wall and apex, where they outline the
    rib cage, it ends that much within. abdomen: what is added to the attenuation below the diaphragm.
    heart_ends: how much of the heart's upper and lower end is seen. breast_size: a factor. rib_slope: added to the ribs' slope.
    girth: a factor of the trunk's width, which is never narrower than the lungs need (None: the default silhouette, whatever the
    lungs); axilla: how much lower the armpits lie, in hundredths. neck: how much higher the skin beside the neck, in hundredths.
    """

    air: float = 1.0
    rim: float = 1.0
    ribs: float = 1.0
    vessels: float = 1.0
    hila: float = 1.0
    heart: float = 1.0
    behind: float = 1.0
    airways: float = 1.0
    spine: float = 1.0
    shoulders: float = 1.0
    clavicles: float = 1.0
    breasts: float = 1.0
    gas: float = 1.0
    gas_place: tuple[float, float] = (0.0, 0.0)
    softness: float = 1.0
    slope: float = 5.0
    overlap: float = 0.0
    abdomen: float = 0.0
    heart_ends: float = 1.0
    breast_size: float = 1.0
    rib_slope: float = 0.0
    girth: float | None = None
    axilla: float = 0.0
    neck: float = 0.0

    @classmethod
    def random(cls, settings: Randomisation, random: Streams) -> Tissues:
        rng = random("tissues")
        factors = {
            name: float(np.exp(settings.tissues * (middle + spread * normal(rng)))) for name, (middle, spread) in CONTRASTS.items()
        }
        girth, gas = random("girth"), random("gas")
        if settings == NO_RANDOMISATION:
            return cls()
        return cls(
            **factors,
            gas_place=(13 * settings.tissues * normal(gas), 5 * settings.tissues * normal(gas)),
            slope=5 * float(np.exp(settings.tissues * (-4 + 1.5 * normal(rng)))),
            overlap=1.4 + 0.4 * normal(random("overlap")) if settings.annotated else 0.0,
            abdomen=settings.tissues * float(rng.random()),
            heart_ends=1 - settings.hidden * float(random("hidden").random()),
            breast_size=float(np.exp(0.3 * settings.breasts * normal(random("breasts")))),
            rib_slope=0.06 * settings.ribs * normal(random("ribs")),
            girth=float(np.exp(0.1 * settings.girth * normal(girth))),
            axilla=6 * settings.girth * normal(girth),
            neck=8 * settings.neck * float(random("neck").random()),
        )


def outlines_of(settings: Randomisation) -> tuple[ShapeOutline, ...]:
    """The canonical outlines, in the order of `CHEST`."""
    return annotated_outlines() if settings.annotated else chest_outlines()


def widened(who: Physiology, settings: Randomisation) -> Physiology:
    """The same patient, further from the average."""
    factor = 1 + settings.population
    return Physiology(who.sex, *(factor * getattr(who, field.name) for field in fields(who)[1:]))


def varied(parts: Parts, settings: Randomisation, random: Streams) -> Parts:
    """The parts of a phantom, each with what the settings add to its map; the very same parts where they add nothing."""
    if settings == NO_RANDOMISATION:
        return parts
    lower = 3.5 * settings.diaphragm * normal(random("diaphragm"))  # hundredths, + is down
    parts = replace(
        parts,
        heart=_heart(parts.heart, lower, settings, random),
        lungs=_lungs(parts.lungs, lower, settings, random),
        shoulders=_shoulders(parts.shoulders, settings, random),
        clavicles=_clavicles(parts.clavicles, settings, random),
        body=_body(parts.body, settings, random),
    )
    if settings.annotated:
        parts = _fitted(parts, random("cut"))
    return _framed(parts, outlines_of(settings)) if random("framed").random() < settings.framed else parts


def _youth(settings: Randomisation, random: Streams) -> float:
    """0 for an adult, up to 1 for a small child."""
    rng = random("child")
    return float(rng.uniform(0.3, 1)) if rng.random() < settings.child else 0.0


def _pair(chains: Iterable[Chain]) -> Pairs:
    right, left = chains
    return right, left


# ---- each part ---------------------------------------------------------------------------------------------------------


def _body(body: Chain, settings: Randomisation, random: Streams) -> Chain:
    """How large the patient is shown, and how he stands; a child is shorter and wider for its height."""
    size, shift, young = settings.size * normal(random("size")), random("shift").uniform(-1, 1, 2), _youth(settings, random)
    scale = float(np.exp(size - 0.1 * young)), float(np.exp(size - 0.22 * young))
    degrees = settings.rotation * random("rotation").uniform(-1, 1)
    x, y = settings.shift * shift
    return body.then(Chain((Affine.of(scale, float(degrees), (50, 45), (float(x), float(y))),)))


def _framed(parts: Parts, outlines: Sequence[ShapeOutline]) -> Parts:
    """The patient shown smaller, if need be, and shifted so that the lungs lie in the picture, with a small margin."""
    lungs = np.concatenate(
        [_placed(outline, lung.then(parts.body)) for outline, lung in zip(outlines[:2], parts.lungs, strict=True)]
    )
    low, high = lungs.min(0), lungs.max(0)
    factor = float(min(1.0, 96 / (high - low).max()))
    middle = (low + high) / 2
    half = factor * (high - low) / 2 + 2
    x, y = np.clip(middle, half, 100 - half) - middle
    shown = Affine.of((factor, factor), centre=(float(middle[0]), float(middle[1])), shift=(float(x), float(y)))
    return replace(parts, body=parts.body.then(Chain((shown,))))


def _heart(heart: Chain, lower: float, settings: Randomisation, random: Streams) -> Chain:
    rng, young, turn = random("heart"), _youth(settings, random), settings.turn * float(random("turn").uniform(-1, 1))
    form = smooth_variation(rng, (56, 60), 0.05 * settings.heart, 0.8 * settings.heart, 45)
    large = settings.heart * normal(rng)
    wide, tall = np.exp(0.09 * large + 0.04 * settings.heart * normal(rng) + 0.12 * young), np.exp(0.05 * large + 0.04 * young)
    place = settings.heart * 1.5 * normal(rng) + 0.6 * turn, lower
    grown = Affine.of((float(wide), float(tall)), 4 * settings.heart * normal(rng), (54, 70), place)
    return Chain((*form.warps, *heart.warps, grown))


def _lungs(lungs: Pairs, lower: float, settings: Randomisation, random: Streams) -> Pairs:
    rng, sides = random("lungs"), random("diaphragm sides")
    changed = []
    for right, lung in zip((True, False), lungs, strict=True):
        form = smooth_variation(rng, (30 if right else 70, 40), 0.05 * settings.lungs, 1.0 * settings.lungs, 80)
        slant = Wave(bumps=((0.07 * settings.lungs * normal(rng), 30.0, 14.0), (0.05 * settings.lungs * normal(rng), 75.0, 14.0)))
        wall = Coupling(0, slant, pivot=45.0 if right else 55.0)
        one_side = 1.5 * settings.diaphragm * normal(sides)
        longer = float(np.log(np.clip((62 + lower + one_side) / 62, 0.6, 1.4)))
        changed.append(Chain((*form.warps, *lung.warps, wall, Coupling(1, Wave(longer), pivot=APEX_LEVEL))))
    return _pair(changed)


def _shoulders(shoulders: Pairs, settings: Randomisation, random: Streams) -> Pairs:
    """Clavicles, blades and arms: the first go with tilt and turn, all of them with how the arms are held."""
    rng = random("shoulders")
    turn, tilt = 1.2 * settings.turn * random("turn").uniform(-1, 1), settings.tilt * random("tilt").uniform(-1, 1)
    changed = []
    for right, shoulder in zip((True, False), shoulders, strict=True):
        degrees = 4 * settings.shoulders * normal(rng) * (1 if right else -1)
        shift = (float(turn), float(tilt) + 0.8 * settings.shoulders * normal(rng))
        wide = float(np.exp(0.04 * settings.shoulders * normal(rng)))
        changed.append(shoulder.then(Chain((Affine.of((wide, 1.0), degrees, (45 if right else 55, 18), shift),))))
    return _pair(changed)


def _clavicles(clavicles: Pairs, settings: Randomisation, random: Streams) -> Pairs:
    rng, strength = random("clavicles"), settings.clavicles
    changed = []
    for right, clavicle in zip((True, False), clavicles, strict=True):
        side, end = (1, (44.0, 18.0)) if right else (-1, (56.0, 18.0))
        thick = Coupling(1, Wave(0.12 * strength * normal(rng)), pivot=16.0)
        bow = Coupling(1, shift=Wave(bumps=((0.8 * strength * normal(rng), 34.0 if right else 66.0, 5.0),)))
        scale = float(np.exp(0.06 * strength * normal(rng))), 1.0
        degrees, shift = 4 * side * strength * normal(rng), (0.8 * strength * normal(rng), 0.8 * strength * normal(rng))
        changed.append(Chain((thick, bow, *clavicle.warps, Affine.of(scale, degrees, end, shift))))
    return _pair(changed)


# ---- as people annotate -------------------------------------------------------------------------------------------------


def _placed(outline: ShapeOutline, chain: Chain) -> np.ndarray:
    """(k, 2) the dense outline, ten points a landmark, where the chain puts it."""
    return np.stack(chain.forward(*outline.dense.T), axis=1)


def _fitted(parts: Parts, rng: np.random.Generator) -> Parts:
    """Lungs that lie against the heart, and clavicles that end at the rib cage."""
    right, left, heart, *bones = annotated_outlines()
    sides = _placed(heart, parts.heart)  # ten points a landmark: 0 to 5 is its right border, 18 to 12 the left one, upwards
    lungs = _beside(right, parts.lungs[0], sides[:51], 290, 12.0), _beside(left, parts.lungs[1], sides[180:119:-1], 270, 88.0)
    walls = [_placed(outline, lung)[:160] for outline, lung in zip((right, left), lungs, strict=True)]  # from the apex down
    clavicles = (
        _cut(bone, clavicle, shoulder, wall, rng.uniform(2.0, 5.0))
        for bone, clavicle, shoulder, wall in zip(bones, parts.clavicles, parts.shoulders, walls, strict=True)
    )
    return replace(parts, lungs=lungs, clavicles=_pair(clavicles))


def _beside(outline: ShapeOutline, lung: Chain, border: np.ndarray, corner: int, wall: float) -> Chain:
    """The lung's map, then along so that it ends where the heart's border (k, 2) begins, then across so that it follows it.

    border: from the corner at the diaphragm upwards, in the canonical body. corner: number of that corner among the dense points.
    wall: x of the chest wall, where nothing moves.
    """
    length = (border[0, 1] - APEX_LEVEL) / (_placed(outline, lung)[corner, 1] - APEX_LEVEL)
    lung = lung.then(Chain((Coupling(1, Wave(float(np.log(length))), pivot=APEX_LEVEL),)))
    inner = _placed(outline, lung)[corner : corner + 140]  # from the corner up to beyond the heart
    levels = np.arange(border[:, 1].min() - 14, border[0, 1] + 8)
    room = np.log(np.clip((wall - _at(border, levels)) / (wall - _at(inner, levels)), 0.2, 2.5))
    room[:14] *= np.linspace(0, 1, 14)  # none far above the heart
    return lung.then(Chain((Coupling(0, Table(levels, gaussian_filter1d(room, 1.0, mode="nearest")), pivot=wall),)))


def _at(curve: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """x of a curve (k, 2) that rises steadily, at these levels; beyond its ends, as there."""
    order = np.argsort(curve[:, 1])
    return np.interp(levels, curve[order, 1], curve[order, 0])


def _cut(bone: ShapeOutline, clavicle: Chain, shoulder: Chain, wall: np.ndarray, beyond: float) -> Chain:
    """The clavicle's map, stretched about its sternal end so that it ends where it leaves the rib cage.

    wall: (k, 2) the lung's outer border from the apex down, in the canonical body; the rib cage ends `beyond` it.
    """
    side = np.sign(50 - bone.landmarks[0, 0])  # 1 for the right one
    sternal, lateral = bone.landmarks[9:14].mean(0), bone.landmarks[[0, 22]].mean(0)
    factors = np.linspace(0.6, 1.6, 41)
    along = (sternal - lateral) / np.linalg.norm(sternal - lateral)
    ends = np.stack(clavicle.then(shoulder).forward(*(sternal + (lateral - sternal) * factors[:, None]).T), axis=1)
    gap = side * (ends[:, 0] - _at(wall, ends[:, 1])) + beyond
    factor = float(factors[np.abs(gap).argmin()])
    (a, b), (c, d) = np.eye(2) + (factor - 1) * np.outer(along, along)
    stretch = Affine(((float(a), float(b)), (float(c), float(d))), (float(sternal[0]), float(sternal[1])))
    return Chain((stretch,)).then(clavicle)
