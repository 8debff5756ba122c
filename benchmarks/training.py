"""Where the time of a training step goes, how often it waits for the device, and what a checkpoint costs.

    python benchmarks/training.py                                 # chest and wrist at the course profile's size
    python benchmarks/training.py --profile full --steps 5        # at the paper's size
    python benchmarks/training.py --out results/benchmarks/training.json

A step is taken apart as the loop takes it: data (select and augment), targets, forward with losses, backward, optimiser. On a GPU
each part ends with a synchronisation, given as waiting; on a processor the times are its own, of all threads together.
Precisions are measured in turn, step by step, so that other load on the machine falls on all alike. Launches and waits of `targets`
are counted on the tests' pretended device.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

from denseseg.augment import apply, draw
from denseseg.batch import Batch
from denseseg.experiments.profiles import get_profile
from denseseg.experiments.provenance import current_commit, describe_device, installed_versions
from denseseg.files import plain, write_json
from denseseg.methods import create, get_recipe
from denseseg.methods.network_method import NetworkMethod
from denseseg.phantom import PHANTOMS
from denseseg.training.loop import SHARE, _Loop, make_fabric
from denseseg.training.settings import Run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from pretend_device import PretendDevice

PARTS = ("data", "targets", "forward", "backward", "optimiser")
RECIPES = {"chest": "default", "wrist": "many_structures"}


class Stopwatch:
    """Milliseconds of each part of a step, and of waiting for the device after it."""

    def __init__(self, device: torch.device):
        self.device, self.times = device, defaultdict[str, list[float]](list)
        # on a processor its own time, which other load on the machine hardly changes
        self.clock = time.perf_counter if device.type == "cuda" else time.process_time

    def start(self) -> None:
        self._sync()
        self.last = self.clock()

    def lap(self, part: str) -> None:
        returned = self.clock()
        self._sync()
        ready = self.clock()
        self.times[part].append(1000 * (ready - self.last))
        self.times["waiting"].append(1000 * (ready - returned))
        self.last = ready

    def _sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def medians(self) -> dict[str, float]:
        steps = len(self.times["data"])
        waiting = sum(self.times["waiting"]) / steps
        return {part: round(median(self.times[part]), 2) for part in PARTS} | {"waiting": round(waiting, 2)}


def prepared(anatomy: str, profile_name: str) -> tuple[NetworkMethod, Batch]:
    """A method of the default recipe and the phantoms of a few batches."""
    profile = get_profile(profile_name)
    size = profile.square if anatomy == "chest" else profile.tall
    recipe = get_recipe("denseseg", RECIPES[anatomy]).scaled(profile.length, profile.width, profile.batch_size)
    cases = PHANTOMS[anatomy](4 * recipe.training.batch_size, size, 0)
    method = create("denseseg", cases.anatomy, size, recipe)
    method.prepare(cases)
    assert isinstance(method, NetworkMethod)
    return method, Batch.of(cases)


def step(method: NetworkMethod, fabric: Any, network: Any, optimiser: Any, data: Batch, watch: Stopwatch, number: int) -> None:
    settings = method.recipe.training
    rng = torch.Generator().manual_seed(number)
    watch.start()
    index = torch.randperm(len(data), generator=rng)[: settings.batch_size]
    batch = apply(data.select(index), draw(len(index), data.size, settings.augmentation, rng))
    watch.lap("data")
    with torch.no_grad():
        targets = method.targets(batch)
    watch.lap("targets")
    terms = method.losses(network(*method.inputs(batch, rng)), targets)
    loss = torch.stack([method.loss_weights[name] * value for name, value in terms.items()]).sum()
    watch.lap("forward")
    optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    watch.lap("backward")
    optimiser.step()
    watch.lap("optimiser")


def split_of_a_step(method: NetworkMethod, data: Batch, steps: int) -> dict[str, dict[str, float]]:
    """Precision -> part -> median milliseconds; the precisions take turns."""
    precisions = dict.fromkeys(("32-true", Run().resolved_precision))
    setups = {}
    for precision in precisions:
        fabric = make_fabric(Run(precision=precision, progress=False))
        network = method.build().to(fabric.device)
        setups[precision] = (fabric, *fabric.setup(network, method.recipe.training.optimiser.make(network)))
    watches = {precision: Stopwatch(setups[precision][0].device) for precision in setups}
    for number in range(steps + 2):
        for precision, (fabric, network, optimiser) in setups.items():
            watch = watches[precision] if number >= 2 else Stopwatch(fabric.device)  # the first two warm up
            step(method, fabric, network, optimiser, data.to(fabric.device), watch, number)
    return {precision: watch.medians() for precision, watch in watches.items()}


def launches_and_waits(method: NetworkMethod, data: Batch) -> dict[str, int]:
    """Of `targets` alone, for one batch."""
    batch = data.select(torch.arange(method.recipe.training.batch_size))
    with PretendDevice() as device:
        there = Batch(device.put(batch.images), device.put(batch.landmarks), None, device.put(batch.has_masks))
        method.targets(there)
    return {"launches": device.launches.total(), "waits": device.waits.total()}


def checkpoint_cost(method: NetworkMethod, data: Batch) -> dict[str, float]:
    """Seconds to write one checkpoint, and how many steps of 50 ms lie between two of them at least."""
    with tempfile.TemporaryDirectory() as folder:
        loop = _Loop(method, data, method.recipe.training, Run(folder=Path(folder), progress=False), "", None)
        loop.optimiser.zero_grad()
        for parameter in loop.raw.parameters():
            parameter.grad = torch.zeros_like(parameter)
        loop.optimiser.step()  # so that the optimiser has its state
        begin = time.perf_counter()
        loop._save(Path(folder))
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
    return {"seconds": round(seconds, 2), "mib": round(size), "steps_of_50_ms_between": round(seconds / SHARE / 0.05)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="course")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result: dict[str, Any] = {
        "benchmark": "training",
        "profile": options.profile,
        "device": describe_device(Run().resolved_device),
        "versions": installed_versions(),
        "commit": current_commit(),
        "anatomies": {},
    }
    for anatomy in RECIPES:
        method, data = prepared(anatomy, options.profile)
        counted = {"targets": launches_and_waits(method, data), "checkpoint": checkpoint_cost(method, data)}
        result["anatomies"][anatomy] = {"size": method.size, **counted, "ms": split_of_a_step(method, data, options.steps)}
        print(anatomy, result["anatomies"][anatomy], flush=True)
    if options.out:
        write_json(options.out, plain(result))


if __name__ == "__main__":
    main()
