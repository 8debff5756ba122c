"""Pictures: every figure of the book is one call of a function in this file.

Each function draws one picture and hands back what it drew on: one panel an `Axes`, several a `Figure`. Pass `ax` to draw
into a panel of your own. Data stay in pixels, also where the ticks read millimetres, so further points go on top as they are.
Arrays may be NumPy or CPU torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator
from skimage.color import lab2rgb

from denseseg.anatomy import Anatomy
from denseseg.cases import Case, DataError
from denseseg.evaluation.tables import METRIC_NAMES
from denseseg.geometry.contour import contour_masks

if TYPE_CHECKING:
    from denseseg.geometry.template import Template
    from denseseg.methods.method import Prediction

STYLE: Any = {
    "figure.figsize": (6.4, 4.4),
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "text.color": "#222222",
    "axes.grid": False,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.6,
}

# Paul Tol's "bright" scheme, told apart with every common colour-vision deficiency, on white and on a radiograph.
BRIGHT = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#AA3377", "#66CCEE", "#EE7733")
ISOLINES = np.arange(-1, 1.01, 0.25)
# CIELAB corners of the uv square: u runs from blue to orange, v from light to dark. Both survive colour blindness.
UV_CORNERS = np.array([[[86, -8, -22], [90, 4, 48]], [[36, 22, -52], [46, 42, 44]]], dtype=float)
TRUTH = "#ffffff"


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


# ---- colours ----------------------------------------------------------------------------------------------------------


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

    uv: (2, H, W), or (..., 2) with any number of leading axes; values beyond [-1, 1] are clipped.
    valid: bool of the same shape without the channel axis, or None for everywhere.
    Returns RGBA in [0, 1] of shape (H, W, 4), or (..., 4); alpha is 1 where valid and 0 elsewhere.
    The four corner colours are interpolated bilinearly in CIELAB, so that equal steps of uv look about equal.
    A uv of shape (2, H, 2) is read as an image.
    """
    uv = np.asarray(uv, dtype=float)
    uv = np.moveaxis(uv, 0, -1) if uv.ndim == 3 and uv.shape[0] == 2 else uv
    right, down = np.moveaxis((np.clip(uv, -1, 1) + 1) / 2, -1, 0)[..., None]
    top = UV_CORNERS[0, 0] * (1 - right) + UV_CORNERS[0, 1] * right
    bottom = UV_CORNERS[1, 0] * (1 - right) + UV_CORNERS[1, 1] * right
    rgb = np.clip(lab2rgb(top * (1 - down) + bottom * down), 0, 1)
    alpha = np.ones(uv.shape[:-1]) if valid is None else np.asarray(valid, dtype=bool).astype(float)
    return np.concatenate([rgb, alpha[..., None]], axis=-1)


# ---- axes -------------------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None, width: float = 6.4, height: float = 4.4) -> Axes:
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def _image_axes(ax: Axes | None, size: tuple[int, int], spacing: float | None) -> Axes:
    """A panel for points in pixels of an image of `size` = (H, W): y down, equal aspect, ticks in mm where they are known."""
    height, width = size
    ax = _axes(ax, 5.4, float(np.clip(4.6 * height / width + 0.9, 3, 8)))
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    unit, scale = ("pixels", 1.0) if spacing is None else ("mm", spacing)
    step = _round_step(width * scale / 4)
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        axis.set_major_locator(MultipleLocator(step / scale))
        axis.set_major_formatter(lambda value, _: f"{value * scale:.0f}")
        axis.set_label_text(f"{name} ({unit})")
    return ax


def _round_step(length: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50, ... that does not exceed `length`."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step for step in (1, 2, 5) if step * power <= length) * power)


def _radiograph(ax: Axes, image: Any, dim: float = 1.0) -> None:
    """Grey image under whatever follows; dim < 1 leaves room for colours on top."""
    ax.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=1 / dim, interpolation="bilinear", zorder=0)


