"""Landmarks that slide along the outline: what a whole structure has in common, as where its numbering begins elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from denseseg.anatomy import Kind
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.evaluation import metrics
from denseseg.evaluation.scores import landmark_distances, placed_landmarks
from denseseg.geometry.frame import inside_image


def sliding(predictions: Sequence[Any], cases: Sequence[Case]) -> pd.DataFrame:
    """The landmark error along the true outline, and the share of it that all landmarks of a structure have in common in an image.

    An image says where an outline runs, but along a smooth one hardly which of its points is landmark 7: that is a habit of the
    annotator, who begins to number here in one image and a little further on in the next. Such a change slides all of a
    structure's landmarks alike, and no method can learn it. `common` contains it, together with all that the method itself slides
    alike. So it bounds the numbering's part from above: knowing where the annotator began could take away no more of the squared
    slide than `common`, and what remains is the method's.

    Arguments as in `evaluate`. Returns a row per outlined structure, and "all" of them: structure, n (landmarks), failures (not
    placed, so without a direction: counted here and left out), unit; slide, the root mean square of the signed slide; along, the
    share in % of the squared landmark error that lies along the outline; shift and shift_sd, mean and SD (n - 1) over images of a
    structure's mean slide, positive in the order of the landmarks; and common, the share in % of the squared slide that these means
    explain. NaN where there is nothing to share. Errors are cut at the price of a failure; landmarks that the truth lacks or the
    image does not show are left out. Raises DataError as `per_landmark` does, and where no landmark lies on an outline.
    """
    placed, unit = placed_landmarks(predictions, cases)
    rows = [row for points, case in zip(placed, cases, strict=True) for row in _landmark_rows(points, case)]
    if not rows:
        raise DataError("no landmark of these cases lies on a closed outline that the image shows; sliding needs some that do")
    table = pd.DataFrame(rows, columns=["case", "structure", "slide", "error"])
    parts = [*table.groupby("structure", sort=False), ("all", table)]
    return pd.DataFrame({"structure": name, "unit": unit} | _shares(part) for name, part in parts)


def _landmark_rows(points: np.ndarray, case: Case) -> Iterator[tuple]:
    """Case, structure, slide and error of each judged landmark; the error of a failure is infinite."""
    spacing = case.spacing or 1.0
    limit, shown = metrics.failure_distance(case.size, spacing), inside_image(case.landmarks, case.size)
    for structure in case.anatomy.structures:
        if structure.kind is not Kind.OUTLINE:
            continue
        where = case.anatomy.slices[structure.name]
        slides = np.clip(metrics.slides(points[where], case.landmarks[where], spacing), -limit, limit)
        errors = landmark_distances(points[where], case.landmarks[where], case)
        errors = np.where(np.isinf(errors), np.inf, np.minimum(errors, limit))
        for slide, error in zip(slides[shown[where]], errors[shown[where]], strict=True):
            yield case.id, structure.name, slide, error


def _shares(landmarks: pd.DataFrame) -> dict[str, float]:
    found = landmarks[np.isfinite(landmarks["error"])]
    images = found.groupby(["structure", "case"])["slide"].agg(["mean", "count"])
    squared, explained = (found["slide"] ** 2).sum(), (images["count"] * images["mean"] ** 2).sum()
    with np.errstate(invalid="ignore"):  # a share of nothing is NaN
        along, common = 100 * squared / (found["error"] ** 2).sum(), 100 * explained / squared
    return {
        "n": len(found),
        "failures": len(landmarks) - len(found),
        "slide": np.sqrt((found["slide"] ** 2).mean()),
        "along": along,
        "shift": images["mean"].mean(),
        "shift_sd": images["mean"].std(),
        "common": common,
    }
