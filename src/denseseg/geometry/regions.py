"""Which part of an image each structure covers: all structures of all cases of a batch at once, in small windows.

Landmarks are few and pixels are many. So the landmarks are read back from the device once, and all that decides sizes happens on
the host; the pixels never leave the device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.geometry.contour import fill_contours, on_device, soften
from denseseg.geometry.frame import Size
from denseseg.geometry.spline import usable

HULL_MARGIN = 0.1  # of the longer side of the points' box
GROUP_COST = 3e5  # fixed cost of one more group on a CPU, in pixels times landmarks


def padded_landmarks(landmarks: Tensor, anatomy: Anatomy) -> Tensor:
    """(..., N, 2) -> (..., C, n, 2): the landmarks of each structure, NaN beyond its count."""
    places = on_device(anatomy.padded, landmarks)
    return torch.where((places < 0)[..., None], torch.nan, landmarks[..., places, :])


@dataclass(frozen=True)
class Windows:
    """S structures of a batch, of about equal size, each in a window of h by w pixels.

    rows: (S,) integers, case * C + structure. first: (S, 2) the windows' first pixel (x, y); they lie within the image.
    landmarks: (S, n, 2) pixels, NaN where missing. polygon: (S, k, 2) what encloses the region, in pixels of the window.
    longest: the longest edge of all polygons, pixels. stride: pixels, 1 to 4, between
    the points of the coarse grid on which a spline is evaluated: the least mean spacing of a structure's landmarks.
    inside: (S, h, w) bool, the pixels whose centre the polygon encloses.
    """

    rows: np.ndarray
    first: Tensor
    landmarks: Tensor
    polygon: Tensor
    longest: float
    stride: int
    inside: Tensor

    @property
    def size(self) -> Size:
        return (self.inside.shape[1], self.inside.shape[2])

    def taken(self, index: np.ndarray) -> Windows:
        """The windows at these (k,) indices."""
        i = on_device(index, self.first)
        tensors = {name: getattr(self, name)[i] for name in ("first", "landmarks", "polygon", "inside")}
        return replace(self, rows=self.rows[index], **tensors)

    @cached_property
    def place(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row, y and x of each window's pixels, as indices into an array (B * C, H, W)."""
        (height, width), (x, y) = self.size, self.first.long()[:, :, None, None].unbind(1)
        device = self.first.device
        down, across = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
        return on_device(self.rows, self.first)[:, None, None], y + down, x + across


@dataclass(frozen=True)
class Regions:
    """The regions of a batch, in groups of windows of about equal size; one without a region is in none. shape: B, C, H, W."""

    shape: tuple[int, int, int, int]
    groups: list[Windows]
    device: torch.device

    def paste(self, image: Tensor, windows: Iterable[Tensor]) -> Tensor:
        """Copy windows (S, h, w), one tensor a group, to their places in a (B, C, H, W) image."""
        for group, values in zip(self.groups, windows, strict=True):
            image.view(-1, *self.shape[2:])[group.place] = values
        return image

    def masks(self, soft: bool = False) -> Tensor:
        """(B, C, H, W) float32: see `contour_masks`."""
        windows = (soften(g.inside, g.polygon, g.longest) if soft else g.inside.float() for g in self.groups)
        return self.paste(torch.zeros(self.shape, device=self.device), windows)


def contour_masks(landmarks: Tensor, anatomy: Anatomy, size: Size, soft: bool = False) -> Tensor:
    """(B, C, H, W) float32 masks of the regions that landmarks (B, N, 2) enclose; see `find_regions`.

    soft: False gives 1 where the pixel's centre is inside; True gives the share of the pixel that is covered, to the accuracy
        of a straight edge (signed distance + 0.5, clipped), so that the 0.5 level set is the outline itself.
    """
    return find_regions(landmarks, anatomy, size).masks(soft)


