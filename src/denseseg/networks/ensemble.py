"""Several small networks of one kind, side by side in one module: E members cost little more than one.

A leading axis counts the members. Each has its own weights and sees its own batch; nothing passes between them.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class MemberLinear(nn.Module):
    """E fully connected layers: (E, n, inputs) -> (E, n, outputs). Weights begin as those of `nn.Linear`."""

    def __init__(self, members: int, inputs: int, outputs: int):
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class MemberNorm(nn.Module):
    """Batch normalisation of each member's features by itself: (E, n, features) -> the same shape."""

    def __init__(self, members: int, features: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(members * features)

    def forward(self, x: Tensor) -> Tensor:
        members, n, features = x.shape
        return self.norm(x.transpose(0, 1).reshape(n, -1)).view(n, members, features).transpose(0, 1)


class BoneNetworks(nn.Module):
    """E networks that read C bones with shared weights and then all bones together (paper, Section 3.2).

    Each bone's coordinates pass three layers with batch normalisation and ReLU, the same for all bones: `inputs` -> 32 -> 32 -> 8.
    The 8 C features, with `extra` numbers about the whole hand, pass 64 -> 32 -> `classes`.
    """

    def __init__(self, members: int, bones: int, inputs: int, extra: int, classes: int):
        super().__init__()
        widths = (inputs, 32, 32, 8)
        blocks = [(MemberLinear(members, a, b), MemberNorm(members, b), nn.ReLU()) for a, b in pairwise(widths)]
        self.bone = nn.Sequential(*(layer for block in blocks for layer in block))
        self.whole = nn.Sequential(
            MemberLinear(members, 8 * bones + extra, 64), nn.ReLU(), MemberLinear(members, 64, 32), nn.ReLU(),
            MemberLinear(members, 32, classes),
        )  # fmt: skip

    def forward(self, bones: Tensor, extra: Tensor) -> Tensor:
        """bones: (E, B, C, inputs), extra: (E, B, extra) -> logits (E, B, classes)."""
        features = self.bone(bones.flatten(1, 2)).unflatten(1, bones.shape[1:3])
        return self.whole(torch.cat([features.flatten(2), extra], dim=-1))
