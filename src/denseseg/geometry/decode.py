"""From uv maps back to landmarks.

Two ways to find the pixel position at which a map takes a given uv value: the paper's Equation 3, and the inversion of a local
affine fit, which is unbiased and comes with a covariance. Each exists for one structure (`..._inversion`, any uv targets, so also
landmarks that were never trained) and for all landmarks of an anatomy (`decode_...`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from denseseg.geometry.template import Template


@dataclass(frozen=True)
class Decoded:
    """Landmarks read from uv maps.

    points: (B, n, 2) pixels (x, y); NaN where the structure's mask is empty. Where no fit was possible, with fewer than six masked
        neighbours, the masked pixel nearest in uv; covariance and jacobian are then NaN.
    covariance: (B, n, 2, 2) pixels squared: J^-1 S J^-T with J the fitted Jacobian and S the residual covariance of the fit.
    jacobian: (B, n, 2, 2), d(u, v) / d(x, y).
    extrapolation: (B, n) extrapolation distance, pixels from the masked pixel that the last fit is centred on to where the fit sees
        the landmark, before the limit of `radius`: at most about 1 inside the mask and on its outline, where the map was looked up;
        larger where it was extrapolated, as for a landmark beyond the image border. Infinite where no fit was possible, NaN where
        the mask is empty.
    """

    points: Tensor
    covariance: Tensor
    jacobian: Tensor
    extrapolation: Tensor


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
    uv: Tensor,
    mask: Tensor,
    targets: Tensor,
    radius: int = 3,
    sigma: float = 1.5,
    iterations: int = 3,
    half_extent: Sequence[float] = (1.0, 1.0),
) -> Decoded:
    """Inversion of a local affine fit for one structure.

    Start at the masked pixel nearest in uv; fit uv = A (x - p) + b to its (2 radius + 1)^2 masked neighbours with Gaussian weights
    of `sigma` pixels; solve for x; recentre and repeat. Beyond the mask's edge the fit extrapolates, by at most `radius` pixels.
    A step of more than twice the radius is not believed: the landmark then stays at the fit before, or where it started. Within a
    window that is wide for its structure a map is not affine: in masks of less than about 350 pixels sigma shrinks to 8 % of the
    square root of their area, but not below half a pixel.

    uv: (B, 2, H, W); mask: (B, H, W) bool; targets: (n, 2) uv. half_extent: pixels per unit of u and of v, in which "nearest" is
    measured; it matters for long, thin structures, whose v tells much more than their u.
    """
    member = torch.zeros(len(targets), dtype=torch.long, device=uv.device)
    extent = uv.new_tensor([tuple(half_extent)])
    return _invert(uv[:, None], mask[:, None], member, targets, extent, radius, sigma, iterations)


def _invert(
    uv: Tensor, mask: Tensor, member: Tensor, targets: Tensor, extent: Tensor, radius: int, sigma: float, iterations: int
) -> Decoded:
    """Affine inversion of (B, C, 2, H, W) maps for (N, 2) targets, each in the structure that `member` (N,) names."""
    start, area = _nearest_pixels(uv, mask, member, targets, extent)  # (B, N, 2), NaN where a mask is empty; (B, N)
    width = (0.08 * area.sqrt()).clamp(min(0.5, sigma), sigma)
    found = torch.isfinite(start[..., 0])
    points, centre = start, start.nan_to_num(0.0)
    slope = residual = uv.new_full((*start.shape, 2), torch.nan)
    beyond = torch.where(found, torch.inf, torch.nan)
    for _ in range(iterations):
        fit = _local_affine(uv, mask, member, centre, points.nan_to_num(0.0) - centre, radius, width)
        step = (_inverse2(fit.slope) @ (targets - fit.value)[..., None])[..., 0]
        length = step.norm(dim=-1)
        sound = found & fit.sound
        beyond = torch.where(sound, length.nan_to_num(torch.inf), beyond)
        good = sound & (length <= 2 * radius)  # False where the step is not finite
        step = step * (radius / length.clamp_min(1e-12)).clamp_max(1)[..., None]
        points = torch.where(good[..., None], centre + step, points)
        slope = torch.where(good[..., None, None], fit.slope, slope)
        residual = torch.where(good[..., None, None], fit.residual, residual)
        centre = _recentred(points, centre, mask, member)
    inverse = _inverse2(slope)
    return Decoded(points, inverse @ residual @ inverse.mT, slope, beyond)


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


def _nearest_pixels(uv: Tensor, mask: Tensor, member: Tensor, targets: Tensor, extent: Tensor) -> tuple[Tensor, Tensor]:
    """For each target the pixel of its structure's mask with the nearest uv * extent (C, 2), and the number of the mask's pixels.

    (B, N, 2), NaN where the mask is empty, and (B, N).
    """
    if torch.compiler.is_compiling():
        return _nearest_of_all_pixels(uv, mask, member, targets, extent)
    points = uv.new_full((len(uv), len(targets), 2), torch.nan)
    area = uv.new_zeros(len(uv), len(targets))
    goal = targets * extent[member]
    for c in range(uv.shape[1]):
        own = (member == c).nonzero()[:, 0]
        for b in range(len(uv)):
            where, values = _masked_pixels(uv[b, c], mask[b, c])
            if len(where) and len(own):
                values = values * extent[c]
                # |v - t|^2 without |t|^2, which moves no minimum
                distance = torch.addmm(values.square().sum(1), goal[own], values.T, alpha=-2)
                points[b, own] = where[distance.argmin(1)]
                area[b, own] = len(where)
    return points, area


def _nearest_of_all_pixels(uv: Tensor, mask: Tensor, member: Tensor, targets: Tensor, extent: Tensor) -> tuple[Tensor, Tensor]:
    """`_nearest_pixels` for a graph that is exported: it can't loop over the pixels of a mask, so it measures all pixels."""
    scaled = uv * extent[:, :, None, None]
    squared = scaled.square().sum(2).where(mask, torch.inf).flatten(2)[:, member]  # (B, N, H * W)
    own = torch.arange(len(extent), device=uv.device) == member[:, None]  # (N, C)
    goal = own[..., None] * (targets * extent[member])[:, None]  # (N, C, 2), 0 in other structures
    nearest = (squared - 2 * goal.flatten(1) @ scaled.flatten(3).flatten(1, 2)).argmin(-1)
    area = mask.flatten(2).sum(-1).to(uv)[:, member]
    points = torch.stack([nearest % uv.shape[-1], nearest // uv.shape[-1]], -1).to(uv)
    return points.where(area[..., None] > 0, torch.nan), area


def _local_affine(uv: Tensor, mask: Tensor, member: Tensor, centre: Tensor, offset: Tensor, radius: int, sigma: Tensor) -> _Fit:
    """Weighted least squares of uv over the window round each centre pixel; weights fall off from centre + offset.

    In the closed form of a regression line: slope = covariance of uv and place times the inverse covariance of place.
    """
    reach = torch.arange(-radius, radius + 1, device=uv.device, dtype=uv.dtype)
    delta = torch.cartesian_prod(reach, reach).flip(1)  # (K, 2), along rows
    dx, dy = delta.unbind(-1)
    u, v, taken = _neighbours(uv, mask, member, centre, delta)
    weight = torch.exp(-((dx - offset[..., :1]).square() + (dy - offset[..., 1:]).square()) / (2 * sigma[..., None] ** 2)) * taken
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)

    moments = weight @ torch.stack([dx, dy, dx * dx, dx * dy, dy * dy], -1)  # (B, N, 5)
    mean, (xx, xy, yy) = moments[..., :2], moments[..., 2:].unbind(-1)
    (mx, my), average = mean.unbind(-1), torch.stack([(weight * u).sum(-1), (weight * v).sum(-1)], -1)
    u, v = u - average[..., :1], v - average[..., 1:]
    together = torch.stack([(weight * u) @ delta, (weight * v) @ delta], -2)  # (B, N, 2, 2), uv by xy
    slope = together @ _inverse2(_symmetric(xx - mx * mx + 1e-7, xy - mx * my, yy - my * my + 1e-7))
    lean = (slope @ mean[..., None])[..., 0]
    u, v = u - slope[..., 0, :] @ delta.T + lean[..., :1], v - slope[..., 1, :] @ delta.T + lean[..., 1:]
    residual = _symmetric(*((weight * a * b).sum(-1) for a, b in ((u, u), (u, v), (v, v))))
    return _Fit(average - lean, slope, residual, taken.sum(-1) >= 6)


def _neighbours(uv: Tensor, mask: Tensor, member: Tensor, centre: Tensor, delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u, v and mask (B, N, K) of each landmark's structure at its centre pixel (B, N, 2) + delta (K, 2); False off the image."""
    place, taken = _looked_up(mask, member, centre[..., None, :].long() + delta.long())
    area = uv.shape[-2] * uv.shape[-1]
    place = place + member[:, None] * area  # uv has two planes where the mask has one
    return _gather(uv, place), _gather(uv, place + area), taken


def _looked_up(mask: Tensor, member: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices (B, N, K) of pixels (B, N, K, 2) of each landmark's structure, and its mask there; False off the image."""
    height, width = mask.shape[-2:]
    column, row = pixel.unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = (member[:, None] * height + row.clamp(0, height - 1)) * width + column.clamp(0, width - 1)
    return place, _gather(mask, place) & inside


def _symmetric(xx: Tensor, xy: Tensor, yy: Tensor) -> Tensor:
    """(..., 2, 2) matrices from their three entries."""
    return torch.stack([xx, xy, xy, yy], -1).unflatten(-1, (2, 2))


def _gather(maps: Tensor, index: Tensor) -> Tensor:
    """Values of (B, ...) maps at flat indices (B, N, K)."""
    return torch.gather(maps.flatten(1), 1, index.flatten(1)).view(index.shape)


def _inverse2(matrix: Tensor) -> Tensor:
    """Inverse of (..., 2, 2) matrices by Cramer's rule; not finite where singular."""
    a, b, c, d = matrix.flatten(-2).unbind(-1)
    return torch.stack([d, -b, -c, a], -1).unflatten(-1, (2, 2)) / (a * d - b * c)[..., None, None]


def _recentred(points: Tensor, centre: Tensor, mask: Tensor, member: Tensor) -> Tensor:
    """The pixel nearest each point where it is in its structure's mask; else the old centre, which is."""
    pixel = points.nan_to_num(0.0).round()
    return torch.where(_looked_up(mask, member, pixel[..., None, :].long())[1], pixel, centre)


def uv_targets(template: Template, like: Tensor) -> Tensor:
    """The template's landmark uv (N, 2) as a tensor of the same type and device as `like`."""
    return torch.as_tensor(template.uv, dtype=like.dtype, device=like.device)


def decode_published(uv: Tensor, mask: Tensor, template: Template, k: int = 5) -> Tensor:
    """Equation 3 for all landmarks of an anatomy: (B, N, 2) pixels, NaN where a mask is empty.

    uv: (B, C, 2, H, W); mask: (B, C, H, W) bool.
    """
    targets, slices = uv_targets(template, uv), template.anatomy.slices.values()
    return torch.cat([published_inversion(uv[:, c], mask[:, c], targets[where], k) for c, where in enumerate(slices)], 1)


def decode_affine(
    uv: Tensor, mask: Tensor, template: Template, radius: int = 3, sigma: float = 1.5, iterations: int = 3
) -> Decoded:
    """`affine_inversion` for all landmarks of an anatomy; uv and mask as in `decode_published`."""
    member, extent = torch.as_tensor(template.anatomy.membership, device=uv.device), torch.as_tensor(template.half_extent).to(uv)
    return _invert(uv, mask, member, uv_targets(template, uv), extent, radius, sigma, iterations)
