"""Pictures of cases and of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from denseseg.anatomy import Kind
from denseseg.cases.case import Case
from denseseg.cases.masks import true_masks
from denseseg.geometry.template import Template
from denseseg.viewing.plots.style import (
    contact_sheet,
    draw_landmarks,
    draw_masks,
    image_axes,
    line_through,
    literal,
    radiograph,
    structure_colours,
    structure_legend,
    styled,
)


@styled
def show_case(case: Case, landmarks: bool = True, masks: bool = False, ax: Axes | None = None, labels: bool = False) -> Axes:
    """One radiograph with its landmarks, coloured by structure, and on request its masks and the landmarks' labels."""
    ax = radiograph(ax, case.image, case.spacing)
    if masks:
        draw_masks(ax, true_masks(case), case.anatomy)
    if landmarks:
        draw_landmarks(ax, case.landmarks, case.anatomy, line=not masks, labels=labels)
    if landmarks or masks:
        structure_legend(ax, case.anatomy)
    ax.set_title(literal(f"case {case.id}"))
    return ax


@styled
def show_cases(cases: Sequence[Case], columns: int = 4, landmarks: bool = True) -> Figure:
    """A contact sheet: every case with its outlines and a scale bar."""
    figure, axes = contact_sheet([(case.image, case.spacing, case.id) for case in cases], columns, gap=0.25)
    for ax, case in zip(axes, cases if landmarks else [], strict=False):
        draw_landmarks(ax, case.landmarks, case.anatomy, size=0.0)
    return figure


@styled
def show_template(template: Template, ax: Axes | None = None, boxes: bool = True) -> Axes:
    """The mean shape, and round each structure the box that its uv square covers. Axes in pixels."""
    ax = image_axes(ax, template.size, None)
    if boxes:
        for lower, upper, colour in zip(template.lower, template.upper, structure_colours(template.anatomy).values(), strict=True):
            ax.add_patch(plt.Rectangle(lower, *(upper - lower), fill=False, edgecolor=colour, linestyle=":", linewidth=1))
    draw_landmarks(ax, template.points, template.anatomy)
    structure_legend(ax, template.anatomy)
    ax.set_title("template: mean shape" + (" and uv boxes" if boxes else ""))
    return ax


@styled
def show_shapes(landmarks: Any, template: Template, ax: Axes | None = None) -> Axes:
    """All shapes (M, N, 2) as a faint cloud, and their mean on top. Axes in pixels."""
    ax = image_axes(ax, template.size, None)
    landmarks, anatomy = np.asarray(landmarks), template.anatomy
    for structure, (name, colour) in zip(anatomy.structures, structure_colours(anatomy).items(), strict=True):
        own = landmarks[:, anatomy.slices[name]]
        joined = structure.kind is not Kind.POINTS
        if joined:
            lines = list(line_through(own, structure))
            ax.add_collection(LineCollection(lines, colors=[colour], linewidths=0.6, alpha=max(0.08, min(0.5, 8 / len(lines)))))
        else:
            ax.scatter(own[..., 0], own[..., 1], s=2, color=colour, alpha=0.3, linewidths=0)
        mean = template.points[anatomy.slices[name]]
        ax.plot(*(line_through(mean, structure) if joined else mean).T, "-" if joined else "o", color="black", linewidth=1.2)
    structure_legend(ax, anatomy, [Line2D([], [], color="black", label="mean shape")])
    ax.set_title(f"{len(landmarks)} shapes and their mean")
    return ax


@styled
def plot_error_map(template: Template, errors: Any, unit: str = "mm", ax: Axes | None = None, highest: float | None = None) -> Axes:
    """Where the errors are: every landmark at its place in the template, coloured by its error (N,), or mean over (M, N).

    A NaN is left out of its mean; a landmark that has nothing else is not drawn.
    """
    errors = np.ma.masked_invalid(np.atleast_2d(errors)).mean(axis=0)
    ax = image_axes(ax, template.size, None)
    points, anatomy = template.points, template.anatomy
    for structure in anatomy.structures:
        ax.plot(*line_through(points[anatomy.slices[structure.name]], structure).T, color="#cccccc", linewidth=1, zorder=1)
    top = float(errors.filled(0.0).max()) if highest is None else highest
    shown = ax.scatter(points[:, 0], points[:, 1], c=errors, cmap="viridis_r", vmin=0, vmax=top, s=18, linewidths=0, zorder=2)
    ax.figure.colorbar(shown, ax=ax, label=f"mean landmark error ({unit})", shrink=0.8)
    ax.set_title("error by landmark")
    return ax
