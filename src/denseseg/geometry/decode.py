"""From uv maps back to landmarks.

Two ways to find the pixel position at which a map takes a given uv value: the paper's Equation 3, and the inversion of a local
affine fit, which is unbiased and comes with a covariance. Each exists for one structure (`..._inversion`, any uv targets, so also
landmarks that were never trained) and for all landmarks of an anatomy (`decode_...`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.geometry.contour import mask_contours
from denseseg.geometry.template import Template


@dataclass(frozen=True)
class Decoded:
    """Landmarks read from uv maps.

    points: (B, n, 2) pixels (x, y); NaN where the structure's mask is empty.
    covariance: (B, n, 2, 2) pixels squared: J^-1 S J^-T with J the fitted Jacobian and S the residual covariance of the fit.
    jacobian: (B, n, 2, 2), d(u, v) / d(x, y).
    """

    points: Tensor
    covariance: Tensor
    jacobian: Tensor


def published_inversion(uv: Tensor, mask: Tensor, targets: Tensor, k: int = 5) -> Tensor:
    """Equation 3 of the paper for one structure: softmax-weighted mean of the k pixels nearest in uv.

    uv: (B, 2, H, W); mask: (B, H, W) bool; targets: (n, 2) uv. Returns (B, n, 2) pixels, NaN where the mask is empty.
    The softmax of plain uv distances has no temperature, so its weights are nearly equal: the result is the centroid of the k
    nearest pixels inside the mask, which draws landmarks on a contour inwards.
    """
    points = uv.new_full((len(uv), len(targets), 2), torch.nan)
    for b in range(len(uv)):
        where, values = _masked_pixels(uv[b], mask[b])
        if len(where):
            distance, index = torch.cdist(targets, values).topk(min(k, len(where)), largest=False)
            weight = torch.softmax(-distance, -1)
            points[b] = (weight[..., None] * where[index]).sum(1)
    return points


def affine_inversion(
    uv: Tensor, mask: Tensor, targets: Tensor, radius: int = 3, sigma: float = 1.5, iterations: int = 3
) -> Decoded:
    """Inversion of a local affine fit for one structure.

    Start at the masked pixel nearest in uv; fit uv = A (x - p) + b to its (2 radius + 1)^2 masked neighbours with Gaussian weights
    of `sigma` pixels; solve for x; recentre and repeat. Beyond the mask's edge the fit extrapolates, by at most `radius` pixels.

    uv: (B, 2, H, W); mask: (B, H, W) bool; targets: (n, 2) uv.
    """
    start = _nearest_pixel(uv, mask, targets)  # (B, n, 2), NaN where empty
    points, centre = start.clone(), start.nan_to_num(0.0).round()
    covariance = uv.new_full((*start.shape, 2), torch.nan)
    jacobian = uv.new_full((*start.shape, 2), torch.nan)
    for _ in range(iterations):
        fit = _local_affine(uv, mask, centre, points.nan_to_num(0.0) - centre, radius, sigma)
        step = _solve2(fit.slope, targets - fit.value)
        good = fit.sound & torch.isfinite(step).all(-1) & (step.norm(dim=-1) <= 2 * radius) & torch.isfinite(start[..., 0])
        far = step.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        step = step * (radius / far).clamp_max(1)
        points = torch.where(good[..., None], centre + step, points)
        inverse = torch.linalg.pinv(torch.where(good[..., None, None], fit.slope, torch.eye(2, device=uv.device)))
        covariance = torch.where(good[..., None, None], inverse @ fit.residual @ inverse.mT, covariance)
        jacobian = torch.where(good[..., None, None], fit.slope, jacobian)
        centre = _recentred(points, centre, mask)
    return Decoded(points, covariance, jacobian)


@dataclass(frozen=True)
class _Fit:
    value: Tensor  # (B, n, 2) uv at the centre pixel
    slope: Tensor  # (B, n, 2, 2)
    residual: Tensor  # (B, n, 2, 2) covariance of uv residuals
    sound: Tensor  # (B, n) enough neighbours for a fit


def _masked_pixels(uv: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (P, 2) as (x, y) and uv values (P, 2) of the pixels in one (H, W) mask."""
    rows, columns = mask.nonzero(as_tuple=True)
    return torch.stack([columns, rows], -1).to(uv.dtype), uv[:, rows, columns].T


