"""The look of a phantom's radiograph, drawn at random: what lies on patient or film, exposure, and what becomes of the picture.

Domain randomisation: a network that has seen drawings in a thousand looks takes a real radiograph for one look more (Tobin et al.,
IROS 2017; for medical images SynthSeg: Billot et al., Medical Image Analysis 86, 2023, 102789). None of these changes moves
anatomy, so the truth stays as exact as it is. Each has a switch of its own and random numbers of its own, so that one can be
switched off, or made stronger, while all the others stay as they are: that is what an ablation needs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Annotated

import numpy as np
from imageio.v3 import imread, imwrite
from pydantic import Field
from scipy.ndimage import gaussian_filter, zoom

from denseseg.errors import checked
from denseseg.phantom.canvas import Canvas, bump, path_distance, rise
from denseseg.phantom.film import LETTERS, blurred, collimate, draw_letter
from denseseg.phantom.outlines import spline

Chance = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0)]
Streams = Callable[[str], np.random.Generator]


def streams(*key: int) -> Streams:
    """Random numbers by name: the same key and name give the same generator, other names independent ones."""
    return lambda name: np.random.default_rng([*key, zlib.crc32(name.encode())])


def normal(rng: np.random.Generator) -> float:
    """A standard normal number, cut off where it would no longer be plausible."""
    return float(np.clip(rng.normal(), -2.5, 2.5))


@checked
class Looks:
    """How much each look may vary; zero switches it off, and all are off unless said otherwise. None may be negative.

    On the patient or the film (chance that there are any): wires, with an electrode at the end; tubes; plates, which are metal
    or lead: cans, buttons, clips; letters. Exposure: exposure, standard deviation of the film curve's middle (attenuation); slope,
    of the logarithm of its slope; scatter, most that is added to the scattered share; quantum, most that is added to the noise.
    Picture: gamma, standard deviation of the logarithm of the exponent; window, most that is cut off or left empty at either end
    of the grey values; shading, size of a smooth unevenness; sharpening, most of an unsharp mask; blur, greatest standard deviation
    in hundredths of the field; coarse, greatest factor of a lower resolution less 1; grain, most standard deviation of noise.
    Chances: boxes (black, grey or white ones, as labels and blanked names are); frame (an unexposed or white border); corner (one
    corner inverted); inverted (the whole picture); jpeg (compression of any quality).
    Raises DataError where a value is out of its bounds.
    """

    wires: Chance = 0.0
    tubes: Chance = 0.0
    plates: Chance = 0.0
    letters: Chance = 0.0
    exposure: Spread = 0.0
    slope: Spread = 0.0
    scatter: Chance = 0.0
    quantum: Spread = 0.0
    gamma: Spread = 0.0
    window: Chance = 0.0
    shading: Spread = 0.0
    sharpening: Spread = 0.0
    blur: Spread = 0.0
    coarse: Spread = 0.0
    grain: Spread = 0.0
    boxes: Chance = 0.0
    frame: Chance = 0.0
    corner: Chance = 0.0
    inverted: Chance = 0.0
    jpeg: Chance = 0.0


NO_LOOKS = Looks()
# Wide: what radiographs of other machines, films and copies look like, and beyond; drawn by judgement, not fitted to any.
WIDE_LOOKS = Looks(
    wires=0.25, tubes=0.15, plates=0.2, letters=0.4,
    exposure=0.05, slope=0.2, scatter=0.25, quantum=0.02,
    gamma=0.3, window=0.1, shading=0.12, sharpening=1.0, blur=0.8, coarse=1.0, grain=0.04,
    boxes=0.4, frame=0.3, corner=0.05, inverted=0.05, jpeg=0.3,
)  # fmt: skip


# ---- what lies on the patient or the film -----------------------------------------------------------------------------


def lay_on(canvas: Canvas, looks: Looks, random: Streams) -> None:
    """Add wires, tubes, plates and letters to the attenuation."""
    for name, draw in (("wires", _wire), ("tubes", _tube), ("plates", _plate), ("letters", _letters)):
        rng, chance = random(name), getattr(looks, name)
        if rng.random() < chance:
            for _ in range(rng.integers(1, 4)):
                draw(canvas, rng)


def _extent(canvas: Canvas) -> np.ndarray:
    """(2, 2) the field's corners: (x, y) of the first and of the last pixel."""
    return np.array([[canvas.x[0, 0], canvas.y[0, 0]], [canvas.x[-1, -1], canvas.y[-1, -1]]])


