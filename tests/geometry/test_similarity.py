"""Similarities: known answers, and what the fit leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from denseseg.geometry.similarity import umeyama

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