def scale_bar(ax: Axes, size: tuple[int, int], spacing: float | None) -> None:
    """A labelled bar in the lower left corner, and no ticks: for panels too small for axes."""
    height, width = size
    scale, unit = (1.0, "px") if spacing is None else (spacing, "mm")
    length = _round_step(width * scale / 3)
    x, y = 0.05 * width, 0.94 * height
    outline = [withStroke(linewidth=3, foreground="black")]
    ax.plot([x, x + length / scale], [y, y], color="white", linewidth=2, solid_capstyle="butt", path_effects=outline)
    ax.text(x, y - 0.02 * height, f"{length:g} {unit}", color="white", fontsize=9, va="bottom", path_effects=outline)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.spines[:].set_visible(False)


def _closed(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, points[:1]])


def _draw_landmarks(ax: Axes, points: np.ndarray, anatomy: Anatomy, size: float = 9.0, line: bool = True) -> None:
    """Landmarks coloured by structure, joined to an outline where the anatomy says so."""
    for structure, (name, colour) in zip(anatomy.structures, structure_colours(anatomy).items(), strict=True):
        own = points[anatomy.slices[name]]
        if line and structure.contour:
            ax.plot(*_closed(own).T, color=colour, linewidth=1.0, alpha=0.9)
        ax.scatter(own[:, 0], own[:, 1], s=size, color=colour, linewidths=0, label=name, zorder=3)


def _legend(ax: Axes, anatomy: Anatomy, extra: Sequence[Line2D] = ()) -> None:
    """The structures below the panel, where they hide nothing."""
    handles = [
        Line2D([], [], color=c, marker="o", markersize=5, linewidth=1.2, label=n) for n, c in structure_colours(anatomy).items()
    ]
    ax.legend(handles=[*handles, *extra], loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, columnspacing=1.2)


def _draw_masks(ax: Axes, masks: Any, anatomy: Anatomy, alpha: float = 0.35) -> None:
    for mask, colour in zip(np.asarray(masks, dtype=bool), structure_colours(anatomy).values(), strict=True):
        ax.imshow(np.where(mask[..., None], (*colour, alpha), 0.0), interpolation="nearest", zorder=1)
        if mask.any() and not mask.all():
            ax.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.2, zorder=2)


# ---- cases and shapes -------------------------------------------------------------------------------------------------


@styled
def show_case(case: Case, landmarks: bool = True, masks: bool = False, ax: Axes | None = None) -> Axes:
    """One radiograph with its landmarks, coloured by structure, and on request its masks. Axes in mm, or in pixels."""
    ax = _image_axes(ax, case.size, case.spacing)
    _radiograph(ax, case.image)
    if masks:
        _draw_masks(ax, _masks_of(case), case.anatomy)
    if landmarks:
        _draw_landmarks(ax, case.landmarks, case.anatomy, line=not masks)
    if len(case.anatomy) <= len(BRIGHT) and (landmarks or masks):
        _legend(ax, case.anatomy)
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
        _image_axes(ax, case.size, case.spacing)
        _radiograph(ax, case.image)
        if landmarks:
            _draw_landmarks(ax, case.landmarks, case.anatomy, size=0.0)
        scale_bar(ax, case.size, case.spacing)
        ax.set_title(case.id, fontsize=9)
    return figure


@styled
def show_template(template: Template, ax: Axes | None = None, boxes: bool = True) -> Axes:
    """The mean shape, and round each structure the box that its uv square covers. Axes in pixels."""
    ax = _image_axes(ax, template.size, None)
    if boxes:
        for lower, upper, colour in zip(*_boxes(template), structure_colours(template.anatomy).values(), strict=True):
            ax.add_patch(plt.Rectangle(lower, *(upper - lower), fill=False, edgecolor=colour, linestyle=":", linewidth=1))
    _draw_landmarks(ax, np.asarray(template.points), template.anatomy)
    if len(template.anatomy) <= len(BRIGHT):
        _legend(ax, template.anatomy)
    ax.set_title("template: mean shape" + (" and uv boxes" if boxes else ""))
    return ax


def _boxes(template: Template) -> tuple[np.ndarray, np.ndarray]:
    """(C, 2) lower and upper corners, pixels."""
    return np.asarray(template.lower, dtype=float), np.asarray(template.upper, dtype=float)


