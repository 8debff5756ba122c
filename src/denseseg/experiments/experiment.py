"""One run from cases to record: split, train, evaluate, write down."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel, PositiveFloat, PositiveInt

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet, Split
from denseseg.errors import DataError, validated
from denseseg.evaluation.scores import evaluate
from denseseg.experiments.profiles import get_profile
from denseseg.experiments.provenance import current_commit, forget_peak_memory, peak_memory, processor_seconds
from denseseg.experiments.record import Record, Spec, make_record
from denseseg.experiments.store import require_free, write_record
from denseseg.files import read_json, write_json
from denseseg.methods import create, get_method, get_recipe, save_method
from denseseg.methods.method import Method, Recipe
from denseseg.methods.network_method import NetworkRecipe
from denseseg.names import file_name
from denseseg.training.loop import CHECKPOINT, everywhere, exclusive
from denseseg.training.settings import Epochs, Precision, Run, Seconds, Steps

WARM_UP, TIMED = 4, 20  # steps, before a budget of seconds is divided by what one takes


def recipe_of(spec: Spec) -> Recipe:
    """The recipe that a run is made with: the method's, scaled by the profile, with the spec's options, budget and augmentation.

    A budget of seconds is converted later, where it is known what a step takes: see `run_experiment`.
    """
    profile = get_profile(spec.profile)
    recipe = get_recipe(spec.method, spec.recipe).scaled(profile.length, profile.width, profile.batch_size).changed(**spec.options)
    method = get_method(spec.method)
    if not method.keeps_terms and (spec.budget or spec.augmentation):
        fault = f"{spec.name}: {method.title} keeps no budget and has its own augmentation"
        raise DataError(f"{fault}; give it the options epochs and steps")
    if isinstance(spec.budget, (Epochs, Steps)):
        recipe = retrained(recipe, length=spec.budget)
    return recipe if spec.augmentation is None else retrained(recipe, augmentation=spec.augmentation)


def retrained(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with changed settings of its training; one that trains nothing with the package's loop stays as it is."""
    return recipe.changed(training=recipe.training.changed(**changes)) if isinstance(recipe, NetworkRecipe) else recipe


def is_current(record: Record) -> bool:
    """Whether a record was made with its recipe as that is now; an option that there was not yet had its default.

    A budget of seconds is so many steps by the machine, so with one the length of the training is not compared.
    """
    try:
        now = recipe_of(record.spec)
        then = validated(type(now), record.recipe_settings, record.spec.name)
    except DataError:  # the method, the recipe or an option is no more
        return False
    if isinstance(record.spec.budget, Seconds) and isinstance(now, NetworkRecipe):
        then = retrained(then, length=now.training.length)
    return then == now


def split_of(cases: CaseSet, spec: Spec) -> Split:
    """How a run divides its cases. Always with seed 0, so that seeds of the training are compared on the same test cases.

    Raises DataError where a run of folds does not say which, and where `CaseSet.split` does.
    """
    if spec.split == "folds" and spec.fold is None:
        raise DataError("a run tests one fold; give Spec its number as fold, or pool the records of all folds")
    few = {} if spec.train_size is None else {"train_size": spec.train_size, "draw": spec.draw or 0}
    return cases.split(spec.split, seed=0, fold=spec.fold, folds=spec.folds, **few)


@dataclass
class Experiment:
    """What one run leaves behind; `table` is that of `evaluate` over the test part, `weights` the file where a run is kept."""

    method: Method
    split: Split
    history: pd.DataFrame
    table: pd.DataFrame
    record: Record
    weights: Path | None


