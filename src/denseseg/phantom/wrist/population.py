"""Who a wrist phantom is: age, maturity and physiology, and the invertible maps that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from denseseg.anatomy import WRIST
from denseseg.phantom.outlines import ShapeOutline
from denseseg.phantom.warps import Affine, Chain, Circle, Coupling, Polar, Stretch, Wave, smooth_variation
from denseseg.phantom.wrist import growth
from denseseg.phantom.wrist.shapes import CARPALS, METACARPALS, ORIGIN, PHYSIS, SHAFT_END, Tube, wrist_outlines

LOWER_BORDER = 50 + 50 * 384 / 224  # of the image, in field units
CAP_ANCHORS = {
    "epiphysis of radius": (ORIGIN[0] + 10, ORIGIN[1] + PHYSIS),
    "epiphysis of ulna": (ORIGIN[0] - 18, ORIGIN[1] + PHYSIS),
}


@dataclass(frozen=True)
class Physiology:
    """What varies from one phantom to the next besides the age, the onset of ossification and smooth individual variation.

    Numbers are in standard deviations of the population, 0 for the average.

    tempo: early (+) or late (-) maturity, 9 months each; stature: tall (+) or short (-), 5 % each; slimness: narrow (+) or stout
    (-) bones; deviation: of the hand towards the thumb (+) or the little finger (-); spread: fingers apart (+) or together (-);
    thumb: held away (+); rotation: of the forearm, ulna towards the radius (+); density: of the bones; tissue: thickness of the
    soft tissues.
    """

    tempo: float
    stature: float
    slimness: float
    deviation: float
    spread: float
    thumb: float
    rotation: float
    density: float
    tissue: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Physiology:
        """Independent draws, truncated at 2.5 standard deviations."""
        return cls(*map(float, growth.truncated_normal(rng, len(fields(cls)))))


@dataclass(frozen=True)
class Child:
    """Age and bone age in years, the bone age at which each structure ossifies, and the physiology."""

    age: float
    bone_age: float
    onsets: tuple[float, ...]
    who: Physiology

    @classmethod
    def random(cls, rng: np.random.Generator) -> Child:
        who = Physiology.random(rng)
        age = rng.uniform(*growth.AGES)
        return cls(age / 12, (age + growth.TEMPO_SD * who.tempo) / 12, tuple(growth.onsets(rng)), who)

    def onset(self, name: str) -> float:
        return self.onsets[WRIST.index(name)]

    @property
    def present(self) -> tuple[bool, ...]:
        """Whether each structure has ossified."""
        names = zip(WRIST.names, self.onsets, strict=True)
        return tuple(name in growth.FIRST_YEAR or self.bone_age > onset for name, onset in names)

    @property
    def length(self) -> float:
        """Length of the hand over that of the average mature one."""
        return float(growth.body_scale(self.bone_age) * np.exp(0.05 * self.who.stature))

    @property
    def youth(self) -> float:
        """Immaturity of the metacarpals: from 1 in the first year to 0 at 14 years."""
        return 1 - growth.ease((self.bone_age - 1) / 13)

    @property
    def deviation(self) -> float:
        """Turn of the hand in degrees, clockwise on the screen; the carpal rows follow in part."""
        return 6.0 * self.who.deviation


def _centre(outline: ShapeOutline) -> tuple[float, float]:
    """Centre of the enclosed area."""
    here, there = outline.dense, np.roll(outline.dense, -1, axis=0)
    twice = here[:, 0] * there[:, 1] - there[:, 0] * here[:, 1]
    x, y = twice @ (here + there) / (3 * twice.sum())
    return float(x), float(y)


def _rounding(outline: ShapeOutline, amount: float, rng: np.random.Generator) -> Chain:
    """Turn an outline into an ellipse of its proportions (`amount` 1) or leave it (0), and give it an individual form.

    Scaled to a square, its logarithmic radius, a function of the angle about the centre, loses the share `amount` of its deviation
    from the mean. The outline must be star-shaped about its centre.
    """
    centre, (width, height) = _centre(outline), np.ptp(outline.dense, axis=0)
    oblong = float(np.sqrt(width / height))
    square, back = (Affine.of((1 / factor, factor), centre=centre) for factor in (oblong, 1 / oblong))
    x, y = np.subtract(np.stack(square.forward(*outline.dense.T), 1), centre).T
    angle, radius = np.arctan2(y, x), np.log(np.hypot(x, y))
    order, at = np.argsort(angle), Circle.angles(720)
    form = np.interp(at, angle[order], radius[order], period=2 * np.pi)
    change = amount * (form.mean() - form)
    for k in range(2, 5):
        change += 0.03 / k * np.clip(rng.normal(), -2, 2) * np.sin(k * at + rng.uniform(0, 2 * np.pi))
    return Chain((square, Polar(centre, Circle(change)), back))


def _carpal(child: Child, name: str, outline: ShapeOutline, rng: np.random.Generator) -> Chain:
    """Canonical carpal bone -> canonical hand: from a small disc to the mature form, turned with the hand."""
    onset, distal = child.onset(name), name in ("capitate", "hamate", "trapezium", "trapezoid")
    rounding = _rounding(outline, 1 - growth.form(child.bone_age, onset), rng)
    size = growth.nucleus_scale(child.bone_age, onset) / growth.body_scale(child.bone_age) * np.exp(0.03 * rng.normal())
    turn, shift = 4.0 * np.clip(rng.normal(), -2, 2), (0.4 * rng.normal(), 0.4 * rng.normal())
    own = Affine.of((size, size), turn, _centre(outline), shift)
    row = Affine.of(degrees=child.deviation * (0.6 if distal else 0.3), centre=ORIGIN)
    return Chain((rounding, own, row))


def _tube(child: Child, tube: Tube, rng: np.random.Generator) -> Chain:
    """A metacarpal bone about its own axis: slimness, bow, a narrow epiphysis while young."""
    foot, middle = tube.root, tube.root[1] - 0.5 * tube.length
    epiphysis = tube.plate - 4.0 if tube.plate < 0.5 * tube.length else tube.plate + 5.0
    width = Wave(
        -0.06 * child.who.slimness + 0.03 * rng.normal(),
        bumps=((-0.38 * child.youth, foot[1] - epiphysis, 4.5), (0.05 * rng.normal(), middle, 0.25 * tube.length)),
    )
    bow = Wave(bumps=((0.8 * rng.normal(), middle, 0.3 * tube.length),))
    turn, back = (Affine.of(degrees=degrees, centre=foot) for degrees in (-tube.degrees, tube.degrees))
    return Chain((turn, Coupling(0, width, bow, pivot=foot[0]), back))


def _finger(child: Child, number: int, rng: np.random.Generator) -> Chain:
    """Canonical finger `number` (0: thumb) with its metacarpal -> canonical hand: length, spread about the root, deviation."""
    tube = METACARPALS[number]
    long = float(np.exp(0.025 * rng.normal()) * (1 - 0.05 * child.youth))
    posture = 4.0 * child.who.thumb if number == 0 else -1.5 * (number - 2) * child.who.spread
    spread = posture + 1.2 * float(np.clip(rng.normal(), -2, 2))
    return Chain((
        Affine.of(degrees=-tube.degrees, centre=tube.root),
        Affine.of((1.0, long), tube.degrees + spread, tube.root),
        Affine.of(degrees=child.deviation, centre=ORIGIN),
    ))  # fmt: skip


def _cap(child: Child, name: str, outline: ShapeOutline, anchor: tuple[float, float], rng: np.random.Generator) -> Chain:
    """Canonical epiphysis -> the canonical frame of its shaft: from a disc to a cap, beyond the growth plate."""
    onset = child.onset(name)
    width = growth.epiphysis_width(child.bone_age, onset)
    rounding = _rounding(outline, 1 - growth.ease((child.bone_age - onset) / 10), rng)
    thick = float(np.clip(width + 0.1 * rng.normal() * (1 - width), 0.3, 1.0))
    gap = growth.plate_gap(child.bone_age) / growth.body_scale(child.bone_age)
    return Chain((rounding, Affine.of((width, thick), centre=anchor, shift=(0.0, -gap))))


def _hand(child: Child, rng: np.random.Generator) -> tuple[Chain, float]:
    """Canonical hand -> field, and the zoom in field units per mm: how large the hand is, and how it lies before the film.

    Small hands are shown larger, but less so than they are small. One image in five shows a smaller section.
    """
    zoom = 0.87 * child.length**-0.6 * np.exp(0.06 * np.clip(rng.normal(), -2, 2))
    closer = rng.uniform(1.1, 1.35)
    zoom = float(zoom * (closer if rng.random() < 0.2 else 1.0))
    scale = zoom * child.length
    shift = np.array([6 - 7 * scale, -2 + 20 * (0.87 - scale)]) + np.clip(rng.normal(size=2), -2, 2) * [2.5, 4.5]
    place = Affine.of((scale, scale), rng.uniform(-8, 8), ORIGIN, (float(shift[0]), float(shift[1])))
    return Chain((*smooth_variation(rng, ORIGIN, 0.02, 0.6, 120).warps, place)), zoom


def _shaft(child: Child, name: str, hand: Chain, border: float | None, rng: np.random.Generator) -> Chain:
    """Canonical radius or ulna -> canonical hand: slimness, individual form, and the shaft stretched beyond the lower border."""
    middle, side = (ORIGIN[0] + 7, -0.3) if name == "radius" else (ORIGIN[0] - 18, 1.0)
    slim = Affine.of((float(np.exp(-0.05 * child.who.slimness + 0.03 * rng.normal())), 1.0), centre=(middle, 0))
    form = smooth_variation(rng, (middle, ORIGIN[1] + PHYSIS), 0.03, 0.4, 90)
    turned = Affine.of(shift=(1.3 * side * child.who.rotation, 0.8 * rng.normal()))
    if border is None:
        return Chain((slim, *form.warps, turned))
    knee, end = ORIGIN[1] + PHYSIS + 22, ORIGIN[1] + SHAFT_END
    rest = Chain((turned, *hand.warps))
    _, (top, bottom) = rest.forward(np.array([middle, middle]), np.array([knee, end]))
    factor = (border + rng.uniform(4.5, 10.5) - top) / (bottom - top)
    return Chain((slim, *form.warps, Stretch(knee, float(factor), 8.0), turned))


@dataclass(frozen=True)
class Maps:
    """Where everything of one phantom is, in hundredths of the field's width.

    hand: from the canonical hand into the field; structures: of each labelled structure, from its canonical frame into the field.
    fingers: of each finger with its metacarpal, from the canonical hand to where it lies in it, before `hand`.
    zoom: field units per mm.
    """

    hand: Chain
    fingers: tuple[Chain, ...]
    structures: tuple[Chain, ...]
    zoom: float

    @classmethod
    def random(cls, child: Child, rng: np.random.Generator) -> Maps:
        return cls.within(child, *_hand(child, rng), LOWER_BORDER, rng)

    @classmethod
    def within(cls, child: Child, hand: Chain, zoom: float, border: float | None, rng: np.random.Generator) -> Maps:
        """The maps of a hand that `hand` puts in place; its shafts are stretched beyond the lower border if one is given."""
        outlines = dict(zip(WRIST.names, wrist_outlines(), strict=True))
        shafts = {name: _shaft(child, name, hand, border, rng) for name in ("radius", "ulna")}
        fingers = [_finger(child, number, rng) for number in range(5)]
        local: dict[str, list[Chain]] = {name: [shaft] for name, shaft in shafts.items()}
        for name, anchor in CAP_ANCHORS.items():
            local[name] = [_cap(child, name, outlines[name], anchor, rng), shafts[name.removeprefix("epiphysis of ")]]
        for number, tube in enumerate(METACARPALS):
            local[f"metacarpal {number + 1}"] = [_tube(child, tube, rng), fingers[number]]
        for name in CARPALS:
            local[name] = [_carpal(child, name, outlines[name], rng)]
        chains = {name: Chain(tuple(warp for part in (*parts, hand) for warp in part.warps)) for name, parts in local.items()}
        return cls(hand, tuple(fingers), tuple(chains[name] for name in WRIST.names), zoom)

    def then(self, rest: Chain, zoom: float) -> Maps:
        """The maps followed by another one of the whole field, which makes the zoom what is given."""
        return Maps(self.hand.then(rest), self.fingers, tuple(chain.then(rest) for chain in self.structures), zoom)
