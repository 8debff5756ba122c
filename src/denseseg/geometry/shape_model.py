"""A statistical shape model: what the training shapes say of a noisy shape.

Landmarks of one case do not move independently. The mean and covariance of the training shapes (Cootes et al. 1995) are a
Gaussian prior; landmarks read from an image are that shape plus noise; the posterior mean is the best guess of both together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denseseg.errors import DataError

MANUAL_NOISE = 1 / 8  # random error of a manual correction, as a share of a prediction's noise


@dataclass(frozen=True)
class ShapeModel:
    """Gaussian of shapes: covariance = modes diag(variances - residual) modes^T + residual * identity.

    mean: (2N,), x and y of each landmark in turn, pixels. modes: (2N, k), orthonormal. variances: (k,) pixels squared, along the
    modes. residual: pixels squared, the variance in every direction that the modes do not span.
    Raises DataError where these do not fit each other, are not finite, or a variance is negative.
    """

    mean: np.ndarray
    modes: np.ndarray
    variances: np.ndarray
    residual: float

    def __post_init__(self) -> None:
        if self.modes.shape != (*self.mean.shape, *self.variances.shape):
            shapes = f"{self.mean.shape}, {self.modes.shape} and {self.variances.shape}"
            raise DataError(f"mean, modes and variances of a shape model have shapes {shapes}, which do not fit; fit it anew")
        if not all(np.isfinite(part).all() for part in vars(self).values()) or min([self.residual, *self.variances]) < 0:
            raise DataError("a shape model holds a number that is not finite, or a negative variance; fit it anew")

    def distance(self, points: np.ndarray) -> float:
        """Mahalanobis distance of (N, 2) points from the mean, divided by the root of the number of coordinates: no unit.

        About 1 for a shape as the training set has them. Points that are not finite take no part; NaN where none is finite.
        """
        observed = np.isfinite(points).ravel()
        if not observed.any():
            return float("nan")
        deviation, modes = points.ravel()[observed] - self.mean[observed], self.modes[observed]
        excess = np.maximum(self.variances - self.residual, 1e-9)
        along, residual = modes.T @ deviation, max(self.residual, 1e-9)
        explained = along @ np.linalg.solve(np.diag(residual / excess) + modes.T @ modes, along)  # Woodbury, as in `posterior`
        return float(np.sqrt(max(0.0, deviation @ deviation - explained) / residual / len(deviation)))

    def posterior(self, points: np.ndarray, noise: float, unseen: np.ndarray | None = None) -> Posterior:
        """Most probable shape given (N, 2) points that each carry independent Gaussian noise of this standard deviation, pixels.

        unseen: (N,) bool, points that are to be inferred from the others, whatever value they have.
        Another point that is not finite takes no part and stays as it is; with no finite point nothing changes.
        """
        hidden = np.zeros(len(points), bool) if unseen is None else np.asarray(unseen, bool)
        finite = np.isfinite(points).all(-1)
        observed, inferred = np.repeat(finite & ~hidden, 2), np.repeat(hidden, 2)
        if not observed.any():
            observed[:] = inferred[:] = False
        deviation = points.ravel()[observed] - self.mean[observed]
        modes = self.modes[observed]
        # Woodbury: only a system of the size of the modes is solved
        inner = np.diag((self.residual + noise**2) / np.maximum(self.variances - self.residual, 1e-9)) + modes.T @ modes
        explained = self.modes @ np.linalg.solve(inner, modes.T @ deviation)
        kept = self.residual / (self.residual + noise**2)
        shape = points.ravel().copy()
        shape[observed] = self.mean[observed] + explained[observed] + kept * (deviation - explained[observed])
        shape[inferred] = self.mean[inferred] + explained[inferred]
        return Posterior(shape.reshape(-1, 2), self, noise, observed, inferred, inner)

    def errors(self, noise: float) -> Errors:
        """The joint Gaussian of the errors of predicted points, each of them read with independent noise of this SD, pixels.

        A predicted shape is wrong as shapes vary, but along no mode by more than the noise: covariance (S^-1 + noise^-2)^-1, that
        of the posterior, S that of the shapes.
        """
        along, rest = (part * noise**2 / (part + noise**2) for part in (self.variances, self.residual))
        kept = along - rest > 1e-6 * noise**2  # the others are as the rest
        return Errors(self.modes[:, kept] * np.sqrt(along - rest)[kept], float(rest), MANUAL_NOISE * noise)


@dataclass(frozen=True)
class Errors:
    """Gaussian of the errors of N predicted points: covariance = factors factors^T + rest * identity, pixels squared.

    factors: (2N, k), x and y of each point in turn. rest: pixels squared. hand: SD in pixels of the random
    error of a manual correction, which says nothing of the other points.
    """

    factors: np.ndarray
    rest: float
    hand: float

    def scaled(self, by: float) -> Errors:
        """The same for an image that is enlarged by this factor."""
        return Errors(self.factors * by, self.rest * by**2, self.hand * by)

    def corrected(self, points: np.ndarray, known: np.ndarray) -> np.ndarray:
        """(N, 2) predicted points after a person has put some right: these as they were put, the others moved along.

        known: (N, 2) where a person put points, NaN for the others. The others move by the Gaussian's mean given the known:
        C_ok (C_kk + hand^2 I)^-1 (known - predicted), C the covariance (Bishop, Pattern Recognition and Machine Learning, 2006,
        Equation 2.81). Points that are not finite take no part: they stay as they are, unless they are known.
        """
        put = np.isfinite(known).all(1)
        told = np.repeat(put & np.isfinite(points).all(1), 2)
        factors = self.factors[told]
        apart = (known - points).ravel()[told]
        total = factors @ factors.T + (self.rest + self.hand**2) * np.eye(len(apart))
        moved = points + (self.factors @ (factors.T @ np.linalg.solve(total, apart))).reshape(-1, 2)
        return np.where(put[:, None], known, moved)


@dataclass(frozen=True)
class Posterior:
    """The most probable shape, and how sure it is.

    points: (N, 2) pixels, the estimate mean + K (observed points - mean). observed, inferred: (2N,) bool, of each coordinate.
    inner: (k, k), the matrix of the linear system that `ShapeModel.posterior` solves.
    """

    points: np.ndarray
    model: ShapeModel
    noise: float
    observed: np.ndarray
    inferred: np.ndarray
    inner: np.ndarray

    def covariance(self, root: np.ndarray) -> np.ndarray:
        """(N, 2, 2) pixels squared: covariance of the error of each point; NaN where a point was neither observed nor inferred.

        root: (2N, q) with root root^T = R, the covariance of the observed points' own errors, which need not be what the estimate
        assumed. Any linear estimate then has the error covariance K R K^T + (I - K) S (I - K)^T, S that of the shapes: what it
        hands on of the observations' errors, and what it takes for noise though it is shape. Only 2 x 2 blocks are computed.
        """
        model, modes = self.model, self.model.modes
        total = model.residual + self.noise**2
        pull = np.where(self.observed, self.noise**2 / total, 1.0)[:, None]  # how far a point follows the modes
        influence = np.linalg.solve(self.inner, modes.T).T  # (2N, k)
        root = np.where(self.observed[:, None], root, 0.0)
        handed_on = (1 - pull) * root + pull * (influence @ (modes[self.observed].T @ root[self.observed]))
        # (I - K) S (I - K)^T for S = modes diag(excess) modes^T + residual I, multiplied out
        excess = np.maximum(model.variances - model.residual, 1e-9)
        sign = np.where(self.observed, -1.0, 1.0)[:, None]
        smoothed = _blocks(influence * (total * self.noise**2 / excess), influence)
        smoothed += model.residual * (np.eye(2) + _blocks(sign * influence, modes))
        covariance = _blocks(handed_on, handed_on) + pull.reshape(-1, 2, 1) ** 2 * smoothed
        covariance[~(self.observed | self.inferred)[::2]] = np.nan
        return covariance


def _blocks(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The N blocks (2, 2) on the diagonal of left right^T, both (2N, q)."""
    return left.reshape(-1, 2, left.shape[1]) @ right.reshape(-1, 2, right.shape[1]).swapaxes(1, 2)


