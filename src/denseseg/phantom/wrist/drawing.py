"""Drawing the hand: soft tissue, then bone after bone, added up as a projection does, then the film.

Each bone is drawn in the frame that moves with it, so cortex and trabeculae follow its deformation. Positions are in canonical
mm; attenuation is in units in which the palm's soft tissue has about 0.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from denseseg.anatomy import WRIST
from denseseg.geometry.frame import Size
from denseseg.phantom.canvas import Canvas, Window, bump, ellipse, rise
from denseseg.phantom.film import collimate, draw_letter, expose
from denseseg.phantom.looks import Looks, Streams, exposure, finish, lay_on
from denseseg.phantom.outlines import ShapeOutline
from denseseg.phantom.warps import Chain
from denseseg.phantom.wrist import growth
from denseseg.phantom.wrist.population import Child, Maps
from denseseg.phantom.wrist.randomisation import WristRandomisation, plaster
from denseseg.phantom.wrist.shapes import METACARPALS, ORIGIN, PHALANGES, PHYSIS, Tube, phalanx_outlines, wrist_outlines

COARSE = (192, 112)
FINGER_RADII = (12.0, 12.5, 12.5, 12.0, 11.5)  # mm of soft tissue about the heads of the metacarpals
Capsule = tuple[tuple[float, float], tuple[float, float], float, float]
Part = tuple[Chain, tuple[Capsule, ...]]  # soft tissue, and the map of its bone within the hand


def draw(
    maps: Maps,
    child: Child,
    size: Size,
    texture: np.random.Generator,
    film: np.random.Generator,
    looks: Looks,
    random: Streams,
    randomisation: WristRandomisation,
) -> np.ndarray:
    """The radiograph: (H, W) float32 in [0, 1]. The anatomy's texture, the film and each look have their own random numbers."""
    canvas = Canvas.blank(size)
    fingers = [(chain, finger_capsules(number)) for number, chain in enumerate(maps.fingers)]
    canvas.attenuation += soft_tissue(canvas, maps.hand, fingers, child, texture)
    pencil = Pencil(canvas, child, maps, texture)
    for finger, chain in enumerate(maps.fingers):
        for tube, outline in zip(PHALANGES[finger], phalanx_outlines()[finger], strict=True):
            pencil.tube(outline, chain.then(maps.hand), tube)
    draw_structures(pencil, maps, child)
    plaster(canvas, maps.hand, randomisation, random)
    return developed(canvas, film, looks, random)


def draw_structures(pencil: Pencil, maps: Maps, child: Child) -> None:
    """Draw those structures of `WRIST` that have ossified."""
    for name, outline, chain, present in zip(WRIST.names, wrist_outlines(), maps.structures, child.present, strict=True):
        if not present:
            continue
        if name.startswith("metacarpal"):
            pencil.tube(outline, chain, METACARPALS[int(name[-1]) - 1])
        elif name in ("radius", "ulna"):
            pencil.shaft(outline, chain)
        else:
            pencil.block(outline, chain, name)


def developed(canvas: Canvas, rng: np.random.Generator, looks: Looks, random: Streams) -> np.ndarray:
    """The canvas's radiograph, (H, W) float32 in [0, 1], with what lies on hand and film."""
    lay_on(canvas, looks, random)
    if rng.random() < 0.5:
        letter, height = str(rng.choice(["R", "L"])), rng.uniform(4, 6)
        corner = (float(rng.choice([3.0, 90.0]) + rng.uniform(0, 4)), rng.uniform(75, 125))
        draw_letter(canvas, letter, corner, height, rng.normal(0, 0.1))
    centre, gain = 0.43 + 0.03 * rng.normal(), 7.5 * np.exp(0.12 * rng.normal())
    scatter, noise = rng.uniform(0.02, 0.07), rng.uniform(0.004, 0.014)
    margins, turn = np.maximum(0, rng.normal(0, 3, size=4)) * [1, 1, 1, 0], rng.normal(0, 1.5)
    collimated = rng.random() < 0.3
    how = exposure(looks, random, scatter=scatter, noise=noise, centre=centre, gain=gain)
    image = expose(canvas.attenuation, rng, **how)
    if collimated:
        image = collimate(canvas, image, margins, turn)
    return finish(canvas, np.clip(image, 0, 1).astype(np.float32), looks, random)


def _capsule(x: np.ndarray, y: np.ndarray, capsule: Capsule) -> np.ndarray:
    """Depth inside a rod with round ends whose radius changes from one end to the other."""
    (ax, ay), (bx, by), ra, rb = capsule
    dx, dy = bx - ax, by - ay
    t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    return ra + (rb - ra) * t - np.hypot(x - ax - t * dx, y - ay - t * dy)


