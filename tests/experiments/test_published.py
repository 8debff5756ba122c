"""The published numbers: copied without a slip, each with its source."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import ROOT
from pybtex.database import parse_file

from denseseg.evaluation.metrics import METRICS
from denseseg.experiments.published import published


def average_gaps() -> pd.DataFrame:
    """Printed average row minus the mean of the printed group rows, for mean and sd."""
    table = published()
    table, keys = table[table["dataset"].isin(["JSRT", "GRAZPEDWRI-DX"])], ["dataset", "method", "metric"]
    printed = table[table["group"] == "average"].set_index(keys)[["mean", "sd"]]
    groups = table[table["group"] != "average"].groupby(keys)[["mean", "sd"]].mean()
    return (printed - groups.loc[printed.index]).sort_index()


def test_published_averages_are_the_means_of_the_groups():
    gaps = average_gaps().drop(index=("JSRT", "nnU-Net"))
    assert gaps.abs().to_numpy().max() < 0.1  # rounding of four numbers to one digit


def test_published_nnunet_average_pools_structures_instead():
    """The one column whose average is over the five structures: (2 lungs + heart + 2 clavicles) / 5; its SD is pooled too."""
    table = published()
    row = table[(table["dataset"] == "JSRT") & (table["method"] == "nnU-Net")].set_index(["metric", "group"])["mean"]
    for metric in ("asd_one_way", "dsc"):
        pooled = (2 * row[metric, "lungs"] + row[metric, "heart"] + 2 * row[metric, "clavicles"]) / 5
        assert row[metric, "average"] == pytest.approx(pooled, abs=0.05)
    assert average_gaps().loc[("JSRT", "nnU-Net", "asd_one_way"), "mean"] < -0.2  # mean of the groups: 1.8 mm, printed: 1.6
    assert average_gaps().loc[("JSRT", "nnU-Net"), "sd"].min() > 0.25


def test_published_numbers_of_the_abstract_and_counts():
    table = published().set_index(["dataset", "method", "group", "metric"])
    assert table.loc[("JSRT", "DenseSeg", "average", "asd_one_way"), ["mean", "sd", "unit"]].tolist() == [2.6, 0.9, "mm"]
    assert table.loc[("JSRT", "HeatReg", "average", "asd_one_way"), "mean"] == 2.7
    assert table.loc[("GRAZPEDWRI-DX", "DenseSeg", "average", "asd_one_way"), ["mean", "sd", "unit"]].tolist() == [1.1, 0.6, "px"]
    assert table.loc[("GRAZPEDWRI-DX", "HeatReg 720", "average", "asd_one_way"), ["mean", "sd"]].tolist() == [1.9, 0.5]
    assert table.loc[("JSRT", "DenseSeg", "average", "tre"), ["mean", "sd"]].tolist() == [5.8, 4.0]
    assert table.index.is_unique
    assert table.groupby("dataset").size().to_dict() == {
        "JSRT": 6 * 12 - 4, "GRAZPEDWRI-DX": 4 * 12, "JSRT, new landmarks": 8, "Digital Hand Atlas": 6,
    }  # fmt: skip
    assert ("JSRT", "nnU-Net", "average", "tre") not in table.index


def test_every_published_number_has_a_source_and_a_known_metric():
    table, entries = published(), parse_file(ROOT / "book" / "references.bib").entries
    sources = [source.split(", ") for source in table["source"].unique()]
    assert all(len(parts) == 2 and parts[0] in entries and parts[1].startswith(("Table ", "Section ")) for parts in sources)
    assert set(table["metric"]) - {"beyond_2"} <= set(METRICS)
    assert table[["dataset", "method", "group", "mean", "unit"]].notna().all(axis=None)


def test_published_numbers_of_the_hand_and_of_new_landmarks():
    table = published().set_index(["dataset", "method", "group", "metric"]).sort_index()
    hand = table.loc[("Digital Hand Atlas", "SpatialConfiguration-Net", "average")]
    assert hand["mean"].to_dict() == {"tre": 0.66, "beyond_2": 5.01} and hand.loc["tre", "sd"] == 0.74
    place = table.loc[("JSRT, new landmarks", "DenseSeg", "clavicle", "tre")]
    assert place[["mean", "sd", "unit"]].tolist() == [20.5, 5.1, "mm"]
