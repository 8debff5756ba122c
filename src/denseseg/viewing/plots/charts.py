"""Charts of training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from denseseg.errors import DataError
from denseseg.evaluation.metrics import cumulative_share
from denseseg.evaluation.metrics import metric as metric_of
from denseseg.viewing.plots.style import BRIGHT, new_axes, one_unit, styled


@styled
def plot_history(table: pd.DataFrame, unit: str = "pixels") -> Figure:
    """Loss terms (log scale) and the validation error against epochs.

    table: the history of `Method.fit`: a column `epoch`, errors in columns whose name contains "error" (NaN where
        not measured), and one column for each loss term.
    Raises DataError where the history is empty.
    """
    if not len(table):
        raise DataError("the history is empty: this method has nothing to train, so there is nothing to plot")
    errors = [name for name in table if "error" in str(name)]
    skipped = {"epoch", "learning_rate", "steps", "processor_seconds", "seconds", *errors}
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
    errors: Mapping[str, Any],
    unit: str = "mm",
    limits: Sequence[float] = (2, 4, 10),
    of: Literal["landmarks", "images"] = "landmarks",
    ax: Axes | None = None,
) -> Axes:
    """Share (%) of landmarks, or of images, whose error is at most x: one curve a method, ticks at the usual limits.

    errors: method name -> errors of any shape, in `unit`: of landmarks, or of images (`image_specific_errors`, the curves of the
        SCN paper's Fig. 5 to 9). NaN (missing or failed) counts as not found.
    """
    ax = new_axes(ax)
    known = {name: np.r_[0.0, np.asarray(own, float)[np.isfinite(own)]] for name, own in errors.items()}
    right = max([*limits, *(float(np.quantile(own, 0.99)) for own in known.values())])
    for (name, own), colour in zip(errors.items(), BRIGHT * 3, strict=False):
        values = np.asarray(own, dtype=float)
        found, share = cumulative_share(np.where(np.isnan(values), np.inf, values))
        found, share = np.r_[0, found], np.r_[0, share]
        ends = np.r_[found, max(right, found[-1])], 100 * np.r_[share, share[-1]]
        ax.step(*ends, where="post", label=name, color=colour)
    for limit in limits:
        ax.axvline(limit, color="#bbbbbb", linewidth=0.8, linestyle=":", zorder=0)
    error = "landmark error" if of == "landmarks" else "mean landmark error of an image"
    ax.set(xlabel=f"{error} ({unit})", ylabel=f"{of} with at most this error (%)", xlim=(0, right), ylim=(0, 101))
    ax.set_title("cumulative error")
    ax.grid(axis="y")
    ax.legend(loc="lower right")
    return ax


@styled
def plot_error_by_structure(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame], metric: str = "tre", by: str = "group", ax: Axes | None = None
) -> Axes:
    """Distribution of a metric over cases: for each group a box for each method, and every value as a dot.

    tables: a table of `evaluate`, or several by method name. by: "group" or "structure".
    Boxes show the quartiles and the median; whiskers reach 1.5 interquartile ranges.
    """
    named = {"": tables} if isinstance(tables, pd.DataFrame) else dict(tables)
    rows = {name: table[table["metric"] == metric] for name, table in named.items()}
    together = pd.concat(rows.values())
    unit, ax = one_unit(together), new_axes(ax)
    groups, step, rng = list(dict.fromkeys(together[by])), 0.8 / len(rows), np.random.default_rng(0)
    for m, ((name, table), colour) in enumerate(zip(rows.items(), BRIGHT * 3, strict=False)):
        values = [table.loc[table[by] == group, "value"].dropna().to_numpy() for group in groups]
        places = np.arange(len(groups)) + (m - (len(rows) - 1) / 2) * step
        box, line = {"facecolor": (*to_rgb(colour), 0.25), "edgecolor": colour}, {"color": colour}
        look: dict[str, Any] = {"boxprops": box, "medianprops": line | {"linewidth": 2}, "whiskerprops": line, "capprops": line}
        ax.boxplot(values, positions=places, widths=0.7 * step, showfliers=False, patch_artist=True, **look)
        for place, own in zip(places, values, strict=True):
            ax.scatter(place + rng.uniform(-0.18, 0.18, len(own)) * step, own, s=5, color=colour, alpha=0.5, linewidths=0)
        ax.plot([], [], "s", color=colour, label=name)
    turn = 30 if len(groups) > 5 else 0
    ax.set_xticks(range(len(groups)), groups, rotation=turn, ha="right" if turn else "center")
    title, dot = metric_of(metric).title, "case" if by == "structure" else "structure of a case"
    if "landmark" in together and together["landmark"].notna().all():
        dot = "landmark of a case"
    ax.set(ylabel=f"{title} ({unit})", ylim=(0, None), title=f"{title} by {by}, each dot a {dot}")
    ax.grid(axis="y")
    if len(rows) > 1:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3 if turn else -0.1), ncols=3)
    return ax


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

    table: rows of `results_table` or `summarise` for one metric, or all of `compare_methods` with value="difference" and a unit.
    unit: by default what the column `unit` says. reference: where to draw a line to compare with, such as 0 for a difference.
    """
    ax = new_axes(ax, 6.4, 1.3 + 0.34 * len(table))
    rows = np.arange(len(table))
    ax.hlines(rows, table["low"], table["high"], color=BRIGHT[0], linewidth=2.5)
    ax.plot(table[value], rows, "o", color=BRIGHT[0], markersize=6, markeredgecolor="white")
    for row, (middle, high) in enumerate(zip(table[value], table["high"], strict=True)):
        ax.annotate(f"{middle:.2f}", (high, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9)
    if reference is not None:
        ax.axvline(reference, color="#999999", linewidth=1, linestyle="--", zorder=0)
    ax.set_yticks(rows, [str(name) for name in table[label]])
    ax.set(xlabel=f"{value} ({unit or one_unit(table)})", ylim=(len(table) - 0.5, -0.5), title=title)
    ax.margins(x=0.15)
    ax.grid(axis="x")
    return ax


@styled
def plot_ours_and_published(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """A forest plot of mean errors: a panel for each data set, a line for each method, that of the smallest error on top.

    panels: title -> rows with method, mean, low, high (NaN where there is no interval), unit, and kind: "default" (our recipe),
    "paper" (our run of a paper's recipe) or "published".
    """
    rows = [table["method"].nunique() for table in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        figsize=(7.0, 0.7 * len(panels) + 0.26 * sum(rows) + 0.4),
        height_ratios=rows,
        squeeze=False,
        layout="constrained",
    )
    looks = {
        "default": ("o", BRIGHT[0], "ours, our recipe"),
        "paper": ("s", BRIGHT[4], "ours, a paper's recipe"),
        "published": ("D", BRIGHT[1], "published"),
    }
    for ax, (title, table) in zip(axes[:, 0], panels.items(), strict=True):
        methods = list(table.groupby("method")["mean"].min().sort_values().index)
        for kind, (marker, colour, label) in looks.items():
            part = table[table["kind"] == kind]
            lines = part["method"].map(methods.index)
            ax.hlines(lines, part["low"], part["high"], color=colour, linewidth=2)
            ax.plot(part["mean"], lines, marker, color=colour, markersize=5, markeredgecolor="white", label=label)
        ax.set_yticks(range(len(methods)), methods, fontsize=8)
        ax.set(xlim=(0, None), ylim=(len(methods) - 0.5, -0.5), title=title, xlabel=f"mean landmark error ({one_unit(table)})")
        ax.grid(axis="x")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(looks), fontsize=8)
    return figure
