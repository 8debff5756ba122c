"""Gaussian heatmaps: targets for heatmap regression, and the landmarks read from predicted ones."""

from __future__ import annotations

import torch
from torch import Tensor

from denseseg.geometry.frame import Size


def gaussian_heatmaps(landmarks: Tensor, size: Size, sigma: float, amplitude: float = 1.0) -> Tensor:
    """amplitude * exp(-d^2 / (2 sigma^2)) round each landmark (paper, Eq. 5).

    landmarks: (B, N, 2) pixels; sigma in pixels. Returns (B, N, H, W); all zero for a missing landmark.
    """
    x = torch.arange(size[1], device=landmarks.device, dtype=landmarks.dtype)
    y = torch.arange(size[0], device=landmarks.device, dtype=landmarks.dtype)
    across = torch.exp(-((x - landmarks[..., :1]) ** 2) / (2 * sigma**2))  # a Gaussian is separable
    down = torch.exp(-((y - landmarks[..., 1:]) ** 2) / (2 * sigma**2))
    return amplitude * torch.nan_to_num(down[..., :, None] * across[..., None, :], nan=0.0)


def argmax_landmarks(heatmaps: Tensor) -> Tensor:
    """The brightest pixel of each (B, N, H, W) heatmap, as published: (B, N, 2) whole pixels."""
    width = heatmaps.shape[-1]
    index = heatmaps.flatten(2).argmax(-1)
    return torch.stack([index % width, index // width], -1).to(heatmaps.dtype)


def subpixel_landmarks(heatmaps: Tensor, radius: int = 3) -> Tensor:
    """Peak position by a parabola through the logarithm round the brightest pixel, exact for a Gaussian.

    heatmaps: (B, N, H, W). Each axis is fitted on its own by least squares over 2 radius + 1 pixels, weighted by brightness; the
    result stays within `radius` pixels of the brightest one. Returns (B, N, 2) pixels.
    """
    height, width = heatmaps.shape[-2:]
    peak = argmax_landmarks(heatmaps)
    reach = torch.arange(-radius, radius + 1, device=heatmaps.device)
    offsets = []
    for axis, extent in ((0, width), (1, height)):
        position = peak[..., axis : axis + 1].long() + reach
        inside = (position >= 0) & (position < extent)
        position = position.clamp(0, extent - 1)
        other = peak[..., 1 - axis : 2 - axis].long().expand_as(position)
        flat = other * width + position if axis == 0 else position * width + other
        values = torch.gather(heatmaps.flatten(2), 2, flat).double()
        offsets.append(_parabola_peak(reach.double(), values, inside).clamp(-radius, radius))
    return peak + torch.stack(offsets, -1).to(peak.dtype)


def _parabola_peak(reach: Tensor, values: Tensor, inside: Tensor) -> Tensor:
    """Vertex of the weighted least-squares parabola through log(values); 0 where there is none that opens downwards."""
    floor = values.amax(-1, keepdim=True).clamp_min(1e-12) * 1e-3
    weight = (values.clamp_min(0) * inside).square()
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1e-30)
    design = torch.stack([torch.ones_like(reach), reach, reach**2], -1)
    normal = torch.einsum("...k,ki,kj->...ij", weight, design, design)
    normal.diagonal(dim1=-2, dim2=-1).add_(1e-9)  # dark heatmaps leave it singular
    right = torch.einsum("...k,ki,...k->...i", weight, design, torch.maximum(values, floor).log())
    _, slope, curvature = torch.linalg.solve(normal, right).unbind(-1)
    vertex = -slope / (2 * curvature)
    return torch.where((curvature < 0) & torch.isfinite(vertex), vertex, 0)
