"""The residual U-Net, in plain torch: MONAI's network with the options of the paper, weight for weight (Kerfoot et al. 2019).

A test compares the two. It stands here because a network that only predicts should not wait seconds until MONAI is imported.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def normalised(convolution: nn.Module, outputs: int) -> nn.Sequential:
    """A convolution, then instance norm and leaky ReLU. The names are MONAI's (a, d, n: activation, dropout, norm)."""
    after = OrderedDict(N=nn.InstanceNorm2d(outputs, affine=True), A=nn.LeakyReLU())
    return nn.Sequential(OrderedDict(conv=convolution, adn=nn.Sequential(after)))


class ResidualUnit(nn.Module):
    """Convolutions and, beside them, a way round: (B, inputs, H, W) -> (B, outputs, H / stride, W / stride), rounded up.

    subunits: 3x3 convolutions, the first with the stride, each with norm and activation. bare: one convolution with neither.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, subunits: int = 2, bare: bool = False):
        super().__init__()
        self.conv = nn.Sequential()
        for number in range(subunits):
            first = number == 0
            convolution = nn.Conv2d(inputs if first else outputs, outputs, 3, stride if first else 1, padding=1, bias=False)
            unit = nn.Sequential(OrderedDict(conv=convolution)) if bare else normalised(convolution, outputs)
            self.conv.add_module(f"unit{number}", unit)
        self.residual: nn.Module = nn.Identity()
        if stride > 1:
            self.residual = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        elif inputs != outputs:
            self.residual = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.residual(x)


class SkipConnection(nn.Module):
    """What goes in, beside what a deeper part of the network makes of it."""

    def __init__(self, submodule: nn.Module):
        super().__init__()
        self.submodule = submodule

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.submodule(x)], dim=1)


def level(inputs: int, outputs: int, channels: Sequence[int], top: bool) -> nn.Sequential:
    """One level and all below it: down to half the size, everything below beside it, and up again."""
    here, below, *deeper = channels
    lower = level(here, here, channels[1:], False) if deeper else ResidualUnit(here, below)
    joined = 2 * here if deeper else here + below
    down = ResidualUnit(inputs, here, stride=2)
    doubled = nn.ConvTranspose2d(joined, outputs, 3, 2, padding=1, output_padding=1, bias=False)
    up = nn.Sequential(normalised(doubled, outputs), ResidualUnit(outputs, outputs, subunits=1, bare=top))
    return nn.Sequential(down, SkipConnection(lower), up)


class ResidualUNet(nn.Module):
    """The paper's U-Net (Section 3.4): (B, 1, H, W) -> (B, channels[0], H, W).

    Residual units of two convolutions, instance norm, leaky ReLU, no bias; each further level halves the resolution, so H and W
    must be multiples of 2^(levels - 1). With the default channels 6.51 M parameters; with four levels a place sees at
    most 99 x 99 pixels, and 107 x 107 through a head of two residual units, apart from what the norms tell of the whole image.
    """

    def __init__(self, channels: Sequence[int] = (64, 128, 256, 512)):
        super().__init__()
        self.model = level(1, channels[0], channels, top=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)
