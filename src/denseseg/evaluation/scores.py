"""Predictions and cases in, one tidy table out.

**What an answer means.** None: this method has no landmarks, or no masks; they are then not judged. NaN: a landmark could not be
placed; that is a failure. `presence` below 0.5: the structure is absent, and the method knows it; what it may have drawn there is
not looked at. A method that gives no `presence` says "absent" by giving no landmark, or without landmarks an empty mask.

**What a failure costs.** A structure that is in the truth and not in the prediction stays in every mean, also where it was called
absent: a missing landmark or outline has the error of half the image diagonal and lies within no radius, an empty mask has a DSC of
0. All other distances are cut at the same limit, so failing never improves a table. (A cut-off that is also the price of a miss is
the idea of the OSPA metric, Schuhmacher et al. 2008.) What the *truth* lacks is not judged: its value is NaN and its n is 0.

**What the image does not show.** Landmarks beyond its border are no part of tre, sdr, along, across and asd_one_way: their error is
`tre_outside`. Where cases lack a structure, `presence` is the share of structures whose being there or not was told rightly.

**What a row is.** One structure of one case: its tre is the mean over its landmarks. Single landmarks (kind "points") have a row
each instead, so that mean, SD and median of a group run over all landmarks of all images, as papers on such sets print them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from denseseg.anatomy import Kind
from denseseg.cases.case import Case
from denseseg.cases.masks import polygon_masks, true_masks, true_outlines
from denseseg.errors import DataError
from denseseg.evaluation import metrics
from denseseg.evaluation.metrics import RADII
from denseseg.geometry.contour import Outline, mask_contours
from denseseg.geometry.frame import inside_image

COLUMNS = ["case", "structure", "group", "metric", "value", "unit", "n", "failed", "landmark"]


class Score(NamedTuple):
    """One value, the number of landmarks (or masks) in it, whether any of them failed, and for a single landmark its index."""

    metric: str
    value: float
    n: int
    failed: bool
    landmark: int | None = None


def evaluate(
    predictions: Sequence[Any], cases: Sequence[Case], radii: Sequence[float] = RADII, lacking: bool | None = None
) -> pd.DataFrame:
    """All metrics of all structures of all cases.

    predictions: one per case, in the same order and in the case's own pixels, with `.landmarks` (N, 2) or None, `.masks`
        (C, H, W) bool or None, then the masks are the polygons of the landmarks (pixel centres inside), without those that a true
        polygon lacks, and perhaps `.presence` (C,) in [0, 1].
    radii: of the successful detection rate, in mm (px without a spacing); each R gives a metric sdr_R.
    lacking: whether cases of the data set lack a structure, so that `presence` is judged; by default, whether one of these does.
    Returns one row per case, structure and metric: case, structure, group, metric, value, unit (mm, px or %), n (landmarks
        counted, or 1 for a mask), failed, landmark (the index of a single landmark, else empty). Metrics: see `metrics.METRICS` and
        the top of this module. A method without landmarks has no tre and sdr, and its asd_one_way starts from points at most a
        pixel apart along the predicted outline (as published for nnU-Net: from all contour points).
    Raises DataError where predictions and cases do not fit each other.
    """
    _check(predictions, cases)
    lacking = any(case.absent.any() for case in cases) if lacking is None else lacking
    pairs = zip(predictions, cases, strict=True)
    table = pd.DataFrame([row for pair in pairs for row in _case_rows(*pair, lacking, radii)], columns=COLUMNS)
    if len(cases) and table.empty:
        raise DataError("masks cannot be judged against single landmarks; give predictions with landmarks, or cases with masks")
    return table.astype({"landmark": "Int64"})


def per_landmark(predictions: Sequence[Any], cases: Sequence[Case], radii: Sequence[float] = RADII) -> pd.DataFrame:
    """The error of each landmark over all cases, and in the last row, "all", of all landmarks of all cases.

    Arguments as in `evaluate`. Returns structure, index (within the structure), label, mean, sd (n - 1) and median of the distances
    (failures at their price), unit, n (distances counted), failures, and for each radius R sdr_R, the share in % within it, and
    outliers_R, how many lie beyond it, failures among them. The last row is what papers on single landmarks print: the
    point-to-point error PE_all and #O_R (SCN, Section 3.2, Eq. 5 and 6; Ham and Oh, Section 4.3). Landmarks that the truth lacks or
    the image does not show are left out. Raises DataError where there are no landmarks or the cases mix units.
    """
    placed, unit = placed_landmarks(predictions, cases)
    raw, cut = [], []
    for points, case in zip(placed, cases, strict=True):
        distances = landmark_distances(points, case.landmarks, case)
        raw.append(np.where(inside_image(case.landmarks, case.size), distances, np.nan))
        cut.append(metrics.clipped(raw[-1], case.size, case.spacing or 1.0))
    shapes = (len(raw), -1), (-1, 1)  # each landmark, and all of them
    parts = [_statistics(np.reshape(raw, shape), np.reshape(cut, shape), unit, radii) for shape in shapes]
    table = pd.DataFrame([*cases[0].anatomy.landmark_names, ("all", None, "")], columns=["structure", "index", "label"]).astype(
        {"index": "Int64"}
    )
    return table.join(pd.concat(parts, ignore_index=True))


def placed_landmarks(predictions: Sequence[Any], cases: Sequence[Case]) -> tuple[list[np.ndarray], str]:
    """The (N, 2) landmarks of each prediction, NaN where it places none, and the unit of all cases, mm or px.

    Raises DataError where predictions and cases do not fit each other, there are no landmarks, or the cases mix units.
    """
    _check(predictions, cases)
    units = sorted({case.unit for case in cases})
    if len(units) != 1 or predictions[0].landmarks is None:
        raise DataError("errors per landmark need cases in one unit and predictions with landmarks")
    placed = (_placed(prediction, case) for prediction, case in zip(predictions, cases, strict=True))
    return [points for points in placed if points is not None], units[0]  # all of them: checked above


def _statistics(raw: np.ndarray, cut: np.ndarray, unit: str, radii: Sequence[float]) -> pd.DataFrame:
    """A row for each column of (M, K) distances, as they are and clipped."""
    values = pd.DataFrame(cut)
    columns = {"mean": values.mean(), "sd": values.std(), "median": values.median(), "unit": unit, "n": values.count()}
    hits = {f"sdr_{r:g}": [100 * metrics.success_rate(column, r) for column in raw.T] for r in radii}
    outliers = {f"outliers_{r:g}": (raw > r).sum(0) for r in radii}
    return pd.DataFrame(columns | {"failures": np.isinf(raw).sum(0)} | hits | outliers)


def _check(predictions: Sequence[Any], cases: Sequence[Case]) -> None:
    if len(predictions) != len(cases):
        raise DataError(f"{len(predictions)} predictions for {len(cases)} cases; give one per case, in the same order")
    if len({prediction.landmarks is None for prediction in predictions}) > 1:
        raise DataError("some predictions have landmarks and some None; mark failed landmarks with NaN, not with None")
    for prediction, case in zip(predictions, cases, strict=True):  # masks may be large, and are checked when they are made
        _check_shape("landmarks", prediction.landmarks, case.landmarks.shape, case)
        _check_shape("presence", getattr(prediction, "presence", None), (len(case.anatomy),), case)


def _check_shape(what: str, array: Any, expected: tuple[int, ...], case: Case) -> None:
    if array is not None and np.shape(array) != expected:
        wrong = f"predicted {what} have shape {np.shape(array)}, the case needs {expected}"
        raise DataError(f"case {case.id}: {wrong}; predict in the case's own pixels and anatomy")


def _called_absent(prediction: Any) -> np.ndarray | None:
    """(C,) bool, the structures that a method says are not there; None where it says nothing of that."""
    presence = getattr(prediction, "presence", None)
    return None if presence is None else np.asarray(presence) < 0.5


def _placed(prediction: Any, case: Case) -> np.ndarray | None:
    """Landmarks (N, 2), NaN where not placed or of a structure that is called absent; None where the method has none."""
    if prediction.landmarks is None:
        return None
    points, absent = np.asarray(prediction.landmarks, float), _called_absent(prediction)
    lost = ~np.isfinite(points).all(-1)
    if absent is not None:
        lost |= absent[case.anatomy.membership]
    return np.where(lost[:, None], np.nan, points)


def _answer(prediction: Any, masks: np.ndarray | None, case: Case) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Landmarks as `_placed` gives them; masks (C, H, W) bool; and (C,) bool, which structures are called absent."""
    landmarks, absent = _placed(prediction, case), _called_absent(prediction)
    _check_shape("masks", masks, (len(case.anatomy), *case.size), case)
    if masks is not None:
        masks = np.asarray(masks, bool)
    elif landmarks is not None:
        known = np.isfinite(case.landmarks) | (case.masks is not None)  # a true polygon goes straight past what it lacks
        masks = polygon_masks(np.where(known, landmarks, np.nan), case)
    else:
        raise DataError(f"case {case.id}: the prediction has neither landmarks nor masks; give one of them")
    if absent is None:
        return landmarks, masks, np.all(~masks, (1, 2)) if landmarks is None else case.anatomy.absent(landmarks)
    return landmarks, masks & ~absent[:, None, None], absent