def _nearest_pixel(uv: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """(B, n, 2): for each target the masked pixel with the nearest uv; NaN where the mask is empty."""
    points = uv.new_full((len(uv), len(targets), 2), torch.nan)
    for b in range(len(uv)):
        where, values = _masked_pixels(uv[b], mask[b])
        if len(where):
            points[b] = where[torch.cdist(targets, values).argmin(1)]
    return points


def _local_affine(uv: Tensor, mask: Tensor, centre: Tensor, offset: Tensor, radius: int, sigma: float) -> _Fit:
    """Weighted least squares of uv over the window round each centre pixel; weights fall off from centre + offset."""
    batch, _, height, width = uv.shape
    reach = torch.arange(-radius, radius + 1, device=uv.device, dtype=uv.dtype)
    dy, dx = torch.meshgrid(reach, reach, indexing="ij")
    delta = torch.stack([dx, dy], -1).view(-1, 2)  # (K, 2)
    pixel = centre[:, :, None] + delta  # (B, n, K, 2)
    column, row = pixel[..., 0].long(), pixel[..., 1].long()
    in_image = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    flat = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)  # (B, n, K)
    member = torch.gather(mask.view(batch, -1), 1, flat.view(batch, -1)).view(flat.shape) & in_image
    values = torch.gather(uv.view(batch, 2, -1), 2, flat.view(batch, 1, -1).expand(-1, 2, -1))
    values = values.view(batch, 2, *flat.shape[1:]).movedim(1, -1)  # (B, n, K, 2)
    weight = torch.exp(-(delta - offset[:, :, None]).square().sum(-1) / (2 * sigma**2)) * member
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)
    design = torch.cat([torch.ones_like(delta[:, :1]), delta], -1)  # (K, 3)
    normal = torch.einsum("bnk,ki,kj->bnij", weight, design, design)
    normal = normal + 1e-7 * torch.eye(3, device=uv.device, dtype=uv.dtype)
    right = torch.einsum("bnk,ki,bnkc->bnic", weight, design, values)
    solution = torch.linalg.solve(normal, right)  # (B, n, 3, 2)
    residual = values - torch.einsum("ki,bnic->bnkc", design, solution)
    spread = torch.einsum("bnk,bnkc,bnkd->bncd", weight, residual, residual)
    return _Fit(solution[..., 0, :], solution[..., 1:, :].mT, spread, member.sum(-1) >= 6)


def _solve2(matrix: Tensor, right: Tensor) -> Tensor:
    """matrix^-1 right for (..., 2, 2) and (..., 2) by Cramer's rule; not finite where singular."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    x = (d * right[..., 0] - b * right[..., 1]) / determinant
    y = (a * right[..., 1] - c * right[..., 0]) / determinant
    return torch.stack([x, y], -1)


def _recentred(points: Tensor, centre: Tensor, mask: Tensor) -> Tensor:
    """The pixel nearest each point where it is in the mask; else the old centre, which is."""
    _, height, width = mask.shape
    pixel = points.nan_to_num(0.0).round()
    column, row = pixel[..., 0].long(), pixel[..., 1].long()
    in_image = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    batch = torch.arange(len(mask), device=mask.device)[:, None]
    member = mask[batch, row.clamp(0, height - 1), column.clamp(0, width - 1)] & in_image
    return torch.where(member[..., None], pixel, centre)


def uv_targets(template: Template, like: Tensor) -> Tensor:
    """The template's landmark uv (N, 2) as a tensor of the same type and device as `like`."""
    return torch.as_tensor(template.uv, dtype=like.dtype, device=like.device)


