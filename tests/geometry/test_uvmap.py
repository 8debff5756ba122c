"""Geometry: known answers and properties of similarity, template, contours, uv maps and decoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from scipy.ndimage import binary_dilation

from denseseg.anatomy import CHEST, Anatomy, Structure
from denseseg.geometry.contour import distance_to_contour, mask_contours, pixel_grid, polygon_mask, signed_distance
from denseseg.geometry.decode import affine_inversion, decode_affine, decode_published, published_inversion
from denseseg.geometry.outline_projection import project_onto_outline
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.similarity import umeyama
from denseseg.geometry.spline import fit_spline
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import fold_share, uv_maps
from denseseg.phantom.chest.phantom import ChestPhantom, chest_phantom

ONE = Anatomy("one", (Structure("blob", 24, "blob"),))
SIZE = (64, 80)

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.3, 3)
shifts = st.tuples(st.floats(-50, 50), st.floats(-50, 50))
seeds = st.integers(0, 10_000)


def blob(seed: int, wobble: float = 0.15, radius: float = 18.0) -> np.ndarray:
    """A star-shaped closed contour of 24 points inside an image of SIZE."""
    rng = np.random.default_rng(seed)
    angle = np.arange(24) * 2 * np.pi / 24
    r = radius * (1 + wobble * sum(rng.normal() / k * np.cos(k * angle + rng.uniform(0, 6.28)) for k in (2, 3)) / 2)
    return np.stack([40 + r * np.cos(angle), 32 + r * np.sin(angle)], -1)


def as_batch(*contours: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.stack(contours), dtype=torch.float32)


# ---- similarity -----------------------------------------------------------------------------------------------------


@given(angles, scales, shifts, seeds)
def test_umeyama_recovers_a_similarity(angle, scale, shift, seed):
    source = np.random.default_rng(seed).normal(size=(7, 2)) * 20
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = scale * source @ rotation.T + shift
    found = umeyama(source, target)
    assert found.scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-6)
    np.testing.assert_allclose(found.inverse().apply(target), source, atol=1e-5)


@given(seeds)
def test_umeyama_never_reflects(seed):
    source = np.random.default_rng(seed).normal(size=(5, 2))
    assert np.linalg.det(umeyama(source, source * [-1, 1]).rotation) == pytest.approx(1)


def test_umeyama_leaves_missing_points_out():
    source = np.array([[0, 0], [1, 0], [0, 1], [np.nan, 5.0]])
    assert umeyama(source, source + 3).translation == pytest.approx([3, 3])
    with pytest.raises(ValueError, match="at least two distinct"):
        umeyama(np.ones((4, 2)), np.ones((4, 2)))


# ---- template -------------------------------------------------------------------------------------------------------


def test_template_charts_are_bounding_boxes_and_invert():
    shapes = chest_phantom(6, (64, 64)).landmarks
    template = Template.from_landmarks(shapes, CHEST, (64, 64))
    np.testing.assert_allclose(template.points, shapes.mean(0))
    for c, where in enumerate(CHEST.slices.values()):
        uv = template.uv[where]
        np.testing.assert_allclose([uv.min(0), uv.max(0)], [[-1, -1], [1, 1]], atol=1e-9)
        np.testing.assert_allclose(template.from_uv(c, uv), template.points[where])
    rows, columns = 20, 30
    np.testing.assert_allclose(template.identity_map(2)[:, rows, columns], template.to_uv(2, [columns, rows]))


def test_template_takes_each_landmark_from_the_cases_that_have_it():
    shapes = np.stack([blob(0), blob(0) + 2])
    shapes[0, 5] = np.nan
    template = Template.from_landmarks(shapes, ONE, SIZE)
    np.testing.assert_allclose(template.points[5], shapes[1, 5])
    shapes[1, 5] = np.nan
    with pytest.raises(ValueError, match="at least one training case"):
        Template.from_landmarks(shapes, ONE, SIZE)


# ---- contours -------------------------------------------------------------------------------------------------------


@given(st.floats(5, 12), st.floats(15, 25), st.floats(15, 25))
def test_distance_to_a_square(half, x, y):
    square = torch.tensor([[[-half, -half], [half, -half], [half, half], [-half, half]]]) + torch.tensor([x, y])
    points = torch.tensor([[[x, y], [x + half + 3, y], [x + half + 3, y + half + 4], [x + half - 1, y]]])
    np.testing.assert_allclose(distance_to_contour(points, square)[0], [half, 3, 5, 1], atol=1e-3)
    np.testing.assert_allclose(signed_distance(points, square)[0], [half, -3, -5, 1], atol=1e-3)


@settings(deadline=None, max_examples=25)
@given(seeds, st.tuples(st.floats(-60, 60), st.floats(-50, 50)))
def test_polygon_masks_agree_with_matplotlib_also_when_cut_by_the_border(seed, shift):
    contour = blob(seed, wobble=1.0) + shift
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = Path(contour).contains_points(np.stack([columns.ravel(), rows.ravel()], -1)).reshape(SIZE)
    np.testing.assert_array_equal(polygon_mask(contour, SIZE), inside)


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


# ---- uv maps --------------------------------------------------------------------------------------------------------


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


@settings(deadline=None, max_examples=20)
@given(st.floats(-0.6, 0.6), st.floats(0.7, 1.4), seeds)
def test_spline_maps_undo_a_similarity_of_the_template(angle, scale, seed):
    template = Template(ONE, blob(seed), SIZE)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = template.points.mean(0)
    moved = scale * (template.points - centre) @ rotation.T + centre
    maps = uv_maps(as_batch(moved), template)
    y, x = maps.valid[0, 0].nonzero(as_tuple=True)
    back = (np.stack([x, y], -1) - centre) @ rotation / scale + centre
    np.testing.assert_allclose(maps.uv[0, 0, :, y, x].T, template.to_uv(0, back), atol=5e-3)
    assert maps.folds.max() == 0


def test_spline_maps_cover_the_mask_and_the_band_only():
    contour = blob(4)
    maps = uv_maps(as_batch(contour), Template(ONE, blob(0), SIZE), band=3)
    grown = binary_dilation(polygon_mask(contour, SIZE), np.ones((7, 7)))
    np.testing.assert_array_equal(maps.valid[0, 0].numpy(), grown)
    assert (maps.uv[~maps.valid[:, :, None].expand_as(maps.uv)] == 0).all()


def test_an_absent_structure_has_no_map_and_no_nan():
    template = Template(CHEST, ChestPhantom(0, 0, (64, 64)).canonical, (64, 64))
    landmarks = torch.as_tensor(chest_phantom(2, (64, 64)).landmarks, dtype=torch.float32)
    landmarks[0, CHEST.slices["heart"]] = torch.nan
    maps = uv_maps(landmarks, template)
    assert not maps.valid[0, 2].any()
    assert maps.valid[1, 2].any()
    assert torch.isfinite(maps.uv).all()


def test_folds_are_counted():
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(10.0), indexing="ij")
    identity = torch.stack([x, y])[None]
    everywhere = torch.ones(1, 10, 10, dtype=torch.bool)
    assert fold_share(identity, everywhere) == 0
    assert fold_share(identity.flip(1), everywhere) == 1


def test_an_unknown_generator_is_refused():
    with pytest.raises(ValueError, match="'spline' is not a valid Generator"):
        uv_maps(as_batch(blob(0)), Template(ONE, blob(0), SIZE), generator="spline")


def test_folded_maps_are_smoothed_until_they_do_not_fold():
    """Of two outlines with landmarks that changed places, and a sound one: each map is the first of ever smoother ones to pass."""
    template = Template(ONE, blob(0, radius=4), SIZE)  # small, so that every pixel is evaluated
    crossed, sound, bent = (blob(seed, radius=4) for seed in (1, 2, 3))
    crossed[[3, 9]] = crossed[[9, 3]]
    bent[[5, 6]] = bent[[6, 5]]
    batch = as_batch(crossed, sound, bent)
    maps = uv_maps(batch, template)
    goal, taken = torch.as_tensor(template.uv, dtype=torch.float32), []
    for landmarks, uv, valid, share in zip(batch, maps.uv[:, 0], maps.valid[:, 0], maps.folds[:, 0], strict=True):
        splines = [fit_spline(landmarks[None], goal, 1e-4 * 10.0**k) for k in range(5)]
        tries = [spline(pixel_grid(SIZE)[None]).mT.unflatten(2, SIZE) for spline in splines]
        shares = [float(fold_share(each, valid[None])) for each in tries]
        taken.append(next((k for k in range(5) if shares[k] == 0), 4))
        torch.testing.assert_close(uv, tries[taken[-1]][0] * valid, atol=1e-4, rtol=0)
        assert float(share) == pytest.approx(shares[taken[-1]])
    assert taken[1] == 0 < min(taken[0], taken[2])


def test_spline_maps_agree_with_the_true_correspondence_of_the_phantom():
    """A spline through 166 landmarks cannot know the deformation between them; it comes within about a pixel on average."""
    phantom = ChestPhantom(0, 1, (128, 128))
    template = Template(CHEST, phantom.canonical, (128, 128))
    maps = uv_maps(torch.as_tensor(phantom.case.landmarks, dtype=torch.float32)[None], template, band=0)
    for c in range(5):
        y, x = maps.valid[0, c].nonzero(as_tuple=True)
        true = template.to_uv(c, phantom.material(c, np.stack([x, y], -1).astype(float)))
        error = np.linalg.norm((maps.uv[0, c, :, y, x].T.numpy() - true) * template.half_extent[c], axis=-1)
        assert error.mean() < 1.5


# ---- decoding -------------------------------------------------------------------------------------------------------


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


def test_equation_3_agrees_with_its_formula():
    """Equation 3 written out over all pixels, against the function, to 1e-4 px."""
    rng = np.random.default_rng(0)
    contour = blob(1)
    template = Template(ONE, blob(0), SIZE)
    maps = uv_maps(as_batch(contour), template)
    mask = contour_masks(as_batch(contour), ONE, SIZE).bool()
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


def test_projection_moves_a_point_along_the_normal_back_to_the_outline():
    template, contour = Template(ONE, blob(0), SIZE), blob(2)
    maps = uv_maps(as_batch(contour), template)
    soft = contour_masks(as_batch(contour), ONE, SIZE, soft=True)[0, 0].numpy()
    centre = contour.mean(0)
    inward = contour + 1.5 * (centre - contour) / np.linalg.norm(centre - contour, axis=1, keepdims=True)
    found = project_onto_outline(inward, maps.uv[0, 0].numpy(), soft, template.uv, template.half_extent[0]).points
    before, after = (np.linalg.norm(p - contour, axis=1).mean() for p in (inward, found))
    assert after < 0.5 < before
    unchanged = project_onto_outline(inward, maps.uv[0, 0].numpy(), np.zeros(SIZE), template.uv, template.half_extent[0])
    np.testing.assert_array_equal(unchanged.points, inward)