def _case_rows(prediction: Any, case: Case, lacking: bool, radii: Sequence[float]) -> Iterator[tuple]:
    given = prediction.masks  # of some predictions they are made each time they are asked for
    landmarks, masks, called_absent = _answer(prediction, given, case)
    has_masks = given is not None and case.masks is not None
    absent, shown = case.absent, inside_image(case.landmarks, case.size)
    regions, outlines = true_masks(case), true_outlines(case)
    for c, structure in enumerate(case.anatomy.structures):
        where, outline, points = case.anatomy.slices[structure.name], mask_contours(masks[c]), None
        scores: list[Score] = []
        if landmarks is not None:
            points, true, seen = landmarks[where], case.landmarks[where], shown[where]
            known = np.isfinite(true).all(-1)
            beyond = known & ~seen
            scores += landmark_scores(points, true, seen, case, radii, structure.kind)
            if beyond.any():
                scores.append(_mean_score("tre_outside", landmark_distances(points[beyond], true[beyond], case), case))
            if known.any():  # with none, a mask may tell where the structure is: its outline then judges all landmarks
                points = points[seen]
        if lacking:
            scores.append(Score("presence", 100.0 * (called_absent[c] == absent[c]), 1, False))
        if structure.outlined or (points is None and case.masks is not None):
            scores += outline_scores(points, outline, outlines[c], regions[c], case)
        if structure.outlined or has_masks:
            scores += mask_scores(masks[c], outline, regions[c], case)
        for metric, value, n, failed, index in scores:
            unit = "%" if metrics.metric(metric).unit == "%" else case.unit
            yield case.id, structure.name, structure.group, metric, value, unit, n, failed, index


