"""The Localization U-Net: its size, any size of image, two and three dimensions."""

from __future__ import annotations

import pytest
import torch

from denseseg.networks.localization_unet import LocalizationUNet
from denseseg.networks.unet import parameter_count


def test_the_sizes_of_the_papers_networks():
    """Counted by hand from Section 3.1, which prints no numbers of weights."""
    down, up = (9 + 1) * 128 + 9 * (9 * 128 + 1) * 128, 4 * ((9 * 256 + 1) * 128 + (9 * 128 + 1) * 128)
    assert parameter_count(LocalizationUNet(37)) == down + up + 129 * 37 == 3_104_805
    down, up = (27 + 1) * 64 + 7 * (27 * 64 + 1) * 64, 3 * ((27 * 128 + 1) * 64 + (27 * 64 + 1) * 64)
    assert parameter_count(LocalizationUNet(26, (64,) * 4, 3)) == down + up + 65 * 26


@pytest.mark.parametrize("size", [(32, 48), (37, 50), (16, 20, 9)])
def test_any_size_in_two_and_three_dimensions(size):
    torch.manual_seed(0)
    heatmaps = LocalizationUNet(3, (4, 8, 8), len(size))(torch.rand(2, 1, *size))
    assert heatmaps.shape == (2, 3, *size)
    assert 0 < heatmaps.abs().max() < 0.1


def test_dropout_is_in_the_deepest_two_levels():
    network = LocalizationUNet(1, (4,) * 5)
    drops = [any(isinstance(layer, torch.nn.Dropout) for layer in level.modules()) for level in network.down]
    assert drops == [False, False, False, True, True]
    assert not any(isinstance(layer, torch.nn.Dropout) for layer in network.up.modules())
