"""Tables of records: ours beside the published numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from denseseg.evaluation.metrics import metric
from denseseg.evaluation.tables import format_mean_sd
from denseseg.experiments.published import published
from denseseg.experiments.record import Record
from denseseg.methods import METHODS


def results_table(results: Mapping[str, pd.DataFrame | Record]) -> pd.DataFrame:
    """Several results in one tidy table: method, group, metric, mean, sd, median, low, high, unit.

    results: column title -> a table of `summarise`, or a run's record. Let the title say what was run on what
        (`run_title`): a run on phantoms must not read like one on patients.
    """
    parts = [_tidy(result).assign(method=title) for title, result in results.items()]
    return pd.concat(parts, ignore_index=True)[["method", "group", "metric", "mean", "sd", "median", "low", "high", "unit"]]


def _tidy(result: pd.DataFrame | Record) -> pd.DataFrame:
    if isinstance(result, pd.DataFrame):
        return result
    groups = result.metrics.items()
    return pd.DataFrame({"group": g, "metric": m, **dict(numbers)} for g, by_metric in groups for m, numbers in by_metric.items())


def comparison_table(
    results: Mapping[str, pd.DataFrame | Record],
    dataset: str | None = None,
    metrics: tuple[str, ...] = ("dsc", "asd_one_way_published", "tre"),
) -> pd.DataFrame:
    """Ours beside the paper's: rows (group, metric with unit), one column of "mean ± SD" per method.

    results: as for `results_table`.
    dataset: "JSRT" or "GRAZPEDWRI-DX" appends the paper's columns, marked "(paper)"; None shows ours alone.
    metrics: which rows; of the two one-way ASDs the authors' pixel version, the one that they print.
    Numbers in different units get rows of their own. Raises KeyError for a data set without published numbers.
    """
    table = results_table(results)
    if dataset is not None:
        theirs = published()
        if dataset not in set(theirs["dataset"]):
            raise KeyError(f"no published table of {dataset!r}; there are: {', '.join(theirs['dataset'].unique())}")
        theirs = theirs[theirs["dataset"] == dataset].drop(columns=["dataset", "source"])
        table = pd.concat([table, theirs.assign(method=theirs["method"] + " (paper)")], ignore_index=True)
    table = table[table["metric"].isin(metrics)]
    order = [*(name for name in table["group"].unique() if name != "average"), "average"]
    cells = table.assign(
        metric_unit=table["metric"].map(lambda key: metric(key).title) + " [" + table["unit"] + "]",
        text=[format_mean_sd(mean, sd) for mean, sd in zip(table["mean"], table["sd"], strict=True)],
        place=table["metric"].map(metrics.index),
        block=table["group"].map(order.index),
    ).sort_values(["block", "place"], kind="stable")
    rows = pd.MultiIndex.from_frame(cells[["group", "metric_unit"]].drop_duplicates(), names=["group", "metric"])
    wide = cells.pivot(index=["group", "metric_unit"], columns="method", values="text").rename_axis(rows.names)
    return wide.reindex(index=rows, columns=table["method"].unique()).fillna("-").rename_axis(None, axis=1)


def method_title(name: str) -> str:
    """A method's title for people; of a method that this program does not know, its name in words."""
    return getattr(METHODS.get(name), "title", name.replace("_", " "))


def run_title(record: Record) -> str:
    """A column title that cannot be mistaken: method, recipe, profile, data set and seed."""
    spec = record.spec
    return f"{spec.method} ({spec.recipe}, {spec.profile}, {spec.dataset}, seed {spec.seed})"
