"""Semilandmarks: known correspondence is found again, points stay on their outlines and in order."""

from __future__ import annotations

import numpy as np
import pytest
from blob import blob
from bones import outline
from hypothesis import example, given, settings
from hypothesis import strategies as st

from denseseg.geometry.contour import distance_to_outline, perimeter, resample
from denseseg.geometry.semilandmarks import EvenCurve, corresponding_points, evenly_placed, slide
from denseseg.geometry.similarity import Similarity
from denseseg.geometry.spline import bending_energy

seeds = st.integers(0, 10_000)
PLACES = np.arange(100) / 100


def similarity(angle: float, scale: float, shift: tuple[float, float]) -> Similarity:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Similarity(scale, turn, np.array(shift))


def lobed(seed: int) -> np.ndarray:
    """(600, 2) points evenly round an outline with two and three lobes, the same amounts of each but turned at random."""
    rng, angle = np.random.default_rng(seed), np.arange(600) * 2 * np.pi / 600
    radius = 18 * (1 + sum(share * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k, share in ((2, 0.2), (3, 0.12))))
    return resample(np.stack([40 + radius * np.cos(angle), 32 + radius * np.sin(angle)], -1), 600)


def bar(seed: int) -> np.ndarray:
    """(600, 2) points evenly round a thin bent bar that no half turn leaves as it is."""
    points = outline(600, np.array([40.0, 32.0]), 5, 25, 0.2, np.random.default_rng(seed).uniform(0.1, 0.2))
    points[:, 0] += 0.1 * np.maximum(points[:, 1] - 32, 0) * np.sign(points[:, 0] - 40)
    return resample(points, 600)


@settings(deadline=None, max_examples=20)
@given(
    seeds,
    st.floats(-0.7, 0.7),
    st.floats(0.5, 2),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.integers(0, 599),
    st.sampled_from([lobed, bar]),
)
@example(2, 0.5, 0.5, (0.0, 0.0), 0, bar)
def test_a_similarity_of_an_outline_has_corresponding_points(seed, angle, scale, shift, begin, shape):
    one, move = shape(seed), similarity(angle, scale, shift)
    another = np.roll(move.apply(one), begin, axis=0)
    first, second = corresponding_points([one, another], 30)
    # curves are sampled every half pixel, whatever their size
    assert np.linalg.norm(move.apply(first) - second, axis=1).max() < 0.1 * max(scale, 1)


@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(3, 150))
def test_points_lie_on_their_outlines_in_order_and_evenly_on_average(seed, count):
    shapes = [blob(seed + i, wobble=0.6) for i in range(3)]
    points = corresponding_points(shapes, count)
    assert points.shape == (3, count, 2)
    for shape, own in zip(shapes, points, strict=True):
        assert distance_to_outline(own, [shape]).max() < 0.1  # a corner between two points of the outline is cut
        round_ = np.unwrap(np.arctan2(*(own - [40, 32]).T[::-1]))
        assert (np.diff(round_) > 0).all() and round_[-1] - round_[0] < 2 * np.pi  # star-shaped: in order, once round
    gaps = np.linalg.norm(np.roll(points, -1, axis=1) - points, axis=2)
    assert gaps.mean(0).max() < 2 * perimeter(shapes[0]) / count


def test_one_outline_is_its_own_mean_and_its_points_are_even_from_the_top():
    shape = lobed(3)
    (points,) = corresponding_points([shape], 24)
    assert np.linalg.norm(points[0] - shape[shape[:, 1].argmin()]) < 1
    np.testing.assert_allclose(points, resample(np.roll(shape, -shape[:, 1].argmin(), axis=0), 24), atol=1)


@settings(deadline=None, max_examples=10)
@given(seeds)
def test_sliding_undoes_a_slip_along_the_outline(seed):
    curve = EvenCurve.of(lobed(seed))
    reference = curve.at(PLACES)
    slip = 0.02 * np.sin(2 * np.pi * (PLACES + np.random.default_rng(seed).uniform()))
    found = slide(curve, PLACES + slip, reference, bending_energy(reference, 1.0))
    before, after = (np.linalg.norm(curve.at(places) - reference, axis=1).mean() for places in (PLACES + slip, found))
    assert after < 0.1 * before


def test_sliding_keeps_the_order_whatever_the_start():
    curve, reference = EvenCurve.of(blob(4, wobble=1.0)), EvenCurve.of(blob(9, wobble=1.0)).at(PLACES)
    crowded = np.linspace(0, 0.3, 100)
    places = slide(curve, crowded, reference, bending_energy(reference, 1.0))
    assert (np.diff(places) > 0).all() and places[-1] < places[0] + 1


def test_a_long_shape_is_not_turned_upside_down():
    straight = resample(outline(400, np.array([40.0, 32.0]), 5, 25, 0.0, 0.0), 400)
    for begin in (0, 130, 200):
        curve = EvenCurve.of(np.roll(straight, begin, axis=0))
        placed = curve.at(evenly_placed(curve, straight[::4]))
        assert np.linalg.norm(placed - straight[::4], axis=1).max() < 1


@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_outlines_of_a_few_pixels_have_points(pixels):
    rows = np.array([[0.0, -0.5], [0.5, 0], [0, pixels - 0.5], [-0.5, 0]])
    points = corresponding_points([rows, rows + 7, 3 * rows], 30)
    assert np.isfinite(points).all()
    np.testing.assert_allclose(points[1], points[0] + 7, atol=0.1)
