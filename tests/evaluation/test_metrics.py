"""Metrics with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from circles import LANDMARKS, SIZE, circle, make_case
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from denseseg.cases.masks import polygon_masks
from denseseg.evaluation import metrics
from denseseg.geometry.contour import mask_contours

masks = arrays(bool, (12, 9))


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


def test_the_cumulative_share_counts_failures_and_leaves_out_what_is_not_known():
    errors, share = metrics.cumulative_share(np.array([[3.0, 1], [np.inf, np.nan], [1, 2]]))
    assert errors.tolist() == [1, 1, 2, 3] and share.tolist() == [0.2, 0.4, 0.6, 0.8]
    assert len(metrics.cumulative_share(np.full(3, np.nan))[0]) == 0


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


# ---- along and across -----------------------------------------------------------------------------------------------


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.2, 3))
def test_errors_along_and_across_are_the_parts_of_the_error(radial, tangential, spacing):
    """On a circle the direction of the outline at a point is exactly at right angles to its radius."""
    true = circle((50, 50), 20, 24)
    normal = (true - 50) / 20
    tangent = np.column_stack([-normal[:, 1], normal[:, 0]])
    parts = metrics.along_and_across(true + radial * normal + tangential * tangent, true, spacing)
    assert parts[:, 0] == pytest.approx(abs(tangential) * spacing, abs=1e-6)
    assert parts[:, 1] == pytest.approx(abs(radial) * spacing, abs=1e-6)
    errors = metrics.landmark_errors(true + radial * normal + tangential * tangent, true, spacing)
    np.testing.assert_allclose(np.hypot(*parts.T), errors, atol=1e-6)


def test_missing_neighbours_are_skipped_and_an_outline_without_direction_hides_nothing():
    square = np.array([[0.0, 0], [5, 0], [10, 0], [10, 10], [0, 10]])
    lost = square.copy()
    lost[0] = np.nan
    parts = metrics.along_and_across(square + np.array([1.0, 0]), lost)
    assert np.isnan(parts[0]).all()
    direction = (square[2] - square[4]) / np.linalg.norm(square[2] - square[4])  # from the last to the one after: 0 is skipped
    assert parts[1] == pytest.approx([abs(direction[0]), abs(direction[1])])
    two = np.array([[0.0, 0], [4, 0]])  # before and after each lies the other
    assert metrics.along_and_across(two + np.array([3.0, 4]), two).tolist() == [[0, 5], [0, 5]]


@given(st.floats(-3, 3))
def test_slides_are_signed_in_the_order_of_the_outline(turn):
    """On a circle the chord to a landmark `turn` degrees further on lies along the tangent up to the cosine of half of it."""
    true = circle((50, 50), 20, 24)
    angle = np.radians(np.arange(24) * 15 + turn)
    moved = 50 + 20 * np.column_stack([np.cos(angle), np.sin(angle)])
    np.testing.assert_allclose(metrics.slides(moved, true, 0.5), 10 * np.sin(np.radians(turn)), atol=1e-9)
    np.testing.assert_allclose(metrics.slides(moved[::-1], true[::-1], 0.5), -10 * np.sin(np.radians(turn)), atol=1e-9)


# ---- identification -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_landmark_is_identified_where_its_own_truth_is_the_nearest_and_near(axis):
    """Vertebrae in a row, 30 mm apart: 14 mm is nearer to the own one, 16 mm to the next, and 21 mm too far beyond the last."""
    true = np.zeros((4, 3))
    true[:, axis] = np.arange(4) * 30
    moved = true.copy()
    moved[:, axis] += [14, 16, -14, 21]
    for d in (2, 3):
        if axis < d:
            assert metrics.identified(moved[:, :d], true[:, :d]).tolist() == [1, 0, 1, 0]
            assert metrics.id_rate(moved[:, :d], true[:, :d]) == 0.5
    spacing = np.ones(3)
    spacing[axis] = 2  # in pixels that are longer along the spine
    assert metrics.identified(moved / spacing, true / spacing, spacing).tolist() == [1, 0, 1, 0]
    assert metrics.identified(moved, true, radius=21).tolist() == [1, 0, 1, 1]


def test_a_lost_landmark_is_not_identified_and_an_unknown_one_not_judged():
    true = np.array([[[0.0, 0], [10, 0], [np.nan, np.nan]], [[0, 0], [10, 0], [20, 0]]])  # two images
    found = np.array([[[1.0, 0], [np.nan, 0], [20, 0]], [[0, 0], [0, 0], [16, 0]]])
    np.testing.assert_array_equal(metrics.identified(found, true), [[1, 0, np.nan], [1, 0, 1]])
    assert metrics.id_rate(found, true) == pytest.approx(3 / 5)
    assert metrics.identified(np.array([[16.0, 0]]), np.array([[20.0, 0]])).tolist() == [1]
    assert np.isnan(metrics.id_rate(found[0, 2:], true[0, 2:]))


whole = arrays(float, (5, 3), elements=st.integers(-50, 50).map(float))  # squares of whole numbers are exact, ties too


@given(whole, whole)
def test_identified_agrees_with_the_equation_written_out(found, true):
    expected = [
        all(np.linalg.norm(found[i] - true[i]) <= np.linalg.norm(found[i] - other) for other in true)
        and np.linalg.norm(found[i] - true[i]) <= 20
        for i in range(5)
    ]
    assert metrics.identified(found, true).tolist() == expected


# ---- the table of metrics -------------------------------------------------------------------------------------------


def test_every_metric_says_title_unit_and_direction():
    assert len({m.title for m in metrics.METRICS.values()}) == len(metrics.METRICS)
    for key in metrics.METRICS:
        found = metrics.metric(key)
        assert found == metrics.METRICS[key]
        assert (found.unit == "%") == (found.better == "higher") == key.startswith(("sdr", "dsc", "id_rate", "presence"))
    assert metrics.metric("sdr_2.5").title == "SDR 2.5"
    assert metrics.metric("beyond_2.5").better == "lower"
    with pytest.raises(KeyError, match="unknown metric 'accuracy'; known: tre, sdr_2"):
        metrics.metric("accuracy")


def test_a_failure_costs_half_the_diagonal_and_nothing_costs_more():
    limit = np.hypot(*SIZE) / 2 * 0.5
    assert metrics.clipped(np.array([1.0, np.inf, 1e6, np.nan]), SIZE, 0.5) == pytest.approx([1, limit, limit, np.nan], nan_ok=True)


@pytest.mark.parametrize("swap", [False, True])
def test_an_outline_too_many_is_judged_alike_both_ways_round(swap):
    """A small circle that only one of the two has, 50 pixels from the centre of a large one that both have."""
    large, small = circle((30, 50), 10, 2000), circle((80, 50), 2, 2000)
    pair = ([large], [large, small])
    found = metrics.surface_distances(*(pair[::-1] if swap else pair), step=0.01)
    assert metrics.assd(found) == pytest.approx(2 * 40 / (10 + 12), abs=0.02)
    assert metrics.hd95(found) == pytest.approx(40 + 2 * np.cos(0.3 * np.pi), abs=0.05)