def landmark_distances(points: np.ndarray, true: np.ndarray, case: Case) -> np.ndarray:
    """(n,) distances in the case's unit: infinite where not placed, NaN where the truth is not known."""
    errors = metrics.landmark_errors(points, true, case.spacing or 1.0)
    return np.where(np.isfinite(true).all(-1), np.nan_to_num(errors, nan=np.inf), np.nan)


def _mean_score(metric: str, distances: np.ndarray, case: Case, landmark: int | None = None) -> Score:
    """Mean of the distances that are known (no NaN), each at what it counts."""
    known = distances[~np.isnan(distances)]
    counted = metrics.clipped(known, case.size, case.spacing or 1.0)
    value = float(counted.mean()) if len(known) else float("nan")
    return Score(metric, value, len(known), bool(np.isinf(known).any()), landmark)


def landmark_scores(
    points: np.ndarray, true: np.ndarray, seen: np.ndarray, case: Case, radii: Sequence[float], kind: Kind = Kind.OUTLINE
) -> Iterator[Score]:
    """TRE and SDR of one structure, for single landmarks one by one, and for outlines the errors along and across.

    points, true: (n, 2) predicted and true landmarks, NaN where missing. seen: (n,) bool, those that the image shows.
    """
    distances = np.where(seen, landmark_distances(points, true, case), np.nan)
    single = kind is Kind.POINTS
    for index, part in enumerate(distances[:, None] if single else distances[None]):
        tre = _mean_score("tre", part, case, index if single else None)
        yield tre
        for radius in radii:
            yield tre._replace(metric=f"sdr_{radius:g}", value=100 * metrics.success_rate(part, radius))
    if kind is Kind.OUTLINE:
        parts = np.where(np.isinf(distances[:, None]), np.inf, metrics.along_and_across(points, true, case.spacing or 1.0))
        for metric, part in zip(("along", "across"), parts.T, strict=True):
            yield _mean_score(metric, np.where(seen, part, np.nan), case)


def outline_scores(
    points: np.ndarray | None, predicted_outline: Outline, true_outline: Outline, true_mask: np.ndarray, case: Case
) -> Iterator[Score]:
    """The two one-way ASDs of one structure, from the predicted landmarks, or where there are none from the outline."""
    if points is None:
        points = metrics.sample_outline(predicted_outline, step=1.0) if predicted_outline else np.full((1, 2), np.nan)
    known, spacing = bool(true_outline) and true_mask.any(), case.spacing or 1.0
    exact, by_pixels = metrics.distance_to_outline(points, true_outline), metrics.distance_map_values(points, true_mask)
    for metric, values in (("asd_one_way", exact), ("asd_one_way_published", by_pixels)):
        yield _mean_score(metric, np.nan_to_num(values, nan=np.inf) * spacing if known else np.empty(0), case)


def mask_scores(predicted: np.ndarray, outline: Outline, true: np.ndarray, case: Case) -> Iterator[Score]:
    """ASSD, HD95 and DSC of one structure's (H, W) masks; `outline` is the predicted mask's."""
    known, spacing = true.any(), case.spacing or 1.0
    distances = metrics.surface_distances(outline, mask_contours(true) if known else [])
    for metric, measure in (("assd", metrics.assd), ("hd95", metrics.hd95)):
        value = np.nan_to_num(measure(distances, spacing), nan=np.inf)
        yield _mean_score(metric, np.array([value]) if known else np.empty(0), case)
    dsc = 100 * metrics.dice(predicted, true) if known else float("nan")
    yield Score("dsc", dsc, int(known), bool(known and not predicted.any()))
