"""Landmarks projected onto the predicted outline, in their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.distance import cdist

from denseseg.geometry.contour import mask_contours, perimeter, resample, signed_area
from denseseg.geometry.frame import inside_image
from denseseg.geometry.template import Template
from denseseg.geometry.warp import sample

FLATTEST = 0.05


@dataclass(frozen=True)
class Projection:
    """Landmarks on an outline: points (n, 2) pixels, and what the step makes of their covariance.

    jacobian: (n, 2, 2), d(projected) / d(given): onto the outline's tangent; own: (n, 2, 2) pixels squared, the covariance of the
    outline itself, which lies across it. Identity and zero where a landmark stayed.
    """

    points: np.ndarray
    jacobian: np.ndarray
    own: np.ndarray

    def covariance(self, given: np.ndarray) -> np.ndarray:
        """(n, 2, 2) pixels squared, of the projected points where the given ones had the covariance `given`."""
        return self.jacobian @ given @ self.jacobian.swapaxes(1, 2) + self.own


def project_onto_outline(
    points: np.ndarray,
    uv: np.ndarray | None,
    probability: np.ndarray,
    targets: np.ndarray,
    half_extent: np.ndarray,
    uv_weight: float = 1.0,
    step: float = 0.25,
) -> Projection:
    """Move landmarks that the anatomy places on an outline to the 0.5 level set of the predicted mask.

    Landmark x goes to the outline point p with the least |p - x|^2 + uv_weight |(uv(p) - target) * half_extent|^2: nearest in
    the image and in the template together, both in pixels. The landmarks keep their order along the outline, so that a noisy map
    cannot make the contour cross itself: the one with the least cost takes its own best place, the others those with the least sum
    of costs that the order then allows.

    Where the image border cuts a structure, its mask ends at the border, not at an outline. That stretch takes its part in the
    order, but a landmark that belongs to it stays where it is, as do all that are missing or lie beyond the border pixels.

    points: (n, 2) decoded pixels; uv: (2, H, W), or None with a weight of 0; probability: (H, W) in [0, 1]; targets: (n, 2) uv;
    half_extent: (2,) template pixels per unit uv. Nothing moves where the mask has no outline.
    """
    seen = inside_image(points, probability.shape, margin=0)  # beyond the border's centres `mask_contours` closes the outline
    curves = mask_contours(probability)
    if not curves or not seen.any():
        return _unmoved(points)
    outline = resample(curves[0], max(int(perimeter(curves[0]) / step), 4 * len(points)) - 1)
    if (signed_area(outline) > 0) != (signed_area(targets) > 0):
        outline = outline[::-1]
    cost = cdist(points[seen], outline, "sqeuclidean")
    if uv_weight:
        assert uv is not None
        cost += uv_weight * cdist(targets[seen] * half_extent, _read(uv, outline) * half_extent, "sqeuclidean")
    place = _cyclic_assignment(cost)
    moved = seen.copy()
    moved[seen] = inside_image(outline, probability.shape, margin=0)[place]
    projection = _unmoved(points)
    projection.points[seen] = np.where(moved[seen, None], outline[place], points[seen])
    normal, variance = _across(probability, projection.points[moved])
    across = normal[:, :, None] * normal[:, None]
    projection.jacobian[moved] -= across
    projection.own[moved] = variance[:, None, None] * across
    return projection


def _unmoved(points: np.ndarray) -> Projection:
    return Projection(points.copy(), np.tile(np.eye(2), (len(points), 1, 1)), np.zeros((len(points), 2, 2)))


def _across(probability: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (n, 2) of the outline, and its variance (n,) along them in pixels squared.

    Where an edge is known up to a Gaussian of standard deviation s, the probability to be inside is its distribution function,
    whose slope at 0.5 is 1 / (sqrt(2 pi) s). A slope below `FLATTEST` a pixel counts as that: s is at most 8 pixels.
    """
    steps = 0.5 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    right, left, below, above = (_read(probability[None], points + step)[:, 0] for step in steps)
    gradient = np.stack([right - left, below - above], -1)
    slope = np.linalg.norm(gradient, axis=1)
    return gradient / np.maximum(slope, 1e-12)[:, None], 1 / (2 * np.pi * np.maximum(slope, FLATTEST) ** 2)


def _cyclic_assignment(cost: np.ndarray) -> np.ndarray:
    """(n,) columns, one for each row of an (n, K) cost with K >= n, in cyclic order.

    The smallest cost of all is taken; from there on round the curve, dynamic programming finds the others, of least total cost.
    (All K beginnings would have to be tried for the least of all.)
    """
    n, k = cost.shape
    first, start = np.unravel_index(cost.argmin(), cost.shape)
    turned = np.roll(cost, (-first, -start), axis=(0, 1))
    total = np.full((n, k), np.inf)
    total[0, 0] = turned[0, 0]
    for i in range(1, n):
        total[i, 1:] = turned[i, 1:] + np.minimum.accumulate(total[i - 1])[:-1]
    column = np.empty(n, dtype=int)
    limit = k
    for i in range(n - 1, -1, -1):
        column[i] = limit = total[i, :limit].argmin()
    return np.roll((column + start) % k, first)


def _read(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values (P, K) of (K, H, W) maps at (P, 2) positions (x, y), clamped to the border."""
    where = torch.as_tensor(np.ascontiguousarray(points), dtype=torch.float32)[None, None]
    return sample(torch.as_tensor(maps, dtype=torch.float32)[None], where, padding="border")[0, :, 0].T.double().numpy()


def project_onto_outlines(
    points: np.ndarray, uv: np.ndarray | None, probability: np.ndarray, template: Template, uv_weight: float = 1.0
) -> Projection:
    """`project_onto_outline` for every structure whose landmarks are an outline; the others stay.

    points: (N, 2); uv: (C, 2, H, W), or None; probability: (C, H, W). uv_weight: as there.
    """
    whole, anatomy = _unmoved(points), template.anatomy
    for c, (structure, where) in enumerate(zip(anatomy.structures, anatomy.slices.values(), strict=True)):
        if structure.outlined:
            targets, extent = template.uv[where], template.half_extent[c]
            own = None if uv is None else uv[c]
            part = project_onto_outline(points[where], own, probability[c], targets, extent, uv_weight)
            whole.points[where], whole.jacobian[where], whole.own[where] = part.points, part.jacobian, part.own
    return whole
