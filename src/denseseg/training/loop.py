"""One training loop for every method: CPU, one GPU, or many with `torchrun`, without a change of code.

All cases live on the device as tensors; augmentation and targets are computed there, batch by batch. Every epoch draws its order
and its augmentation from (seed, epoch), so an interrupted run that resumes ends with the weights of an uninterrupted one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from denseseg.augment import augment
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import inside_image
from denseseg.methods.method import Method
from denseseg.training.settings import TrainingSettings


def fit(
    method: Method,
    train: CaseSet,
    validation: CaseSet | None,
    settings: TrainingSettings,
    folder: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a method; afterwards its network holds the weights that were best on the validation cases.

    train, validation: sets of the method's anatomy and image size. validation may be None or empty: then the last weights stay.
    folder: where checkpoint.pt (each epoch, atomic) and history.csv go; a run found there with the same method, recipe, data and
        settings is resumed, one with others raises DataError. None keeps nothing.
    progress: print a line for the first epoch and for each that is validated.
    Returns the history, a row an epoch: epoch, learning_rate, loss, each term, validation_tre (pixels, NaN where not measured),
    seconds. A method without a network is only prepared, and its history is empty.
    """
    _require(method, train)
    method.prepare(train)
    if method.network is None:
        return pd.DataFrame()
    run = _Run(method, train, validation, settings, Path(folder) if folder is not None else None)
    for epoch in range(run.start, settings.epochs):
        if run.exhausted(epoch):
            break
        run.epoch(epoch)
        if progress and run.fabric.global_rank == 0 and (epoch == run.start or run.validates(epoch)):
            print(_line(run.history[-1], settings.epochs), flush=True)
    return run.finish()


def _line(row: dict[str, float], epochs: int) -> str:
    """One epoch as text, which a page, a log and a terminal show alike."""
    error = "" if np.isnan(row["validation_tre"]) else f"  validation {row['validation_tre']:.2f} px"
    return f"epoch {int(row['epoch']) + 1:3d}/{epochs}  loss {row['loss']:.4f}  {row['seconds']:.1f} s{error}"


def predict_all(method: Method, cases: CaseSet, batch_size: int = 8) -> list:
    """The method's predictions for every case, all of the method's size."""
    _require(method, cases)
    if method.network is not None:
        method.network.eval()
    images = torch.as_tensor(cases.images, device=method.device)[:, None]
    return [p for start in range(0, len(images), batch_size) for p in method.predict(images[start : start + batch_size])]


def _require(method: Method, cases: CaseSet) -> None:
    if not len(cases):
        raise DataError(f"{cases.name}: no cases to work on; check the split and the data set")
    if cases.anatomy != method.anatomy:
        raise DataError(f"{cases.name} shows the {cases.anatomy.name}, {method.name} was made for the {method.anatomy.name}")
    wrong = next((case for case in cases if case.size != method.size), None)
    if wrong is not None:
        raise DataError(f"case {wrong.id} is {wrong.size}, {method.name} was made for {method.size}; call resized({method.size})")


def _fabric(precision: Any) -> Fabric:
    cuda = torch.cuda.is_available()
    if precision == "auto":
        precision = "bf16-mixed" if cuda and torch.cuda.is_bf16_supported() else "32-true"
    # torchrun says how many processes share this machine; without it there is one, also inside a notebook
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    nodes = int(os.environ.get("WORLD_SIZE", 1)) // devices
    fabric = Fabric(accelerator="cuda" if cuda else "cpu", devices=devices, num_nodes=nodes, precision=precision)
    fabric.launch()
    return fabric


