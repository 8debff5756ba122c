"""Where records lie: write and read them, and bring older files up to today's version."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from denseseg.cases.case_set import Split
from denseseg.errors import DataError, explained, validated
from denseseg.experiments.profiles import PROFILES
from denseseg.experiments.record import BENCHMARKS, STUDIES, Record, Spec, StudyRecord, parts_digest
from denseseg.files import exists, read_json, write_json

Content = dict[str, Any]
VERSION = Record.model_fields["version"].default


def write_record(record: Record, folder: str | Path = "results") -> Path:
    """Write a record to where its spec says; an older one of the same run is replaced in one step. Returns its path.

    Raises DataError where a record of other data, another split or another run has this name.
    """
    identity = ("spec", "data_sha256", "size", "n_cases", "n_train", "n_validation", "n_test", "parts_sha256")
    return _write(record, record.path(folder), identity)


def write_study(record: StudyRecord, folder: str | Path = "results") -> Path:
    """The same for a study, in `folder`/studies; also refused where the older record has results that the new one lacks."""
    return _write(record, record.path(folder), ("study", "dataset", "profile", "seed", "n", "data_sha256", "settings"))


def _lost(old: Any, new: Any) -> list[str]:
    """What the older results have and the new ones lack, two names deep: the arms of a study, or its groups and their arms."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return []
    deeper = (
        [f"{name}: {key}" for key in old[name] if key not in new[name]]
        for name in old
        if isinstance(old[name], dict) and isinstance(new.get(name), dict)
    )
    return [name for name in old if name not in new] + list(chain(*deeper))


def read_records(folder: str | Path = "results") -> list[Record]:
    """All records of runs below `folder`, checked, in order of their paths. Raises DataError that names file and field."""
    with explained(f"{folder} may not be read", "give yourself the right to read it", PermissionError):
        paths = sorted(p for p in Path(folder).rglob("*.json") if p.parent.name not in (BENCHMARKS, STUDIES))
    return _distinct(paths, [_read(path, Record) for path in paths])


def require_free(spec: Spec, data_sha256: str, split: Split, folder: str | Path = "results") -> Record | None:
    """The record of this run on these data, None where there is none yet.

    Raises DataError where a new one could not be written, since its file is that of other data or of another division of them.
    """
    older = find_record(spec, folder)
    if older is None:
        return None
    other = ""
    if older.data_sha256 != data_sha256:
        other = "on other data, or on these before they were changed"
    elif older.parts_sha256 not in (None, parts_digest(split)):
        other = "with other cases in training, validation or test part"
    if other:
        fault = f"{spec.path(folder)} is the record of such a run {other}"
        raise DataError(f"{fault}; move it away, or name another folder for results")
    return older


def find_record(spec: Spec, folder: str | Path = "results") -> Record | None:
    """The record of this run, None where there is none. Raises DataError where its file cannot be read, or holds another run."""
    path = spec.path(folder)
    if not exists(path):
        return None
    record: Record = _read(path, Record)
    if record.spec.model_dump(mode="json") != spec.model_dump(mode="json"):  # JSON has lists where options have tuples
        raise DataError(f"{path} holds another run, of {record.spec.dataset}; move it away")
    return record


def read_studies(folder: str | Path = "results") -> list[StudyRecord]:
    """All records of studies, as `read_records` reads those of runs."""
    paths = sorted((Path(folder) / STUDIES).glob("*.json"))
    return _distinct(paths, [_read(path, StudyRecord) for path in paths])


def _distinct(paths: list[Path], records: list[Any]) -> list[Any]:
    """The records. Raises DataError where two files hold the same run, so that a copy does not count as another."""
    seen: dict[str, Path] = {}
    for path, record in zip(paths, records, strict=True):
        measured = record.model_dump_json(exclude={"spec", "study", "dataset", "profile", "seed", "notes"})
        for what in (str(record.path()), measured):
            if what in seen:
                raise DataError(f"{path} is a copy of {seen[what]}, and would count as another run; move one of them away")
            seen[what] = path
    return records


def _write(record: Record | StudyRecord, path: Path, identity: tuple[str, ...]) -> Path:
    if exists(path):
        older = _read(path, type(record))
        before, now = (one.model_dump(mode="json") for one in (older, record))  # JSON has lists where settings have tuples
        for name in identity:
            old, new = before[name], now[name]
            if old != new and None not in (old, new):
                fix = "move that file away, or write to another folder"
                raise DataError(f"{path} holds another run: its {name} is {old}, the new one's {new}; {fix}")
        if lost := _lost(getattr(older, "results", None), getattr(record, "results", None)):  # only studies have them
            fix = "run the whole study, move that file away, or write to another folder"
            raise DataError(f"{path} holds results that this run lacks: {', '.join(lost)}; {fix}")
    return write_json(path, record.model_dump(mode="json"))


def _read(path: Path, kind: type[Record] | type[StudyRecord]) -> Any:
    record = validated(kind, upgraded(read_json(path), str(path)), str(path))
    if path.name != record.path().name and not record.migrated:
        raise DataError(f"{path} is renamed, or a copy: it holds {record.path().name}; call it so, or move it away")
    return record


def upgraded(content: Content, source: str) -> Content:
    """The content of a record's file of any version as one of today's. Raises DataError that names `source`."""
    version = content.get("version", 1)
    while version != VERSION:
        if not isinstance(version, int) or version not in MIGRATIONS:
            raise DataError(f"{source}: version is {version!r}; this program reads up to {VERSION}: install a newer one")
        try:
            content = MIGRATIONS[version](content)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{source} is no whole record of version {version} ({error!r}); move it away, and run that again"
            ) from None
        version = content["version"]
    return content


def _from_1(old: Content) -> Content:
    """Version 1 had no spec and no version, knew phantoms by their name, and called the source `copy`."""
    new = dict(old)
    new |= {"version": 2, "source": new.pop("copy"), "synthetic": "phantom" in new["dataset"].lower()}
    new["migrated"] = "from version 1; its data_sha256 is over ids, images and landmarks, without masks and spacing"
    return new if "study" in new else _run_from_1(new)


def _run_from_1(new: Content) -> Content:
    """A run gets its spec. Networks for the wrist trained longer and with larger steps under the recipe name "default"."""
    spec = {key: new.pop(key) for key in ("dataset", "method", "recipe", "profile", "split", "seed")}
    if spec["recipe"] == "default" and spec["method"] != "mean_shape" and spec["dataset"].lower().startswith(("wrist", "graz")):
        spec["recipe"] = "many_structures"
        new["migrated"] += '; its recipe was called "default"'
    settings = new.pop("settings", {})
    channels, profile = settings.get("recipe", {}).get("channels"), PROFILES.get(spec["profile"])
    if channels and profile and channels != [round(profile.width * features) for features in (64, 128, 256, 512)]:
        spec["options"] = {"channels": channels}
    training = {key: value for key, value in settings.get("training", {}).items() if (key, value) != ("seed", spec["seed"])}
    precision = training.get("precision", "unknown")
    if precision == "auto" and "thread" in new["device"]:
        precision = "32-true"  # what it was on a processor
    settings = settings | ({"training": training} if training else {})
    return {"n_validation": None} | new | {"spec": spec, "precision": precision, "recipe_settings": settings}


def _from_2(old: Content) -> Content:
    """Version 2 had no values of single images, and did not tell what a training had cost."""
    return old | {"version": 3}


MIGRATIONS: dict[int, Callable[[Content], Content]] = {1: _from_1, 2: _from_2}
