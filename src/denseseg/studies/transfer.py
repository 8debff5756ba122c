"""What must vary in drawings so that a network which has seen nothing else works on real radiographs? An ablation.

    python -m denseseg.studies.transfer --data data/jsrt --profile course --arms nothing everything "everything without film"
    python -m denseseg.studies.transfer --data data/jsrt --arms given --part test

Each arm trains the same network on the same number of chest phantoms; only what varies in them differs. It is then shown real cases
that nobody trained on: those by which arms are chosen ("validation"), or, for the arm that was chosen, the test cases. The
arm "given" trains nothing: it is the network that comes with the package. The command goes on where it was stopped: each training
keeps its state in --runs.

How far landmarks go along an outline is a convention, and so is where people draw what nobody sees. The numbers "after correction"
tell how much of the error is only that: a fixed displacement of each landmark, in units of its structure's size, is fitted on a few
real training cases and added. It is a measurement, never part of weights that are given away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from denseseg.anatomy import CHEST, Anatomy
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.evaluation.scores import evaluate
from denseseg.evaluation.summary import per_case
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.experiment import recipe_of, retrained
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec, StudyRecord, metrics_of, study_record
from denseseg.geometry.frame import Size
from denseseg.methods import Method, create
from denseseg.names import file_name
from denseseg.phantom import NO_LOOKS, NO_RANDOMISATION, TRANSFER, WIDE_LOOKS, Looks, Randomisation, chest_phantom
from denseseg.prediction import stacked_landmarks
from denseseg.studies.command import run_study, study_parser
from denseseg.training.settings import Epochs, Run
from denseseg.weights import load_pretrained

# What is switched together: names of fields of `Randomisation` and `Looks`.
GROUPS = {
    "outlines": ("annotated", "hidden"),
    "population": ("population", "child"),
    "organs": ("lungs", "heart", "diaphragm"),
    "bones": ("clavicles", "shoulders", "ribs"),
    "pose": ("size", "rotation", "shift", "turn", "tilt", "framed"),
    "tissues": ("girth", "neck", "breasts", "tissues"),
    "disease": ("consolidation", "effusion", "nodules"),
    "objects": ("wires", "tubes", "plates", "letters"),
    "exposure": ("exposure", "slope", "scatter", "quantum"),
    "film": ("gamma", "window", "shading"),
    "sharpness": ("sharpening", "blur", "coarse"),
    "copies": ("grain", "boxes", "frame", "corner", "inverted", "jpeg"),
}
GROUPS |= {
    "anatomy": tuple(asdict(TRANSFER)),
    "looks": tuple(asdict(WIDE_LOOKS)),
}
SHOWN = ("dsc", "tre", "across")
CORRECTED = {"tre": "tre_after_correction", "across": "across_after_correction"}
WORDS = (
    "**A network that saw drawings only, on real cases**, means. DSC in %, lengths in mm (px where the spacing is unknown): "
    "landmark error and its part across the outline, as found and after a fixed correction of each landmark, fitted on a few real "
    "training cases."
)


def arm(name: str) -> tuple[Randomisation, Looks]:
    """What varies in an arm: "nothing", "everything", "everything without X" or "only X", X of `GROUPS` or a single switch.

    Raises DataError that lists the groups.
    """
    wide = asdict(TRANSFER) | asdict(WIDE_LOOKS)
    without, only = name.removeprefix("everything without "), name.removeprefix("only ")
    if name in ("nothing", "everything"):
        on = set(wide) if name == "everything" else set()
    elif without != name and _switches(without):
        on = set(wide) - _switches(without)
    elif only != name and _switches(only):
        on = _switches(only)
    else:
        known = 'give "nothing", "everything", "everything without X" or "only X", X a switch or one of: ' + ", ".join(GROUPS)
        raise DataError(f"unknown arm {name!r}; {known}")
    values = {key: value for key, value in wide.items() if key in on}
    anatomy = {key: value for key, value in values.items() if key in asdict(NO_RANDOMISATION)}
    return Randomisation(**anatomy), Looks(**{key: value for key, value in values.items() if key in asdict(NO_LOOKS)})


def _switches(name: str) -> set[str]:
    """The switches of a group, or the single one of this name; none where it is neither."""
    return set(GROUPS.get(name, (name,) if name in (*GROUPS["anatomy"], *GROUPS["looks"]) else ()))


def fixed_correction(predicted: np.ndarray, true: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """(N, 2) median displacement from predicted (n, N, 2) to true landmarks, in units of the predicted size of their structure.

    A median, since one case of few may be read wrongly. A landmark that no case has is not corrected.
    """
    moved = (true - predicted) / _sizes(predicted, anatomy)
    return np.ma.median(np.ma.masked_invalid(moved), axis=0).filled(0.0)


def corrected(predicted: np.ndarray, correction: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Predicted (n, N, 2) landmarks with a `fixed_correction` (N, 2) added."""
    return predicted + correction * _sizes(predicted, anatomy)


