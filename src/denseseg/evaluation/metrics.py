"""Errors of one structure in one image: short numpy functions, no knowledge of methods or files; and the table of all metrics.

Points are (x, y) in pixels. Every distance takes `spacing`, the millimetres per pixel; 1 leaves pixels.
Functions here return NaN for what cannot be measured; `clipped` says what a failure costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import KDTree

from denseseg.geometry.contour import Outline, distance_to_outline, sample_outline
from denseseg.geometry.frame import Size


@dataclass(frozen=True)
class Metric:
    """A measure: its title in tables and on axes, its unit ("length" is mm, or px where the spacing is unknown), which values are
    better, and what it is in words."""

    title: str
    unit: Literal["length", "%"]
    better: Literal["lower", "higher"]
    words: str


def metric(key: str) -> Metric:
    """The metric of this key: one of `METRICS`, or "sdr_R" or "beyond_R" for any radius R. Raises KeyError that lists the known."""
    name, _, radius = key.partition("_")
    if name == "sdr":
        return Metric(f"SDR {radius}", "%", "higher", f"Landmarks within {radius} of the truth")
    if name == "beyond":
        return Metric(f"beyond {radius}", "%", "lower", f"Landmarks farther than {radius} from the truth")
    if key not in METRICS:
        raise KeyError(f"unknown metric {key!r}; known: {', '.join(METRICS)}, and sdr_R and beyond_R for any radius R")
    return METRICS[key]


RADII = (2, 4, 10)  # of the successful detection rate, where nobody chooses others; in mm, or px where the spacing is unknown
METRICS = {
    "tre": Metric("TRE", "length", "lower", "Landmark error"),
    **{f"sdr_{radius}": metric(f"sdr_{radius}") for radius in RADII},
    "along": Metric("error along", "length", "lower", "Landmark error along the true outline"),
    "across": Metric("error across", "length", "lower", "Landmark error across the true outline"),
    "asd_one_way": Metric("ASD (one-way)", "length", "lower", "One-way average surface distance"),
    "asd_one_way_published": Metric(
        "ASD (one-way, authors' pixel version)",
        "length",
        "lower",
        "One-way average surface distance, as the authors compute it (their “ASD”)",
    ),
    "assd": Metric("ASSD", "length", "lower", "Average symmetric surface distance"),
    "hd95": Metric("HD95", "length", "lower", "95 % Hausdorff distance"),
    "dsc": Metric("DSC", "%", "higher", "Dice similarity coefficient"),
    "tre_outside": Metric("TRE beyond the border", "length", "lower", "Error of landmarks beyond the image's border"),
    "id_rate": Metric("ID rate", "%", "higher", "Landmarks nearest to their own true landmark, and within 20 mm of it"),
    "presence": Metric("presence accuracy", "%", "higher", "Structures whose presence or absence was told rightly"),
}


def landmark_errors(predicted: np.ndarray, true: np.ndarray, spacing: float = 1.0) -> np.ndarray:
    """Euclidean distances of (..., N, d) predicted to (..., N, d) true landmarks: (..., N), NaN where either is missing."""
    return np.linalg.norm(np.asarray(predicted, float) - np.asarray(true, float), axis=-1) * spacing


def target_registration_error(predicted: np.ndarray, true: np.ndarray, spacing: float = 1.0) -> float:
    """TRE: mean of `landmark_errors` over the landmarks that both sides have; NaN where there are none."""
    return _mean(landmark_errors(predicted, true, spacing))


def slides(predicted: np.ndarray, true: np.ndarray, spacing: float = 1.0) -> np.ndarray:
    """Signed parts of the landmark errors along a closed outline: (N,), positive in its order; NaN where either side is missing.

    predicted, true: (N, 2), in order round the outline. Its direction at a true landmark is that from the known landmark before it
    to the one after it; where these two coincide, the outline has no direction and the slide is 0.
    """
    known = np.isfinite(true).all(-1)
    direction = np.full(true.shape, np.nan)
    direction[known] = np.roll(true[known], -1, axis=0) - np.roll(true[known], 1, axis=0)
    direction /= np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-12)
    return ((predicted - true) * direction).sum(-1) * spacing


def along_and_across(predicted: np.ndarray, true: np.ndarray, spacing: float = 1.0) -> np.ndarray:
    """Parts of the landmark error along (|`slides`|) and across a closed outline: (N, 2), both positive; NaN where either side is
    missing. Where the outline has no direction, all of the error counts as across.
    """
    along = np.abs(slides(predicted, true, spacing))
    across = np.sqrt(np.maximum(landmark_errors(predicted, true, spacing) ** 2 - along**2, 0))
    return np.stack([along, across], axis=-1)


def success_rate(errors: np.ndarray, radius: float) -> float:
    """SDR, the successful detection rate: share in [0, 1] of the known errors that are at most `radius`, in their unit."""
    errors = errors[~np.isnan(errors)]
    return _mean(errors <= radius)


def cumulative_share(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cumulative distribution of errors of any shape: the (k,) finite ones in order, and for each the share in [0, 1] of all
    errors that are at most as large. A failure is infinite and no error reaches it; NaN is not judged.
    """
    errors = np.asarray(errors, float)
    known = np.sort(errors[~np.isnan(errors)])
    found = known[np.isfinite(known)]
    return found, np.arange(1, len(found) + 1) / max(len(known), 1)


