"""What the networks of Payer et al. 2019 are made of (Section 3), in two and three dimensions, and widths that are learned."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn, ones
from torch.nn import functional as F

FAINT = 0.001  # SD of the first weights of what paints heatmaps: they begin near 0, "as otherwise training would not converge"
NARROWEST = 0.25  # pixels: a narrower Gaussian falls between the pixels


def convolution(inputs: int, outputs: int, dimensions: int, kernel: int = 3, dropout: float = 0.0) -> nn.Sequential:
    """A convolution that keeps the size, dropout and a leaky ReLU; first weights as in He et al. 2015, biases 0."""
    layer = getattr(nn, f"Conv{dimensions}d")(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(layer, *[nn.Dropout(dropout)] * (dropout > 0), nn.LeakyReLU(0.1))


def heatmap_layer(inputs: int, landmarks: int, dimensions: int, kernel: int = 3) -> Any:
    """A linear convolution that paints one heatmap a landmark, faint ones at first."""
    layer = getattr(nn, f"Conv{dimensions}d")(inputs, landmarks, kernel, padding=kernel // 2)
    nn.init.normal_(layer.weight, std=FAINT)
    nn.init.zeros_(layer.bias)
    return layer


def shrinking(factor: int, dimensions: int) -> nn.Module:
    """Average pooling: each side shrinks by the factor."""
    return getattr(nn, f"AvgPool{dimensions}d")(factor)


def doubling(dimensions: int) -> nn.Module:
    """Linear upsampling: each side doubles."""
    return nn.Upsample(scale_factor=2, mode={2: "bilinear", 3: "trilinear"}[dimensions], align_corners=False)


def enlarged(maps: Tensor, factor: int) -> Tensor:
    """(B, N, *size) maps or volumes with each side grown by the factor, by cubic interpolation; it overshoots a little."""
    if maps.ndim == 4:
        return F.interpolate(maps, scale_factor=factor, mode="bicubic", align_corners=False)
    # torch has no tricubic; but a cubic is separable, so the planes are enlarged first, and then the depth alone
    planes = F.interpolate(maps.flatten(1, 2), scale_factor=factor, mode="bicubic", align_corners=False)
    planes = planes.unflatten(1, maps.shape[1:3])
    columns = F.interpolate(planes.flatten(3), scale_factor=(factor, 1), mode="bicubic", align_corners=False)
    return columns.unflatten(3, planes.shape[3:])


class LearnedWidths(nn.Module):
    """A network with heatmaps, and with them the width of each landmark's spot, learned like a weight (Section 2.1).

    images -> heatmaps (B, N, *size), widths (N,) in pixels. All begin at `sigma`; learned: False keeps them there. unit: pixels in
    which the parameter counts; Adam moves every parameter by about its learning rate in a step, so a width by `unit` times that.
    Widths are returned by `forward`, since a network that is wrapped for training may be asked for nothing else.
    """

    def __init__(self, network: nn.Module, landmarks: int, sigma: float, learned: bool = True, unit: float = 1.0):
        super().__init__()
        self.network, self.unit = network, unit
        self.sigma = nn.Parameter(sigma / unit * ones(landmarks), requires_grad=learned)

    @property
    def widths(self) -> Tensor:
        """(N,) pixels."""
        return (self.unit * self.sigma).abs().clamp_min(NARROWEST)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(images), self.widths
