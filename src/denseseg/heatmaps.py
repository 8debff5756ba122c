"""Heatmaps: targets for heatmap regression, and the landmarks read from predicted ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional as F

from denseseg.geometry.contour import largest_component

RADIUS = 3  # pixels round the brightest one that local decoders look at


def gaussian_heatmaps(landmarks: Tensor, size: Sequence[int], sigma: float | Tensor, amplitude: float | Tensor = 1.0) -> Tensor:
    """amplitude * exp(-d^2 / (2 sigma^2)) round each landmark (Keuth et al., Eq. 5; Payer et al., Eq. 1).

    landmarks: (B, N, 2) pixels (x, y) for a `size` of (H, W); likewise (B, N, 3) (x, y, z) for (D, H, W). sigma in pixels and
    amplitude: a number each, or (N,) one a landmark; gradients reach them. Returns (B, N, *size); all zero for a missing landmark.
    """
    sigma, amplitude = (torch.as_tensor(value).to(landmarks)[..., None] for value in (sigma, amplitude))
    # what is missing is replaced before the arithmetic: a NaN would come back in the gradient, even if nothing came of it
    there, landmarks = torch.isfinite(landmarks).all(-1), landmarks.nan_to_num(0.0)
    heatmaps = there * amplitude.expand(landmarks.shape[1], 1)[:, 0]
    for axis, extent in enumerate(reversed(size)):  # a Gaussian is separable; x, the last axis of an image, comes first
        distance = torch.arange(extent, device=landmarks.device) - landmarks[..., axis, None]
        profile = torch.exp(-(distance**2) / (2 * sigma**2))
        heatmaps = profile[(..., *[None] * axis)] * heatmaps.unsqueeze(-1 - axis)
    return heatmaps


def laplace_heatmaps(landmarks: Tensor, size: Sequence[int], width: float, amplitude: float = 1.0) -> Tensor:
    """amplitude * exp(-d / width) round each landmark (Ham and Oh, Section 3.1, in words only; d is taken to be Euclidean).

    landmarks: (B, N, 2) pixels (x, y) for a `size` of (H, W); width in pixels. Returns (B, N, H, W); all zero for a missing
    landmark. Unlike a Gaussian it has a pointed top.
    """
    x, y = (torch.arange(extent, device=landmarks.device) - landmarks[..., k, None] for k, extent in enumerate(reversed(size)))
    distance = torch.hypot(x[..., None, :], y[..., :, None])
    return torch.nan_to_num(amplitude * torch.exp(-distance / width), nan=0.0)


# ---- from a heatmap to a landmark -------------------------------------------------------------------------------


class Decoder(StrEnum):
    """How landmarks are read from heatmaps, see `DECODERS`; all but the first find places between pixels.

    A map that is brighter by a factor gives the same place, except to BLOB.
    """

    ARGMAX = "argmax"
    SUBPIXEL = "subpixel"
    CENTROID = "centroid"
    SOFT_ARGMAX = "soft_argmax"
    DARK = "dark"
    BLOB = "blob"


def argmax_landmarks(heatmaps: Tensor) -> Tensor:
    """The brightest pixel of each (B, N, H, W) heatmap, as published: (B, N, 2) whole pixels; in (B, N, D, H, W) (x, y, z)."""
    index, place = heatmaps.flatten(2).argmax(-1), []
    for extent in reversed(heatmaps.shape[2:]):  # unravel_index would bring tensors of the host along
        place.append(index % extent)
        index = index // extent
    return torch.stack(place, -1).to(torch.promote_types(heatmaps.dtype, torch.float32))  # 16 bits do not hold 301


def subpixel_landmarks(heatmaps: Tensor, radius: int = RADIUS) -> Tensor:
    """Peak position by a parabola through the logarithm round the brightest pixel, exact for a Gaussian.

    heatmaps: (B, N, H, W). Each axis is fitted on its own by least squares over 2 radius + 1 pixels, weighted by the square of
    their brightness; the result stays within `radius` pixels of the brightest one. Returns (B, N, 2) pixels.
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


def centroid_landmarks(heatmaps: Tensor, radius: int = RADIUS) -> Tensor:
    """Centre of mass of what is above half the peak, within `radius` pixels of the brightest one: (B, N, 2) pixels.

    Without the cut, a window that ends before the spot does would pull the centre towards the brightest pixel. At the border of the
    image the window shrinks, so that it reaches as far to either side.
    """
    peak, windows, reach = _windows(heatmaps, radius)
    mass = (windows / windows.amax((-2, -1), keepdim=True).clamp_min(1e-12) - 0.5).clamp_min(0)
    counts = reach.abs() <= _room(peak, heatmaps)[..., None]  # (B, N, 2, window)
    mass = mass * counts[..., 1, :, None] * counts[..., 0, None, :]
    total = mass.sum((-2, -1)).clamp_min(1e-12)
    offset = torch.stack([(mass.sum(-2) * reach).sum(-1), (mass.sum(-1) * reach).sum(-1)], -1) / total[..., None]
    return peak + offset


