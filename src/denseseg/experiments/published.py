"""Every published number that we compare with, once, and where it was printed: published.csv beside this file.

A row is a method on a data set (and a group of structures), as the papers print it: a column for each metric, with "mean ± SD", a
share in %, or "count (share)". `unit` is that of lengths. `source` is a key of book/references.bib and the place in that work. A
table that quotes another one adds only what is new in it: rows 1 to 3 of Ham and Oh's Table 2 stand in the SCN's Table 1.

The "ASD" of the DenseSeg paper is one-directional, from the predicted landmarks to the true contour (for nnU-Net from all its
contour points) and measured in pixels of the mask, so it is called `asd_one_way_published` here. The Dice of the second observer
on JSRT is 2 J / (1 + J) of the printed overlap J.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from denseseg.evaluation.metrics import metric

COLUMNS = ["dataset", "method", "group", "metric", "mean", "sd", "median", "count", "unit", "printed", "source"]
CELL = r"^(?:(?P<count>\d+) \()?(?P<mean>\d+(?:\.\d+)?)\)?(?: ± (?P<sd>\d+(?:\.\d+)?))?$"


def published() -> pd.DataFrame:
    """The published results, one metric a row: dataset, method, group, metric, mean, sd, median, count, unit,
    printed (mean, SD and count as their authors wrote them), source.

    Data sets: "JSRT" and "GRAZPEDWRI-DX" are Tables 1 and 2 of the DenseSeg paper, "JSRT, new landmarks" its landmarks that were
    read without training; "Digital Hand Atlas" with its "reduced" training sets and Ham and Oh's "ablations"; "3DHand", "2DSkull
    (cephalograms)" and three of "3DSpine", all of the SCN paper. "..., other splits" holds yardsticks on the same images, computed
    on other test images than the tables' own. Metrics are keys of `evaluation.metrics`; `beyond_R` has in `count` the number of
    landmarks, where printed. Where a table has no groups, its group is "average".
    """
    table = pd.read_csv(Path(__file__).with_name("published.csv"), dtype=str)
    keys = ["dataset", "source", "method", "group", "unit", "median"]
    cells = table.melt(keys, var_name="metric", value_name="printed", ignore_index=False).dropna(subset="printed")
    cells = cells.sort_index(kind="stable", ignore_index=True)  # row by row, as the papers print it
    cells["unit"] = cells["unit"].mask(cells["metric"].map(lambda key: metric(key).unit == "%"), "%")
    cells["median"] = cells["median"].where(cells["metric"] == "tre").astype(float)
    return cells.join(cells["printed"].str.extract(CELL).astype(float))[COLUMNS]
