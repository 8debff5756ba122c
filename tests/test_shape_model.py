"""The shape model: a Gaussian posterior with its known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.geometry.shape_model import fit_shape_model
from denseseg.phantom.chest import chest_phantom

SHAPES = chest_phantom(60, (64, 64), seed=5).landmarks


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.floats(0.2, 4))
def test_the_posterior_is_the_textbook_formula(seed, noise):
    """mean + S (S + noise^2 I)^-1 (z - mean) with the full covariance S, also with missing points."""
    model = fit_shape_model(SHAPES[:20])
    size = len(model.mean)
    covariance = model.modes @ np.diag(model.variances - model.residual) @ model.modes.T + model.residual * np.eye(size)
    rng = np.random.default_rng(seed)
    points = SHAPES[30] + rng.normal(size=(166, 2)) * noise
    points[rng.choice(166, 10)] = np.nan
    seen = np.isfinite(points.ravel())
    gain = covariance[np.ix_(seen, seen)]
    expected = points.ravel().copy()
    deviation = points.ravel()[seen] - model.mean[seen]
    expected[seen] = model.mean[seen] + gain @ np.linalg.solve(gain + noise**2 * np.eye(seen.sum()), deviation)
    np.testing.assert_allclose(model.posterior(points, noise).ravel(), expected, atol=1e-6)


def test_it_removes_noise_from_shapes_that_it_has_not_seen():
    model = fit_shape_model(SHAPES[:40])
    rng = np.random.default_rng(0)
    before, after = [], []
    for shape in SHAPES[40:]:
        noisy = shape + rng.normal(size=shape.shape)
        before.append(np.linalg.norm(noisy - shape, axis=1).mean())
        after.append(np.linalg.norm(model.posterior(noisy, 1.0) - shape, axis=1).mean())
    assert np.mean(after) < 0.7 * np.mean(before)


def test_without_noise_the_image_is_trusted_and_with_endless_noise_the_mean():
    model = fit_shape_model(SHAPES[:40])
    np.testing.assert_allclose(model.posterior(SHAPES[50], 1e-6), SHAPES[50], atol=1e-3)
    np.testing.assert_allclose(model.posterior(SHAPES[50], 1e6).ravel(), model.mean, atol=1e-3)


def test_few_shapes_make_a_careful_model():
    assert fit_shape_model(SHAPES[:4]).residual > 3 * fit_shape_model(SHAPES).residual


def test_missing_landmarks():
    landmarks = SHAPES[:20].copy()
    landmarks[3, 7] = np.nan
    model = fit_shape_model(landmarks)
    assert np.isfinite(model.modes).all()
    nothing = np.full((166, 2), np.nan)
    assert np.isnan(model.posterior(nothing, 1.0)).all()
    assert model.mean.reshape(-1, 2)[7] == pytest.approx(np.nanmean(landmarks[:, 7], axis=0))
