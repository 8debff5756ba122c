"""Tables of records: ours beside the published numbers."""

from __future__ import annotations

import pytest
from circles import noisy_table
from records import box_record

from denseseg.evaluation import summarise
from denseseg.experiments.tables import comparison_table, method_title, results_table, run_title


def test_ours_beside_the_papers():
    summary = summarise(noisy_table(3)).replace({"group": {"pair": "lungs", "single": "heart"}})
    table = comparison_table({"ours": summary}, "JSRT")
    assert table.columns.tolist()[:2] == ["ours", "ShapeFormer (paper)"]
    assert table.loc[("average", "TRE [mm]"), "DenseSeg (paper)"] == "5.8 ± 4.0"
    pixels = "ASD (one-way, authors' pixel version) [mm]"  # what the paper printed; never in a row with the exact one
    assert table.loc[("average", pixels), "DenseSeg (paper)"] == "2.6 ± 0.9"
    assert set(comparison_table({"ours": summary}, "JSRT", ("asd_one_way",)).columns) == {"ours"}
    row = summary.set_index(["group", "metric"]).loc[("lungs", "tre")]
    assert table.loc[("lungs", "TRE [mm]"), "ours"] == f"{row['mean']:.1f} ± {row['sd']:.1f}"
    assert table.loc[("clavicles", "DSC [%]"), "ours"] == "-"
    assert table.loc[("heart", "TRE [mm]"), "nnU-Net (paper)"] == "-"
    assert table.index.get_level_values(0).unique().tolist() == ["lungs", "heart", "clavicles", "average"]
    assert comparison_table({"ours": summary}).columns.tolist() == ["ours"]
    assert {"low", "high"} <= set(results_table({"ours": summary}))
    with pytest.raises(KeyError, match="there are: JSRT, GRAZPEDWRI-DX"):
        comparison_table({"ours": summary}, "chests")


def test_a_record_stands_beside_the_paper():
    record = box_record()
    title = run_title(record)
    assert title == "mean_shape (default, smoke, toy boxes, seed 3)"
    table = comparison_table({title: record}, "JSRT")
    numbers = record.metrics["average"]["tre"]
    assert table.loc[("average", "TRE [mm]"), title] == f"{numbers.mean:.1f} ± {numbers.sd:.1f}"
    assert results_table({title: record})["median"].notna().all()


def test_radii_that_the_caller_chose_have_rows():
    summary = summarise(noisy_table(3)).replace({"metric": {"sdr_4": "sdr_2.5"}})
    assert comparison_table({"ours": summary}, metrics=("sdr_2.5",)).index[0] == ("pair", "SDR 2.5 [%]")


def test_methods_that_are_not_known_are_named_in_words():
    assert method_title("shape_former") == "shape former"
