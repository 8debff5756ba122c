"""A study as a command: its options, and its record into a folder of results."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from denseseg.errors import exit_status
from denseseg.experiments.record import StudyRecord
from denseseg.experiments.store import write_study


def study_parser(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with an option for each default, of its type, and --results for the folder of the record."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in {**defaults, "results": "results"}.items():
        parser.add_argument(f"--{option}", type=type(default), default=default)
    return parser


def run_study(parser: argparse.ArgumentParser, study: Callable[..., StudyRecord]) -> int:
    """Make the study with the options given, write its record and print where it lies; the command's exit status."""
    options = vars(parser.parse_args())
    results = options.pop("results")
    return exit_status(lambda: print(write_study(study(**options), results)))
