"""Landmarks projected onto predicted outlines: where they go, in which order, and with which covariance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from blob import ONE, blob
from blob import SIZE as BLOB_SIZE
from bones import BONES, PIXELS, SIZE, TEMPLATE, as_batch, bones, inside, read_back
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from denseseg.geometry.outline_projection import Projection, project_onto_outline, project_onto_outlines
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps

seeds = st.integers(0, 10_000)


def projected(points: np.ndarray, landmarks: np.ndarray, uv_weight: float) -> np.ndarray:
    """`points` moved to the outlines of the perfect masks of `landmarks`."""
    batch = as_batch(landmarks)
    uv, soft = uv_maps(batch, TEMPLATE).uv[0].numpy(), contour_masks(batch, BONES, SIZE, soft=True)[0].numpy()
    return project_onto_outlines(points, uv, soft, TEMPLATE, uv_weight).points


@settings(deadline=None, max_examples=15)
@given(seeds, st.sampled_from([0.0, 1.0]))
def test_true_landmarks_of_cut_bones_stay_on_their_outline_and_beyond_the_border(seed, uv_weight):
    landmarks = bones(seed)
    within = inside(landmarks)
    moved = np.linalg.norm(projected(landmarks, landmarks, uv_weight) - landmarks, axis=1)
    assert moved[within].max() < 0.6
    assert moved[within].mean() < 0.15
    assert (moved[~within] == 0).all()


@settings(deadline=None, max_examples=15)
@given(seeds, st.sampled_from([0.0, 1.0]))
def test_no_landmark_is_moved_to_the_image_border(seed, uv_weight):
    """Decoded landmarks from beyond the border wait at it; they are neither moved along it nor do they push the others."""
    landmarks = bones(seed)
    within = inside(landmarks)
    found = read_back(landmarks).points[0].double().numpy()
    after = projected(found, landmarks, uv_weight)
    changed = (after != found).any(1)
    assert inside(after[changed]).all()
    deep = within & (landmarks[:, 1] < PIXELS[1] - 4)
    assert np.linalg.norm(after - landmarks, axis=1)[deep].max() < 1.5


def test_noise_across_the_outline_is_taken_away_on_a_cut_bone():
    landmarks = bones(3)
    deep = inside(landmarks) & (landmarks[:, 1] < PIXELS[1] - 3)
    centre = np.stack([landmarks[where].mean(0) for where in BONES.slices.values()])[BONES.membership]
    sideways = np.stack([np.sign(centre - landmarks)[:, 0], np.zeros(len(landmarks))], -1)
    before = landmarks + 1.5 * sideways
    after = projected(before, landmarks, 1.0)
    shaft = np.arange(len(landmarks)) >= BONES.slices["shaft"].start
    assert np.linalg.norm(after - landmarks, axis=1)[deep & shaft].mean() < 0.6
    assert np.linalg.norm(before - landmarks, axis=1)[deep & shaft].mean() == pytest.approx(1.5)


def test_missing_landmarks_stay_missing_while_the_others_are_moved():
    landmarks = bones(1)
    full = projected(landmarks + [0.8, 0], landmarks, 1.0)
    gap = landmarks + [0.8, 0]
    gap[[0, 7, 30]] = np.nan
    after = projected(gap, landmarks, 1.0)
    assert np.isnan(after[[0, 7, 30]]).all()
    rest = np.setdiff1d(np.arange(len(landmarks)), [0, 7, 30])
    np.testing.assert_allclose(after[rest], full[rest], atol=0.6)
    assert (after[rest] != gap[rest]).any(1).mean() > 0.5


def test_landmarks_counted_the_other_way_round_go_to_the_same_places():
    contour = blob(4)
    template = Template(ONE, blob(0), BLOB_SIZE)
    uv = uv_maps(as_batch(contour), template).uv[0, 0].numpy()
    soft = contour_masks(as_batch(contour), ONE, BLOB_SIZE, soft=True)[0, 0].numpy()
    given = contour + np.random.default_rng(0).normal(0, 1, contour.shape)
    one, other = (
        project_onto_outline(given[::way], uv, soft, template.uv[::way], template.half_extent[0]).points for way in (1, -1)
    )
    np.testing.assert_allclose(other[::-1], one, atol=0.3)  # outlines are sampled every quarter of a pixel
    assert np.linalg.norm(one - contour, axis=1).max() < 1.5


def test_an_absent_bone_is_left_alone():
    landmarks = bones(2)
    landmarks[BONES.slices["bar"]] = np.nan
    maps = uv_maps(as_batch(landmarks), TEMPLATE)
    masks = contour_masks(as_batch(landmarks), BONES, SIZE)
    assert masks[0, 1].sum() == 0 < masks[0, 2].sum()
    assert not maps.valid[0, 1].any()
    decoded = read_back(landmarks)
    lost = torch.isnan(decoded.points[0]).all(-1).numpy()
    np.testing.assert_array_equal(lost, np.isnan(landmarks).all(-1))
    assert torch.isnan(decoded.extrapolation[0]).numpy()[lost].all()
    after = projected(decoded.points[0].double().numpy(), landmarks, 1.0)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(landmarks))


@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(3, 20))
def test_tiny_masks_give_finite_projections(seed, count):
    rng = np.random.default_rng(seed)
    disc, landmarks = BONES.slices["disc"], bones(seed)
    mask = contour_masks(as_batch(landmarks), BONES, SIZE)[0, 0].numpy()
    rows, columns = mask.nonzero()
    dropped = rng.permutation(len(rows))[count:]
    mask[rows[dropped], columns[dropped]] = 0
    uv = uv_maps(as_batch(landmarks), TEMPLATE).uv[0, 0].numpy()
    found = project_onto_outline(landmarks[disc], uv, mask, TEMPLATE.uv[disc], TEMPLATE.half_extent[0])
    assert all(np.isfinite(part).all() for part in (found.points, found.jacobian, found.own))


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(1, 12))
def test_order_is_kept_even_where_the_outline_is_shorter_than_the_landmarks_are_many(seed, pixels):
    rng = np.random.default_rng(seed)
    probability = np.zeros((20, 20))
    probability.flat[[189, *(189 + rng.choice([0, 1, 2, 20, 21, 22, 40, 41, 42], min(pixels, 9), replace=False))]] = 1
    angle = np.arange(60) * 2 * np.pi / 60
    targets = np.stack([np.sin(angle), -np.cos(angle)], -1)
    y, x = np.mgrid[:20, :20]
    uv = np.stack([x - 10.0, y - 10.0]) / 3
    points = 10 + 3 * targets + rng.normal(0, 0.3, (60, 2))
    after = project_onto_outline(points, uv, probability, targets, np.array([3.0, 3.0])).points
    assert len(np.unique(after.round(6), axis=0)) == 60  # each has a place of its own
    turns = np.diff(np.unwrap(np.arctan2(*(after - after.mean(0)).T[::-1])))
    assert abs(turns.sum()) < 2 * np.pi + 0.5  # once round


# ---- covariance -----------------------------------------------------------------------------------------------------


def blurred_disc(sigma: float, centre: float = 31.3, radius: float = 18.0) -> np.ndarray:
    """(64, 64) probability to be inside a disc whose edge is known up to a Gaussian of standard deviation sigma."""
    y, x = np.mgrid[:64, :64]
    return norm.cdf((radius - np.hypot(x - centre, y - centre)) / sigma)


def on_disc(points: np.ndarray, sigma: float = 2.0) -> Projection:
    """(n, 2) points projected onto the blurred disc, each to the nearest place."""
    return project_onto_outline(points, np.zeros((2, 64, 64)), blurred_disc(sigma), points, np.ones(2), uv_weight=0.0)


@settings(deadline=None, max_examples=10)
@given(seeds, st.floats(1.5, 4))
def test_the_outlines_own_variance_is_that_of_the_blur_and_lies_across_it(seed, sigma):
    angle = np.sort(np.random.default_rng(seed).uniform(0, 2 * np.pi, 12))
    normal = np.stack([np.cos(angle), np.sin(angle)], -1)
    found = on_disc(31.3 + 20 * normal, sigma)
    np.testing.assert_allclose(found.points, 31.3 + 18 * normal, atol=0.3)
    tangent = normal[:, ::-1] * [-1, 1]
    across, along = ((v[:, None] @ found.own @ v[:, :, None]).ravel() for v in (normal, tangent))
    # a difference over a pixel adds 1 / 12, reading between pixels up to 1 / 4
    assert (across > sigma**2).all()
    assert (across < sigma**2 + 0.4).all()
    assert along.max() < 0.01 * sigma**2


def test_the_covariance_of_projected_points_is_that_of_many_trials():
    """A cloud of readings of one landmark, each projected alone: linearised, the step keeps what lies along the outline."""
    rng = np.random.default_rng(0)
    given_covariance = np.array([[0.5, -0.2], [-0.2, 0.3]])
    mean = np.array([31.3 + 18 * np.cos(0.7), 31.3 + 18 * np.sin(0.7)])
    readings = rng.multivariate_normal(mean, given_covariance, 1500)
    trials = np.concatenate([on_disc(one[None]).points for one in readings])
    step = on_disc(mean[None])
    np.testing.assert_allclose(np.cov(trials.T), step.covariance(given_covariance[None])[0] - step.own[0], atol=0.05)
    assert np.trace(np.cov(trials.T)) > 0.5


def test_where_a_landmark_stays_its_covariance_stays():
    landmarks = bones(3)
    landmarks[7] = np.nan
    batch = as_batch(landmarks)
    soft = contour_masks(batch, BONES, SIZE, soft=True)[0].numpy()
    soft[1] = 0  # the bar was not found
    step = project_onto_outlines(landmarks, uv_maps(batch, TEMPLATE).uv[0].numpy(), soft, TEMPLATE)
    stays = ~inside(landmarks)
    stays[BONES.slices["bar"]] = True
    moved = step.own.any((1, 2))
    assert not moved[stays].any()
    assert moved[~stays].mean() > 0.9
    np.testing.assert_array_equal(step.jacobian[~moved], np.broadcast_to(np.eye(2), (int((~moved).sum()), 2, 2)))
    np.testing.assert_allclose(np.linalg.eigvalsh(step.jacobian[moved]), np.broadcast_to([0.0, 1.0], (moved.sum(), 2)), atol=1e-9)


def test_projection_moves_a_point_along_the_normal_back_to_the_outline():
    template, contour = Template(ONE, blob(0), BLOB_SIZE), blob(2)
    maps = uv_maps(as_batch(contour), template)
    soft = contour_masks(as_batch(contour), ONE, BLOB_SIZE, soft=True)[0, 0].numpy()
    centre = contour.mean(0)
    inward = contour + 1.5 * (centre - contour) / np.linalg.norm(centre - contour, axis=1, keepdims=True)
    found = project_onto_outline(inward, maps.uv[0, 0].numpy(), soft, template.uv, template.half_extent[0]).points
    before, after = (np.linalg.norm(p - contour, axis=1).mean() for p in (inward, found))
    assert after < 0.5 < before
    unchanged = project_onto_outline(inward, maps.uv[0, 0].numpy(), np.zeros(BLOB_SIZE), template.uv, template.half_extent[0])
    np.testing.assert_array_equal(unchanged.points, inward)
