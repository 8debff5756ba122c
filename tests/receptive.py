"""How far one output of a convolutional network sees, from the gradient."""

from __future__ import annotations

import torch
from torch import nn

CONVOLUTIONS = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d
LINEAR = {nn.InstanceNorm2d: nn.Identity, nn.ReLU: nn.Identity, nn.MaxPool2d: lambda: nn.AvgPool2d(2)}


def positive(network: nn.Module) -> nn.Module:
    """The network without norms, which look at the whole image, and with all weights of a layer equal and above 0: nothing that a
    place sees cancels out, and no maximum or threshold hides it."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in LINEAR:
                setattr(parent, name, LINEAR[type(child)]())
    for layer in network.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    return network.eval()


def receptive_field(network: nn.Module, inputs: int, side: int) -> int:
    """The widest extent along an axis of the pixels that one output pixel depends on, over a block of neighbouring ones.

    Of several outputs the first is looked at.
    """
    widest = 0
    for place in range(side // 2, side // 2 + 16):
        image = torch.ones(1, inputs, side, side, dtype=torch.double, requires_grad=True)
        outputs = network.double()(image)
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        first[0, 0, place, place].backward()
        columns = image.grad[0].abs().amax((0, 1)).nonzero()[:, 0]
        widest = max(widest, int(columns.max() - columns.min()) + 1)
    return widest
