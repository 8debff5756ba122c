# ruff: noqa: E501 (tables: one attack a line)
"""Weights and checkpoints that are not what was written; settings of a training that make no sense."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from attacks.common import (
    CASES,
    QUICK,
    Attack,
    copied,
    cut,
    flipped,
    holding,
    instead,
    nothing,
    run_in,
    tiny_method,
    train_on,
    unreadable,
)
from safetensors import safe_open
from safetensors.torch import save_file

from denseseg.augment import Augmentation
from denseseg.cases.case_set import CaseSet, Split
from denseseg.files import read_tensors, write_tensors
from denseseg.methods import load_method
from denseseg.training.settings import SGD, Adam, Cosine, Drops, Epochs, Run, Seconds, Steps, TrainingSettings

WEIGHTS, CHECKPOINT = "weights.safetensors", "run/checkpoint.safetensors"


def load(folder: Path):
    return load_method(folder / WEIGHTS)


def with_tensors(name: str, change):
    """Changes tensors and header, and writes them as the package does."""

    def spoil(folder: Path) -> None:
        tensors, header = read_tensors(folder / name)
        change(tensors, header)
        write_tensors(folder / name, tensors, header)

    return spoil


def by_hand(name: str, change):
    """Changes tensors and header, and writes them without a check of anything, with the old checksum."""

    def spoil(folder: Path) -> None:
        with safe_open(folder / name, framework="pt") as content:
            known, tensors = dict(content.metadata()), {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
        header = json.loads(known["denseseg"])
        change(tensors, header)
        save_file(tensors, folder / name, known | {"denseseg": json.dumps(header)})

    return spoil


def older(change):
    """Weights as of before the checksum, which nothing protects."""

    def spoil(folder: Path) -> None:
        tensors, header = read_tensors(folder / WEIGHTS)
        header = {key: value for key, value in header.items() if key not in ("version", "package")} | {"anatomy": "chest"}
        change(tensors, header)
        save_file(tensors, folder / WEIGHTS, {"denseseg": json.dumps(header)})

    return spoil


def filled(name: str, value: float):
    return lambda tensors, header: tensors[name].view(-1)[:1].fill_(value)


def tensor(name: str, make):
    return lambda tensors, header: tensors.__setitem__(name, make(tensors[name]).contiguous())


def field(name: str, value):
    return lambda tensors, header: header.__setitem__(name, value)


def first_weight(tensors, header):
    next(t for key, t in tensors.items() if key.startswith("network.") and t.is_floating_point()).view(-1)[:1].fill_(torch.nan)


DAMAGED = r"weights\.safetensors (is damaged|holds no tensors or is damaged|was written by another program).*; (copy|give)"
RESUMED = r"checkpoint\.safetensors (is damaged|holds no tensors or is damaged|was written by another program).*(; copy it again, or move|; give)"
SHARES = (0.0, 0.0005, 0.002, 0.01, 0.02, 0.04, 0.3, 0.5, 0.7, 0.9, 0.999, 1.0)

FILES = {
    **{f"weights, a bit at {share}": Attack(flipped(WEIGHTS, share, i % 8), load, DAMAGED) for i, share in enumerate(SHARES)},
    **{
        f"checkpoint, a bit at {share}": Attack(flipped(CHECKPOINT, share, i % 8), train_on, RESUMED)
        for i, share in enumerate(SHARES)
    },
    **{f"weights cut at {share}": Attack(cut(WEIGHTS, share), load, DAMAGED) for share in (0.0, 0.001, 0.5, 0.9999)},
    **{f"checkpoint cut at {share}": Attack(cut(CHECKPOINT, share), train_on, RESUMED) for share in (0.0, 0.001, 0.5, 0.9999)},
    "weights that may not be read": Attack(
        nothing, unreadable(WEIGHTS, load), r"weights\.\S+ may not be read .*; nothing is wrong"
    ),
    "a checkpoint that may not be read": Attack(
        nothing,
        unreadable(CHECKPOINT, train_on),
        r"checkpoint\.safetensors may not be read .*; nothing is wrong with it: give yourself",
    ),
    "a folder for weights": Attack(instead(WEIGHTS, "folder"), load, r"weights\.safetensors is no file; move it away"),
    "a folder for a checkpoint": Attack(
        instead(CHECKPOINT, "folder"), train_on, r"checkpoint\.safetensors is no file; move it away"
    ),
    "a pipe for weights": Attack(instead(WEIGHTS, "pipe"), load, r"weights\.safetensors is no file; move it away"),
    "a pipe for a checkpoint": Attack(instead(CHECKPOINT, "pipe"), train_on, r"checkpoint\.safetensors is no file; move it away"),
    "no weights": Attack(instead(WEIGHTS, "nothing"), load, r"weights\.safetensors is missing; correct the path"),
    "weights for a checkpoint": Attack(
        lambda f: (f / CHECKPOINT).write_bytes((f / WEIGHTS).read_bytes()),
        train_on,
        r"checkpoint\.safetensors: identity is missing; ",
    ),
    "a checkpoint for weights": Attack(
        lambda f: (f / WEIGHTS).write_bytes((f / CHECKPOINT).read_bytes()),
        load,
        r"weights\.safetensors holds no method; give a file",
    ),
    "a checkpoint of another seed": Attack(
        nothing,
        lambda f: tiny_method().fit(CASES, run=run_in(f / "run", 9)),
        r"checkpoint\.\S+ belongs to a run .*; choose another folder",
    ),
    "a checkpoint of fewer cases": Attack(
        nothing,
        lambda f: tiny_method().fit(CASES[:3], run=run_in(f / "run")),
        r"checkpoint\.\S+ belongs to a run .*; choose another folder",
    ),
    "a weight changed by hand": Attack(by_hand(WEIGHTS, filled("template", 7.0)), load, DAMAGED),
    "a history changed by hand": Attack(by_hand(CHECKPOINT, field("history", [])), train_on, RESUMED),
    "a template of NaN": Attack(by_hand(WEIGHTS, filled("template", torch.nan)), load, r"weights\.safetensors.*; "),
    **{
        f"older weights, {name} of {value}": Attack(older(filled(name, value)), load, rf"weights\.safetensors: .*{name}.*; train")
        for name in ("template", "shape.mean", "shape.modes", "shape.variances", "shape.residual")
        for value in (torch.nan, torch.inf)
    },
    "older weights of NaN": Attack(
        older(first_weight), load, r"weights\.safetensors: the tensor network\.\S+ holds NaN; train again"
    ),
    "a variance below zero": Attack(
        with_tensors(WEIGHTS, filled("shape.variances", -1.0)), load, r"weights\.\S+: .*negative.*; fit"
    ),
    "a residual below zero": Attack(
        with_tensors(WEIGHTS, filled("shape.residual", -1.0)), load, r"weights\.\S+: .*negative.*; fit"
    ),
    "a template of fewer points": Attack(
        with_tensors(WEIGHTS, tensor("template", lambda t: t[:9])), load, r"weights\.\S+: .*; each"
    ),
    "modes of fewer points": Attack(
        with_tensors(WEIGHTS, tensor("shape.modes", lambda t: t[:9])), load, r"weights\.\S+: .*; fit it"
    ),
    "fewer variances": Attack(with_tensors(WEIGHTS, tensor("shape.variances", lambda t: t[:1])), load, r"weights\.\S+: .*; fit it"),
    "no template": Attack(with_tensors(WEIGHTS, lambda t, h: t.pop("template")), load, r"weights\.\S+ lacks 'template'.*; train"),
    "a size below zero": Attack(
        with_tensors(WEIGHTS, field("size", [-64, 64])), load, r"weights\.\S+: size\.0 must be greater than 0"
    ),
    "an unknown method": Attack(with_tensors(WEIGHTS, field("method", "magic")), load, r"unknown method 'magic'; known"),
    "a later version": Attack(
        with_tensors(WEIGHTS, field("version", 99)), load, r"weights\.\S+ was written by a later version .*; update"
    ),
    "a recipe of a wrong kind": Attack(
        with_tensors(WEIGHTS, lambda t, h: h["recipe"].__setitem__("channels", "many")),
        load,
        r"weights\.\S+: recipe: channels must be",
    ),
    "another program's weights": Attack(
        lambda f: save_file({"a": torch.ones(1)}, f / WEIGHTS), load, r"weights\.safetensors was written by another program; give"
    ),
    "a text for weights": Attack(holding(WEIGHTS, "PK weights"), load, DAMAGED),
}


# ---- settings ---------------------------------------------------------------------------------------------------


def fitted(train, validation=None, settings=QUICK):
    return lambda folder: tiny_method(settings).fit(train, validation, run_in())


def made(make):
    return lambda folder: make()


TWIN = CaseSet("twins", CASES.anatomy, [copied(CASES[3], id="another")])
SENSELESS = {
    "epochs of -3": (lambda: Epochs(-3), "Epochs: epochs must be greater than 0, got -3"),
    "no epochs": (lambda: TrainingSettings(length=Epochs(0)), "Epochs: epochs must be greater than 0, got 0"),
    "half an epoch": (lambda: Epochs(0.5), "Epochs: epochs must be a valid integer"),
    "endless epochs": (lambda: Epochs(float("inf")), "Epochs: epochs "),
    "epochs as text": (lambda: TrainingSettings(length="ten"), "TrainingSettings: length"),
    "steps of -1": (lambda: Steps(-1), "Steps: steps must be greater than 0, got -1"),
    "seconds of 0": (lambda: Seconds(0.0), "Seconds: seconds must be greater than 0"),
    "patience of -1": (lambda: TrainingSettings(patience=-1), "TrainingSettings: patience must be greater than 0, got -1"),
    "patience of 0": (lambda: QUICK.changed(patience=0), "TrainingSettings: patience must be greater than 0"),
    "patience below a validation": (
        lambda: TrainingSettings(patience=2),
        "patience=2 epochs end before the next validation; give at least 5",
    ),
    "EMA of 1": (lambda: TrainingSettings(ema_decay=1.0), "ema_decay must be less than 1, got 1.0"),
    "EMA of -0.1": (lambda: TrainingSettings(ema_decay=-0.1), "ema_decay must be greater than or equal to 0"),
    "EMA of NaN": (lambda: TrainingSettings(ema_decay=float("nan")), "TrainingSettings: ema_decay must be "),
    "a rate of 1000": (lambda: Adam(1000), "Adam: learning_rate must be less than or equal to 1, got 1000"),
    "a rate of 2": (lambda: SGD(2.0), "SGD: learning_rate must be less than or equal to 1"),
    "a rate of 0": (lambda: Adam(0.0), "Adam: learning_rate must be greater than 0"),
    "a rate below 0": (lambda: SGD(-1e-3), "SGD: learning_rate must be greater than 0"),
    "a decay of weights of 7": (lambda: Adam(weight_decay=7), "Adam: weight_decay must be less than or equal to 1"),
    "a momentum of 1": (lambda: SGD(0.1, momentum=1.0), "SGD: momentum must be less than 1"),
    "betas of 1": (lambda: Adam(betas=(0.9, 1.0)), "Adam: betas.1 must be less than 1"),
    "three betas": (lambda: Adam(betas=(0.9, 0.9, 0.9)), "Adam: betas"),
    "a last rate above the first": (
        lambda: TrainingSettings(optimiser=Adam(1e-3), schedule=Cosine(1e-2)),
        "TrainingSettings: schedule.final=0.01 is above the first learning rate, 0.001; lower it",
    ),
    "a first rate below the last": (
        lambda: QUICK.changed(optimiser=SGD(1e-6)),
        "schedule.final=1e-05 is above the first .*; lower it",
    ),
    "drops that rise": (lambda: Drops((0.5,), factor=10.0), "Drops: factor must be less than or equal to 1"),
    "a drop after the end": (lambda: Drops((1.5,)), "Drops: at.0 must be less than 1"),
    "a last rate below 0": (lambda: Cosine(-1e-5), "Cosine: final must be greater than or equal to 0"),
    "batches of 0": (lambda: TrainingSettings(batch_size=0), "batch_size must be greater than 0, got 0"),
    "batches of 2.5": (lambda: TrainingSettings(batch_size=2.5), "batch_size must be a valid integer"),
    "validation every 0": (lambda: TrainingSettings(validate_every=0), "validate_every must be greater than 0"),
    "a clip of 0": (lambda: TrainingSettings(gradient_clip=0.0), "gradient_clip must be greater than 0"),
    "an unknown field": (lambda: TrainingSettings(epochs=3), "TrainingSettings: epochs is unknown; correct the name or remove it"),
    "a seed below 0": (lambda: Run(seed=-1), "Run: seed must be greater than or equal to 0, got -1"),
    "an unknown device": (lambda: Run(device="tpu"), "Run: device must be 'auto', 'cpu' or 'cuda', got 'tpu'"),
    "a scale below 0": (lambda: Augmentation(scale=-0.1), "Augmentation: scale must be greater than or equal to 0"),
}
SETTINGS = {
    **{name: Attack(nothing, made(make), message) for name, (make, message) in SENSELESS.items()},
    "validated on a training case": Attack(
        nothing, fitted(CASES, CASES[:1]), "case .* of the validation part is case .* of the training part: .*; leave it out"
    ),
    "validated on the training cases": Attack(nothing, fitted(CASES, CASES), "of the validation part is case .*; leave it out"),
    "validated on a training case by another name": Attack(
        nothing, fitted(CASES, TWIN), "case another of the validation part is case .*3 of the training part: .*; leave it out"
    ),
    "tested on a training case": Attack(
        nothing,
        lambda f: Split(CASES[:2], CASES[2:3], CASES[:1]),
        "case .* of the test part is case .* of the training part.*; leave",
    ),
    "tested on a validation case": Attack(
        nothing,
        lambda f: Split(CASES[:2], CASES[2:3], CASES[2:]),
        "case .* of the test part is case .* of the validation part.*; leave",
    ),
    "patience without validation": Attack(
        nothing,
        fitted(CASES, None, QUICK.changed(patience=5)),
        "patience=5 waits for a better validation error; give validation cases",
    ),
    "validation of another size": Attack(
        nothing, fitted(CASES[:2], CASES[2:].resized((32, 32))), r"was made for \(64, 64\); call fitted"
    ),
}
