"""How much of the landmark error is sliding along the outline, and how much of that does a whole structure do alike?

    python -m denseseg.studies.sliding_error --data data/jsrt --profile compact --methods denseseg heatmap_regression:default:1

An image says where an outline runs, but along a smooth one hardly which of its points is landmark 7. What all landmarks of a
structure slide alike in one image may be the annotator's, who began to number elsewhere, or the method's; no agreement on where to
begin could take away more. Two yardsticks stand beside it: the upper border of the heart, which annotators draw by convention,
below the vessels, and a linear prediction of each structure from the true others (`linear_shape`), which looks at no image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.evaluation import evaluate, metrics, sliding
from denseseg.evaluation.scores import placed_landmarks
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.experiment import run_experiment
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec, StudyRecord, study_record
from denseseg.geometry.frame import inside_image
from denseseg.studies.command import method_named, run_study, study_parser
from denseseg.studies.linear_shape import TITLE, predict_from_others

WORDS = (
    "**Landmark errors along and across the true outline**, means in mm (in pixels where no spacing is known). Common: the share "
    "of the squared error along the outline that all landmarks of a structure have in common in an image; slide SD: of this common "
    "slide, over images; TRE without it: what would be left if it were known. Chapter 11 tells what sliding is."
)
KEYS = ("tre", "along", "across", "common_percent", "slide_sd", "tre_without_common")
HEADS = ("TRE", "along", "across", "common (%)", "slide SD", "TRE without it")
UPPER_BORDER = range(6, 12)  # of the heart's landmarks
HEART, LINEAR = "heart parts", "linear prediction"  # in the results, beside structures and beside methods


def slide_errors(predictions: Sequence[Any], cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """Outlined structure -> `KEYS`, in mm (px without a spacing) and %; and "heart parts".

    Arguments as in `evaluate`. tre, along and across are its, each the mean over images of the structure's mean; common_percent
    and slide_sd are common and shift_sd of `sliding`. tre_without_common is averaged as TRE is, over the landmarks'
    sqrt((slide - common slide)^2 + across^2), where common slide is the mean slide of the structure in the image: a landmark moves
    along the tangent there, not round the bend. No other shift leaves a smaller mean square; the mean itself may even grow where
    little is common. "heart parts": the mean error across per landmark of the "upper border" and of the "rest" of an outlined
    structure called heart, where it has more than 12 landmarks. Failures keep their price, and what is not judged is left out.
    Raises DataError as `evaluate` and `sliding` do.
    """
    shared = sliding(predictions, cases).rename(columns={"common": "common_percent", "shift_sd": "slide_sd"}).set_index("structure")
    means = evaluate(predictions, cases).groupby(["structure", "metric"])["value"].mean().unstack()
    table, (placed, _) = means.join(shared[["common_percent", "slide_sd"]]), placed_landmarks(predictions, cases)
    found, heart, anatomy = {}, {}, cases[0].anatomy
    for structure in (one for one in anatomy.structures if one.outlined):
        where = anatomy.slices[structure.name]
        parts = [_across_and_left(points[where], case.landmarks[where], case) for points, case in zip(placed, cases, strict=True)]
        across, left = (pd.DataFrame(part) for part in np.stack(parts, axis=1))  # (M, n) each
        row = {**table.loc[structure.name], "tre_without_common": left.mean(axis=1).mean()}
        found[structure.name] = {key: float(row[key]) for key in KEYS}
        if structure.name == "heart" and structure.count > 12:
            upper, rest = across[UPPER_BORDER], across.drop(columns=UPPER_BORDER)
            heart[HEART] = {"upper border": float(upper.mean(axis=1).mean()), "rest": float(rest.mean(axis=1).mean())}
    return found | heart


def _across_and_left(points: np.ndarray, true: np.ndarray, case: Case) -> np.ndarray:
    """(2, n), in the case's unit: errors of one structure's landmarks across, and without the common slide; NaN: not judged."""
    spacing, shown = case.spacing or 1.0, inside_image(true, case.size)
    limit = metrics.failure_distance(case.size, spacing)
    slides = np.clip(metrics.slides(points, true, spacing), -limit, limit)
    across = metrics.along_and_across(points, true, spacing)[:, 1]
    errors = np.stack([across, np.hypot(slides - pd.Series(slides[shown]).mean(), across)])
    return np.where(shown, metrics.clipped(np.nan_to_num(errors, nan=np.inf), case.size, spacing), np.nan)


def linear_errors(train: CaseSet, test: CaseSet) -> dict[str, float]:
    """Structure -> TRE, in mm (px without a spacing), of its linear prediction from the true others, and "average" over groups."""
    table = evaluate(predict_from_others(train, test), test).query("metric == 'tre'")
    return {**table.groupby("structure", sort=False)["value"].mean(), "average": table.groupby("group")["value"].mean().mean()}


def record(data: str, profile: str, methods: Sequence[str], runs: str, seed: int = 0, source: str = "") -> StudyRecord:
    """The study for each method ("method:recipe" or "method:recipe:seed") on the test part of the published split.

    seed: of methods that name none. Runs that are finished in the folder `runs` are not trained again. Raises DataError where a
    method is not written so, or the cases have no outlines.
    """
    cases = load_cases(get_profile(profile), data)
    if not any(structure.outlined for structure in cases.anatomy.structures):
        raise DataError(f"{cases.name} has no closed outline to slide along; give data with a structure of kind 'outline'")
    results: dict[str, Any] = {}
    for name, own in {name: method_named(name, seed) for name in methods}.items():
        run = run_experiment(cases, Spec(dataset=cases.name, profile=profile, **own), runs)
        results[name] = slide_errors(run.method.predict_cases(run.split.test), run.split.test)
    parts = cases.split("paper", seed=0)
    results[LINEAR] = linear_errors(parts.train, parts.test)
    n, unit = {"train": len(parts.train), "test": len(parts.test)}, cases[0].unit
    return study_record("sliding error", cases, results, profile=profile, seed=seed, n=n, settings={"unit": unit}, source=source)


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    found = [(name, part, numbers) for name, parts in results.items() if name != LINEAR for part, numbers in parts.items()]
    rows = [[name, part, *(_cell(numbers[key]) for key in KEYS)] for name, part, numbers in found if part != HEART]
    hearts = [[name, _cell(part["upper border"]), _cell(part["rest"])] for name, key, part in found if key == HEART]
    linear = [[part, _cell(tre)] for part, tre in results[LINEAR].items()]
    texts = [WORDS, pipe_table(["method", "structure", *HEADS], rows)]
    if hearts:
        texts += ["**Error across of the heart's landmarks**, by part.", pipe_table(["method", "upper border", "rest"], hearts)]
    return "\n\n".join([*texts, f"**{TITLE}.**", pipe_table(["structure", "TRE"], linear)])


def _cell(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}"


if __name__ == "__main__":
    parser = study_parser(__doc__, data="phantom", profile="course", seed=0, runs="runs", source="")
    parser.add_argument("--methods", nargs="+", required=True, help="each as method, method:recipe or method:recipe:seed")
    raise SystemExit(run_study(parser, record))