def soft_argmax_landmarks(heatmaps: Tensor, sharpness: float = 20.0) -> Tensor:
    """Mean position under softmax(sharpness * heatmap / its peak), over the whole map (Sun et al. 2018): (B, N, 2) pixels.

    Two bright spots give a place between them. The peak is at least 1e-3 here, so that an empty map gives its middle.
    """
    heatmaps = heatmaps.to(torch.promote_types(heatmaps.dtype, torch.float32))
    height, width = heatmaps.shape[-2:]
    peak = heatmaps.amax((-2, -1), keepdim=True).clamp_min(1e-3)
    share = torch.softmax((sharpness * heatmaps / peak).flatten(2), -1).view_as(heatmaps)
    x, y = (torch.arange(n, device=heatmaps.device, dtype=heatmaps.dtype) for n in (width, height))
    return torch.stack([(share.sum(-2) * x).sum(-1), (share.sum(-1) * y).sum(-1)], -1)


def dark_landmarks(heatmaps: Tensor, sigma: float = 1.0) -> Tensor:
    """One Newton step on the logarithm of the smoothed map from its brightest pixel (DARK, Zhang et al. 2020, Eq. 6 and 7).

    sigma: of the smoothing Gaussian, in pixels. Returns (B, N, 2) pixels, within one pixel of the brightest one on each axis; where
    the logarithm is not curved like a summit there, that pixel. Where the smoothing would need what is beyond the border, the
    brightest pixel of the map as it is.
    """
    reach = torch.arange(-RADIUS, RADIUS + 1, device=heatmaps.device, dtype=heatmaps.dtype)
    kernel = torch.exp(-(reach**2) / (2 * sigma**2))
    kernel = (kernel[:, None] * kernel / kernel.sum() ** 2)[None, None]
    flat = F.pad(heatmaps.flatten(0, 1)[:, None], [RADIUS] * 4, mode="replicate")
    peak, window, _ = _windows(F.conv2d(flat, kernel).view_as(heatmaps), 1)
    log = window.double().clamp_min(window.amax((-2, -1), keepdim=True).clamp_min(1e-12) * 1e-6).log()
    dx, dy = (log[..., 1, 2] - log[..., 1, 0]) / 2, (log[..., 2, 1] - log[..., 0, 1]) / 2
    dxx = log[..., 1, 2] - 2 * log[..., 1, 1] + log[..., 1, 0]
    dyy = log[..., 2, 1] - 2 * log[..., 1, 1] + log[..., 0, 1]
    dxy = (log[..., 2, 2] - log[..., 2, 0] - log[..., 0, 2] + log[..., 0, 0]) / 4
    determinant = dxx * dyy - dxy**2
    step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / determinant[..., None]
    summit = (determinant > 1e-12) & (dxx < 0)
    read = peak + torch.where(summit[..., None], step, 0).clamp(-1, 1).to(peak)
    return torch.where((_room(peak, heatmaps) > RADIUS).all(-1, keepdim=True), read, argmax_landmarks(heatmaps))


def _windows(heatmaps: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """Brightest pixels (B, N, 2), what is within `radius` of them (B, N, 2 radius + 1, 2 radius + 1), and offsets -radius..radius.

    Beyond the border a window goes on with the value at the border.
    """
    height, width = heatmaps.shape[-2:]
    peak, reach = argmax_landmarks(heatmaps), torch.arange(-radius, radius + 1, device=heatmaps.device)
    x, y = ((peak[..., k, None].long() + reach).clamp(0, n - 1) for k, n in enumerate((width, height)))
    flat = (y[..., :, None] * width + x[..., None, :]).flatten(2)
    side = len(reach)
    return peak, torch.gather(heatmaps.flatten(2), 2, flat).unflatten(2, (side, side)), reach.to(heatmaps.dtype)


def _room(pixels: Tensor, heatmaps: Tensor) -> Tensor:
    """(B, N, 2): how far the image goes on, to the nearer side, from whole pixels (B, N, 2) on each axis."""
    (height, width), (x, y) = heatmaps.shape[-2:], pixels.unbind(-1)
    return torch.stack([torch.minimum(x, width - 1 - x), torch.minimum(y, height - 1 - y)], -1)


def blob_landmarks(heatmaps: Tensor, threshold: float = 0.95) -> Tensor:
    """Centroid of the largest blob of pixels above the threshold (Ham and Oh, Section 4.3): (B, N, 2) pixels.

    Maps must be scaled so that the peak of a landmark that is surely there is 1. Pixels that touch at a corner belong together.
    Where no pixel is above the threshold, of which the paper says nothing, the brightest one.
    """
    points, above = argmax_landmarks(heatmaps), heatmaps > threshold
    for b, n in above.any(-1).any(-1).nonzero():
        blob = torch.from_numpy(largest_component(above[b, n].cpu().numpy(), connectivity=2))
        points[b, n] = blob.nonzero().to(points).mean(0).flip(0)
    return points


DECODERS: dict[Decoder, Callable[[Tensor], Tensor]] = {
    Decoder.ARGMAX: argmax_landmarks,
    Decoder.SUBPIXEL: subpixel_landmarks,
    Decoder.CENTROID: centroid_landmarks,
    Decoder.SOFT_ARGMAX: soft_argmax_landmarks,
    Decoder.DARK: dark_landmarks,
    Decoder.BLOB: blob_landmarks,
}
