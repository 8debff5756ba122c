"""Records of runs: complete, finite, readable again, and errors that name the field."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from denseseg import files
from denseseg.anatomy import Anatomy, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.evaluation import evaluate, summarise
from denseseg.experiments import provenance
from denseseg.experiments.record import FIELDS, make_record, validate_record
from denseseg.experiments.store import read_records, record_path, write_record
from denseseg.experiments.tables import comparison_table, records_table, run_title

ANATOMY = Anatomy("box", (Structure("box", 4, "boxes"),))
BOX = np.array([[8.0, 8], [24, 8], [24, 24], [8, 24]])


@pytest.fixture(scope="module")
def data():
    marks = ["train"] * 6 + ["test"] * 4
    cases = [
        Case(f"c{i}", np.full((32, 32), i / 10), BOX + 0.1 * i, ANATOMY, spacing=1.4, metadata={"split": mark})
        for i, mark in enumerate(marks)
    ]
    return CaseSet("toy boxes", ANATOMY, cases, {"source": "drawn for a test"})


@pytest.fixture(scope="module")
def run(data):
    """The keyword arguments of one run in which one landmark of one test case failed, so its TRE but not its mask."""
    parts = data.split("paper", validation=0.2)
    landmarks = [case.landmarks + 1 for case in parts.test]
    landmarks[2][0] = np.nan
    frame = evaluate([SimpleNamespace(landmarks=points, masks=None) for points in landmarks], parts.test)
    return {
        "method": "mean_shape", "recipe": "default", "profile": "smoke", "seed": 3, "data": data, "parts": parts, "split": "paper",
        "frame": frame, "parameters": 0, "seconds_train": 0.5, "seconds_per_case": np.float32(0.25), "notes": "made by a test",
        "settings": {"epochs": 2, "size": (32, 32)}, "history": pd.DataFrame({"epoch": [1, 2], "loss": [0.5, np.nan]}),
    }  # fmt: skip


@pytest.fixture
def record(run):
    return make_record(**run)


def test_a_record_says_what_was_run_on_what(record, run, data):
    assert set(FIELDS) <= set(record)
    assert (record["dataset"], record["copy"], record["size"]) == ("toy boxes", "drawn for a test", [32, 32])
    assert (record["n_train"], record["n_validation"], record["n_test"], record["failures"]) == (5, 1, 4, 1)
    assert record["data_sha256"] == data.fingerprint()
    assert set(record["versions"]) == {"python", "denseseg", "torch", "monai", "numpy"}
    assert "thread" in record["device"]
    assert record["history"] == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]
    assert record["settings"] == {"epochs": 2, "size": [32, 32]}
    tre = summarise(run["frame"]).set_index(["group", "metric"]).loc[("boxes", "tre")]
    written = record["metrics"]["boxes"]["tre"]
    assert (written["mean"], written["high"], written["unit"], written["failures"]) == (tre["mean"], tre["high"], "mm", 1)
    assert set(record["metrics"]) == {"boxes", "average"}


def test_records_are_written_whole_and_read_again(record, tmp_path):
    path = write_record(record, tmp_path)
    assert path == tmp_path / "toy-boxes" / "mean_shape_default_smoke_3.json" == record_path(record, tmp_path)
    assert read_records(tmp_path) == [record]
    write_record(record | {"notes": "again"}, tmp_path)
    assert [r["notes"] for r in read_records(tmp_path)] == ["again"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file stays
    write_record(record | {"seed": 4}, tmp_path)
    table = records_table(read_records(tmp_path))
    assert table.groupby(["seed", "group", "metric"]).size().eq(1).all() and set(table["seed"]) == {3, 4}


def test_a_failed_write_keeps_the_old_record(record, tmp_path, monkeypatch):
    path = write_record(record, tmp_path)

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(DataError, match="no space"):
        write_record(record | {"notes": "lost"}, tmp_path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert read_records(tmp_path) == [record]


def test_file_names_bear_any_data_set_name(record, tmp_path):
    path = record_path(record | {"dataset": "../öther/place", "method": "a b"}, tmp_path)
    assert path.resolve().parent.parent == tmp_path.resolve() and path.name == "a-b_default_smoke_3.json"
    assert record_path(record | {"dataset": ".."}, tmp_path).resolve().parent.parent == tmp_path.resolve()


def test_json_has_no_nan(record, tmp_path):
    with pytest.raises(DataError, match="use null"):
        write_record(record | {"history": [{"loss": float("nan")}]}, tmp_path)
    text = write_record(record, tmp_path).read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the file"))


def test_one_test_image_gives_null_intervals(run, data):
    one = run["frame"][run["frame"]["case"] == "c6"]
    record = make_record(**run | {"frame": one})
    numbers = record["metrics"]["average"]["tre"]
    assert numbers["sd"] is numbers["low"] is numbers["high"] is None


def change(record, *path, value):
    broken = copy.deepcopy(record)
    inner = broken
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return broken


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("seed",), "three", "seed is 'three'; it must be of type int"),
        (("n_test",), True, "n_test is True"),
        (("method",), " ", "method is empty"),
        (("parameters",), -1, "parameters is -1"),
        (("seconds_train",), float("inf"), "seconds_train is inf"),
        (("size",), [32], "size is \\[32\\]"),
        (("data_sha256",), "abc", "data_sha256"),
        (("surprise",), 1, "unknown fields surprise"),
        (("metrics",), {}, "no group 'average'"),
        (("metrics", "boxes", "tre"), {"mean": 1.0}, "boxes, tre lack sd, low, high, unit"),
        (("metrics", "boxes", "tre", "unit"), "cm", "unit 'cm'"),
        (("metrics", "boxes", "tre", "mean"), None, "boxes, tre: mean is None"),
        (("metrics", "boxes", "tre", "sd"), float("nan"), "boxes, tre: sd is nan"),
        (("metrics", "boxes", "tre", "low"), 1e9, "upside down"),
    ],
)
def test_errors_name_the_field(record, path, value, message):
    with pytest.raises(DataError, match=message):
        validate_record(change(record, *path, value=value))


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_every_field_is_needed(record, field):
    del record[field]
    with pytest.raises(DataError, match=f"lacks {field}"):
        validate_record(record)


@pytest.mark.parametrize(("text", "message"), [("{", "not readable JSON"), ("[1]", "holds no record"), ("{}", "lacks dataset")])
def test_reading_names_the_broken_file(tmp_path, text, message):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(DataError, match=f"broken.json.*{message}"):
        read_records(tmp_path)


def test_no_results_yet(tmp_path):
    assert read_records(tmp_path / "nowhere") == []


def test_commit_is_this_packages_or_unknown(monkeypatch, tmp_path):
    """A copy of the package inside a foreign repository must not record that repository's commit."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    foreign = tmp_path / "record.py"
    foreign.touch()
    monkeypatch.setattr(provenance, "__file__", str(foreign))
    assert provenance.current_commit() == "unknown"
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "add", "record.py"], cwd=tmp_path, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "first"], cwd=tmp_path, check=True)
    commit = provenance.current_commit()
    assert len(commit) == 40
    foreign.write_text("changed")
    assert provenance.current_commit() == commit + "+changes"


def test_without_git_or_processor_names(monkeypatch):
    def nothing(*_, **__):
        raise OSError

    monkeypatch.setattr(provenance.subprocess, "run", nothing)
    assert provenance.current_commit() == "unknown"
    monkeypatch.setattr(Path, "read_text", nothing)
    assert provenance.describe_device("cpu").split(",")[0]


def test_a_record_stands_beside_the_paper(record):
    title = run_title(record)
    assert title == "mean_shape (default, smoke, toy boxes, seed 3)"
    table = comparison_table({title: record}, "JSRT")
    numbers = record["metrics"]["average"]["tre"]
    assert table.loc[("average", "TRE [mm]"), title] == f"{numbers['mean']:.1f} ± {numbers['sd']:.1f}"
