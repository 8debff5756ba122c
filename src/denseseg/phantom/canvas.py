"""The pixel grid that phantoms are drawn on, and small drawing helpers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

from denseseg.geometry.frame import Size
from denseseg.phantom.warps import Pair, Warp

Grid = tuple[np.ndarray, np.ndarray]
Window = tuple[slice, slice]
WHOLE: Window = (slice(None), slice(None))


@dataclass
class Canvas:
    """Positions of the pixels in the field (hundredths of its width) and the attenuation added up so far.

    size: (H, W); pixel: side of a pixel in field units; x, y, attenuation: (H, W).
    """

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
        return cls(size, pixel, grid_x, grid_y, np.zeros(size, np.float32))

    def to_pixels(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Field positions -> (..., 2) pixels."""
        return np.stack([x - self.x[0, 0], y - self.y[0, 0]], axis=-1) / self.pixel

    def window(self, warp: Warp, points: np.ndarray, margin: float) -> Window:
        """The rows and columns that placed (P, 2) points span, with a margin in field units."""
        pixels = self.to_pixels(*warp.forward(*np.asarray(points, dtype=float).T))
        reach = margin / self.pixel
        low = np.clip(np.floor(pixels.min(0) - reach), 0, self.size[::-1]).astype(int)
        high = np.clip(np.ceil(pixels.max(0) + reach) + 1, 0, self.size[::-1]).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def frame(self, warp: Warp, window: Window = WHOLE) -> Grid:
        """The window's pixels as positions in the frame that `warp` maps into the field."""
        x, y = warp.inverse(self.x[window], self.y[window])
        return x.astype(np.float32), y.astype(np.float32)  # single precision is ample for drawing, and twice as fast

    def splat(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, sigma: float) -> None:
        """Add Gaussian blobs at field positions (P,); `weight` is each one's integral over the field, `sigma` in field units."""
        height, width = self.size
        points, weights = self.to_pixels(x, y), weight / self.pixel**2
        left, top = np.floor(points).astype(int).T
        fx, fy = points[:, 0] - left, points[:, 1] - top
        image = np.zeros(height * width)
        for dx, dy, share in ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)):
            column, row = left + dx, top + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            image += np.bincount((row * width + column)[inside], (weights * share)[inside], minlength=height * width)
        blobs = image.reshape(height, width).astype(np.float32)
        self.attenuation += gaussian_filter(blobs, sigma / self.pixel, mode="constant", truncate=3)


def rise(depth: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """0 to 1 across a border: a smooth step of about `width` units, one half at depth 0."""
    return 0.5 + 0.5 * np.tanh(depth * (2 / width))


def bump(distance: np.ndarray, width: float) -> np.ndarray:
    """1 at distance 0, falling off as a Gaussian of standard deviation `width`."""
    return np.exp(-0.5 * (distance / width) ** 2)


def rod(distance: np.ndarray, radius: np.ndarray | float) -> np.ndarray:
    """Chord through a round rod over its diameter: 1 on the axis, 0 outside."""
    return np.sqrt(np.clip(1 - (distance / radius) ** 2, 0, None))


def ellipse(x: np.ndarray, y: np.ndarray, centre: Pair, radii: Pair, degrees: float = 0) -> np.ndarray:
    """Approximate depth inside an ellipse, in units of length: positive inside, exact on its border to first order."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    u = ((x - centre[0]) * c + (y - centre[1]) * s) / radii[0]
    v = ((y - centre[1]) * c - (x - centre[0]) * s) / radii[1]
    return (1 - np.sqrt(u * u + v * v)) * min(radii)


def path_distance(x: np.ndarray, y: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance to a polyline of (P, 2) points."""
    best = np.full(x.shape, np.inf, dtype=x.dtype)
    for (ax, ay), (bx, by) in pairwise(points):
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        best = np.minimum(best, (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2)
    return np.sqrt(best)
