"""The published numbers: copied without a slip, each with its source."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from conftest import ROOT
from pybtex.database import parse_file

from denseseg.evaluation.metrics import metric
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
    for key in ("asd_one_way_published", "dsc"):
        pooled = (2 * row[key, "lungs"] + row[key, "heart"] + 2 * row[key, "clavicles"]) / 5
        assert row[key, "average"] == pytest.approx(pooled, abs=0.05)
    gap = average_gaps().loc[("JSRT", "nnU-Net", "asd_one_way_published"), "mean"]
    assert gap < -0.2  # mean of the groups: 1.8 mm, printed: 1.6
    assert average_gaps().loc[("JSRT", "nnU-Net"), "sd"].min() > 0.25


def test_published_numbers_of_the_abstract_and_counts():
    table = published().set_index(["dataset", "method", "group", "metric"])
    distances = table.xs(("average", "asd_one_way_published"), level=["group", "metric"])
    assert distances.loc[("JSRT", "DenseSeg"), ["mean", "sd", "unit"]].tolist() == [2.6, 0.9, "mm"]
    assert distances.loc[("JSRT", "HeatReg"), "mean"] == 2.7
    assert distances.loc[("GRAZPEDWRI-DX", "DenseSeg"), ["mean", "sd", "unit"]].tolist() == [1.1, 0.6, "px"]
    assert distances.loc[("GRAZPEDWRI-DX", "HeatReg 720"), ["mean", "sd"]].tolist() == [1.9, 0.5]
    assert table.loc[("JSRT", "DenseSeg", "average", "tre"), ["mean", "sd"]].tolist() == [5.8, 4.0]
    assert table.index.is_unique
    assert table.groupby("dataset").size().to_dict() == {
        "JSRT": 6 * 12 - 4, "JSRT, other splits": 3 * 3, "JSRT, new landmarks": 8, "GRAZPEDWRI-DX": 4 * 12,
        "Digital Hand Atlas": 10 * 4, "Digital Hand Atlas, reduced": 6 * 4, "Digital Hand Atlas, ablations": (4 + 5 + 8) * 4,
        "Digital Hand Atlas, other splits": 1, "2DSkull (cephalograms)": 5 * 4, "3DHand": 5 * 4,
        "3DSpine Set1": 4 * 2, "3DSpine Set2-mislabeled": 7 * 2, "3DSpine Set2-corrected": 2 * 2,
    }  # fmt: skip
    assert ("JSRT", "nnU-Net", "average", "tre") not in table.index


def test_every_published_number_has_a_source_and_a_known_metric():
    table, entries = published(), parse_file(ROOT / "book" / "references.bib").entries
    sources = [source.split(", ") for source in table["source"].unique()]
    assert all(len(parts) == 2 and parts[0] in entries for parts in sources)
    of_the_four_papers = [place for key, place in sources if key in ("keuth2025denseseg", "payer2019scn", "ham2023spatial")]
    assert all(re.fullmatch(r"Table \d|Section [\d.]+", place) for place in of_the_four_papers)
    assert table[["dataset", "method", "group", "mean", "unit"]].notna().all(axis=None)
    for key, rows in table.groupby("metric"):
        units = {"%"} if metric(str(key)).unit == "%" else {"mm", "px"}
        assert set(rows["unit"]) <= units


def test_published_numbers_of_the_hand_and_of_new_landmarks():
    table = published().set_index(["dataset", "method", "group", "metric"]).sort_index()
    hand = table.loc[("Digital Hand Atlas", "SpatialConfiguration-Net", "average")]
    assert hand["mean"].to_dict() == {"tre": 0.66, "beyond_2": 5.01, "beyond_4": 0.73, "beyond_10": 0.01}
    assert hand.loc["tre", ["sd", "median", "unit"]].tolist() == [0.74, 0.43, "mm"]
    assert hand.loc["beyond_2", ["count", "unit", "printed"]].tolist() == [1659, "%", "1659 (5.01)"]
    loss = table.loc[("Digital Hand Atlas", "U-Net with spatial-configuration loss", "average")]
    assert loss["mean"].to_dict() == {"tre": 0.61, "beyond_2": 3.72, "beyond_4": 0.31, "beyond_10": 0.01}
    assert loss[["count", "median"]].isna().all(axis=None)
    place = table.loc[("JSRT, new landmarks", "DenseSeg", "clavicle", "tre")]
    assert place[["mean", "sd", "unit"]].tolist() == [20.5, 5.1, "mm"]


LANDMARKS = {"Digital Hand Atlas": 895 * 37, "Digital Hand Atlas, reduced": 895 * 37, "3DHand": 5 * 17 * 28}


def test_printed_counts_and_shares_agree():
    """Every share is its count over all landmarks of all test images, but for two that the paper prints otherwise."""
    table = published().dropna(subset="count")
    landmarks, decimals = table["dataset"].map(LANDMARKS), table["printed"].str.extract(r"\.(\d+)\)$")[0].str.len()
    rounding = 0.5 * table["dataset"].str.endswith("reduced")  # counts there are means of three experiments
    slack = 0.5 * 10.0**-decimals + 100 * rounding / landmarks
    odd = table[(100 * table["count"] / landmarks - table["mean"]).abs() > slack]
    assert odd[["method", "printed"]].to_numpy().tolist() == [
        ["Localization U-Net, 10 images", "1627 (4.92)"],  # 4.913
        ["Urschler et al. (2018)", "293 (12.15)"],  # 12.31
    ]


def test_more_lie_beyond_a_smaller_radius():
    shares = published().query("metric.str.startswith('beyond_')")
    radius = shares["metric"].str.removeprefix("beyond_").astype(float)
    for _, rows in shares.assign(radius=radius).sort_values("radius").groupby(["dataset", "method"]):
        assert len(rows) >= 3 and rows["mean"].is_monotonic_decreasing


def test_the_same_network_in_three_ablations_has_the_same_numbers():
    table = published().query("dataset == 'Digital Hand Atlas, ablations'").set_index(["method", "metric"])["mean"]
    best = table["SC loss, Cartesian + polar"]
    assert table["SC loss, β = 10"].equals(best) and table["SC loss, γ = 1e-4"].equals(best)
    assert table["SC loss, γ = 0"].equals(table["U-Net"])
    assert published().set_index(["method", "metric"])["mean"]["U-Net with spatial-configuration loss"].equals(best)


def test_published_numbers_of_volumes_cephalograms_and_yardsticks():
    table = published().set_index(["dataset", "method", "group", "metric"]).sort_index()
    spine = table.loc[("3DSpine Set2-corrected", "SpatialConfiguration-Net", "average")]
    assert spine["mean"].to_dict() == {"id_rate": 96.0, "tre": 2.9}
    assert table.loc[("3DSpine Set1", "Glocker et al. (2013)", "average", "tre"), ["mean", "sd"]].tolist() == [12.4, 11.2]
    assert table.loc[("3DHand", "SpatialConfiguration-Net", "average", "beyond_2"), ["count", "mean"]].tolist() == [96, 4.03]
    skull = table.loc[("2DSkull (cephalograms)", "Lindner et al. (2015)", "average"), "mean"].to_dict()
    assert skull == {"beyond_2": 29.35, "beyond_2.5": 23.07, "beyond_3": 17.83, "beyond_4": 10.15}
    newer = table.loc[("Digital Hand Atlas, other splits", "MedSapiens", "average", "tre")]
    assert newer[["mean", "sd"]].tolist() == [0.638, 0.106]


def test_the_second_observer_is_converted_from_the_overlap():
    """Dice = 2 J / (1 + J) of the overlaps J: there and back in the digits that are printed."""
    dice = published().query("method == 'Second observer'").set_index("group")["mean"] / 100
    assert (dice / (2 - dice)).round(3).to_dict() == {"lungs": 0.946, "heart": 0.878, "clavicles": 0.896}
