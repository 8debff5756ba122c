"""What methods do when they predict: views, components, shape prior, projection, and how sure they are afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import CHEST
from denseseg.augment import Augmentation
from denseseg.geometry.frame import inside_image
from denseseg.geometry.shape_model import fit_shape_model
from denseseg.geometry.template import Template
from denseseg.methods import create, inference, load_method, save_method
from denseseg.phantom import chest_phantom
from denseseg.prediction import Prediction
from denseseg.training.settings import Adam, Epochs, Run, TrainingSettings

SIZE = (64, 64)
CASES = chest_phantom(24, SIZE, seed=3)
NOBODY = np.zeros(166, bool)


def spread(value: float) -> np.ndarray:
    """(166, 2, 2) covariances of circles with this variance."""
    return np.tile(value * np.eye(2), (166, 1, 1))


# ---- maps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [1, 5])
def test_views_are_moved_back_before_they_are_averaged(views):
    """Maps that are read off the image itself: averaging over views must not move them."""
    images = torch.as_tensor(CASES.images[:4])[:, None]
    smooth = torch.nn.functional.avg_pool2d(images, 9, stride=1, padding=4)
    seen = []
    maps = inference.average_over_views(lambda view: seen.append(view) or torch.cat([view, 2 * view], 1), smooth, views)
    assert len(seen) == views
    torch.testing.assert_close(
        inference.average_over_views(torch.ones_like, images, views), torch.ones_like(images)
    )  # also at borders
    assert torch.equal(seen[0], smooth)
    inner = np.s_[..., 12:-12, 12:-12]
    assert (maps - torch.cat([smooth, 2 * smooth], 1))[inner].abs().mean() < 0.02
    assert all((view - smooth)[inner].abs().mean() > 0.02 for view in seen[1:])


@pytest.mark.parametrize("views", [1, 5])
def test_points_of_a_view_are_moved_back_before_they_are_averaged(views):
    """The brightness-weighted centre of a blob, which moves as the image does."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    centres = torch.tensor([[20.0, 30.0], [27.5, 33.0]])
    images = torch.exp(-((x - centres[:, :1, None]) ** 2 + (y - centres[:, 1:, None]) ** 2) / 18)[:, None]

    def centre(view):
        weights = view[:, 0] / view.sum((1, 2, 3))[:, None, None]
        return torch.stack([(weights * x).sum((1, 2)), (weights * y).sum((1, 2))], -1)[:, None]

    torch.testing.assert_close(inference.average_points_over_views(centre, images, views)[:, 0], centres, atol=0.02, rtol=0)


def test_only_the_largest_component_of_a_mask_is_kept():
    masks = torch.zeros(1, 3, 16, 16, dtype=torch.bool)
    masks[0, 0, 2:8, 2:8] = True
    masks[0, 0, 8, 8] = True  # touches a corner only
    masks[0, 0, 12:14, 12] = True
    masks[0, 2, 3, 3] = True
    kept = inference.largest_components(masks)
    assert kept.dtype == torch.bool
    assert kept[0, 0].sum() == 36
    assert kept[0, 1].sum() == 0
    assert torch.equal(kept[0, 2], masks[0, 2])


# ---- landmarks and their covariance ---------------------------------------------------------------------------------


def test_the_shape_prior_leaves_a_structures_common_shift_and_calls_it_unsure():
    """Errors that all landmarks of a structure share don't average out: neither in the estimate nor in its covariance."""
    model = fit_shape_model(CASES.landmarks)
    prediction = Prediction(CHEST, CASES[0].landmarks, covariance=spread(0.0))
    found = inference.apply_shape_prior(prediction, model, 1.0, NOBODY)
    sd = np.sqrt(np.trace(found.covariance, axis1=1, axis2=2) / 2)
    assert 0.5 < np.median(sd) < 1.5  # that of the noise, not a tenth of it
    rough = inference.apply_shape_prior(Prediction(CHEST, CASES[0].landmarks, covariance=spread(4.0)), model, 1.0, NOBODY)
    assert (np.linalg.eigvalsh(rough.covariance) > np.linalg.eigvalsh(found.covariance)).all()


def test_without_noise_or_covariance_nothing_is_made_up():
    model = fit_shape_model(CASES.landmarks)
    prediction = Prediction(CHEST, CASES[0].landmarks, covariance=spread(2.0))
    assert inference.apply_shape_prior(prediction, None, 0.0, NOBODY) is prediction
    bare = Prediction(CHEST, CASES[0].landmarks)
    found = inference.apply_shape_prior(bare, model, 1.0, NOBODY)
    assert found.covariance is None
    np.testing.assert_array_equal(found.landmarks, model.posterior(bare.landmarks, 1.0).points)