def decode_published(uv: Tensor, mask: Tensor, template: Template, k: int = 5, targets: Tensor | None = None) -> Tensor:
    """Equation 3 for all landmarks of an anatomy.

    uv: (B, C, 2, H, W); mask: (B, C, H, W) bool; targets: (N, 2) uv where they are not the template's own.
    Returns (B, N, 2) pixels, NaN where a mask is empty.
    """
    targets = uv_targets(template, uv) if targets is None else targets
    slices = template.anatomy.slices.values()
    return torch.cat([published_inversion(uv[:, c], mask[:, c], targets[where], k) for c, where in enumerate(slices)], 1)


def decode_affine(
    uv: Tensor,
    mask: Tensor,
    template: Template,
    radius: int = 3,
    sigma: float = 1.5,
    iterations: int = 3,
    targets: Tensor | None = None,
) -> Decoded:
    """Affine inversion for all landmarks of an anatomy; arguments as in `decode_published` and `affine_inversion`."""
    targets = uv_targets(template, uv) if targets is None else targets
    parts = [
        affine_inversion(uv[:, c], mask[:, c], targets[where], radius, sigma, iterations)
        for c, where in enumerate(template.anatomy.slices.values())
    ]
    return Decoded(
        torch.cat([p.points for p in parts], 1),
        torch.cat([p.covariance for p in parts], 1),
        torch.cat([p.jacobian for p in parts], 1),
    )


def snap_to_contour(
    points: np.ndarray,
    uv: np.ndarray,
    probability: np.ndarray,
    targets: np.ndarray,
    half_extent: np.ndarray,
    step: float = 0.25,
) -> np.ndarray:
    """Move landmarks that the anatomy places on an outline to the 0.5 level set of the predicted mask.

    For each landmark the outline point p is chosen that minimises |p - x|^2 + |(uv(p) - target) * half_extent|^2: nearest in the
    image and in the template together, both in pixels.

    points: (n, 2) decoded pixels; uv: (2, H, W); probability: (H, W) in [0, 1]; targets: (n, 2) uv; half_extent: (2,) template
    pixels per unit uv. Returns (n, 2); the points unchanged where the mask has no outline.
    """
    curves = mask_contours(probability)
    if not curves or not np.isfinite(points).all():
        return points
    outline = _densified(curves[0], step)
    gap = (_bilinear(uv, outline)[None] - targets[:, None]) * half_extent
    cost = ((outline[None] - points[:, None]) ** 2).sum(-1) + (gap**2).sum(-1)
    return outline[cost.argmin(1)]


def _densified(curve: np.ndarray, step: float) -> np.ndarray:
    """A closed curve (k, 2) resampled about every `step` pixels."""
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))]
    at = np.linspace(0, length[-1], max(4, int(length[-1] / step)))
    return np.stack([np.interp(at, length, curve[:, i]) for i in (0, 1)], -1)


def _bilinear(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values (P, K) of a (K, H, W) array at (P, 2) positions (x, y), clamped to the border."""
    _, height, width = image.shape
    x, y = np.clip(points[:, 0], 0, width - 1), np.clip(points[:, 1], 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = x - left, y - top
    upper = image[:, top, left] * (1 - fx) + image[:, top, left + 1] * fx
    lower = image[:, top + 1, left] * (1 - fx) + image[:, top + 1, left + 1] * fx
    return (upper * (1 - fy) + lower * fy).T


def snap_all(points: np.ndarray, uv: np.ndarray, probability: np.ndarray, template: Template) -> np.ndarray:
    """`snap_to_contour` for every structure whose landmarks are a contour.

    points: (N, 2); uv: (C, 2, H, W); probability: (C, H, W).
    """
    anatomy: Anatomy = template.anatomy
    snapped = points.copy()
    for c, structure in enumerate(anatomy.structures):
        if structure.contour:
            where = anatomy.slices[structure.name]
            snapped[where] = snap_to_contour(points[where], uv[c], probability[c], template.uv[where], template.half_extent[c])
    return snapped
