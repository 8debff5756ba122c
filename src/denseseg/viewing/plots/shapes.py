"""Pictures of cases and of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from denseseg.cases.case import Case
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.viewing.plots.style import (
    BRIGHT,
    closed,
    draw_landmarks,
    draw_masks,
    image_axes,
    radiograph,
    scale_bar,
    structure_colours,
    structure_legend,
    styled,
)


@styled
def show_case(case: Case, landmarks: bool = True, masks: bool = False, ax: Axes | None = None) -> Axes:
    """One radiograph with its landmarks, coloured by structure, and on request its masks. Axes in mm, or in pixels."""
    ax = image_axes(ax, case.size, case.spacing)
    radiograph(ax, case.image)
    if masks:
        draw_masks(ax, _masks_of(case), case.anatomy)
    if landmarks:
        draw_landmarks(ax, case.landmarks, case.anatomy, line=not masks)
    if len(case.anatomy) <= len(BRIGHT) and (landmarks or masks):
        structure_legend(ax, case.anatomy)
    ax.set_title(f"case {case.id}")
    return ax


def _masks_of(case: Case) -> np.ndarray:
    """(C, H, W) bool: the case's own masks, or what its contours enclose."""
    if case.masks is not None:
        return case.masks
    outlines = torch.as_tensor(case.landmarks[None], dtype=torch.float32)
    return contour_masks(outlines, case.anatomy, case.size)[0].numpy() > 0.5


@styled
def show_cases(cases: Sequence[Case], columns: int = 4, landmarks: bool = True) -> Figure:
    """A contact sheet: every case with its outlines and a scale bar."""
    columns = min(columns, len(cases))
    rows = -(-len(cases) // columns)
    height, width = cases[0].size
    side = 6.6 / columns
    figure, axes = plt.subplots(rows, columns, figsize=(6.6, rows * (side * height / width + 0.25)), squeeze=False)
    for ax in axes.flat[len(cases) :]:
        ax.set_axis_off()
    for ax, case in zip(axes.flat, cases, strict=False):
        image_axes(ax, case.size, case.spacing)
        radiograph(ax, case.image)
        if landmarks:
            draw_landmarks(ax, case.landmarks, case.anatomy, size=0.0)
        scale_bar(ax, case.size, case.spacing)
        ax.set_title(case.id, fontsize=9)
    return figure


@styled
def show_template(template: Template, ax: Axes | None = None, boxes: bool = True) -> Axes:
    """The mean shape, and round each structure the box that its uv square covers. Axes in pixels."""
    ax = image_axes(ax, template.size, None)
    if boxes:
        for lower, upper, colour in zip(*_boxes(template), structure_colours(template.anatomy).values(), strict=True):
            ax.add_patch(plt.Rectangle(lower, *(upper - lower), fill=False, edgecolor=colour, linestyle=":", linewidth=1))
    draw_landmarks(ax, np.asarray(template.points), template.anatomy)
    if len(template.anatomy) <= len(BRIGHT):
        structure_legend(ax, template.anatomy)
    ax.set_title("template: mean shape" + (" and uv boxes" if boxes else ""))
    return ax


def _boxes(template: Template) -> tuple[np.ndarray, np.ndarray]:
    """(C, 2) lower and upper corners, pixels."""
    return np.asarray(template.lower, dtype=float), np.asarray(template.upper, dtype=float)


@styled
def show_shapes(landmarks: Any, template: Template, ax: Axes | None = None) -> Axes:
    """All shapes (M, N, 2) as a faint cloud, and their mean on top. Axes in pixels."""
    ax = image_axes(ax, template.size, None)
    landmarks, anatomy = np.asarray(landmarks), template.anatomy
    for structure, (name, colour) in zip(anatomy.structures, structure_colours(anatomy).items(), strict=True):
        own = landmarks[:, anatomy.slices[name]]
        if structure.outlined:
            lines = [closed(shape) for shape in own]
            ax.add_collection(LineCollection(lines, colors=[colour], linewidths=0.6, alpha=max(0.08, min(0.5, 8 / len(lines)))))
        else:
            ax.scatter(own[..., 0], own[..., 1], s=2, color=colour, alpha=0.3, linewidths=0)
        mean = np.asarray(template.points)[anatomy.slices[name]]
        ax.plot(*closed(mean).T, "-" if structure.outlined else "o", color="black", linewidth=1.2)
    if len(anatomy) <= len(BRIGHT):
        structure_legend(ax, anatomy, [Line2D([], [], color="black", label="mean shape")])
    ax.set_title(f"{len(landmarks)} shapes and their mean")
    return ax


@styled
def plot_error_map(template: Template, errors: Any, unit: str = "mm", ax: Axes | None = None, highest: float | None = None) -> Axes:
    """Where the errors are: every landmark at its place in the template, coloured by its error (N,), or mean over (M, N)."""
    errors = np.asarray(errors, dtype=float)
    errors = np.nanmean(errors, axis=0) if errors.ndim == 2 else errors
    ax = image_axes(ax, template.size, None)
    points, anatomy = np.asarray(template.points), template.anatomy
    for structure in anatomy.structures:
        if structure.outlined:
            ax.plot(*closed(points[anatomy.slices[structure.name]]).T, color="#cccccc", linewidth=1, zorder=1)
    top = float(np.nanmax(errors)) if highest is None else highest
    shown = ax.scatter(points[:, 0], points[:, 1], c=errors, cmap="viridis_r", vmin=0, vmax=top, s=18, linewidths=0, zorder=2)
    ax.figure.colorbar(shown, ax=ax, label=f"mean landmark error ({unit})", shrink=0.8)
    ax.set_title("error by landmark")
    return ax
