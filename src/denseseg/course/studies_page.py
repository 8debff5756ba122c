"""The studies' part of the results page, rendered from results/studies/*.json. Each study has a table of its own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from denseseg.errors import DataError
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.tables import is_toy

Study = Mapping[str, Any]


def render_studies(folder: str | Path) -> str:
    """The section "Studies" as MyST markdown; empty where nothing is recorded.

    Raises DataError that names the file where a record is broken or its study is not known.
    """
    parts = [_study(path) for path in sorted((Path(folder) / "studies").glob("*.json"))]
    return "\n\n".join(["## Studies", *parts]) if parts else ""


def _study(path: Path) -> str:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        name = record["study"]
        body = TABLES[name](record["results"])
        n = ", ".join(f"{count} {part.replace('_', ' ')}" for part, count in record["n"].items())
        source = f"{record['copy']}; {record['profile']} profile, seed {record['seed']}, {n}; commit `{record['commit'][:10]}`"
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} holds no study that this page knows ({error!r}); run the study again or remove it") from None
    notes = f" {record['notes']}" if record.get("notes") else ""
    toy = "TOY: " if is_toy(record) else ""
    return f"### {toy}{name.capitalize()} ({record['dataset']})\n\n{body}\n\n{source}.{notes}"


def _new_landmarks(results: Study) -> str:
    rows = []
    for place, entry in results["places"].items():
        ours, mean, bound = (_interval(entry["mm"][key], "mean") for key in ("ours", "mean shape", "true maps"))
        theirs = [f"{m:.1f} ± {sd:.1f}" for m, sd in (entry["published_mm"][key] for key in ("map", "mean shape"))]
        rows.append([place, ours, mean, bound, *theirs])
    header = ["landmark", "ours", "mean shape", "true maps, no network", "published", "published mean shape"]
    text = "**Error in mm of landmarks read through the left lung, mean [95 % interval].** Chapter 20 tells how."
    return f"{text}\n\n{pipe_table(header, rows)}"


def _bone_age(results: Study) -> str:
    rows = []
    for name, true in results["true_landmarks"].items():
        read = results["read_by_denseseg"].get(name)
        rows.append([name, _interval(true, "mae"), f"{true['r2']:.2f}", _interval(read, "mae") if read else "–"])
    header = ["method", "MAE, true landmarks", "R²", "MAE, read by DenseSeg (other images)"]
    text = (
        "**Error of the regressed age in months, mean [95 % interval].** Nobody can go below "
        f"{results['irreducible_mae']:.1f} months: children of one bone age differ in age. Chapter 21 tells how."
    )
    return f"{text}\n\n{pipe_table(header, rows)}"


TABLES: Mapping[str, Callable[[Study], str]] = {"new landmarks": _new_landmarks, "bone age": _bone_age}


def _interval(numbers: Study, value: str) -> str:
    return f"{numbers[value]:.1f} [{numbers['low']:.1f}, {numbers['high']:.1f}]"
