"""The record of a study: its numbers, and where they come from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from denseseg.course.studies_page import render_studies

from denseseg.errors import DataError
from denseseg.experiments.record import study_record
from denseseg.experiments.store import read_records, write_study


def record(**changes):
    values = {"study": "bone age", "dataset": "wrist phantom", "results": {"ridge": {"mae_months": np.float64(7.5)}}}
    return study_record(**({"n": {"train": 6, "test": 4}, "profile": "smoke", "seed": 0} | values | changes))


def test_it_says_where_it_comes_from_and_is_plain_json(tmp_path):
    made = record(results={"mae_months": np.float32(7.5), "per_bone": np.arange(2), "spread": np.nan})
    path = write_study(made, tmp_path)
    assert path == tmp_path / "studies" / "wrist_phantom_bone_age.json"
    read = json.loads(path.read_text())
    assert read == made
    assert read["results"] == {"mae_months": 7.5, "per_bone": [0, 1], "spread": None}
    assert read["commit"] and read["device"] and {"python", "torch", "numpy"} <= set(read["versions"])


def test_studies_are_no_runs(tmp_path):
    write_study(record(), tmp_path)
    assert read_records(tmp_path) == []


@pytest.mark.parametrize("empty", [{"study": ""}, {"dataset": ""}, {"profile": ""}, {"results": {}}, {"n": {}}])
def test_a_record_without_a_name_or_results_is_refused(empty):
    with pytest.raises(DataError, match=f"needs {next(iter(empty))}"):
        record(**empty)


# ---- their part of the results page ---------------------------------------------------------------------------------

NUMBERS = {"mean": 6.93, "mae": 6.93, "low": 6.2, "high": 7.7, "r2": 0.71}


def test_each_study_has_its_table(tmp_path):
    assert render_studies(tmp_path) == ""
    millimetres = dict.fromkeys(("ours", "mean shape", "true maps"), NUMBERS)
    place = {"mm": millimetres, "published_mm": {"map": [20.5, 5.1], "mean shape": [15, 7]}}
    true = {"ridge": NUMBERS, "mean age": NUMBERS}
    ages = {"irreducible_mae": 6.6, "true_landmarks": true, "read_by_denseseg": {"ridge": NUMBERS}}
    studies = (("new landmarks", "JSRT", {"places": {"clavicle": place}}), ("bone age", "wrist phantom", ages))
    for study, dataset, results in studies:
        write_study(study_record(study, dataset, results, n={"test": 86}, profile="compact", seed=0), tmp_path)
    page = render_studies(tmp_path)
    assert "### New landmarks (JSRT)" in page
    assert "### TOY: Bone age (wrist phantom)" in page
    assert "| clavicle | 6.9 [6.2, 7.7] | 6.9 [6.2, 7.7] | 6.9 [6.2, 7.7] | 20.5 ± 5.1 | 15.0 ± 7.0 |" in page
    assert "| mean age | 6.9 [6.2, 7.7] | 0.71 | – |" in page
    assert "86 test" in page


@pytest.mark.parametrize("text", ["{", "[]", '{"study": "tea leaves", "results": {}}', '{"study": "bone age", "results": {}}'])
def test_a_broken_study_is_named(tmp_path, text):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "odd.json").write_text(text)
    with pytest.raises(DataError, match=r"odd\.json holds no study"):
        render_studies(tmp_path)
