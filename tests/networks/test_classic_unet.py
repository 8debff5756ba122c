"""Ham and Oh's U-Net: its size, its shapes, and how far it sees."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from denseseg.networks.classic_unet import ClassicUNet
from denseseg.networks.unet import parameter_count


def test_the_network_has_the_stated_size():
    """Counted by hand: two 3 x 3 convolutions without bias a level and side, and the last layer."""
    channels = (64, 128, 256, 512, 1024)
    down = [9 * a * b + 9 * b * b for a, b in zip((1, *channels), channels, strict=False)]
    up = [9 * (below + above) * above + 9 * above * above for above, below in pairwise(channels)]
    assert parameter_count(ClassicUNet(37)) == sum(down) + sum(up) + 65 * 37 == 31_374_245


def test_it_takes_any_size_and_any_number_of_levels():
    for channels, size in (((4, 8), (16, 16)), ((4, 8, 8, 8), (30, 33)), ((4, 4, 4, 4, 4), (16, 40))):
        assert ClassicUNet(3, channels)(torch.rand(2, 1, *size)).shape == (2, 3, *size)


def replaced(network: nn.Module) -> nn.Module:
    """The network with all that is not linear, or looks at the whole image, taken out, and positive weights: nothing cancels."""
    linear = {nn.InstanceNorm2d: nn.Identity, nn.ReLU: nn.Identity, nn.MaxPool2d: lambda: nn.AvgPool2d(2)}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in linear:
                setattr(parent, name, linear[type(child)]())
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    return network


def test_a_pixel_sees_as_far_as_stated():
    network, reach = replaced(ClassicUNet(1, (1, 1, 1, 1, 1))), []
    for at in range(128, 144):  # where it lies in the coarsest pixel matters
        image = torch.zeros(1, 1, 288, 288, requires_grad=True)
        network(image)[0, 0, at, at].backward()
        seen = image.grad[0, 0].any(0).nonzero()
        reach.append(int(seen.max() - seen.min()) + 1)
    assert max(reach) == 236
