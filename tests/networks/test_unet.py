"""The networks: sizes, shapes, ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denseseg.anatomy import CHEST
from denseseg.networks.unet import OneHeadUNet, TwoHeadUNet, parameter_count


def test_the_network_has_the_papers_size_and_the_stated_shapes():
    network = TwoHeadUNet(len(CHEST))
    assert parameter_count(network.unet) == pytest.approx(6.51e6, rel=2e-3)
    assert parameter_count(network.mask_head) == pytest.approx(148e3, rel=5e-3)
    assert parameter_count(network.uv_head) == pytest.approx(148e3, rel=5e-3)
    logits, uv = TwoHeadUNet(5, (8, 16, 32))(torch.zeros(2, 1, 32, 48))
    assert logits.shape == (2, 5, 32, 48)
    assert uv.shape == (2, 5, 2, 32, 48)
    assert OneHeadUNet(166, (8, 16, 32))(torch.zeros(2, 1, 32, 48)).shape == (2, 166, 32, 48)


def test_network_outputs_are_unbounded():
    """No tanh: uv beyond the bounding box, such as in the band, must be reachable."""
    network = TwoHeadUNet(1, (8, 16))
    with torch.no_grad():
        network.uv_head[-1].bias.fill_(3.0)
    assert np.abs(network(torch.randn(1, 1, 16, 16))[1].detach().numpy()).max() > 1
