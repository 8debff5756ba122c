"""Every published number that we compare with, once, and where it was printed: published.csv beside this file.

Its `source` is a key of book/references.bib and the place in that paper. The "ASD" of the DenseSeg paper is one-directional, from
the predicted landmarks to the true contour (for nnU-Net from all its contour points), so it is called `asd_one_way` here.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def published() -> pd.DataFrame:
    """The published results: dataset, method, group, metric, mean, sd, median, unit, source.

    Data sets: "JSRT" and "GRAZPEDWRI-DX" are Tables 1 and 2 of the DenseSeg paper, "JSRT, new landmarks" its landmarks that were
    read without training; "Digital Hand Atlas". Metrics are keys of `evaluation.metrics`, and `beyond_2`, the share of landmarks
    beyond 2 mm.
    """
    return pd.read_csv(Path(__file__).with_name("published.csv"))
