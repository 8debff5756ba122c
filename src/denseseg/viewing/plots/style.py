"""Colours, axes and the style that all pictures share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator
from skimage.color import lab2rgb

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.errors import DataError, explained

STYLE: Any = {
    "figure.figsize": (6.4, 4.4), "figure.dpi": 110, "figure.facecolor": "white", "figure.constrained_layout.use": True,
    "savefig.facecolor": "white", "font.size": 10, "text.color": "#222222", "lines.linewidth": 1.6,
    "axes.titlesize": 11, "axes.titlelocation": "left", "axes.labelsize": 10, "axes.labelcolor": "#333333",
    "axes.edgecolor": "#666666", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False, "grid.color": "#dddddd",
    "xtick.labelsize": 9, "xtick.color": "#555555", "ytick.labelsize": 9, "ytick.color": "#555555",
    "legend.fontsize": 9, "legend.frameon": False,
}  # fmt: skip

# Paul Tol's "bright" scheme, told apart with every common colour-vision deficiency, on white and on a radiograph.
BRIGHT = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE", "#EE7733")
TRUTH = "#ffffff"
ISOLINES = np.arange(-1, 1.01, 0.25)

# CIELAB corners of the uv square: u runs from blue to orange, v from light to dark. Both survive colour blindness.
UV_CORNERS = np.array([[[86, -8, -22], [90, 4, 48]], [[36, 22, -52], [46, 42, 44]]], dtype=float)

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in this module's style, whatever the caller's own settings are."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with plt.rc_context(STYLE):
            drawing = draw(*args, **kwargs)
            interactive = plt.isinteractive()
        (plt.ion if interactive else plt.ioff)()  # a notebook's first figure switches this on, and rc_context off again
        return drawing

    return drawn


def literal(text: str) -> str:
    """Text that a file holds, for a figure: a dollar sign begins no formula."""
    return text.replace("$", r"\$")


def structure_colours(anatomy: Anatomy) -> dict[str, tuple[float, float, float]]:
    """Structure name -> RGB in [0, 1]. Up to seven structures are colour-blind safe; more alternate in lightness too."""
    if len(anatomy) <= len(BRIGHT):
        return {name: to_rgb(colour) for name, colour in zip(anatomy.names, BRIGHT, strict=False)}
    index = np.arange(len(anatomy))
    hue = 2 * np.pi * index * 0.382  # the golden angle keeps neighbours in the list far apart in hue
    lab = np.stack([np.array([48, 72, 60])[index % 3], 48 * np.cos(hue), 48 * np.sin(hue)], axis=-1)
    return {name: (float(r), float(g), float(b)) for name, (r, g, b) in zip(anatomy.names, lab2rgb(lab), strict=True)}


def uv_colours(uv: Any, valid: Any = None) -> np.ndarray:
    """A colour for every uv: u from blue to orange, v from light (top) to dark.

    uv: (2, H, W), or (..., 2) with any number of leading axes but not (2, H, 2); values beyond [-1, 1] are clipped.
    valid: bool of the same shape without the channel axis, or None for everywhere.
    Returns RGBA in [0, 1] of shape (H, W, 4), or (..., 4); alpha is 1 where valid and 0 elsewhere.
    The four corner colours are interpolated bilinearly in CIELAB, so that equal steps of uv look about equal.
    """
    uv = np.asarray(uv, dtype=float)
    uv = np.moveaxis(uv, 0, -1) if uv.ndim == 3 and uv.shape[0] == 2 else uv
    right, down = np.moveaxis((np.clip(uv, -1, 1) + 1) / 2, -1, 0)[..., None]
    top = UV_CORNERS[0, 0] * (1 - right) + UV_CORNERS[0, 1] * right
    bottom = UV_CORNERS[1, 0] * (1 - right) + UV_CORNERS[1, 1] * right
    rgb = np.clip(lab2rgb(top * (1 - down) + bottom * down), 0, 1)
    alpha = np.ones(uv.shape[:-1]) if valid is None else np.asarray(valid, dtype=bool).astype(float)
    return np.concatenate([rgb, alpha[..., None]], axis=-1)


def new_axes(ax: Axes | None, width: float = 6.4, height: float = 4.4) -> Axes:
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def image_axes(ax: Axes | None, size: tuple[int, int], spacing: float | None) -> Axes:
    """A panel for points in pixels of an image of `size` = (H, W): y down, equal aspect, ticks in mm where they are known."""
    height, width = size
    ax = new_axes(ax, 5.4, float(np.clip(4.6 * height / width + 0.9, 3, 8)))
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    unit, scale = ("pixels", 1.0) if spacing is None else ("mm", spacing)
    step = round_step(width * scale / 4)
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        axis.set_major_locator(MultipleLocator(step / scale))
        axis.set_major_formatter(lambda value, _: f"{value * scale:.0f}")
        axis.set_label_text(f"{name} ({unit})")
    return ax


def round_step(length: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50, ... that does not exceed `length`."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step for step in (1, 2, 5) if step * power <= length) * power)


def radiograph(ax: Axes | None, image: np.ndarray, spacing: float | None, dim: float = 1.0) -> Axes:
    """A panel of `image_axes` with its grey image (H, W); dim < 1 leaves room for colours on top."""
    ax = image_axes(ax, image.shape, spacing)
    ax.imshow(image, cmap="gray", vmin=0, vmax=1 / dim, interpolation="bilinear", zorder=0)
    return ax


def scale_bar(ax: Axes, size: tuple[int, int], spacing: float | None) -> None:
    """A labelled bar in the lower left corner, and no ticks: for panels too small for axes."""
    height, width = size
    scale, unit = (1.0, "px") if spacing is None else (spacing, "mm")
    length = round_step(width * scale / 3)
    x, y = 0.05 * width, 0.94 * height
    look: dict[str, Any] = {"color": "white", "path_effects": [withStroke(linewidth=3, foreground="black")], "zorder": 5}
    ax.plot([x, x + length / scale], [y, y], linewidth=2, solid_capstyle="butt", **look)
    ax.text(x, y - 0.02 * height, f"{length:g} {unit}", fontsize=9, va="bottom", **look)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.spines[:].set_visible(False)


def contact_sheet(
    panels: Sequence[tuple[np.ndarray, float | None, str]], columns: int, gap: float, below: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A figure of many images with a scale bar each, and their panels.

    panels: (image (H, W), spacing, title). gap, below: inches above each image, and below all of them.
    """
    columns = min(columns, len(panels))
    rows, (height, width) = -(-len(panels) // columns), panels[0][0].shape
    size = (6.6, rows * (6.6 / columns * height / width + gap) + below)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (image, spacing, title) in zip(axes.flat, panels, strict=False):
        scale_bar(radiograph(ax, image, spacing), image.shape, spacing)
        ax.set_title(literal(title), fontsize=9)
    return figure, list(axes.flat[: len(panels)])


def line_through(points: np.ndarray, structure: Structure) -> np.ndarray:
    """The line that a structure's (..., n, 2) landmarks stand for: closed, open, or none for single landmarks, (..., k, 2)."""
    if structure.kind is Kind.POINTS:
        return points[..., :0, :]
    return np.concatenate([points, points[..., :1, :]], axis=-2) if structure.outlined else points


def draw_landmarks(
    ax: Axes, points: np.ndarray, anatomy: Anatomy, size: float = 9.0, line: bool = True, labels: bool = False
) -> None:
    """Landmarks coloured by structure, joined to the line they stand for, and on request with their labels.

    Single landmarks are dots of at least 20 points squared: without a line they would else not be seen.
    """
    for structure, (name, colour) in zip(anatomy.structures, structure_colours(anatomy).items(), strict=True):
        own, area = points[anatomy.slices[name]], max(size, 20.0) if structure.kind is Kind.POINTS else size
        if line:
            ax.plot(*line_through(own, structure).T, color=colour, linewidth=1.0, alpha=0.9)
        ax.scatter(own[:, 0], own[:, 1], s=area, color=colour, linewidths=0, label=name, zorder=3)
        for text, point in zip(structure.labels if labels else (), own, strict=False):
            if np.isfinite(point).all():
                ax.annotate(literal(text), point, xytext=(3, 3), textcoords="offset points", fontsize=9, color=colour)


def structure_legend(ax: Axes, anatomy: Anatomy, extra: Sequence[Line2D] = ()) -> None:
    """The structures below the panel, where they hide nothing; no legend where they are more than the named colours."""
    if len(anatomy) > len(BRIGHT):
        return
    colours = structure_colours(anatomy).items()
    handles = [Line2D([], [], color=c, marker="o", markersize=5, linewidth=1.2, label=literal(name)) for name, c in colours]
    ax.legend(handles=[*handles, *extra], loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, columnspacing=1.2)


def draw_masks(ax: Axes, masks: Any, anatomy: Anatomy, alpha: float = 0.35) -> None:
    for mask, colour in zip(np.asarray(masks, dtype=bool), structure_colours(anatomy).values(), strict=True):
        ax.imshow(np.where(mask[..., None], (*colour, alpha), 0.0), interpolation="nearest", zorder=1)
        if mask.any() and not mask.all():
            ax.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.2, zorder=2)


def one_unit(table: pd.DataFrame) -> str:
    """The unit of all rows. Raises DataError where they are none or several."""
    units = sorted(set(table["unit"]))
    if len(units) != 1:
        raise DataError(f"one axis cannot show the units {', '.join(units) or '(no rows)'}; keep one metric and one unit")
    return units[0]


def write_figure(figure: Figure, path: Path, **options: Any) -> Path:
    """Write a figure to a file, as PNG where the name has no ending, close it, and return the path. Raises DataError."""
    fix = "choose a folder that is writable, and an ending such as .png"
    try:
        with explained(f"{path} cannot be written", fix, (OSError, ValueError)):
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, format=path.suffix[1:] or "png", **options)
    finally:
        plt.close(figure)
    return path