def _curve(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """(24, 2) points of a smooth curve from somewhere in the picture to beyond one of its borders."""
    low, high = _extent(canvas)
    inside, out = rng.uniform(low, high), rng.uniform(low, high)
    axis = rng.integers(0, 2)
    out[axis] = rng.choice([low[axis] - 5, high[axis] + 5])
    steps = np.linspace(0, 1, 4)[1:-1, None]
    between = inside + steps * (out - inside) + rng.normal(0, 9, (2, 2))
    return spline([(float(x), float(y)) for x, y in (inside, *between, out)], 24)


def _edge(canvas: Canvas) -> float:
    """Width of a sharp edge: of what is drawn thinner than a pixel, something is left on each."""
    return max(0.25, 1.2 * canvas.pixel)


def _wire(canvas: Canvas, rng: np.random.Generator) -> None:
    line, thick, dark = _curve(canvas, rng), rng.uniform(0.15, 0.5), rng.uniform(0.06, 0.5)
    canvas.attenuation += dark * rise(thick - path_distance(canvas.x, canvas.y, line), _edge(canvas))
    if rng.random() < 0.6:
        away, radius = np.hypot(canvas.x - line[0, 0], canvas.y - line[0, 1]), rng.uniform(0.8, 2.5)
        ring = rise(away - rng.uniform(0, 0.7) * radius, _edge(canvas))
        canvas.attenuation += rng.uniform(0.1, 0.8) * rise(radius - away, _edge(canvas)) * ring


def _tube(canvas: Canvas, rng: np.random.Generator) -> None:
    radius = rng.uniform(0.5, 1.6)
    away = path_distance(canvas.x, canvas.y, _curve(canvas, rng))
    stripe = bump(away - 0.8 * radius, 0.6 * _edge(canvas))
    canvas.attenuation += rng.uniform(0.01, 0.1) * rise(radius - away, _edge(canvas)) + rng.uniform(0, 0.15) * stripe


def _plate(canvas: Canvas, rng: np.random.Generator) -> None:
    """A superellipse of metal, large or small, round or with corners, whole or a ring."""
    centre, radii = rng.uniform(*_extent(canvas)), np.exp(rng.uniform(np.log(0.5), np.log(5), 2))
    radii[1] = np.clip(radii[1], radii[0] / 3, radii[0] * 3)
    t, power = rng.uniform(0, np.pi), rng.uniform(1.6, 6)
    x, y = canvas.x - centre[0], canvas.y - centre[1]
    u, v = np.abs(x * np.cos(t) + y * np.sin(t)) / radii[0], np.abs(y * np.cos(t) - x * np.sin(t)) / radii[1]
    radius = (np.minimum(u, 4) ** power + np.minimum(v, 4) ** power) ** (1 / power)
    depth = 1 - radius
    if rng.random() < 0.5:
        depth = np.minimum(depth, radius - rng.uniform(0.3, 0.8))
    canvas.attenuation += rng.uniform(0.1, 1.5) * rise(depth * min(radii), _edge(canvas))


def _letters(canvas: Canvas, rng: np.random.Generator) -> None:
    """A few letters or digits beside one another, of lead."""
    low, high = _extent(canvas)
    height, slant = rng.uniform(2, 6), rng.normal(0, 0.1)
    corner = rng.uniform(low, np.maximum(high - height, low))
    edge = rng.integers(0, 2)  # most lie near a border
    corner[edge] = rng.choice([low[edge] + rng.uniform(0, 8), high[edge] - height - rng.uniform(0, 8)])
    for place in range(rng.integers(1, 5)):
        letter = str(rng.choice(list(LETTERS)))
        draw_letter(canvas, letter, (float(corner[0] + 0.9 * place * height), float(corner[1])), height, slant)


# ---- exposure ---------------------------------------------------------------------------------------------------------


def exposure(looks: Looks, random: Streams, *, scatter: float, noise: float, centre: float, gain: float) -> dict[str, float]:
    """The arguments of `film.expose`, changed."""
    return {
        "scatter": scatter + looks.scatter * random("scatter").random() * (1 - scatter),
        "noise": noise + looks.quantum * random("quantum").random() ** 2,
        "centre": centre + looks.exposure * normal(random("exposure")),
        "gain": gain * float(np.exp(looks.slope * normal(random("slope")))),
    }


# ---- picture ----------------------------------------------------------------------------------------------------------


def finish(canvas: Canvas, image: np.ndarray, looks: Looks, random: Streams) -> np.ndarray:
    """The picture (H, W) in [0, 1], float32, after film, copying and post-processing; what is switched off leaves it as it is."""
    for name, change in PICTURE.items():
        strength = getattr(looks, name)
        if strength:
            image = np.clip(change(canvas, image, strength, random(name)), 0, 1)
    return image.astype(np.float32)


def _gamma(canvas: Canvas, image: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    return image ** np.exp(spread * normal(rng))


def _window(canvas: Canvas, image: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    low, high = rng.uniform(-most, most, 2)
    return (image - low) / (1 + high - low)


def _shading(canvas: Canvas, image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Slow waves, some added to the picture and some that multiply it."""
    fields = np.zeros((2, *image.shape), np.float32)
    for field in fields:
        for _ in range(3):
            direction, phase = rng.normal(size=2), rng.uniform(0, 2 * np.pi)
            wave = 2 * np.pi / rng.uniform(60, 250) * direction / np.linalg.norm(direction)
            field += np.sin(canvas.x * wave[0] + canvas.y * wave[1] + phase)
    strength = size * rng.uniform(0, 1, 2) / 2
    return image * (1 + 2 * strength[0] * fields[0]) + strength[1] * fields[1]


def _sharpening(canvas: Canvas, image: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """An unsharp mask of any width: from crisp edges to the flattened contrast of a digital radiograph."""
    width = np.exp(rng.uniform(np.log(0.6), np.log(15))) / canvas.pixel
    return image + most * rng.random() ** 2 * (image - blurred(image, max(width, 0.5)))


def _blur(canvas: Canvas, image: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    return gaussian_filter(image, most * rng.random() / canvas.pixel, mode="nearest")


def _coarse(canvas: Canvas, image: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """Sampled at fewer pixels and back, linearly."""
    shape = np.maximum(np.round(np.array(image.shape) / (1 + most * rng.random() ** 2)).astype(int), 2)
    small = zoom(image, shape / image.shape, order=1, mode="nearest", grid_mode=True)
    return zoom(small, np.array(image.shape) / small.shape, order=1, mode="nearest", grid_mode=True)


def _grain(canvas: Canvas, image: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """Noise, fine or of soft spots, everywhere the same."""
    strength, sigma = most * rng.random() ** 2, rng.choice([0.0, rng.uniform(0.4, 2.5)])
    noise = gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), sigma)
    return image + strength * noise / noise.std()


def _boxes(canvas: Canvas, image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Rectangles, most of them at a border."""
    if rng.random() >= chance:
        return image
    image = image.copy()
    size = np.array(image.shape)
    for _ in range(rng.integers(1, 5)):
        extent = np.maximum(1, size * rng.uniform(0.02, 0.2, 2)).astype(int)
        start = (rng.random(2) * (size - extent)).astype(int)
        if rng.random() < 0.8:
            edge = rng.integers(0, 2)
            start[edge] = rng.choice([0, size[edge] - extent[edge]])
        grey = rng.choice([0.0, 1.0, rng.random()])
        image[start[0] : start[0] + extent[0], start[1] : start[1] + extent[1]] = grey
    return image


def _frame(canvas: Canvas, image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    """A border of one grey on some sides, straight or a little turned."""
    if rng.random() >= chance:
        return image
    margins = rng.uniform(0, 9, 4) * (rng.random(4) < 0.6)
    shown = collimate(canvas, np.ones_like(image), margins, float(rng.normal(0, 1.0)))
    grey = rng.choice([0.0, 1.0, rng.random()])
    return grey + (image - grey) * shown


def _corner(canvas: Canvas, image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= chance:
        return image
    image = image.copy()
    rows, columns = (np.array(image.shape) * rng.uniform(0.05, 0.3, 2)).astype(int)
    part = (
        slice(0, rows) if rng.random() < 0.5 else slice(-rows, None),
        slice(0, columns) if rng.random() < 0.5 else slice(-columns, None),
    )
    image[part] = 1 - image[part]
    return image


def _inverted(canvas: Canvas, image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    return 1 - image if rng.random() < chance else image


def _jpeg(canvas: Canvas, image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    if rng.random() >= chance:
        return image
    grey = np.round(image * 255).astype(np.uint8)
    packed = imwrite("<bytes>", grey, extension=".jpg", quality=int(rng.integers(15, 96)))
    return imread(packed, extension=".jpg").astype(np.float32) / 255


Change = Callable[[Canvas, np.ndarray, float, np.random.Generator], np.ndarray]
PICTURE: dict[str, Change] = {  # in the order in which they happen
    "gamma": _gamma,
    "window": _window,
    "shading": _shading,
    "sharpening": _sharpening,
    "blur": _blur,
    "coarse": _coarse,
    "grain": _grain,
    "frame": _frame,
    "boxes": _boxes,
    "corner": _corner,
    "inverted": _inverted,
    "jpeg": _jpeg,
}
