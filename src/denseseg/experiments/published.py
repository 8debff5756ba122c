"""Every published number that we compare with, once, and where it was printed: published.csv beside this file.

A row is one metric of one group, with a column of "mean ± SD" per method, as the papers print it. `source` is a key of
book/references.bib and the place in that paper. The "ASD" of the DenseSeg paper is one-directional, from the predicted landmarks to
the true contour (for nnU-Net from all its contour points), so it is called `asd_one_way` here.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

COLUMNS = ["dataset", "method", "group", "metric", "mean", "sd", "median", "unit", "source"]


def published() -> pd.DataFrame:
    """The published results, one number a row: dataset, method, group, metric, mean, sd, median, unit, source.

    Data sets: "JSRT" and "GRAZPEDWRI-DX" are Tables 1 and 2 of the DenseSeg paper, "JSRT, new landmarks" its landmarks that were
    read without training; "Digital Hand Atlas". Metrics are keys of `evaluation.metrics`, and `beyond_2`, the share of landmarks
    beyond 2 mm. None of the papers prints a median.
    """
    table = pd.read_csv(Path(__file__).with_name("published.csv"), dtype=str)
    keys = ["dataset", "source", "group", "metric", "unit"]
    cells = table.melt(keys, var_name="method", value_name="printed", ignore_index=False).dropna(subset="printed")
    cells = cells.sort_index(kind="stable", ignore_index=True)  # row by row, as the papers print it
    numbers = cells["printed"].str.extract(r"^(?P<mean>\S+)(?: ± (?P<sd>\S+))?$").astype(float)
    return cells.join(numbers).assign(median=float("nan"))[COLUMNS]
