"""The convolutional networks: one U-Net, and the heads that methods put on it."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import ResidualUnit
from monai.networks.nets import UNet
from torch import Tensor, nn

NORM = ("instance", {"affine": True})
ACTIVATION = "leakyrelu"


def residual_unet(channels: Sequence[int] = (64, 128, 256, 512)) -> UNet:
    """The paper's U-Net (Section 3.4): (B, 1, H, W) -> (B, channels[0], H, W).

    Residual units of two convolutions, instance norm, leaky ReLU, no bias; each further level halves the resolution, so H and W
    must be multiples of 2^(levels - 1). With the default channels 6.51 M parameters.
    """
    return UNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=channels[0],
        channels=channels,
        strides=(2,) * (len(channels) - 1),
        num_res_units=2,
        norm=NORM,
        act=ACTIVATION,
        bias=False,
    )


def residual_head(features: int, outputs: int) -> nn.Sequential:
    """Two residual units and a 1x1 convolution: (B, features, H, W) -> (B, outputs, H, W)."""
    units = [ResidualUnit(2, features, features, norm=NORM, act=ACTIVATION, bias=False) for _ in range(2)]
    return nn.Sequential(*units, nn.Conv2d(features, outputs, kernel_size=1))


class TwoHeadUNet(nn.Module):
    """DenseSeg's network: shared features, one head for masks, one for uv maps (paper, Fig. 2).

    (B, 1, H, W) -> mask logits (B, C, H, W) and uv (B, C, 2, H, W). The uv head ends linearly, without tanh.
    """

    def __init__(self, structures: int, channels: Sequence[int] = (64, 128, 256, 512)):
        super().__init__()
        self.unet = residual_unet(channels)
        self.mask_head = residual_head(channels[0], structures)
        self.uv_head = residual_head(channels[0], 2 * structures)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.unet(images)
        uv = self.uv_head(features)
        return self.mask_head(features), uv.unflatten(1, (-1, 2))


class HeatmapUNet(nn.Module):
    """The same U-Net with one heatmap a landmark: (B, 1, H, W) -> (B, N, H, W)."""

    def __init__(self, landmarks: int, channels: Sequence[int] = (64, 128, 256, 512)):
        super().__init__()
        self.unet = residual_unet(channels)
        self.head = nn.Conv2d(channels[0], landmarks, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.unet(images))


def parameter_count(network: nn.Module | None) -> int:
    """Number of trainable parameters; 0 for a method without a network."""
    return 0 if network is None else sum(p.numel() for p in network.parameters() if p.requires_grad)
