"""What is judged, what an answer means, and what a failure costs."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
from circles import LANDMARKS, SIZE, TWO, make_case, make_prediction
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.masks import polygon_masks
from denseseg.errors import DataError
from denseseg.evaluation import evaluate, metrics, per_landmark, summarise
from denseseg.geometry.contour import mask_contours
from denseseg.geometry.frame import scale_points
from denseseg.prediction import Prediction

OUTLINED = set(metrics.METRICS) - {"tre_outside", "id_rate", "presence"}  # of an outline that is wholly inside and never absent


def values(frame, metric, column="value"):
    return frame[frame["metric"] == metric].set_index("structure")[column]


def test_first_structure_is_not_dropped_and_empty_ones_are_nan_here():
    empty = metrics.surface_distances([], [LANDMARKS[:40]])
    assert np.isnan(metrics.assd(empty)) and np.isnan(metrics.hd95(empty))
    frame = evaluate([make_prediction()], [make_case()])
    assert set(frame["structure"]) == set(TWO.names)
    assert set(frame.loc[frame["structure"] == "left", "metric"]) == OUTLINED


def test_perfect_prediction():
    frame = evaluate([make_prediction()], [make_case(spacing=0.5)])
    perfect = {"dsc": 100, "sdr_2": 100, "sdr_4": 100, "sdr_10": 100}
    for metric in OUTLINED - {"asd_one_way_published"}:
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


@pytest.mark.parametrize("landmarks", [LANDMARKS, None])
def test_masks_are_made_once_and_not_for_landmarks_alone(landmarks):
    made = Mock(return_value=polygon_masks(LANDMARKS, make_case()))
    prediction = Prediction(TWO, landmarks, made)
    evaluate([prediction], [make_case()])
    if landmarks is not None:
        per_landmark([prediction], [make_case()])
    assert made.call_count == 1


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


def test_a_failed_structure_is_counted_and_pays():
    landmarks = LANDMARKS.copy()
    landmarks[:40] = np.nan
    frame = evaluate([make_prediction(landmarks)], [make_case()])
    limit = np.hypot(*SIZE) / 2
    lost = frame[frame["structure"] == "left"].set_index("metric")["value"]
    expected = dict.fromkeys(("along", "across"), limit) | {
        "tre": limit,
        "asd_one_way": limit,
        "asd_one_way_published": limit,
        "assd": limit,
        "hd95": limit,
    }
    for metric in OUTLINED:
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


@pytest.mark.parametrize("masked", [False, True])
def test_a_landmark_that_the_truth_lacks_is_no_part_of_the_one_way_asds(masked):
    lacking = LANDMARKS.copy()
    lacking[:2] = np.nan
    case = make_case(landmarks=lacking)
    if masked:
        case = make_case(landmarks=lacking, masks=polygon_masks(lacking, case))
    wild = lacking.copy()
    wild[0] = [100, 90]
    same, far = (evaluate([make_prediction(points)], [case]) for points in (lacking, wild))
    lost = evaluate([make_prediction(np.where(np.arange(110)[:, None] < 3, np.nan, lacking))], [case])
    for metric in ("asd_one_way", "asd_one_way_published"):
        assert values(same, metric, "n").tolist() == [38, 40, 30] and (values(same, metric) < 0.5).all()
        assert values(far, metric).tolist() == values(same, metric).tolist()
        assert values(lost, metric, "failed").tolist() == [True, False, False] and values(lost, metric, "n")["left"] == 38
    assert not same["failed"].any()


def test_a_landmark_that_the_truth_lacks_is_no_corner_of_the_predicted_polygon():
    lacking, wild = LANDMARKS.copy(), LANDMARKS.copy()
    lacking[:6] = np.nan
    wild[0] = [100, 90]
    for points in (LANDMARKS, wild):
        frame = evaluate([make_prediction(points)], [make_case(landmarks=lacking)])
        assert (values(frame, "dsc") == 100).all() and (values(frame, "hd95") == 0).all()
    masked = make_case(landmarks=lacking, masks=polygon_masks(LANDMARKS, make_case()))  # here the truth has the whole region
    assert values(evaluate([make_prediction()], [masked]), "dsc")["left"] == 100


def test_landmarks_without_true_ones_are_judged_by_the_mask():
    lacking = without("left")
    case = make_case(landmarks=lacking, masks=polygon_masks(LANDMARKS, make_case()))
    found, lost = (evaluate([make_prediction(points)], [case]) for points in (LANDMARKS, lacking))
    assert values(found, "asd_one_way", "n")["left"] == 40 and values(lost, "asd_one_way", "failed")["left"]


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
    further = evaluate([make_prediction(np.where(beyond[:, None], guess - [90, 0], guess))], [make_case(landmarks=cut)])
    for metric in ("tre", "along", "across", "asd_one_way"):
        assert values(further, metric).tolist() == pytest.approx(values(frame, metric).tolist())
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


@pytest.mark.parametrize("presence", [np.ones(2), np.ones((3, 1))])
def test_presence_has_one_number_a_structure(presence):
    with pytest.raises(DataError, match="case a: predicted presence have shape"):
        evaluate([make_prediction(presence=presence)], [make_case()])


# ---- none, not placed, absent ---------------------------------------------------------------------------------------


def without(*structures: str) -> np.ndarray:
    landmarks = LANDMARKS.copy()
    for name in structures:
        landmarks[TWO.slices[name]] = np.nan
    return landmarks


def told(table) -> list[float]:
    return table.loc[table["metric"] == "presence", "value"].tolist()


def test_presence_is_knowledge_that_outweighs_what_was_drawn():
    truth = make_case(landmarks=without("right"))
    drawn, called = make_prediction(), make_prediction(presence=np.array([0.9, 0.2, 0.5]))
    assert told(evaluate([drawn], [truth])) == [100, 0, 100]
    assert told(evaluate([called], [truth])) == [100, 100, 100]
    lost = make_prediction(without("single"), presence=np.ones(3))  # could not be placed, but is known to be there
    assert told(evaluate([lost], [truth])) == [100, 0, 100]
    masks = polygon_masks(LANDMARKS, truth)
    assert told(evaluate([make_prediction(None, masks, presence=np.array([1.0, 0, 1]))], [truth])) == [100, 100, 100]


def test_calling_absent_what_is_there_costs_like_a_failure():
    cases = [make_case(), make_case("b", without("right"))]
    called = evaluate([make_prediction(presence=np.array([0.1, 1, 1])), make_prediction(without("right"))], cases)
    failed = evaluate([make_prediction(without("left")), make_prediction(without("right"))], cases)
    assert called.equals(failed)
    assert called.loc[(called["case"] == "a") & (called["structure"] == "left") & (called["metric"] != "presence"), "failed"].all()


def test_a_method_without_landmarks_goes_through_summaries():
    cases = [make_case(name, spacing=0.5) for name in "abc"]
    masks = polygon_masks(LANDMARKS, cases[0])
    summary = summarise(evaluate([make_prediction(None, masks)] * 3, cases))
    assert set(summary["metric"]) == {"asd_one_way", "asd_one_way_published", "assd", "hd95", "dsc"}
    assert summary.loc[summary["metric"] == "dsc", "mean"].tolist() == [100, 100, 100]
    with pytest.raises(DataError, match="predictions with landmarks"):
        per_landmark([make_prediction(None, masks)] * 3, cases)


# ---- sets of single landmarks ---------------------------------------------------------------------------------------

POINTS = Anatomy(
    "ceph",
    (
        Structure("skull", 3, "skull", Kind.POINTS, ("sella", "nasion", "orbitale")),
        Structure("jaw line", 4, "jaw", Kind.CURVE),
    ),
)


def points_cases(n: int = 5):
    """Cases of three points and a curve, their predictions, and the distances in mm; one point failed, one is not in the truth."""
    rng = np.random.default_rng(0)
    cases, predictions = [], []
    for i in range(n):
        true = rng.uniform(20, 70, (7, 2))
        found = true + rng.normal(0, 3, true.shape)
        if i == 1:
            found[0] = np.nan
        if i == 2:
            true[1] = np.nan
        cases.append(Case(f"c{i}", np.zeros(SIZE), true, POINTS, spacing=0.5))
        predictions.append(make_prediction(found))
    distances = np.stack([np.linalg.norm(p.landmarks - c.landmarks, axis=1) * 0.5 for p, c in zip(predictions, cases, strict=True)])
    distances[1, 0] = np.hypot(*SIZE) / 2 * 0.5
    return cases, predictions, distances


def test_mean_sd_and_median_of_a_set_of_points_run_over_all_landmarks_of_all_images():
    cases, predictions, distances = points_cases()
    table = evaluate(predictions, cases, radii=(2, 2.5, 3, 4))
    assert set(table["metric"]) == {"tre", "sdr_2", "sdr_2.5", "sdr_3", "sdr_4"}
    skull = distances[:, :3][~np.isnan(distances[:, :3])]
    row = summarise(table).set_index(["group", "metric"]).loc[("skull", "tre")]
    expected = [skull.mean(), skull.std(ddof=1), np.median(skull)]
    assert row[["mean", "sd", "median"]].tolist() == pytest.approx(expected)
    assert row[["n", "missing", "failures"]].tolist() == [14, 1, 1]
    rate = summarise(table).set_index(["group", "metric"]).loc[("skull", "sdr_2.5"), "mean"]
    assert rate == pytest.approx(100 * (skull <= 2.5).mean())
    curve = table[(table["structure"] == "jaw line") & (table["metric"] == "tre")]  # a line keeps one row a case
    assert curve["value"].tolist() == pytest.approx(distances[:, 3:].mean(1).tolist()) and curve["landmark"].isna().all()


def test_errors_per_landmark_and_pooled():
    cases, predictions, distances = points_cases()
    table = per_landmark(predictions, cases, radii=(2, 2.5))
    assert table["structure"].tolist() == ["skull"] * 3 + ["jaw line"] * 4 + ["all"]
    assert table["label"].tolist() == ["sella", "nasion", "orbitale", "", "", "", "", ""]
    assert table["index"].tolist()[:7] == [0, 1, 2, 0, 1, 2, 3]
    np.testing.assert_allclose(table["mean"][:7], np.nanmean(distances, 0))
    np.testing.assert_allclose(table["sd"][:7], np.nanstd(distances, 0, ddof=1))
    np.testing.assert_allclose(table["median"][:7], np.nanmedian(distances, 0))
    pooled = distances[~np.isnan(distances)]
    assert table.loc[7, ["mean", "sd", "median"]].tolist() == pytest.approx([pooled.mean(), pooled.std(ddof=1), np.median(pooled)])
    assert table["n"].tolist() == [5, 4, 5, 5, 5, 5, 5, 34] and table["failures"].tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
    assert table.loc[7, "sdr_2.5"] == pytest.approx(100 * (pooled <= 2.5).mean())
    assert table["outliers_2.5"].tolist() == [*np.nansum(distances > 2.5, 0), np.sum(pooled > 2.5)]
    assert set(table["unit"]) == {"mm"}


def test_pooled_error_of_points_is_that_of_the_summary():
    cases, predictions, _ = points_cases()
    summary = summarise(evaluate(predictions, cases)).set_index(["group", "metric"])
    skull = per_landmark(predictions, cases)[:3]
    assert summary.loc[("skull", "tre"), "mean"] == pytest.approx(np.average(skull["mean"], weights=skull["n"]))


def test_a_failure_lies_within_no_radius():
    """Not even within one that is larger than its price."""
    table = per_landmark([make_prediction(without("left"))], [make_case()], radii=(1e6,))
    assert table["sdr_1e+06"].tolist() == [0] * 40 + [100] * 70 + [pytest.approx(100 * 70 / 110)]
    assert table["outliers_1e+06"].tolist() == [1] * 40 + [0] * 70 + [40]


def test_units_are_not_mixed_per_landmark():
    with pytest.raises(DataError, match="one unit"):
        per_landmark([make_prediction()] * 2, [make_case(), make_case("b", spacing=1.0)])
