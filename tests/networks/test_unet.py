"""The networks: sizes, shapes, ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from receptive import positive, receptive_field

from denseseg.anatomy import CHEST
from denseseg.networks.residual_unet import ResidualUNet
from denseseg.networks.unet import MaskHeatmapUNet, OneHeadUNet, TwoHeadUNet, parameter_count


def test_the_network_has_the_papers_size_and_the_stated_shapes():
    network = TwoHeadUNet(len(CHEST))
    assert parameter_count(network.unet) == pytest.approx(6.51e6, rel=2e-3)
    assert parameter_count(network.mask_head) == pytest.approx(148e3, rel=5e-3)
    assert parameter_count(network.uv_head) == pytest.approx(148e3, rel=5e-3)
    logits, uv = TwoHeadUNet(5, (8, 16, 32))(torch.zeros(2, 1, 32, 48))
    assert logits.shape == (2, 5, 32, 48)
    assert uv.shape == (2, 5, 2, 32, 48)
    assert OneHeadUNet(166, (8, 16, 32))(torch.zeros(2, 1, 32, 48)).shape == (2, 166, 32, 48)


def test_heatreg_adds_one_convolution_to_the_papers_features():
    assert parameter_count(OneHeadUNet(CHEST.n_landmarks)) == parameter_count(ResidualUNet()) + 65 * 166 == 6_525_222


@pytest.mark.parametrize(("network", "pixels"), [(OneHeadUNet, 99), (TwoHeadUNet, 107)])
def test_what_a_place_sees_but_for_the_norms(network, pixels):
    assert receptive_field(positive(network(1, (2,) * 4)), 1, 208) == pixels


def test_heatregseg_has_the_papers_two_heads_on_the_same_features():
    network = MaskHeatmapUNet(len(CHEST), CHEST.n_landmarks)
    features = parameter_count(network.unet) + parameter_count(network.mask_head)
    assert features == parameter_count(TwoHeadUNet(len(CHEST)).unet) + parameter_count(TwoHeadUNet(len(CHEST)).mask_head)
    last = 65 * len(CHEST), 65 * CHEST.n_landmarks  # 1x1 convolutions of 64 features and a constant
    heads = parameter_count(network.mask_head), parameter_count(network.heatmap_head)
    assert heads[0] - last[0] == heads[1] - last[1] == 4 * (9 * 64**2 + 2 * 64)  # four convolutions and their norms
    logits, heatmaps = MaskHeatmapUNet(5, 166, (8, 16, 32))(torch.zeros(2, 1, 30, 45))
    assert logits.shape == (2, 5, 30, 45)
    assert heatmaps.shape == (2, 166, 30, 45)


def test_network_outputs_are_unbounded():
    """No tanh: uv beyond the bounding box, such as in the band, must be reachable."""
    network = TwoHeadUNet(1, (8, 16))
    with torch.no_grad():
        network.uv_head[-1].bias.fill_(3.0)
    assert np.abs(network(torch.randn(1, 1, 16, 16))[1].detach().numpy()).max() > 1
