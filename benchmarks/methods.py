"""Processor seconds of a training step and of a prediction, several methods in turn.

    python benchmarks/methods.py                                             # every method that trains a network, chest phantoms
    python benchmarks/methods.py --methods denseseg:paper heatmap_regression:paper --profile full --rounds 5
    python benchmarks/methods.py --data "wrist phantom" --out results/benchmarks/methods.json

In each round every method takes one step and predicts one image, so that other load on the machine falls on all alike. A step is
the loop's own: it draws and augments a batch, makes targets, and moves the weights. On a GPU times are those of the clock.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import torch

from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.experiments.experiment import recipe_of, retrained
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.provenance import current_commit, describe_device, installed_versions
from denseseg.experiments.record import Spec
from denseseg.files import plain, write_json
from denseseg.methods import METHODS, create
from denseseg.methods.network_method import NetworkMethod
from denseseg.training.loop import _Loop
from denseseg.training.settings import Run, Steps

WARM_UP = 2  # rounds that do not count
CASES = 24  # to draw batches from


class Contender:
    """A method that can take a step and make a prediction, each timed."""

    def __init__(self, cases: CaseSet, spec: Spec):
        recipe = retrained(recipe_of(spec), length=Steps(10**6))  # as many as are asked for
        made = create(spec.method, cases.anatomy, cases[0].size, recipe)
        assert isinstance(made, NetworkMethod)
        made.prepare(cases)
        self.method, self.images = made, torch.as_tensor(cases.images[:1])[:, None]
        self.loop = _Loop(made, Batch.of(cases), made.recipe.training, Run(progress=False), "", None)
        self.batches, self.rng = self._batches(), torch.Generator().manual_seed(0)

    def _batches(self) -> Iterator[Batch]:
        for epoch in count():
            yield from self.loop._batches(epoch)

    def step(self) -> None:
        self.method.network.train()
        self.loop._step(next(self.batches), self.rng)

    def predict(self) -> None:
        self.method.network.eval()
        self.method.predict(self.images)


def seconds(work: Callable[[], None], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    began = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def in_turn(contenders: dict[str, Contender], rounds: int, device: str) -> dict[str, dict[str, Any]]:
    """Method -> milliseconds of a step and of a prediction, median and range over the rounds."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(WARM_UP + rounds):
        for name, contender in contenders.items():
            for what in ("step", "predict"):
                spent = 1000 * seconds(getattr(contender, what), device)
                if number >= WARM_UP:
                    times[name, what].append(spent)
    found: dict[str, dict[str, Any]] = {}
    for name, contender in contenders.items():
        own = {what: [round(f(times[name, what]), 2) for f in (median, min, max)] for what in ("step", "predict")}
        batch = contender.method.recipe.training.batch_size
        found[name] = {"parameters": contender.method.parameters, "batch_size": batch, "ms_median_min_max": own}
    return found


def trained(cases: CaseSet) -> list[str]:
    """Every method that trains a network and can work on the cases."""
    return [name for name, cls in METHODS.items() if issubclass(cls, NetworkMethod) and not cls.unsupported(cases.anatomy)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", help="method or method:recipe")
    parser.add_argument("--profile", default="course")
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = Run().resolved_device
    cases = load_cases(replace(get_profile(options.profile), n_cases=CASES), options.data)[:CASES]
    contenders = {}
    for word in options.methods or trained(cases):
        method, _, recipe = word.partition(":")
        contenders[word] = Contender(
            cases, Spec(dataset=cases.name, method=method, recipe=recipe or "default", profile=options.profile)
        )
    result = {
        "benchmark": "methods",
        "data": cases.name,
        "size": cases[0].size,
        "profile": options.profile,
        "rounds": options.rounds,
        "precision": Run().resolved_precision,
        "device": describe_device(device),
        "versions": installed_versions(),
        "commit": current_commit(),
        "methods": in_turn(contenders, options.rounds, device),
    }
    for name, own in result["methods"].items():
        print(name, own, flush=True)
    if options.out:
        write_json(options.out, plain(result))


if __name__ == "__main__":
    main()
