"""From contours to masks and back, at sub-pixel precision: polygons as batches on a device, outlines as numpy arrays."""

from __future__ import annotations

import numpy as np
import torch
from skimage.measure import find_contours, label
from torch import Tensor
from torch.nn import functional as F

from denseseg.geometry.frame import Size


def on_device(values: np.ndarray, like: Tensor) -> Tensor:
    """The values as a tensor beside `like`, without waiting for what the device is doing."""
    return torch.as_tensor(values).to(like.device, non_blocking=True)


def pixel_grid(size: Size, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """(H * W, 2) centres (x, y) of all pixels, row by row."""
    y, x = torch.meshgrid(
        torch.arange(size[0], device=device, dtype=dtype), torch.arange(size[1], device=device, dtype=dtype), indexing="ij"
    )
    return torch.stack([x, y], -1).reshape(-1, 2)


def largest_component(mask: np.ndarray, connectivity: int = 1) -> np.ndarray:
    """(H, W) bool: the largest connected part of a mask, the first of several as large; an empty mask stays empty.

    connectivity: 1, pixels touch along rows and columns; 2, at corners too.
    """
    parts = label(mask, connectivity=connectivity)
    return mask & (parts == 1 + np.bincount(parts[mask], minlength=2)[1:].argmax())


def fill_contours(contour: Tensor, size: Size) -> Tensor:
    """(B, H, W) bool: which pixel centres lie inside closed polygons (B, n, 2) of finite points, by the even-odd rule.

    Scan lines: each edge flips the parity of all pixels right of where it crosses their row, so a running sum along the row tells.
    """
    height, width = size
    y = torch.arange(height, device=contour.device, dtype=contour.dtype)[:, None]
    step = torch.roll(contour, -1, dims=1) - contour
    (ax, ay), (ex, ey) = contour[:, None].unbind(-1), step[:, None].unbind(-1)  # each (B, 1, n)
    above = ay <= y  # (B, H, n)
    spans = above != torch.roll(above, -1, dims=2)
    crossing = ax + (y - ay) / torch.where(spans, ey, 1) * ex
    first = (crossing.floor() + 1).clamp(0, width).long()
    flips = torch.zeros(len(contour), height, width + 1, dtype=torch.uint8, device=contour.device)
    flips.scatter_add_(2, first, spans.byte())
    return (flips[..., :-1].cumsum(2, dtype=torch.uint8) & 1).bool()  # the sum may overflow at 256: its parity does not change


def _squared_distance(dx: Tensor, dy: Tensor, ex: Tensor, ey: Tensor) -> Tensor:
    """Of points, given relative to the starts of line segments, from these segments (ex, ey)."""
    along = ((dx * ex + dy * ey) / (ex.square() + ey.square()).clamp_min(1e-12)).clamp(0, 1)
    return (dx - along * ex).square() + (dy - along * ey).square()


def distance_to_contour(points: Tensor, contour: Tensor) -> Tensor:
    """Distance of (B, P, 2) points to the edges of closed polygons (B, n, 2): (B, P), pixels."""
    step = torch.roll(contour, -1, dims=1) - contour
    (ax, ay), (ex, ey) = contour[:, None].unbind(-1), step[:, None].unbind(-1)  # each (B, 1, n)
    return _squared_distance(points[:, :, :1] - ax, points[:, :, 1:] - ay, ex, ey).amin(-1).sqrt()


def signed_distance(points: Tensor, contour: Tensor) -> Tensor:
    """`distance_to_contour`, positive for points inside the polygon (even-odd rule) and negative outside."""
    ax, ay = contour[:, None].unbind(-1)
    ex, ey = (torch.roll(contour, -1, dims=1) - contour)[:, None].unbind(-1)
    x, y = points[:, :, :1], points[:, :, 1:]
    spans = (ay <= y) != (ay + ey <= y)
    to_the_right = ax + (y - ay) / torch.where(spans, ey, 1) * ex > x
    inside = (spans & to_the_right).sum(-1) % 2 == 1
    distance = distance_to_contour(points, contour)
    return torch.where(inside, distance, -distance)


def soften(inside: Tensor, contour: Tensor, longest: float) -> Tensor:
    """The share of each pixel that is covered: signed distance + 0.5, clipped; exact beside a straight edge.

    inside: (B, H, W) bool, `fill_contours` of the polygons `contour` (B, n, 2); longest: at least the length of their longest
    edge. Returns (B, H, W) float32 in [0, 1], whose 0.5 level set is the outline.

    Only pixels within 0.5 of an edge are neither 0 nor 1. So edges are cut into pieces of at most two pixels, and each piece tells
    its distance to the 4 x 4 pixels that can be so near.
    """
    pieces = max(int(np.ceil(longest / 2)), 1)
    step = ((torch.roll(contour, -1, dims=1) - contour) / pieces)[:, :, None]  # (B, n, 1, 2)
    start = contour[:, :, None] + step * torch.arange(pieces, device=contour.device)[:, None]  # (B, n, pieces, 2)
    nearby = (torch.minimum(start, start + step) - 0.5).ceil()[..., None, :] + pixel_grid((4, 4), contour.device)
    (dx, dy), (ex, ey) = (nearby - start[..., None, :]).unbind(-1), step[..., None, :].unbind(-1)
    distance = _squared_distance(dx, dy, ex, ey).sqrt()
    batch, height, width = inside.shape
    x, y = nearby.long().unbind(-1)
    seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = torch.where(seen, y * width + x, height * width)  # what lies beyond the image goes to one more place, and is dropped
    nearest = torch.full((batch, height * width + 1), torch.inf, device=contour.device)
    nearest = nearest.scatter_reduce_(1, place.flatten(1), distance.flatten(1), "amin")[:, :-1].view_as(inside)
    return (0.5 + torch.where(inside, nearest, -nearest)).clamp(0, 1)


def dilate(masks: Tensor, reach: int) -> Tensor:
    """(B, H, W) bool masks grown by `reach` pixels along rows, columns and diagonals: shifted ORs."""
    grown = F.pad(masks, [reach] * 4)
    for axis in (1, 2):
        width = 1  # of what is joined so far; each OR doubles it
        while width < 2 * reach + 1:
            step = min(width, 2 * reach + 1 - width)
            kept = grown.shape[axis] - step
            grown = grown.narrow(axis, 0, kept) | grown.narrow(axis, step, kept)
            width += step
    return grown


def polygon_mask(points: np.ndarray, size: Size) -> np.ndarray:
    """(H, W) bool mask of one polygon (n, 2): True where a pixel's centre is inside."""
    return fill_contours(torch.as_tensor(np.asarray(points, float))[None], size)[0].numpy()


def mask_contours(mask: np.ndarray, level: float = 0.5) -> list[np.ndarray]:
    """Sub-pixel outlines of an (H, W) mask or probability map: list of (k, 2) closed curves of (x, y), the one with most
    points first.

    The image is padded with zeros, so that an outline also closes along the image border.
    """
    padded = np.pad(np.asarray(mask, dtype=np.float32), 1)
    above = padded >= level
    (top, bottom), (left, right) = (_ends(above.max(axis)) for axis in (1, 0))  # most structures fill a small part of the image
    curves = find_contours(padded[top:bottom, left:right], level)
    return sorted((curve[:, ::-1] + [left - 1, top - 1] for curve in curves), key=len, reverse=True)


def _ends(present: np.ndarray) -> tuple[int, int]:
    """First and end index of the stretch that holds all True, with one neighbour at each end; at least two long."""
    places = np.flatnonzero(present)
    return (int(places[0]) - 1, int(places[-1]) + 2) if len(places) else (0, 2)


Outline = list[np.ndarray]  # closed curves, each (k, 2)


def distance_to_outline(points: np.ndarray, outline: Outline) -> np.ndarray:
    """Exact unsigned distances of (P, 2) points to the nearest edge of closed curves: (P,), pixels.

    NaN where a point is missing or the outline is empty. Costs P times the number of edges: meant for landmarks.
    """
    where = torch.as_tensor(np.asarray(points, float))[None]
    nearest = np.full(len(points), np.inf if outline else np.nan)
    for curve in outline:
        nearest = np.minimum(nearest, distance_to_contour(where, torch.as_tensor(np.asarray(curve, float))[None])[0].numpy())
    return nearest


def signed_area(polygon: np.ndarray) -> float:
    """Area of an (n, 2) polygon, in its unit squared, positive where it runs clockwise on a displayed image."""
    x, y = (polygon - polygon[0]).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def perimeter(curve: np.ndarray) -> float:
    """Length of a closed curve (k, 2), in its unit."""
    return float(np.linalg.norm(np.roll(curve, -1, axis=0) - curve, axis=1).sum())


def resample(curve: np.ndarray, count: int) -> np.ndarray:
    """(count, 2) points spread evenly along a closed curve (k, 2), the first one on its first point."""
    closed = np.concatenate([curve, curve[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0, length[-1], count, endpoint=False)
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], axis=1)


def sample_outline(outline: Outline, step: float) -> np.ndarray:
    """(P, 2) points spread evenly, at most `step` pixels apart, along closed curves; (0, 2) for an empty outline."""
    parts = [resample(curve, max(int(np.ceil(perimeter(curve) / step)), 1)) for curve in outline]
    return np.concatenate([np.empty((0, 2)), *parts])
