"""The SpatialConfiguration-Net (Payer et al. 2019, Sections 2.2 and 3) and its forerunner, in two and three dimensions.

Local appearance finds places that look like a landmark, several of them where several look alike; spatial configuration sees
nothing but those places, and tells which of them is meant. A heatmap is the product of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denseseg.networks.localization import convolution, doubling, enlarged, heatmap_layer, shrinking
from denseseg.networks.unet import cropped, padded


class LocalAppearance(nn.Module):
    """(B, 1, *size) images -> (B, N, *size) heatmaps, unbounded (Section 2.2.2).

    A level is three convolutions, with dropout after the first; what leaves the second is averaged to half its size and given to
    the level below. The outputs of all levels are added up, from below, with linear upsampling, so all have channels[0] features;
    channels: features within each level. With the paper's four levels a place sees up to
    100 x 100 pixels.
    """

    def __init__(self, landmarks: int, channels: Sequence[int] = (128,) * 4, dimensions: int = 2, dropout: float = 0.5):
        super().__init__()
        self.multiple = 2 ** (len(channels) - 1)
        self.entries = nn.ModuleList(
            nn.Sequential(convolution(before, own, dimensions, dropout=dropout), convolution(own, own, dimensions))
            for before, own in pairwise((1, *channels))
        )
        self.exits = nn.ModuleList(convolution(own, channels[0], dimensions) for own in channels)
        self.pool, self.upsample = shrinking(2, dimensions), doubling(dimensions)
        self.heatmaps = heatmap_layer(channels[0], landmarks, dimensions)

    def forward(self, images: Tensor) -> Tensor:
        features, levels = padded(images, self.multiple), []
        for number, (entry, leave) in enumerate(zip(self.entries, self.exits, strict=True)):
            features = entry(self.pool(features) if number else features)
            levels.append(leave(features))
        total = reduce(lambda below, own: own + self.upsample(below), reversed(levels))
        return cropped(self.heatmaps(total), images.shape[2:])


class SpatialConfiguration(nn.Module):
    """(B, N, *size) heatmaps of local appearance -> (B, N, *size): where each landmark may be (Section 2.2.3).

    Three convolutions and one that paints heatmaps, then tanh, all at 1 / shrink of the size; cubic upsampling. A cell is told of
    41 x 41 cells. The paper's values are shrink 16 and kernels of 11 in two dimensions, 4 and 7 in three.
    """

    def __init__(self, landmarks: int, features: int = 128, dimensions: int = 2, shrink: int = 16, kernel: int = 11):
        super().__init__()
        self.shrink = shrink
        layers = [convolution(a, b, dimensions, kernel) for a, b in pairwise((landmarks, features, features, features))]
        last = heatmap_layer(features, landmarks, dimensions, kernel)
        self.layers = nn.Sequential(shrinking(shrink, dimensions), *layers, last, nn.Tanh())

    def forward(self, appearance: Tensor) -> Tensor:
        return cropped(enlarged(self.layers(padded(appearance, self.shrink)), self.shrink), appearance.shape[2:])


class SpatialConfigurationNet(nn.Module):
    """(B, 1, *size) images -> (B, N, *size) heatmaps, local appearance times spatial configuration (Eq. 4)."""

    def __init__(self, appearance: nn.Module, configuration: nn.Module):
        super().__init__()
        self.appearance, self.configuration = appearance, configuration

    def components(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The two factors, each (B, N, *size): local appearance, spatial configuration."""
        appearance = self.appearance(images)
        return appearance, self.configuration(appearance)

    def forward(self, images: Tensor) -> Tensor:
        appearance, configuration = self.components(images)
        return appearance * configuration


class ConvolvedConfigurationNet(SpatialConfigurationNet):
    """The same with convolutions in place of the product (Section 5, after Pfister et al. 2015): these see both components."""

    def __init__(self, appearance: nn.Module, configuration: nn.Module, landmarks: int, features: int = 128, dimensions: int = 2):
        super().__init__(appearance, configuration)
        first = convolution(2 * landmarks, features, dimensions)
        self.fusion = nn.Sequential(first, heatmap_layer(features, landmarks, dimensions))

    def forward(self, images: Tensor) -> Tensor:
        return self.fusion(torch.cat(self.components(images), dim=1))


# ---- the forerunner (Payer et al. 2016) --------------------------------------------------------------------------


def plain_appearance(landmarks: int, features: int = 128, dimensions: int = 2) -> nn.Sequential:
    """Local appearance of one level, three convolutions of 5 x 5: (B, 1, *size) -> (B, N, *size). A place sees 13 x 13 pixels."""
    layers = [convolution(a, b, dimensions, 5) for a, b in pairwise((1, features, features))]
    return nn.Sequential(*layers, heatmap_layer(features, landmarks, dimensions, 5))


class PairwiseConfiguration(nn.Module):
    """Spatial configuration as a sum of what each other landmark says of one: (B, N, *size) -> the same shape.

    One kernel for each pair of landmarks, none of a landmark with itself, at 1 / shrink of the size; cubic upsampling.
    """

    def __init__(self, landmarks: int, dimensions: int = 2, shrink: int = 8, kernel: int = 15):
        super().__init__()
        self.shrink, self.pool = shrink, shrinking(shrink, dimensions)
        self.pairs = heatmap_layer(landmarks, landmarks, dimensions, kernel)
        self.convolve: Any = {2: F.conv2d, 3: F.conv3d}[dimensions]
        self.others: Tensor
        self.register_buffer("others", (1 - torch.eye(landmarks))[(..., *[None] * dimensions)], persistent=False)

    def forward(self, appearance: Tensor) -> Tensor:
        coarse = self.pool(padded(appearance, self.shrink))
        coarse = self.convolve(coarse, self.pairs.weight * self.others, self.pairs.bias, padding="same")
        return cropped(enlarged(coarse, self.shrink), appearance.shape[2:])
