"""uv maps: for each pixel of a structure, its place in the template.

The default of `uv_maps` is the thin-plate spline that carries a case's landmarks to their template uv, evaluated at pixel centres:
exact at the landmarks, smooth, and defined at every pixel of the mask and beyond. The other generators are there for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from denseseg.geometry.contour import dilate, on_device, pixel_grid
from denseseg.geometry.frame import Size
from denseseg.geometry.regions import Regions, Windows, find_regions
from denseseg.geometry.spline import ThinPlateSpline, fit_spline
from denseseg.geometry.template import Template


@dataclass(frozen=True)
class UVMaps:
    """uv maps of a batch.

    uv: (B, C, 2, H, W), channel 0 is u and 1 is v; zero, never NaN, outside `valid`.
    valid: (B, C, H, W) bool, where the map is defined.
    fold_over: (B, C) share of valid pixels where the map turns orientation (Jacobian determinant <= 0).
    """

    uv: Tensor
    valid: Tensor
    fold_over: Tensor


class Generator(StrEnum):
    """How a uv map is made.

    TPS: thin-plate spline inside the region and up to `band` pixels beyond it. The others are valid inside the region only, and
    run on the CPU, a structure at a time: see `uvmap_alternatives`. PUBLISHED is the authors' chain with its released
    normalisation bug, PUBLISHED_FIXED without.
    """

    TPS = "tps"
    LINEAR = "linear"
    POLAR = "polar"
    PUBLISHED = "published"
    PUBLISHED_FIXED = "published_fixed"


def uv_maps(
    landmarks: Tensor,
    template: Template,
    size: Size | None = None,
    generator: Generator | str = Generator.TPS,
    band: int = 4,
    smoothing: float = 1e-4,
    regions: Regions | None = None,
) -> UVMaps:
    """uv maps of a batch of cases.

    landmarks: (B, N, 2) pixels of an image of `size` (default: the template's); NaN marks a missing one. A structure that covers
        no region (see `find_regions`) has no valid pixel.
    generator: where a map of "tps" folds, its smoothing is raised tenfold until it does not (at most four times).
    regions: those of the landmarks where they are known already, found with a margin of more than `band`.
    Raises ValueError for another generator.
    """
    generator = Generator(generator)
    regions = regions or find_regions(landmarks, template.anatomy, size or template.size, band + 1)
    if generator is Generator.TPS:
        return _spline_maps(regions, template, band, smoothing)
    return _casewise_maps(landmarks, regions, template, generator)


def _spline_maps(regions: Regions, template: Template, band: int, smoothing: float) -> UVMaps:
    valid = [dilate(group.inside, band) for group in regions.groups]
    maps = [_fitted(group, mask, template, smoothing) for group, mask in zip(regions.groups, valid, strict=True)]
    folds = torch.zeros(regions.shape[:2], device=regions.device)
    if maps:
        folded = iter(torch.cat([share for _, share in maps]).gt(0).cpu().tolist())  # waits for the device, once for all groups
    for group, mask, (found, share) in zip(regions.groups, valid, maps, strict=True):
        again = np.flatnonzero([next(folded) for _ in group.rows])
        if len(again):
            where = on_device(again, mask)
            found[where], share[where] = _smoothed(again, group, mask, template, smoothing)
        found *= mask[:, None]
        folds.view(-1)[group.place[0].flatten()] = share
    uv = torch.zeros(*regions.shape[:2], 2, *regions.shape[2:], device=regions.device)
    for k in (0, 1):
        regions.paste(uv[:, :, k], [found[:, k] for found, _ in maps])
    return UVMaps(uv, regions.paste(torch.zeros(regions.shape, dtype=torch.bool, device=regions.device), valid), folds)


def _fitted(group: Windows, valid: Tensor, template: Template, smoothing: float | Tensor) -> tuple[Tensor, Tensor]:
    """Spline maps (S, 2, h, w) of windows, and the share (S,) of their valid pixels where they fold."""
    places = template.anatomy.padded[group.rows % len(template.anatomy), : group.landmarks.shape[1]]
    goal = on_device(template.uv.astype(np.float32)[places], valid)
    uv = _on_grid(fit_spline(group.landmarks, goal, smoothing), group.first, group.size, group.stride)
    return uv, fold_over_share(uv, valid)


def _smoothed(members: np.ndarray, group: Windows, valid: Tensor, template: Template, smoothing: float) -> tuple[Tensor, Tensor]:
    """Maps and fold-over shares for folded maps: of the four that are ever smoother, the first that does not fold, or the last.

    All four are made at once, since asking after each whether it folds would wait for the device each time.
    """
    strength = on_device(np.tile(smoothing * 10.0 ** np.arange(1, 5), len(members)), valid)
    four = np.repeat(members, 4)
    uv, share = _fitted(group.taken(four), valid[on_device(four, valid)], template, strength)
    failed = (share > 0).view(-1, 4).long().cumprod(1).sum(1).clamp_max(3)
    chosen = failed + on_device(4 * np.arange(len(members)), valid)
    return uv[chosen], share[chosen]


def _on_grid(spline: ThinPlateSpline, first: Tensor, size: Size, stride: int) -> Tensor:
    """Values (B, 2, h, w) of a spline at the pixels of windows that begin at `first` (B, 2).

    It is evaluated at every `stride`-th pixel, and cubic splines along rows and columns fill in: an error of hundredths
    of a pixel at most, for far fewer evaluations of the spline.
    """
    down, across = (_refinement(n, stride).to(first.device, non_blocking=True) for n in size)  # (h, coarse h), (w, coarse w)
    coarse = (down.shape[1], across.shape[1])
    grid = stride * pixel_grid(coarse, first.device) + first[:, None]
    values = spline(grid).mT.unflatten(2, coarse)
    return values[..., : size[0], : size[1]] if stride == 1 else down @ values @ across.T


@lru_cache(maxsize=1024)
def _refinement(n: int, stride: int) -> Tensor:
    """(n, coarse) matrix from values at every `stride`-th place to values at n consecutive ones, by cubic splines."""
    coarse = np.arange(0, max(n + stride - 1, 4 * stride), stride)
    return torch.as_tensor(make_interp_spline(coarse, np.eye(len(coarse)), k=3)(np.arange(n)), dtype=torch.float32)


def fold_over_share(uv: Tensor, valid: Tensor) -> Tensor:
    """(B,) share of valid pixels of (B, 2, h, w) maps at which the Jacobian determinant of uv by (x, y) is not positive.

    Forward differences; a pixel counts where its right and lower neighbours are valid too.
    """
    dx = uv[:, :, :-1, 1:] - uv[:, :, :-1, :-1]
    dy = uv[:, :, 1:, :-1] - uv[:, :, :-1, :-1]
    inner = valid[:, :-1, :-1] & valid[:, :-1, 1:] & valid[:, 1:, :-1]
    determinant = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
    return ((determinant <= 0) & inner).sum((1, 2)) / inner.sum((1, 2)).clamp_min(1)


def _casewise_maps(landmarks: Tensor, regions: Regions, template: Template, generator: Generator) -> UVMaps:
    from denseseg.geometry import uvmap_alternatives as alternatives

    makers: dict[Generator, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
        Generator.LINEAR: alternatives.linear_map,
        Generator.POLAR: alternatives.polar_map,
        Generator.PUBLISHED: alternatives.published_map,
        Generator.PUBLISHED_FIXED: partial(alternatives.published_map, bug=False),
    }
    batch, structures, *size = regions.shape
    uv, valid = np.zeros((batch, structures, 2, *size), np.float32), np.zeros(regions.shape, bool)
    masks, points = regions.masks().bool().cpu().numpy(), landmarks.double().cpu().numpy()
    for row in np.concatenate([np.empty(0, int), *(group.rows for group in regions.groups)]):
        b, c = divmod(int(row), structures)
        where = list(template.anatomy.slices.values())[c]
        present = np.isfinite(points[b, where]).all(1)
        box = (template.lower[c], template.upper[c])
        uv[b, c], valid[b, c] = makers[generator](points[b, where][present], template.points[where][present], box, masks[b, c])
    maps = on_device(uv, landmarks), on_device(valid, landmarks)
    return UVMaps(*maps, fold_over_share(*(part.flatten(0, 1) for part in maps)).view(batch, structures))
