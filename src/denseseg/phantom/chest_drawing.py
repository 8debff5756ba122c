"""Drawing the chest: attenuation added up structure by structure, as a projection does, then the film.

Each part is drawn in the frame that moves with it, so its texture follows the deformation. Positions are in hundredths of the
field; attenuation is in units of the trunk's full soft tissue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from denseseg.cases import Size
from denseseg.phantom.chest_shapes import body_outline, chest_outlines
from denseseg.phantom.film import expose, rise
from denseseg.phantom.warps import Chain

if TYPE_CHECKING:
    from denseseg.phantom.chest import Maps, Physiology

Grid = tuple[np.ndarray, np.ndarray]
Window = tuple[slice, slice]


@dataclass
class Canvas:
    """The pixel grid in field coordinates, and the attenuation drawn so far."""

    size: Size
    pixel: float
    x: np.ndarray
    y: np.ndarray
    attenuation: np.ndarray

    @classmethod
    def blank(cls, size: Size) -> Canvas:
        pixel = 100 / min(size)
        x = (np.arange(size[1]) - (size[1] - 1) / 2) * pixel + 50
        y = (np.arange(size[0]) - (size[0] - 1) / 2) * pixel + 50
        grid_x, grid_y = np.meshgrid(x, y)
        return cls(size, pixel, grid_x, grid_y, np.zeros(size))

    def window(self, chain: Chain, points: np.ndarray, margin: float) -> Window:
        """Rows and columns that the placed points cover, with a margin in field units."""
        x, y = chain.forward(*points.T)
        low = [
            int(np.clip((v.min() - margin - g) / self.pixel, 0, n)) for v, g, n in zip((y, x), self._corner, self.size, strict=True)
        ]
        high = [
            int(np.clip((v.max() + margin - g) / self.pixel + 2, 0, n))
            for v, g, n in zip((y, x), self._corner, self.size, strict=True)
        ]
        return slice(low[0], high[0]), slice(low[1], high[1])

    @property
    def _corner(self) -> tuple[float, float]:
        return float(self.y[0, 0]), float(self.x[0, 0])

    def frame(self, chain: Chain, window: Window) -> Grid:
        """The window's pixels seen from a structure's own frame."""
        return chain.inverse(self.x[window], self.y[window])

    def to_pixels(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([(x - self._corner[1]) / self.pixel, (y - self._corner[0]) / self.pixel], axis=-1)


def draw(maps: Maps, who: Physiology, size: Size, texture: np.random.Generator, film: np.random.Generator) -> np.ndarray:
    """The radiograph: (H, W) float32 in [0, 1]."""
    canvas = Canvas.blank(size)
    everything = (slice(None), slice(None))
    body = canvas.frame(maps.body, everything)
    canvas.attenuation += _soft_tissue(*body, who)
    for side in (0, 1):
        _lung(canvas, maps, side, texture)
    _heart(canvas, maps)
    canvas.attenuation += _spine(*body)
    for side in (0, 1):
        _clavicle(canvas, maps, side)
    image = expose(canvas.attenuation, film, scatter=0.06, dose=900, centre=0.62, gain=6.5)
    return image.astype(np.float32)


def _soft_tissue(x: np.ndarray, y: np.ndarray, who: Physiology) -> np.ndarray:
    depth = body_outline().depth(x, y)
    trunk = 1.0 - 0.28 * np.abs((x - 50) / 42) ** 2.5
    above = np.exp(-(((y + 2) / 16) ** 2))
    return trunk * (1 - 0.35 * above) * (0.25 * rise(depth, 0.6) + 0.75 * (1 - np.exp(-np.maximum(depth, 0) / 4)))


def _lung(canvas: Canvas, maps: Maps, side: int, rng: np.random.Generator) -> None:
    outline, chain = chest_outlines()[side], maps.structures[side]
    window = canvas.window(chain, outline.dense, 5)
    x, y = canvas.frame(chain, window)
    depth = outline.depth(x, y)
    air = rise(depth, 0.7) * (0.34 + 0.22 * (1 - np.exp(-np.maximum(depth, 0) / 6)))
    canvas.attenuation[window] -= air
    canvas.attenuation[window] += _ribs(x, y, side)


def _ribs(x: np.ndarray, y: np.ndarray, side: int) -> np.ndarray:
    """Ribs as tilted ellipses: the posterior half runs outwards and down, the anterior half inwards and further down."""
    lateral = 50 - x if side == 0 else x - 50
    total = np.zeros_like(x)
    for k in range(10):
        level = 9 + 6.4 * k
        reach = 38.5 * (1 - np.exp(-(k + 1.6) / 2.4)) + 0.12 * k
        drop = 4.5 + 5.5 * (1 - np.exp(-k / 3))
        u, v = lateral / reach, (y - level - 0.06 * lateral) / drop
        radius = np.sqrt(u * u + v * v) + 1e-6
        distance = (radius - 1) * radius / np.sqrt((u / reach) ** 2 + (v / drop) ** 2)
        front = rise(v, 0.6)
        half = 1.0 + 0.35 * front
        shape = np.clip(1 - (distance / half) ** 2, 0, None)
        shown = (1 - front) * rise(u - 0.14, 0.1) + 0.7 * front * rise(u - 0.5, 0.15)
        total += shown * (0.05 * np.sqrt(shape) + 0.035 * np.exp(-(((np.abs(distance) - half) / 0.25) ** 2)))
    return total


def _heart(canvas: Canvas, maps: Maps) -> None:
    outline, chain = chest_outlines()[2], maps.structures[2]
    window = canvas.window(chain, outline.dense, 3)
    depth = outline.depth(*canvas.frame(chain, window))
    canvas.attenuation[window] += rise(depth, 0.9) * (0.2 + 0.2 * (1 - np.exp(-np.maximum(depth, 0) / 6)))


def _spine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    vertebra = 0.85 + 0.15 * np.cos(2 * np.pi * y / 6.4)
    return 0.16 * rise(4.6 - np.abs(x - 50), 0.8) * vertebra


def _clavicle(canvas: Canvas, maps: Maps, side: int) -> None:
    outline, chain = chest_outlines()[3 + side], maps.structures[3 + side]
    window = canvas.window(chain, outline.dense, 2)
    depth = outline.depth(*canvas.frame(chain, window))
    canvas.attenuation[window] += 0.10 * rise(depth, 0.4) + 0.06 * np.exp(-(((depth - 0.4) / 0.35) ** 2))
