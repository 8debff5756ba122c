"""One run from cases to record: split, train, evaluate, write down."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from denseseg.augment import RICHER
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet, Split
from denseseg.course.folders import find_root
from denseseg.errors import DataError
from denseseg.evaluation.scores import evaluate
from denseseg.experiments.profiles import Profile
from denseseg.experiments.record import Record, Spec, make_record
from denseseg.methods import create, options
from denseseg.methods.method import Method
from denseseg.networks.unet import parameter_count
from denseseg.training.loop import fit
from denseseg.training.settings import TrainingSettings

MANY = 10  # structures; more of them take longer to tell apart (chapter 12)


def default_settings(profile: Profile, recipe: str = "default", seed: int = 0, structures: int = 1) -> TrainingSettings:
    """Training settings of a profile. Every recipe but "default" trains as the paper says; "default" adds richer augmentation and
    predicts with a moving average of the weights, and for more than `MANY` structures it takes longer and larger steps."""
    settings = TrainingSettings(epochs=profile.epochs, batch_size=profile.batch_size, seed=seed)
    if recipe != "default":
        return settings
    settings = settings.changed(augmentation=RICHER, average=0.98)
    return settings.changed(epochs=8 * profile.epochs // 5, learning_rate=3e-3) if structures > MANY else settings


def run_folder(cases: CaseSet, method: str, recipe: str, profile: Profile, seed: int, *details: Any) -> Path:
    """Where a run of the book is kept: its name in words, and a digest of its data and `details`, so that no two runs share one."""
    digest = hashlib.sha256(repr((cases.fingerprint(), *details)).encode()).hexdigest()[:8]
    return find_root() / "runs" / f"{cases.name}_{method}_{recipe}_{profile.name}_{seed}_{digest}".replace(" ", "-")


@dataclass
class Experiment:
    """What one run leaves behind."""

    method: Method
    parts: Split
    history: pd.DataFrame
    frame: pd.DataFrame
    record: Record


def run_experiment(
    cases: CaseSet,
    method_name: str,
    recipe: str,
    profile: Profile,
    seed: int = 0,
    split: str = "paper",
    settings: TrainingSettings | None = None,
    folder: str | Path | None = "auto",
    notes: str = "",
    progress: bool = True,
    **changes: Any,
) -> Experiment:
    """Train one method on a split of the cases and evaluate it on the test part.

    cases: all of one size. settings: `default_settings` unless given. changes: single options of the recipe.
    folder: where the run keeps its checkpoint and weights, by default `run_folder`, None for nowhere; a run found there is
        resumed, a finished one is not trained again.
    The seed decides the network's first weights, the order and the augmentation; the split always uses seed 0, so that seeds are
    compared on the same test cases.
    """
    settings = settings or default_settings(profile, recipe, seed, len(cases.anatomy))
    parts = cases.split(split, seed=0)
    if "channels" in options(method_name):
        changes = {"channels": profile.channels} | changes
    torch.manual_seed(seed)
    method = create(method_name, cases.anatomy, cases[0].size, recipe, **changes)
    if folder == "auto":
        folder = run_folder(cases, method_name, recipe, profile, seed, split, settings, method.recipe)
    began = time.perf_counter()
    history = fit(method, parts.train, parts.validation, settings, folder, progress)
    # a resumed run has its earlier epochs in the history, not on this clock
    seconds = float(history["seconds"].sum()) if len(history) else time.perf_counter() - began
    if folder is not None:
        method.save(Path(folder) / "weights.safetensors")
    frame, seconds_per_case = evaluate_method(method, parts.test, settings.batch_size, progress=False)
    record = make_record(
        Spec(dataset=cases.name, method=method_name, recipe=recipe, profile=profile.name, split=split, seed=seed, options=changes),
        data=cases,
        parts=parts,
        table=frame,
        parameters=parameter_count(method.network),
        seconds_train=seconds,
        seconds_per_case=seconds_per_case,
        device=method.device,
        precision=settings.precision,
        notes=notes,
        history=history,
        recipe={"recipe": asdict(method.recipe), "training": asdict(settings)},
    )
    return Experiment(method, parts, history, frame, record)


def evaluate_method(method: Any, cases: Sequence[Case], batch_size: int = 8, progress: bool = True) -> tuple[pd.DataFrame, float]:
    """Predict all cases and evaluate: (table of `evaluate`, seconds per case of prediction alone).

    Cases of the method's own size go through in batches; others one by one through `predict_image`, judged in their own pixels.
    One untimed prediction comes first, so that start-up costs are not counted.
    """
    if len(cases) == 0:
        raise DataError("there are no cases to evaluate; give at least one")
    fits = all(case.size == tuple(method.size) for case in cases)
    step = batch_size if fits else 1
    batches = [list(cases[i : i + step]) for i in range(0, len(cases), step)]
    predict = _predict_batch if fits else _predict_one
    predict(method, batches[0][:1])
    predictions: list[Any] = []
    start = time.perf_counter()
    for batch in tqdm(batches, desc="predict", disable=not progress):
        predictions += predict(method, batch)
    seconds = (time.perf_counter() - start) / len(cases)
    return evaluate(predictions, cases), seconds


def _predict_batch(method: Any, batch: list[Case]) -> list[Any]:
    images = torch.from_numpy(np.stack([case.image for case in batch]))[:, None]
    return method.predict(images.to(method.device))


def _predict_one(method: Any, batch: list[Case]) -> list[Any]:
    return [method.predict_image(case.image) for case in batch]
