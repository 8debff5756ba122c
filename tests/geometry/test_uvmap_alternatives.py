"""The linear, polar and published uv map generators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.geometry.contour import polygon_mask
from denseseg.geometry.similarity import Similarity
from denseseg.geometry.uvmap_alternatives import chart_uv, linear_map, polar_map, polar_to_template, polar_uv, published_map

SIZE = (96, 96)
GENERATORS = {
    "linear": linear_map,
    "polar": polar_map,
    "published": published_map,
    "published_fixed": lambda *arguments: published_map(*arguments, bug=False),
}
geometry = settings(max_examples=8, deadline=None)


def flower(radius=26.0, stretch=1.0, petals=3, depth=0.15, phase=0.0, n=32) -> np.ndarray:
    """A star-shaped outline (n, 2) about the middle of the image."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    r = radius * (1 + depth * np.cos(petals * angle + phase))
    return np.stack([r * np.cos(angle), stretch * r * np.sin(angle)], -1) + 48


flowers = st.builds(
    flower,
    radius=st.floats(18, 28),
    stretch=st.floats(0.4, 1.0),
    petals=st.integers(2, 5),
    depth=st.floats(0, 0.2),
    phase=st.floats(0, 6.2),
)
narrow_flowers = st.builds(flower, radius=st.floats(18, 28), stretch=st.floats(0.4, 0.6), depth=st.floats(0, 0.1))
similarities = st.builds(
    lambda scale, angle, x, y: Similarity(
        scale,
        np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]),
        np.array([x, y]),
    ),
    scale=st.floats(0.8, 1.1),
    angle=st.floats(-0.4, 0.4),
    x=st.floats(-5, 5),
    y=st.floats(-5, 5),
)


def about_middle(move: Similarity, points: np.ndarray) -> np.ndarray:
    return move.apply(points - 48) + 48


def box_of(points: np.ndarray):
    return points.min(0), points.max(0)


def pixels_of(mask: np.ndarray) -> np.ndarray:
    """(P, 2) centres (x, y) of the mask's pixels, in the order of boolean indexing."""
    return np.argwhere(mask)[:, ::-1].astype(float)


@pytest.mark.parametrize("name", GENERATORS)
@given(template=flowers, case=flowers, move=similarities)
@geometry
def test_maps_are_finite_and_stay_in_the_mask(name, template, case, move):
    points = about_middle(move, case)
    mask = polygon_mask(points, SIZE)
    uv, valid = GENERATORS[name](points, template, box_of(template), mask)
    assert uv.shape == (2, *SIZE) and uv.dtype == np.float32
    assert valid.shape == SIZE and valid.dtype == bool
    assert np.isfinite(uv).all()
    assert not (valid & ~mask).any()
    assert (uv[:, ~valid] == 0).all()
    assert valid.sum() > 0.6 * mask.sum()
    assert np.abs(uv).max() <= 1 + 1e-5  # template places are inside its own box, or its polar square


@given(template=flowers, move=similarities)
@geometry
def test_linear_map_undoes_a_similarity_exactly(template, move):
    points = about_middle(move, template)
    mask = polygon_mask(points, SIZE)
    uv, valid = linear_map(points, template, box_of(template), mask)
    truth = chart_uv(about_middle(move.inverse(), pixels_of(mask)), box_of(template))
    assert valid[mask].all()
    np.testing.assert_allclose(uv[:, mask].T, truth, atol=2e-4)


def test_linear_map_takes_the_landmarks_own_values_at_pixel_centres():
    template = flower()
    points = np.unique(np.round(flower(depth=0.05, radius=30)), axis=0)
    chart = template[: len(points)]
    mask = np.ones(SIZE, bool)
    uv, valid = linear_map(points, chart, box_of(template), mask)
    columns, rows = points.astype(int).T
    inner = valid[rows, columns]  # a landmark on the hull may fall outside it by rounding
    assert inner.sum() >= len(points) - 4
    np.testing.assert_allclose(uv[:, rows, columns].T[inner], chart_uv(chart, box_of(template))[inner], atol=1e-5)
    assert not valid[0, 0]  # nothing is extrapolated beyond the hull


@given(template=flowers)
@geometry
def test_polar_chart_puts_landmarks_on_the_square_in_their_direction(template):
    uv = polar_uv(template)
    offsets = template - template.mean(0)
    np.testing.assert_allclose(np.abs(uv).max(1), 1)
    np.testing.assert_allclose(uv[:, 0] * offsets[:, 1], uv[:, 1] * offsets[:, 0], atol=1e-6)


