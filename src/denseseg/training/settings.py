"""How to train, at full size, and what is particular to one run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import nn

from denseseg.augment import Augmentation
from denseseg.errors import checked, explained

Share = Annotated[float, Field(ge=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, le=1)]


@checked
class Epochs:
    """So many passes over the training cases. A last batch that would be smaller than the others is left out, as published."""

    epochs: PositiveInt


@checked
class Steps:
    """So many steps of the optimiser, in as many passes over the training cases as that takes."""

    steps: PositiveInt


@checked
class Seconds:
    """As many steps as take so long: processor seconds of all threads, or on a GPU seconds. Steps are timed once, before the run,
    and the number is kept, so that a run which was stopped goes on with the same."""

    seconds: PositiveFloat


@checked
class Adam:
    """Kingma and Ba 2015."""

    learning_rate: Rate = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Decay = 0.0
    name: Literal["adam"] = "adam"

    def make(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), self.learning_rate, self.betas, weight_decay=self.weight_decay)


@checked
class SGD:
    """Stochastic gradient descent with momentum, by default Nesterov's."""

    learning_rate: Rate
    momentum: Share = 0.9
    nesterov: bool = True
    weight_decay: Decay = 0.0
    name: Literal["sgd"] = "sgd"

    def make(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            network.parameters(),
            self.learning_rate,
            self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov and self.momentum > 0,  # without momentum there is nothing to look ahead along
        )


@checked
class Cosine:
    """The learning rate falls to `final` along half a cosine."""

    final: NonNegativeFloat = 1e-5
    name: Literal["cosine"] = "cosine"

    def rate(self, first: float, progress: float) -> float:
        """The learning rate after this share of the training, in [0, 1)."""
        return self.final + (first - self.final) * (1 + math.cos(math.pi * progress)) / 2


@checked
class Drops:
    """The learning rate is multiplied by `factor` at each of these shares of the training; with none it stays as it is."""

    at: tuple[Share, ...] = ()
    factor: Rate = 0.1
    name: Literal["drops"] = "drops"

    def rate(self, first: float, progress: float) -> float:
        """See `Cosine.rate`."""
        return first * self.factor ** sum(progress >= share for share in self.at)


@checked
class TrainingSettings:
    """How to train at full size; the defaults are the paper's (Section 3.5).

    The learning rate changes between epochs, by `schedule`. gradient_clip: largest norm of the gradient, or None.
    ema_decay: decay per step of the exponential moving average of the weights that is used for prediction; 0 uses the last weights.
    validate_every: epochs between validations. patience: epochs without a better validation error after which training stops, or
    None. augmentation: ranges of random changes to each batch.
    """

    length: Epochs | Steps = Epochs(100)
    batch_size: PositiveInt = 8
    optimiser: Annotated[Adam | SGD, Field(discriminator="name")] = Adam()
    schedule: Annotated[Cosine | Drops, Field(discriminator="name")] = Cosine()
    gradient_clip: PositiveFloat | None = None
    ema_decay: Share = 0.0
    validate_every: PositiveInt = 5
    patience: PositiveInt | None = None
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _check(self) -> TrainingSettings:
        first = self.optimiser.learning_rate
        if isinstance(self.schedule, Cosine) and self.schedule.final > first:
            raise ValueError(f"schedule.final={self.schedule.final:g} is above the first learning rate, {first:g}; lower it")
        if self.patience is not None and self.patience < self.validate_every:
            raise ValueError(f"patience={self.patience} epochs end before the next validation; give at least {self.validate_every}")
        return self

    def changed(self, **changes: Any) -> TrainingSettings:
        """These settings with some fields changed."""
        return replace(self, **changes)

    def scaled(self, length: float, largest_batch: int) -> TrainingSettings:
        """The same for a smaller run: `length` is a share of the epochs or steps, `largest_batch` caps the batch size."""
        if isinstance(self.length, Epochs):
            own: Epochs | Steps = Epochs(max(1, round(length * self.length.epochs)))
        else:
            own = Steps(max(1, round(length * self.length.steps)))
        return replace(self, length=own, batch_size=min(self.batch_size, largest_batch))


Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]


@checked
class Run:
    """What is particular to one training.

    seed: of the first weights, the order of the cases and the augmentation. folder: where the run keeps its checkpoint, so that it
    can be resumed, or None. device: "auto", "cpu" or "cuda". precision: of the network's arithmetic as Lightning Fabric calls it,
    or "auto", see `resolved_precision`; weights are always float32. progress: print a line for the first epoch and for each that is
    validated. fine_tune: begin with the weights that the method has, instead of new ones, and keep its template and shape model.
    """

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    folder: Path | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "auto"
    progress: bool = True
    fine_tune: bool = False

    @property
    def resolved_device(self) -> str:
        """ "cuda" or "cpu"."""
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device

    @property
    def resolved_precision(self) -> str:
        """For "auto", bfloat16 autocast where the device computes in it natively, else float32.

        A processor without such instructions emulates bfloat16, far slower than float32; with them a step of the course profile
        takes about two thirds of the time (results/benchmarks/training.json).
        """
        if self.precision == "16-mixed" and self.resolved_device == "cpu":
            return "bf16-mixed"  # as Fabric does: processors compute nothing in half precision
        if self.precision != "auto":
            return self.precision
        if self.resolved_device == "cuda":
            return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
        features = torch.cpu.get_capabilities()
        return "bf16-mixed" if features.get("avx512_bf16") or features.get("amx_bf16") else "32-true"


def usable_device(name: str | torch.device) -> torch.device:
    """A device by its name. Raises DataError where torch does not know it, or this machine has none."""
    with explained(f"device {str(name)!r} cannot be used here", "take cpu, or a device that this machine has"):
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    return device
