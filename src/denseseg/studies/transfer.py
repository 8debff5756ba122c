"""What must vary in drawings so that a network which has seen nothing else works on real radiographs? An ablation.

    python -m denseseg.studies.transfer --data data/jsrt --profile course --arms nothing everything "everything without film"

Each arm trains the same network on the same number of chest phantoms; only what varies in them differs. It is then shown real cases
that nobody trained on: those by which arms are chosen ("validation"), or, once, for the arm that was chosen, the test cases.

How far landmarks go along an outline is a convention, and so is where people draw what nobody sees. The numbers "after correction"
tell how much of the error is only that: a fixed displacement of each landmark, in units of its structure's box, is fitted on a few
real training cases and added. It is a measurement, never part of weights that are given away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from denseseg.anatomy import CHEST, Anatomy
from denseseg.errors import DataError
from denseseg.evaluation.metrics import failure_distance
from denseseg.evaluation.scores import evaluate
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.experiment import recipe_of, retrained
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec, StudyRecord, metrics_of, study_record
from denseseg.methods import create
from denseseg.phantom import NO_LOOKS, NO_RANDOMISATION, TRANSFER, WIDE_LOOKS, Looks, Randomisation, chest_phantom
from denseseg.prediction import stacked_landmarks
from denseseg.studies.command import run_study, study_parser
from denseseg.training.settings import Epochs, Run

# What is switched together: names of fields of `Randomisation` and `Looks`.
GROUPS = {
    "outlines": ("annotated", "hidden"),
    "population": ("population", "child"),
    "organs": ("lungs", "heart", "diaphragm"),
    "bones": ("clavicles", "shoulders", "ribs"),
    "pose": ("size", "rotation", "shift", "turn", "tilt", "framed"),
    "tissues": ("girth", "breasts", "tissues"),
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
WORDS = (
    "**A network that saw drawings only, on real cases**, means. DSC in %, lengths in mm: landmark error, its part across the "
    "outline, and the landmark error after a fixed correction of each landmark, fitted on a few real training cases."
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
    """(N, 2) mean displacement from predicted (n, N, 2) to true landmarks, in units of the predicted box of their structure."""
    moved = (true - predicted) / _extents(predicted, anatomy)
    known = np.isfinite(moved)
    return np.where(known, moved, 0).sum(0) / np.maximum(known.sum(0), 1)


def corrected(predicted: np.ndarray, correction: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Predicted (n, N, 2) landmarks with a `fixed_correction` (N, 2) added."""
    return predicted + correction * _extents(predicted, anatomy)


def _extents(points: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """(n, N, 2) width and height of the box of each landmark's structure; NaN where it has none."""
    extents = np.full_like(points, np.nan)
    for where in anatomy.slices.values():
        own = points[:, where]
        known = np.isfinite(own)
        extent = np.where(known, own, -np.inf).max(1, keepdims=True) - np.where(known, own, np.inf).min(1, keepdims=True)
        extents[:, where] = np.where(extent > 0, extent, np.nan)
    return extents


def record(
    data: str,
    profile: str,
    arms: Sequence[str],
    n: int = 320,
    epochs: int = 16,
    part: str = "validation",
    correction: int = 10,
    seed: int = 0,
    source: str = "",
) -> StudyRecord:
    """The study for some arms on the published split's part "validation" or "test" of a chest data set.

    n: phantoms of each arm. epochs: passes over them. correction: real training cases for the fixed correction.
    """
    if part not in ("validation", "test"):
        raise DataError(f'part {part!r}: give "validation", by which arms are chosen, or "test"')
    cases = load_cases(get_profile(profile), data)
    if cases.anatomy != CHEST:
        raise DataError(f"{data} shows {cases.anatomy.name!r}; this study needs the chest with its 166 landmarks")
    split = cases.split("paper", seed=0)
    judged, few = getattr(split, part), split.train[:correction]
    spacing = cases[0].spacing or 1.0
    results: dict[str, Any] = {}
    recipe = recipe_of(Spec(dataset="phantom", method="denseseg", profile=profile, seed=seed))
    recipe = retrained(recipe, length=Epochs(epochs))
    for name in arms:
        method = create("denseseg", CHEST, cases[0].size, recipe)
        method.fit(chest_phantom(n, cases[0].size, seed, *arm(name)), None, Run(seed=seed, progress=False))
        predictions = method.predict_cases(judged)
        metrics = metrics_of(evaluate(predictions, judged))
        moved = fixed_correction(stacked_landmarks(method.predict_cases(few)), few.landmarks, CHEST)
        error = np.linalg.norm(corrected(stacked_landmarks(predictions), moved, CHEST) - judged.landmarks, axis=-1)
        error = spacing * np.where(np.isnan(error), failure_distance(cases[0].size), error)
        results[name] = {}
        for group, structures in CHEST.groups.items():
            mine = error[:, np.isin(CHEST.membership, structures)]
            shown = {key: metrics[group][key]["mean"] for key in SHOWN}
            lost = int(metrics[group]["dsc"]["failures"])
            results[name][group] = shown | {"tre_after_correction": float(mine.mean()), "lost": lost}
    more = {"source": source} if source else {}
    numbers = {"phantoms": n, part: len(judged), "correction": len(few)}
    settings = {"unit": "px" if cases[0].spacing is None else "mm", "epochs": epochs, "part": part}
    return study_record("transfer", cases, results, profile=profile, seed=seed, n=numbers, settings=settings, **more)


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    columns = (*SHOWN, "tre_after_correction")
    rows = [
        [name, group, *(f"{numbers[key]:.1f}" if numbers[key] is not None else "–" for key in columns), str(numbers["lost"])]
        for name, groups in results.items()
        for group, numbers in groups.items()
    ]
    return f"{WORDS}\n\n{pipe_table(['varied', 'structure', 'DSC', 'TRE', 'across', 'TRE after correction', 'lost'], rows)}"


if __name__ == "__main__":
    parser = study_parser(
        __doc__, data="phantom", profile="course", n=320, epochs=16, part="validation", correction=10, seed=0, source=""
    )
    parser.add_argument("--arms", nargs="+", default=["nothing", "everything"])
    raise SystemExit(run_study(parser, record))
