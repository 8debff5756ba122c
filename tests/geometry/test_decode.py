"""Reading landmarks back: small round bones, long thin ones, bones that the image border cuts."""

from __future__ import annotations

import numpy as np
import torch
from blob import ONE, blob
from blob import SIZE as BLOB_SIZE
from bones import BONES, PIXELS, SIZE, TEMPLATE, as_batch, bones, inside, read_back
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import CHEST, WRIST
from denseseg.geometry.decode import affine_inversion, decode_affine, decode_published, published_inversion
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.phantom import wrist_phantom
from denseseg.phantom.chest.phantom import chest_phantom

seeds = st.integers(0, 10_000)


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_bones_are_read_back_also_where_the_border_cuts_them(seed):
    landmarks = bones(seed)
    within = inside(landmarks)
    assert 0 < (~within).sum() < 50
    errors = np.linalg.norm(read_back(landmarks).points[0].numpy() - landmarks, axis=1)
    for where in BONES.slices.values():
        assert errors[where][within[where]].mean() < 0.1
    assert errors[within].max() < 1  # plain uv distance starts a thin bar's search up to 6 px away, too far to come back


def test_wrists_are_read_back_within_a_tenth_of_a_pixel_a_bone():
    """17 bones of all ages, the smallest of a few dozen pixels; the shafts leave the image."""
    cases = wrist_phantom(6, (384, 224), seed=1).landmarks
    template = Template.from_landmarks(cases, WRIST, (384, 224))
    landmarks = as_batch(*cases)
    maps, masks = uv_maps(landmarks, template), contour_masks(landmarks, WRIST, (384, 224)).bool()
    decoded = decode_affine(maps.uv, masks, template)
    within = ((landmarks >= 0) & (landmarks <= torch.tensor([223, 383]))).all(-1)
    errors = torch.where(within, (decoded.points - landmarks).norm(dim=-1), torch.nan)
    for where in WRIST.slices.values():
        per_bone = errors[:, where].nanmean(1)
        assert per_bone.nan_to_num(0).max() <= 0.1
    beyond = torch.isfinite(landmarks).all(-1) & ~within
    assert beyond.any()
    assert torch.isfinite(decoded.points[beyond]).all()
    absent = torch.isnan(landmarks).all(-1)
    assert torch.equal(absent, torch.isnan(decoded.points).all(-1))


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_reach_is_small_where_the_map_was_seen_and_the_distance_beyond_the_border_elsewhere(seed):
    landmarks = bones(seed)
    decoded = read_back(landmarks)
    points, reach, within = decoded.points[0].numpy(), decoded.extrapolation[0].numpy(), inside(landmarks)
    assert np.isfinite(points).all()
    assert reach[within].max() < 1.5
    beyond = (landmarks - PIXELS)[:, 1]
    far = beyond > 6
    assert far.any()
    np.testing.assert_allclose(reach[far], beyond[far], rtol=0.3)
    assert (points - PIXELS <= 3).all()  # the point itself goes no further than `radius`


def test_reach_of_what_cannot_be_fitted():
    y, x = np.mgrid[:16, :16].astype(np.float32)
    uv = torch.as_tensor(np.stack([x, y]))[None] / 8 - 1
    targets = torch.tensor([[0.0, 0.0]])
    single = torch.zeros(1, 16, 16, dtype=torch.bool)
    assert torch.isnan(affine_inversion(uv, single, targets).extrapolation).all()
    single[0, 5, 6] = True
    found = affine_inversion(uv, single, targets)
    assert torch.isinf(found.extrapolation).all()
    assert found.points[0, 0].tolist() == [6, 5]


def test_nearest_is_measured_in_pixels_where_the_chart_is_much_longer_than_wide():
    """A bar of 4 x 100 px, a corner of it cut off: uv calls the pixel beside the cut near, which is 20 px away."""
    y, x = np.mgrid[:110, :12]
    uv = torch.as_tensor(np.stack([(x - 5.5) / 2, (y - 55) / 50]), dtype=torch.float32)[None]
    mask = torch.as_tensor((abs(x - 5.5) <= 2) & (abs(y - 55) <= 50) & ((x < 7) | (y < 85)))[None]
    target = torch.tensor([[0.75, 0.9]])  # x = 7, y = 100: on the edge of what is left
    far = affine_inversion(uv, mask, target, iterations=1).points[0, 0]
    near = affine_inversion(uv, mask, target, iterations=1, half_extent=(2.0, 50.0)).points[0, 0]
    np.testing.assert_allclose(near, [7, 100], atol=1e-2)
    assert abs(far[1] - 100) > 5


@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(3, 20))
def test_tiny_masks_give_finite_landmarks_near_them(seed, count):
    rng = np.random.default_rng(seed)
    landmarks = bones(seed)
    uv = uv_maps(as_batch(landmarks), TEMPLATE).uv
    mask = contour_masks(as_batch(landmarks), BONES, SIZE).bool()
    rows, columns = mask[0, 0].nonzero(as_tuple=True)
    keep = rng.choice(len(rows), count, replace=False)
    mask[0, 0] = False
    mask[0, 0, rows[keep], columns[keep]] = True
    points = decode_affine(uv, mask, TEMPLATE).points[0, BONES.slices["disc"]].numpy()
    kept = np.stack([columns[keep], rows[keep]], -1)
    gap = np.linalg.norm(points[:, None] - kept, axis=-1).min(1)
    assert (gap < 5).all()  # False for NaN


