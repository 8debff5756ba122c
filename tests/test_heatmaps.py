"""Heatmaps: drawn, and landmarks read from them."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.heatmaps import argmax_landmarks, gaussian_heatmaps, subpixel_landmarks


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
