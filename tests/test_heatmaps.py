"""Heatmaps: drawn, and landmarks read from them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.heatmaps import (
    DECODERS,
    Decoder,
    argmax_landmarks,
    blob_landmarks,
    gaussian_heatmaps,
    laplace_heatmaps,
    subpixel_landmarks,
)


@settings(deadline=None, max_examples=30)
@given(st.floats(10, 50), st.floats(10, 40), st.floats(1.5, 8))
def test_subpixel_decoding_of_a_gaussian_is_exact_and_argmax_is_within_half_a_pixel(x, y, sigma):
    landmarks = torch.tensor([[[x, y]]], dtype=torch.float64)
    heatmaps = gaussian_heatmaps(landmarks, (48, 64), sigma, 44.0)
    torch.testing.assert_close(subpixel_landmarks(heatmaps), landmarks, atol=2e-3, rtol=0)
    assert (argmax_landmarks(heatmaps) - landmarks).abs().max() <= 0.5 + 1e-6


def test_heatmaps_of_missing_landmarks_are_zero_and_flat_maps_have_finite_peaks():
    heatmaps = gaussian_heatmaps(torch.tensor([[[torch.nan, torch.nan], [3.0, 4.0]]]), (16, 16), 2.0)
    assert heatmaps[0, 0].abs().max() == 0
    assert heatmaps[0, 1].argmax() == 4 * 16 + 3
    assert torch.isfinite(subpixel_landmarks(heatmaps)).all()
    assert torch.isfinite(subpixel_landmarks(-torch.ones(1, 1, 16, 16))).all()


# A blob above 0.95 of such a spot is a disc with a radius of 0.8 to 1 pixel; of the pixels in it, over all positions of its middle,
# the centroid is at most 0.46 pixels off along an axis.
BOUNDS = {"argmax": 0.5, "subpixel": 2e-3, "dark": 2e-3, "centroid": 0.06, "soft_argmax": 0.02, "blob": 0.46}


@pytest.mark.parametrize(("decoder", "bound"), BOUNDS.items())
@settings(deadline=None, max_examples=20)
@given(st.floats(12, 50), st.floats(12, 35), st.floats(2.5, 3.0))
def test_every_decoder_finds_the_middle_of_a_gaussian(decoder, bound, x, y, sigma):
    landmarks = torch.tensor([[[x, y]]], dtype=torch.float64)
    found = DECODERS[Decoder(decoder)](gaussian_heatmaps(landmarks, (48, 64), sigma))
    assert (found - landmarks).abs().max() <= bound + 1e-6


@pytest.mark.parametrize("decoder", Decoder)
def test_no_decoder_leaves_the_image_or_fails_where_a_map_is_flat_dark_or_brightest_at_its_corner(decoder):
    corner = gaussian_heatmaps(torch.tensor([[[0.0, 15.0]]]), (16, 16), 2.0)
    maps = torch.cat([torch.zeros(1, 1, 16, 16), -torch.ones(1, 1, 16, 16), corner], 1)
    found = DECODERS[decoder](maps)
    assert torch.isfinite(found).all()
    assert (found[0, 2] - torch.tensor([0.0, 15.0])).abs().max() < 0.2


@pytest.mark.parametrize("decoder", [d for d in Decoder if d is not Decoder.SOFT_ARGMAX])
@settings(deadline=None, max_examples=20)
@given(st.floats(0, 6), st.floats(0, 6), st.floats(1.5, 3.0))
def test_near_the_border_no_decoder_is_worse_than_the_brightest_pixel_may_be(decoder, x, y, sigma):
    landmarks = torch.tensor([[[x, y], [31 - x, 23 - y]]], dtype=torch.float64)
    found = DECODERS[decoder](gaussian_heatmaps(landmarks, (24, 32), sigma))
    assert (found - landmarks).abs().max() <= 0.5 + 1e-6


@pytest.mark.parametrize("decoder", Decoder)
def test_half_precision_holds_every_pixel_of_a_wide_map(decoder):
    maps = gaussian_heatmaps(torch.tensor([[[301.0, 20.0]]]), (40, 512), 1.5).bfloat16()
    assert (DECODERS[decoder](maps) - torch.tensor([301.0, 20.0])).abs().max() < 0.3


def test_a_heatmap_in_three_dimensions_has_its_own_sigma_and_amplitude():
    landmarks = torch.tensor([[[3.0, 4.0, 5.0], [2.0, 2.0, 2.5]]])
    maps = gaussian_heatmaps(landmarks, (10, 11, 12), torch.tensor([2.0, 1.0]), torch.tensor([1.0, 3.0]))
    assert maps.shape == (1, 2, 10, 11, 12)
    assert maps[0, 0, 5, 4, 3] == 1.0
    torch.testing.assert_close(maps[0, 0, 6, 4, 5], torch.tensor(-5 / 8).exp())
    torch.testing.assert_close(maps[0, 1, 2, 2, 2], 3 * torch.tensor(-0.125).exp())


def test_gradients_reach_widths_also_where_a_landmark_is_missing():
    sigma = torch.tensor([2.0, 3.0], requires_grad=True)
    heatmaps = gaussian_heatmaps(torch.tensor([[[8.0, 8.0], [torch.nan, 3.0]]]), (16, 16), sigma, 1 / sigma**2)
    heatmaps.square().sum().backward()
    assert sigma.grad[0] < 0  # a wider spot of the same sum has fewer squares
    assert sigma.grad[1] == 0


def test_a_laplace_heatmap_falls_by_its_width_and_has_a_pointed_top():
    landmarks = torch.tensor([[[5.0, 4.0], [torch.nan, 2.0]]])
    maps = laplace_heatmaps(landmarks, (12, 16), 3.0, 2.0)
    assert maps.shape == (1, 2, 12, 16)
    assert maps[0, 0, 4, 5] == 2 and maps[0, 1].abs().max() == 0
    torch.testing.assert_close(maps[0, 0, 8, 8], torch.tensor(2 * torch.e ** (-5 / 3)))  # 3, 4, 5
    torch.testing.assert_close(maps[0, 0, 4, 6] / maps[0, 0, 4, 5], maps[0, 0, 4, 7] / maps[0, 0, 4, 6])


def test_the_blob_is_the_largest_one_above_the_threshold_and_else_the_brightest_pixel():
    maps = torch.zeros(1, 3, 12, 12)
    maps[0, 0, 2, 2] = 2.0  # brighter, but smaller
    maps[0, 0, 7:9, 5:8] = 0.96
    maps[0, 1, 4, 4] = maps[0, 1, 5, 5] = 1.0  # touch at a corner
    maps[0, 2, 3, 9] = 0.95  # nothing is above it
    found = blob_landmarks(maps)
    torch.testing.assert_close(found, torch.tensor([[[6.0, 7.5], [4.5, 4.5], [9.0, 3.0]]]))
    assert blob_landmarks(0.9 * maps)[0, 0].tolist() == [2.0, 2.0]  # fainter maps are read otherwise


def test_dark_finds_the_centre_of_a_slanted_ellipse():
    """Its axes lie along no row, so the mixed derivative matters."""
    y, x = torch.meshgrid(torch.arange(40.0, dtype=torch.float64), torch.arange(44.0, dtype=torch.float64), indexing="ij")
    centre = torch.tensor([20.3, 18.4], dtype=torch.float64)
    off, inverse = torch.stack([x, y], -1) - centre, torch.linalg.inv(torch.tensor([[9.0, 5], [5, 6]], dtype=torch.float64))
    spot = (-0.5 * torch.einsum("hwi,ij,hwj->hw", off, inverse, off)).exp()[None, None]
    torch.testing.assert_close(DECODERS[Decoder.DARK](spot)[0, 0], centre, atol=5e-3, rtol=0)
