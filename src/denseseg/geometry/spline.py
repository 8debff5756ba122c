"""Thin-plate splines, batched, with missing points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
        # in portions that stay in the cache; their squared distances by a matrix product
        bent = [_kernel(_squared_distances(part, self.centres)) @ self.weights for part in x.split(2048, dim=1)]
        return torch.cat(bent, dim=1) + self.affine[:, :1] + x @ self.affine[:, 1:]


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(B, P, n) from (B, P, 2) and (B, n, 2)."""
    squares = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None]
    return torch.baddbmm(squares, x, y.mT, alpha=-2)


def _kernel(squared: Tensor) -> Tensor:
    """r^2 log r^2, zero at r = 0."""
    squared = squared.clamp_min(1e-20)
    return squared.log().mul_(squared)


def fit_spline(points: Tensor, values: Tensor, smoothing: float | Tensor = 0.0) -> ThinPlateSpline:
    """The thin-plate spline with s(points) = values, or close to it where smoothing > 0.

    points: (B, n, 2) pixels; a NaN point takes no part. At least three that are not in one line must be present in each.
    values: (n, 2) or (B, n, 2).
    smoothing: the usual lambda, on coordinates scaled to unit spread, one number or (B,).
    The small system is solved in float64; evaluation is in the dtype of `points`.
    """
    present = torch.isfinite(points).all(-1)  # (B, n)
    safe = torch.where(present[..., None], points, 0).double()
    count = present.sum(1)[:, None, None]
    origin = safe.sum(1, keepdim=True) / count
    centred = torch.where(present[..., None], safe - origin, 0)
    scale = (centred.square().sum((1, 2)).view(-1, 1, 1) / count).sqrt()
    x = centred / scale
    batch, n = present.shape
    smoothing = torch.as_tensor(smoothing, dtype=torch.float64, device=points.device).expand(batch)
    both = present[:, :, None] & present[:, None, :]
    eye = torch.eye(n, dtype=torch.float64, device=points.device)
    kernel = torch.where(both, _kernel(torch.cdist(x, x).square()), 0) + smoothing[:, None, None] * eye
    kernel = torch.where(present[:, :, None] | (eye == 0), kernel, 1.0)  # an absent point's row says: weight = 0
    linear = torch.cat([torch.ones_like(x[..., :1]), x], -1) * present[..., None]
    system = torch.cat([torch.cat([kernel, linear], 2), torch.cat([linear.mT, x.new_zeros(batch, 3, 3)], 2)], 1)
    goal = values.double().expand(batch, n, 2) * present[..., None]
    solution = torch.linalg.solve(system, torch.cat([goal, goal.new_zeros(batch, 3, 2)], 1))
    weights, affine = solution[:, :n], solution[:, n:]
    parts = (torch.where(present[..., None], x, 0), weights, affine, origin, scale)
    return ThinPlateSpline(*(part.to(points.dtype) for part in parts))


def usable(contour: Tensor) -> Tensor:
    """(B,) bool: at least three present points (of (B, n, 2)) that are not in one line, enough to carry a map."""
    present = torch.isfinite(contour).all(-1)
    safe = torch.where(present[..., None], contour, 0)
    centred = torch.where(present[..., None], safe - safe.sum(1, keepdim=True) / present.sum(1).clamp_min(1)[:, None, None], 0)
    spread = torch.linalg.eigvalsh(centred.mT @ centred)  # (B, 2), ascending
    return (present.sum(1) >= 3) & (spread[:, 0] > 1e-6 * spread[:, 1].clamp_min(1e-12))
