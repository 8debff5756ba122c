"""Thin-plate splines: exact where they must be, affine where the values are."""

from __future__ import annotations

import numpy as np
import torch
from blob import blob
from bones import as_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.geometry.spline import bending_energy, fit_spline

seeds = st.integers(0, 10_000)


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_a_spline_meets_its_values_and_reproduces_affine_maps(seed):
    rng = np.random.default_rng(seed)
    points, values = as_batch(blob(seed)), torch.as_tensor(rng.normal(size=(24, 2)), dtype=torch.float32)
    np.testing.assert_allclose(fit_spline(points, values)(points)[0], values, atol=2e-3)
    matrix = torch.as_tensor(rng.normal(size=(2, 2)), dtype=torch.float32)
    anywhere = torch.as_tensor(rng.uniform(0, 64, size=(1, 50, 2)), dtype=torch.float32)
    affine = fit_spline(points, points[0] @ matrix + 1)(anywhere)
    np.testing.assert_allclose(affine, anywhere @ matrix + 1, atol=1e-2, rtol=1e-3)


def test_a_spline_leaves_missing_points_out():
    contour, values = blob(2), torch.as_tensor(blob(5), dtype=torch.float32)
    gap = contour.copy()
    gap[4] = np.nan
    kept = np.arange(24) != 4
    anywhere = as_batch(blob(7))
    with_gap = fit_spline(as_batch(gap), values)(anywhere)
    without = fit_spline(as_batch(contour[kept]), values[torch.as_tensor(kept)])(anywhere)
    np.testing.assert_allclose(with_gap, without, atol=1e-3)


@settings(deadline=None, max_examples=25)
@given(seeds, st.sampled_from([0.0, 0.1, 1.0]))
def test_bending_energy_is_the_splines_and_affine_maps_cost_nothing(seed, smoothing):
    rng = np.random.default_rng(seed)
    points, values = blob(seed), rng.normal(size=(24, 2))
    energy = bending_energy(points, smoothing)
    spline = fit_spline(torch.as_tensor(points)[None], torch.as_tensor(values), smoothing)
    np.testing.assert_allclose(energy @ values, spline.weights[0], atol=1e-6 * np.abs(energy).max())
    np.testing.assert_allclose(energy @ (points @ rng.normal(size=(2, 2)) + 5), 0, atol=1e-6 * np.abs(energy).max())
    assert np.linalg.eigvalsh(energy).min() > -1e-9 * np.abs(energy).max()
