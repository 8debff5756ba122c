"""Errors that two methods share, on errors of which everything is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.errors import DataError
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.geometry.template import Template
from denseseg.studies.shared_error import record, shared_error, table

RNG = np.random.default_rng(0)
TRUE = RNG.uniform(0, 100, (400, 20, 2))


@settings(deadline=None, max_examples=10)
@given(st.floats(0.1, 5), st.floats(0.1, 5), st.floats(0.1, 5), st.integers(0, 99))
def test_what_two_errors_have_in_common_is_found_again(common, first, second, seed):
    """Both err by the same vectors, drawn with SD `common` on each axis, and by own ones."""
    rng = np.random.default_rng(seed)
    both, a, b = (sd * rng.normal(size=TRUE.shape) for sd in (common, first, second))
    found = shared_error(TRUE + both + a, TRUE + both + b, TRUE, spacing=2.0)
    scale = 2 * np.sqrt(2)  # two axes, 2 mm a pixel
    assert found["first"] == pytest.approx(scale * np.hypot(common, first), rel=0.05)
    assert found["second"] == pytest.approx(scale * np.hypot(common, second), rel=0.05)
    noise = 5 * first * second / np.sqrt(TRUE.size / 2) + 5 * common * (first + second) / np.sqrt(TRUE.size / 2)
    assert abs(found["shared"] ** 2 / scale**2 - common**2) < noise + 0.05 * common**2
    left = found["first"] ** 2 - found["shared"] * abs(found["shared"])  # below zero by chance where the first has hardly any own
    assert abs(left / scale**2 - first**2) < noise + 0.1 * (first**2 + common**2)
    assert found["own"] ** 2 == pytest.approx(left, abs=1e-9) if left >= 0 else np.isnan(found["own"])


def test_a_method_shares_all_of_its_error_with_itself_and_none_with_its_opposite():
    error = RNG.normal(size=TRUE.shape)
    same, opposite = shared_error(TRUE + error, TRUE + error, TRUE), shared_error(TRUE + error, TRUE - error, TRUE)
    assert same["shared"] == pytest.approx(same["first"]) and same["own"] == pytest.approx(0)
    assert opposite["shared"] == pytest.approx(-opposite["first"])


def test_landmarks_that_one_side_lacks_are_left_out():
    first, second = TRUE + 1, TRUE + 1
    first[0], second[1], true = np.nan, np.nan, TRUE.copy()
    true[2] = np.nan
    assert shared_error(first, second, true)["shared"] == pytest.approx(np.sqrt(2))
    with pytest.raises(DataError, match="no landmark in common"):
        shared_error(first[:1], second[:1], true[:1])


def test_each_case_has_its_own_spacing():
    spacing = np.array([0.5, 2.0]).repeat(len(TRUE))[: len(TRUE)].reshape(-1, *[1] * (TRUE.ndim - 1))
    off = TRUE + np.array([3.0, 0.0]) / spacing  # 3 mm in each case
    assert shared_error(off, off, TRUE, spacing)["first"] == pytest.approx(3.0)


def test_the_record_is_in_millimetres_where_spacings_differ(tmp_path):
    made = record("hand phantom", "smoke", ["mean_shape:default", "mean_shape"], str(tmp_path))
    cases = load_cases(get_profile("smoke"), "hand phantom")
    parts = cases.split("paper", seed=0)
    assert len({case.spacing for case in parts.test}) > 1
    mean = Template.from_landmarks(parts.train.landmarks, cases.anatomy, cases[0].size).points
    squares = [case.spacing**2 * ((mean - case.landmarks) ** 2).sum(-1) for case in parts.test]
    (pair,) = made.results.values()
    assert pair["all"]["first"] == pytest.approx(np.sqrt(np.nanmean(squares)), rel=1e-6)


def test_the_record_has_every_pair_and_structure_and_a_table(tmp_path):
    made = record("phantom", "smoke", ["mean_shape", "shapeformer"], str(tmp_path))
    (pair,) = made.results
    assert pair == "mean_shape and shapeformer" and set(made.results[pair]) >= {"heart", "all"}
    assert table(made.results).count("| mean_shape and shapeformer |") == len(made.results[pair])


@pytest.mark.parametrize("methods", [["mean_shape"], ["mean_shape", "mean_shape"]])
def test_one_method_alone_is_refused(methods, tmp_path):
    with pytest.raises(DataError, match="shares its errors with no other"):
        record("phantom", "smoke", methods, str(tmp_path))
