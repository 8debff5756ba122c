"""Closed outlines: drawn with splines, sampled into landmarks, and looked up as a depth below the surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from denseseg.geometry.contour import polygon_mask, resample
from denseseg.phantom.warps import Pair

Points = list[Pair]


@dataclass(frozen=True)
class ShapeOutline:
    """A closed outline of a canonical shape.

    landmarks: (n, 2) points in order, the first at a fixed anatomical place.
    dense: (k, 2) the same curve, finely sampled; the landmarks lie on it.
    reach: how far outside the depth is known, in units of the shape; beyond, it stays as it is there.
    cells: how finely the depth is known: this many cells to the longer side.
    """

    landmarks: np.ndarray
    dense: np.ndarray
    reach: float = 10.0
    cells: int = 200

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, float]:
        margin = self.reach
        step = float(np.clip(np.ptp(self.dense, axis=0).max() / self.cells, 0.1, 0.5))
        low = self.dense.min(0) - margin
        columns, rows = np.ceil((self.dense.max(0) + margin - low) / step).astype(int) + 1
        x, y = low[0] + step * np.arange(columns), low[1] + step * np.arange(rows)
        grid = np.stack(np.meshgrid(x, y), axis=-1)
        distance = _distance_to_curve(grid, self.dense)
        inside = polygon_mask((self.dense - low) / step, (int(rows), int(columns)))
        return np.where(inside, distance, -distance), low, step

    def depth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Signed distance to the outline at canonical positions, positive inside; far away it stays at about -`reach`."""
        table, low, step = self._table
        return map_coordinates(table, [(y - low[1]) / step, (x - low[0]) / step], order=1, mode="nearest")


def _distance_to_curve(grid: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(H, W) distances of a grid (H, W, 2) of points to a closed polygon (k, 2), of which 16 points a side stand for the curve.

    The nearest of these is looked for on the two sides that meet in the nearest corner, where a projection tells it, and where the
    neighbours on the grid have found another part of the curve, there too. So few points are looked at instead of all.
    """
    count = 16 * len(corners)
    at = np.linspace(0, len(corners), count, endpoint=False)
    ends = np.concatenate([corners, corners[:1]])
    x, y = (np.interp(at, np.arange(len(ends)), ends[:, axis]) for axis in (0, 1))
    curve, place = x + 1j * y, grid[..., 0] + 1j * grid[..., 1]  # complex numbers: half as much to look up
    length = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    long = np.repeat(length > 4 * np.median(length), 16)  # on a long side each point counts as a corner
    knots = np.flatnonzero(long | (np.arange(count) % 16 == 0))
    start, points = curve[knots], np.diff(knots, append=count)  # of each side
    step = (curve[(knots + points) % count] - start) / points

    def squared(place: np.ndarray, knot: np.ndarray, sides: int) -> np.ndarray:
        best = np.full(knot.shape, np.inf)
        for offset in range(-sides, sides):
            side = (knot + offset) % len(knots)
            along = ((place - start[side]) * (1 / step)[side]).real
            found = knots[side] + np.clip(np.rint(along), 0, points[side]).astype(int)
            gap = place - curve[found % count]
            best = np.minimum(best, gap.real**2 + gap.imag**2)
        return best

    knot = cKDTree(np.stack([start.real, start.imag], 1)).query(grid)[1]
    nearest = squared(place, knot, 1)
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for there in (shift, (-shift[0], -shift[1])):
            other = np.roll(knot, there, (0, 1))
            apart = np.abs(other - knot) > 1
            nearest[apart] = np.minimum(nearest[apart], squared(place[apart], other[apart], 2))
    return np.sqrt(nearest)


def _through(pieces: list[Points], counts: list[int]) -> np.ndarray:
    """A closed curve through pieces (control points) that meet in corners, so many points on each; a single one closes smoothly."""
    if len(pieces) == 1:
        return spline(pieces[0], counts[0], periodic=True)
    ends = [piece[0] for piece in (*pieces[1:], pieces[0])]
    return np.concatenate([spline([*piece, end], n) for piece, end, n in zip(pieces, ends, counts, strict=True)])


def spline(points: Points, n: int, periodic: bool = False) -> np.ndarray:
    """(n, 2) equidistant points on a cubic spline through `points`, the end excluded."""
    knots = np.array([*points, points[0]] if periodic else points, dtype=float)
    t = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1) ** 0.5)])  # centripetal
    curve = CubicSpline(t, knots, bc_type="periodic" if periodic else "natural")
    return _equidistant(curve(np.linspace(0, t[-1], 4001)), n)


def _equidistant(fine: np.ndarray, n: int, order: float = 2) -> np.ndarray:
    """(n, 2) points at equal distances along a finely sampled open curve (k, 2), the end excluded; `order` of the norm."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), ord=order, axis=1))])
    want = np.linspace(0, length[-1], n, endpoint=False)
    return np.stack([np.interp(want, length, fine[:, axis]) for axis in (0, 1)], axis=1)


def from_pieces(pieces: list[tuple[Points, int]]) -> ShapeOutline:
    """An outline from pieces (control points, number of landmarks) that meet in corners; a single one is closed smoothly."""
    fine = 60
    dense = _through([points for points, _ in pieces], [n * fine for _, n in pieces])
    return ShapeOutline(dense[::fine].copy(), dense[:: fine // 10].copy())


def even(pieces: list[Points], n: int, start: Pair, **table: Any) -> ShapeOutline:
    """An outline through pieces (control points) that meet in corners, with `n` landmarks at equal distances all round.

    A single piece is closed smoothly. Landmark 0 is the point of the curve that is nearest to `start`.
    `table`: reach and cells of the outline.
    """
    fine = _through(pieces, [2000] * len(pieces) if len(pieces) > 1 else [4000])
    fine = np.roll(fine, -int(np.linalg.norm(fine - start, axis=1).argmin()), axis=0)
    dense = resample(fine, 10 * n)
    return ShapeOutline(dense[::10].copy(), dense, **table)


def between(pieces: list[Points], marks: list[tuple[Pair, int]]) -> ShapeOutline:
    """An outline through pieces (control points) that meet in corners, with its landmarks between marks, as people number them.

    marks: places in order along the curve (the nearest point of it counts), each with the number of landmarks from there, the
    mark itself included, to the next one. Landmark 0 lies at the first mark. They lie at equal distances as counted along the
    pixels of a contour, where a step aslant is one like a step sideways: so on slanting parts they are further apart.
    """
    fine = _through(pieces, [2000] * len(pieces))
    places = [int(np.linalg.norm(fine - mark, axis=1).argmin()) for mark, _ in marks]
    fine = np.roll(fine, -places[0], axis=0)
    closed = np.concatenate([fine, fine[:1]])
    stops = [*((place - places[0]) % len(fine) for place in places), len(fine)]
    parts = zip(pairwise(stops), marks, strict=True)
    dense = np.concatenate([_equidistant(closed[start : end + 1], 10 * n, np.inf) for (start, end), (_, n) in parts])
    return ShapeOutline(dense[::10].copy(), dense)