def find_regions(landmarks: Tensor, anatomy: Anatomy, size: Size, margin: int = 1) -> Regions:
    """What the structures of a batch cover.

    An outline covers what it encloses; a missing landmark is left out of it. Points with region "hull" cover their convex hull,
    grown on all sides by a tenth of the longer side of their box. Open curves and other points cover nothing, and neither does a
    structure with fewer than three landmarks, or whose landmarks lie in one line.

    landmarks: (B, N, 2) pixels of an image of `size`, NaN where missing; margin: pixels round each region that its window has too.
    """
    n = anatomy.padded.shape[1]
    points = padded_landmarks(landmarks.detach().float().cpu(), anatomy).numpy().reshape(-1, n, 2)
    points = np.where(np.isfinite(points).all(-1, keepdims=True), points, np.nan)
    rows = np.flatnonzero(np.tile([s.covers for s in anatomy.structures], len(landmarks)) & usable(points))
    regions = Regions((len(landmarks), len(anatomy), *size), [], landmarks.device)
    if not len(rows):
        return regions
    structure, points = rows % len(anatomy), points[rows]
    parts = [p[np.isfinite(p[:, 0])] for p in points]
    parts = [p if anatomy.structures[c].outlined else grown_hull(p) for c, p in zip(structure, parts, strict=True)]
    count = np.array([len(part) for part in parts])
    polygon = np.stack([np.pad(part, ((0, count.max() - len(part)), (0, 0)), mode="edge") for part in parts])
    limit = np.array([size[1], size[0]])
    low = np.clip(np.floor(polygon.min(1)) - margin, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(polygon.max(1)) + margin + 1, 1, limit).astype(int)
    edge = np.linalg.norm(np.roll(polygon, -1, axis=1) - polygon, axis=-1)
    spacing = np.full(len(anatomy), np.inf)  # mean along each structure's outline, in the case where it is least
    np.minimum.at(spacing, structure, edge.sum(1) / np.array(anatomy.counts)[structure])
    stride = np.clip(spacing[structure], 1, 4).astype(int)
    work = np.column_stack([high - low, count, 1 / stride**2])
    for group in _alike(work, 4 if landmarks.device.type == "cpu" else 1):
        width, height = (high - low)[group].max(0).tolist()
        first = np.minimum(low[group], limit - [width, height]).astype(np.float32)
        inner = on_device(polygon[group, : count[group].max()] - first[:, None], landmarks)
        used = np.flatnonzero(np.isfinite(points[group]).any((0, 2)))[-1] + 1
        marks, inside = on_device(points[group, :used], landmarks), fill_contours(inner, (height, width))
        longest, least = float(edge[group].max()), int(stride[group].min())
        regions.groups.append(Windows(rows[group], on_device(first, landmarks), marks, inner, longest, least, inside))
    return regions


def grown_hull(points: np.ndarray) -> np.ndarray:
    """(k, 2) outline of the convex hull of (n, 2) points, grown on all sides by `HULL_MARGIN` of the longer side of their box."""
    angle = np.arange(16) * np.pi / 8
    circle = HULL_MARGIN * np.ptp(points, axis=0).max() * np.stack([np.cos(angle), np.sin(angle)], -1)
    cloud = (points[:, None] + circle).reshape(-1, 2)
    return cloud[ConvexHull(cloud).vertices].astype(points.dtype)


def _alike(work: np.ndarray, most: int) -> list[np.ndarray]:
    """Windows in up to `most` groups, as indices, so that padding each to the largest of its group costs least.

    work: (S, k) factors whose product is the cost of a window.
    """
    everyone = np.arange(len(work))
    best, halves = _cost(work)[-1] - GROUP_COST, [everyone]
    for key in (work.prod(1), *work.T) if most > 1 and len(work) > 1 else ():
        order = np.argsort(key, kind="stable")
        total = _cost(work[order])[:-1] + _cost(work[order[::-1]])[-2::-1]
        cut = int(total.argmin())
        if total[cut] < best:
            best, halves = total[cut], [order[: cut + 1], order[cut + 1 :]]
    return [half[group] for half in halves for group in _alike(work[half], most // 2)] if len(halves) > 1 else halves


def _cost(work: np.ndarray) -> np.ndarray:
    """(S,) cost of the first 1, 2, ... S rows as one group."""
    return np.maximum.accumulate(work).prod(1) * np.arange(1, len(work) + 1)
