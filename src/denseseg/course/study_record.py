"""One JSON file per study: `results/studies/<data set>_<study>.json`, with where its numbers come from.

A study answers another question than "how well are the landmarks found", so its results have a form of their own and stand beside
the records of runs (`course.record`). What they share is that a number without its source is worth nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from denseseg.cases import DataError
from denseseg.course.record import current_commit, describe_device, installed_versions, plain, write_json


def study_record(
    study: str,
    dataset: str,
    results: Mapping[str, Any],
    *,
    n: Mapping[str, int],
    profile: str,
    seed: int,
    copy: str = "",
    data_sha256: str | None = None,
    device: torch.device | str = "cpu",
    settings: Mapping[str, Any] | None = None,
    notes: str = "",
) -> dict[str, Any]:
    """The record of one study.

    study: its short name, such as "bone age". results: names to numbers or to further mappings; give units in the names, as in
    `mae_months`. n: cases of each part, such as {"train": 600, "test": 400}. copy: which files, in words, by default the data
    set's name. data_sha256: `CaseSet.fingerprint()` where there are images. settings: what else decides the result.
    Commit, versions and device are looked up. NaN becomes null. Raises DataError where a name or the results are empty.
    """
    for field, value in {"study": study, "dataset": dataset, "profile": profile, "results": results, "n": n}.items():
        if not value:
            raise DataError(f"the record of a study needs {field}; got {value!r}")
    record = {
        "study": study,
        "dataset": dataset,
        "copy": copy or dataset,
        "n": dict(n),
        "profile": profile,
        "seed": seed,
        "commit": current_commit(),
        "device": describe_device(device),
        "versions": installed_versions(),
        "data_sha256": data_sha256,
        "settings": dict(settings or {}),
        "results": dict(results),
        "notes": notes,
    }
    return plain(record)


def write_study(record: Mapping[str, Any], folder: str | Path = "results") -> Path:
    """Write a study's record to `folder`/studies; an older one is replaced in one step. Returns its path."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", f"{record['dataset']} {record['study']}")
    return write_json(Path(folder) / "studies" / f"{name}.json", record)