def test_a_bad_fit_does_not_spoil_its_structure():
    model = fit_shape_model(CASES.landmarks)
    covariance = spread(0.1)
    covariance[3], covariance[60], covariance[100] = 1e12 * np.eye(2), np.nan, np.inf
    found = inference.apply_shape_prior(Prediction(CHEST, CASES[0].landmarks, covariance=covariance), model, 0.7, NOBODY)
    assert np.isfinite(found.covariance).all()
    assert np.trace(found.covariance, axis1=1, axis2=2).max() < 2 * inference.UNREADABLE**2


def test_inferred_landmarks_are_less_sure_than_those_that_are_seen():
    model = fit_shape_model(CASES.landmarks)
    heart = np.zeros(166, bool)
    heart[CHEST.slices["heart"]] = True
    prediction = Prediction(CHEST, CASES[0].landmarks, covariance=spread(0.1))
    seen, hidden = (inference.apply_shape_prior(prediction, model, 0.5, unseen).covariance for unseen in (NOBODY, heart))
    assert (np.linalg.det(hidden[heart]) > 1.5 * np.linalg.det(seen[heart])).all()


def test_a_component_that_is_no_part_of_the_mask_draws_no_landmark():
    template = Template.from_landmarks(CASES.landmarks, CHEST, SIZE)
    probabilities = np.zeros((5, *SIZE))
    probabilities[2, 20:50, 20:50] = 1.0
    masks = probabilities > 0.5
    probabilities[2, 1:18, 1:60] = 1.0  # larger, but left out
    points = np.full((166, 2), 35.0)
    prediction = Prediction(CHEST, points, masks, probabilities, np.zeros((5, 2, *SIZE)), covariance=spread(1.0))
    found = inference.apply_outline_projection(prediction, template, uv_weight=0.0)
    heart = CHEST.slices["heart"]
    assert (found.landmarks[heart, 1] > 18.5).all()
    assert (found.landmarks[heart] != 35).any(1).all()
    np.testing.assert_array_equal(np.delete(found.covariance, np.r_[heart], 0), np.delete(prediction.covariance, np.r_[heart], 0))


# ---- the factor -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.floats(0.1, 30))
def test_the_factor_undoes_a_wrong_scale(seed, scale):
    """Errors drawn from known covariances, predicted too small or too large by a factor; a few lost and far ones change little."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(166, 2, 2)) + 0.5 * np.eye(2)
    covariance = root @ root.swapaxes(1, 2)
    predictions = []
    for case in CASES:
        points = case.landmarks + (root @ rng.normal(size=(166, 2, 1)))[..., 0]
        points[:2], points[2] = np.nan, 1e4
        predictions.append(Prediction(CHEST, points, covariance=covariance / scale))
    assert inference.covariance_factor(predictions, CASES) == pytest.approx(scale, rel=0.15)


def test_landmarks_beyond_the_image_are_not_judged_and_no_covariance_means_no_factor():
    case = CASES[0]
    outside = ~inside_image(case.landmarks - [40, 0], SIZE)
    moved = type(case)("moved", case.image, case.landmarks - [40, 0], CHEST)
    prediction = Prediction(CHEST, moved.landmarks + np.where(outside, 50.0, 1.0)[:, None], covariance=spread(1.0))
    assert 0 < outside.sum() < 166
    squared = inference.mahalanobis_squared([prediction], [moved])
    np.testing.assert_allclose(squared, np.full((~outside).sum(), 2.0), rtol=1e-3)
    assert inference.covariance_factor([Prediction(CHEST, case.landmarks)], [case]) == 1.0


def test_on_unseen_phantoms_the_ellipses_of_a_trained_network_hold_what_they_say(tmp_path):
    """Trained for a short time, its factor fitted on phantoms of their own: 95 % ellipses hold 90 to 98 % of the landmarks."""
    torch.manual_seed(0)
    mild = Augmentation(rotation=5, translation=0.05, scale=0.05)
    schedule = TrainingSettings(length=Epochs(20), batch_size=4, optimiser=Adam(4e-3), augmentation=mild)
    method = create("denseseg", CHEST, SIZE, channels=(8, 16, 32), test_time_views=2, training=schedule)
    method.fit(chest_phantom(60, SIZE, seed=10), None, Run(progress=False))
    test, validation = chest_phantom(40, SIZE, seed=11), chest_phantom(20, SIZE, seed=12)

    def share_held() -> float:
        squared = inference.mahalanobis_squared([method.predict_image(case.image) for case in test], test)
        assert len(squared) > 0.99 * 40 * 166
        return float((squared <= inference.ELLIPSE_95).mean())

    assert share_held() < 0.9  # before: too small
    method.calibrate(validation)
    assert 0.9 <= share_held() <= 0.98
    once, loaded = method.covariance_factor, load_method(save_method(method, tmp_path / "weights.safetensors"))
    assert loaded.covariance_factor == once
    mine, theirs = (one.predict_image(test[0].image).covariance for one in (method, loaded))
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    method.calibrate(validation)
    assert method.covariance_factor == pytest.approx(once, rel=1e-3)  # not exactly: variances have a floor
    method.calibrate(None)
    assert method.covariance_factor == pytest.approx(once, rel=1e-3)
