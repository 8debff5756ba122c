"""Pictures of uv maps and heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from denseseg.anatomy import Anatomy
from denseseg.viewing.plots.style import ISOLINES, contact_sheet, literal, new_axes, radiograph, styled, uv_colours


@styled
def uv_key(ax: Axes | None = None) -> Axes:
    """The legend of the uv colours: the square [-1, 1] x [-1, 1], u to the right, v downwards."""
    ax = new_axes(ax, 2.4, 2.4)
    u, v = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101))
    ax.imshow(uv_colours(np.stack([u, v])), extent=(-1, 1, 1, -1), interpolation="bilinear")
    ax.set(xlabel="u (no unit)", ylabel="v (no unit)", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    return ax


@styled
def show_uv(
    image: Any,
    uv: Any,
    valid: Any,
    anatomy: Anatomy,
    structures: Sequence[str] | None = None,
    spacing: float | None = None,
    ax: Axes | None = None,
    opacity: float = 0.75,
) -> Axes:
    """uv maps over their radiograph: colour, and lines of equal u (solid) and v (dashed) every 0.25 from -1 to 1.

    A figure of its own gets a `uv_key` beside it; draw one yourself where you pass `ax`.
    image: (H, W). uv: (C, 2, H, W). valid: (C, H, W) bool. structures: names to draw, all by default; the smaller ones on top.
    """
    uv, valid = np.asarray(uv), np.asarray(valid, dtype=bool)
    size = valid.shape[1:]
    if ax is None:
        ax, key = plt.subplots(1, 2, figsize=(6.4, 4.7 * size[0] / size[1]), width_ratios=(4, 1))[1]
        uv_key(key)
        key.set_anchor("N")
    ax = radiograph(ax, np.asarray(image), spacing, dim=0.8)
    chosen = [anatomy.index(name) for name in (anatomy.names if structures is None else structures)]
    free = np.ones(size, dtype=bool)
    for index in sorted(chosen, key=lambda i: valid[i].sum()):
        visible = valid[index] & free
        colours = uv_colours(uv[index], visible)
        colours[..., 3] *= opacity
        ax.imshow(colours, interpolation="nearest", zorder=1)
        _isolines(ax, uv[index], visible)
        free &= ~valid[index]
    ax.set_title(literal("uv map: " + (anatomy.names[chosen[0]] if len(chosen) == 1 else anatomy.name)))
    return ax


def _isolines(ax: Axes, uv: np.ndarray, valid: np.ndarray) -> None:
    if valid.sum() < 4:
        return
    for channel, style in zip(uv, ("solid", "dashed"), strict=True):
        ax.contour(np.where(valid, channel, np.nan), levels=ISOLINES, colors="#1a1a1a", linewidths=0.6, linestyles=style, zorder=2)


@styled
def show_heatmaps(
    image: Any, heatmaps: Any, landmarks: Any = None, indices: Sequence[int] | None = None, spacing: float | None = None
) -> Figure:
    """Some of the heatmaps (N, H, W) over their image, four by default, each with its landmark (of (N, 2)) as a cross."""
    image, heatmaps = np.asarray(image), np.asarray(heatmaps)
    chosen = list(np.linspace(0, len(heatmaps) - 1, min(4, len(heatmaps))).astype(int) if indices is None else indices)
    figure, axes = contact_sheet([(image, spacing, f"landmark {index}") for index in chosen], 4, gap=0.3, below=0.6)
    for ax, index in zip(axes, chosen, strict=True):
        peak = max(float(heatmaps[index].max()), 1e-12)
        share = np.clip(heatmaps[index] / peak, 0, 1)
        ax.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=0.85 * share**0.5)
        if landmarks is not None:
            ax.plot(*np.asarray(landmarks)[index], "+", color="#66CCEE", markersize=9, markeredgewidth=1.5)
    shown = plt.cm.ScalarMappable(plt.Normalize(0, 1), "inferno")
    figure.colorbar(shown, ax=axes, orientation="horizontal", label="heatmap / its peak (no unit)", shrink=0.6, aspect=40)
    return figure
