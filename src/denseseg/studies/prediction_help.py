"""What do averaging 8 views and the shape prior, both done when an image is predicted, add to each trained method?

    python -m denseseg.studies.prediction_help --data data/jsrt --profile compact --methods denseseg heatmap_regression:default:1
    python -m denseseg.studies.prediction_help --data data/hand --split folds --fold 1 --folds 3 --methods denseseg mean_shape

Each method is trained once and then predicts the same test images with each help, so that no difference is another training's. Its
weights were chosen on validation images that were read with the recipe's own help, which may favour that one a little. What else a
recipe does, such as the projection onto the outline or several start shapes, it does with each help.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import fmean
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from denseseg.errors import DataError
from denseseg.evaluation import compare_methods, evaluate, summarise
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.experiment import Experiment, run_experiment
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec, StudyRecord, study_record
from denseseg.studies.command import method_named, run_study, study_parser

HELPS: dict[str, dict[str, Any]] = {
    "bare": {"test_time_views": 1, "shape_prior": 0.0},
    "8 views": {"test_time_views": 8, "shape_prior": 0.0},
    "shape model": {"test_time_views": 1, "shape_prior": 1 / 128},
    "both": {"test_time_views": 8, "shape_prior": 1 / 128},
    "both, chosen": {"test_time_views": 8, "shape_prior": "validation"},
}
WORDS = (
    "**Landmark errors of the same trained methods with different help at prediction time**: TRE, averaged over groups, in mm (in "
    "pixels where no spacing is known), and its mean difference to the bare method on the same images, negative where the help "
    "makes it smaller. The shape model assumes that landmarks are read with a noise of 1/128 of the image height or, *chosen*, "
    "with that at which the validation images' landmarks err least. In brackets: 95 % bootstrap intervals over images, of one "
    "training each, or one each fold. Chapter 19 tells how to read it."
)
NUMBERS = ["mean", "low", "high"]


def read_by(run: Experiment, options: Mapping[str, Any]) -> pd.DataFrame:
    """Table of `evaluate` over a run's test part, with these options of its recipe changed, but for those that the recipe lacks.

    A noise that is to be chosen on validation cases is chosen on those of the run.
    """
    method, known = copy.copy(run.method), {field.name for field in fields(run.method.recipe)}
    method.recipe = method.recipe.changed(**{name: value for name, value in options.items() if name in known})
    method.choose_noise(run.split.validation)
    return evaluate(method.predict_cases(run.split.test), run.split.test)


def gains(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, dict[str, float]]]:
    """Help -> "tre" of the average over groups, and but for "bare" the paired "difference", help minus bare -> `NUMBERS`.

    tables: help -> table of `evaluate`, of the same cases, in whose unit the numbers are. Raises DataError where one has no tre.
    """
    compared = compare_methods(tables, "bare").set_index("method").rename(columns={"difference": "mean"})
    found = {}
    for name, table in tables.items():
        average = summarise(table[table["metric"] == "tre"]).set_index("group").loc["average"]
        found[name] = {"tre": average[NUMBERS].to_dict()}
    for name in compared.index:
        found[name]["difference"] = compared.loc[name, NUMBERS].to_dict()
    return found


def record(
    data: str, profile: str, methods: Sequence[str], runs: str, seed: int = 0, source: str = "",
    split: str = "paper", fold: Sequence[int] = (), folds: int | None = None,
) -> StudyRecord:  # fmt: skip
    """The study for each method ("method:recipe" or "method:recipe:seed") on the test part of a split.

    seed: of methods that name none. fold: which of the split "folds", from 0; the test parts of several are pooled. folds: as in
    `Spec`. Runs that are finished in the folder `runs` are not trained again. Raises DataError where a method is not written so, is
    not known or places no landmarks, and where split and fold do not fit together.
    """
    cases, results, found = load_cases(get_profile(profile), data), {}, []
    division: list[dict[str, Any]] = [{"fold": one} for one in dict.fromkeys(fold)] or [{}]
    shared = {"dataset": cases.name, "profile": profile, "split": split, "folds": folds}
    for name, own in {name: method_named(name, seed) for name in methods}.items():
        found = [run_experiment(cases, Spec(**own, **shared, **part), runs) for part in division]
        if any("tre" not in run.record.metrics["average"] for run in found):
            raise DataError(f"{name} has no landmark errors on {cases.name}; name methods that place its landmarks")
        helps = tqdm(HELPS.items(), desc=name)
        results[name] = gains({key: pd.concat([read_by(run, options) for run in found]) for key, options in helps})
    n = {"train": round(fmean(len(run.split.train) for run in found)), "test": sum(len(run.split.test) for run in found)}
    settings = {"unit": cases[0].unit, "split": split, "fold": [*dict.fromkeys(fold)], "folds": folds, "helps": HELPS}
    return study_record("prediction help", cases, results, profile=profile, seed=seed, n=n, settings=settings, source=source)


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    rows = [
        [method, name, _cell(numbers["tre"], ".2f"), _cell(numbers.get("difference"), "+.2f")]
        for method, helps in results.items()
        for name, numbers in helps.items()
    ]
    return f"{WORDS}\n\n{pipe_table(['method', 'help', 'TRE', 'minus bare'], rows)}"


def _cell(numbers: Mapping[str, float | None] | None, digits: str) -> str:
    mean, *ends = [format(value, digits) for key in NUMBERS if (value := (numbers or {}).get(key)) is not None] or ["–"]
    return mean + f" [{', '.join(ends)}]" * bool(ends)


if __name__ == "__main__":
    parser = study_parser(__doc__, data="phantom", profile="course", split="paper", seed=0, runs="runs", source="")
    parser.add_argument("--methods", nargs="+", required=True, help="each as method, method:recipe or method:recipe:seed")
    parser.add_argument("--fold", type=int, nargs="+", default=(), help="of the split folds, from 0; several are pooled")
    parser.add_argument("--folds", type=int, help="how many folds are drawn where the data set names none")
    raise SystemExit(run_study(parser, record))