@settings(deadline=None, max_examples=20)
@given(st.floats(-0.5, 0.5), st.floats(0.6, 1.6), seeds)
def test_affine_inversion_is_exact_on_an_affine_map_also_beyond_the_mask(angle, scale, seed):
    rng = np.random.default_rng(seed)
    matrix = scale / 20 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[0, 1] += 0.01
    y, x = np.mgrid[:64, :80]
    uv = torch.as_tensor(np.einsum("ij,jhw->ihw", matrix, np.stack([x - 40.0, y - 32.0])), dtype=torch.float32)[None]
    mask = torch.as_tensor((x - 40) ** 2 + (y - 32) ** 2 < 20**2)[None]
    direction = rng.normal(size=(10, 2))
    points = np.array([40, 32]) + direction / np.linalg.norm(direction, axis=1, keepdims=True) * rng.uniform(0, 21, (10, 1))
    targets = torch.as_tensor((points - [40, 32]) @ matrix.T, dtype=torch.float32)
    found = affine_inversion(uv, mask, targets)
    np.testing.assert_allclose(found.points[0], points, atol=0.02)
    np.testing.assert_allclose(found.jacobian[0, 0], matrix, atol=1e-3)
    assert (torch.linalg.eigvalsh(found.covariance[0]) >= -1e-6).all()


def test_covariance_grows_with_the_noise_of_the_map():
    y, x = np.mgrid[:64, :80]
    clean = torch.as_tensor(np.stack([x - 40.0, y - 32.0]) / 20, dtype=torch.float32)[None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 64, 80, dtype=torch.bool)
    target = torch.tensor([[0.3, 0.1]])
    spreads = [affine_inversion(clean + s * noise, mask, target).covariance[0, 0].trace() for s in (0.0, 0.01, 0.02)]
    assert spreads[0] < 1e-4 < spreads[1] < spreads[2]


def test_covariance_is_that_of_the_noise_seen_in_pixels():
    """J^-1 S J^-T by hand: a map turned by 90 degrees, 20 px a unit along y and 10 along x, with other noise in u than in v."""
    y, x = np.mgrid[:64, :80]
    clean = torch.as_tensor(np.stack([(y - 32.0) / 20, (40.0 - x) / 10]), dtype=torch.float32)[None]
    noise = torch.tensor([0.01, 0.03]).view(1, 2, 1, 1) * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    targets = torch.cartesian_prod(torch.linspace(-1, 1, 12), torch.linspace(-2, 2, 12))
    found = affine_inversion(clean + noise, torch.ones(1, 64, 80, dtype=torch.bool), targets).covariance[0].mean(0)
    expected = [[(10 * 0.03) ** 2, 0.0], [0.0, (20 * 0.01) ** 2]]  # of x from the noise in v, of y from that in u
    np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.004)


def test_equation_3_agrees_with_its_formula():
    """Equation 3 written out over all pixels, against the function, to 1e-4 px."""
    rng = np.random.default_rng(0)
    contour = blob(1)
    template = Template(ONE, blob(0), BLOB_SIZE)
    maps = uv_maps(as_batch(contour), template)
    mask = contour_masks(as_batch(contour), ONE, BLOB_SIZE).bool()
    uv = maps.uv + 0.02 * torch.as_tensor(rng.normal(size=maps.uv.shape), dtype=torch.float32)
    found = published_inversion(uv[:, 0], mask[:, 0], torch.as_tensor(template.uv, dtype=torch.float32))[0].numpy()
    rows, columns = np.nonzero(mask[0, 0].numpy())
    values = uv[0, 0].numpy()[:, rows, columns].T.astype(np.float64)
    for target, point in zip(template.uv, found, strict=True):
        distance = np.linalg.norm(values - target, axis=1)
        nearest = np.argsort(distance)[:5]
        weight = np.exp(-distance[nearest]) / np.exp(-distance[nearest]).sum()
        by_hand = (weight[:, None] * np.stack([columns, rows], -1)[nearest]).sum(0)
        np.testing.assert_allclose(point, by_hand, atol=1e-4)


def test_round_trip_of_phantoms_is_within_a_tenth_of_a_pixel():
    cases = chest_phantom(6, (256, 256), seed=3)
    template = Template.from_landmarks(cases.landmarks, CHEST, (256, 256))
    landmarks = torch.as_tensor(cases.landmarks, dtype=torch.float32)
    maps, masks = uv_maps(landmarks, template), contour_masks(landmarks, CHEST, (256, 256)).bool()
    inside = ((landmarks >= 0) & (landmarks <= 255)).all(-1)
    affine = (decode_affine(maps.uv, masks, template).points - landmarks).norm(dim=-1)[inside].mean()
    published = (decode_published(maps.uv, masks, template) - landmarks).norm(dim=-1)[inside].mean()
    assert affine <= 0.1
    assert published > 5 * affine  # the centroid of the nearest pixels is drawn inwards


def test_an_empty_mask_gives_no_landmarks():
    uv, empty = torch.zeros(1, 2, 16, 16), torch.zeros(1, 16, 16, dtype=torch.bool)
    targets = torch.zeros(3, 2)
    assert torch.isnan(affine_inversion(uv, empty, targets).points).all()
    assert torch.isnan(published_inversion(uv, empty, targets)).all()
