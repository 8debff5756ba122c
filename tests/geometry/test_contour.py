"""Masks and outlines found in small windows, not in the whole image: nothing may be lost at a window's or the image's edge."""

from __future__ import annotations

import numpy as np
import torch
from blob import JAGGED, JAGGED_SIZE, SIZE, blob, blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from monai.transforms.utils import get_largest_connected_component_mask
from scipy.ndimage import binary_dilation
from skimage.measure import find_contours

from denseseg.geometry.contour import (
    dilate,
    distance_to_contour,
    distance_to_outline,
    fill_contours,
    largest_component,
    mask_contours,
    perimeter,
    polygon_mask,
    resample,
    sample_outline,
    signed_distance,
)
from denseseg.geometry.regions import contour_masks

seeds = st.integers(0, 10_000)


@given(st.integers(0, 10**6), st.sampled_from([1, 2]), st.floats(0, 0.9))
@settings(max_examples=40, deadline=None)
def test_the_largest_component_is_monais(seed, connectivity, share):
    mask = np.random.default_rng(seed).random((9, 12)) < share
    kept = largest_component(mask, connectivity)
    known = get_largest_connected_component_mask(mask, connectivity=connectivity)
    assert kept.sum() == known.sum() and not (kept & ~mask).any()
    assert np.array_equal(kept, get_largest_connected_component_mask(kept, connectivity=connectivity))  # it is one component


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(0, 5))
def test_dilation_is_scipys(seed, reach):
    masks = fill_contours(blobs(seed), JAGGED_SIZE)
    square = np.ones((1, 2 * reach + 1, 2 * reach + 1))
    np.testing.assert_array_equal(dilate(masks, reach), binary_dilation(masks, square))


@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(0.1, 3), st.integers(4, 40))
def test_a_resampled_curve_is_even_and_on_the_curve(seed, step, count):
    curve = blobs(seed, 1)[0].numpy().astype(float)
    points = resample(curve, count)
    np.testing.assert_array_equal(points[0], curve[0])
    np.testing.assert_allclose(distance_to_outline(points, [curve]), 0, atol=1e-9)
    sampled = sample_outline([curve, curve + 100], step)
    assert len(sampled) == 2 * np.ceil(perimeter(curve) / step)
    assert np.linalg.norm(np.diff(sampled[: len(sampled) // 2], axis=0), axis=1).max() <= step + 1e-9


def test_distance_to_outline_of_nothing_and_of_missing_points_is_unknown():
    points = np.array([[0.0, 3.0], [np.nan, 1.0]])
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    np.testing.assert_allclose(distance_to_outline(points, [square + 10, square]), [0, np.nan])
    assert np.isnan(distance_to_outline(points, [])).all()


@settings(deadline=None, max_examples=40)
@given(seeds, st.booleans())
def test_outlines_are_those_of_the_whole_padded_image(seed, soft):
    for mask in contour_masks(blobs(seed), JAGGED, JAGGED_SIZE, soft=soft)[:, 0].numpy():
        whole = sorted((curve[:, ::-1] - 1 for curve in find_contours(np.pad(mask, 1), 0.5)), key=len, reverse=True)
        found = mask_contours(mask)
        assert len(found) == len(whole)
        for a, b in zip(found, whole, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
            np.testing.assert_array_equal(a[0], a[-1])


def test_an_empty_mask_has_no_outline_and_a_full_one_the_image_border():
    assert mask_contours(np.zeros(JAGGED_SIZE)) == []
    (outline,) = mask_contours(np.ones(JAGGED_SIZE))
    np.testing.assert_allclose([outline.min(0), outline.max(0)], [[-0.5, -0.5], [39.5, 49.5]])


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
