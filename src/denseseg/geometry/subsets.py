"""Fewer landmarks: a part of each structure's landmarks that still covers all of it.

The paper thins the 710 landmarks of a wrist to 178 for heatmap regression (Section 4.2), by farthest point sampling on the mean
shape of the training cases.
"""

from __future__ import annotations

import numpy as np

from denseseg.anatomy import Anatomy


def farthest_points(points: np.ndarray, count: int, start: int = 0) -> np.ndarray:
    """Indices (count,) of points that cover (n, 2) points well, in the order of their choice (Gonzalez 1985).

    The first is `start`; each further one is the point that is farthest from all chosen ones, the first such where several are.
    The largest distance of a point from its nearest chosen one is then at most twice what any choice could reach.
    Raises ValueError unless 1 <= count <= n and all points are finite.
    """
    points = np.asarray(points, dtype=float)
    if not 1 <= count <= len(points) or not np.isfinite(points).all():
        raise ValueError(f"cannot choose {count} of {len(points)} points, {int(np.isfinite(points).all(1).sum())} of them finite")
    chosen = [start]
    distance = np.linalg.norm(points - points[start], axis=1)
    while len(chosen) < count:
        distance[chosen[-1]] = -1  # never twice, even where points coincide
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)


def landmark_subset(points: np.ndarray, anatomy: Anatomy, percent: int) -> np.ndarray:
    """(N,) bool: which landmarks stay when each structure keeps `percent` of its own, as many as `Anatomy.reduced` says.

    points: (N, 2), the template's. The authors start each structure at a random landmark; here it is the first, so that the same
    template gives the same subset.
    """
    keep = np.zeros(anatomy.n_landmarks, bool)
    for where, count in zip(anatomy.slices.values(), anatomy.reduced(percent).counts, strict=True):
        keep[where.start + farthest_points(points[where], count)] = True
    return keep
