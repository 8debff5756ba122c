"""Similarities: known answers, and what the fit leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denseseg.geometry.similarity import Similarity, procrustes_mean, umeyama

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.3, 3)
shifts = st.tuples(st.floats(-50, 50), st.floats(-50, 50))
seeds = st.integers(0, 10_000)


@given(angles, scales, shifts, seeds)
def test_umeyama_recovers_a_similarity(angle, scale, shift, seed):
    source = np.random.default_rng(seed).normal(size=(7, 2)) * 20
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = scale * source @ rotation.T + shift
    found = umeyama(source, target)
    assert found.scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-6)
    np.testing.assert_allclose(found.inverse().apply(target), source, atol=1e-5)


@given(seeds)
def test_umeyama_never_reflects(seed):
    source = np.random.default_rng(seed).normal(size=(5, 2))
    assert np.linalg.det(umeyama(source, source * [-1, 1]).rotation) == pytest.approx(1)


def test_umeyama_leaves_missing_points_out():
    source = np.array([[0, 0], [1, 0], [0, 1], [np.nan, 5.0]])
    assert umeyama(source, source + 3).translation == pytest.approx([3, 3])
    with pytest.raises(ValueError, match="at least two distinct"):
        umeyama(np.ones((4, 2)), np.ones((4, 2)))


@given(seeds)
def test_the_mean_of_one_shape_in_many_places_is_this_shape_in_the_place_of_the_first(seed):
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=(6, 2)) * 10
    turns = [umeyama(shape, rng.normal(size=(6, 2))).rotation for _ in range(4)]
    moves = [Similarity(rng.uniform(0.5, 2), turn, rng.normal(size=2) * 20) for turn in turns]
    copies = np.stack([move.apply(shape) for move in moves])
    np.testing.assert_allclose(procrustes_mean(copies), copies[0], atol=1e-6)


def test_the_mean_of_shapes_lies_between_them():
    square, wide = np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]]), np.array([[2.0, 1], [-2, 1], [-2, -1], [2, -1]])
    low, high = 1, 2
    width, height = np.ptp(procrustes_mean(np.stack([square, wide])), axis=0)
    assert low < width / height < high


def test_a_mirrored_target_is_met_as_closely_as_any_rotation_and_scale_can():
    source = np.random.default_rng(0).normal(size=(12, 2)) * (20, 8)
    target = source * [-1, 1]
    a, b = source - source.mean(0), target - target.mean(0)
    turned = [a @ np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]).T for t in np.linspace(0, 2 * np.pi, 721)]
    best = min(((b - max((b * r).sum() / (a**2).sum(), 0) * r) ** 2).sum() for r in turned)
    assert ((umeyama(source, target).apply(source) - target) ** 2).sum() <= best + 1e-9
