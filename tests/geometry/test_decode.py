"""Reading landmarks back: small round bones, long thin ones, bones that the image border cuts."""

from __future__ import annotations

import numpy as np
import torch
from bones import BONES, PIXELS, SIZE, TEMPLATE, as_batch, bones, inside, read_back
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import WRIST
from denseseg.geometry.decode import affine_inversion, decode_affine
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.phantom import wrist_phantom

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
    points, reach, within = decoded.points[0].numpy(), decoded.reach[0].numpy(), inside(landmarks)
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
    assert torch.isnan(affine_inversion(uv, single, targets).reach).all()
    single[0, 5, 6] = True
    found = affine_inversion(uv, single, targets)
    assert torch.isinf(found.reach).all()
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
