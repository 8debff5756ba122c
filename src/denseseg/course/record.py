"""One JSON file per run: what was run on what, with which result. Pages, tables and tests read these; nobody types a result.

The file is `results/<data set>/<method>_<recipe>_<profile>_<seed>.json`. Its metrics are a summary of `evaluation.benchmark`:

    {"metrics": {"lungs": {"tre": {"mean": 5.2, "sd": 1.4, "low": 4.9, "high": 5.6, "unit": "mm", ...}, ...}, "average": ...}, ...}

All numbers are finite; sd, low and high are null where one image gives none.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from denseseg.cases import CaseSet, DataError, Split
from denseseg.evaluation.benchmark import summarise

PACKAGES = ("denseseg", "torch", "monai", "numpy")
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


def plain(value: Any) -> Any:
    """The value in JSON's own types: numpy numbers as Python's, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---- where and with what ----------------------------------------------------------------------------------------


def current_commit() -> str:
    """The commit of this package's source, with "+changes" where tracked files differ; "unknown" outside its repository."""
    here = Path(__file__).resolve()
    if _git("ls-files", "--error-unmatch", here.name, folder=here.parent) is None:
        return "unknown"  # installed elsewhere, perhaps inside a repository that is not ours
    commit = _git("rev-parse", "HEAD", folder=here.parent)
    changed = _git("status", "--porcelain", "--untracked-files=no", folder=here.parent)
    return "unknown" if commit is None else commit + ("+changes" if changed else "")


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def describe_device(device: torch.device | str = "cpu") -> str:
    """The device in words: the GPU's name, or the processor's and the number of threads."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads != 1 else ''}" if device.type == "cpu" else device.type


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine() or "unknown processor"


# ---- checks -----------------------------------------------------------------------------------------------------


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


# ---- files ------------------------------------------------------------------------------------------------------


def record_path(record: Mapping[str, Any], folder: str | Path = "results") -> Path:
    """Where `write_record` puts a record; characters that file names do not bear become "-"."""
    name = "_".join(str(record[key]) for key in ("method", "recipe", "profile", "seed"))
    return Path(folder) / _file_name(record["dataset"]) / f"{_file_name(name)}.json"


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", text).strip(".-") or "-"


def write_record(record: Mapping[str, Any], folder: str | Path = "results") -> Path:
    """Check and write a record; an older one of the same run is replaced in one step. Returns its path."""
    validate_record(record)
    return write_json(record_path(record, folder), record)


def write_json(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record to this file in one step, so that a full disk or a stop leaves the older one whole. Raises DataError."""
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (ValueError, TypeError) as error:
        raise DataError(f"{path.name}: the record holds something that JSON has not ({error}); use null for unknown") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_records(folder: str | Path = "results") -> list[dict[str, Any]]:
    """All records below `folder`, checked, in order of their paths. Raises DataError that names the file."""
    records = []
    for path in sorted(p for p in Path(folder).rglob("*.json") if p.parent.name not in ("benchmarks", "studies")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path} is not readable JSON ({error}); run it again or remove it") from None
        if not isinstance(record, dict):
            raise DataError(f"{path} holds no record; remove it from the results")
        validate_record(record, str(path))
        records.append(record)
    return records


def records_table(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per run, group and metric: dataset, method, recipe, profile, seed, n_test, group, metric, mean, sd, low, ..."""
    keys = ("dataset", "method", "recipe", "profile", "seed", "n_test")
    rows = [
        {**{key: record[key] for key in keys}, "group": group, "metric": metric, **numbers}
        for record in records
        for group, by_metric in record["metrics"].items()
        for metric, numbers in by_metric.items()
    ]
    return pd.DataFrame(rows)


def is_toy(record: Mapping[str, Any]) -> bool:
    """True for a phantom and for the small profiles: such a number teaches, it is no evidence. For runs and studies."""
    return record["profile"] in ("smoke", "course") or "phantom" in record["dataset"].lower()


def run_title(record: Mapping[str, Any]) -> str:
    """A column title that cannot be mistaken: method, recipe, profile, data set and seed."""
    return f"{record['method']} ({record['recipe']}, {record['profile']}, {record['dataset']}, seed {record['seed']})"
