"""Tables for people: the published numbers, ours beside them, and export as markdown or LaTeX.

The published numbers are facts from Keuth et al., DenseSeg (2025), Tables 1 and 2. Their "ASD" is one-directional, from the
predicted landmarks to the true contour (for nnU-Net from all its contour points), so it is called `asd_one_way` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

METRIC_NAMES = {
    "tre": "TRE",
    "asd_one_way": "ASD (one-way)",
    "asd_one_way_published": "ASD (one-way, authors' pixel version)",
    "assd": "ASSD",
    "hd95": "HD95",
    "dsc": "DSC",
    "sdr_2": "SDR 2",
    "sdr_4": "SDR 4",
    "sdr_10": "SDR 10",
    "tre_outside": "TRE beyond the border",
    "presence": "presence told rightly",
}

# Each line: group, metric, then mean and SD of each method in the order of the header.
_JSRT_METHODS = ("ShapeFormer", "HeatReg", "HeatRegSeg", "DenseSeg", "DenseSeg sparse", "nnU-Net")
_JSRT = """
lungs      dsc          95.6 2.0   97.1 0.9   96.8 1.2   96.7 1.4   96.6 1.5   98.1 0.8
lungs      asd_one_way   2.7 1.2    1.9 0.6    1.8 0.6    2.1 0.6    3.4 1.1    1.4 0.6
lungs      tre           6.0 2.4    5.7 1.5    5.6 1.7    6.2 1.8    6.9 2.8    - -
heart      dsc          92.3 4.7   94.2 2.1   92.9 3.5   92.7 2.8   92.6 2.7   95.2 2.1
heart      asd_one_way   4.7 2.3    3.8 1.3    3.8 1.3    3.9 1.5    5.4 1.8    3.0 1.2
heart      tre           9.4 9.3    8.5 8.9    8.4 9.0    8.1 9.0    9.6 8.9    - -
clavicles  dsc          78.9 9.5   82.8 5.3   78.8 5.5   82.9 4.9   81.7 5.4   93.4 2.7
clavicles  asd_one_way   3.0 1.3    2.4 0.7    2.2 0.7    1.7 0.6    1.9 0.5    1.1 0.3
clavicles  tre           5.1 2.1    4.2 1.4    4.0 1.4    3.2 1.3    3.2 1.2    - -
average    dsc          88.9 5.4   91.4 2.8   89.5 3.4   90.8 3.0   90.3 3.2   95.6 2.9
average    asd_one_way   3.5 1.6    2.7 0.9    2.6 0.9    2.6 0.9    3.5 1.1    1.6 1.0
average    tre           6.8 4.6    6.1 3.9    6.0 4.0    5.8 4.0    6.6 4.3    - -
"""
_GRAZ_METHODS = ("HeatReg 720", "HeatReg 178", "HeatRegSeg", "DenseSeg")
_GRAZ = """
carpals      dsc          90.1 5.0   87.0 5.1   88.0 7.8   88.8 6.9
carpals      asd_one_way   1.8 0.4    1.8 0.5    1.8 0.4    1.0 0.4
carpals      tre           2.5 0.7    2.7 0.8    2.5 0.7    1.7 0.6
metacarpals  dsc          87.1 5.3   83.8 5.2   94.7 3.0   94.4 3.4
metacarpals  asd_one_way   2.0 0.4    2.0 0.7    2.0 0.4    1.2 0.9
metacarpals  tre           4.8 1.7    5.6 1.9    5.0 1.9    2.5 1.5
ulna/radius  dsc          87.2 8.8   81.8 9.7   94.3 4.8   94.4 4.6
ulna/radius  asd_one_way   1.9 0.6    1.6 0.4    1.7 0.6    1.0 0.5
ulna/radius  tre           6.9 4.6    5.7 3.2    6.9 4.3    3.2 2.2
average      dsc          88.1 6.4   84.2 6.7   92.3 5.2   92.6 5.0
average      asd_one_way   1.9 0.5    1.8 0.5    1.8 0.5    1.1 0.6
average      tre           4.8 2.3    4.6 2.0    4.8 2.3    2.5 1.4
"""


def published() -> pd.DataFrame:
    """Tables 1 (JSRT, mm) and 2 (GRAZPEDWRI-DX, px) of the DenseSeg paper: dataset, method, group, metric, mean, sd, unit."""
    rows = [*_parse("JSRT", _JSRT_METHODS, _JSRT, "mm"), *_parse("GRAZPEDWRI-DX", _GRAZ_METHODS, _GRAZ, "px")]
    return pd.DataFrame(rows, columns=["dataset", "method", "group", "metric", "mean", "sd", "unit"])


def _parse(dataset: str, methods: tuple[str, ...], text: str, unit: str) -> list[tuple]:
    rows = []
    for line in text.strip().splitlines():
        group, metric, *numbers = line.split()
        for method, mean, sd in zip(methods, numbers[::2], numbers[1::2], strict=True):
            if mean != "-":
                rows.append((dataset, method, group, metric, float(mean), float(sd), "%" if metric == "dsc" else unit))
    return rows


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


def format_mean_sd(mean: float, sd: float | None, digits: int = 1) -> str:
    """ "5.8 ± 4.0"; the mean alone where there is no SD, "-" where there is no mean."""
    if mean is None or pd.isna(mean):
        return "-"
    return f"{mean:.{digits}f}" + ("" if sd is None or pd.isna(sd) else f" ± {sd:.{digits}f}")


def to_markdown(table: pd.DataFrame) -> str:
    """A table of `comparison_table` (or any flat or indexed table) as a markdown pipe table."""
    return pipe_table(*_cells(table)) + "\n"


def pipe_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same from cells that are text already, without a newline at the end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def to_latex(table: pd.DataFrame) -> str:
    """The same as a LaTeX tabular with booktabs rules."""
    header, rows = _cells(table)
    lines = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in [header, *rows]]
    columns = "l" * table.index.nlevels + "r" * len(table.columns)
    begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", end]) + "\n"


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    flat = table.reset_index()
    return [str(column) for column in flat.columns], [[str(cell) for cell in row] for row in flat.to_numpy()]


def _latex(text: str) -> str:
    for plain, escaped in (("\\", r"\textbackslash "), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("#", r"\#"), ("±", r"$\pm$")):
        text = text.replace(plain, escaped)
    return text
