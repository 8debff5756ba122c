"""From contours to masks and back, at sub-pixel precision, batched on the device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from skimage.measure import find_contours
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.cases import Size


def pixel_grid(size: Size, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """(H * W, 2) centres (x, y) of all pixels, row by row."""
    y, x = torch.meshgrid(
        torch.arange(size[0], device=device, dtype=dtype), torch.arange(size[1], device=device, dtype=dtype), indexing="ij"
    )
    return torch.stack([x, y], -1).reshape(-1, 2)


def _edges(contour: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The edges of closed polygons (B, n, 2), one by one: start x, start y, and the step to the next point, each (B, 1).

    One by one, since their number is small and no (B, P, n) array has then to be held.
    """
    step = torch.roll(contour, -1, dims=1) - contour
    for i in range(contour.shape[1]):
        yield contour[:, i, :1], contour[:, i, 1:], step[:, i, :1], step[:, i, 1:]


def inside_contour(points: Tensor, contour: Tensor) -> Tensor:
    """Which of (B, P, 2) points lie inside closed polygons (B, n, 2): (B, P) bool, by even-odd crossing of the ray to the right."""
    x, y = points.unbind(-1)
    inside = torch.zeros_like(x, dtype=torch.bool)
    for ax, ay, ex, ey in _edges(contour):
        spans = (ay <= y) != (ay + ey <= y)
        inside ^= spans & ((ex * (y - ay) - ey * (x - ax) < 0) == (ey > 0))
    return inside


def signed_distance(points: Tensor, contour: Tensor) -> Tensor:
    """Distance of (B, P, 2) points to closed polygons (B, n, 2), positive inside: (B, P), pixels. Coordinates must be finite."""
    x, y = points.unbind(-1)
    nearest = torch.full_like(x, torch.inf)
    for ax, ay, ex, ey in _edges(contour):
        px, py = x - ax, y - ay
        along = ((px * ex + py * ey) / (ex * ex + ey * ey).clamp_min(1e-12)).clamp_(0, 1)
        nearest = torch.minimum(nearest, (px - along * ex).square_() + (py - along * ey).square_())
    distance = nearest.sqrt_()
    return torch.where(inside_contour(points, contour), distance, -distance)


def contour_masks(landmarks: Tensor, anatomy: Anatomy, size: Size, soft: bool = False) -> Tensor:
    """Masks whose outlines are the polygons of the landmarks.

    landmarks: (B, N, 2) pixels; a missing (NaN) landmark is left out of its polygon, and a structure with fewer than three has
        an empty mask. Structures whose landmarks are no contour have empty masks too.
    soft: False gives 1 where the pixel's centre is inside; True gives the share of the pixel that is covered, to the accuracy
        of a straight edge (signed distance + 0.5, clipped), so that the 0.5 level set is the outline itself.
    Returns (B, C, H, W) float32.
    """
    batch = len(landmarks)
    masks = torch.zeros(batch, len(anatomy), *size, device=landmarks.device)
    for c, structure in enumerate(anatomy.structures):
        if not structure.contour:
            continue
        polygon = fill_missing(landmarks[:, anatomy.slices[structure.name]])
        known = torch.isfinite(polygon).all(-1).all(-1)
        if not known.any():
            continue
        polygon = polygon[known]
        (top, bottom), (left, right) = _window(polygon, size)
        if top >= bottom or left >= right:
            continue
        grid = pixel_grid((bottom - top, right - left), landmarks.device) + landmarks.new_tensor([left, top])
        grid = grid.expand(len(polygon), -1, -1)
        inside = (
            (signed_distance(grid, polygon.float()) + 0.5).clamp(0, 1) if soft else inside_contour(grid, polygon.float()).float()
        )
        masks[known, c, top:bottom, left:right] = inside.reshape(-1, bottom - top, right - left)
    return masks


def fill_missing(contour: Tensor) -> Tensor:
    """(B, n, 2) contours with each missing point replaced by the present one before it, so that the polygon skips it.

    A contour with fewer than three present points comes back all NaN.
    """
    present = torch.isfinite(contour).all(-1)
    if bool(present.all()):
        return contour
    n = contour.shape[1]
    place = torch.where(present, torch.arange(n, device=contour.device), -1).cummax(1).values
    last = place[:, -1:]  # points before the first present one take the last: the contour is closed
    filled = torch.gather(contour, 1, torch.where(place < 0, last, place).clamp_min(0)[..., None].expand(-1, -1, 2))
    return torch.where((present.sum(1) >= 3)[:, None, None], filled, torch.nan)


def _window(points: Tensor, size: Size, margin: int = 1) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows (top, bottom) and columns (left, right) of the image that hold all points, with a margin."""
    low, high = points.reshape(-1, 2).amin(0).floor().long() - margin, points.reshape(-1, 2).amax(0).ceil().long() + margin + 1
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    return (max(top, 0), min(bottom, size[0])), (max(left, 0), min(right, size[1]))


def polygon_mask(points: np.ndarray, size: Size) -> np.ndarray:
    """(H, W) bool mask of one polygon (n, 2): True where a pixel's centre is inside."""
    grid = pixel_grid(size, dtype=torch.float64)
    polygon = torch.as_tensor(np.asarray(points), dtype=torch.float64)
    return inside_contour(grid[None], polygon[None]).reshape(size).numpy()


def mask_contours(mask: np.ndarray, level: float = 0.5) -> list[np.ndarray]:
    """Sub-pixel outlines of an (H, W) mask or probability map: list of (k, 2) closed curves of (x, y), longest first.

    The image is padded with zeros, so that an outline also closes along the image border.
    """
    padded = np.pad(np.asarray(mask, dtype=np.float32), 1)
    curves = find_contours(padded, level)
    return sorted((curve[:, ::-1] - 1 for curve in curves), key=len, reverse=True)
