"""Summaries of evaluation tables as the papers print them, and paired comparisons of methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from denseseg.errors import DataError
from denseseg.evaluation.statistics import Difference, bootstrap_cases, holm, paired_difference

COMPARED = ["method", "difference", "low", "high", "n", "p_t", "p_wilcoxon", "p_wilcoxon_holm", "p_permutation", "p_holm"]
COLUMNS = ["group", "metric", "mean", "sd", "median", "low", "high", "unit", "n", "missing", "failures"]


def summarise(table: pd.DataFrame, n_resamples: int = 2000) -> pd.DataFrame:
    """The table of `evaluate` as papers print it: one row per group and metric, and the rows of the group "average".

    A group's mean, SD (n - 1) and median run over all its rows: over structures and cases, left and right pooled, and for single
    landmarks (kind "points") over all landmarks of all cases. "average" is the mean of the group means and, as in the authors'
    tables, its `sd` the mean of the group SDs; its `median` is the mean of the group medians. `low` and `high` are the 95 %
    bootstrap interval of the mean; it resamples images, never structures or landmarks: those that have the group, and for "average"
    those that have any. A group that is in none of the images drawn leaves the average of that draw.
    Columns: group, metric, mean, sd, median, low, high, unit, n (values), missing (not in the truth), failures (values that hold
    a failure).
    Raises DataError where a metric mixes units, or a case is in the table twice.
    """
    twice = table[table.duplicated(["case", "structure", "metric", "landmark"])]
    if len(twice):
        raise DataError(f"case {twice.iloc[0]['case']} is in the table twice; summarise one method and one seed at a time")
    parts = table.groupby("metric", sort=False)
    summary = pd.DataFrame((row for name, part in parts for row in _summarise(str(name), part, n_resamples)), columns=COLUMNS)
    order = {name: i for i, name in enumerate([*table["group"].drop_duplicates(), "average"])}
    return summary.sort_values("group", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _summarise(metric: str, rows: pd.DataFrame, n_resamples: int) -> Iterator[tuple]:
    units = rows["unit"].unique()
    if len(units) > 1:
        raise DataError(f"{metric} mixes the units {', '.join(units)}; give all cases a spacing, or none")
    by_group = rows.groupby("group", sort=False)
    sd, median = by_group["value"].std(), by_group["value"].median()
    tally = by_group.agg(n=("value", "count"), missing=("value", lambda v: int(v.isna().sum())), failures=("failed", "sum"))
    cells = rows.groupby(["group", "case"], sort=False)["value"]
    sums, counts = (part.unstack().loc[tally.index].to_numpy() for part in (cells.sum(), cells.count()))
    for g, group in enumerate(tally.index):
        mean = _pooled_mean(sums[[g]], counts[[g]], n_resamples)
        yield (group, metric, mean[0], sd[group], median[group], *mean[1:], units[0], *tally.loc[group])
    mean = _pooled_mean(sums, counts, n_resamples)
    yield ("average", metric, mean[0], sd.mean(), median.mean(), *mean[1:], units[0], *tally.sum())


def _pooled_mean(sums: np.ndarray, counts: np.ndarray, n_resamples: int) -> tuple[float, float, float]:
    """Mean over groups of the pooled means, and its interval, from (groups, cases) sums and counts of values."""
    having = np.nansum(counts, 0) > 0  # else a draw of images without any value would have no mean, and so the interval no ends
    sums, counts = sums[:, having], counts[:, having]

    def statistic(cases: np.ndarray, axis: int = -1) -> np.ndarray:
        total, count = np.nansum(sums[:, cases], axis), np.nansum(counts[:, cases], axis)
        known = count > 0  # a group that nobody annotated leaves the average
        means = np.divide(total, count, out=np.zeros_like(total), where=known)
        return np.where(known.any(0), means.sum(0) / np.maximum(known.sum(0), 1), np.nan)

    everyone = np.arange(sums.shape[1])
    low, high = bootstrap_cases(statistic, len(everyone), n_resamples)
    return float(statistic(everyone)), low, high


def per_case(table: pd.DataFrame, metric: str, group: str = "average") -> pd.Series:
    """One number per image, indexed by case: the group's mean, or for "average" the mean of the group means.

    Raises DataError where the table has no such metric or group.
    """
    rows = table[table["metric"] == metric]
    if group != "average":
        rows = rows[rows["group"] == group]
    if rows.empty:
        known = {"metrics": [*table["metric"].unique()], "groups": [*table["group"].unique(), "average"]}
        raise DataError(f"the table has no {metric!r} of {group!r}; it has {known}")
    return rows.groupby(["case", "group"], sort=False)["value"].mean().groupby("case", sort=False).mean().rename(metric)


def image_specific_errors(table: pd.DataFrame) -> pd.Series:
    """IPE, the image-specific point-to-point error (SCN, Section 3.2, Eq. 7): the mean over all landmarks of an image, by case.

    table: of `evaluate`. Every landmark weighs alike, whatever structure it is of (in `per_case` every group does), and a failure
    has its price. NaN for an image without any known landmark. `metrics.cumulative_share` makes the papers' curve of it.
    Raises DataError where the table has no tre.
    """
    tre = table[table["metric"] == "tre"]
    if tre.empty:
        raise DataError("the table has no landmark errors; give one of a method that has landmarks")
    sums = tre.assign(value=tre["value"] * tre["n"]).groupby("case", sort=False)[["value", "n"]].sum()
    return (sums["value"] / sums["n"]).rename("ipe")


def compare_methods(
    tables: Mapping[str, pd.DataFrame], reference: str, metric: str = "tre", group: str = "average", seed: int = 0
) -> pd.DataFrame:
    """Every method against `reference` on the same images, with Holm's correction for the number of comparisons.

    tables: method name -> table of `evaluate`. Returns one row per other method: method, difference (method minus
        reference), low, high, n (images), p_t (the papers' paired t-test), p_wilcoxon and p_permutation as they are, and corrected
        p_wilcoxon_holm and p_holm (of p_permutation).
    Raises DataError where the tables do not cover the same cases.
    """
    if reference not in tables:
        raise DataError(f"unknown reference {reference!r}; there are: {', '.join(tables)}")
    base = per_case(tables[reference], metric, group)
    rows = []
    for name in (name for name in tables if name != reference):
        values = per_case(tables[name], metric, group)
        if set(values.index) != set(base.index):
            raise DataError(f"{name} and {reference} were evaluated on different cases; paired tests need the same ones")
        rows.append((name, *paired_difference(values[base.index].to_numpy(), base.to_numpy(), seed=seed)))
    compared = pd.DataFrame(rows, columns=["method", "difference", *Difference._fields[1:]])
    corrected = {"p_wilcoxon_holm": holm(compared["p_wilcoxon"]), "p_holm": holm(compared["p_permutation"])}
    return compared.assign(**corrected)[COMPARED]
