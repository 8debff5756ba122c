"""The U-Net as it was first drawn, with instance norm: two convolutions a level, max pooling, concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from denseseg.networks.unet import cropped, padded

KIND: dict[str, Any] = {"act": "relu", "norm": "instance", "bias": False}  # a bias would be normalised away


class ClassicUNet(nn.Module):
    """Ham and Oh's U-Net (Section 3.1, Fig. 3): (B, 1, H, W) -> (B, outputs, H, W), linear at its end.

    On each level two 3 x 3 convolutions, each with instance norm and ReLU; 2 x 2 max pooling on the way down, bilinear upsampling
    and concatenation on the way up. It is made of the parts of MONAI's BasicUNet, which always has five levels and brings the
    features down to half by a convolution as it upsamples; the paper has upsampling alone. Norms have no weights. With the default
    channels and 37 outputs 31.37 M parameters; an output pixel sees at most 236 x 236 of the input, apart from what the norms tell
    of the whole.
    """

    def __init__(self, outputs: int, channels: Sequence[int] = (64, 128, 256, 512, 1024)):
        # MONAI takes seconds to load: only those who build this network pay for it
        from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

        super().__init__()
        self.multiple = 2 ** (len(channels) - 1)
        self.first = TwoConv(2, 1, channels[0], **KIND)
        self.down = nn.ModuleList(Down(2, above, below, **KIND) for above, below in pairwise(channels))
        up = {"upsample": "nontrainable", "pre_conv": None, "align_corners": False, "halves": False, **KIND}
        self.up = nn.ModuleList(UpCat(2, below, above, above, **up) for above, below in pairwise(channels))
        self.last = nn.Conv2d(channels[0], outputs, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        levels = [self.first(padded(images, self.multiple))]
        for down in self.down:
            levels.append(down(levels[-1]))
        features = levels.pop()
        for up in reversed(self.up):
            features = up(features, levels.pop())
        return cropped(self.last(features), images.shape[2:])
