"""How sure a number is: bootstrap intervals, paired tests, several comparisons, several seeds.

The image is the unit of chance: two lungs of one chest are not two independent observations. Everything here resamples or
permutes images.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """A confidence interval; NaN on both sides where it cannot be known, as for a single image."""

    low: float
    high: float


class Difference(NamedTuple):
    """Paired comparison of two methods on the same images; negative `mean`: the first has the smaller values."""

    mean: float
    low: float
    high: float
    p_t: float
    p_wilcoxon: float
    p_permutation: float
    n: int


def bootstrap_interval(values: np.ndarray, statistic: Callable = np.mean, seed: int = 0, confidence: float = 0.95) -> Interval:
    """Bootstrap interval of `statistic(values)` over images.

    values: (M,), one per image. Missing values (NaN) are left out.
    statistic: takes an `axis`, like numpy.mean.
    Bias-corrected and accelerated (BCa); the plain percentile interval where BCa is undefined.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return bootstrap_cases(
        lambda index, axis=-1: statistic(values[index], axis=axis), len(values), seed=seed, confidence=confidence
    )


def bootstrap_cases(statistic: Callable, n_cases: int, n: int = 2000, seed: int = 0, confidence: float = 0.95) -> Interval:
    """Bootstrap interval of any statistic of resampled cases.

    statistic: statistic(index, axis) takes an integer array of case positions and reduces that axis to one number.
    """
    if n_cases < 2:
        return Interval(float("nan"), float("nan"))
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # degenerate samples are answered by the next method
            result = stats.bootstrap(
                (np.arange(n_cases),), statistic, n_resamples=n, batch=500, vectorized=True, method=method,
                confidence_level=confidence, rng=np.random.default_rng(seed),
            )  # fmt: skip
        interval = Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))
        if np.isfinite(interval).all():
            break
    return interval


def paired_difference(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Difference:
    """Mean of first - second over images, its bootstrap interval, and three tests of "no difference".

    first, second: (M,), the same images in the same order. Images where either is missing (NaN) are left out.
    The paired t-test (that of Ham and Oh, Section 4.3) takes the differences for normal, the Wilcoxon signed-rank
    test looks at ranks, the permutation test (random exchange within pairs) at the mean itself. A single image has no interval
    and no p values (NaN).
    Raises ValueError where the lengths differ or no pair is left.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired values need one number per image on both sides, got shapes {first.shape} and {second.shape}")
    difference = first - second
    difference = difference[~np.isnan(difference)]
    if len(difference) == 0:
        raise ValueError("no image has a value on both sides")
    if len(difference) == 1:
        nan = float("nan")
        return Difference(float(difference[0]), nan, nan, nan, nan, nan, 1)
    interval = bootstrap_interval(difference, seed=seed)
    if not difference.any():
        return Difference(0.0, *interval, 1.0, 1.0, 1.0, len(difference))
    permuted = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", vectorized=True, batch=500, rng=np.random.default_rng(seed),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # equal differences have no SD to speak of
        normal = stats.ttest_1samp(difference, 0.0)
    p_t, p_wilcoxon, p_permutation = (float(test.pvalue) for test in (normal, stats.wilcoxon(difference), permuted))
    return Difference(float(difference.mean()), *interval, p_t, p_wilcoxon, p_permutation, len(difference))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction: adjusted p-values, in the order given, for testing all of them at once."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1)
    return adjusted


class Spread(NamedTuple):
    """One number trained again with several seeds: mean, SD over seeds, and the 95 % t interval of the mean."""

    mean: float
    sd: float
    low: float
    high: float
    n: int


def seeds_spread(values: Sequence[float]) -> Spread:
    """Spread of a metric over seeds. A gain smaller than this is not a finding; one seed has no spread (NaN)."""
    numbers = np.asarray(values, float)
    n, mean = len(numbers), float(np.mean(numbers))
    if n < 2:
        return Spread(mean, float("nan"), float("nan"), float("nan"), n)
    sd = float(np.std(numbers, ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd / np.sqrt(n)
    return Spread(mean, sd, mean - half, mean + half, n)
