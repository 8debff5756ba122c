"""How much of the landmark error do two methods have in common? That part no further training of either takes away.

    python -m denseseg.studies.shared_error --data data/jsrt --profile compact --methods denseseg:default heatmap_regression:default

An error is prediction minus truth, so a truth that was marked a little elsewhere enters the errors of both methods alike, and so
does what neither could learn from the training images. What is a method's own, of its seed, its network and its reading, does not.
The mean product of the two errors therefore estimates the square of what they share, and what is left of each is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from denseseg.errors import DataError
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.experiment import run_experiment
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec, StudyRecord, study_record
from denseseg.prediction import stacked_landmarks
from denseseg.studies.command import method_named, run_study, study_parser

WORDS = (
    "**Landmark errors of two methods, and what they have in common**, root mean squares. Shared: the root of the mean product of "
    "both errors; own: what is left of the first method's. Chapter 19 tells how to read it."
)


def shared_error(first: np.ndarray, second: np.ndarray, true: np.ndarray, spacing: float | np.ndarray = 1.0) -> dict[str, float]:
    """Root mean squares, in the unit of `spacing`, of (..., 2) landmarks in pixels that two methods predict.

    spacing: mm per pixel, one number or an array that broadcasts with the landmarks, such as (M, 1, 1).

    first, second: of their errors. shared: the root of the mean product of both errors; negative where they err in opposite
    directions. own: what is left of the first error without the shared part, NaN where that is the larger one. Landmarks that
    either lacks, or the truth, are left out. Raises DataError where none is left.
    """
    errors = np.stack([first - true, second - true]) * spacing
    errors = errors[:, np.isfinite(errors).all((0, -1))]
    if not errors.size:
        raise DataError("the two methods and the truth have no landmark in common; compare methods that place the same ones")
    products = np.einsum("ank,bnk->ab", errors, errors) / errors.shape[1]
    with np.errstate(invalid="ignore"):
        own = float(np.sqrt(products[0, 0] - products[0, 1]))
    shared = float(np.sign(products[0, 1]) * np.sqrt(abs(products[0, 1])))
    return {"first": float(np.sqrt(products[0, 0])), "second": float(np.sqrt(products[1, 1])), "shared": shared, "own": own}


def record(data: str, profile: str, methods: Sequence[str], runs: str, seed: int = 0, source: str = "") -> StudyRecord:
    """The study for each pair of methods ("method:recipe" or "method:recipe:seed") on the published split, by structure and for all
    landmarks.

    Runs that are finished in the folder `runs` are not trained again. Raises DataError for fewer than two methods.
    """
    if len(set(methods)) < 2:
        raise DataError("one method shares its errors with no other; name two, such as denseseg and denseseg:paper")
    cases = load_cases(get_profile(profile), data)
    named = {name: method_named(name, seed) for name in methods}
    made = {name: run_experiment(cases, Spec(dataset=cases.name, profile=profile, **own), runs) for name, own in named.items()}
    found = {name: stacked_landmarks(run.method.predict_cases(run.split.test)) for name, run in made.items()}
    parts = made[methods[0]].split  # that of all runs
    true = parts.test.landmarks
    spacing = np.array([case.spacing or 1.0 for case in parts.test])[:, None, None]
    where = {**cases.anatomy.slices, "all": slice(None)}
    results = {
        f"{a} and {b}": {part: shared_error(found[a][:, s], found[b][:, s], true[:, s], spacing) for part, s in where.items()}
        for a, b in combinations(methods, 2)
    }
    n, unit = {"train": len(parts.train), "test": len(parts.test)}, cases[0].unit
    return study_record("shared error", cases, results, profile=profile, seed=seed, n=n, settings={"unit": unit}, source=source)


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    rows = [
        [pair, part, *(f"{numbers[key]:.2f}" if numbers[key] is not None else "–" for key in ("first", "second", "shared", "own"))]
        for pair, parts in results.items()
        for part, numbers in parts.items()
    ]
    return f"{WORDS}\n\n{pipe_table(['methods', 'structure', 'first', 'second', 'shared', 'own'], rows)}"


if __name__ == "__main__":
    parser = study_parser(__doc__, data="phantom", profile="course", seed=0, runs="runs", source="")
    parser.add_argument("--methods", nargs="+", required=True, help="two or more, as method or method:recipe")
    raise SystemExit(run_study(parser, record))