def fit_shape_model(landmarks: np.ndarray, folds: int = 10) -> ShapeModel:
    """The shape model of (M, N, 2) training landmarks, M >= 2; missing ones are inferred from the others of their case.

    Cases without any landmark take no part. The residual is cross-validated: the squared distance of held-out shapes from the modes
    of the others, divided by the number of directions that the modes of all shapes do not span. Few training shapes thus give a
    large residual, and a model that trusts the image. So do about as many shapes as coordinates: the others, fewer, leave more
    directions than are counted, up to several times as many.
    Raises DataError for fewer than two with landmarks, or where a landmark is missing in all.
    """
    landmarks = landmarks[np.isfinite(landmarks).any((1, 2))]
    if len(landmarks) < 2:
        raise DataError(f"a shape model needs two training cases or more, and was given {len(landmarks)}; train with more")
    shapes = landmarks.reshape(len(landmarks), -1)
    present = np.isfinite(shapes)
    if not present.any(0).all():
        raise DataError(f"landmark {np.argmin(present.any(0)) // 2} is missing in all cases; leave it out of the anatomy")
    parts = np.array_split(np.arange(len(shapes)), min(folds, len(shapes)))
    shapes = np.where(present, shapes, np.nanmean(shapes, axis=0))
    if not present.all():
        shapes = _completed(shapes, present, parts)
    return _model(shapes, _held_out_residual(shapes, present, parts))