@styled
def show_shapes(landmarks: Any, template: Template, ax: Axes | None = None) -> Axes:
    """All shapes (M, N, 2) as a faint cloud, and their mean on top. Axes in pixels."""
    ax = _image_axes(ax, template.size, None)
    landmarks, anatomy = np.asarray(landmarks), template.anatomy
    for structure, (name, colour) in zip(anatomy.structures, structure_colours(anatomy).items(), strict=True):
        own = landmarks[:, anatomy.slices[name]]
        if structure.contour:
            lines = [_closed(shape) for shape in own]
            ax.add_collection(LineCollection(lines, colors=[colour], linewidths=0.6, alpha=max(0.08, min(0.5, 8 / len(lines)))))
        else:
            ax.scatter(own[..., 0], own[..., 1], s=2, color=colour, alpha=0.3, linewidths=0)
        mean = np.asarray(template.points)[anatomy.slices[name]]
        ax.plot(*_closed(mean).T, "-" if structure.contour else "o", color="black", linewidth=1.2)
    if len(anatomy) <= len(BRIGHT):
        _legend(ax, anatomy, [Line2D([], [], color="black", label="mean shape")])
    ax.set_title(f"{len(landmarks)} shapes and their mean")
    return ax


# ---- uv maps ----------------------------------------------------------------------------------------------------------


@styled
def uv_key(ax: Axes | None = None) -> Axes:
    """The legend of the uv colours: the square [-1, 1] x [-1, 1], u to the right, v downwards."""
    ax = _axes(ax, 2.4, 2.4)
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

    image: (H, W). uv: (C, 2, H, W). valid: (C, H, W) bool. structures: names to draw, all by default;
    where two overlap, the smaller one is shown.
    """
    uv, valid = np.asarray(uv), np.asarray(valid, dtype=bool)
    if ax is None:
        ax, key = plt.subplots(1, 2, figsize=(6.4, 4.7 * valid.shape[1] / valid.shape[2]), width_ratios=(4, 1))[1]
        uv_key(key)
        key.set_anchor("N")
    ax = _image_axes(ax, (valid.shape[1], valid.shape[2]), spacing)
    _radiograph(ax, image, dim=0.8)
    chosen = [anatomy.index(name) for name in (anatomy.names if structures is None else structures)]
    free = np.ones(valid.shape[1:], dtype=bool)
    for index in sorted(chosen, key=lambda i: valid[i].sum()):
        visible = valid[index] & free
        colours = uv_colours(uv[index], visible)
        colours[..., 3] *= opacity
        ax.imshow(colours, interpolation="nearest", zorder=1)
        _isolines(ax, uv[index], visible)
        free &= ~valid[index]
    ax.set_title("uv map: " + (anatomy.names[chosen[0]] if len(chosen) == 1 else anatomy.name))
    return ax


def _isolines(ax: Axes, uv: np.ndarray, valid: np.ndarray, colour: str = "#1a1a1a") -> None:
    if valid.sum() < 4:
        return
    for channel, style in zip(uv, ("solid", "dashed"), strict=True):
        ax.contour(np.where(valid, channel, np.nan), levels=ISOLINES, colors=colour, linewidths=0.6, linestyles=style, zorder=2)


@styled
def show_uv_channels(uv: Any, valid: Any, title: str = "", spacing: float | None = None) -> Figure:
    """The two channels of one structure's map side by side. uv: (2, H, W); valid: (H, W) bool."""
    uv, valid = np.asarray(uv), np.asarray(valid, dtype=bool)
    figure, axes = plt.subplots(1, 2, figsize=(6.6, 6.6 / 2 * valid.shape[0] / valid.shape[1] + 0.9), sharey=True)
    for ax, channel, name in zip(axes, uv, "uv", strict=True):
        _image_axes(ax, valid.shape, spacing)
        shown = ax.imshow(np.where(valid, channel, np.nan), cmap="PuOr_r", vmin=-1, vmax=1, interpolation="nearest")
        ax.contour(np.where(valid, channel, np.nan), levels=ISOLINES, colors="#1a1a1a", linewidths=0.5)
        ax.set_title(f"{title}: {name}" if title else name)
    axes[1].set_ylabel("")
    figure.colorbar(shown, ax=axes, orientation="horizontal", label="u or v (no unit)", shrink=0.6, aspect=40)
    return figure


