"""Reading landmarks back and moving them to outlines: small round bones, long thin ones, bones that the image border cuts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import WRIST, Anatomy, Structure
from denseseg.geometry.decode import Decoded, affine_inversion, decode_affine
from denseseg.geometry.outline_projection import snap_all, snap_to_contour
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.phantom import wrist_phantom

SIZE = (120, 90)
PIXELS = np.array([SIZE[1] - 1, SIZE[0] - 1])  # the last pixel's centre
BONES = Anatomy("bones", (Structure("disc", 20, "short"), Structure("bar", 60, "long"), Structure("shaft", 50, "long")))
seeds = st.integers(0, 10_000)


def outline(count: int, centre: np.ndarray, half_width: float, half_length: float, angle: float, bend: float) -> np.ndarray:
    """(count, 2) points once round a rounded bar, evenly along its edge; one as wide as long is a disc."""
    t = np.linspace(0, 2 * np.pi, 2001)
    power = 2 / (2 if half_width == half_length else 3)
    fine = np.stack([np.abs(np.sin(t)) ** power * np.sign(np.sin(t)), -(np.abs(np.cos(t)) ** power) * np.sign(np.cos(t))], -1)
    fine = fine * [half_width, half_length]
    fine[:, 0] += bend * fine[:, 1] ** 2 / half_length
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))]
    at = np.arange(count) / count * length[-1]
    points = np.stack([np.interp(at, length, fine[:, i]) for i in (0, 1)], -1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + centre


def bones(seed: int) -> np.ndarray:
    """(N, 2) landmarks: a disc of 6 to 10 px and a thin bar within the image, and a shaft that leaves it at the bottom."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            outline(20, (20, 40) + rng.normal(0, 2, 2), r := rng.uniform(6, 10), r, 0, 0),
            outline(60, (45, 50) + rng.normal(0, 2, 2), rng.uniform(4, 6), 40, rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1)),
            outline(50, (72, 105) + rng.normal(0, 2, 2), rng.uniform(6, 8), 36, rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)),
        ]
    )


TEMPLATE = Template(BONES, np.mean([bones(seed) for seed in range(8)], axis=0), SIZE)


def as_batch(*cases: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.stack(cases), dtype=torch.float32)


def read_back(*cases: np.ndarray) -> Decoded:
    """Landmarks from perfect maps; the masks end at the border."""
    batch = as_batch(*cases)
    return decode_affine(uv_maps(batch, TEMPLATE).uv, contour_masks(batch, BONES, SIZE).bool(), TEMPLATE)


def inside(points: np.ndarray) -> np.ndarray:
    return ((points >= 0) & (points <= PIXELS)).all(-1)


# ---- affine inversion -----------------------------------------------------------------------------------------------


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
    snapped = snap_to_contour(
        points, uv[0, 0].numpy(), mask[0, 0].numpy(), TEMPLATE.uv[BONES.slices["disc"]], TEMPLATE.half_extent[0]
    )
    assert np.isfinite(snapped).all()


# ---- the contour step -----------------------------------------------------------------------------------------------


def snapped(points: np.ndarray, landmarks: np.ndarray, uv_weight: float) -> np.ndarray:
    """`points` moved to the outlines of the perfect masks of `landmarks`."""
    batch = as_batch(landmarks)
    uv, soft = uv_maps(batch, TEMPLATE).uv[0].numpy(), contour_masks(batch, BONES, SIZE, soft=True)[0].numpy()
    return snap_all(points, uv, soft, TEMPLATE, uv_weight)


@settings(deadline=None, max_examples=15)
@given(seeds, st.sampled_from([0.0, 1.0]))
def test_true_landmarks_of_cut_bones_stay_on_their_outline_and_beyond_the_border(seed, uv_weight):
    landmarks = bones(seed)
    within = inside(landmarks)
    moved = np.linalg.norm(snapped(landmarks, landmarks, uv_weight) - landmarks, axis=1)
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
    after = snapped(found, landmarks, uv_weight)
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
    after = snapped(before, landmarks, 1.0)
    shaft = np.arange(len(landmarks)) >= BONES.slices["shaft"].start
    assert np.linalg.norm(after - landmarks, axis=1)[deep & shaft].mean() < 0.6
    assert np.linalg.norm(before - landmarks, axis=1)[deep & shaft].mean() == pytest.approx(1.5)


def test_missing_landmarks_stay_missing_while_the_others_are_moved():
    landmarks = bones(1)
    full = snapped(landmarks + [0.8, 0], landmarks, 1.0)
    gap = landmarks + [0.8, 0]
    gap[[0, 7, 30]] = np.nan
    after = snapped(gap, landmarks, 1.0)
    assert np.isnan(after[[0, 7, 30]]).all()
    rest = np.setdiff1d(np.arange(len(landmarks)), [0, 7, 30])
    np.testing.assert_allclose(after[rest], full[rest], atol=0.6)
    assert (after[rest] != gap[rest]).any(1).mean() > 0.5


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
    assert torch.isnan(decoded.reach[0]).numpy()[lost].all()
    after = snapped(decoded.points[0].double().numpy(), landmarks, 1.0)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(landmarks))


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
    after = snap_to_contour(points, uv, probability, targets, np.array([3.0, 3.0]))
    assert len(np.unique(after.round(6), axis=0)) == 60  # each has a place of its own
    turns = np.diff(np.unwrap(np.arctan2(*(after - after.mean(0)).T[::-1])))
    assert abs(turns.sum()) < 2 * np.pi + 0.5  # once round