def _completed(shapes: np.ndarray, present: np.ndarray, parts: list[np.ndarray], rounds: int = 4) -> np.ndarray:
    """(M, D) shapes whose absent coordinates are what a model of the *other* parts expects from the present ones.

    A model of all shapes would not do: it holds each shape with its own first guess, and gives that back.
    """
    for _ in range(rounds):
        residual = _held_out_residual(shapes, present, parts)
        better = shapes.copy()
        for held in parts:
            model = _model(np.delete(shapes, held, axis=0), residual)
            for i in held[~present[held].all(1)]:
                better[i] = model.posterior(shapes[i].reshape(-1, 2), 0.0, ~present[i, ::2]).points.ravel()
        shapes = better
    return shapes


MODES = 300  # at most; more would only cost time


def _model(shapes: np.ndarray, residual: float) -> ShapeModel:
    mean, modes, variances = principal_components(shapes)
    return ShapeModel(mean, modes, np.maximum(variances, residual), residual)


def _held_out_residual(shapes: np.ndarray, present: np.ndarray, parts: list[np.ndarray]) -> float:
    """Squared distance from the modes of the other parts per direction that those of all do not span, of present coordinates."""
    total = 0.0
    for held in parts:
        centre, modes, _ = principal_components(np.delete(shapes, held, axis=0))
        deviation = shapes[held] - centre
        total += float((((deviation - deviation @ modes @ modes.T) ** 2) * present[held]).sum())
    free = max(1, shapes.shape[1] - min(len(shapes) - 1, shapes.shape[1], MODES))
    return max(total / present.mean() / len(shapes) / free, 1e-9)  # shapes that are all alike would leave none


def principal_components(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), principal directions (D, k) and variances (k,) of (M, D) shapes, largest first, k <= `MODES`."""
    mean = shapes.mean(0)
    count, length = shapes.shape
    if count > length:  # thousands of cases: the covariance is smaller than the data
        variances, directions = np.linalg.eigh(np.cov(shapes, rowvar=False))
        variances, modes = variances[::-1][:MODES], directions[:, ::-1][:, :MODES]
        keep = variances > 1e-12 * max(variances.max(initial=0), 1e-12)
        return mean, np.ascontiguousarray(modes[:, keep]), variances[keep]
    _, singular, directions = np.linalg.svd(shapes - mean, full_matrices=False)
    singular, directions = singular[:MODES], directions[:MODES]
    keep = singular > 1e-9 * max(singular.max(initial=0), 1e-9)
    return mean, np.ascontiguousarray(directions[keep].T), singular[keep] ** 2 / max(1, count - 1)
