"""One JSON file per run: what was run on what, with which result. Pages, tables and tests read these; nobody types a result.

The file is `results/<data set>/<method>_<recipe>_<profile>_<seed>.json`. Its metrics are a summary of `evaluation.benchmark`:

    {"metrics": {"lungs": {"tre": {"mean": 5.2, "sd": 1.4, "low": 4.9, "high": 5.6, "unit": "mm", ...}, ...}, "average": ...}, ...}

All numbers are finite; sd, low and high are null where one image gives none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch

from denseseg.cases.case_set import CaseSet, Split
from denseseg.errors import DataError
from denseseg.evaluation.summary import summarise
from denseseg.experiments.provenance import current_commit, describe_device, installed_versions
from denseseg.files import plain

UNITS = ("mm", "px", "%")


FIELDS: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "copy": (str,),  # which files, in words
    "size": (list,),  # [height, width]
    "split": (str,),
    "n_train": (int,),
    "n_test": (int,),
    "failures": (int,),  # structures of test cases with any failed prediction
    "method": (str,),
    "recipe": (str,),
    "profile": (str,),
    "seed": (int,),
    "commit": (str,),
    "device": (str,),
    "versions": (dict,),
    "data_sha256": (str,),
    "parameters": (int,),
    "seconds_train": (int, float),
    "seconds_per_case": (int, float),
    "metrics": (dict,),
}


OPTIONAL: dict[str, tuple[type, ...]] = {"n_validation": (int,), "notes": (str,), "history": (list,), "settings": (dict,)}


def make_record(
    *,
    method: str,
    recipe: str,
    profile: str,
    seed: int,
    data: CaseSet,
    parts: Split,
    split: str,
    frame: pd.DataFrame,
    parameters: int,
    seconds_train: float,
    seconds_per_case: float,
    device: torch.device | str = "cpu",
    copy: str | None = None,
    notes: str = "",
    history: pd.DataFrame | Iterable[Mapping[str, Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The record of one run, checked.

    data: all cases, at the size they were used; parts: how they were divided; split: that scheme's name.
    frame: the table of `evaluate` over `parts.test`.
    parameters: number of trainable weights. copy: which files these are, in words; by default the data set's own description.
    history: one row per epoch. settings: every option of the method and its training.
    Raises DataError where the result is no valid record.
    """
    record = {
        "dataset": data.name,
        "copy": copy or data.info.get("copy") or data.info.get("source") or data.name,
        "size": list(data[0].size),
        "split": split,
        "n_train": len(parts.train),
        "n_validation": len(parts.validation),
        "n_test": len(parts.test),
        "failures": int(frame.groupby(["case", "structure"])["failed"].any().sum()),
        "method": method,
        "recipe": recipe,
        "profile": profile,
        "seed": seed,
        "commit": current_commit(),
        "device": describe_device(device),
        "versions": installed_versions(),
        "data_sha256": data.fingerprint(),
        "parameters": parameters,
        "seconds_train": seconds_train,
        "seconds_per_case": seconds_per_case,
        "metrics": _metrics(summarise(frame)),
        "notes": notes,
    }
    if settings is not None:
        record["settings"] = dict(settings)
    if history is not None:
        record["history"] = history.to_dict("records") if isinstance(history, pd.DataFrame) else [dict(row) for row in history]
    record = plain(record)
    validate_record(record)
    return record


def _metrics(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """group -> metric -> the other columns of the summary."""
    nested: dict[str, dict[str, dict[str, Any]]] = {}
    for row in summary.to_dict("records"):
        if pd.notna(row["mean"]):  # a group that nobody annotated has nothing to record
            nested.setdefault(row.pop("group"), {})[row.pop("metric")] = row
    return nested


def validate_record(record: Mapping[str, Any], source: str = "record") -> None:
    """Raise DataError that names `source`, the field and what is wrong, unless this is a complete record."""
    missing = [name for name in FIELDS if name not in record]
    if missing:
        raise DataError(f"{source} lacks {', '.join(missing)}; write it with make_record")
    unknown = [name for name in record if name not in FIELDS and name not in OPTIONAL]
    if unknown:
        raise DataError(f"{source} has unknown fields {', '.join(unknown)}; put free text into notes")
    for name, kinds in (FIELDS | OPTIONAL).items():
        if name in record and (not isinstance(record[name], kinds) or isinstance(record[name], bool)):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise DataError(f"{source}: {name} is {record[name]!r}; it must be of type {wanted}")
    for name in ("dataset", "method", "recipe", "profile", "split"):
        if not record[name].strip():
            raise DataError(f"{source}: {name} is empty; name it")
    for name in ("n_train", "n_test", "failures", "parameters", "seconds_train", "seconds_per_case"):
        if not (math.isfinite(record[name]) and record[name] >= 0):
            raise DataError(f"{source}: {name} is {record[name]}; it must be a finite number, 0 or more")
    if len(record["size"]) != 2 or not all(isinstance(n, int) and n > 0 for n in record["size"]):
        raise DataError(f"{source}: size is {record['size']}; give [height, width] in pixels")
    if not re.fullmatch(r"[0-9a-f]{64}", record["data_sha256"]):
        raise DataError(f"{source}: data_sha256 is not a SHA-256; take CaseSet.fingerprint()")
    _validate_metrics(record["metrics"], source)


def _validate_metrics(metrics: Mapping[str, Any], source: str) -> None:
    if "average" not in metrics:
        raise DataError(f"{source}: metrics have no group 'average'; take them from benchmark.summarise")
    for group, by_metric in metrics.items():
        for metric, numbers in by_metric.items():
            where = f"{source}: metrics of {group}, {metric}"
            absent = [key for key in ("mean", "sd", "low", "high", "unit") if key not in numbers]
            if absent:
                raise DataError(f"{where} lack {', '.join(absent)}; take them from benchmark.summarise")
            if numbers["unit"] not in UNITS:
                raise DataError(f"{where} have the unit {numbers['unit']!r}; known are {', '.join(UNITS)}")
            for key in ("mean", "sd", "low", "high"):
                value = numbers[key]
                if value is None and key != "mean":
                    continue
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                    raise DataError(f"{where}: {key} is {value!r}; it must be a finite number")
            if None not in (numbers["low"], numbers["high"]) and numbers["low"] > numbers["high"]:
                raise DataError(f"{where}: the interval is upside down, {numbers['low']} to {numbers['high']}")


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