def run_experiment(
    cases: CaseSet,
    spec: Spec,
    folder: str | Path | None = "runs",
    *,
    results: str | Path | None = None,
    precision: Precision = "auto",
    notes: str = "",
    progress: bool = True,
) -> Experiment:
    """Train one method on a split of the cases and evaluate it on the test part.

    cases: all of one size, unless the spec names the size that they are fitted to. folder: where runs are kept, each in a folder of
        its own, or None; a run found there is resumed, a finished one is not trained again. results: where the record is written,
        or None; what could not be recorded there is not trained.
    The seed decides the network's first weights, the order and the augmentation. A budget of seconds is divided by what a step
    takes, which is measured once and kept in the run's folder. Raises DataError where the spec names another data set, or something
    that is not known.
    """
    if cases.name != spec.dataset:
        raise DataError(f"the run is to use {spec.dataset!r}, the cases are {cases.name!r}; give Spec the name of the cases")
    cases = cases if spec.size is None else cases.fitted(spec.size)
    split, recipe, data = split_of(cases, spec), recipe_of(spec), cases.fingerprint()
    without = [case.id for case in split.test if case.spacing is None]
    if 0 < len(without) < len(split.test):
        fault = f"{cases.name}: some cases to test on have no spacing, such as {without[0]}, so errors would be in mm and in px"
        raise DataError(f"{fault}; fill it in in cases.csv, or leave it empty in all")
    older = None if results is None else require_free(spec, data, split, results)
    own = None if folder is None else Path(folder) / run_name(data, spec)
    run = Run(seed=spec.seed, folder=own, precision=precision, progress=progress)
    resumed = own is not None and (own / CHECKPOINT).exists()
    costs: dict[str, Any] = {}
    with exclusive(run):
        method = create(spec.method, cases.anatomy, cases[0].size, recipe)
        if isinstance(spec.budget, Seconds) and isinstance(recipe, NetworkRecipe):
            pace = pace_of(method, split.train, run, spec.budget)
            costs["seconds_per_step"] = pace.seconds_per_step
            recipe = retrained(recipe, length=Steps(pace.steps))
            method = create(spec.method, cases.anatomy, cases[0].size, recipe)
        forget_peak_memory()
        began, worked = time.perf_counter(), processor_seconds()
        history = method.fit(split.train, split.validation, run)
        # a resumed run has its earlier epochs in the history, not on this clock
        seconds = float(history["seconds"].sum()) if len(history) else time.perf_counter() - began
        if not len(history):
            costs["processor_seconds"] = processor_seconds() - worked
        weights = None if own is None else save_method(method, own / "weights.safetensors")
    table, seconds_per_case = evaluate_method(method, split.test, bool(cases.absent.any()))
    if not resumed:
        costs["peak_memory_mib"] = peak_memory(run.resolved_device)
    elif older:  # weights that an earlier process trained, with the memory that it told, read by the package of today
        costs["peak_memory_mib"] = older.peak_memory_mib
        costs["commit"] = ", ".join(dict.fromkeys([*older.commit.split(", "), current_commit()]))
    record = make_record(
        spec, data=cases, data_sha256=data, split=split, table=table, parameters=method.parameters, history=history,
        seconds_train=seconds, seconds_per_case=seconds_per_case, device=run.resolved_device,
        precision=_precision(method, history, run), recipe=asdict(recipe), notes=notes, **costs,  # type: ignore[call-overload]
    )  # fmt: skip
    if results is not None:
        write_record(record, results)
    return Experiment(method, split, history, table, record, weights)


def _precision(method: Method, history: pd.DataFrame, run: Run) -> str:
    if not len(history):
        return "nothing trained"
    return run.resolved_precision if method.keeps_terms else "its own"  # nnU-Net chooses for itself


def run_name(data: str, spec: Spec) -> str:
    """The name of the folder in which a run is kept: with a digest of data and recipe, so that no two runs share one.

    data: the fingerprint of the cases, of the size that the run has.
    """
    digest = hashlib.sha256(repr((data, recipe_of(spec))).encode()).hexdigest()[:8]
    return file_name(f"{spec.dataset}_{spec.name}_{digest}")


class Pace(BaseModel):
    """What a step of a training takes, and so how many fit a budget of seconds."""

    seconds_per_step: PositiveFloat
    steps: PositiveInt


def pace_of(method: Method, train: CaseSet, run: Run, budget: Seconds) -> Pace:
    """How many steps of this training fit into a budget: as measured, and kept in the run's folder for when it is resumed.

    method: not trained yet; what it learns here is of no use. On a GPU seconds are those of the clock, else of the processor.
    """
    kept = None if run.folder is None else run.folder / "pace.json"
    if kept is not None and kept.exists():
        return validated(Pace, read_json(kept), str(kept))
    clock = "seconds" if run.resolved_device == "cuda" else "processor_seconds"
    for steps in (WARM_UP, TIMED):
        brief_recipe = retrained(method.recipe.changed(shape_prior=0.0), length=Steps(steps), patience=None)
        brief = type(method)(method.anatomy, method.size, brief_recipe)
        history = brief.fit(train, None, replace(run, folder=None, progress=False))
    each = everywhere(run, history[clock].sum() / history["steps"].sum())
    pace = Pace(seconds_per_step=each, steps=max(1, round(budget.seconds / each)))
    if kept is not None:
        write_json(kept, pace.model_dump())
    return pace


def evaluate_method(method: Method, cases: Sequence[Case], lacking: bool | None = None) -> tuple[pd.DataFrame, float]:
    """Predict all cases and evaluate: (table of `evaluate`, seconds per case of prediction alone: on a CPU those of its processor,
    which run for nobody else's work). lacking: see `evaluate`.

    One untimed prediction comes first, so that start-up costs are not counted. Raises DataError where there are no cases.
    """
    if len(cases) == 0:
        raise DataError("there are no cases to evaluate; give at least one")
    method.predict_cases(cases[:1])
    clock = time.perf_counter if torch.cuda.is_available() else processor_seconds
    start = clock()
    predictions = method.predict_cases(cases)
    seconds = (clock() - start) / len(cases)
    return evaluate(predictions, cases, lacking=lacking), seconds
