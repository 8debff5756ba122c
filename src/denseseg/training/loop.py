"""One training loop for every network: CPU, one GPU, or many with `torchrun`, without a change of code.

The loop knows tensors, an optimiser and a file to resume from; it knows neither cases nor methods. All cases live on the device;
augmentation and targets are computed there, batch by batch, in float32 and outside of autocast. Every epoch draws its order and its
augmentation from (seed, epoch), so an interrupted run that resumes ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from denseseg.augment import apply, draw
from denseseg.batch import Batch
from denseseg.errors import DataError, explained, validated
from denseseg.files import DamagedError, atomic_file, exists, locked, plain, read_tensors, write_tensors
from denseseg.training.settings import Epochs, Run, TrainingSettings, usable_device

if TYPE_CHECKING:
    from lightning.fabric import Fabric

CHECKPOINT = "checkpoint.safetensors"
SHARE = 0.05  # of the time that may go into checkpoints
PATIENCE = 30.0  # seconds: reading a run that has ended takes a few, and ten on a busy machine
TORCHRUN = ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
Validate = Callable[[], float]


class Trainable(Protocol):
    """What the loop trains; `methods.NetworkMethod` says what each part is. `rng` of the inputs differs between ranks."""

    network: nn.Module

    @property
    def loss_weights(self) -> Mapping[str, float]: ...

    def inputs(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, ...]: ...

    def targets(self, batch: Batch) -> dict[str, Tensor]: ...

    def losses(self, outputs: Any, targets: dict[str, Tensor]) -> dict[str, Tensor]: ...


def train(
    trainable: Trainable, data: Batch, settings: TrainingSettings, run: Run, identity: str = "", validate: Validate | None = None
) -> pd.DataFrame:
    """Train a network; afterwards it is in evaluation mode and holds the weights that were best by `validate`, or else the last.

    data: all training cases. identity: what decides the result besides settings, seed and precision; a run found in `run.folder`
        with the same identity is resumed, one with another raises DataError.
    validate: returns an error, small is good; called now and then, with the moving average of the weights in place where there is
        one.
    Returns the history, a row an epoch: epoch, learning_rate, loss, each term, validation_error (NaN where not measured), steps
    done, processor_seconds that they took (all threads of this process; without validation), and seconds of the whole epoch.
    Raises DataError where the loss is not finite, a file cannot be written, or another program trains in the same folder.
    """
    _check(trainable, data)
    usable_device(run.resolved_device)
    devices = range(torch.cuda.device_count()) if run.resolved_device == "cuda" else []
    # the caller's random numbers go on as if nothing had been drawn
    with exclusive(run), torch.random.fork_rng(devices):
        loop = _Loop(trainable, data, settings, run, identity, validate)
        if loop.next and run.progress and loop.fabric.global_rank == 0:
            print(f"{loop.next} epochs done already:", "nothing is" if loop.finished else "the rest is", "trained now", flush=True)
        while not loop.finished:
            loop.epoch()
            if run.progress and loop.fabric.global_rank == 0 and loop.worth_a_line:
                print(_line(loop.history[-1], loop.epochs), flush=True)
        return loop.finish()


def _line(row: dict[str, float], epochs: int) -> str:
    """One epoch as text, which a page, a log and a terminal show alike."""
    error = "" if np.isnan(row["validation_error"]) else f"  validation {row['validation_error']:.2f}"
    return f"epoch {int(row['epoch']) + 1:3d}/{epochs}  loss {row['loss']:.4f}  {row['seconds']:.1f} s{error}"


def _check(trainable: Trainable, data: Batch) -> None:
    """Raise DataError where nothing can be learned, before it is told as a loss that is not finite."""
    if not any(weight > 0 for weight in trainable.loss_weights.values()):
        raise DataError("no term of the loss has a weight; give loss_weights at least one above 0")
    for what, values in (("the image", data.images), ("a landmark", data.landmarks.nan_to_num(0.0, torch.inf, -torch.inf))):
        if len(bad := (~values.isfinite()).flatten(1).any(1).nonzero()):
            raise DataError(f"{what} of training case number {int(bad[0]) + 1} is not finite; read that case again")


def torchrun_rank() -> int | None:
    """The number of this process among those that torchrun has started, from 0; None where it has started none.

    Variables of a cluster that are left in the environment, all of torchrun's or some, do not make other processes.
    """
    return int(os.environ["RANK"]) if all(os.environ.get(name) for name in TORCHRUN) else None


def exclusive(run: Run) -> AbstractContextManager[None]:
    """Inside, no other program trains in the run's folder; see `files.locked`. Processes of one torchrun are one program.

    Two that only read a run which has ended meet here, too: the second one waits for the first.
    """
    return nullcontext() if run.folder is None or torchrun_rank() else locked(run.folder, PATIENCE)


def make_fabric(run: Run) -> Fabric:
    """Lightning Fabric for a run: one process, or those that torchrun has started. Raises DataError where it cannot be made."""
    # Lightning takes seconds to load: only those who train pay for it
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments import LightningEnvironment

    precision: Any = run.resolved_precision
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)  # else each page tells the precision
    shape: dict[str, Any] = {"devices": 1, "plugins": LightningEnvironment()}  # whatever a cluster's variables say
    if torchrun_rank() is not None:  # it says how many processes share this machine
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        # a head whose loss has no weight gets no gradient, which processes must be told to expect
        strategy = "ddp_find_unused_parameters_true"
        shape = {"devices": devices, "num_nodes": int(os.environ["WORLD_SIZE"]) // devices, "strategy": strategy}
    with explained(f"no training with device={run.device!r} and precision={precision!r}", "take 'auto' for both"):
        fabric = Fabric(accelerator=run.resolved_device, precision=precision, **shape)
        fabric.launch()
    return fabric


def everywhere(run: Run, number: float) -> float:
    """The mean of a number over the processes of a run, so that they go on with the same."""
    fabric = make_fabric(run)
    mean: Any = fabric.all_reduce(torch.tensor(number, device=fabric.device), reduce_op="mean")
    return float(mean)


class _Header(BaseModel):
    """What a checkpoint says besides its tensors."""

    identity: str
    history: list[dict[str, float | None]]
    best_error: float | None
    best_epoch: int


class _Loop:
    """The state of one training."""

    def __init__(
        self, trainable: Trainable, data: Batch, settings: TrainingSettings, run: Run, identity: str, validate: Validate | None
    ):
        self.trainable, self.settings, self.run, self.validate = trainable, settings, run, validate
        self.fabric = make_fabric(run)
        self.data = data.to(self.fabric.device)
        self.raw = trainable.network.to(self.fabric.device)
        self.network, self.optimiser = self.fabric.setup(self.raw, settings.optimiser.make(self.raw))
        self.scaler = self.fabric.strategy.precision  # only that of "16-mixed" has a state: how far it scales the loss up
        self.averaged: AveragedModel | None = None
        if settings.ema_decay:
            self.averaged = AveragedModel(self.raw, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
        if settings.patience is not None and validate is None:
            raise DataError(
                f"patience={settings.patience} waits for a better validation error; give validation cases or no patience"
            )
        batch, processes = min(settings.batch_size, len(data)), self.fabric.world_size
        if batch % processes:
            fault = f"a batch of {batch} cases cannot be shared evenly by {processes} processes"
            raise DataError(f"{fault}; start {math.gcd(batch, processes)}, or change batch_size")
        if batch < settings.batch_size and run.progress and self.fabric.global_rank == 0:
            print(f"batch_size={settings.batch_size} is larger than the set: each batch holds all {batch} cases", flush=True)
        self.per_epoch = max(1, len(self.data) // settings.batch_size)
        length = settings.length
        self.steps = length.epochs * self.per_epoch if isinstance(length, Epochs) else length.steps
        self.epochs = -(-self.steps // self.per_epoch)
        self.history: list[dict[str, float]] = []
        self.best: tuple[float, int, dict[str, Tensor]] = (float("inf"), -1, {})
        parts = (identity, settings, run.seed, run.resolved_precision, self.fabric.world_size, validate is not None)
        self.identity = hashlib.sha256(repr(parts).encode()).hexdigest()
        self.saved = (time.perf_counter(), 0.0)  # when, and how long it took
        if run.folder is not None:
            self._resume(run.folder / CHECKPOINT)

    # ---- one epoch ----------------------------------------------------------------------------------------------

    @property
    def next(self) -> int:
        """Number of the next epoch, from 0."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        patience, (_, best, _) = self.settings.patience, self.best
        exhausted = patience is not None and best >= 0 and self.next - 1 - best >= patience
        return self.next >= self.epochs or exhausted

    @property
    def worth_a_line(self) -> bool:
        return len(self.history) == 1 or not np.isnan(self.history[-1]["validation_error"])

    def epoch(self) -> None:
        began, worked, epoch, settings = time.perf_counter(), time.process_time(), self.next, self.settings
        rate = settings.schedule.rate(settings.optimiser.learning_rate, epoch / self.epochs)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        seed = mixed(self.run.seed, epoch, 1 + self.fabric.global_rank)  # not that of `_batches`: a 0 behind changes nothing
        torch.manual_seed(seed)  # dropout and the like
        rng = torch.Generator().manual_seed(seed)
        self.network.train()
        terms = [self._step(batch, rng) for batch in self._batches(epoch)]
        self.network.eval()
        row = {"epoch": float(epoch), "learning_rate": rate, **self._means(terms), "validation_error": float("nan")}
        row |= {"steps": float(len(terms)), "processor_seconds": time.process_time() - worked}
        every = settings.validate_every
        if self.validate is not None and (epoch == self.epochs - 1 or epoch % every == every - 1):
            row["validation_error"] = self._validated(self.validate, epoch)
        row["seconds"] = time.perf_counter() - began
        self.history.append(row)
        self._keep()

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """This rank's parts of an epoch's batches, augmented: each case as it would be if there were one rank only."""
        generator = torch.Generator().manual_seed(mixed(self.run.seed, epoch))
        order = torch.randperm(len(self.data), generator=generator)
        size, rank, world = self.settings.batch_size, self.fabric.global_rank, self.fabric.world_size
        steps = min(self.per_epoch, self.steps - epoch * self.per_epoch)
        for index in order.split(size)[:steps]:
            changes = draw(len(index), self.data.size, self.settings.augmentation, generator)
            yield apply(self.data.select(index[rank::world]), changes[rank::world])

    def _step(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            targets = self.trainable.targets(batch)
            inputs = self.trainable.inputs(batch, rng)
        terms = self.trainable.losses(self.network(*inputs), targets)
        weights = self.trainable.loss_weights
        loss = torch.stack([weights[name] * value for name, value in terms.items() if weights.get(name)]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        if self.settings.gradient_clip is not None:
            self.fabric.clip_gradients(self.network, self.optimiser, max_norm=self.settings.gradient_clip)
        self.optimiser.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.raw)
        return {"loss": loss.detach(), **{name: value.detach() for name, value in terms.items()}}

    def _means(self, steps: list[dict[str, Tensor]]) -> dict[str, float]:
        """Means over the steps of an epoch and over ranks: the only place where losses are read back from the device."""
        names = list(steps[0])
        values = torch.stack([torch.stack([step[name].double() for name in names]) for step in steps]).mean(0)
        everywhere: Any = self.fabric.all_reduce(values, reduce_op="mean")  # a rank sees its own cases only
        means = dict(zip(names, everywhere.tolist(), strict=True))
        if not np.isfinite(means["loss"]):
            rate, lost = self.settings.optimiser.learning_rate, [name for name in names[1:] if not np.isfinite(means[name])]
            where = f" in epoch {self.next + 1} (from {', '.join(lost)})" if lost else ""
            raise DataError(f"the loss is {means['loss']}{where}: lower the learning rate ({rate:g})")
        return means

    # ---- validation ---------------------------------------------------------------------------------------------

    def _validated(self, validate: Validate, epoch: int) -> float:
        with self._averaged_weights():
            error = validate()
            if error < self.best[0]:
                self.best = (error, epoch, {key: value.detach().cpu().clone() for key, value in self.raw.state_dict().items()})
        return error

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Inside, the network holds the moving average of its weights, where there is one."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        if self.averaged is not None:
            for own, mean in zip(self.raw.parameters(), self.averaged.module.parameters(), strict=True):
                own.data, mean.data = mean.data, own.data

    def finish(self) -> pd.DataFrame:
        if self.best[2]:
            self.raw.load_state_dict(self.best[2])
        else:
            self._swap()
        self.raw.eval()
        return pd.DataFrame(self.history)

    # ---- checkpoint ---------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Write a checkpoint at the end, and in between as often as the share of time allows that writing may take."""
        since, cost = self.saved
        due = self.finished or SHARE * (time.perf_counter() - since) >= cost
        if self.run.folder is not None and self.fabric.global_rank == 0 and due:
            began = time.perf_counter()
            self._save(self.run.folder)
            self.saved = (time.perf_counter(), time.perf_counter() - began)

    def _save(self, folder: Path) -> None:
        header = _Header(
            identity=self.identity,
            history=plain(self.history),
            best_error=self.best[0] if self.best[1] >= 0 else None,
            best_epoch=self.best[1],
        )
        states = {f"{i}.{key}": v for i, state in self.optimiser.state_dict()["state"].items() for key, v in state.items()}
        parts = {"network": self.raw.state_dict(), "best": self.best[2], "optimiser": states, "scaler": self.scaler.state_dict()}
        if self.averaged is not None:
            parts["averaged"] = self.averaged.state_dict()
        tensors = {f"{part}/{key}": torch.as_tensor(value) for part, state in parts.items() for key, value in state.items()}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_tensors(folder / CHECKPOINT, tensors, header.model_dump())
            with atomic_file(folder / "history.csv") as temporary:
                pd.DataFrame(self.history).to_csv(temporary, index=False)
        except (OSError, DataError) as error:
            raise DataError(f"{error}; training resumes at the last checkpoint") from None

    def _resume(self, path: Path) -> None:
        if not exists(path):
            return
        try:
            tensors, content = read_tensors(path)
        except DamagedError as error:
            raise DataError(f"{error}, or move {path.name} away to train from the start") from None
        header = validated(_Header, content, str(path))
        if header.identity != self.identity:
            raise DataError(
                f"{path} belongs to a run with another recipe, data, settings, precision or number of processes; "
                "choose another folder or move it away"
            )
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}, "averaged": {}, "scaler": {}}
        for name, value in tensors.items():
            part, _, key = name.partition("/")
            parts[part][key] = value
        self.raw.load_state_dict(parts["network"])
        if self.averaged is not None:
            self.averaged.load_state_dict(parts["averaged"])
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimiser"].items():
            index, _, key = name.partition(".")
            states.setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": states})
        if parts["scaler"]:
            self.scaler.load_state_dict({key: value.item() for key, value in parts["scaler"].items()})
        nan = float("nan")
        self.history = [{key: nan if value is None else value for key, value in row.items()} for row in header.history]
        self.best = (float("inf") if header.best_error is None else header.best_error, header.best_epoch, parts["best"])


def mixed(*numbers: int) -> int:
    """One seed from several numbers, well apart for neighbours."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])
