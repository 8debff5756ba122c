"""Intervals, tests and spreads with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from denseseg.evaluation.statistics import bootstrap_interval, holm, paired_difference, seeds_spread


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
    assert max(shifted.p_t, shifted.p_wilcoxon, shifted.p_permutation) < 0.01
    same = paired_difference(base + rng.normal(0, 0.5, 60), base)
    assert min(same.p_t, same.p_wilcoxon, same.p_permutation) > 0.05 and same.low < 0 < same.high
    equal = paired_difference(base, base)
    assert (equal.mean, equal.p_t, equal.p_wilcoxon, equal.p_permutation, equal.n) == (0, 1, 1, 1, 60)


def test_the_t_test_is_the_paired_one():
    """By hand: differences 1, 2, 3 have mean 2 and SD 1, so t = 2 sqrt(3) with 2 degrees of freedom; p = 1 - t / sqrt(t^2 + 2)."""
    t = 2 * np.sqrt(3)
    assert paired_difference(np.array([5.0, 1, 9]), np.array([4.0, -1, 6])).p_t == pytest.approx(1 - t / np.sqrt(t**2 + 2))
    assert paired_difference(np.full(4, 2.5), np.full(4, 2.0)).p_t == 0  # no SD at all


def test_paired_difference_is_exact_for_few_pairs_and_checks_its_input():
    assert paired_difference(np.arange(1.0, 7), np.zeros(6)).p_permutation == pytest.approx(2 / 2**6)
    assert paired_difference(np.array([1, np.nan, 2, 3]), np.zeros(4)).n == 3
    with pytest.raises(ValueError, match="shapes"):
        paired_difference(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="no image"):
        paired_difference(np.full(3, np.nan), np.zeros(3))


def test_one_pair_has_a_difference_and_nothing_more():
    found = paired_difference(np.array([3.0, np.nan]), np.array([1.0, 5]))
    assert (found.mean, found.n) == (2, 1) and np.isnan(found[1:-1]).all()


def test_holm():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])


def test_seeds_spread():
    spread = seeds_spread([1.0, 2, 3])
    assert (spread.mean, spread.sd, spread.n) == (2, 1, 3)
    assert spread.high - spread.mean == pytest.approx(4.303 / np.sqrt(3), rel=1e-3)  # t with 2 degrees of freedom
    assert np.isnan(seeds_spread([1.0]).sd)


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_a_skewed_sample_has_the_interval_of_scipys_bca(level):
    sample = np.random.default_rng(0).exponential(size=40)
    options = {"n_resamples": 2000, "batch": 500, "confidence_level": level, "rng": np.random.default_rng(0)}
    expected = bootstrap((sample,), np.mean, **options).confidence_interval
    assert bootstrap_interval(sample, confidence=level) == pytest.approx((expected.low, expected.high))


def test_wilcoxons_p_of_six_gains_is_two_in_all_signs():
    assert paired_difference(np.arange(1.0, 7), np.zeros(6)).p_wilcoxon == pytest.approx(2 / 2**6)
