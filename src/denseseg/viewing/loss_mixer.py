"""A loss mixer: a tiny network that learns one structure's uv map inside the page while the reader turns the loss weights.

`build` and `train` are the same network and training in PyTorch; they give the widget what it shows at first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from denseseg import losses
from denseseg.anatomy import Anatomy, Structure
from denseseg.errors import DataError
from denseseg.viewing.plots.style import UV_CORNERS
from denseseg.viewing.widget import Widget, counted, packed, pairs

CHANNELS, DILATIONS = 8, (1, 2, 4, 8)  # a pixel of the output sees 31 x 31 pixels of the image
RATE, BATCH = 5e-3, 2
TERMS = ("segmentation", "uv", "landmarks", "variation")


class LossMixer(Widget):
    """Train a tiny network in the page, with the weights of the four loss terms on sliders.

    images: (n, H, W), normalised. targets: as `DenseSeg.targets` gives them, of a single structure: "masks" (n, 1, H, W), "uv"
    (n, 1, 2, H, W), "valid" (n, 1, H, W) and "landmarks" (n, N, 2). goal: (N, 2), the template's uv of the landmarks.
    trained: the network learns from the first so many cases, an even number, and never from the others.
    epochs: of the training that is shown at first, from `seed` and with the weights 1, 2.5, 2.5 and 0.
    Raises DataError where shapes do not fit.

    segmentation, uv, landmarks, variation: weights of the loss terms. case: the one that is shown. running: whether it trains.
    history: value of each term on the training cases, a row an epoch, as it was when training last stopped.
    """

    module = "loss_mixer"
    title = "loss mixer"
    segmentation = traitlets.Float(1.0, min=0).tag(sync=True)
    uv = traitlets.Float(2.5, min=0).tag(sync=True)
    landmarks = traitlets.Float(2.5, min=0).tag(sync=True)
    variation = traitlets.Float(0.0, min=0).tag(sync=True)
    case = traitlets.Int(0).tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    history: traitlets.List = traitlets.List().tag(sync=True)

    def __init__(self, images: Any, targets: Mapping[str, Any], goal: Any, trained: int, epochs: int = 100, seed: int = 0) -> None:
        images, goal = (torch.as_tensor(array, dtype=torch.float32) for array in (images, goal))
        shown = {name: torch.as_tensor(targets[name]) for name in ("masks", "uv", "valid", "landmarks")}
        _check(images, shown, goal, trained)
        shown["uv"] = shown["uv"].nan_to_num()
        network = build(seed)
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        untrained = _flat(network.parameters())
        weights = {name: float(self.trait_defaults(name)) for name in TERMS}
        learned = {name: values[:trained] for name, values in shown.items()}
        history = [train(network, optimiser, images[:trained], learned, goal, weights) for _ in range(epochs)]
        others = len(images) - trained
        data = {
            "width": images.shape[2], "height": images.shape[1], "goal": pairs(goal, 6), "corners": UV_CORNERS.tolist(),
            "layers": _layers(network), "trained": trained, "batch": BATCH, "rate": RATE, "history": history,
            "untrained": untrained, "weights": _flat(network.parameters()), "adam": _adam(optimiser, network),
            "cases": [_packed_case(images[i], {name: values[i] for name, values in shown.items()}) for i in range(len(images))],
            "names": [str(i + 1) for i in range(trained)] + [f"new {i + 1}" for i in range(others)],
        }  # fmt: skip
        super().__init__(data=data, history=history, case=trained if others else 0)

    @traitlets.validate("case")
    def _known(self, proposal: Any) -> int:
        return counted(proposal, len(self.data["cases"]))


def build(seed: int) -> nn.Sequential:
    """The network, untrained: (B, 3, H, W) image, x and y -> (B, 3, H, W) logit, u and v."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for before, dilation in zip((3, *(CHANNELS,) * 3), DILATIONS, strict=True):
            layers += [nn.Conv2d(before, CHANNELS, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(CHANNELS, 3, 1))


def inputs(images: Tensor) -> Tensor:
    """(n, H, W) images -> (n, 3, H, W): the image, and where its pixels lie, x and y from -1 to 1."""
    height, width = images.shape[1:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([images, x.expand_as(images), y.expand_as(images)], dim=1)


def terms(outputs: Tensor, targets: Mapping[str, Tensor], goal: Tensor) -> dict[str, Tensor]:
    """The loss terms of (B, 3, H, W) outputs, by name; targets and goal as `LossMixer` takes them."""
    logits, uv, count = outputs[:, :1], outputs[:, None, 1:], len(goal)
    alone = Anatomy("one structure", (Structure("structure", count, "structure"),))
    return {
        "segmentation": losses.segmentation(logits, targets["masks"]),
        "uv": losses.uv_l1(uv, targets["uv"], targets["valid"]),
        "landmarks": losses.landmark_uv(uv, targets["landmarks"], goal, alone),
        "variation": losses.total_variation(uv, targets["masks"] > 0.5),
    }


def train(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    targets: Mapping[str, Tensor],
    goal: Tensor,
    weights: Mapping[str, float],
) -> list[float]:
    """One epoch, in batches of `BATCH` cases in their order. Returns the mean of each of the `TERMS`."""
    rows, everything = [], inputs(images)
    for some in torch.arange(len(images)).split(BATCH):
        found = terms(network(everything[some]), {name: values[some] for name, values in targets.items()}, goal)
        optimiser.zero_grad()
        torch.stack([weights[name] * found[name] for name in TERMS]).sum().backward()
        optimiser.step()
        rows.append([found[name].item() for name in TERMS])
    return [round(value, 5) for value in np.mean(rows, 0).tolist()]


def _flat(tensors: Iterable[Tensor]) -> str:
    """Tensors one after another, packed."""
    return packed(torch.cat([one.detach().flatten() for one in tensors]).numpy().astype("<f4"))


def _adam(optimiser: torch.optim.Adam, network: nn.Module) -> dict[str, Any]:
    """How far Adam has come: its number of steps and both running means, zeros before the first step."""
    states = [optimiser.state[weight] or {"exp_avg": 0 * weight, "exp_avg_sq": 0 * weight} for weight in network.parameters()]
    mean, square = (_flat(state[name] for state in states) for name in ("exp_avg", "exp_avg_sq"))
    return {"step": int(states[0].get("step", 0)), "mean": mean, "square": square}


def _layers(network: nn.Sequential) -> list[dict[str, int]]:
    """What the module must know of each convolution."""
    found = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    return [
        {"from": one.in_channels, "to": one.out_channels, "side": one.kernel_size[0], "dilation": one.dilation[0]} for one in found
    ]


def _packed_case(image: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Any]:
    places = targets["landmarks"].nan_to_num(-1)  # a missing one lies outside the image, where none counts
    mask, uv, valid = (targets[name][0].numpy() for name in ("masks", "uv", "valid"))
    return {
        "image": packed(image.numpy().astype("<f4")), "mask": packed(mask.astype("<f4")), "uv": packed(uv.astype("<f4")),
        "valid": packed(valid.astype(np.uint8)), "places": pairs(places, 6),
    }  # fmt: skip


def _check(images: Tensor, targets: Mapping[str, Tensor], goal: Tensor, trained: int) -> None:
    count, *size = images.shape
    wanted = {
        "masks": (count, 1, *size), "uv": (count, 1, 2, *size), "valid": (count, 1, *size), "landmarks": (count, len(goal), 2),
    }  # fmt: skip
    for name, shape in wanted.items():
        if tuple(targets[name].shape) != shape:
            raise DataError(f"{name} {tuple(targets[name].shape)} do not fit images {tuple(images.shape)}; give {shape}")
    if not 0 < trained <= count or trained % BATCH:
        raise DataError(f"{trained} training cases of {count}; give a multiple of {BATCH}, at most {count}")
