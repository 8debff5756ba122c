"""Regions are found in small windows, and in groups of like size: nothing may be lost at a window's or the image's edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from blob import JAGGED, JAGGED_SIZE, ONE, SIZE, blob, blobs
from bones import as_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.batch import Batch
from denseseg.geometry import regions as module
from denseseg.geometry.contour import distance_to_contour, distance_to_outline, fill_contours, mask_contours, polygon_mask
from denseseg.geometry.regions import contour_masks, find_regions, grown_hull, padded_landmarks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.methods import DenseSeg, get_recipe

MIXED = Anatomy(
    "mixed",
    (
        Structure("outline", 16, "a"),
        Structure("hull", 7, "b", Kind.POINTS, region="hull"),
        Structure("curve", 5, "c", Kind.CURVE),
        Structure("points", 4, "d", Kind.POINTS),
        Structure("dot", 1, "e"),
        Structure("line", 6, "f"),
    ),
)
seeds = st.integers(0, 10_000)


def mixed(seed: int) -> torch.Tensor:
    """(1, N, 2) landmarks of MIXED: a blob, points that spread out, a curve, points, a dot, and points in a line."""
    rng = np.random.default_rng(seed)
    line = np.linspace([5, 8], [30, 8], 6)
    parts = [blobs(seed, 1)[0], rng.uniform(5, 35, (7, 2)), rng.uniform(0, 40, (5 + 4 + 1, 2)), line]
    return torch.as_tensor(np.concatenate(parts), dtype=torch.float32)[None]


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(0, 4))
def test_windows_hold_what_the_whole_image_holds_and_a_margin(seed, margin):
    contour = blobs(seed)
    regions = find_regions(contour, JAGGED, JAGGED_SIZE, margin)
    whole = fill_contours(contour, JAGGED_SIZE)
    assert torch.equal(regions.masks()[:, 0].bool(), whole)
    for group in regions.groups:
        for row, (x, y) in zip(group.rows, group.first.tolist(), strict=True):
            rows, columns = whole[row].nonzero(as_tuple=True)
            if len(rows):  # the margin is there too, unless the image ends
                assert x <= max(int(columns.min()) - margin, 0)
                assert y <= max(int(rows.min()) - margin, 0)
                assert x + group.size[1] >= min(int(columns.max()) + margin + 1, JAGGED_SIZE[1])
                assert y + group.size[0] >= min(int(rows.max()) + margin + 1, JAGGED_SIZE[0])


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_soft_masks_are_the_clipped_distance_everywhere(seed):
    contour = blobs(seed)
    soft = contour_masks(contour, JAGGED, JAGGED_SIZE, soft=True)[:, 0]
    y, x = torch.meshgrid(torch.arange(JAGGED_SIZE[0]), torch.arange(JAGGED_SIZE[1]), indexing="ij")
    points = torch.stack([x, y], -1).float().flatten(0, 1).expand(3, -1, -1)
    distance = distance_to_contour(points, contour).view(3, *JAGGED_SIZE)
    expected = (0.5 + torch.where(fill_contours(contour, JAGGED_SIZE), distance, -distance)).clamp(0, 1)
    torch.testing.assert_close(soft, expected, atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_groups_change_nothing(seed):
    """Small windows and large ones apart, as on a CPU, or all as one batch, as on a device."""
    template = Template(JAGGED, blobs(1, 1)[0].double().numpy(), JAGGED_SIZE)
    contour = torch.cat([blobs(seed, 4), 4 + (blobs(seed, 4) - 4) / 8])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GROUP_COST", 0.0)
        many = find_regions(contour, JAGGED, JAGGED_SIZE, 5)
        patch.setattr(module, "GROUP_COST", np.inf)
        one = find_regions(contour, JAGGED, JAGGED_SIZE, 5)
    assert len(many.groups) > len(one.groups) == 1
    torch.testing.assert_close(many.masks(soft=True), one.masks(soft=True), atol=1e-4, rtol=0)
    maps = [uv_maps(contour, template, regions=regions) for regions in (many, one)]
    assert torch.equal(maps[0].valid, maps[1].valid)


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_a_hull_holds_its_points_with_a_margin_all_round(seed):
    points = np.random.default_rng(seed).uniform(0, 40, (9, 2))
    hull = grown_hull(points)
    margin = 0.1 * np.ptp(points, axis=0).max()
    assert (Delaunay(hull).find_simplex(points) >= 0).all()
    assert margin * np.cos(np.pi / 16) - 1e-6 <= distance_to_outline(points, [hull]).min() <= margin + 1e-6


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_what_covers_a_region_and_what_does_not(seed):
    landmarks = mixed(seed)
    hull = landmarks[:, MIXED.slices["hull"]].numpy()[0]
    masks = contour_masks(landmarks, MIXED, JAGGED_SIZE, soft=True)[0]
    assert torch.equal(masks[1] > 0.5, fill_contours(torch.as_tensor(grown_hull(hull))[None], JAGGED_SIZE)[0])
    assert (masks[2:] == 0).all()
    template = Template(MIXED, mixed(0)[0].double().numpy(), JAGGED_SIZE)
    maps = uv_maps(landmarks, template)
    assert maps.valid[0, 1].any()
    assert not maps.valid[0, 2:].any()
    assert torch.isfinite(maps.uv).all()
    assert torch.isfinite(torch.as_tensor(template.uv)).all()


def test_one_landmark_and_landmarks_in_a_line_give_finite_losses_and_gradients():
    method = DenseSeg(MIXED, (48, 40), get_recipe("denseseg", "default").changed(channels=(4, 8)))  # `create` refuses the curve
    method.template = Template(MIXED, mixed(0)[0].double().numpy(), (48, 40))
    targets = method.targets(Batch(torch.rand(2, 1, 48, 40), torch.cat([mixed(1), mixed(2)])))
    uv = torch.zeros(2, len(MIXED), 2, 48, 40, requires_grad=True)
    total = sum(method.losses((torch.zeros(2, len(MIXED), 48, 40), uv), targets).values())
    assert torch.isfinite(total)
    total.backward()
    assert torch.isfinite(uv.grad).all()


def test_padded_landmarks_are_each_structures_own():
    landmarks = mixed(3)
    padded = padded_landmarks(landmarks, MIXED)
    for c, (structure, where) in enumerate(zip(MIXED.structures, MIXED.slices.values(), strict=True)):
        assert torch.equal(padded[0, c, : structure.count], landmarks[0, where])
        assert torch.isnan(padded[0, c, structure.count :]).all()


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_soft_masks_hold_the_area_and_hard_masks_the_pixel_centres(seed):
    contour = blob(seed)
    x, y = contour.T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    soft = contour_masks(as_batch(contour), ONE, SIZE, soft=True)
    hard = contour_masks(as_batch(contour), ONE, SIZE)
    assert float(soft.sum()) == pytest.approx(area, rel=0.01)
    np.testing.assert_array_equal(hard[0, 0].bool().numpy(), polygon_mask(contour, SIZE))
    assert torch.equal(hard.bool(), soft > 0.5)


def test_contours_of_a_soft_mask_are_the_outline():
    contour = blob(3)
    outline = mask_contours(contour_masks(as_batch(contour), ONE, SIZE, soft=True)[0, 0].numpy())[0]
    distance = distance_to_contour(torch.as_tensor(outline.copy())[None].float(), as_batch(contour))
    assert distance.mean() < 0.05
    assert distance.max() < 0.4  # at corners a straight edge is only an approximation


def test_missing_landmarks_are_skipped_by_the_polygon():
    contour = blob(1)
    gap = contour.copy()
    gap[[0, 7, 8]] = np.nan
    skipped = polygon_mask(np.delete(contour, [0, 7, 8], axis=0), SIZE)
    np.testing.assert_array_equal(contour_masks(as_batch(gap), ONE, SIZE)[0, 0].bool().numpy(), skipped)
    gap[2:] = np.nan
    assert contour_masks(as_batch(gap), ONE, SIZE).sum() == 0


def test_contour_masks_outside_the_image_are_cut_or_empty():
    cut, gone = blob(0) - [40, 0], blob(0) + [200, 0]
    masks = contour_masks(as_batch(cut, gone), ONE, SIZE)
    assert masks[0].sum() > 0
    assert masks[1].sum() == 0
    for mask in masks[:, 0].numpy():
        for outline in mask_contours(mask):
            np.testing.assert_allclose(outline[0], outline[-1])
