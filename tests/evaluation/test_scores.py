"""Metrics with known answers, the price of failure, summaries, statistics and the published tables."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.masks import polygon_masks
from denseseg.errors import DataError
from denseseg.evaluation import metrics
from denseseg.evaluation.scores import METRICS, evaluate
from denseseg.evaluation.statistics import bootstrap_interval, holm, paired_difference, seeds_spread
from denseseg.evaluation.summary import compare_methods, per_case, summarise
from denseseg.evaluation.tables import format_mean_sd, to_latex, to_markdown
from denseseg.experiments.experiment import evaluate_method
from denseseg.experiments.published import published
from denseseg.experiments.tables import comparison_table, results_table
from denseseg.geometry.contour import mask_contours
from denseseg.geometry.frame import scale_points

TWO = Anatomy("two", (Structure("left", 40, "pair"), Structure("right", 40, "pair"), Structure("single", 30, "single")))
SIZE = (96, 128)


def circle(centre, radius, n):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.asarray(centre) + radius * np.column_stack([np.cos(angle), np.sin(angle)])


LANDMARKS = np.concatenate([circle((35.3, 40.2), 20, 40), circle((90.1, 40.4), 20, 40), circle((64.2, 75.3), 12, 30)])


def make_case(name="a", landmarks=LANDMARKS, **more):
    return Case(name, np.zeros(SIZE), landmarks, TWO, **more)


def make_prediction(landmarks=LANDMARKS, masks=None):
    return SimpleNamespace(landmarks=landmarks, masks=masks)


def values(frame, metric, column="value"):
    return frame[frame["metric"] == metric].set_index("structure")[column]


# ---- metrics ----------------------------------------------------------------------------------------------------


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.1, 5))
def test_translation_is_the_tre(dx, dy, spacing):
    assert metrics.target_registration_error(LANDMARKS + np.array([dx, dy]), LANDMARKS, spacing) == pytest.approx(
        np.hypot(dx, dy) * spacing
    )


def test_missing_landmarks_are_left_out():
    true, predicted = np.zeros((3, 2)), np.array([[3.0, 4], [np.nan, 0], [0, 1]])
    errors = metrics.landmark_errors(predicted, true)
    np.testing.assert_array_equal(errors, [5, np.nan, 1])
    assert metrics.target_registration_error(predicted, true) == 3
    assert metrics.success_rate(errors, 1) == 0.5
    assert np.isnan(metrics.target_registration_error(predicted[1:2], true[1:2]))


def test_one_way_distance_is_exact_between_the_corners():
    square = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
    points = np.array([[5.0, 3], [5, -2], [13, 14], [10, 5], [0, 7]])  # inside, outside, beyond a corner, on edges (one closes)
    np.testing.assert_allclose(metrics.distance_to_outline(points, [square]), [3, 2, 5, 0, 0])
    assert metrics.asd_one_way(points, [square], spacing=2.0) == pytest.approx(4)


def test_one_way_asd_forgives_sliding_and_the_published_version_nearly_agrees():
    case = make_case()
    slid = np.roll(LANDMARKS[:40], 5, axis=0)
    assert metrics.asd_one_way(slid, [LANDMARKS[:40]]) == pytest.approx(0, abs=1e-9)
    shifted = LANDMARKS[:40] + np.array([3, 0])
    exact = metrics.asd_one_way(shifted, [LANDMARKS[:40]])
    assert exact == pytest.approx(2 / np.pi * 3, rel=0.05)  # mean of |3 cos| round a circle
    assert metrics.asd_one_way_published(shifted, polygon_masks(LANDMARKS, case)[0]) == pytest.approx(exact, abs=0.4)


@pytest.mark.parametrize("shift", [1, 4, 9])
def test_shifted_squares(shift):
    """A square of side 40 shifted by d along x: DSC (40 - d) / 40, HD d, and ASSD d / 2.

    One upright side is d away all along (40 d), the other loses d^2 near its corners, and the two ends of the level sides that
    stick out add d^2 / 2 each: 80 d over a length of 160.
    """
    first, second = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    first[20:60, 20:60] = True
    second[20:60, 20 + shift : 60 + shift] = True
    distances = metrics.surface_distances(mask_contours(first), mask_contours(second))
    assert metrics.dice(first, second) == pytest.approx((40 - shift) / 40)
    assert metrics.hd95(distances) == pytest.approx(shift, abs=0.05)
    assert metrics.assd(distances) == pytest.approx(shift / 2, abs=0.05)
    assert metrics.assd(distances, spacing=0.5) == pytest.approx(metrics.assd(distances) / 2)


@pytest.mark.parametrize("grow", [2.0, 5.0])
def test_grown_circle(grow):
    """Concentric circles are `grow` apart everywhere."""
    distances = metrics.surface_distances([circle((50, 50), 20, 400)], [circle((50, 50), 20 + grow, 400)])
    assert metrics.assd(distances) == pytest.approx(grow, abs=0.02)
    assert metrics.hd95(distances) == pytest.approx(grow, abs=0.02)


def test_outlines_are_closed_and_sampled_evenly():
    """Four corners stand for the whole square: every side gets its share, the closing one too."""
    points = metrics.sample_outline([np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])], step=0.5)
    assert len(points) == 80
    np.testing.assert_allclose(points.mean(0), 5)
    assert metrics.sample_outline([], 0.5).shape == (0, 2)


masks = arrays(bool, (12, 9))


@given(masks, masks)
def test_mask_metrics_are_symmetric_and_bounded(first, second):
    a, b = mask_contours(first), mask_contours(second)
    score, back = metrics.dice(first, second), metrics.dice(second, first)
    if not (first.any() or second.any()):
        assert np.isnan(score)
        return
    assert 0 <= score <= 1 and score == back
    assert metrics.dice(first, first) == 1 or not first.any()
    forward, backward = metrics.surface_distances(a, b), metrics.surface_distances(b, a)
    for measure in (metrics.assd, metrics.hd95):
        np.testing.assert_allclose(measure(forward), measure(backward))
    if first.any():
        assert metrics.assd(metrics.surface_distances(a, a)) == 0


def test_first_structure_is_not_dropped_and_empty_ones_are_nan_here():
    empty = metrics.surface_distances([], [LANDMARKS[:40]])
    assert np.isnan(metrics.assd(empty)) and np.isnan(metrics.hd95(empty))
    frame = evaluate([make_prediction()], [make_case()])
    assert set(frame["structure"]) == set(TWO.names)
    assert set(frame.loc[frame["structure"] == "left", "metric"]) == set(METRICS)


# ---- evaluate ---------------------------------------------------------------------------------------------------


def test_perfect_prediction():
    frame = evaluate([make_prediction()], [make_case(spacing=0.5)])
    perfect = {"dsc": 100, "sdr_2": 100, "sdr_4": 100, "sdr_10": 100}
    for metric in set(METRICS) - {"asd_one_way_published"}:
        np.testing.assert_allclose(values(frame, metric), perfect.get(metric, 0), atol=1e-9)
    assert (values(frame, "asd_one_way_published") < 0.5).all()  # pixel version: never quite 0
    assert not frame["failed"].any()
    assert frame.groupby("metric")["unit"].first()[["tre", "assd", "dsc", "sdr_4"]].tolist() == ["mm", "mm", "%", "%"]
    assert values(frame, "tre", "n").tolist() == [40, 40, 30]


def test_pixels_without_spacing_and_radii_in_millimetres():
    moved = make_prediction(LANDMARKS + np.array([3, 0]))
    in_px, in_mm = evaluate([moved], [make_case()]), evaluate([moved], [make_case(spacing=0.5)])
    assert values(in_px, "tre", "unit").unique().tolist() == ["px"]
    np.testing.assert_allclose(values(in_px, "tre"), 3)
    np.testing.assert_allclose(values(in_mm, "tre"), 1.5)
    assert (values(in_px, "sdr_2") == 0).all() and (values(in_mm, "sdr_2") == 100).all()


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([2, 3]), st.integers(0, 100))
def test_millimetres_do_not_change_with_the_image_size(factor, seed):
    noise = np.random.default_rng(seed).normal(0, 2, LANDMARKS.shape)
    large = (SIZE[0] * factor, SIZE[1] * factor)
    case = make_case(spacing=1.4)
    bigger = Case("a", np.zeros(large), scale_points(LANDMARKS, SIZE, large), TWO, spacing=1.4 / factor)
    small = evaluate([make_prediction(LANDMARKS + noise)], [case])
    big = evaluate([make_prediction(scale_points(LANDMARKS + noise, SIZE, large))], [bigger])
    for metric in ("tre", "sdr_2", "sdr_4", "sdr_10", "asd_one_way"):
        np.testing.assert_allclose(values(small, metric), values(big, metric), rtol=1e-9)
    np.testing.assert_allclose(values(small, "assd"), values(big, "assd"), atol=0.6)  # masks are pixels
    np.testing.assert_allclose(values(small, "dsc"), values(big, "dsc"), atol=3)


def test_masks_of_the_case_and_of_the_prediction_win_over_polygons():
    square = np.zeros((3, *SIZE), bool)
    square[:, 30:50, 30:50] = True
    frame = evaluate([make_prediction(masks=square)], [make_case(masks=square)])
    assert (values(frame, "dsc") == 100).all()
    outline = mask_contours(square[0])
    expected = metrics.asd_one_way(LANDMARKS[:40], outline)
    assert expected > 5
    assert values(frame, "asd_one_way")["left"] == pytest.approx(expected)


def test_a_method_without_landmarks_starts_from_its_contour():
    case = make_case()
    frame = evaluate([make_prediction(None, polygon_masks(LANDMARKS, case))], [case])
    assert set(frame["metric"]) == {"asd_one_way", "asd_one_way_published", "assd", "hd95", "dsc"}
    assert (values(frame, "asd_one_way") < 0.5).all()
    failed = evaluate([make_prediction(None, np.zeros((3, *SIZE), bool))], [case])
    assert failed["failed"].all()
    assert (values(failed, "asd_one_way") == metrics.failure_distance(SIZE)).all()


def test_landmarks_that_are_no_contour_have_only_point_metrics():
    anatomy = Anatomy("points", (Structure("points", 3, "points", Kind.POINTS),))
    case = Case("a", np.zeros(SIZE), LANDMARKS[:3], anatomy)
    assert set(evaluate([make_prediction(LANDMARKS[:3])], [case])["metric"]) == {"tre", "sdr_2", "sdr_4", "sdr_10"}


# ---- failures and missing truth ---------------------------------------------------------------------------------


def test_a_failed_structure_is_counted_and_pays():
    landmarks = LANDMARKS.copy()
    landmarks[:40] = np.nan
    frame = evaluate([make_prediction(landmarks)], [make_case()])
    limit = np.hypot(*SIZE) / 2
    lost = frame[frame["structure"] == "left"].set_index("metric")["value"]
    expected = {"tre": limit, "asd_one_way": limit, "asd_one_way_published": limit, "assd": limit, "hd95": limit}
    for metric in METRICS:
        assert lost[metric] == pytest.approx(expected.get(metric, 0))
    assert frame.groupby("structure")["failed"].all().to_dict() == {"left": True, "right": False, "single": False}
    summary = summarise(frame).set_index(["group", "metric"])
    assert summary.loc[("pair", "tre"), ["n", "failures"]].tolist() == [2, 1]
    assert summary.loc[("pair", "tre"), "mean"] == pytest.approx(limit / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 3000), st.integers(1, 110))
def test_failing_never_improves(seed, noise, n_failed):
    """Whatever the prediction, replacing landmarks or a mask by a failure makes no value better."""
    rng = np.random.default_rng(seed)
    landmarks = LANDMARKS + rng.normal(0, noise, LANDMARKS.shape)
    wild = rng.random((3, 8, 8)).repeat(SIZE[0] // 8, 1).repeat(SIZE[1] // 8, 2) < rng.random()
    broken, empty = landmarks.copy(), wild.copy()
    broken[rng.choice(len(landmarks), n_failed, replace=False)] = np.nan
    empty[rng.integers(3)] = False
    case = make_case()
    before = evaluate([make_prediction(landmarks, wild)], [case])
    after = evaluate([make_prediction(broken, empty)], [case])
    higher_is_better = before["metric"].str.startswith(("dsc", "sdr"))
    change = (after["value"] - before["value"]).where(~higher_is_better, before["value"] - after["value"])
    assert change.min() >= -1e-9
    assert after["failed"].any()


def test_infinite_coordinates_are_failures():
    landmarks = LANDMARKS.copy()
    landmarks[0] = [np.inf, 5]
    frame = evaluate([make_prediction(landmarks)], [make_case()])
    assert values(frame, "tre", "failed").tolist() == [True, False, False]
    assert values(frame, "tre")["left"] == pytest.approx(np.hypot(*SIZE) / 2 / 40)


def test_missing_truth_is_not_judged_but_counted():
    landmarks = LANDMARKS.copy()
    landmarks[40:80] = np.nan
    landmarks[0] = np.nan
    frame = evaluate([make_prediction(LANDMARKS + np.array([2, 0]))], [make_case(landmarks=landmarks)])
    assert values(frame, "tre", "n").tolist() == [39, 0, 30]
    assert values(frame, "tre").isna().tolist() == [False, True, False]
    right = frame[frame["structure"] == "right"].set_index("metric")["value"]
    assert right.drop("presence").isna().all()
    assert not frame["failed"].any()
    summary = summarise(frame).set_index(["group", "metric"])
    assert summary.loc[("pair", "tre"), ["mean", "n", "missing"]].tolist() == [2, 1, 1]


def test_an_absent_structure_that_is_predicted_and_a_present_one_that_is_not_are_both_wrong():
    absent = LANDMARKS.copy()
    absent[40:80] = np.nan
    cases = [make_case("a", absent), make_case("b")]
    unaware = evaluate([make_prediction(), make_prediction(absent)], cases)
    assert unaware[unaware["metric"] == "presence"]["value"].tolist() == [100, 0, 100, 100, 0, 100]
    aware = evaluate([make_prediction(absent), make_prediction()], cases)
    assert (aware[aware["metric"] == "presence"]["value"] == 100).all()
    assert "presence" not in set(evaluate([make_prediction()], [make_case()])["metric"])  # nothing is ever absent


def test_a_structure_wholly_beyond_the_border_is_not_absent():
    absent, away = LANDMARKS.copy(), LANDMARKS.copy()
    absent[40:80] = np.nan
    away[:40, 0] -= 65
    frame = evaluate([make_prediction(absent), make_prediction(away)], [make_case("a", absent), make_case("b", away)])
    assert (frame[frame["metric"] == "presence"]["value"] == 100).all()


def test_landmarks_beyond_the_border_are_judged_apart():
    shift = np.array([50.0, 0])
    cut = np.where(np.arange(110)[:, None] < 40, LANDMARKS - shift, LANDMARKS)  # the left circle, mostly beyond x = -0.5
    beyond = cut[:, 0] < -0.5
    assert 20 < beyond.sum() < 40
    guess = cut + np.where(beyond[:, None], [0.0, 7.0], [0.0, 2.0])
    frame = evaluate([make_prediction(guess)], [make_case(landmarks=cut)])
    assert values(frame, "tre").tolist() == pytest.approx([2, 2, 2])
    assert values(frame, "tre", "n").tolist() == [40 - beyond.sum(), 40, 30]
    assert values(frame, "tre_outside").to_dict() == {"left": pytest.approx(7)}
    lost = evaluate([make_prediction(np.where(beyond[:, None], np.nan, cut))], [make_case(landmarks=cut)])
    assert not lost[lost["metric"] == "tre"]["failed"].any()
    assert values(lost, "tre_outside", "failed").all()


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "0 predictions for 1 cases"),
        ([make_prediction(LANDMARKS[:5])], "case a: predicted landmarks have shape"),
        ([make_prediction(masks=np.zeros((3, 8, 8), bool))], "case a: predicted masks have shape"),
        ([make_prediction(None)], "neither landmarks nor masks"),
    ],
)
def test_errors_say_what_is_wrong(predictions, message):
    with pytest.raises(DataError, match=message):
        evaluate(predictions, [make_case()])


def test_a_method_may_not_hide_failures_as_none():
    full = np.ones((3, *SIZE), bool)
    with pytest.raises(DataError, match="NaN, not with None"):
        evaluate([make_prediction(), make_prediction(None, full)], [make_case("a"), make_case("b")])


# ---- evaluate_method --------------------------------------------------------------------------------------------


class Constant:
    """A stand-in with the two calls that evaluation uses."""

    size = SIZE
    device = "cpu"

    def __init__(self):
        self.batches = []

    def predict(self, images):
        self.batches.append(tuple(images.shape))
        return [make_prediction() for _ in images]

    def predict_image(self, image):
        return make_prediction(scale_points(LANDMARKS, SIZE, image.shape))


def test_methods_are_evaluated_in_batches_or_in_the_size_of_the_case():
    method, cases = Constant(), [make_case(name) for name in "abcde"]
    frame, seconds = evaluate_method(method, cases, batch_size=2, progress=False)
    assert method.batches[1:] == [(2, 1, *SIZE), (2, 1, *SIZE), (1, 1, *SIZE)]
    assert seconds > 0 and frame["case"].unique().tolist() == list("abcde")
    large = [case.resized((192, 256)) for case in cases]
    frame, _ = evaluate_method(method, large, progress=False)
    np.testing.assert_allclose(values(frame[frame["case"] == "a"], "tre"), 0, atol=1e-9)
    with pytest.raises(DataError, match="no cases"):
        evaluate_method(method, [])


# ---- summaries --------------------------------------------------------------------------------------------------


def noisy_frame(n=12, noise=2.0, seed=0):
    rng = np.random.default_rng(seed)
    predictions = [make_prediction(LANDMARKS + rng.normal(0, noise, 2)) for _ in range(n)]
    return evaluate(predictions, [make_case(f"case {i}", spacing=0.7) for i in range(n)])


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
    assert summary.loc[("pair", "tre"), "n"] == 24
    assert summary.loc[("average", "tre"), "mean"] == pytest.approx((pair.mean() + single.mean()) / 2)
    assert summary.loc[("average", "tre"), "sd"] == pytest.approx((pair.std() + single.std()) / 2)
    assert ((summary["low"] <= summary["mean"] + 1e-9) & (summary["mean"] <= summary["high"] + 1e-9)).all()
    assert summary.index.get_level_values("group").unique().tolist() == ["pair", "single", "average"]


def test_intervals_resample_images_not_structures():
    """The two structures of a pair err alike here: pooling them must not narrow the interval of the group."""
    summary = summarise(noisy_frame(40)).set_index(["group", "metric"])
    pair, single = (summary.loc[(group, "tre"), "high"] - summary.loc[(group, "tre"), "low"] for group in ("pair", "single"))
    assert pair == pytest.approx(single, rel=1e-6)


def test_summary_refuses_mixed_units_and_repeated_cases():
    frame = noisy_frame(2)
    with pytest.raises(DataError, match="twice"):
        summarise(pd.concat([frame, frame]))
    other = evaluate([make_prediction()], [make_case("without spacing")])
    with pytest.raises(DataError, match="mixes the units mm, px"):
        summarise(pd.concat([frame, other]))


def test_one_image_has_no_interval():
    summary = summarise(evaluate([make_prediction()], [make_case()]))
    assert summary["mean"].notna().all() and summary["low"].isna().all()


def test_per_case_matches_the_summary():
    frame = noisy_frame()
    summary = summarise(frame).set_index(["group", "metric"])
    assert per_case(frame, "tre").mean() == pytest.approx(summary.loc[("average", "tre"), "mean"])
    assert per_case(frame, "dsc", "pair").mean() == pytest.approx(summary.loc[("pair", "dsc"), "mean"])
    with pytest.raises(DataError, match="no 'tre' of 'liver'"):
        per_case(frame, "tre", "liver")


def test_methods_are_compared_on_the_same_cases():
    good, bad = noisy_frame(noise=1.0), noisy_frame(noise=6.0)
    table = compare_methods({"good": good, "bad": bad, "same": good.copy()}, "good").set_index("method")
    assert table.loc["bad", "low"] > 0 and table.loc["bad", "p_holm"] < 0.05
    assert table.loc["same", ["difference", "p_wilcoxon", "p_holm"]].tolist() == [0, 1, 1]
    with pytest.raises(DataError, match="different cases"):
        compare_methods({"good": good, "fewer": good[good["case"] != "case 0"]}, "good")


# ---- statistics -------------------------------------------------------------------------------------------------


def test_bootstrap_interval_of_a_normal_mean():
    sample = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(sample)
    half = 1.96 * sample.std(ddof=1) / 20
    assert low == pytest.approx(sample.mean() - half, abs=0.04) and high == pytest.approx(sample.mean() + half, abs=0.04)
    assert bootstrap_interval(sample) == (low, high)  # same seed, same answer
    assert bootstrap_interval(np.append(sample, np.nan)) == (low, high)
    middle = bootstrap_interval(sample, np.median)
    assert middle.low < np.median(sample) < middle.high


def test_degenerate_bootstraps():
    assert bootstrap_interval(np.full(9, 3.0)) == (3, 3)
    assert np.isnan(bootstrap_interval([1.0])).all() and np.isnan(bootstrap_interval([])).all()


def test_paired_difference_finds_a_shift_and_only_a_shift():
    rng = np.random.default_rng(0)
    base = rng.normal(5, 3, 60)
    shifted = paired_difference(base + 0.5 + rng.normal(0, 0.5, 60), base)
    assert shifted.low < 0.5 < shifted.high and shifted.low > 0
    assert max(shifted.p_wilcoxon, shifted.p_permutation) < 0.01
    same = paired_difference(base + rng.normal(0, 0.5, 60), base)
    assert min(same.p_wilcoxon, same.p_permutation) > 0.05 and same.low < 0 < same.high
    equal = paired_difference(base, base)
    assert (equal.mean, equal.p_wilcoxon, equal.p_permutation, equal.n) == (0, 1, 1, 60)


def test_paired_difference_is_exact_for_few_pairs_and_checks_its_input():
    assert paired_difference(np.arange(1.0, 7), np.zeros(6)).p_permutation == pytest.approx(2 / 2**6)
    assert paired_difference(np.array([1, np.nan, 2, 3]), np.zeros(4)).n == 3
    with pytest.raises(ValueError, match="shapes"):
        paired_difference(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="no image"):
        paired_difference(np.full(3, np.nan), np.zeros(3))


def test_holm():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])


def test_seeds_spread():
    spread = seeds_spread([1.0, 2, 3])
    assert (spread.mean, spread.sd, spread.n) == (2, 1, 3)
    assert spread.high - spread.mean == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)  # t with 2 degrees of freedom
    assert np.isnan(seeds_spread([1.0]).sd)


# ---- tables -----------------------------------------------------------------------------------------------------


def average_gaps() -> pd.DataFrame:
    """Printed average row minus the mean of the printed group rows, for mean and sd."""
    table = published()
    keys = ["dataset", "method", "metric"]
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
    assert len(table) == 6 * 12 - 4 + 4 * 12 and table.index.is_unique
    assert ("JSRT", "nnU-Net", "average", "tre") not in table.index


def test_ours_beside_the_papers():
    summary = summarise(noisy_frame(3)).replace({"group": {"pair": "lungs", "single": "heart"}})
    table = comparison_table({"ours": summary}, "JSRT")
    assert table.columns.tolist()[:2] == ["ours", "ShapeFormer (paper)"]
    assert table.loc[("average", "TRE [mm]"), "DenseSeg (paper)"] == "5.8 ± 4.0"
    row = summary.set_index(["group", "metric"]).loc[("lungs", "tre")]
    assert table.loc[("lungs", "TRE [mm]"), "ours"] == f"{row['mean']:.1f} ± {row['sd']:.1f}"
    assert table.loc[("clavicles", "DSC [%]"), "ours"] == "-"
    assert table.loc[("heart", "TRE [mm]"), "nnU-Net (paper)"] == "-"
    assert table.index.get_level_values(0).unique().tolist() == ["lungs", "heart", "clavicles", "average"]
    assert comparison_table({"ours": summary}).columns.tolist() == ["ours"]
    assert {"low", "high"} <= set(results_table({"ours": summary}))
    with pytest.raises(KeyError, match="JSRT, GRAZPEDWRI-DX"):
        comparison_table({"ours": summary}, "chests")


def test_export():
    table = pd.DataFrame({"a|b": ["5.8 ± 4.0"], "c_d": ["1 %"]}, index=pd.Index(["lungs & heart"], name="group"))
    assert to_markdown(table).splitlines() == [
        "| group | a\\|b | c_d |",
        "| --- | --- | --- |",
        "| lungs & heart | 5.8 ± 4.0 | 1 % |",
    ]
    latex = to_latex(table)
    assert r"lungs \& heart & 5.8 $\pm$ 4.0 & 1 \% \\" in latex and r"\begin{tabular}{lrr}" in latex and r"c\_d" in latex
    assert [format_mean_sd(1.25, None), format_mean_sd(np.nan, 1), format_mean_sd(2, 0.5, 2)] == ["1.2", "-", "2.00 ± 0.50"]
