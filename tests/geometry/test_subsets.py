"""Fewer landmarks: which ones stay, how many, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denseseg.anatomy import CHEST, HAND, WRIST, Anatomy, get_anatomy
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases, write_cases
from denseseg.cases.masks import reduce_landmarks
from denseseg.errors import DataError
from denseseg.geometry.subsets import farthest_points, landmark_subset
from denseseg.geometry.template import Template
from denseseg.methods import create, load_method
from denseseg.phantom import chest_phantom

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


@pytest.mark.parametrize("anatomy", [CHEST, WRIST, HAND], ids=lambda a: a.name)
def test_a_reduced_anatomy_is_written_out(anatomy) -> None:
    few = anatomy.reduced(1)
    assert Anatomy.from_dict(few.to_dict()) == few
    assert few.counts == [4] * len(anatomy) and few.names == anatomy.names


@pytest.mark.parametrize("name", ["wrist 25 %", "knee"])
def test_no_name_is_parsed(name: str) -> None:
    with pytest.raises(DataError, match="unknown anatomy"):
        get_anatomy(name)


@pytest.mark.parametrize("percent", [0, 100])
def test_a_share_beyond_its_range_is_an_error(percent: int) -> None:
    with pytest.raises(ValueError, match="1 to 99"):
        CHEST.reduced(percent)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(6, (64, 64))


@pytest.fixture(scope="module")
def few(cases: CaseSet) -> CaseSet:
    return reduce_landmarks(cases, 25, Template.from_landmarks(cases.landmarks, CHEST, (64, 64)).points)


def test_landmarks_keep_their_order_and_images_and_masks_stay(cases: CaseSet, few: CaseSet) -> None:
    for old, new in zip(cases, few, strict=True):
        assert new.image is old.image and new.anatomy == few.anatomy and new.metadata == old.metadata
        for name in CHEST.names:
            place = [int(np.flatnonzero((old.points(name) == p).all(1))[0]) for p in new.points(name)]
            assert place == sorted(place) and len(place) == new.points(name).shape[0]
        assert new.masks is not None and new.masks[CHEST.index("heart")].sum() > 50


def test_a_reduced_set_is_written_read_and_learned_like_any_other(few: CaseSet, tmp_path) -> None:
    again = read_cases(write_cases(tmp_path / "set", few))
    assert again.anatomy == few.anatomy and again.fingerprint() == few.fingerprint()
    method = create("mean_shape", few.anatomy, (64, 64))
    method.prepare(few)
    loaded = load_method(method.save(tmp_path / "weights.safetensors"))
    assert loaded.anatomy == few.anatomy
