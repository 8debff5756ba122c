"""A network that has seen drawings only: what do a few real images add, and when do the drawings stop helping?

    python -m denseseg.studies.fine_tuning --data data/jsrt --steps 600 --draws 3

Three ways, on the same few training images and for the same number of steps: the network that comes with the package, trained
further; the same network from new weights; and a heatmap network from new weights. None sees validation cases, since with so few
images nobody has any. The random draws are nested: the three images of a draw are among its ten.

The command goes on where it was stopped: each training keeps its state in --runs, and what it found is written down there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.evaluation.scores import evaluate
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import StudyRecord, metrics_of, study_record
from denseseg.files import read_json, write_json
from denseseg.methods import NetworkMethod, create
from denseseg.methods.network_method import OURS
from denseseg.names import file_name
from denseseg.studies.command import run_study, study_parser
from denseseg.training.settings import Adam, Run, Steps
from denseseg.weights import FOLDER, load_pretrained

COUNTS = (0, 1, 3, 10, 30, 100)
WAYS = ("given weights", "from new weights", "heatmaps")
SHOWN = ("tre", "across")
PROFILE = "compact"  # whose images have the size of the network
WORDS = (
    "**Few real images on top**: landmark error (TRE) on the test cases, the mean over several draws of training images "
    "(lowest..highest)."
)
GENTLE = Adam(3e-4)  # for weights that are good already; new ones learn with the recipe's own rate
HEATMAPS = (32, 64, 128, 256)  # features of the heatmap network: more at full resolution, where its many maps are made


def learner(way: str, steps: int) -> NetworkMethod:
    """A fresh method of one of the `WAYS`, ready to be trained for so many steps. Raises DataError for another way."""
    training, given = OURS.changed(length=Steps(steps)), load_pretrained("chest")
    if way == "given weights":
        given.recipe = given.recipe.changed(training=training.changed(optimiser=GENTLE))
        return given
    kinds = {"from new weights": ("denseseg", given.recipe.channels), "heatmaps": ("heatmap_regression", HEATMAPS)}
    if way not in kinds:
        raise DataError(f"no way {way!r}; there are: {', '.join(WAYS)}")
    name, channels = kinds[way]
    made = create(name, given.anatomy, given.size, channels=channels)
    assert isinstance(made, NetworkMethod)
    made.recipe = made.recipe.changed(training=training)
    return made


def numbers(way: str, few: CaseSet, test: CaseSet, steps: int, seed: int, folder: Path) -> dict[str, float]:
    """Mean errors (mm, or px where the spacing is unknown) on test cases of one way after training on few cases, `SHOWN`.

    Averaged over the groups of structures. The folder keeps the training's state, and the numbers once they are found.
    """
    found = folder / "numbers.json"
    if found.exists():
        return read_json(found)
    method = learner(way, steps)
    if len(few):
        method.fit(few, None, Run(seed=seed, folder=folder, progress=False, fine_tune=way == "given weights"))
    average = metrics_of(evaluate(method.predict_cases(test), test))["average"]
    shown = {key: float(average[key]["mean"]) for key in SHOWN}
    write_json(found, shown)
    return shown


def record(
    data: str, steps: int = 300, draws: int = 3, counts: Sequence[int] = COUNTS, runs: str = "runs", source: str = ""
) -> StudyRecord:
    """The study on the published split of a chest data set: so many training images, and all of them.

    results: way -> number of images -> metric -> mean, lowest and highest of the draws. With all images there is one draw.
    Raises DataError where the data set shows something else than the network that comes with the package.
    """
    given = load_pretrained("chest")
    cases = load_cases(get_profile(PROFILE), data, size=given.size)
    if cases.anatomy != given.anatomy:
        raise DataError(f"{data} shows {cases.anatomy.name!r}; this study needs the chest with its 166 landmarks")
    split = cases.split("paper", validation=0)
    # runs on other data, by another recipe, or further from other weights, are other runs
    weights = hashlib.sha256((FOLDER / "chest.safetensors").read_bytes()).hexdigest()
    digests = {}
    for way in WAYS:
        parts = (cases.fingerprint(), learner(way, steps).recipe, weights if way == "given weights" else "")
        digests[way] = hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
    results: dict[str, dict[str, Any]] = {way: {} for way in WAYS}
    for count in sorted({n for n in counts if n < len(split.train)} | {len(split.train)}):
        orders = [np.random.default_rng(draw).permutation(len(split.train)) for draw in range(draws)]
        for way in WAYS if count > 1 else WAYS[:1]:  # a new shape model needs two cases
            found = []
            for draw, order in enumerate(orders if 0 < count < len(split.train) else orders[:1]):
                few, name = split.train.subset(sorted(order[:count])), f"fine_tuning_{way}_{count}_{draw}_{steps}_{digests[way]}"
                found.append(numbers(way, few, split.test, steps, draw, Path(runs) / file_name(name)))
                print(f"{way}, {count} images, draw {draw}: {found[-1]}", flush=True)
            results[way][str(count)] = {key: _spread([one[key] for one in found]) for key in SHOWN}
    settings = {"unit": cases[0].unit, "steps": steps}
    n = {"draws": draws, "test": len(split.test)}
    return study_record("fine-tuning", cases, results, profile=PROFILE, seed=0, n=n, settings=settings, source=source)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown: mean TRE with lowest and highest draw."""
    counts = list(results[WAYS[0]])
    rows = [[way, *(_cell(own.get(count, {}).get("tre")) for count in counts)] for way, own in results.items()]
    return f"{WORDS}\n\n{pipe_table(['way', *(f'{count} images' for count in counts)], rows)}"


def _cell(found: Mapping[str, float] | None) -> str:
    if not found:
        return "–"
    return f"{found['mean']:.1f}" + (f" ({found['low']:.1f}..{found['high']:.1f})" if found["low"] < found["high"] else "")


if __name__ == "__main__":
    parser = study_parser(__doc__, data="data/jsrt", steps=300, draws=3, runs="runs", source="")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    raise SystemExit(run_study(parser, record))
