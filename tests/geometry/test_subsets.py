"""Fewer landmarks: which ones stay, how many, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denseseg.anatomy import WRIST
from denseseg.geometry.subsets import farthest_points, landmark_subset

CLOUD = st.integers(2, 30).flatmap(
    lambda n: st.tuples(st.integers(1, n), st.integers(0, n - 1), st.integers(0, 2**31)).map(lambda t: (n, *t))
)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


def test_a_square_gives_its_corners_first() -> None:
    square = np.array([[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1], [0.5, 1], [0, 1], [0, 0.5]])
    assert farthest_points(square, 4).tolist() == [0, 4, 2, 6]


@pytest.mark.parametrize("count", [2, 4, 8])
def test_a_circle_is_halved_again_and_again(count: int) -> None:
    angle = 2 * np.pi * np.arange(32) / 32
    chosen = np.sort(farthest_points(np.stack([np.cos(angle), np.sin(angle)], -1).round(9), count, start=5))
    assert (np.diff(np.r_[chosen, chosen[0] + 32]) == 32 // count).all()


@given(CLOUD)
def test_each_choice_is_the_farthest_of_all(case: tuple[int, int, int, int]) -> None:
    n, count, start, seed = case
    points = np.random.default_rng(seed).normal(size=(n, 2))
    chosen = farthest_points(points, count, start)
    assert chosen[0] == start and len(set(chosen.tolist())) == count
    for k in range(1, count):
        gap = distances(points, points[chosen[:k]]).min(1)
        assert gap[chosen[k]] == gap.max()
    if count < n:  # so the rest is covered at least as closely as the chosen ones lie apart
        cover = distances(points, points[chosen]).min(1).max()
        apart = distances(points[chosen], points[chosen]) + np.diag(np.full(count, np.inf))
        assert cover <= apart.min() + 1e-12


def test_coinciding_points_are_chosen_once_each() -> None:
    assert sorted(farthest_points(np.zeros((5, 2)), 5).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 4])
def test_too_few_or_too_many_points_are_an_error(count: int) -> None:
    with pytest.raises(ValueError, match="cannot choose"):
        farthest_points(np.zeros((3, 2)), count)


@pytest.mark.parametrize(("percent", "total"), [(25, 178), (50, 355), (75, 532)])
def test_a_quarter_of_the_wrist_is_the_papers_178(percent: int, total: int) -> None:
    points = np.random.default_rng(0).normal(size=(WRIST.n_landmarks, 2))
    keep = landmark_subset(points, WRIST, percent)
    assert keep.sum() == WRIST.reduced(percent).n_landmarks == total
    assert [int(keep[where].sum()) for where in WRIST.slices.values()] == WRIST.reduced(percent).counts
