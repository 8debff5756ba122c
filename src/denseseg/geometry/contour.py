"""From contours to masks and back, at sub-pixel precision, batched on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from skimage.measure import find_contours
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.geometry.frame import Size


def pixel_grid(size: Size, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """(H * W, 2) centres (x, y) of all pixels, row by row."""
    y, x = torch.meshgrid(
        torch.arange(size[0], device=device, dtype=dtype), torch.arange(size[1], device=device, dtype=dtype), indexing="ij"
    )
    return torch.stack([x, y], -1).reshape(-1, 2)


def fill_contours(contour: Tensor, size: Size) -> Tensor:
    """(B, H, W) bool: which pixel centres lie inside closed polygons (B, n, 2) of finite points, by the even-odd rule.

    Scan lines: each edge flips the parity of all pixels right of where it crosses their row, so a running sum along the row tells.
    """
    height, width = size
    y = torch.arange(height, device=contour.device, dtype=contour.dtype)[:, None]
    step = torch.roll(contour, -1, dims=1) - contour
    (ax, ay), (ex, ey) = contour[:, None].unbind(-1), step[:, None].unbind(-1)  # each (B, 1, n)
    spans = (ay <= y) != (ay + ey <= y)  # (B, H, n)
    crossing = ax + (y - ay) / torch.where(spans, ey, 1) * ex
    first = (crossing.floor() + 1).clamp(0, width).long()
    flips = torch.zeros(len(contour), height, width + 1, dtype=torch.uint8, device=contour.device)
    flips.scatter_add_(2, first, spans.byte())
    return (flips[..., :-1].cumsum(2, dtype=torch.uint8) & 1).bool()  # the sum may overflow at 256: its parity does not change


def contour_windows(contour: Tensor, size: Size, margin: int = 1) -> tuple[Tensor, Tensor]:
    """Small windows of an image that hold closed polygons: most structures cover a small part of it.

    contour: (B, n, 2) finite points, of which any may lie outside the image; margin: pixels round each polygon.
    Returns the windows' first (column, row) (B, 2), and which of their pixels lie inside the polygon, (B, h, w) bool. They share
    one size and all lie within the image, also where a polygon does not.
    """
    limit = torch.tensor([size[1], size[0]], device=contour.device)
    low = (contour.amin(1).floor().long() - margin).clamp_min(0).minimum(limit - 1)
    high = (contour.amax(1).ceil().long() + margin + 1).clamp_min(1).minimum(limit)
    extent = (high - low).amax(0)
    first = low.minimum(limit - extent)
    w, h = extent.tolist()
    return first, fill_contours(contour - first[:, None], (h, w))


def paste(images: Sequence[Tensor], windows: Tensor, first: Tensor) -> None:
    """Copy windows (B, ..., h, w) into B images (..., H, W), the first pixel of each to its (column, row) of `first` (B, 2)."""
    h, w = windows.shape[-2:]
    for image, window, (x, y) in zip(images, windows, first.tolist(), strict=True):
        image[..., y : y + h, x : x + w] = window


def distance_to_contour(points: Tensor, contour: Tensor) -> Tensor:
    """Distance of (B, P, 2) points to the edges of closed polygons (B, n, 2): (B, P), pixels."""
    step = torch.roll(contour, -1, dims=1) - contour
    (ax, ay), (ex, ey) = contour[:, None].unbind(-1), step[:, None].unbind(-1)  # each (B, 1, n)
    dx, dy = points[:, :, :1] - ax, points[:, :, 1:] - ay  # (B, P, n)
    along = ((dx * ex + dy * ey) / (ex.square() + ey.square()).clamp_min(1e-12)).clamp(0, 1)
    return ((dx - along * ex).square() + (dy - along * ey).square()).amin(-1).sqrt()


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


def dilate(masks: Tensor, reach: int) -> Tensor:
    """(B, H, W) bool masks grown by `reach` pixels along rows, columns and diagonals: shifted ORs, far faster than pooling."""
    for axis in (1, 2):
        grown, length = masks.clone(), masks.shape[axis]
        for shift in range(1, min(reach, length - 1) + 1):
            grown.narrow(axis, shift, length - shift).logical_or_(masks.narrow(axis, 0, length - shift))
            grown.narrow(axis, 0, length - shift).logical_or_(masks.narrow(axis, shift, length - shift))
        masks = grown
    return masks


def _soften(masks: Tensor, contour: Tensor) -> Tensor:
    """Masks as the share of each pixel that is covered: signed distance + 0.5, clipped; only the pixels at the edge need it."""
    soft = masks.float()
    edge = dilate(masks, 1) & dilate(~masks, 1)
    _mark(edge, contour)  # a tip may be so sharp that it passes between all pixel centres
    b, row, column = edge.nonzero(as_tuple=True)
    points = torch.stack([column, row], -1).to(contour)
    distance = distance_to_contour(points[:, None], contour[b])[:, 0]
    soft[b, row, column] = (0.5 + torch.where(masks[b, row, column], distance, -distance)).clamp(0, 1)
    return soft


def _mark(masks: Tensor, points: Tensor) -> None:
    """Set the pixels of (B, H, W) masks that hold one of the (B, n, 2) points."""
    height, width = masks.shape[1:]
    column, row = points.round().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    batch = torch.arange(len(masks), device=masks.device)[:, None].expand_as(inside)
    masks[batch[inside], row[inside], column[inside]] = True


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
        if not structure.outlined:
            continue
        polygon = fill_missing(landmarks[:, anatomy.slices[structure.name]].float())
        known = torch.isfinite(polygon).flatten(1).all(1)
        if not bool(known.any()):
            continue
        first, inside = contour_windows(polygon[known], size)
        windows = _soften(inside, polygon[known] - first[:, None]) if soft else inside.float()
        paste([masks[b, c] for b in known.nonzero().flatten().tolist()], windows, first)
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


def polygon_mask(points: np.ndarray, size: Size) -> np.ndarray:
    """(H, W) bool mask of one polygon (n, 2): True where a pixel's centre is inside."""
    return fill_contours(torch.as_tensor(np.asarray(points, float))[None], size)[0].numpy()


def mask_contours(mask: np.ndarray, level: float = 0.5) -> list[np.ndarray]:
    """Sub-pixel outlines of an (H, W) mask or probability map: list of (k, 2) closed curves of (x, y), longest first.

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
    points = np.asarray(points, float)
    if not outline:
        return np.full(len(points), np.nan)
    starts = np.concatenate(outline)
    edges = np.concatenate([np.roll(curve, -1, axis=0) for curve in outline]) - starts
    offset = points[:, None] - starts
    along = (offset * edges).sum(-1) / np.maximum((edges**2).sum(-1), 1e-12)
    return np.linalg.norm(offset - np.clip(along, 0, 1)[..., None] * edges, axis=-1).min(1)


def sample_outline(outline: Outline, step: float) -> np.ndarray:
    """(P, 2) points spread evenly, at most `step` pixels apart, along closed curves; (0, 2) for an empty outline."""
    return np.concatenate([np.empty((0, 2)), *(_sample_curve(curve, step) for curve in outline)])


def _sample_curve(curve: np.ndarray, step: float) -> np.ndarray:
    closed = np.vstack([curve, curve[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0, length[-1], max(int(np.ceil(length[-1] / step)), 1), endpoint=False)
    return np.column_stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)])
