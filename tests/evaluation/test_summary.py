"""Summaries as the papers print them, and paired comparisons of methods."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from circles import LANDMARKS, SIZE, TWO, make_case, make_prediction, noisy_table
from scipy.stats import ttest_1samp

from denseseg.errors import DataError
from denseseg.evaluation import compare_methods, evaluate, image_specific_errors, per_case, summarise


def test_summary_pools_left_and_right_and_averages_groups():
    rng, worse = np.random.default_rng(0), np.repeat([1.0, 2, 4], TWO.counts)[:, None]
    predictions = [make_prediction(LANDMARKS + worse * rng.normal(0, 1, LANDMARKS.shape)) for _ in range(12)]
    frame = evaluate(predictions, [make_case(f"case {i}") for i in range(12)])
    summary = summarise(frame, n_resamples=200).set_index(["group", "metric"])
    tre = frame[frame["metric"] == "tre"]
    pair, single = (tre[tre["group"] == group]["value"] for group in ("pair", "single"))
    assert summary.loc[("pair", "tre"), "mean"] == pytest.approx(pair.mean())
    assert summary.loc[("pair", "tre"), "sd"] == pytest.approx(pair.std(ddof=1))
    assert summary.loc[("single", "tre"), "mean"] == pytest.approx(single.mean())
    assert summary.loc[("pair", "tre"), "median"] == pytest.approx(pair.median())
    assert summary.loc[("average", "tre"), "median"] == pytest.approx((pair.median() + single.median()) / 2)
    assert summary.loc[("pair", "tre"), "n"] == 24
    assert summary.loc[("average", "tre"), "mean"] == pytest.approx((pair.mean() + single.mean()) / 2)
    assert summary.loc[("average", "tre"), "sd"] == pytest.approx((pair.std() + single.std()) / 2)
    assert ((summary["low"] <= summary["mean"] + 1e-9) & (summary["mean"] <= summary["high"] + 1e-9)).all()
    assert summary.index.get_level_values("group").unique().tolist() == ["pair", "single", "average"]


def test_intervals_resample_images_not_structures():
    """The two structures of a pair err alike here: pooling them must not narrow the interval of the group."""
    summary = summarise(noisy_table(40)).set_index(["group", "metric"])
    pair, single = (summary.loc[(group, "tre"), "high"] - summary.loc[(group, "tre"), "low"] for group in ("pair", "single"))
    assert pair == pytest.approx(single, rel=1e-6)


def test_summary_refuses_mixed_units_and_repeated_cases():
    frame = noisy_table(2)
    with pytest.raises(DataError, match="twice"):
        summarise(pd.concat([frame, frame]))
    other = evaluate([make_prediction()], [make_case("without spacing")])
    with pytest.raises(DataError, match="mixes the units mm, px"):
        summarise(pd.concat([frame, other]))


def test_one_image_has_no_interval():
    summary = summarise(evaluate([make_prediction()], [make_case()]))
    assert summary["mean"].notna().all() and summary["low"].isna().all()


def test_a_group_of_few_images_keeps_its_interval():
    """It is that of these images alone; without them a resample has no mean of the group."""
    frame = noisy_table(12)
    few = frame[frame["case"].isin(["case 0", "case 1", "case 2"])]
    rare = frame.assign(value=frame["value"].where((frame["group"] == "single") <= frame["case"].isin(few["case"])))
    ends = ["mean", "low", "high"]
    for table in (rare, rare.dropna(subset="value")):  # the truth lacks it, or it has no rows
        summary, alone = (summarise(own).set_index(["group", "metric"]) for own in (table, few))
        assert alone.loc[("single", "tre"), ends].notna().all()
        assert summary.loc[("single", "tre"), ends].tolist() == alone.loc[("single", "tre"), ends].tolist()
        assert summary.loc[("average", "tre"), ends].notna().all()


def test_per_case_matches_the_summary():
    frame = noisy_table()
    summary = summarise(frame).set_index(["group", "metric"])
    assert per_case(frame, "tre").mean() == pytest.approx(summary.loc[("average", "tre"), "mean"])
    assert per_case(frame, "dsc", "pair").mean() == pytest.approx(summary.loc[("pair", "dsc"), "mean"])
    with pytest.raises(DataError, match="no 'tre' of 'liver'"):
        per_case(frame, "tre", "liver")


def test_the_error_of_an_image_is_the_mean_over_all_of_its_landmarks():
    """Not the mean over groups or structures: each of these three counts as many times as it has landmarks."""
    shift, lost = np.repeat([1.0, 2, 6], TWO.counts), LANDMARKS.copy()
    lost[:40] = np.nan
    cases = [make_case(name, spacing=0.5) for name in ("all", "some failed")] + [make_case("some unknown", lost, spacing=0.5)]
    moved = LANDMARKS + shift[:, None] * np.array([0.6, 0.8])
    failed = np.where(np.arange(110)[:, None] < 10, np.nan, moved)
    errors = image_specific_errors(evaluate([make_prediction(moved), make_prediction(failed), make_prediction(moved)], cases))
    price = np.hypot(*SIZE) / 2
    expected = [shift.mean(), (10 * price + shift[10:].sum()) / 110, shift[40:].mean()]
    assert errors.index.tolist() == ["all", "some failed", "some unknown"]
    assert errors.tolist() == pytest.approx(0.5 * np.array(expected))
    with pytest.raises(DataError, match="no landmark errors"):
        image_specific_errors(noisy_table(2).query("metric == 'dsc'"))


def test_methods_are_compared_on_the_same_cases():
    good, bad = noisy_table(noise=1.0), noisy_table(noise=6.0)
    table = compare_methods({"good": good, "bad": bad, "same": good.copy()}, "good").set_index("method")
    assert table.loc["bad", "low"] > 0 and table.loc["bad", "p_holm"] < 0.05
    assert table.loc["same", ["difference", "p_t", "p_wilcoxon", "p_wilcoxon_holm", "p_holm"]].tolist() == [0, 1, 1, 1, 1]
    assert table.loc["bad", "p_t"] < 0.05
    twice = 2 * table.loc["bad", ["p_wilcoxon", "p_permutation"]]  # the smaller of two p-values
    assert table.loc["bad", ["p_wilcoxon_holm", "p_holm"]].tolist() == pytest.approx(twice.tolist())
    uneven = bad.assign(value=bad["value"].where(bad["group"] == "pair", 1.5 * bad["value"]))
    shuffled = uneven.sample(frac=1, random_state=0)  # its rows in another order are still the same pairs
    alone, again = (compare_methods({"good": good, "bad": rows}, "good", group="single") for rows in (uneven, shuffled))
    pd.testing.assert_frame_equal(alone, again)
    own = per_case(uneven, "tre", "single") - per_case(good, "tre", "single")
    assert alone["difference"].tolist() == pytest.approx([own.mean()])
    assert alone["p_t"].tolist() == pytest.approx([ttest_1samp(own, 0).pvalue])
    with pytest.raises(DataError, match="different cases"):
        compare_methods({"good": good, "fewer": good[good["case"] != "case 0"]}, "good")
