"""Closed outlines: drawn with splines, sampled into landmarks, and looked up as a depth below the surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from skimage.draw import polygon2mask


@dataclass(frozen=True)
class Outline:
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
        closed = np.concatenate([self.dense, self.dense[:1]])
        t = np.linspace(0, len(self.dense), 16 * len(self.dense), endpoint=False)  # so fine that points stand for the curve
        curve = np.stack([np.interp(t, np.arange(len(closed)), closed[:, axis]) for axis in (0, 1)], axis=1)
        distance = cKDTree(curve).query(grid.reshape(-1, 2))[0].reshape(rows, columns)
        inside = polygon2mask((rows, columns), ((self.dense - low) / step)[:, ::-1])
        return np.where(inside, distance, -distance), low, step

    def depth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Signed distance to the outline at canonical positions, positive inside; far away it stays at about -`reach`."""
        table, low, step = self._table
        return map_coordinates(table, [(y - low[1]) / step, (x - low[0]) / step], order=1, mode="nearest")


def spline(points: list[tuple[float, float]], n: int, periodic: bool = False) -> np.ndarray:
    """(n, 2) equidistant points on a cubic spline through `points`, the end excluded."""
    knots = np.array([*points, points[0]] if periodic else points, dtype=float)
    t = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1) ** 0.5)])  # centripetal
    curve = CubicSpline(t, knots, bc_type="periodic" if periodic else "natural")
    fine = curve(np.linspace(0, t[-1], 4001))
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    want = np.linspace(0, length[-1], n, endpoint=False)
    return np.stack([np.interp(want, length, fine[:, axis]) for axis in (0, 1)], axis=1)


def from_pieces(pieces: list[tuple[list[tuple[float, float]], int]], start: int = 0) -> Outline:
    """An outline from pieces (control points, number of landmarks) that meet in corners.

    A single piece is closed smoothly. `start`: which of the sampled points becomes landmark 0.
    """
    fine = 60
    if len(pieces) == 1:
        points, n = pieces[0]
        dense = spline(points, n * fine, periodic=True)
    else:
        ends = [piece[0][0] for piece in pieces[1:]] + [pieces[0][0][0]]
        dense = np.concatenate([spline([*p, end], n * fine) for (p, n), end in zip(pieces, ends, strict=True)])
    dense = np.roll(dense, -start * fine, axis=0)
    return Outline(dense[::fine].copy(), dense[:: fine // 10].copy())


def even(pieces: list[list[tuple[float, float]]], n: int, start: tuple[float, float], **table: Any) -> Outline:
    """An outline through pieces (control points) that meet in corners, with `n` landmarks at equal distances all round.

    A single piece is closed smoothly. Landmark 0 is the point of the curve that is nearest to `start`.
    `table`: reach and cells of the outline.
    """
    ends = [piece[0] for piece in (*pieces[1:], pieces[0])]
    curves = [spline([*p, end], 2000) for p, end in zip(pieces, ends, strict=True)] if len(pieces) > 1 else None
    fine = np.concatenate(curves) if curves else spline(pieces[0], 4000, periodic=True)
    fine = np.roll(fine, -int(np.linalg.norm(fine - start, axis=1).argmin()), axis=0)
    closed = np.concatenate([fine, fine[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    want = np.linspace(0, length[-1], 10 * n, endpoint=False)
    dense = np.stack([np.interp(want, length, closed[:, axis]) for axis in (0, 1)], axis=1)
    return Outline(dense[::10].copy(), dense, **table)