class _Run:
    """The state of one training run."""

    def __init__(self, method: Method, train: CaseSet, validation: CaseSet | None, settings: TrainingSettings, folder: Path | None):
        self.method, self.settings, self.folder = method, settings, folder
        self.validation = validation if validation is not None and len(validation) else None
        self.fabric = _fabric(settings.precision)
        network = method.network
        assert network is not None
        self.raw = network.to(self.fabric.device)
        optimiser = torch.optim.Adam(self.raw.parameters(), lr=settings.learning_rate)
        self.network, self.optimiser = self.fabric.setup(self.raw, optimiser)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimiser, T_max=settings.epochs, eta_min=settings.final_learning_rate
        )
        self.averaged = None
        if settings.average:
            self.averaged = AveragedModel(self.raw, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
        self.data = Batch.of(train, self.fabric.device)
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"error": float("inf"), "epoch": -1, "weights": None}
        self.start = 0
        self.identity = repr((method.name, asdict(method.recipe), asdict(settings), train.fingerprint()))
        if folder is not None:
            self._resume(folder)

    # ---- one epoch ----------------------------------------------------------------------------------------------

    def epoch(self, epoch: int) -> None:
        began = time.perf_counter()
        torch.manual_seed(_mixed(self.settings.seed, epoch))  # dropout and the like
        generator = torch.Generator().manual_seed(_mixed(self.settings.seed, epoch))
        self.network.train()
        sums: dict[str, float] = {}
        steps = 0
        for batch in self._batches(generator):
            for term, value in self._step(augment(batch, self.settings.augmentation, generator)).items():
                sums[term] = sums.get(term, 0.0) + value
            steps += 1
        rate = self.scheduler.get_last_lr()[0]
        self.scheduler.step()
        row: dict[str, float] = {
            "epoch": epoch,
            "learning_rate": float(rate),
            **{term: value / steps for term, value in sums.items()},
        }
        row["validation_tre"] = float("nan")
        if self.validation is not None and self.validates(epoch):
            row["validation_tre"] = self._validate(epoch)
        row["seconds"] = time.perf_counter() - began
        self.history.append(row)
        if self.folder is not None and self.fabric.global_rank == 0:
            self._save(self.folder, epoch + 1)

    def validates(self, epoch: int) -> bool:
        every = self.settings.validate_every
        return epoch == self.settings.epochs - 1 or epoch % every == every - 1

    def _batches(self, generator: torch.Generator) -> Iterator[Batch]:
        order = torch.randperm(len(self.data), generator=generator)
        size, rank, world = self.settings.batch_size, self.fabric.global_rank, self.fabric.world_size
        for start in range(0, max(1, len(order) - size + 1), size):  # a last, smaller batch is left out, as published
            yield self.data.select(order[start : start + size][rank::world])

    def _step(self, batch: Batch) -> dict[str, float]:
        targets = self.method.targets(batch)
        terms = self.method.losses(self.network(self.method.normalise(batch.images)), targets)
        loss = sum((self.method.weights[name] * value for name, value in terms.items()), torch.zeros((), device=self.fabric.device))
        if not torch.isfinite(loss):
            raise DataError(f"the loss is {loss.item()}: lower the learning rate ({self.settings.learning_rate:g})")
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.optimiser.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.raw)
        return {"loss": loss.item(), **{name: value.item() for name, value in terms.items()}}

    def _validate(self, epoch: int) -> float:
        assert self.validation is not None
        self.method.network = self._used
        error = validation_error(self.method, self.validation, self.settings.batch_size)
        self.method.network = self.raw
        if error < self.best["error"]:
            weights = {key: value.detach().cpu().clone() for key, value in self._used.state_dict().items()}
            self.best = {"error": error, "epoch": epoch, "weights": weights}
        return error

    @property
    def _used(self) -> torch.nn.Module:
        """The network whose predictions count: the average where there is one."""
        return self.raw if self.averaged is None else self.averaged.module

    def exhausted(self, epoch: int) -> bool:
        """Whether patience has run out."""
        patience = self.settings.patience
        return patience is not None and self.best["epoch"] >= 0 and epoch - 1 - self.best["epoch"] >= patience

    def finish(self) -> pd.DataFrame:
        weights = self.best["weights"]
        self.raw.load_state_dict(self._used.state_dict() if weights is None else weights)
        self.raw.eval()
        self.method.network = self.raw
        return pd.DataFrame(self.history)

    # ---- checkpoint ---------------------------------------------------------------------------------------------

    def _parts(self) -> dict[str, Any]:
        parts = {"network": self.raw, "optimiser": self.optimiser, "scheduler": self.scheduler}
        return parts if self.averaged is None else {**parts, "averaged": self.averaged}

    def _save(self, folder: Path, next_epoch: int) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"identity": self.identity, "next_epoch": next_epoch, "history": self.history, "best": self.best}
        partial = folder / "checkpoint.pt.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(state, partial)
            os.replace(partial, folder / "checkpoint.pt")
            pd.DataFrame(self.history).to_csv(folder / "history.csv", index=False)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            partial.unlink(missing_ok=True)
            raise DataError(
                f"{folder / 'checkpoint.pt'} could not be written ({error}); free space and start again: "
                "training resumes at the last whole epoch"
            ) from None

    def _resume(self, folder: Path) -> None:
        path = folder / "checkpoint.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.fabric.device, weights_only=True)
            identity = state["identity"]
        except Exception as error:  # a damaged file raises many kinds
            raise DataError(f"{path} is damaged ({type(error).__name__}); delete it to train from the start") from None
        if identity != self.identity:
            raise DataError(f"{path} belongs to a run with another recipe, data or settings; choose another folder or delete it")
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.start, self.history, self.best = state["next_epoch"], state["history"], state["best"]


def validation_error(method: Method, cases: CaseSet, batch_size: int = 8) -> float:
    """Mean error in pixels of the landmarks in the image; one that was not found counts as half the image diagonal."""
    predictions = predict_all(method, cases, batch_size)
    error = np.linalg.norm(np.stack([p.landmarks for p in predictions]) - cases.landmarks, axis=-1)
    judged = np.stack([inside_image(case.landmarks, case.size) for case in cases])
    return float(np.where(np.isnan(error), np.hypot(*method.size) / 2, error)[judged].mean())


def _mixed(seed: int, epoch: int) -> int:
    """One seed from two numbers, well apart for neighbours."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint32)[0])
