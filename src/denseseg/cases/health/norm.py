"""What is normal in a set of landmarks, robustly: the mean shape, how shapes vary round it, and how they lie in their images.

Shapes are compared after a similarity that moves each onto the mean shape. How odd a structure then is, is what the modes of
variation of *other* cases cannot explain of it, in units of the set's median: 1 is an ordinary case. So the set itself says what
counts as odd, and a case cannot vouch for itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import median_abs_deviation

from denseseg.anatomy import Anatomy
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.frame import Size
from denseseg.geometry.shape_model import principal_components
from denseseg.geometry.similarity import Similarity, umeyama

LEAST = 8  # cases, to say what is normal
FOLDS = 10
PARTS = 4  # training shapes for each mode of variation
REACH = 3.5  # standard deviations by which a mode may explain a shape


class Model(NamedTuple):
    """Shapes (D,) of one structure: their mean, main modes (D, k) and standard deviations (k,) along them."""

    mean: np.ndarray
    modes: np.ndarray
    deviations: np.ndarray


class Deviation(NamedTuple):
    """How far landmarks are from normal.

    structures: (C,) of the shape of each, 1 is ordinary, NaN where nothing is known. pose: of size, place and turn in the image, 1
    is the most that is tolerated.
    ratio: how large the shape is in its image, 1 is the set's median; offset: (x, y), how far its centre is from where the others'
    is, as shares of the image; angle: degrees from the others'.
    """

    structures: np.ndarray
    pose: float
    ratio: float
    offset: np.ndarray
    angle: float

    @property
    def shape(self) -> float:
        """Root mean square over the structures."""
        return float(np.sqrt(np.nanmean(self.structures**2))) if np.isfinite(self.structures).any() else 0.0


@dataclass
class Norm:
    """What is normal in a set; `deviation` says how far landmarks of one of its cases are from that.

    mean: (N, 2), centred, of size 1; NaN where no case has a landmark. models: for each fold, of each structure's shapes in the
    other folds. unit: (C,) median of what they leave unexplained. sharp: (C,) how many times worse a structure's shape
    fits when its landmarks are numbered one further: about 1 for a round one, which looks alike from all sides. centre, spread: of
    the pose (log size, x, y, angle).
    """

    anatomy: Anatomy
    mean: np.ndarray
    models: list[list[Model | None]]
    unit: np.ndarray
    sharp: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, cases: CaseSet) -> Norm | None:
        """None where the cases are too few, or have too few landmarks, to say."""
        anatomy, usable = cases.anatomy, [case for case in cases if distinct(case.landmarks) >= 2]
        if len(usable) < LEAST:
            return None
        landmarks = np.stack([case.landmarks for case in usable])
        mean = robust_mean(landmarks)
        aligned = np.stack([aligned_to(mean, shape)[0] for shape in landmarks])
        distance = np.sqrt(np.nanmean(((aligned - mean) ** 2).sum(-1), axis=1))
        plain = distance <= 3 * np.median(distance)  # gross faults shall not count as variation
        fold = np.array([position(case.id) for case in usable])
        models = [[_model(aligned[plain & (fold != k)][:, own]) for own in anatomy.slices.values()] for k in range(FOLDS)]
        norm = cls(anatomy, mean, models, np.ones(len(anatomy)), _sharpness(landmarks, mean, anatomy), np.zeros(4), np.ones(4))
        parts = [norm.unexplained(shape, k) for shape, k in zip(aligned, fold, strict=True)]
        with np.errstate(all="ignore"):
            norm.unit = np.maximum(_median(np.stack(parts)), 1e-6)
        poses = np.stack([norm.pose(aligned_to(mean, case.landmarks)[1], case.size) for case in usable])
        norm.centre = np.median(poses, axis=0)
        norm.spread = np.maximum(6 * median_abs_deviation(poses, scale="normal"), (np.log(1.5), 0.2, 0.2, 30.0))
        return norm

    def deviation(self, points: np.ndarray, size: Size, case: str, only: Collection[int] | None = None) -> Deviation:
        """Of (N, 2) points in an image of `size`, as landmarks of this case; only: structures whose shape is of interest."""
        aligned, similarity = aligned_to(self.mean, points)
        apart = self.pose(similarity, size) - self.centre
        apart[3] = (apart[3] + 180) % 360 - 180
        worst = float(np.abs(apart / self.spread).max())
        structures = self.unexplained(aligned, position(case), only) / self.unit
        return Deviation(structures, worst, float(np.exp(apart[0])), apart[1:3], float(apart[3]))

    def pose(self, similarity: Similarity, size: Size) -> np.ndarray:
        """(4,) log of the shape's size over the image's, its centre as shares of width and height, its angle in degrees.

        similarity: of `aligned_to`, which moves the shape onto the mean.
        """
        place = similarity.inverse()
        x, y = (place.apply(np.zeros(2)) + 0.5) / (size[1], size[0])
        return np.array([np.log(place.scale / np.hypot(*size)), x, y, np.degrees(place.angle)])

    def unexplained(self, aligned: np.ndarray, fold: int, only: Collection[int] | None = None) -> np.ndarray:
        """(C,) root mean square of what the modes of other cases leave of each structure; NaN where it is absent."""
        found = np.full(len(self.anatomy), np.nan)
        for c, (own, model) in enumerate(zip(self.anatomy.slices.values(), self.models[fold], strict=True)):
            there = np.isfinite(aligned[own]).ravel()
            if model is None or there.sum() < 2 or (only is not None and c not in only):
                continue
            apart = aligned[own].ravel()[there] - model.mean[there]
            along = np.linalg.lstsq(model.modes[there], apart, rcond=None)[0]
            along = np.clip(along, -REACH * model.deviations, REACH * model.deviations)
            found[c] = np.sqrt(np.mean((apart - model.modes[there] @ along) ** 2))
        return found


def aligned_to(mean: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, Similarity]:
    """(N, 2) points moved onto the mean shape, and the similarity that does it."""
    similarity = umeyama(points, mean)
    return similarity.apply(points), similarity


def misfit(points: np.ndarray, mean: np.ndarray) -> float:
    """Root mean square of what a similarity leaves between (n, 2) points and a mean shape; 0 where that cannot be said."""
    if distinct(np.where(np.isfinite(mean), points, np.nan)) < 3:
        return 0.0
    return float(np.sqrt(np.nanmean((aligned_to(mean, points)[0] - mean) ** 2)))


def robust_mean(landmarks: np.ndarray, rounds: int = 4) -> np.ndarray:
    """(N, 2) median shape of (M, N, 2) landmarks, each aligned by a similarity: of size 1, its centre at 0."""
    with np.errstate(all="ignore"):
        centred = landmarks - np.nanmean(landmarks, axis=1, keepdims=True)
        mean = _median(centred / _size(centred)[:, None, None])
        for _ in range(rounds):
            mean = _median(np.stack([umeyama(shape, mean).apply(shape) for shape in landmarks]))
            mean = mean - np.nanmean(mean, axis=0)
            mean = mean / _size(mean)
    return mean


def distinct(landmarks: np.ndarray) -> int:
    """How many different places (N, 2) landmarks have."""
    return len(np.unique(landmarks[np.isfinite(landmarks).all(1)], axis=0))


def position(case: str) -> int:
    """The fold of a case: the same for the same id."""
    return sum(case.encode()) % FOLDS


def _sharpness(landmarks: np.ndarray, mean: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    found = []
    for own in anatomy.slices.values():
        shapes = _complex(landmarks[np.isfinite(landmarks[:, own]).all((1, 2))][:, own])
        usual = _complex(mean[own])
        if not len(shapes) or not np.isfinite(usual).all():
            found.append(0.0)
            continue
        plain, *further = (_left(np.roll(shapes, step, axis=1), usual) for step in (0, -1, 1))
        found.append(float(np.median(np.min(further, axis=0) / np.maximum(plain, 1e-9))))
    return np.array(found)


def _complex(shapes: np.ndarray) -> np.ndarray:
    """(..., n) complex numbers x + iy, centred, of (..., n, 2) points: a similarity then is one complex factor."""
    numbers = shapes[..., 0] + 1j * shapes[..., 1]
    return numbers - numbers.mean(-1, keepdims=True)


def _left(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(M,) root mean square of what a similarity leaves between (M, n) shapes and a mean, both centred."""
    explained = np.abs(shapes.conj() @ mean) ** 2 / np.maximum((np.abs(shapes) ** 2).sum(-1), 1e-12)
    return np.sqrt(np.maximum((np.abs(mean) ** 2).sum() - explained, 0) / (2 * len(mean)))


def _size(shape: np.ndarray) -> np.ndarray:
    return np.sqrt(np.nanmean((shape**2).sum(-1), axis=-1))


def _median(values: np.ndarray) -> np.ndarray:
    present = np.isfinite(values).any(0)
    return np.where(present, np.nanmedian(np.where(present, values, 0), axis=0), np.nan)


def _model(shapes: np.ndarray) -> Model | None:
    """Of the whole ones among (M, n, 2) shapes, or None where they are too few."""
    whole = shapes[np.isfinite(shapes).all((1, 2))].reshape(-1, 2 * shapes.shape[1])
    if len(whole) < LEAST - 2:
        return None
    mean, modes, variances = principal_components(whole)
    most = min(10, len(whole) // PARTS, shapes.shape[1] // 2)
    return Model(mean, modes[:, :most], np.sqrt(variances[:most]))
