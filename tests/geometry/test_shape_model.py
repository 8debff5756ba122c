"""The shape model: a Gaussian posterior with its known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.errors import DataError
from denseseg.geometry.shape_model import MODES, ShapeModel, fit_shape_model, principal_components
from denseseg.phantom.chest.phantom import chest_phantom

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
    np.testing.assert_allclose(model.posterior(points, noise).points.ravel(), expected, atol=1e-6)


def test_it_removes_noise_from_shapes_that_it_has_not_seen():
    model = fit_shape_model(SHAPES[:40])
    rng = np.random.default_rng(0)
    before, after = [], []
    for shape in SHAPES[40:]:
        noisy = shape + rng.normal(size=shape.shape)
        before.append(np.linalg.norm(noisy - shape, axis=1).mean())
        after.append(np.linalg.norm(model.posterior(noisy, 1.0).points - shape, axis=1).mean())
    assert np.mean(after) < 0.7 * np.mean(before)


def test_without_noise_the_image_is_trusted_and_with_endless_noise_the_mean():
    model = fit_shape_model(SHAPES[:40])
    np.testing.assert_allclose(model.posterior(SHAPES[50], 1e-6).points, SHAPES[50], atol=1e-3)
    np.testing.assert_allclose(model.posterior(SHAPES[50], 1e6).points.ravel(), model.mean, atol=1e-3)


def test_few_shapes_make_a_careful_model():
    assert fit_shape_model(SHAPES[:4]).residual > 3 * fit_shape_model(SHAPES).residual


def test_cases_without_landmarks_take_no_part():
    bare = np.full_like(SHAPES[:10], np.nan)
    model, mixed = fit_shape_model(SHAPES[:20]), fit_shape_model(np.concatenate([SHAPES[:20], bare]))
    np.testing.assert_allclose(mixed.variances, model.variances)
    with pytest.raises(DataError, match="two training cases or more, and was given 1"):
        fit_shape_model(np.concatenate([SHAPES[:1], bare]))


def test_missing_landmarks():
    landmarks = SHAPES[:20].copy()
    landmarks[3, 7] = np.nan
    model = fit_shape_model(landmarks)
    assert np.isfinite(model.modes).all()
    nothing = np.full((166, 2), np.nan)
    assert np.isnan(model.posterior(nothing, 1.0).points).all()
    whole = SHAPES[:20, 7].mean(0)
    assert np.linalg.norm(model.mean.reshape(-1, 2)[7] - whole) < np.linalg.norm(np.nanmean(landmarks[:, 7], axis=0) - whole)


def test_shapes_that_are_all_alike_complete_each_other():
    alike = np.repeat(SHAPES[:1], 5, axis=0)
    alike[0, 7] = np.nan
    np.testing.assert_allclose(fit_shape_model(alike).mean, SHAPES[0].ravel(), atol=1e-6)


def test_unseen_points_are_inferred_from_the_others():
    """mean + S_uo (S_oo + noise^2 I)^-1 (z - mean), whatever value the unseen points come with."""
    model = fit_shape_model(SHAPES[:20])
    covariance = model.modes @ np.diag(model.variances - model.residual) @ model.modes.T + model.residual * np.eye(332)
    unseen = np.zeros(166, bool)
    unseen[40:60] = True
    wild = np.where(unseen[:, None], 1e6, SHAPES[30])
    got = model.posterior(wild, 0.7, unseen).points
    u, o = np.repeat(unseen, 2), np.repeat(~unseen, 2)
    gain = covariance[np.ix_(u, o)] @ np.linalg.inv(covariance[np.ix_(o, o)] + 0.49 * np.eye(o.sum()))
    expected = model.mean[u] + gain @ (SHAPES[30].ravel() - model.mean)[o]
    np.testing.assert_allclose(got[unseen].ravel(), expected, atol=1e-6)
    np.testing.assert_array_equal(got, model.posterior(np.where(unseen[:, None], np.nan, SHAPES[30]), 0.7, unseen).points)


def test_a_structure_that_many_cases_lack_is_learned_from_its_neighbours():
    """A heart missing in every third case: inferred hearts beat the mean heart, and the model of the others stays as good."""
    landmarks, heart = SHAPES[:45].copy(), np.arange(94, 120)
    landmarks[::3, heart] = np.nan
    unseen = np.isin(np.arange(166), heart)
    model = fit_shape_model(landmarks)
    mean = np.nanmean(landmarks, axis=0)[heart]
    inferred = [model.posterior(shape, 0.5, unseen).points[heart] for shape in SHAPES[45:]]
    error = np.linalg.norm(np.array(inferred) - SHAPES[45:, heart], axis=-1).mean()
    assert error < 0.85 * np.linalg.norm(mean - SHAPES[45:, heart], axis=-1).mean()


def test_more_shapes_than_coordinates_give_the_same_model():
    """Both ways to the principal directions: of the data, and of their covariance."""
    few = SHAPES[:, :25]  # 50 coordinates of 60 shapes
    mean, modes, variances = principal_components(few.reshape(60, 50))
    _, singular, directions = np.linalg.svd(few.reshape(60, 50) - mean, full_matrices=False)
    np.testing.assert_allclose(variances[:30], singular[:30] ** 2 / 59, rtol=1e-6)
    np.testing.assert_allclose(np.abs((modes * directions.T[:, : modes.shape[1]]).sum(0))[:20], 1, atol=1e-6)


def test_thousands_of_cases_keep_a_few_hundred_modes():
    shapes = np.random.default_rng(0).normal(size=(700, 320, 2))
    model = fit_shape_model(shapes, folds=2)
    assert model.modes.shape == (640, MODES)
    assert model.residual == pytest.approx(1, rel=0.15)  # white noise: as much variance in every direction


# ---- covariance -----------------------------------------------------------------------------------------------------


def prior_of(model: ShapeModel) -> np.ndarray:
    """(2N, 2N) covariance of the shapes."""
    return model.modes @ np.diag(model.variances - model.residual) @ model.modes.T + model.residual * np.eye(len(model.mean))


def blocks(matrix: np.ndarray) -> np.ndarray:
    """(N, 2, 2) blocks on the diagonal."""
    return np.stack([matrix[i : i + 2, i : i + 2] for i in range(0, len(matrix), 2)])


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.floats(0.2, 4))
def test_where_the_noise_is_as_assumed_the_covariance_is_the_textbook_posteriors(seed, noise):
    """S - S_o (S_oo + noise^2 I)^-1 S_o^T, of observed and inferred points; none for those that are neither."""
    model, rng = fit_shape_model(SHAPES[:20]), np.random.default_rng(seed)
    points, unseen = SHAPES[30] + noise * rng.normal(size=(166, 2)), rng.random(166) < 0.2
    points[rng.choice(166, 5)] = np.nan
    missing = np.isnan(points).any(1) & ~unseen
    covariance = prior_of(model)
    o = np.repeat(np.isfinite(points).all(1) & ~unseen, 2)
    left = covariance - covariance[:, o] @ np.linalg.solve(covariance[np.ix_(o, o)] + noise**2 * np.eye(o.sum()), covariance[o])
    found = model.posterior(points, noise, unseen).covariance(noise * np.eye(332))
    np.testing.assert_allclose(found[~missing], blocks(left)[~missing], atol=1e-8)
    assert np.isnan(found[missing]).all()


def test_the_covariance_is_that_of_many_trials_where_errors_are_dependent_and_unlike_the_assumed():
    model, rng = fit_shape_model(SHAPES[:20]), np.random.default_rng(1)
    root = rng.normal(size=(332, 3))  # all errors together have three degrees of freedom
    unseen = np.arange(166) >= 120
    scatter = np.linalg.cholesky(prior_of(model))
    errors = []
    for _ in range(4000):
        shape = model.mean + scatter @ rng.normal(size=332)
        reading = np.where(np.repeat(unseen, 2), np.nan, shape + root @ rng.normal(size=3)).reshape(-1, 2)
        errors.append(model.posterior(reading, 0.7, unseen).points.ravel() - shape)
    trials = blocks(np.cov(np.array(errors).T))
    found = model.posterior(np.zeros((166, 2)), 0.7, unseen).covariance(root)
    size = np.trace(found, axis1=1, axis2=2)
    assert (np.abs(trials - found).max((1, 2)) < 0.1 * size).all()


def test_with_nothing_observed_there_is_no_covariance():
    found = fit_shape_model(SHAPES[:10]).posterior(np.full((166, 2), np.nan), 1.0)
    assert np.isnan(found.covariance(np.eye(332))).all()


@pytest.mark.parametrize("part", ["mean", "modes", "variances", "residual"])
def test_a_model_that_is_not_finite_or_does_not_fit_is_refused(part):
    model = fit_shape_model(SHAPES[:5])
    value = np.array(getattr(model, part), dtype=float)
    for wrong in (value * np.nan, value + np.inf):
        with pytest.raises(DataError, match="not finite, or a negative variance; fit it anew"):
            replace(model, **{part: wrong if part != "residual" else float(wrong)})
    if part != "residual":
        with pytest.raises(DataError, match="which do not fit; fit it anew"):
            replace(model, **{part: value[:-1]})
    if part in ("variances", "residual"):
        with pytest.raises(DataError, match="a negative variance; fit it anew"):
            replace(model, **{part: -value if part != "residual" else -1.0})


def test_one_training_shape_is_no_model() -> None:
    with pytest.raises(DataError, match="needs two training cases or more, and was given 1; train with more"):
        fit_shape_model(np.zeros((1, 5, 2)))


def put_right(points: np.ndarray, *which: int, by: tuple[float, float] = (3.0, -2.0)) -> np.ndarray:
    known = np.full_like(points, np.nan)
    known[list(which)] = points[list(which)] + by
    return known


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.floats(0.3, 4), st.floats(0.1, 3))
def test_correcting_is_the_textbook_formula_and_what_was_put_stays(seed, noise, hand):
    """C_ok (C_kk + hand^2 I)^-1 d with the full covariance C = (S^-1 + I / noise^2)^-1; missing points take no part."""
    model, rng = fit_shape_model(SHAPES[:20]), np.random.default_rng(seed)
    size = len(model.mean)
    shapes = model.modes @ np.diag(model.variances - model.residual) @ model.modes.T + model.residual * np.eye(size)
    covariance = np.linalg.inv(np.linalg.inv(shapes) + np.eye(size) / noise**2)
    points, known = SHAPES[30].copy(), np.full((166, 2), np.nan)
    chosen = rng.choice(166, rng.integers(1, 20), replace=False)
    known[chosen] = points[chosen] + rng.normal(0, 3, (len(chosen), 2))
    points[160:] = np.nan
    found = replace(model.errors(noise), hand=hand).corrected(points, known)
    told = np.repeat(np.isfinite(known).all(1) & np.isfinite(points).all(1), 2)
    gain = covariance[:, told] @ np.linalg.inv(covariance[np.ix_(told, told)] + hand**2 * np.eye(told.sum()))
    expected = points + (gain @ (known - points).ravel()[told]).reshape(-1, 2)
    expected[chosen] = known[chosen]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.isnan(found[[i for i in range(160, 166) if i not in chosen]]).all()


def test_with_nothing_corrected_nothing_moves_and_with_all_all_is_as_put():
    errors, points = fit_shape_model(SHAPES[:40]).errors(1.0), SHAPES[50]
    assert (errors.corrected(points, np.full_like(points, np.nan)) == points).all()
    assert (errors.corrected(points, points + 5) == points + 5).all()


def test_a_point_takes_its_neighbours_along_more_than_those_far_away():
    errors, points = fit_shape_model(SHAPES[:40]).errors(2.0), SHAPES[50]
    for which in range(0, 166, 7):
        moved = np.linalg.norm(errors.corrected(points, put_right(points, which)) - points, axis=1)
        near = np.linalg.norm(points - points[which], axis=1).argsort()
        assert moved[near[0]] == pytest.approx(np.hypot(3, 2))
        assert moved[near[1:6]].mean() > max(0.6, 2 * moved[near[-60:]].mean())


def test_in_larger_pixels_the_same_is_corrected():
    errors, points = fit_shape_model(SHAPES[:40]).errors(2.0), SHAPES[50]
    known = put_right(points, 5, 60)
    np.testing.assert_allclose(errors.scaled(3).corrected(3 * points, 3 * known), 3 * errors.corrected(points, known))


def test_a_few_corrected_points_mend_the_others_of_a_wrong_prediction():
    model, rng = fit_shape_model(SHAPES[:40]), np.random.default_rng(0)
    errors = model.errors(4.0)
    before, after = [], []
    for shape in SHAPES[40:]:
        wrong = shape + (errors.factors @ rng.normal(size=errors.factors.shape[1])).reshape(-1, 2)
        known = np.full_like(shape, np.nan)
        known[::12] = shape[::12]
        left = np.isnan(known).any(1)
        before.append(np.linalg.norm(wrong - shape, axis=1)[left].mean())
        after.append(np.linalg.norm(errors.corrected(wrong, known) - shape, axis=1)[left].mean())
    assert np.mean(after) < 0.5 * np.mean(before)


def test_a_landmark_that_no_case_has_is_refused():
    shapes = SHAPES[:5].copy()
    shapes[:, 7] = np.nan
    with pytest.raises(DataError, match="landmark 7 is missing in all cases"):
        fit_shape_model(shapes)
