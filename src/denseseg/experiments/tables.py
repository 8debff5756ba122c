"""Tables of records: ours beside the published numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from denseseg.evaluation.metrics import METRIC_NAMES
from denseseg.evaluation.tables import format_mean_sd
from denseseg.experiments.published import published


def results_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Several results in one tidy table with the columns of `published` (without dataset), and low and high.

    results: column title -> a table of `benchmark.summarise`, or a run's record. Let the title say what was run on what
        (`course.record.run_title`): a run on phantoms must not read like one on patients.
    """
    parts = [_tidy(result).assign(method=title) for title, result in results.items()]
    return pd.concat(parts, ignore_index=True)[["method", "group", "metric", "mean", "sd", "low", "high", "unit"]]


def _tidy(result: Any) -> pd.DataFrame:
    if isinstance(result, pd.DataFrame):
        return result
    rows = [{"group": g, "metric": m, **numbers} for g, by_metric in result["metrics"].items() for m, numbers in by_metric.items()]
    return pd.DataFrame(rows)


def comparison_table(
    results: Mapping[str, Any],
    dataset: str | None = None,
    metrics: tuple[str, ...] = ("dsc", "asd_one_way", "tre"),
    digits: int = 1,
) -> pd.DataFrame:
    """Ours beside the paper's: rows (group, metric with unit), one column of "mean ± SD" per method.

    results: as for `results_table`.
    dataset: "JSRT" or "GRAZPEDWRI-DX" appends the paper's columns, marked "(paper)"; None shows ours alone.
    Numbers in different units get rows of their own. Raises KeyError for a data set without published numbers.
    """
    table = results_table(results)
    if dataset is not None:
        theirs = published()
        if dataset not in set(theirs["dataset"]):
            raise KeyError(f"no published table of {dataset!r}; there are: {', '.join(theirs['dataset'].unique())}")
        theirs = theirs[theirs["dataset"] == dataset].drop(columns="dataset")
        table = pd.concat([table, theirs.assign(method=theirs["method"] + " (paper)")], ignore_index=True)
    table = table[table["metric"].isin(metrics)]
    names = table["metric"].map(lambda metric: METRIC_NAMES.get(metric, metric))
    cells = table.assign(
        metric_unit=names + " [" + table["unit"] + "]",
        text=[format_mean_sd(mean, sd, digits) for mean, sd in zip(table["mean"], table["sd"], strict=True)],
        place=table["metric"].map(metrics.index),
        block=table["group"].map(_group_order(table["group"])),
    ).sort_values(["block", "place"], kind="stable")
    rows = pd.MultiIndex.from_frame(cells[["group", "metric_unit"]].drop_duplicates(), names=["group", "metric"])
    wide = cells.pivot(index=["group", "metric_unit"], columns="method", values="text").rename_axis(rows.names)
    return wide.reindex(index=rows, columns=table["method"].unique()).fillna("-").rename_axis(None, axis=1)


def _group_order(groups: pd.Series) -> dict[str, int]:
    """Groups in order of appearance, "average" last."""
    names = [name for name in groups.unique() if name != "average"]
    return {name: i for i, name in enumerate([*names, "average"])}


def records_table(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per run, group and metric: dataset, method, recipe, profile, seed, n_test, group, metric, mean, sd, low, ..."""
    keys = ("dataset", "method", "recipe", "profile", "seed", "n_test")
    rows = [
        {**{key: record[key] for key in keys}, "group": group, "metric": metric, **numbers}
        for record in records
        for group, by_metric in record["metrics"].items()
        for metric, numbers in by_metric.items()
    ]
    return pd.DataFrame(rows)


def is_toy(record: Mapping[str, Any]) -> bool:
    """True for a phantom and for the small profiles: such a number teaches, it is no evidence. For runs and studies."""
    return record["profile"] in ("smoke", "course") or "phantom" in record["dataset"].lower()


def run_title(record: Mapping[str, Any]) -> str:
    """A column title that cannot be mistaken: method, recipe, profile, data set and seed."""
    return f"{record['method']} ({record['recipe']}, {record['profile']}, {record['dataset']}, seed {record['seed']})"