def identified(predicted: np.ndarray, true: np.ndarray, spacing: float | np.ndarray = 1.0, radius: float = 20.0) -> np.ndarray:
    """Which landmarks lie nearest to their own true landmark, and at most `radius` mm from it (SCN, Section 3.2, Eq. 8).

    predicted, true: (..., N, d), d = 2 or 3. spacing: millimetres per pixel, one number or (d,).
    Returns (..., N): 1 or 0, NaN where the truth is missing. A landmark that was not placed is not identified. The sum is the
    paper's #ID.
    """
    predicted, true = np.asarray(predicted, float) * spacing, np.asarray(true, float) * spacing
    distances = np.linalg.norm(predicted[..., :, None, :] - true[..., None, :, :], axis=-1)  # (..., N predicted, N true)
    distances = np.where(np.isnan(distances), np.inf, distances)
    own = np.diagonal(distances, axis1=-2, axis2=-1)
    return np.where(np.isfinite(true).all(-1), (own <= distances.min(-1)) & (own <= radius), np.nan)


def id_rate(predicted: np.ndarray, true: np.ndarray, spacing: float | np.ndarray = 1.0, radius: float = 20.0) -> float:
    """Share in [0, 1] of the known landmarks that are `identified`, over all images of (..., N, d)."""
    return _mean(identified(predicted, true, spacing, radius))


def asd_one_way(points: np.ndarray, outline: Outline, spacing: float = 1.0) -> float:
    """Mean distance from predicted landmarks to the true outline.

    The published tables call this one-directional measure "ASD". It forgives sliding along the outline and parts of the
    outline that no landmark reaches: read it beside the symmetric `assd`. The distance to the outline is exact here;
    `asd_one_way_published` is the authors' pixel version.
    """
    return _mean(distance_to_outline(points, outline) * spacing)


def asd_one_way_published(points: np.ndarray, mask: np.ndarray, spacing: float = 1.0) -> float:
    """`asd_one_way` as the authors compute it, from the (H, W) true mask: for comparison only."""
    return _mean(distance_map_values(points, mask) * spacing)


def distance_map_values(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """|signed distance transform| of an (H, W) mask, read bilinearly at (P, 2) points: (P,), pixels; NaN for missing points.

    The transform measures to pixel centres, inside negative, so it steps from -1 to 1 across the outline. A point outside
    the image takes the value at the border; the authors' sampler returns 0 there, so that landmarks off the image cost nothing.
    """
    mask = np.asarray(mask, bool)
    signed = distance_transform_edt(~mask) - distance_transform_edt(mask)
    values = np.full(len(points), np.nan)
    known = np.isfinite(points).all(-1)
    if mask.any() and known.any():
        values[known] = np.abs(map_coordinates(signed, np.asarray(points)[known, ::-1].T, order=1, mode="nearest"))
    return values


def surface_distances(first: Outline, second: Outline, step: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Distances from points along each outline to the other one, pixels: (first to second, second to first).

    Points lie evenly along the curves, so a mean over them is a mean over length, whatever the polygon's corners. The other
    outline is a cloud of points `step` apart: equal outlines give exactly 0, the error is at most step / 2 where
    outlines touch, and step^2 / 8d at distance d. Empty arrays where either outline is empty.
    """
    if not first or not second:
        return np.empty(0), np.empty(0)
    a, b = sample_outline(first, step), sample_outline(second, step)
    return KDTree(b).query(a[::5])[0], KDTree(a).query(b[::5])[0]


def assd(distances: tuple[np.ndarray, np.ndarray], spacing: float = 1.0) -> float:
    """Average symmetric surface distance: mean over both directions of `surface_distances`, each outline by its length."""
    return _mean(np.concatenate(distances) * spacing)


def hd95(distances: tuple[np.ndarray, np.ndarray], spacing: float = 1.0) -> float:
    """95 % Hausdorff distance: the larger of the two directions' 95th percentiles."""
    if any(len(d) == 0 for d in distances):
        return float("nan")
    return float(max(np.percentile(d, 95) for d in distances)) * spacing


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """DSC, the Dice similarity coefficient of two bool masks, in [0, 1]; NaN where both are empty."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2 * np.count_nonzero(np.logical_and(first, second)) / total if total else float("nan")


def failure_distance(size: Size, spacing: float = 1.0) -> float:
    """What a failed landmark or outline costs in every distance: half the diagonal of the (H, W) image."""
    return float(np.hypot(*size)) / 2 * spacing


def clipped(distances: np.ndarray, size: Size, spacing: float = 1.0) -> np.ndarray:
    """What distances count: a failure (infinite) costs `failure_distance`, all others at most that, so no failure beats an answer.

    NaN, which is not judged, stays NaN.
    """
    return np.minimum(distances, failure_distance(size, spacing))


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")