# ---- predictions ------------------------------------------------------------------------------------------------------


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

    image: (H, W); the prediction is in its pixels. spacing: mm per pixel, by default that of the case.
    ellipses: draw the region that should hold 95 % of the truth, from the covariance.
    The title names structures that were not found.
    """
    image, points, anatomy = np.asarray(image), np.asarray(prediction.landmarks), prediction.anatomy
    spacing = spacing or (case.spacing if case else None)
    ax = _image_axes(ax, image.shape, spacing)
    _radiograph(ax, image, dim=0.9)
    if prediction.masks is not None:
        _draw_masks(ax, prediction.masks, anatomy, alpha=0.25)
    if case is not None:
        sticks = np.stack([case.landmarks, points], axis=1)
        ax.add_collection(LineCollection(list(sticks), colors=TRUTH, linewidths=1.0, zorder=3))
        ax.scatter(case.landmarks[:, 0], case.landmarks[:, 1], s=5, color=TRUTH, linewidths=0, zorder=4)
    if ellipses and getattr(prediction, "covariance", None) is not None:
        _draw_ellipses(ax, points, np.asarray(prediction.covariance), anatomy)
    _draw_landmarks(ax, points, anatomy, size=10, line=prediction.masks is None)
    if len(anatomy) <= len(BRIGHT):
        truth = Line2D([], [], color="white", marker="o", markersize=4, markeredgecolor="#666666", label="truth, error")
        _legend(ax, anatomy, [truth] if case else [])
    title = "prediction" if case is None else f"prediction and truth, case {case.id}"
    ax.set_title(title + (f"; not found: {', '.join(prediction.failed)}" if prediction.failed else ""))
    return ax


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
    path = Path(path)
    figure = plt.figure(figsize=(5.4, 5.4), layout="constrained")
    show_prediction(image, prediction, spacing=spacing, ax=figure.add_subplot())
    try:
        figure.savefig(path, dpi=160, facecolor="white")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose a folder that exists and is writable") from error
    finally:
        plt.close(figure)
    return path


@styled
def show_heatmaps(
    image: Any, heatmaps: Any, landmarks: Any = None, indices: Sequence[int] | None = None, spacing: float | None = None
) -> Figure:
    """Some of the heatmaps (N, H, W) over their image, four by default, each with its landmark (of (N, 2)) as a cross."""
    image, heatmaps = np.asarray(image), np.asarray(heatmaps)
    chosen = list(np.linspace(0, len(heatmaps) - 1, min(4, len(heatmaps))).astype(int) if indices is None else indices)
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    side = 6.6 / columns
    height = rows * (side * image.shape[0] / image.shape[1] + 0.3) + 0.6
    figure, axes = plt.subplots(rows, columns, figsize=(6.6, height), squeeze=False)
    for ax in axes.flat[len(chosen) :]:
        ax.set_axis_off()
    for ax, index in zip(axes.flat, chosen, strict=False):
        _image_axes(ax, image.shape, spacing)
        _radiograph(ax, image)
        peak = max(float(heatmaps[index].max()), 1e-12)
        share = np.clip(heatmaps[index] / peak, 0, 1)
        shown = ax.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=0.85 * share**0.5)
        if landmarks is not None:
            ax.plot(*np.asarray(landmarks)[index], "+", color="#66CCEE", markersize=9, markeredgewidth=1.5)
        scale_bar(ax, (image.shape[0], image.shape[1]), spacing)
        ax.set_title(f"landmark {index}", fontsize=9)
    shown = plt.cm.ScalarMappable(plt.Normalize(0, 1), "inferno")
    figure.colorbar(shown, ax=axes, orientation="horizontal", label="heatmap / its peak (no unit)", shrink=0.6, aspect=40)
    return figure


# ---- training and evaluation ------------------------------------------------------------------------------------------


@styled
def plot_history(table: pd.DataFrame, unit: str = "pixels") -> Figure:
    """Loss terms (log scale) and the validation error against epochs.

    table: the history of `training.fit`: a column `epoch`, the validation error in columns whose name contains "tre" (NaN where
        not measured), and one column for each loss term.
    Raises DataError where the history is empty.
    """
    if not len(table):
        raise DataError("the history is empty: this method has nothing to train, so there is nothing to plot")
    errors = [name for name in table if "tre" in str(name)]
    skipped = {"epoch", "learning_rate", "seconds", *errors}
    terms = [name for name in table.select_dtypes("number") if name not in skipped]
    figure, axes = plt.subplots(2, 1, figsize=(6.4, 5.4), sharex=True, height_ratios=(3, 2))
    for name, colour in zip(terms, BRIGHT * 3, strict=False):
        axes[0].plot(table["epoch"], table[name], label=str(name).replace("_", " "), color=colour)
    axes[0].set(yscale="log", ylabel="loss (no unit)", title="training")
    axes[0].legend(ncols=2)
    for name, colour in zip(errors, BRIGHT, strict=False):
        seen = table[["epoch", name]].dropna()
        axes[1].plot(seen["epoch"], seen[name], "o-", markersize=3, color=colour, label=str(name).replace("_", " "))
    axes[1].set(xlabel="epoch", ylabel=f"landmark error ({unit})", ylim=(0, None), title="validation")
    for ax in axes:
        ax.grid(axis="y")
    return figure


@styled
def plot_cumulative_error(
    frames: Mapping[str, Any], unit: str = "mm", limits: Sequence[float] = (2, 4, 10), ax: Axes | None = None
) -> Axes:
    """Share of landmarks (%) whose error is at most x: one curve a method, ticks at the usual limits.

    frames: method name -> errors of any shape, in `unit`. NaN (missing or failed) stays in the
        denominator: it never counts as found.
    """
    ax = _axes(ax)
    right = max([*limits, *(float(np.nanquantile(np.asarray(errors), 0.99)) for errors in frames.values())])
    for (name, errors), colour in zip(frames.items(), BRIGHT * 3, strict=False):
        flat = np.asarray(errors, dtype=float).ravel()
        found = np.sort(flat[np.isfinite(flat)])
        share = 100 * np.arange(1, len(found) + 1) / len(flat)
        ax.step(np.r_[0, found, max(right, found[-1])], np.r_[0, share, share[-1]], where="post", label=name, color=colour)
    for limit in limits:
        ax.axvline(limit, color="#bbbbbb", linewidth=0.8, linestyle=":", zorder=0)
    ax.set(xlabel=f"landmark error ({unit})", ylabel="landmarks with at most this error (%)", xlim=(0, right), ylim=(0, 101))
    ax.set_title("cumulative error")
    ax.grid(axis="y")
    ax.legend(loc="lower right")
    return ax


@styled
def plot_error_by_structure(
    frames: pd.DataFrame | Mapping[str, pd.DataFrame], metric: str = "tre", by: str = "group", ax: Axes | None = None
) -> Axes:
    """Distribution of a metric over cases: for each group a box for each method, and every value as a dot.

    frames: a table of `evaluation.benchmark.evaluate`, or several by method name. by: "group" or "structure".
    Boxes show the quartiles and the median; whiskers reach 1.5 interquartile ranges.
    """
    named = {"": frames} if isinstance(frames, pd.DataFrame) else dict(frames)
    rows = {name: frame[frame["metric"] == metric] for name, frame in named.items()}
    together = pd.concat(rows.values())
    unit, ax = _one_unit(together), _axes(ax)
    groups, step, rng = list(dict.fromkeys(together[by])), 0.8 / len(rows), np.random.default_rng(0)
    for m, ((name, frame), colour) in enumerate(zip(rows.items(), BRIGHT * 3, strict=False)):
        values = [frame.loc[frame[by] == group, "value"].dropna().to_numpy() for group in groups]
        places = np.arange(len(groups)) + (m - (len(rows) - 1) / 2) * step
        line = {"color": colour}
        ax.boxplot(
            values,
            positions=places,
            widths=0.7 * step,
            showfliers=False,
            patch_artist=True,
            boxprops={"facecolor": (*to_rgb(colour), 0.25), "edgecolor": colour},
            medianprops={"color": colour, "linewidth": 2},
            whiskerprops=line,
            capprops=line,
        )
        for place, own in zip(places, values, strict=True):
            ax.scatter(place + rng.uniform(-0.18, 0.18, len(own)) * step, own, s=5, color=colour, alpha=0.5, linewidths=0)
        ax.plot([], [], "s", color=colour, label=name)
    turn = 30 if len(groups) > 5 else 0
    ax.set_xticks(range(len(groups)), groups, rotation=turn, ha="right" if turn else "center")
    title = METRIC_NAMES.get(metric, metric)
    ax.set(
        ylabel=f"{title} ({unit})",
        ylim=(0, None),
        title=f"{title} by {by}, each dot a {'case' if by == 'structure' else 'structure of a case'}",
    )
    ax.grid(axis="y")
    if len(rows) > 1:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1 if not turn else -0.3), ncols=3)
    return ax


def _one_unit(table: pd.DataFrame) -> str:
    """The unit of all rows. Raises DataError where they are none or several."""
    units = sorted(set(table["unit"]))
    if len(units) != 1:
        raise DataError(f"one axis cannot show the units {', '.join(units) or '(no rows)'}; keep one metric and one unit")
    return units[0]


@styled
def plot_intervals(
    table: pd.DataFrame,
    label: str = "method",
    value: str = "mean",
    unit: str | None = None,
    title: str = "mean with 95 % bootstrap interval",
    reference: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A forest plot: one row each with its value and interval, from the columns `label`, `value`, `low` and `high`.

    table: rows of `evaluation.tables.results_table` or `benchmark.summarise` for one metric, or all of
        `benchmark.compare_methods` (then value="difference", a unit, and reference=0).
    unit: by default what the column `unit` says. reference: where to draw a line to compare with, such as 0 for a difference.
    """
    ax = _axes(ax, 6.4, 1.3 + 0.34 * len(table))
    rows = np.arange(len(table))
    ax.hlines(rows, table["low"], table["high"], color=BRIGHT[0], linewidth=2.5)
    ax.plot(table[value], rows, "o", color=BRIGHT[0], markersize=6, markeredgecolor="white")
    for row, (middle, high) in enumerate(zip(table[value], table["high"], strict=True)):
        ax.annotate(f"{middle:.2f}", (high, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    if reference is not None:
        ax.axvline(reference, color="#999999", linewidth=1, linestyle="--", zorder=0)
    ax.set_yticks(rows, [str(name) for name in table[label]])
    ax.set(xlabel=f"{value} ({unit or _one_unit(table)})", ylim=(len(table) - 0.5, -0.5), title=title)
    ax.margins(x=0.15)
    ax.grid(axis="x")
    return ax


@styled
def plot_error_map(template: Template, errors: Any, unit: str = "mm", ax: Axes | None = None, highest: float | None = None) -> Axes:
    """Where the errors are: every landmark at its place in the template, coloured by its error (N,), or mean over (M, N)."""
    errors = np.asarray(errors, dtype=float)
    errors = np.nanmean(errors, axis=0) if errors.ndim == 2 else errors
    ax = _image_axes(ax, template.size, None)
    points, anatomy = np.asarray(template.points), template.anatomy
    for structure in anatomy.structures:
        if structure.contour:
            ax.plot(*_closed(points[anatomy.slices[structure.name]]).T, color="#cccccc", linewidth=1, zorder=1)
    top = float(np.nanmax(errors)) if highest is None else highest
    shown = ax.scatter(points[:, 0], points[:, 1], c=errors, cmap="viridis_r", vmin=0, vmax=top, s=18, linewidths=0, zorder=2)
    ax.figure.colorbar(shown, ax=ax, label=f"mean landmark error ({unit})", shrink=0.8)
    ax.set_title("error by landmark")
    return ax
