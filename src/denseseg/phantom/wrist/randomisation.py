"""Wrist phantoms made for transfer: hands varied far beyond the population, with the truth as exact as ever.

As in the chest (`chest/randomisation.py`) every change of anatomy is one more invertible map in the chain of a structure, and each
switch has random numbers of its own. What lies on the hand or becomes of the film is in `looks`.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from denseseg.anatomy import WRIST
from denseseg.errors import checked
from denseseg.phantom.canvas import Canvas, bump, path_distance, rise
from denseseg.phantom.looks import Chance, Spread, Streams, normal
from denseseg.phantom.warps import Affine, Chain
from denseseg.phantom.wrist.growth import GROWN
from denseseg.phantom.wrist.population import LOWER_BORDER, Child, Maps, Physiology
from denseseg.phantom.wrist.shapes import METACARPALS, ORIGIN, wrist_outlines

# Canonical mm by which a bone lies in front of (+, towards the palm) or behind the capitate; rounded, by judgement.
FRONT = {
    "trapezium": 7.0, "trapezoid": 1.0, "scaphoid": 5.0, "lunate": 1.0, "triquetrum": 1.0, "pisiform": 10.0, "hamate": 1.0,
    "metacarpal 1": 10.0, "metacarpal 5": 3.0, "ulna": -4.0,
}  # fmt: skip

TALLEST = 200.0  # field units from the lower border to the end of the longest metacarpal: the image has 171


@checked
class WristRandomisation:
    """How far a hand may go beyond the default phantom; zero is the default phantom. None may be negative.

    population: by how much the spread of `Physiology` grows (1: twice as wide). adult: chance of a grown hand.
    forms: standard deviation of each bone's own size, turn and place, 1 for clearly visible and still plausible.
    size: standard deviation of the logarithm of how large the hand is shown. rotation: of the hand, degrees, uniform in +-.
    shift: of the hand, in hundredths of the field's width, uniform in +-. oblique: standard deviation in degrees of the hand's turn
    about the axis of the forearm: what lies in front moves, and all becomes narrower.
    cast: chance of a plaster cast.
    Raises DataError where a value is out of its bounds.
    """

    population: Spread = 0.0
    adult: Chance = 0.0
    forms: Spread = 0.0
    size: Spread = 0.0
    rotation: Spread = 0.0
    shift: Spread = 0.0
    oblique: Spread = 0.0
    cast: Chance = 0.0


NO_WRIST_RANDOMISATION = WristRandomisation()
WRIST_TRANSFER = WristRandomisation(
    population=0.4, adult=0.2, forms=1.0, size=0.15, rotation=30.0, shift=6.0, oblique=12.0, cast=0.2
)


def widened(child: Child, settings: WristRandomisation, random: Streams) -> Child:
    """The same child, further from the average, or grown up."""
    factor = 1 + settings.population
    child = replace(child, who=Physiology(*(factor * getattr(child.who, field.name) for field in fields(Physiology))))
    rng = random("adult")
    if rng.random() >= settings.adult:
        return child
    age = GROWN + float(rng.uniform(0, 50))
    return replace(child, age=age, bone_age=age)


def varied(maps: Maps, settings: WristRandomisation, random: Streams) -> Maps:
    """The maps of a phantom with what the settings add; the very same where they add nothing."""
    if settings == NO_WRIST_RANDOMISATION:
        return maps
    turn = np.deg2rad(settings.oblique * normal(random("oblique")))
    own = {name: _own(name, float(np.sin(turn)), settings, random) for name in WRIST.names}
    structures = tuple(own[name].then(chain) for name, chain in zip(WRIST.names, maps.structures, strict=True))
    fingers = tuple(own[f"metacarpal {number + 1}"].then(chain) for number, chain in enumerate(maps.fingers))
    own_maps = Maps(maps.hand, fingers, structures, maps.zoom)
    reach = LOWER_BORDER - min(y.min() for y in _heights(own_maps).values())
    place, scale = _shown(float(np.cos(turn)), TALLEST / reach, settings, random)
    shown = own_maps.then(place, maps.zoom * scale)
    ends = _heights(shown)
    lacks = LOWER_BORDER + 1 - min(ends["radius"].max(), ends["ulna"].max())
    return shown.then(Chain((Affine.of(shift=(0.0, max(0.0, float(lacks)))),)), shown.zoom)


def _heights(maps: Maps) -> dict[str, np.ndarray]:
    """The y of each structure's landmarks in the field."""
    outlines = zip(WRIST.names, maps.structures, wrist_outlines(), strict=True)
    return {name: chain.forward(*outline.landmarks.T)[1] for name, chain, outline in outlines}


def _own(name: str, slide: float, settings: WristRandomisation, random: Streams) -> Chain:
    """What is one bone's own, in its canonical frame; a shaft and its epiphysis share it, as do a finger and its metacarpal."""
    bone = name.removeprefix("epiphysis of ")
    rng, long = random(f"form of {bone}"), bone in ("radius", "ulna") or bone.startswith("metacarpal")
    size, degrees, shift = np.exp(0.06 * normal(rng) * settings.forms), normal(rng), (normal(rng), normal(rng))
    if bone.startswith("metacarpal"):
        centre = METACARPALS[int(bone[-1]) - 1].root
    else:
        x, y = wrist_outlines()[WRIST.index(bone)].landmarks.mean(0)
        centre = (float(x), float(y) if not long else ORIGIN[1])
    scale = (float(size), 1.0 if long else float(size))
    place = (0.7 * settings.forms * shift[0] + slide * FRONT.get(bone, 0.0), 0.0 if long else 0.7 * settings.forms * shift[1])
    return Chain((Affine.of(scale, (1.0 if long else 4.0) * settings.forms * degrees, centre, place),))


def _shown(narrow: float, largest: float, settings: WristRandomisation, random: Streams) -> tuple[Chain, float]:
    """Where the whole hand is shown, and by which factor larger, at most `largest`."""
    scale = min(float(np.exp(settings.size * normal(random("size")))), largest)
    degrees = float(settings.rotation * random("rotation").uniform(-1, 1))
    x, y = settings.shift * random("shift").uniform(-1, 1, 2)
    middle = scale * LOWER_BORDER / 2 * np.sin(np.deg2rad(degrees))  # turned about where the arm leaves, and back to the middle
    place = Affine.of((scale * narrow, scale), degrees, (50.0, LOWER_BORDER), (float(x - middle), float(y)))
    return Chain((place,)), scale


def plaster(canvas: Canvas, hand: Chain, settings: WristRandomisation, random: Streams) -> None:
    """A cast round forearm and palm: brighter at its edges, where the rays pass along it, with the folds of its bandage."""
    rng = random("cast")
    if rng.random() >= settings.cast:
        return
    x, y = canvas.frame(hand)
    end = ORIGIN[1] - rng.uniform(5, 30)  # towards the fingers
    axis = np.array([(ORIGIN[0] - 3, ORIGIN[1] + 220), (ORIGIN[0] + 1, ORIGIN[1] + 20), (ORIGIN[0], end)])
    depth = rng.uniform(36, 44) - path_distance(x, y, axis)
    within = rise(depth, 1.5) * rise(y - end - 3 * np.sin(x / rng.uniform(3, 9)), 1.5)
    folds = gaussian_filter(rng.standard_normal(canvas.size).astype(np.float32), [2 / canvas.pixel, 6 / canvas.pixel])
    wall = 0.5 + 0.8 * bump(depth - 3, 3.0) + 0.25 * folds / max(float(folds.std()), 1e-6)
    canvas.attenuation += (rng.uniform(0.1, 0.5) * within * wall).astype(np.float32)
