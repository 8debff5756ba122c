"""Predictions and cases in, one tidy table out, and its summary as the papers print it.

**What a failure costs.** A structure that is in the truth and not in the prediction stays in every mean: a missing landmark or
outline has the error of half the image diagonal and lies within no radius, an empty mask has a DSC of 0. All other distances
are cut at the same limit, so failing never improves a table. (A cut-off that is also the price of a miss is the idea of the
OSPA metric, Schuhmacher et al. 2008.) What the *truth* lacks is not judged: its value is NaN and its n is 0.

**What the image does not show.** Landmarks beyond its border are no part of tre, sdr and asd_one_way: their error is
`tre_outside`. Where cases lack a structure, `presence` is the share of structures whose being there or not was told rightly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from denseseg.cases.case import Case
from denseseg.cases.masks import polygon_masks, true_outline
from denseseg.errors import DataError
from denseseg.evaluation import metrics
from denseseg.geometry.contour import Outline, mask_contours
from denseseg.geometry.frame import inside_image

RADII = (2, 4, 10)  # of the successful detection rate, in mm (or px)


LANDMARK_METRICS = ("tre", *(f"sdr_{r}" for r in RADII))


OUTLINE_METRICS = ("asd_one_way", "asd_one_way_published")


MASK_METRICS = ("assd", "hd95", "dsc")


METRICS = LANDMARK_METRICS + OUTLINE_METRICS + MASK_METRICS


COLUMNS = ["case", "structure", "group", "metric", "value", "unit", "n", "failed"]


@dataclass(frozen=True)
class Score:
    """One value, the number of landmarks (or masks) in it, and whether any of them had no prediction."""

    value: float
    n: int
    failed: bool


UNKNOWN = Score(float("nan"), 0, False)


def evaluate(predictions: Sequence[Any], cases: Sequence[Case]) -> pd.DataFrame:
    """All metrics of all structures of all cases.

    predictions: one per case, in the same order and in the case's own pixels, with `.landmarks` (N, 2), NaN where failed, or
        None where the method has no landmarks, and `.masks` (C, H, W) bool, or None: then the masks are the polygons of the
        landmarks (pixel centres inside).
    Returns one row per case, structure and metric: case, structure, group, metric, value, unit (mm, px or %), n (landmarks
        counted, or 1 for a mask), failed. Metrics: tre, sdr_2, sdr_4, sdr_10, asd_one_way, asd_one_way_published, assd,
        hd95, dsc, and where the cases call for them tre_outside and presence; see `metrics`, and the top of this module. A
        method without landmarks has no tre and sdr, and its asd_one_way starts from all contour points, as published for nnU-Net.
    Raises DataError where predictions and cases do not fit each other.
    """
    _check(predictions, cases)
    lacking = any(_absent(case).any() for case in cases)
    rows = [row for prediction, case in zip(predictions, cases, strict=True) for row in _case_rows(prediction, case, lacking)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _check(predictions: Sequence[Any], cases: Sequence[Case]) -> None:
    if len(predictions) != len(cases):
        raise DataError(f"{len(predictions)} predictions for {len(cases)} cases; give one per case, in the same order")
    if len({prediction.landmarks is None for prediction in predictions}) > 1:
        raise DataError("some predictions have landmarks and some None; mark failed landmarks with NaN, not with None")
    for prediction, case in zip(predictions, cases, strict=True):
        _check_shape("landmarks", prediction.landmarks, case.landmarks.shape, case)
        _check_shape("masks", prediction.masks, (len(case.anatomy), *case.size), case)
        if prediction.landmarks is None and prediction.masks is None:
            raise DataError(f"case {case.id}: the prediction has neither landmarks nor masks; give one of them")


def _check_shape(what: str, array: np.ndarray | None, expected: tuple[int, ...], case: Case) -> None:
    if array is not None and np.shape(array) != expected:
        raise DataError(
            f"case {case.id}: predicted {what} have shape {np.shape(array)}, the case needs {expected}; "
            "predict in the case's own pixels and anatomy"
        )


def _absent(case: Case) -> np.ndarray:
    """(C,) bool: structures that are not in the case."""
    return np.array([np.isnan(case.landmarks[where]).all() for where in case.anatomy.slices.values()])


def _case_rows(prediction: Any, case: Case, lacking: bool) -> Iterator[tuple]:
    unit = "px" if case.spacing is None else "mm"
    landmarks = None if prediction.landmarks is None else _finite(prediction.landmarks)
    true_masks = polygon_masks(case.landmarks, case) if case.masks is None else case.masks
    masks = prediction.masks
    if masks is None and landmarks is not None:
        masks = polygon_masks(landmarks, case)
    masks = np.asarray(masks, bool)
    shown, absent = inside_image(case.landmarks, case.size), _absent(case)
    for c, structure in enumerate(case.anatomy.structures):
        where = case.anatomy.slices[structure.name]
        points = None if landmarks is None else landmarks[where]
        outline = mask_contours(masks[c])
        scores: dict[str, Score] = {}
        if points is not None:
            true, seen = case.landmarks[where], shown[where]
            scores |= landmark_scores(points, np.where(seen[:, None], true, np.nan), case)
            beyond = np.isfinite(true).all(-1) & ~seen
            if beyond.any():
                scores["tre_outside"] = landmark_scores(points[beyond], true[beyond], case)["tre"]
            points = points[~beyond]
        if lacking:
            found = masks[c].any() if landmarks is None else np.isfinite(landmarks[where]).any()
            scores["presence"] = Score(100.0 * (found != absent[c]), 1, False)
        if structure.outlined or (points is None and case.masks is not None):
            scores |= outline_scores(points, outline, true_outline(case, c), true_masks[c], case)
        if structure.outlined or (prediction.masks is not None and case.masks is not None):
            scores |= mask_scores(masks[c], outline, true_masks[c], case)
        for metric, score in scores.items():
            kind = "%" if metric.startswith(("dsc", "sdr", "presence")) else unit
            yield (case.id, structure.name, structure.group, metric, score.value, kind, score.n, score.failed)


def _finite(points: np.ndarray) -> np.ndarray:
    """(n, 2) points; one without two finite coordinates becomes NaN."""
    points = np.asarray(points, float)
    return np.where(np.isfinite(points).all(-1, keepdims=True), points, np.nan)


def landmark_scores(points: np.ndarray, true: np.ndarray, case: Case) -> dict[str, Score]:
    """TRE and SDR of one structure: (n, 2) predicted and true landmarks, NaN where missing."""
    known = ~np.isnan(true).any(-1)
    if not known.any():
        return dict.fromkeys(LANDMARK_METRICS, UNKNOWN)
    spacing = case.spacing or 1.0
    raw = metrics.landmark_errors(points, true, spacing)[known]
    errors = metrics.limited(raw, metrics.failure_distance(case.size, spacing))
    failed = bool(np.isnan(raw).any())
    scores = {"tre": Score(float(errors.mean()), len(errors), failed)}
    hits = np.nan_to_num(raw, nan=np.inf)
    return scores | {f"sdr_{r}": Score(100 * metrics.success_rate(hits, r), len(errors), failed) for r in RADII}


def outline_scores(
    points: np.ndarray | None, predicted_outline: Outline, true_outline: Outline, true_mask: np.ndarray, case: Case
) -> dict[str, Score]:
    """The two one-way ASDs of one structure, from the predicted landmarks, or where there are none from the outline."""
    if not true_outline or not true_mask.any():
        return dict.fromkeys(OUTLINE_METRICS, UNKNOWN)
    if points is None:
        points = metrics.sample_outline(predicted_outline, step=1.0) if predicted_outline else np.full((1, 2), np.nan)
    spacing = case.spacing or 1.0
    limit = metrics.failure_distance(case.size, spacing)
    failed = bool(np.isnan(points).any())
    exact = metrics.distance_to_outline(points, true_outline) * spacing
    published = metrics.distance_map_values(points, true_mask) * spacing
    values = (float(metrics.limited(distances, limit).mean()) for distances in (exact, published))
    return {name: Score(value, len(points), failed) for name, value in zip(OUTLINE_METRICS, values, strict=True)}


def mask_scores(predicted: np.ndarray, outline: Outline, true: np.ndarray, case: Case) -> dict[str, Score]:
    """ASSD, HD95 and DSC of one structure's (H, W) masks; `outline` is the predicted mask's."""
    if not true.any():
        return dict.fromkeys(MASK_METRICS, UNKNOWN)
    spacing = case.spacing or 1.0
    limit = metrics.failure_distance(case.size, spacing)
    failed = not predicted.any()
    distances = metrics.surface_distances(outline, mask_contours(true))
    values = {
        "assd": float(metrics.limited(np.array(metrics.assd(distances, spacing)), limit)),
        "hd95": float(metrics.limited(np.array(metrics.hd95(distances, spacing)), limit)),
        "dsc": 100 * metrics.dice(predicted, true),
    }
    return {name: Score(value, 1, failed) for name, value in values.items()}
