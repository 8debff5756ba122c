"""Similarity transforms between two sets of corresponding points (Umeyama 1991), and the mean of shapes that they align."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + translation, for points (..., 2)."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Move (..., 2) points."""
        return self.scale * np.asarray(points) @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        """The transform that undoes this one."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -rotation @ self.translation / self.scale)

    @property
    def angle(self) -> float:
        """Rotation in radians; positive turns x towards y, clockwise on a displayed image."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))


def umeyama(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity without reflection that minimises sum |target - (s R source + t)|^2.

    source, target: (n, 2) corresponding points, n >= 2 and not all in one place; pairs with a NaN are left out.
    Raises ValueError where that leaves too little. Source: Umeyama 1991, equations 34 to 43.
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise ValueError(f"umeyama needs two (n, 2) arrays of corresponding points, got {source.shape} and {target.shape}")
    present = np.isfinite(source).all(1) & np.isfinite(target).all(1)
    source, target = source[present], target[present]
    if len(source) < 2 or np.ptp(source, axis=0).max() == 0:
        raise ValueError("umeyama needs at least two distinct pairs of points")
    centre_s, centre_t = source.mean(0), target.mean(0)
    s, t = source - centre_s, target - centre_t
    u, d, vt = np.linalg.svd(t.T @ s / len(s))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])  # the second axis flips rather than reflect
    rotation = u @ np.diag(sign) @ vt
    scale = float((d * sign).sum() / (s**2).sum(1).mean())
    return Similarity(scale, rotation, centre_t - scale * rotation @ centre_s)


def procrustes_mean(shapes: np.ndarray, rounds: int = 3) -> np.ndarray:
    """(n, 2) mean of (M, n, 2) corresponding shapes, each aligned to it by a similarity (Gower 1975).

    It lies in the frame of the first shape: its place, turn and scale. Each round aligns the shapes to the mean of the last.
    """
    mean = shapes[0]
    for _ in range(rounds):
        aligned = np.mean([umeyama(shape, mean).apply(shape) for shape in shapes], axis=0)
        mean = umeyama(aligned, shapes[0]).apply(aligned)  # a mean of aligned shapes is smaller than they are
    return mean
