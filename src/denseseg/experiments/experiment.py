"""One run from cases to record: split, train, evaluate, write down."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet, Split
from denseseg.errors import DataError
from denseseg.evaluation.scores import evaluate
from denseseg.experiments.profiles import get_profile
from denseseg.experiments.record import Record, Spec, file_name, make_record
from denseseg.methods import create, get_recipe, save_method
from denseseg.methods.method import Method, Recipe
from denseseg.training.settings import Run


def recipe_of(spec: Spec) -> Recipe:
    """The recipe that a run is made with: the method's, scaled by the profile, with the spec's options."""
    profile = get_profile(spec.profile)
    scaled = get_recipe(spec.method, spec.recipe).scaled(profile.length, profile.width, profile.batch_size)
    return scaled.changed(**spec.options)


@dataclass
class Experiment:
    """What one run leaves behind; `table` is that of `evaluate` over the test part."""

    method: Method
    split: Split
    history: pd.DataFrame
    table: pd.DataFrame
    record: Record


def run_experiment(
    cases: CaseSet,
    spec: Spec,
    folder: str | Path | None = "runs",
    *,
    precision: str = "auto",
    notes: str = "",
    progress: bool = True,
) -> Experiment:
    """Train one method on a split of the cases and evaluate it on the test part.

    cases: all of one size. folder: where runs are kept, each in a folder of its own, or None; a run found there is resumed, a
        finished one is not trained again.
    The seed decides the network's first weights, the order and the augmentation; the split always uses seed 0, so that seeds are
    compared on the same test cases. Raises DataError where the spec names another data set, or something that is not known.
    """
    if cases.name != spec.dataset:
        raise DataError(f"the run is to use {spec.dataset!r}, the cases are {cases.name!r}; give Spec the name of the cases")
    split, recipe, data = cases.split(spec.split, seed=0), recipe_of(spec), cases.fingerprint()
    method = create(spec.method, cases.anatomy, cases[0].size, recipe)
    own = None
    if folder is not None:
        digest = hashlib.sha256(repr((data, recipe)).encode()).hexdigest()[:8]  # so that no two runs share a folder
        own = Path(folder) / file_name(f"{spec.dataset}_{spec.name}_{digest}")
    run = Run(seed=spec.seed, folder=own, precision=precision, progress=progress)
    began = time.perf_counter()
    history = method.fit(split.train, split.validation, run)
    # a resumed run has its earlier epochs in the history, not on this clock
    seconds = float(history["seconds"].sum()) if len(history) else time.perf_counter() - began
    if own is not None:
        save_method(method, own / "weights.safetensors")
    table, seconds_per_case = evaluate_method(method, split.test)
    precision = run.resolved_precision if len(history) else "nothing trained"
    record = make_record(
        spec, data=cases, data_sha256=data, split=split, table=table, parameters=method.parameters, history=history,
        seconds_train=seconds, seconds_per_case=seconds_per_case, device=run.resolved_device, precision=precision,
        recipe=asdict(recipe), notes=notes,  # type: ignore[call-overload]
    )  # fmt: skip
    return Experiment(method, split, history, table, record)


def evaluate_method(method: Method, cases: Sequence[Case], progress: bool = False) -> tuple[pd.DataFrame, float]:
    """Predict all cases and evaluate: (table of `evaluate`, seconds per case of prediction alone).

    One untimed prediction comes first, so that start-up costs are not counted. Raises DataError where there are no cases.
    """
    if len(cases) == 0:
        raise DataError("there are no cases to evaluate; give at least one")
    method.predict_cases(cases[:1])
    start = time.perf_counter()
    predictions = method.predict_cases(cases, progress=progress)
    seconds = (time.perf_counter() - start) / len(cases)
    return evaluate(predictions, cases), seconds