def soft_tissue(canvas: Canvas, hand: Chain, fingers: Iterable[Part], child: Child, rng: np.random.Generator) -> np.ndarray:
    """(H, W) attenuation of forearm, palm and fingers in a hand that `hand` puts in place: on a coarse grid, since it is smooth."""
    coarse = Canvas.blank(COARSE)
    plump = 1 + 0.05 * child.who.tissue + 0.12 * (1 - growth.ease(child.bone_age / 12))
    at = hand.inverse(coarse.x, coarse.y)  # once for all
    x, y = (axis.astype(np.float32) for axis in at)
    ox, oy = ORIGIN
    depth = np.full(COARSE, -20.0, np.float32)
    forearm: tuple[Capsule, ...] = (((ox - 4, oy + 200), (ox, oy + 45), 40, 29), ((ox, oy + 45), (ox + 1, oy + 8), 29, 27.5))
    for start, end, *radii in forearm:
        depth = np.maximum(depth, _capsule(x, y, (start, end, radii[0] * plump, radii[1] * plump)))
    for chain, capsules in fingers:
        x, y = (axis.astype(np.float32) for axis in chain.inverse(*at))
        for capsule in capsules:
            depth = np.maximum(depth, _capsule(x, y, (*capsule[:2], capsule[2] * plump, capsule[3] * plump)))
    depth = gaussian_filter(depth, 1.2)
    thick = 1 - (1 - np.clip(depth / 16, 0, 1)) ** 2
    total = (0.28 + 0.02 * child.who.tissue) * thick + 0.03 * rise(depth, 1.0)
    total *= 1 + 0.75 * gaussian_filter(rng.standard_normal(COARSE), 5)  # muscle and fat are uneven
    rows, columns = (canvas.y - coarse.y[0, 0]) / coarse.pixel, (canvas.x - coarse.x[0, 0]) / coarse.pixel
    return map_coordinates(total.astype(np.float32), [rows, columns], order=1, mode="nearest")


@cache
def finger_capsules(number: int) -> tuple[Capsule, ...]:
    """The soft tissue of finger `number` (0: thumb) with its part of the palm, in the canonical hand."""
    tube, bones, thick = METACARPALS[number], PHALANGES[number], FINGER_RADII[number]
    points = [np.array(ORIGIN) + [10.0 if number == 0 else 0.0, 4.0], tube.in_hand(np.array([[0, -tube.length]]))[0]]
    radii = [20.0, thick]
    for bone, share in zip(bones, (0.82, 0.72), strict=True):
        points.append(bone.in_hand(np.array([[0, -bone.length]]))[0])
        radii.append(share * thick)
    points.append(bones[-1].in_hand(np.array([[0, -bones[-1].length - 16]]))[0])
    radii.append(0.6 * thick)
    ends = [(float(x), float(y)) for x, y in points]
    return tuple((ends[i], ends[i + 1], radii[i], radii[i + 1]) for i in range(len(ends) - 1))


@cache
def trabeculae() -> np.ndarray:
    """A periodic tile of fine network, (256, 256), zero mean and unit variance, two samples per mm."""
    noise = np.random.default_rng(0).standard_normal((256, 256))
    net = -np.abs(gaussian_filter(noise, 1.3, mode="wrap"))  # crossing ridges
    net = gaussian_filter(net, 0.5, mode="wrap") + 0.5 * gaussian_filter(noise, 4, mode="wrap")
    return ((net - net.mean()) / net.std()).astype(np.float32)


