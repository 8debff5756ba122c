"""A statistical shape model: what the training shapes say of a noisy shape.

Landmarks of one case do not move independently. The mean and covariance of the training shapes (Cootes et al. 1995) are a
Gaussian prior; landmarks read from an image are that shape plus noise; the posterior mean is the best guess of both together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ShapeModel:
    """Gaussian of shapes: covariance = modes diag(variances - residual) modes^T + residual * identity.

    mean: (2N,), x and y of each landmark in turn, pixels. modes: (2N, k), orthonormal. variances: (k,) pixels squared, along the
    modes. residual: pixels squared, the variance in every direction that the modes do not span.
    """

    mean: np.ndarray
    modes: np.ndarray
    variances: np.ndarray
    residual: float

    def posterior(self, points: np.ndarray, noise: float) -> np.ndarray:
        """Most probable shape given (N, 2) points that each carry independent Gaussian noise of this standard deviation, pixels.

        A point that is not finite takes no part and stays as it is; with no finite point nothing changes.
        """
        observed = np.repeat(np.isfinite(points).all(-1), 2)
        deviation = points.ravel()[observed] - self.mean[observed]
        modes = self.modes[observed]
        # Woodbury: only a system of the size of the modes is solved
        inner = np.diag((self.residual + noise**2) / np.maximum(self.variances - self.residual, 1e-9)) + modes.T @ modes
        explained = modes @ np.linalg.solve(inner, modes.T @ deviation)
        kept = self.residual / (self.residual + noise**2)
        shape = points.ravel().copy()
        shape[observed] = self.mean[observed] + explained + kept * (deviation - explained)
        return shape.reshape(-1, 2)


def fit_shape_model(landmarks: np.ndarray, folds: int = 10) -> ShapeModel:
    """The shape model of (M, N, 2) training landmarks, M >= 2; a missing landmark is replaced by its mean.

    The residual is cross-validated: the mean squared distance per coordinate of held-out shapes from the modes of the others. Few
    training shapes thus give a large residual, and a model that trusts the image.
    """
    shapes = landmarks.reshape(len(landmarks), -1)
    shapes = np.where(np.isfinite(shapes), shapes, np.nanmean(shapes, axis=0))
    mean, modes, variances = _principal(shapes)
    squares = []
    for held in np.array_split(np.arange(len(shapes)), min(folds, len(shapes))):
        centre, others, _ = _principal(np.delete(shapes, held, axis=0))
        deviation = shapes[held] - centre
        squares.append((deviation - deviation @ others @ others.T) ** 2)
    residual = float(np.concatenate(squares).sum() / len(shapes) / max(1, shapes.shape[1] - modes.shape[1]))
    return ShapeModel(mean, modes, np.maximum(variances, residual), residual)


def _principal(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), principal directions (D, k) and variances (k,) of (M, D) shapes."""
    mean = shapes.mean(0)
    _, singular, directions = np.linalg.svd(shapes - mean, full_matrices=False)
    keep = singular > 1e-9 * max(singular.max(initial=0), 1e-9)
    return mean, np.ascontiguousarray(directions[keep].T), singular[keep] ** 2 / max(1, len(shapes) - 1)
