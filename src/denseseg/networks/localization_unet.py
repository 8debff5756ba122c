"""The Localization U-Net, which Payer et al. 2019 compare their network with (Section 3.1), in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from denseseg.networks.localization import convolution, doubling, heatmap_layer, shrinking
from denseseg.networks.unet import cropped, padded


class LocalizationUNet(nn.Module):
    """(B, 1, *size) images -> (B, N, *size) heatmaps, unbounded.

    Two convolutions a level on the way down, two on the way up, average pooling, linear upsampling, dropout at the end of the
    deepest two levels and a 1 x 1 convolution for the heatmaps as in the original U-Net. channels: features of each level; the
    paper's are 128 in each of five levels, in three dimensions 64 in each of four. With five levels a place sees 236 pixels.
    """

    def __init__(self, landmarks: int, channels: Sequence[int] = (128,) * 5, dimensions: int = 2, dropout: float = 0.5):
        super().__init__()
        self.multiple, deepest = 2 ** (len(channels) - 1), len(channels) - 2

        def pair(before: int, own: int, drop: float = 0.0) -> nn.Sequential:
            return nn.Sequential(convolution(before, own, dimensions), convolution(own, own, dimensions, dropout=drop))

        levels = enumerate(pairwise((1, *channels)))
        self.down = nn.ModuleList(pair(before, own, dropout if n >= deepest else 0.0) for n, (before, own) in levels)
        self.up = nn.ModuleList(pair(own + below, own) for own, below in pairwise(channels))
        self.pool, self.upsample = shrinking(2, dimensions), doubling(dimensions)
        self.heatmaps = heatmap_layer(channels[0], landmarks, dimensions, kernel=1)

    def forward(self, images: Tensor) -> Tensor:
        features, levels = padded(images, self.multiple), []
        for number, down in enumerate(self.down):
            features = down(self.pool(features) if number else features)
            levels.append(features)
        for up, own in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            features = up(torch.cat([own, self.upsample(features)], dim=1))
        return cropped(self.heatmaps(features), images.shape[2:])
