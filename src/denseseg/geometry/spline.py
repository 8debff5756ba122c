"""Thin-plate splines, batched, with missing points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import null_space
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class ThinPlateSpline:
    """x -> affine(x) + sum_i w_i r_i^2 log r_i^2, batched (Bookstein 1989). Made by `fit_spline`."""

    centres: Tensor  # (B, n, 2), normalised
    weights: Tensor  # (B, n, 2)
    affine: Tensor  # (B, 3, 2)
    origin: Tensor  # (B, 1, 2)
    scale: Tensor  # (B, 1, 1)

    def __call__(self, points: Tensor) -> Tensor:
        """Values at (B, P, 2) points: (B, P, 2)."""
        x = (points - self.origin) / self.scale
        # a processor works in portions that stay in its cache, a device in portions that fit its memory
        portion = (2**18 if x.device.type == "cpu" else 2**27) // (len(x) * self.centres.shape[1])
        bent = [self._bent(part) for part in x.split(max(portion, 64), dim=1)]
        return torch.cat(bent, dim=1) + self.affine[:, :1] + x @ self.affine[:, 1:]

    def _bent(self, x: Tensor) -> Tensor:
        squares = x.square().sum(-1)[:, :, None] + self.centres.square().sum(-1)[:, None]
        return _kernel(torch.baddbmm(squares, x, self.centres.mT, alpha=-2)) @ self.weights  # |x - y|^2 by a matrix product


def _kernel(squared: Tensor) -> Tensor:
    """r^2 log r^2, zero at r = 0."""
    squared = squared.clamp_min(1e-20)
    return squared.log().mul_(squared)


def fit_spline(points: Tensor, values: Tensor, smoothing: float | Tensor = 0.0) -> ThinPlateSpline:
    """The thin-plate spline with s(points) = values, or close to it where smoothing > 0.

    points: (B, n, 2) pixels; a NaN point takes no part. At least three that are not in one line must be present in each.
    values: (n, 2) or (B, n, 2).
    smoothing: the usual lambda, on coordinates scaled to unit spread, one number or (B,).
    The small system is solved in float64, without a check that would wait for the device: points that coincide need smoothing
    > 0. Evaluation is in the dtype of `points`.
    """
    present = ~points.isnan().any(-1, keepdim=True)  # (B, n, 1)
    one = present.double()
    count = one.sum(1, keepdim=True)
    safe = points.nan_to_num(0.0) * one
    origin = safe.sum(1, keepdim=True) / count
    centred = (safe - origin) * one
    scale = (centred.square().sum((1, 2), keepdim=True) / count).sqrt()
    x = centred / scale
    n = x.shape[1]
    kernel = _kernel(torch.cdist(x, x).square()) * (one @ one.mT)
    strength = x.new_ones(len(x)) * smoothing
    kernel += torch.where(present[..., 0], strength[:, None], 1).diag_embed()  # an absent point's row says: weight = 0
    linear = torch.cat([one, x], -1)
    system = x.new_zeros(len(x), n + 3, n + 3)
    system[:, :n, :n], system[:, :n, n:], system[:, n:, :n] = kernel, linear, linear.mT
    solution = torch.linalg.solve_ex(system, F.pad(values * one, (0, 0, 0, 3))).result.to(points)
    return ThinPlateSpline(x.to(points), solution[:, :n], solution[:, n:], origin.to(points), scale.to(points))


def bending_energy(points: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """(n, n) matrix B with y^T B y the least cost of a spline from (n, 2) points to values y (n,), which vanishes for affine ones.

    The cost is the bending energy (Bookstein 1989), with smoothing > 0 that of the smoothing spline: its bending energy plus
    |y - s(points)|^2 / smoothing, with `smoothing` as in `fit_spline`. The points are finite and not all in one line.
    """
    x = torch.as_tensor(points - points.mean(0), dtype=torch.float64)
    x = x / x.square().sum(1).mean().sqrt()
    kernel = _kernel(torch.cdist(x, x).square()).numpy() + smoothing * np.eye(len(x))
    bent = null_space(np.column_stack([np.ones(len(x)), x.numpy()]).T)  # (n, n - 3): values that no affine map explains
    return bent @ np.linalg.solve(bent.T @ kernel @ bent, bent.T)


def usable(points: np.ndarray) -> np.ndarray:
    """(S,) bool: at least three present points (of (S, n, 2)) that are not in one line, enough for a spline."""
    present = np.isfinite(points).all(-1, keepdims=True)
    count = present.sum((1, 2))
    known = np.where(present, points, 0).astype(float)
    centred = np.where(present, known - known.sum(1, keepdims=True) / np.maximum(count, 1)[:, None, None], 0)
    spread = np.linalg.eigvalsh(centred.swapaxes(1, 2) @ centred)  # (S, 2), ascending
    return (count >= 3) & (spread[:, 0] > 1e-6 * np.maximum(spread[:, 1], 1e-12))
