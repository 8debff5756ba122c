"""The two networks of shape regression: a shortened ResNet18 that looks, and a PointTransformer that moves points.

Sources: He et al. 2016 (ResNet), Zhao et al. 2021 (PointTransformer), and how DenseSeg's paper joins them (Section 3.6).
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

STRIDE = 8  # pixels from one feature of `DilatedResNet` to the next


class DilatedResNet(nn.Sequential):
    """ResNet18 cut to twelve convolutions, the last two dilated: (B, 1, H, W) -> (B, F, H / 8, W / 8), rounded up.

    channels: features of the first two stages, (64, 128) in ResNet18; F is the first of them. For 256 x 256 pixels that makes
    64 x 32 x 32. Feature [i, j] is centred on pixel [8 i, 8 j] and sees 163 x 163 pixels round it.

    The paper's count is reached with the shortcut's 1x1 convolution: one, four in the first stage, five in the second. The eleventh
    and twelfth, where ResNet18 halves the resolution again, are dilated instead. The first ten have torchvision's names.
    """

    def __init__(self, channels: tuple[int, int] = (64, 128)):
        from monai.networks.nets import ResNet  # MONAI takes seconds to load: only those who build this network pay for it

        narrow, wide = channels
        # MONAI's has two further stages, which are left out here
        whole = ResNet(
            "basic", [2, 2, 1, 1], [narrow, wide, 1, 1], spatial_dims=2, n_input_channels=1, conv1_t_stride=2,
            bias_downsample=False, feed_forward=False,
        )  # fmt: skip
        kept = OrderedDict((name, getattr(whole, name)) for name in ("conv1", "bn1", "act", "maxpool", "layer1", "layer2"))
        super().__init__(kept | {"dilated": nn.Sequential(*_dilated(wide, narrow), *_dilated(narrow, narrow))})


def _dilated(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=2, dilation=2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class VectorAttention(nn.Module):
    """Attention of each point to its neighbours, with a vector of weights instead of a single one (Zhao et al. 2021, Eq. 3).

    From features (B, N, F), points (B, N, 2) and the indices of each point's neighbours (B, N, k) to features (B, N, F).
    Eight features share a weight, or a smaller divisor of F where it is not divisible by eight.
    """

    def __init__(self, features: int):
        super().__init__()
        self.planes = math.gcd(8, features)
        weights = features // self.planes
        self.query, self.key, self.value = (nn.Linear(features, features) for _ in range(3))
        self.position = nn.Sequential(nn.Linear(2, features), nn.ReLU(), nn.Linear(features, features))
        self.weight = nn.Sequential(nn.Linear(features, weights), nn.ReLU(), nn.Linear(weights, weights))

    def forward(self, features: Tensor, points: Tensor, neighbours: Tensor) -> Tensor:
        case = torch.arange(len(points), device=points.device)[:, None, None]
        offset = self.position(points[:, :, None] - points[case, neighbours])  # (B, N, k, F)
        relation = self.query(features)[:, :, None] - self.key(features)[case, neighbours] + offset
        weights = self.weight(relation).softmax(2)[..., None, :]  # (B, N, k, 1, F / planes)
        values = (self.value(features)[case, neighbours] + offset).unflatten(-1, (self.planes, -1))
        return (weights * values).sum(2).flatten(2)


class PointTransformerBlock(nn.Module):
    """A residual block (Zhao et al. 2021, Fig. 4a): linear, vector attention, linear. Layer norm in place of batch norm, since a
    batch holds few shapes. Arguments and result as of `VectorAttention`."""

    def __init__(self, features: int):
        super().__init__()
        self.before = nn.Sequential(nn.Linear(features, features), nn.LayerNorm(features), nn.ReLU())
        self.attention = VectorAttention(features)
        self.after = nn.Sequential(nn.LayerNorm(features), nn.ReLU(), nn.Linear(features, features))

    def forward(self, features: Tensor, points: Tensor, neighbours: Tensor) -> Tensor:
        return features + self.after(self.attention(self.before(features), points, neighbours))


class PointTransformer(nn.Module):
    """Features (B, N, inputs) of N points, and their places (B, N, 2), to a vector for each (B, N, 2); at first all zero.

    Each point attends to the `neighbours` nearest ones, itself among them. Which point is which, places and image cannot tell where
    structures overlap: each point has learned features of its own too.
    """

    def __init__(self, points: int, inputs: int, features: int, blocks: int, neighbours: int = 16):
        super().__init__()
        self.neighbours = min(neighbours, points)
        self.first = nn.Linear(inputs, features)
        self.identity = nn.Parameter(torch.randn(points, features))
        self.blocks = nn.ModuleList(PointTransformerBlock(features) for _ in range(blocks))
        self.last = nn.Linear(features, 2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Tensor, points: Tensor) -> Tensor:
        nearest = torch.cdist(points, points).topk(self.neighbours, largest=False).indices
        x = self.first(features) + self.identity
        for block in self.blocks:
            x = block(x, points, nearest)
        return self.last(x)