class Pencil:
    """Draws bones of one child on a canvas."""

    def __init__(self, canvas: Canvas, child: Child, maps: Maps, rng: np.random.Generator):
        self.canvas, self.rng, self.offset = canvas, rng, np.zeros(2)
        self.zoom, self.mm = maps.zoom, child.length  # field units per mm, true mm per canonical mm
        self.edge = float(np.hypot(0.35, 0.5 * canvas.pixel / maps.zoom))  # mm, of the detector and the focal spot
        self.sharpness = 1 / (1 + (canvas.pixel / maps.zoom / 0.8) ** 2)  # what is left of the trabeculae within a pixel
        self.strength = (0.8 + 0.2 * growth.ease(child.bone_age / 15)) * float(np.exp(0.08 * child.who.density))
        self.open = max(1 - child.bone_age / growth.CLOSED, 0.0)  # growth plates: 0 when closed
        self.relief = growth.ease((child.bone_age - 8) / 6)

    def block(self, outline: ShapeOutline, chain: Chain, name: str) -> None:
        """A carpal bone or an epiphysis: a thin cortex about trabecular bone."""
        window, x, y, depth = self._look(outline, chain)
        rim, fused = 0.95 + 0.25 * self._grain(x, y, 0.12), np.zeros(1)
        if name.startswith("epiphysis"):
            level = ORIGIN[1] + PHYSIS - y
            rim, fused = rim * self._scar(level), self._fused(level)
        relief = self.relief * ring(x - ORIGIN[0], y - ORIGIN[1], *RELIEF[name]) if name in RELIEF else 0.0
        size = perimeter(chain.forward(*outline.dense.T)) / perimeter(outline.dense.T) / self.zoom
        self._add(window, depth * size, 0.5, rim, self._grain(x, y), 0.0, relief, fused)

    def shaft(self, outline: ShapeOutline, chain: Chain) -> None:
        """Radius or ulna: trabecular towards the growth plate, a tube of compact bone beyond."""
        window, x, y, depth = self._look(outline, chain)
        level = y - (ORIGIN[1] + PHYSIS)
        tube = rise(level - 22, 26)
        rim = self._scar(level) * (0.9 + 0.5 * tube)
        self._add(
            window, depth * self.mm, (0.5 + 1.9 * tube) * self.mm, rim, self._grain(x, y, 1.2, 0.4), tube, 0.0, self._fused(level)
        )

    def tube(self, outline: ShapeOutline, chain: Chain, tube: Tube) -> None:
        """A metacarpal bone or a phalanx: a tube with trabecular ends, and its growth plate while open."""
        window, x, y, depth = self._look(outline, chain)
        if not x.size:
            return
        up = tube.upright(np.stack([x, y], -1))
        across, level = up[..., 0], -up[..., 1]
        middle = bump(level - 0.5 * tube.length, 0.24 * tube.length)
        bend = 0.012 * (1 if tube.plate > 0.5 * tube.length else -0.3) * across**2
        gap = (0.8 + 1.6 * self.open) * min(1, 3 * self.open) * bump(level - tube.plate - bend, 0.5 + 0.6 * self.open)
        rim = 0.8 + 0.5 * middle + 0.25 * self._grain(across, level, 0.12)
        cortex = (0.45 + 1.6 * middle) * self.mm
        self._add(window, depth * self.mm - 1.6 * gap, cortex, rim, self._grain(across, level, 1.2, 0.5), middle)

    def _look(self, outline: ShapeOutline, chain: Chain) -> tuple[Window, np.ndarray, np.ndarray, np.ndarray]:
        """The window about a bone, and there the canonical positions and the depth below the surface."""
        self.offset = self.rng.uniform(0, 256, 2)  # also where nothing is in view, so that no bone depends on what is
        window = self.canvas.window(chain, outline.dense, 1.5)
        x, y = self.canvas.frame(chain, window)
        return window, x, y, outline.depth(x, y) if x.size else x

    def _grain(self, x: np.ndarray, y: np.ndarray, across: float = 1.0, along: float | None = None) -> np.ndarray:
        """Trabeculae at canonical positions, finer with larger factors; another place of the tile for each bone."""
        rows = 2 * (across if along is None else along) * y + np.float32(self.offset[0])
        columns = 2 * across * x + np.float32(self.offset[1])
        return map_coordinates(trabeculae(), [rows, columns], order=1, mode="grid-wrap")

    def _scar(self, level: np.ndarray) -> np.ndarray:
        """Brightness of the cortex by the distance from the growth plate: it calcifies while open, a faint scar when closed."""
        return 0.85 + (1.2 * min(1, 4 * self.open) - 0.75) * rise(3.0 - np.abs(level), 1.5)

    def _fused(self, level: np.ndarray) -> np.ndarray:
        """How far the bone goes on across the growth plate, so that it is as thick there as elsewhere."""
        return (1 - min(1, 8 * self.open)) * bump(level, 3.0)

    def _add(
        self, window: Window, depth: np.ndarray, cortex: np.ndarray | float, rim: np.ndarray, grain: np.ndarray,
        hollow: np.ndarray | float, relief: np.ndarray | float = 0.0, fused: np.ndarray | float = 0.0,
    ) -> None:  # fmt: skip
        """Add a bone. depth: below its surface, mm; cortex: its thickness, mm, and `rim` its brightness; hollow: 1 in a shaft."""
        inside = rise(depth, 2 * self.edge)
        chord = 1 - (1 - 0.9 * fused) * np.exp(-np.maximum(depth, 0) / 3.5)
        shell = inside * (1 - rise(depth - cortex, 2 * self.edge + 0.4 * cortex))
        body = 0.08 + 0.17 * chord * (1 - 0.6 * hollow) + 0.02 * self.sharpness * grain * (1 - 0.6 * hollow) + relief
        self.canvas.attenuation[window] += (self.strength * (inside * body + 0.15 * rim * shell)).astype(np.float32)


def perimeter(points: Sequence[np.ndarray] | np.ndarray) -> float:
    """Of a closed polygon with the corners x, y."""
    return float(np.hypot(*(np.roll(axis, -1) - axis for axis in points)).sum())


# Bony relief that casts a ring within its bone: (centre, radii, degrees) about ORIGIN.
RELIEF: dict[str, tuple[tuple[float, float], tuple[float, float], float]] = {
    "hamate": ((-13.6, -5.6), (2.7, 3.6), 20.0),  # the hook
    "scaphoid": ((20.8, 3.2), (3.2, 2.4), -30.0),  # the tubercle
}


def ring(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> np.ndarray:
    """A faint ring with a brighter inside."""
    depth = ellipse(x, y, centre, radii, degrees)
    return 0.035 * bump(depth - 0.2, 0.45) + 0.02 * rise(depth, 0.8)
