"""Ham and Oh's U-Net: its size, its shapes, and how far it sees."""

from __future__ import annotations

from itertools import pairwise

import torch
from receptive import positive, receptive_field

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


def test_a_pixel_sees_as_far_as_stated():
    assert receptive_field(positive(ClassicUNet(1, (1, 1, 1, 1, 1))), 1, 288) == 236
