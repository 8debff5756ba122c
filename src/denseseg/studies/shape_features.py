"""A shape as a row of numbers that mean something: which structures are there, how large, how far apart, and the whole shape.

For regressions that shall be read as well as used. Nothing here knows what is regressed, or which anatomy it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.distance import cdist

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError


def present(landmarks: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """(..., C) booleans: structures of (..., N, 2) landmarks that have at least one; the others are absent from the image."""
    return ~anatomy.absent(landmarks)


def centroids(landmarks: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """(..., C, 2) mean of each structure's known landmarks; NaN where it is absent."""
    return np.stack([_mean(landmarks[..., where, :]) for where in anatomy.slices.values()], axis=-2)


def _mean(points: np.ndarray) -> np.ndarray:
    """Mean (..., 2) over the known ones of (..., n, 2) points, NaN where there is none (numpy's nanmean warns of that)."""
    known = np.isfinite(points).all(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(known, points, 0).sum(-2) / known.sum(-2)


def log_sizes(landmarks: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """(..., C) natural logarithm of each structure's root mean squared distance from its centroid, in pixels; NaN where absent.

    In logarithms the unknown magnification of a radiograph is one constant added to all, which a linear model can subtract.
    """
    away = landmarks - centroids(landmarks, anatomy)[..., anatomy.membership, :]
    squares = [_mean(away[..., where, :] ** 2).sum(-1) for where in anatomy.slices.values()]
    return np.log(np.maximum(np.stack(squares, axis=-1), 1e-6)) / 2


def facing_landmarks(first: np.ndarray, second: np.ndarray, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Indices into (n, 2) and (m, 2) points: the `count` first ones that are nearest to the second, and their nearest partners."""
    distances = cdist(first, second)
    near = distances.min(1).argsort()[:count]
    return near, distances[near].argmin(1)


def gap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(...) pixels between facing landmarks (..., k, 2) of two structures, such as the width of a growth plate; NaN if unknown.

    The length of the mean vector from one side to the other. The smallest distance of any two landmarks would do for exact ones,
    but noise makes a minimum smaller, and so a hand seem older.
    """
    return np.linalg.norm(_mean(second - first), axis=-1)


def rigidly_aligned(shapes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(..., N, 2) shapes, each turned and shifted, not scaled, onto target (N, 2) by the landmarks that both have.

    In the plane the best turn has a closed form: its angle is atan2(sum of cross products, sum of dot products) of centred pairs.
    """
    shared = (np.isfinite(shapes) & np.isfinite(target)).all(-1, keepdims=True)
    middle, aim = (_mean(np.where(shared, points, np.nan))[..., None, :] for points in (shapes, target))
    x, y = np.moveaxis(np.where(shared, shapes - middle, 0), -1, 0)
    u, v = np.moveaxis(np.where(shared, target - aim, 0), -1, 0)
    angle = np.arctan2((x * v - y * u).sum(-1), (x * u + y * v).sum(-1))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)  # transposed: it acts on rows
    return (shapes - middle) @ turn + aim


@dataclass
class ShapeFeatures:
    """Landmarks (M, N, 2) -> features (M, F), each with mean 0 and variance 1 over the training shapes.

    presence: 1 for each structure that is there. sizes: their `log_sizes`. gaps: from each structure to its nearest neighbour.
    modes: principal components of the shapes after removal of place and turn, not of size; so many, but at most one for 10 training
    shapes, since a component that one shape decides tells nothing of the others.
    An absent structure counts as as small as the smallest seen, with its gaps and landmarks at the training mean; with `presence`
    among the features, the regression can correct that. Features that never vary in training are left out, and no value counts as
    more extreme than the training shapes' own, so that a shape that was read wrongly is no more than an odd one.
    """

    anatomy: Anatomy
    presence: bool = True
    sizes: bool = True
    gaps: bool = True
    modes: int = 10
    names: list[str] = field(default_factory=list)

    def fit(self, landmarks: np.ndarray) -> ShapeFeatures:
        """Learn the mean shape, its modes and the scale of each feature from (M, N, 2) training landmarks, M >= 3.

        Raises DataError for fewer.
        """
        if len(landmarks) < 3:
            raise DataError(f"{len(landmarks)} shapes are too few to describe shapes by; give at least 3")
        self._mean_shape = _mean_shape(landmarks)
        self._neighbours = self._nearest()
        deviations = self._deviations(landmarks)
        self._centre = deviations.mean(0)
        directions = np.linalg.svd(deviations - self._centre, full_matrices=False)[2]
        self._modes = directions[: min(self.modes, len(landmarks) // 10)].T
        raw, names = self._raw(landmarks)
        self._fill = np.array([_fill(values, name) for values, name in zip(raw.T, names, strict=True)])
        raw = np.where(np.isfinite(raw), raw, self._fill)
        self._offset, self._scale, self._range = raw.mean(0), raw.std(0), (raw.min(0), raw.max(0))
        self._varies = self._scale > 1e-9 * np.maximum(1, np.abs(self._offset))
        self.names = [name for name, keep in zip(names, self._varies, strict=True) if keep]
        return self

    def __call__(self, landmarks: np.ndarray) -> np.ndarray:
        """(M, F) features of (M, N, 2) landmarks."""
        raw, _ = self._raw(landmarks)
        raw = np.where(np.isfinite(raw), raw, self._fill).clip(*self._range)
        return ((raw - self._offset) / self._scale.clip(1e-12))[:, self._varies]

    def _nearest(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """A name for each structure with the one nearest to it in the mean shape -> their facing landmarks."""
        known = np.isfinite(self._mean_shape).all(-1)  # in some training shape
        parts = [np.flatnonzero(known & (self.anatomy.membership == c)) for c in range(len(self.anatomy))]
        pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for a, own in enumerate(parts):
            others = [b for b, part in enumerate(parts) if b != a and len(part)]
            if not len(own) or not others:
                continue
            b = min(others, key=lambda b: cdist(self._mean_shape[own], self._mean_shape[parts[b]]).min())
            low, high = sorted((a, b))
            near, partner = facing_landmarks(self._mean_shape[parts[low]], self._mean_shape[parts[high]])
            name = f"gap from {self.anatomy.names[low]} to {self.anatomy.names[high]}"
            pairs[name] = parts[low][near], parts[high][partner]
        return pairs

    def _deviations(self, landmarks: np.ndarray) -> np.ndarray:
        """(M, 2N) aligned shapes less the mean shape; unknown landmarks deviate by 0."""
        aligned = rigidly_aligned(landmarks, self._mean_shape)
        return np.nan_to_num(aligned - self._mean_shape).reshape(len(landmarks), -1)

    def _raw(self, landmarks: np.ndarray) -> tuple[np.ndarray, list[str]]:
        columns: dict[str, np.ndarray] = {}
        labels = self.anatomy.names
        if self.presence:
            columns |= dict(zip((f"{n} is there" for n in labels), present(landmarks, self.anatomy).T.astype(float), strict=True))
        if self.sizes:
            columns |= dict(zip((f"size of {n}" for n in labels), log_sizes(landmarks, self.anatomy).T, strict=True))
        if self.gaps:
            columns |= {name: gap(landmarks[:, near], landmarks[:, other]) for name, (near, other) in self._neighbours.items()}
        if self.modes:
            scores = (self._deviations(landmarks) - self._centre) @ self._modes
            columns |= {f"shape mode {k + 1}": values for k, values in enumerate(scores.T)}
        if not columns:
            raise DataError("every kind of feature is switched off; leave at least one on")
        return np.stack(list(columns.values()), axis=1), list(columns)


def _mean_shape(landmarks: np.ndarray) -> np.ndarray:
    """(N, 2) mean of rigidly aligned shapes, begun with the most complete one; NaN for landmarks that no shape has."""
    mean = landmarks[np.isfinite(landmarks).sum((1, 2)).argmax()]
    for _ in range(6):  # rounds of alignment
        mean = _mean(rigidly_aligned(landmarks, mean).swapaxes(0, 1))
    return mean


def _fill(values: np.ndarray, name: str) -> float:
    """What stands for an unknown value of a feature: the smallest size, otherwise the mean."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0
    return float(known.min() if name.startswith("size of") else known.mean())
