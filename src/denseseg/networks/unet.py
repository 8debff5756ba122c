"""The convolutional networks: one U-Net, and the heads that methods put on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from denseseg.networks.residual_unet import ResidualUNet, ResidualUnit


def residual_head(features: int, outputs: int) -> nn.Sequential:
    """Two residual units and a 1x1 convolution: (B, features, H, W) -> (B, outputs, H, W)."""
    return nn.Sequential(
        ResidualUnit(features, features), ResidualUnit(features, features), nn.Conv2d(features, outputs, kernel_size=1)
    )


class HeadedUNet(nn.Module):
    """The U-Net, to whose features a subclass adds heads."""

    def __init__(self, channels: Sequence[int]):
        super().__init__()
        self.unet, self.multiple = ResidualUNet(channels), 2 ** (len(channels) - 1)

    def maps(self, images: Tensor, *heads: nn.Module) -> list[Tensor]:
        """What each head makes of the features of (B, 1, H, W) images: (B, K, H, W) with its own K."""
        features = self.unet(padded(images, self.multiple))
        return [cropped(head(features), images.shape[2:]) for head in heads]


class TwoHeadUNet(HeadedUNet):
    """DenseSeg's network: shared features, one head for masks, one for uv maps (paper, Fig. 2).

    (B, 1, H, W) -> mask logits (B, C, H, W) and uv (B, C, 2, H, W). The uv head ends linearly, without tanh.
    """

    def __init__(self, structures: int, channels: Sequence[int] = (64, 128, 256, 512)):
        super().__init__(channels)
        self.mask_head = residual_head(channels[0], structures)
        self.uv_head = residual_head(channels[0], 2 * structures)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, uv = self.maps(images, self.mask_head, self.uv_head)
        return logits, uv.unflatten(1, (-1, 2))


class MaskHeatmapUNet(HeadedUNet):
    """HeatRegSeg's network: DenseSeg's with a head for heatmaps in place of that for uv maps (paper, Section 3.6).

    (B, 1, H, W) -> mask logits (B, C, H, W) and heatmaps (B, N, H, W).
    """

    def __init__(self, structures: int, landmarks: int, channels: Sequence[int] = (64, 128, 256, 512)):
        super().__init__(channels)
        self.mask_head = residual_head(channels[0], structures)
        self.heatmap_head = residual_head(channels[0], landmarks)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, heatmaps = self.maps(images, self.mask_head, self.heatmap_head)
        return logits, heatmaps


class OneHeadUNet(HeadedUNet):
    """The same U-Net with a 1x1 convolution to one map a landmark, or a structure: (B, 1, H, W) -> (B, K, H, W)."""

    def __init__(self, maps: int, channels: Sequence[int] = (64, 128, 256, 512)):
        super().__init__(channels)
        self.head = nn.Conv2d(channels[0], maps, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images, self.head)[0]


def padded(images: Tensor, multiple: int) -> Tensor:
    """(B, K, *size) images or volumes, grown at the end of each axis so that all sides are multiples, two of them at least."""
    missing = [max(2 * multiple, -(-side // multiple) * multiple) - side for side in images.shape[2:]]
    if not any(missing):
        return images
    return F.pad(images, [end for side in reversed(missing) for end in (0, side)], mode="replicate")


def cropped(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(B, K, *grown) maps of a padded image, reduced to the image's own `size`: the inverse of `padded`."""
    inside: Any = (..., *map(slice, size))
    return maps[inside]


def parameter_count(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
