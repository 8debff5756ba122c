"""What the tables of attacks share: what an attack is, a sound folder to spoil, and ways to spoil it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from records import box_record

from denseseg.anatomy import CHEST
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import write_cases
from denseseg.experiments.store import write_record
from denseseg.methods import create, save_method
from denseseg.phantom.chest.phantom import chest_phantom
from denseseg.training.settings import Epochs, Run, TrainingSettings

SIZE = (64, 64)
CASES = chest_phantom(4, SIZE, seed=2)
CASES[0].masks = np.arange(5 * 64 * 64).reshape(5, 64, 64) % 3 == 0
FIRST = CASES[0].id
QUICK = TrainingSettings(length=Epochs(1), batch_size=2)


@dataclass
class Attack:
    """spoil: what is done to the sound folder; ask: what is then asked for; message: a pattern of what must be said."""

    spoil: Callable[[Path], Any]
    ask: Callable[[Path], Any]
    message: str


def nothing(folder: Path) -> None:
    pass


def tiny_method(training: TrainingSettings = QUICK):
    return create("heatmap_regression", CHEST, SIZE, channels=(4, 8), training=training)


def run_in(folder: Path | None = None, seed: int = 0) -> Run:
    return Run(folder=folder, seed=seed, progress=False, device="cpu", precision="32-true")


def train_on(folder: Path):
    return tiny_method().fit(CASES, run=run_in(folder / "run"))


def make_sound(folder: Path) -> Path:
    """A data set, a trained method, its checkpoint and two records."""
    write_cases(folder / "data", CASES)
    method = tiny_method()
    method.fit(CASES, run=run_in(folder / "run"))
    save_method(method, folder / "weights.safetensors")
    for seed in (3, 4):
        write_record(box_record(seed=seed, seconds_train=seed + 0.25), folder / "results")
    return folder


def cases() -> CaseSet:
    """The sound set, to be changed."""
    return CaseSet(CASES.name, CASES.anatomy, [copied(case) for case in CASES], CASES.info)


def copied(case, **changes):
    fields = {name: getattr(case, name) for name in ("id", "image", "landmarks", "anatomy", "masks", "spacing")}
    return type(case)(**(fields | {"metadata": dict(case.metadata)} | changes))


# ---- ways to spoil ----------------------------------------------------------------------------------------------


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Changes a text in a file, once."""

    def spoil(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def holding(name: str, content: bytes | str) -> Callable[[Path], None]:
    """Lets a file hold something else."""
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def cut(name: str, share: float = 0.5) -> Callable[[Path], None]:
    """Cuts a file off."""

    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return spoil


def flipped(name: str, share: float, bit: int = 0) -> Callable[[Path], None]:
    """Flips one bit of a file, at this share of it."""

    def spoil(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[min(int(share * len(content)), len(content) - 1)] ^= 1 << bit
        (folder / name).write_bytes(bytes(content))

    return spoil


def instead(name: str, kind: str) -> Callable[[Path], None]:
    """Puts a folder, a pipe or nothing where a file was."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        if kind == "folder":
            (folder / name).mkdir()
        elif kind == "pipe":
            os.mkfifo(folder / name)

    return spoil


def edited(name: str, change: Callable[[list[list[str]]], Any]) -> Callable[[Path], None]:
    """Changes the cells of a CSV table, the header included."""

    def spoil(folder: Path) -> None:
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        change(rows)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
        (folder / name).write_text(text.getvalue(), encoding="utf-8", newline="")

    return spoil


def json_edited(name: str, change: Callable[[dict], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        change(content)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")

    return spoil


def copied_to(name: str, other: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, folder / other)

    return spoil


@contextmanager
def without_the_right_to_read(path: Path) -> Iterator[None]:
    """Inside, this file may not be read; the system's administrator, who may read all, becomes nobody for a while."""
    user = os.geteuid()
    closed = [folder for folder in path.parents if user == 0 and folder.stat().st_mode & 0o005 != 0o005]  # pytest's own
    modes = {each: each.stat().st_mode for each in (path, *closed)}
    path.chmod(0)
    try:
        for folder in closed:
            folder.chmod(modes[folder] | 0o055)
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        for each, mode in modes.items():
            each.chmod(mode)


def unreadable(name: str, ask: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def asked(folder: Path) -> Any:
        with without_the_right_to_read(folder / name):
            return ask(folder)

    return asked
