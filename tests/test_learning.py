"""Losses, heatmaps and networks: tensors in, tensors out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg import losses
from denseseg.anatomy import CHEST, Anatomy, Structure
from denseseg.heatmaps import argmax_landmarks, gaussian_heatmaps, subpixel_landmarks
from denseseg.networks.unet import HeatmapUNet, TwoHeadUNet, parameter_count

POINTS = Anatomy("points", (Structure("a", 3, "a"), Structure("b", 2, "b")))


# ---- losses ---------------------------------------------------------------------------------------------------------


def test_positive_weights_are_the_ratio_of_negative_to_positive_pixels():
    masks = torch.zeros(2, 2, 10, 10)
    masks[:, 0, :5] = 1
    masks[:, 1, 0, 0] = 1
    torch.testing.assert_close(losses.positive_weights(masks), torch.tensor([1.0, 99.0]))


def test_uv_loss_is_the_mean_over_valid_pixels():
    uv, valid = torch.zeros(1, 2, 2, 8, 8), torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    valid[:, 0, :4] = True
    off = uv + 0.5
    off[:, :, :, 4:] = 100  # outside, must not count
    expected = 0.5 * (64 * 0.5 / 65)  # structure 0: 64 valid values over count + 1; structure 1 absent: 0
    assert float(losses.uv_l1(off, uv, valid)) == pytest.approx(expected)


def test_landmark_loss_samples_the_map_between_pixels_and_ignores_what_is_outside():
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
    uv = torch.stack([x, y])[None, None].expand(1, 2, 2, 16, 20)
    landmarks = torch.tensor([[[3.25, 4.5], [10.0, 2.75], [50.0, 3.0], [torch.nan, torch.nan], [18.5, 14.5]]])
    targets = torch.tensor([[3.25, 4.5], [10.0, 2.75], [0.0, 0.0], [0.0, 0.0], [18.5, 14.5]])
    assert float(losses.landmark_uv(uv, landmarks, targets, POINTS)) == pytest.approx(0, abs=1e-5)
    assert float(losses.landmark_uv(uv + 1, landmarks, targets, POINTS)) == pytest.approx(1, abs=1e-5)


def test_landmark_loss_reaches_only_the_pixels_around_the_landmarks():
    uv = torch.zeros(1, 2, 2, 16, 16, requires_grad=True)
    landmarks = torch.tensor([[[4.5, 4.5]] * 3 + [[torch.nan] * 2] * 2])
    losses.landmark_uv(uv, landmarks, torch.ones(5, 2), POINTS).backward()
    touched = uv.grad[0, 0, 0].nonzero().tolist()
    assert touched == [[4, 4], [4, 5], [5, 4], [5, 5]]
    assert (uv.grad[0, 1] == 0).all()


def test_total_variation_of_a_ramp_and_of_a_flat_map():
    _, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ramp = torch.stack([0.1 * x, 0.3 * x])[None, None]
    everywhere = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    assert float(losses.total_variation(ramp, everywhere)) == pytest.approx(0.2**2 * 256 / 257, rel=1e-3)
    flat = torch.zeros(1, 1, 2, 16, 16, requires_grad=True)
    losses.total_variation(flat, everywhere).backward()
    assert torch.isfinite(flat.grad).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_segmentation_losses_fall_towards_the_truth(seed):
    masks = (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) > 0.5).float()
    right, wrong = 8 * (2 * masks - 1), -8 * (2 * masks - 1)
    for term in (losses.bce, losses.dice, lambda a, b: losses.weighted_bce(a, b, torch.tensor([1.0, 5.0, 100.0]))):
        assert term(right, masks) < 0.05 < term(torch.zeros_like(masks), masks) < term(wrong, masks)


def test_dice_where_a_structure_is_absent():
    """Claiming as much as the others have costs a half, claiming nothing costs nothing, and the first pixel is cheap.

    And before the structure is found where it is, claiming it elsewhere costs hardly anything.
    """
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, 0, 2:6, 2:6] = 1
    silent = 40 * (2 * masks - 1)
    claims = silent.clone()
    claims[1, 0, :2] = 40.0  # 16 pixels, as many as the other case has
    first = silent.clone()
    first[1, 0, 0, 0] = 40.0
    assert float(losses.dice(silent, masks)) == pytest.approx(0, abs=1e-6)
    assert float(losses.dice(claims, masks)) == pytest.approx(0.5 / 2)
    assert float(losses.dice(first, masks)) == pytest.approx(1 / 17 / 2)
    blind = torch.where(masks > 0, -40.0, claims)
    assert float(losses.dice(blind, masks)) == pytest.approx((1 - 1 / 17 + 1 / 17 * 0.5) / 2)
    nobody = torch.zeros_like(masks, requires_grad=True)
    losses.dice(nobody, torch.zeros_like(masks)).backward()
    assert (nobody.grad == 0).all()
    losses.bce(nobody, torch.zeros_like(masks)).backward()
    assert (nobody.grad > 0).all()  # cross entropy still says: not here


# ---- heatmaps -------------------------------------------------------------------------------------------------------


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


# ---- networks -------------------------------------------------------------------------------------------------------


def test_the_network_has_the_papers_size_and_the_stated_shapes():
    network = TwoHeadUNet(len(CHEST))
    assert parameter_count(network.unet) == pytest.approx(6.51e6, rel=2e-3)
    assert parameter_count(network.mask_head) == pytest.approx(148e3, rel=5e-3)
    assert parameter_count(network.uv_head) == pytest.approx(148e3, rel=5e-3)
    logits, uv = TwoHeadUNet(5, (8, 16, 32))(torch.zeros(2, 1, 32, 48))
    assert logits.shape == (2, 5, 32, 48)
    assert uv.shape == (2, 5, 2, 32, 48)
    assert HeatmapUNet(166, (8, 16, 32))(torch.zeros(2, 1, 32, 48)).shape == (2, 166, 32, 48)
    assert parameter_count(None) == 0


def test_network_outputs_are_unbounded():
    """No tanh: uv beyond the bounding box, such as in the band, must be reachable."""
    network = TwoHeadUNet(1, (8, 16))
    with torch.no_grad():
        network.uv_head[-1].bias.fill_(3.0)
    assert np.abs(network(torch.randn(1, 1, 16, 16))[1].detach().numpy()).max() > 1
