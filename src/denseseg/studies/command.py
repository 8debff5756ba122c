"""A study as a command: its options, and its record into a folder of results."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from denseseg.errors import DataError, exit_status
from denseseg.experiments.record import StudyRecord
from denseseg.experiments.store import write_study
from denseseg.methods import get_recipe


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


def method_named(words: str, seed: int) -> dict[str, Any]:
    """Fields of a `Spec` from "method", "method:recipe" or "method:recipe:seed"; `seed` is that of words without one.

    Raises DataError where they are not written so, or no such recipe is known.
    """
    parts = re.fullmatch(r"([^:]+)(?::([^:]+))?(?::(\d+))?", words)
    if parts is None:
        raise DataError(f"{words!r} is no method; write method:recipe or method:recipe:seed, such as denseseg:default:1")
    named = {"method": parts[1], "recipe": parts[2] or "default"}
    get_recipe(**named)  # or an error that lists them, before anything is trained
    return {**named, "seed": seed if parts[3] is None else int(parts[3])}
