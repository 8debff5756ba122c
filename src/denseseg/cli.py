"""The command `denseseg`: each subcommand is a few lines on public functions, imported when it is called, so that --help is quick."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from cyclopts import App

app = App(name="denseseg", help="Dense landmark detection in radiographs: from a folder to a table.", version=version("denseseg"))

SplitScheme = Literal["paper", "stratified", "patients"]


@app.command
def check(folder: Path, *, sheet: Path = Path("check.png")) -> None:
    """Is this a sound data set? What there is, and what is odd: worst first, each with how to mend it.

    Parameters
    ----------
    folder: Path
        The data-set folder.
    sheet: Path
        Where to draw the odd cases, if there are any.
    """
    from denseseg.cases import read_cases
    from denseseg.health import check_cases, contents
    from denseseg.viewing.health_sheet import draw_sheet

    cases = read_cases(folder)
    print(contents(cases))
    findings = check_cases(cases)
    if not findings:
        print("nothing odd was found")
        return
    print(f"{len(findings)} odd, worst first:", *findings, sep="\n")
    print(f"drawn: {draw_sheet(cases, findings, sheet)}")
    sys.exit(1)


@app.command
def train(
    data: str,
    *,
    method: str = "denseseg",
    recipe: str = "default",
    profile: str = "compact",
    split: SplitScheme | None = None,
    seed: int = 0,
    budget: str = "",
    runs: Path = Path("runs"),
    results: Path = Path("results"),
) -> None:
    """Train a method on a part of a data set, judge it on the rest, and keep weights and record. The same command resumes a run.

    Parameters
    ----------
    data: str
        The data-set folder, or a phantom such as "chest phantom".
    method: str
        Its name.
    recipe: str
        One of the method's recipes.
    profile: str
        How large a run: smoke, course, compact, large or full.
    split: SplitScheme
        How the cases are divided; by default as the set's table says: its parts, else its patients, else by strata.
    seed: int
        Of the training.
    budget: str
        How long to train, such as "900 steps", "60 epochs" or "600 seconds"; by default as the recipe says.
    runs: Path
        Where weights are kept.
    results: Path
        Where records are kept.
    """
    from denseseg.evaluation import summarise
    from denseseg.experiments import Spec, get_profile, load_cases, run_experiment, write_record
    from denseseg.experiments.experiment import run_name
    from denseseg.experiments.grid import budget_from

    cases = load_cases(get_profile(profile), data)
    scheme = split or cases.default_scheme
    named = {"method": method, "recipe": recipe, "profile": profile, "split": scheme, "seed": seed, "budget": budget_from(budget)}
    spec = Spec(dataset=cases.name, **named)
    experiment = run_experiment(cases, spec, runs)
    record = write_record(experiment.record, results)

    print(summarise(experiment.table).to_string(index=False))
    print(f"record:  {record}")
    print(f"weights: {runs / run_name(experiment.record.data_sha256, spec) / 'weights.safetensors'}")
