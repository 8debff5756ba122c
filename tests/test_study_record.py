"""The record of a study: its numbers, and where they come from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from denseseg.cases import DataError
from denseseg.course.record import read_records
from denseseg.course.study_record import study_record, write_study


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
