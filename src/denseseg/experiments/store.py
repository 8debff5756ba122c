"""Where records lie: write and read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from denseseg.errors import DataError
from denseseg.experiments.record import validate_record
from denseseg.files import write_json


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


def write_study(record: Mapping[str, Any], folder: str | Path = "results") -> Path:
    """Write a study's record to `folder`/studies; an older one is replaced in one step. Returns its path."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", f"{record['dataset']} {record['study']}")
    return write_json(Path(folder) / "studies" / f"{name}.json", record)
