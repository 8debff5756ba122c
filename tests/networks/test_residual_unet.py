"""The residual U-Net against MONAI's."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNet

from denseseg.networks.residual_unet import ResidualUNet


@pytest.mark.parametrize("channels", [(64, 128, 256, 512), (4, 8, 16), (6, 12)])
def test_it_is_monais_network_weight_for_weight(channels: tuple[int, ...]):
    torch.manual_seed(3)
    ours = ResidualUNet(channels)
    torch.manual_seed(3)
    options = {"num_res_units": 2, "norm": ("instance", {"affine": True}), "act": "leakyrelu", "bias": False}
    theirs = UNet(2, 1, channels[0], channels, (2,) * (len(channels) - 1), **options)

    mine, known = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(known)
    assert all(torch.equal(mine[name], known[name]) for name in known)
    image = torch.rand(2, 1, 16, 24)
    assert torch.equal(ours(image), theirs(image))
