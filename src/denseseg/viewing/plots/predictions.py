"""Pictures of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

from denseseg.anatomy import Anatomy
from denseseg.cases.case import Case
from denseseg.evaluation.metrics import metric
from denseseg.evaluation.summary import per_case
from denseseg.prediction import Prediction
from denseseg.viewing.plots.style import (
    TRUTH,
    draw_landmarks,
    draw_masks,
    literal,
    radiograph,
    scale_bar,
    structure_colours,
    structure_legend,
    styled,
    write_figure,
)


@styled
def show_prediction(
    image: Any,
    prediction: Prediction,
    case: Case | None = None,
    spacing: float | None = None,
    ellipses: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Predicted masks and landmarks over the image; with `case`, the truth as white dots, joined to what was predicted.

    image: (H, W); the prediction is in its pixels and has landmarks, masks or both. spacing: mm per pixel, by default the case's.
    ellipses: draw the region that should hold 95 % of the truth, from the covariance.
    The title names structures that were not found.
    """
    image, points, anatomy = np.asarray(image), prediction.landmarks, prediction.anatomy
    spacing = spacing or (case.spacing if case else None)
    ax = radiograph(ax, image, spacing, dim=0.9)
    if (masks := prediction.masks) is not None:
        draw_masks(ax, masks, anatomy, alpha=0.25)
    if case is not None:
        if points is not None:
            sticks = np.stack([case.landmarks, points], axis=1)
            ax.add_collection(LineCollection(list(sticks), colors=TRUTH, linewidths=1.0, zorder=3))
        ax.scatter(case.landmarks[:, 0], case.landmarks[:, 1], s=5, color=TRUTH, linewidths=0, zorder=4)
    if ellipses and points is not None and prediction.covariance is not None:
        _draw_ellipses(ax, points, prediction.covariance, anatomy)
    if points is not None:
        draw_landmarks(ax, points, anatomy, size=10, line=masks is None)
    truth = Line2D([], [], color="white", marker="o", markersize=4, markeredgecolor="#666666", label="truth, error")
    structure_legend(ax, anatomy, [truth] if case else [])
    title = "prediction" if case is None else f"prediction and truth, case {case.id}"
    ax.set_title(literal(title + (f"; not found: {', '.join(prediction.failed)}" if prediction.failed else "")))
    return ax


@styled
def show_best_to_worst(results: Mapping[str, tuple[Sequence[Case], Sequence[Prediction], pd.DataFrame]]) -> Figure:
    """The best, the median and the worst image of the first method, and what the other methods make of the same images.

    results: title -> test cases, predictions in their order, and the table of `evaluate`; cases of one id show the same image.
    Images are chosen by their one-way ASD, as in the paper. A row of pictures for each method; above each its ASD and TRE.
    """
    first = next(iter(results.values()))
    order = per_case(first[2], "asd_one_way").sort_values(kind="stable").index
    chosen = dict(zip(("best", "median", "worst"), order[[0, len(order) // 2, -1]], strict=True))
    height, width = first[0][0].size
    figure, axes = plt.subplots(
        len(results), 3, figsize=(7.4, 2.4 * len(results) * height / width + 0.3), squeeze=False, layout="constrained"
    )
    for row, (title, (cases, predictions, table)) in zip(axes, results.items(), strict=True):
        places = {case.id: i for i, case in enumerate(cases)}
        unit = table.loc[table["metric"] == "tre", "unit"].iloc[0]
        for ax, (what, case_id) in zip(row, chosen.items(), strict=True):
            case = cases[places[case_id]]
            show_prediction(case.image, predictions[places[case_id]], case, ax=ax)
            if legend := ax.get_legend():  # many structures have none
                legend.remove()
            scale_bar(ax, case.size, case.spacing)
            errors = ", ".join(f"{metric(key).title} {per_case(table, key)[case_id]:.1f}" for key in ("asd_one_way", "tre"))
            ax.set_title(f"{what}: {errors} {unit}", fontsize=8)
        row[0].set_ylabel(title)
    return figure


def _draw_ellipses(ax: Axes, points: np.ndarray, covariance: np.ndarray, anatomy: Anatomy) -> None:
    """Ellipses that hold 95 % of a 2-D normal distribution: radius sqrt(5.991) standard deviations."""
    colours = list(structure_colours(anatomy).values())
    for point, matrix, member in zip(points, covariance, anatomy.membership, strict=True):
        if not (np.isfinite(matrix).all() and np.isfinite(point).all()):
            continue
        variance, axes = np.linalg.eigh(matrix)
        width, height = 2 * np.sqrt(5.991 * np.clip(variance, 0, None))
        angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
        ax.add_patch(Ellipse(point, width, height, angle=angle, fill=False, edgecolor=colours[member], linewidth=0.8, zorder=3))


def overlay(image: Any, prediction: Prediction, path: str | Path, spacing: float | None = None) -> Path:
    """Write the picture of `show_prediction` to a PNG. Raises DataError where the file cannot be written."""
    figure = plt.figure(figsize=(5.4, 5.4), layout="constrained")
    show_prediction(image, prediction, spacing=spacing, ax=figure.add_subplot())
    return write_figure(figure, Path(path), dpi=160, facecolor="white")
