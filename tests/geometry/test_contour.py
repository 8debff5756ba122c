"""Masks and outlines found in small windows, not in the whole image: nothing may be lost at a window's or the image's edge."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import find_contours

from denseseg.anatomy import Anatomy, Structure
from denseseg.geometry.contour import contour_windows, distance_to_contour, fill_contours, mask_contours, paste
from denseseg.geometry.regions import contour_masks

SIZE = (50, 40)
BLOB = Anatomy("one", (Structure("blob", 16, "blob"),))
seeds = st.integers(0, 10_000)


def blobs(seed: int, count: int = 3) -> torch.Tensor:
    """(count, 16, 2) jagged outlines, some cut by the image border or beyond it."""
    rng = np.random.default_rng(seed)
    angle = np.arange(16) * 2 * np.pi / 16
    radius = rng.uniform(2, 15, (count, 1)) * rng.uniform(0.5, 1.5, (count, 16))
    centre = rng.uniform(-10, 60, (count, 1, 2))
    return torch.as_tensor(centre + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1), dtype=torch.float32)


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(0, 4))
def test_windows_hold_what_the_whole_image_holds(seed, margin):
    contour = blobs(seed)
    first, inside = contour_windows(contour, SIZE, margin)
    whole = torch.zeros(3, *SIZE, dtype=torch.bool)
    paste(whole, inside, first)
    assert torch.equal(whole, fill_contours(contour, SIZE))
    for mask, (x, y) in zip(whole, first.tolist(), strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        if len(rows):  # the margin is there too, unless the image ends
            assert x <= max(int(columns.min()) - margin, 0)
            assert y <= max(int(rows.min()) - margin, 0)
            assert x + inside.shape[2] >= min(int(columns.max()) + margin + 1, SIZE[1])
            assert y + inside.shape[1] >= min(int(rows.max()) + margin + 1, SIZE[0])


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_soft_masks_are_the_clipped_distance_everywhere(seed):
    contour = blobs(seed)
    soft = contour_masks(contour, BLOB, SIZE, soft=True)[:, 0]
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    points = torch.stack([x, y], -1).float().flatten(0, 1).expand(3, -1, -1)
    distance = distance_to_contour(points, contour).view(3, *SIZE)
    expected = (0.5 + torch.where(fill_contours(contour, SIZE), distance, -distance)).clamp(0, 1)
    # a sliver (or a gap) narrower than a pixel is seen only where it has a corner or beside pixels inside
    differs = (soft - expected).abs() > 1e-4
    assert ((soft[differs] == 0) | (soft[differs] == 1)).all()
    assert differs.float().mean() < 0.01


@settings(deadline=None, max_examples=40)
@given(seeds, st.booleans())
def test_outlines_are_those_of_the_whole_padded_image(seed, soft):
    for mask in contour_masks(blobs(seed), BLOB, SIZE, soft=soft)[:, 0].numpy():
        whole = sorted((curve[:, ::-1] - 1 for curve in find_contours(np.pad(mask, 1), 0.5)), key=len, reverse=True)
        found = mask_contours(mask)
        assert len(found) == len(whole)
        for a, b in zip(found, whole, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
            np.testing.assert_array_equal(a[0], a[-1])


def test_an_empty_mask_has_no_outline_and_a_full_one_the_image_border():
    assert mask_contours(np.zeros(SIZE)) == []
    (outline,) = mask_contours(np.ones(SIZE))
    np.testing.assert_allclose([outline.min(0), outline.max(0)], [[-0.5, -0.5], [39.5, 49.5]])
