"""Which hyper-parameters: the search of the paper (Sections 3.5 and 3.6), for DenseSeg and its rivals alike.

Optuna's TPE proposes, each proposal is trained for a few epochs at a small size, and judged on validation cases, a part of the
training part (the authors' code judges on the test part). DenseSeg has three objectives, so a search ends with a Pareto front; a
rival has one, its landmark error, so that its poor trials can be pruned. The best of either are trained again, for longer, with
other seeds. Trials lie in a journal file: several machines can share it, and a search that was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError
from denseseg.evaluation.metrics import dice
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import StudyRecord, study_record
from denseseg.methods import create, get_recipe
from denseseg.methods.method import error_of, validation_error
from denseseg.methods.network_method import NetworkMethod, NetworkRecipe
from denseseg.studies.command import run_study, study_parser
from denseseg.training.loop import train as train_network
from denseseg.training.settings import Epochs, Run

if TYPE_CHECKING:
    import optuna

Proposal = Callable[["optuna.trial.BaseTrial"], dict[str, Any]]


def _loss_weights(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """Raw weights in 0.5..10 as in the authors' code, divided by their sum; uv stands for both terms of the maps."""
    raw = {name: trial.suggest_float(name, 0.5, 10.0, log=True) for name in ("segmentation", "uv", "variation")}
    share = {name: value / sum(raw.values()) for name, value in raw.items()}
    return {"loss_weights": share | {"uv": share["uv"] / 2, "landmarks": share["uv"] / 2}}