def _sizes(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """(n, N, 1) longer side of the box round each landmark's structure; NaN where it has none."""
    sizes = np.full((*points.shape[:2], 1), np.nan)
    for where in anatomy.slices.values():
        own = points[:, where]
        known = np.isfinite(own)
        extent = (np.where(known, own, -np.inf).max(1) - np.where(known, own, np.inf).min(1)).max(-1)
        sizes[:, where, 0] = np.where(extent > 0, extent, np.nan)[:, None]
    return sizes


def record(
    data: str,
    profile: str,
    arms: Sequence[str],
    n: int = 320,
    epochs: int = 16,
    part: str = "validation",
    correction: int = 10,
    seed: int = 0,
    runs: str = "runs",
    source: str = "",
    notes: str = "",
) -> StudyRecord:
    """The study for some arms on the published split's part "validation" or "test" of a chest data set.

    n: phantoms of each arm. epochs: passes over them. correction: real training cases, drawn with the seed, for the fixed
    correction. results: arm -> group of structures or "average" -> `SHOWN`, the values of `CORRECTED`, and lost, the structures
    without a mask; in the average also, where images have an out-of-distribution score: doubtful, those beyond its limit, and
    score_against_tre, how well it puts images in the order of their errors (Spearman's correlation).
    Raises DataError for an unknown arm or part, where the data show no chest, and where correction is below 1.
    """
    if part not in ("validation", "test"):
        raise DataError(f'part {part!r}: give "validation", by which arms are chosen, or "test"')
    if correction < 1:
        raise DataError(f"correction {correction}: it is fitted on so many real training cases; give 1 or more")
    cases = load_cases(get_profile(profile), data)
    if cases.anatomy != CHEST:
        raise DataError(f"{data} shows {cases.anatomy.name!r}; this study needs the chest with its 166 landmarks")
    split = cases.split("paper", seed=0)
    drawn = np.random.default_rng(seed).permutation(len(split.train))[:correction]
    judged, few = getattr(split, part), split.train.subset(sorted(drawn))
    results: dict[str, Any] = {}
    for name in arms:
        if name == "given":
            method: Method = load_pretrained("chest")
        else:
            method = _trained(name, cases[0].size, profile, n, epochs, seed, Path(runs))
        results[name] = _judged(method, judged, few)
        print(f"{name}: {results[name]['average']}", flush=True)
    numbers = {part: len(judged), "correction": len(few)}
    settings: dict[str, Any] = {"unit": cases[0].unit, "part": part}
    if set(arms) != {"given"}:  # which was trained before
        numbers["phantoms"], settings["epochs"] = n, epochs
    study = "transfer" if part == "validation" else "transfer on test cases"
    return study_record(study, cases, results, profile=profile, seed=seed, n=numbers, settings=settings, notes=notes, source=source)


def _judged(method: Method, judged: CaseSet, few: CaseSet) -> dict[str, dict[str, float]]:
    """The numbers of one arm."""
    predictions = method.predict_cases(judged)
    moved = fixed_correction(stacked_landmarks(method.predict_cases(few)), few.landmarks, CHEST)
    better = corrected(stacked_landmarks(predictions), moved, CHEST)
    errors = evaluate(predictions, judged)
    before = metrics_of(errors)
    after = metrics_of(evaluate([replace(p, landmarks=q) for p, q in zip(predictions, better, strict=True)], judged))
    numbers = {}
    for group in (*CHEST.groups, "average"):
        numbers[group] = {key: before[group][key]["mean"] for key in SHOWN}
        numbers[group] |= {name: after[group][key]["mean"] for key, name in CORRECTED.items()}
        numbers[group]["lost"] = before[group]["dsc"]["failures"]
    if method.usual is not None:
        numbers["average"]["doubtful"] = sum(one.doubtful for one in predictions)
        if len(judged) > 2:
            scores = [one.ood_score for one in predictions]
            numbers["average"]["score_against_tre"] = float(spearmanr(scores, per_case(errors, "tre").to_numpy()).statistic)
    return numbers


def _trained(name: str, size: Size, profile: str, n: int, epochs: int, seed: int, runs: Path) -> Method:
    """The network of an arm, trained on n phantoms; read from `runs` where it has been trained before."""
    recipe = recipe_of(Spec(dataset="phantom", method="denseseg", profile=profile, seed=seed))
    method = create("denseseg", CHEST, size, retrained(recipe, length=Epochs(epochs)))
    folder = runs / file_name(f"transfer_{name}_{profile}_{n}_{epochs}_{seed}")
    method.fit(chest_phantom(n, size, seed, *arm(name)), None, Run(seed=seed, folder=folder, progress=False))
    return method


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    columns = (*SHOWN, *CORRECTED.values())
    rows = [
        [name, group, *("–" if numbers[key] is None else f"{numbers[key]:.1f}" for key in columns), str(int(numbers["lost"]))]
        for name, groups in results.items()
        for group, numbers in groups.items()
    ]
    heads = ["varied", "structure", "DSC", "TRE", "across", "TRE corrected", "across corrected", "lost"]
    return f"{WORDS}\n\n{pipe_table(heads, rows)}"


if __name__ == "__main__":
    numbers = {"n": 320, "epochs": 16, "correction": 10, "seed": 0}
    parser = study_parser(__doc__, data="phantom", profile="course", part="validation", runs="runs", source="", notes="", **numbers)
    parser.add_argument("--arms", nargs="+", default=["nothing", "everything"])
    raise SystemExit(run_study(parser, record))
