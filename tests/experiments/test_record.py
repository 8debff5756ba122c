"""Specs and records: complete, finite, and errors that name the field."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from records import box_record, box_run, boxes

from denseseg.augment import STRONG, Augmentation
from denseseg.errors import DataError, validated
from denseseg.evaluation import summarise
from denseseg.experiments.record import Record, Spec, StudyRecord, make_record, study_record
from denseseg.training.settings import Epochs, Seconds, Steps

SPEC = {"dataset": "JSRT", "method": "denseseg", "profile": "full"}


# ---- spec -----------------------------------------------------------------------------------------------------------


def test_a_run_is_named_before_it_starts(tmp_path):
    spec = Spec(**SPEC, split="stratified", seed=7)
    assert spec.name == "denseseg_default_full_stratified_7"
    assert spec.path(tmp_path) == tmp_path / "JSRT" / "denseseg_default_full_stratified_7.json"


def test_what_the_name_does_not_say_is_in_a_digest():
    few = [{"train_size": size, "draw": draw} for size in (10, 50) for draw in (0, 1)]
    budgets = [{"budget": budget} for budget in (Epochs(5), Steps(5), Seconds(5), Seconds(6))]
    images = [{"augmentation": augmentation} for augmentation in (Augmentation(), STRONG)]
    changes = [{"options": {"band": 2}}, {"options": {"band": 3}}, {"size": (256, 256)}, *few, *budgets, *images]
    names = [Spec(**SPEC, **change).name for change in changes]
    plain = Spec(**SPEC).name
    assert all(len(name) == len(plain) + 9 and name.startswith(f"{plain}_") for name in names)
    folds = [Spec(**SPEC, split="folds", **change).name for change in ({}, {"fold": 0}, {"fold": 1}, {"folds": 3}, {"folds": 5})]
    assert len(set(names + folds)) == len(names + folds)
    assert Spec(**SPEC, options={"a": 1, "b": 2}).name == Spec(**SPEC, options={"b": 2, "a": 1}).name
    assert Spec(**SPEC, options={"channels": (4, 8)}).name == Spec(**SPEC, options={"channels": [4, 8]}).name


def test_names_of_earlier_versions_stay():
    assert Spec(**SPEC, options={"channels": (4, 8)}).name == "denseseg_default_full_paper_0_7e20e0d5"
    assert Spec(**SPEC, size=(256, 256)).name == "denseseg_default_full_paper_0_0f152948"


def test_a_spec_comes_back_from_its_file():
    spec = Spec(**SPEC, budget=Seconds(5), augmentation=STRONG, split="folds", fold=1, train_size=10, draw=2)
    assert validated(Spec, json.loads(spec.model_dump_json()), "file") == spec


def test_a_spec_does_not_change_and_knows_its_fields():
    spec = Spec(**SPEC)
    with pytest.raises(ValidationError):
        spec.seed = 3
    halves = ({"draw": 0}, {"train_size": 10}, {"fold": 0}, {"folds": 3}, {"fold": -1, "split": "folds"})
    for wrong in ({"sede": 3}, {"method": " "}, {"size": (0, 4)}, {"seed": "three"}, {"budget": {"weeks": 1}}, *halves):
        with pytest.raises(DataError):
            Spec(**SPEC | wrong)


def test_file_names_bear_any_data_set_name(tmp_path):
    spec = Spec(dataset="../öther/place", method="a b", profile="smoke")
    assert spec.path(tmp_path).resolve().parent.parent == tmp_path.resolve()
    assert spec.path(tmp_path).name == "a-b_default_smoke_paper_0.json"
    assert Spec(**SPEC | {"dataset": ".."}).path(tmp_path).resolve().parent.parent == tmp_path.resolve()


# ---- record ---------------------------------------------------------------------------------------------------------


def test_a_record_says_what_was_run_on_what():
    run = box_run()
    record = make_record(**run)
    assert record.spec == run["spec"]
    assert (record.source, record.size, record.toy) == ("drawn for a test", (32, 32), True)
    assert (record.n_train, record.n_validation, record.n_test, record.failures) == (5, 1, 4, 1)
    assert record.data_sha256 == run["data"].fingerprint()
    assert set(record.versions) == {"python", "denseseg", "torch", "monai", "numpy"}
    assert "thread" in record.device and record.precision == "32-true"
    assert record.history == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]
    assert record.recipe_settings == {"epochs": 2, "size": [32, 32]}
    tre = summarise(run["table"]).set_index(["group", "metric"]).loc[("boxes", "tre")]
    written = record.metrics["boxes"]["tre"]
    assert (written.mean, written.median, written.high, written.unit) == (tre["mean"], tre["median"], tre["high"], "mm")
    assert written.failures == 1
    assert set(record.metrics) == {"boxes", "average"}


def test_a_record_tells_what_the_training_cost_and_its_values_image_by_image():
    record = make_record(**box_run(history=pd.DataFrame({"epoch": [0, 1], "steps": [3.0, 1.0], "processor_seconds": [2.0, 4.0]})))
    assert (record.steps, record.processor_seconds, record.seconds_per_step) == (4, 6.0, 1.5)
    assert (record.n_cases, record.values.cases) == (10, ["c6", "c7", "c8", "c9"])
    resumed = pd.DataFrame(
        {"epoch": [0, 1], "steps": [np.nan, 1.0], "processor_seconds": [np.nan, 4.0]}
    )  # begun by an older version
    for history in (resumed, pd.DataFrame()):
        assert make_record(**box_run(history=history)).steps is None


def test_a_known_hash_is_taken():
    assert make_record(**box_run(data_sha256="a" * 64)).data_sha256 == "a" * 64


def test_json_is_finite_and_comes_back_equal():
    record = box_record()
    text = record.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the file"))
    assert validated(Record, json.loads(text), "record") == record


def test_one_test_image_gives_null_intervals():
    run = box_run()
    numbers = make_record(**run | {"table": run["table"][run["table"]["case"] == "c6"]}).metrics["average"]["tre"]
    assert numbers.sd is numbers.low is numbers.high is None


@pytest.mark.parametrize(
    ("kind", "profile", "toy"), [("phantom", "full", True), ("images", "compact", False), ("images", "course", True)]
)
def test_a_toy_is_a_phantom_or_a_small_profile_whatever_its_name(kind, profile, toy):
    data = boxes(kind=kind, name="Clinic of Dr. Phantom")
    assert box_record(data=data, profile=profile).toy is toy
    assert study_record("sizes", data, {"mm": 1.0}, n={"test": 1}, profile=profile, seed=0).toy is toy


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("spec", "seed"), "three", "file: spec.seed must be a valid integer, got 'three'"),
        (("n_test",), True, "file: n_test must be a valid integer, got "),
        (("spec", "method"), " ", "file: spec.method "),
        (("parameters",), -1, "file: parameters must be greater than or equal to 0"),
        (("seconds_train",), float("inf"), "file: seconds_train "),
        (("size",), [32], "file: size.1 is missing"),
        (("data_sha256",), "abc", "file: data_sha256 "),
        (("surprise",), 1, "file: surprise is unknown"),
        (("metrics",), {}, "no group 'average'"),
        (("metrics", "boxes", "tre"), {"mean": 1.0}, "metrics.boxes.tre.sd is missing"),
        (("metrics", "boxes", "tre", "unit"), "cm", "metrics.boxes.tre.unit must be 'mm', 'px' or '%', got 'cm'"),
        (("metrics", "boxes", "tre", "mean"), None, "metrics.boxes.tre.mean must be a valid number"),
        (("metrics", "boxes", "tre", "mean"), float("nan"), "metrics.boxes.tre.mean must be a finite number"),
        (("metrics", "boxes", "tre", "low"), 1e9, "upside down"),
        (("version",), 99, "file: version must be 3"),
    ],
)
def test_errors_name_the_field_in_one_line(path, value, message):
    content = box_record().model_dump(mode="json")
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(DataError) as error:
        validated(Record, content, "file")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("field", sorted(name for name, field in Record.model_fields.items() if field.is_required()))
def test_every_field_is_needed(field):
    content = box_record().model_dump(mode="json")
    del content[field]
    with pytest.raises(DataError, match=f"file: {field} is missing"):
        validated(Record, content, "file")


def test_wrong_results_are_no_record():
    with pytest.raises(DataError, match="record: seconds_train"):
        make_record(**box_run(seconds_train=-1.0))


# ---- studies --------------------------------------------------------------------------------------------------------


def test_a_study_says_where_it_comes_from_and_is_plain():
    data = boxes()
    results = {"mae_months": np.float32(7.5), "per_bone": np.arange(2), "spread": np.nan}
    made = study_record("bone age", data, results, n={"train": 6, "test": 4}, profile="smoke", seed=0, source="drawn twice")
    assert made.results == {"mae_months": 7.5, "per_bone": [0, 1], "spread": None}
    assert (made.dataset, made.source, made.data_sha256) == (data.name, "drawn twice", data.fingerprint())
    assert made.commit and made.device and {"python", "torch", "numpy"} <= set(made.versions)
    assert validated(StudyRecord, json.loads(made.model_dump_json()), "record") == made


@pytest.mark.parametrize("empty", [{"study": ""}, {"profile": ""}, {"results": {}}, {"n": {}}])
def test_a_study_without_a_name_or_results_is_refused(empty):
    values = {"study": "bone age", "data": boxes(), "results": {"mae": 1.0}, "n": {"test": 4}, "profile": "smoke", "seed": 0}
    with pytest.raises(DataError, match=f"record: {next(iter(empty))} "):
        study_record(**values | empty)