def _spots(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """Amplitude and width of the heatmaps, in the paper's ranges: 1..50, and 1..10 pixels of 256."""
    return {"amplitude": trial.suggest_float("amplitude", 1.0, 50.0), "sigma": trial.suggest_float("sigma", 1.0, 10.0) / 256}


def _shared_loss(trial: optuna.trial.BaseTrial) -> dict[str, Any]:
    """The share of the segmentation in the loss, lambda in 0..1."""
    share = trial.suggest_float("lambda", 0.01, 0.99)
    return {"loss_weights": {"segmentation": share, "heatmap": 1 - share}}


PROPOSALS: Mapping[str, Proposal] = {
    "denseseg": _loss_weights,
    "heatmap_regression": _spots,
    "heatmap_segmentation": _shared_loss,
}
OBJECTIVES: Mapping[str, tuple[str, ...]] = {"denseseg": ("uv_error", "landmark_uv_error", "dice_loss")}
LANDMARK_ERROR = ("landmark_error_px",)
SIZE = (64, 64)


def search(
    name: str,
    train: CaseSet,
    validation: CaseSet,
    *,
    trials: int,
    epochs: int = 5,
    recipe: str = "paper",
    width: float = 1 / 8,
    journal: Path | None = None,
    seed: int = 0,
) -> optuna.Study:
    """A search of `trials` trials in all, those that `journal` holds already among them.

    name: of a method in `PROPOSALS`; recipe: where the search begins. train, validation: cases of one size, about 64 pixels.
    epochs, width: of each trial, and the share of the recipe's features.
    Returns the Optuna study; objectives are those of `objectives`. Raises DataError where the method has no search, or there are no
    validation cases.
    """
    if name not in PROPOSALS:
        raise DataError(f"no search for {name!r}; there is one for: {', '.join(PROPOSALS)}")
    if not len(validation):
        raise DataError(f"{validation.name}: a search judges on validation cases, and there are none; split with validation > 0")
    import optuna  # not needed to use the package
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    storage = None if journal is None else JournalStorage(JournalFileBackend(str(journal)))
    goals, finished = objectives(name), (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    study = optuna.create_study(
        storage=storage,
        study_name=f"{name} {recipe} {train.fingerprint()[:8]} {epochs} {width:g} {seed}",
        directions=["minimize"] * len(goals),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        load_if_exists=True,
    )

    def judged(trial: optuna.Trial) -> tuple[float, ...]:
        method = _method(name, train, _begun(name, recipe, width, epochs).changed(**PROPOSALS[name](trial)), seed)
        seen: list[float] = []

        def validate() -> float:
            seen.append(validation_error(method, validation))
            if len(goals) == 1:  # Optuna prunes where there is one objective
                trial.report(seen[-1], len(seen))
                if trial.should_prune():
                    raise optuna.TrialPruned
            return seen[-1]

        train_network(method, Batch.of(train), method.recipe.training, Run(seed=seed, progress=False), validate=validate)
        found = measured(method, validation)
        return tuple(found[goal] for goal in goals)

    while len(study.get_trials(deepcopy=False, states=finished)) < trials:
        # a sampler for each trial, so that one that goes on, or another machine, does not propose the first trials again
        begun = len(study.get_trials(deepcopy=False))
        study.sampler = optuna.samplers.TPESampler(seed=seed + begun, n_startup_trials=max(4, trials // 5))
        study.optimize(judged, n_trials=1)
    return study


def objectives(name: str) -> tuple[str, ...]:
    """What a method's search makes small; see `measured`."""
    return OBJECTIVES.get(name, LANDMARK_ERROR)


def _begun(name: str, recipe: str, width: float, epochs: int) -> NetworkRecipe:
    begun = get_recipe(name, recipe).scaled(1.0, width, 4)
    assert isinstance(begun, NetworkRecipe)
    return begun.changed(training=begun.training.changed(length=Epochs(epochs), validate_every=1))


def _method(name: str, train: CaseSet, recipe: NetworkRecipe, seed: int) -> NetworkMethod:
    """A method that is ready to be trained, with first weights by `seed`."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        method = create(name, train.anatomy, train[0].size, recipe)
    assert isinstance(method, NetworkMethod)
    method.prepare(train)
    return method


@torch.no_grad()
def measured(method: NetworkMethod, cases: CaseSet) -> dict[str, float]:
    """What a trained method reaches on cases; small is good.

    landmark_error_px, as `validation_error`; dice_loss: 1 - mean DSC of the structures that are there; and of DenseSeg uv_error,
    the mean absolute error of the map over true pixels, and landmark_uv_error, the same at the true landmarks (both in uv).
    """
    predictions = method.predict_cases(cases)
    found = {"landmark_error_px": error_of(predictions, cases, method.size)}
    pairs = [(a, b) for p, case in zip(predictions, cases, strict=True) for a, b in zip(_masks(p), true_masks(case), strict=False)]
    if pairs:
        found["dice_loss"] = 1 - float(np.mean([dice(a, b) for a, b in pairs if b.any()]))
    if "uv" in method.recipe.loss_weights:
        batch = Batch.of(cases).to(method.device)
        outputs = method.network(*method.inputs(batch, torch.Generator()))
        terms = method.losses(outputs, method.targets(batch))
        found |= {"uv_error": float(terms["uv"]), "landmark_uv_error": float(terms["landmarks"])}
    return found


def _masks(prediction: Any) -> np.ndarray:
    return np.empty((0,)) if prediction.masks is None else prediction.masks


def chosen(study: optuna.Study, count: int = 5) -> list[optuna.trial.FrozenTrial]:
    """The best trials: of one objective the smallest; of several those of the Pareto front with the smallest mean rank."""
    if len(study.directions) == 1:
        done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        return sorted(done, key=lambda trial: trial.values[0])[:count]
    front = study.best_trials
    ranks = pd.DataFrame([trial.values for trial in front]).rank().mean(axis=1)
    return [front[i] for i in ranks.sort_values(kind="stable").index[:count]]


def trained_again(
    study: optuna.Study, name: str, train: CaseSet, validation: CaseSet, *, epochs: int, seeds: tuple[int, ...] = (1, 2),
    recipe: str = "paper", width: float = 1 / 8, count: int = 5, runs: Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The `chosen` trials, trained for longer and with other seeds than the search had; the first row is the recipe as it stands.

    runs: the folder where each training keeps its checkpoint in a folder of its own, by which it goes on if interrupted, or None.
    Returns trial (-1 for the recipe as it stands), the proposal's values, and the means over the seeds of what `measured` gives.
    """
    rows = []
    for trial in (None, *chosen(study, count)):
        number, changes = (-1, {}) if trial is None else (trial.number, PROPOSALS[name](trial))
        begun = _begun(name, recipe, width, epochs).changed(**changes)
        results = []
        for seed in seeds:
            method = _method(name, train, begun, seed)
            own = f"{study.study_name}_{'as it stands' if trial is None else number}_{epochs}_{seed}".replace(" ", "_")
            method.fit(train, validation, Run(seed=seed, folder=runs and runs / own, progress=False))
            results.append(measured(method, validation))
        means = pd.DataFrame(results).mean().to_dict()
        rows.append({"trial": number} | ({} if trial is None else trial.params) | means)
    return pd.DataFrame(rows)


def record(data: CaseSet, studies: Mapping[str, optuna.Study], again: Mapping[str, pd.DataFrame], **more: Any) -> StudyRecord:
    """The record of the searches: every trial, and the best of each search trained again. more: as in `study_record`."""
    results = {
        name: {
            "objectives": objectives(name),
            "trials": [{"params": t.params, "values": t.values, "state": t.state.name} for t in study.trials],
            "front": [t.number for t in chosen(study, len(study.trials))]
            if len(study.directions) > 1
            else [chosen(study, 1)[0].number],
            "again": again[name].to_dict("records"),
        }
        for name, study in studies.items()
    }
    return study_record("hyper-parameter search", data, results, **more)


def searched(trials: int, epochs: int, longer: int, runs: str, notes: str = "") -> StudyRecord:
    """Search for each method of `PROPOSALS` on the chest phantoms of the course profile at `SIZE`, train the best again, record it.

    epochs: of a trial; longer: of what is trained again. runs: the folder with the journal of the trials and the checkpoints of
    what is trained again, by which both go on where they were interrupted.
    """
    cases = load_cases(get_profile("course")).fitted(SIZE)
    split = cases.split(seed=0)
    parts, folder = (split.train, split.validation), Path(runs)
    folder.mkdir(parents=True, exist_ok=True)
    studies = {name: search(name, *parts, trials=trials, epochs=epochs, journal=folder / "search.log") for name in PROPOSALS}
    again = {name: trained_again(study, name, *parts, epochs=longer, runs=folder) for name, study in studies.items()}
    n = {"train": len(split.train), "validation": len(split.validation)}
    settings = {"size": SIZE, "epochs": epochs, "epochs_again": longer}
    return record(cases, studies, again, profile="course", seed=0, notes=notes, n=n, settings=settings)


def table(results: Mapping[str, Any]) -> str:
    """The results of this study's record as markdown: the best settings, trained again, beside the recipe as it stands."""
    parts = []
    for name, result in results.items():
        rows = pd.DataFrame(result["again"])
        states = pd.Series([trial["state"] for trial in result["trials"]]).value_counts()
        told = ", ".join(f"{count} {state.lower()}" for state, count in states.items())
        rows["trial"] = ["as published" if number < 0 else str(number) for number in rows["trial"]]
        cells = [
            [f"{cell:.3g}" if isinstance(cell, float) else cell for cell in row]
            for row in rows.astype(object).fillna("–").values.tolist()
        ]
        parts.append(
            f"**{name}**, {len(result['trials'])} trials ({told}); the best trained again:\n\n{pipe_table(list(rows), cells)}"
        )
    return "\n\n".join(parts)


if __name__ == "__main__":
    raise SystemExit(run_study(study_parser(__doc__, trials=40, epochs=5, longer=40, runs="runs", notes=""), searched))