@given(template=flowers, move=similarities)
@geometry
def test_polar_map_equals_the_fan_of_triangles_about_the_mean(template, move):
    """On a star-shaped outline the rings sample a function that is linear on each triangle (mean, landmark, next landmark)."""
    points = about_middle(move, template)
    mask = polygon_mask(points, SIZE)
    uv, valid = polar_map(points, template, box_of(template), mask)
    centre, corner = points.mean(0), polar_uv(template)
    truth = np.full((mask.sum(), 2), np.nan)
    for i in range(len(points)):
        j = (i + 1) % len(points)
        weights = np.linalg.solve(np.stack([points[i] - centre, points[j] - centre], 1), (pixels_of(mask) - centre).T).T
        inside = (weights >= -1e-9).all(1) & (weights.sum(1) <= 1 + 1e-9)
        truth[inside] = weights[inside] @ corner[[i, j]]
    known = np.isfinite(truth).all(1) & valid[mask]
    assert known.mean() > 0.98
    gap = np.abs(uv[:, mask].T - truth)[known]
    assert gap.mean() < 0.01 and gap.max() < 0.2  # Delaunay edges across a petal's dent differ from the fan's


@given(template=flowers)
@geometry
def test_polar_map_of_the_template_leads_back_to_its_own_pixels(template):
    mask = polygon_mask(template, SIZE)
    uv, valid = polar_map(template, template, box_of(template), mask)
    back = polar_to_template(uv[:, valid].T, template)
    distance = np.linalg.norm(back - pixels_of(valid), axis=1)
    assert np.nanmean(distance) < 0.3


@given(template=flowers)
@geometry
def test_published_chain_without_the_bug_reproduces_the_identity(template):
    """To resampling error: its frames count whole pixels, so a side is off by at most two of them at its end."""
    mask = polygon_mask(template, SIZE)
    uv, valid = published_map(template, template, box_of(template), mask, bug=False)
    truth = chart_uv(pixels_of(mask), box_of(template)).T
    half = np.ptp(template, axis=0)[:, None] / 2
    distance = np.linalg.norm((uv[:, mask] - truth) * half, axis=0)[valid[mask]]
    assert distance.mean() < 2 and distance.max() < 3.5
    assert (np.abs(uv[:, valid]).max(1) > 1 - 3 / half[:, 0]).all()


@given(template=narrow_flowers)
@geometry
def test_the_published_bug_squeezes_the_short_axis_by_the_ratio_of_the_sides(template):
    """Case = template: the sampler gets (x - middle) / (long / 2) where it expects (x - middle) / (short / 2).

    So uv on the short axis is short / long times what it should be.
    """
    mask = polygon_mask(template, SIZE)
    wrong, valid = published_map(template, template, box_of(template), mask, bug=True)
    right, valid_too = published_map(template, template, box_of(template), mask, bug=False)
    both = valid & valid_too
    sides = np.ptp(template, axis=0)
    ratio = sides / sides.max()
    np.testing.assert_allclose(wrong[:, both], ratio[:, None] * right[:, both], atol=1e-4)
    assert ratio.min() < 0.8 and ratio.max() == 1


def test_the_repaired_chain_approximates_the_linear_map():
    """They are one function in theory; resampling, and triangles chosen after stretching to a square, keep them apart.

    By how much depends on the shape, so no bound holds for all of them: the claim is about a fixed sample of narrow ones.
    """
    rng = np.random.default_rng(0)
    apart: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(12):
        template = flower(radius=rng.uniform(18, 28), stretch=rng.uniform(0.4, 0.6), depth=rng.uniform(0, 0.1))
        angle = rng.uniform(-0.4, 0.4)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        move = Similarity(rng.uniform(0.8, 1.1), turn, rng.uniform(-5, 5, 2))
        case = about_middle(move, template + rng.uniform(-2, 2) * np.sin(template[:, ::-1] / 8))
        mask = polygon_mask(case, SIZE)
        direct, _ = linear_map(case, template, box_of(template), mask)
        half = np.ptp(template, axis=0)[:, None] / 2
        for bug, distances in apart.items():
            chain, valid = published_map(case, template, box_of(template), mask, bug=bug)
            distances.append(float(np.median(np.linalg.norm((chain - direct)[:, valid] * half, axis=0))))
    assert np.mean(apart[False]) < 2
    assert np.mean(apart[True]) > np.mean(apart[False])


def test_tiny_structures_do_not_break_the_published_chain():
    points = np.array([[10.0, 10.0], [11.2, 10.1], [11.0, 11.3], [10.1, 11.0]])
    uv, valid = published_map(points, points, box_of(points), polygon_mask(points, SIZE))
    assert np.isfinite(uv).all() and valid.dtype == bool
