"""Records lie where their names say, are never written over another run's, and older files stay readable."""

from __future__ import annotations

import copy
import json

import pytest
from conftest import ROOT
from records import box_record, boxes

from denseseg import files
from denseseg.errors import DataError
from denseseg.experiments.record import study_record
from denseseg.experiments.store import find_record, read_records, read_studies, write_record, write_study


def test_records_are_written_whole_and_read_again(tmp_path):
    record = box_record()
    path = write_record(record, tmp_path)
    assert path == tmp_path / "toy-boxes" / "mean_shape_default_smoke_paper_3.json"
    assert read_records(tmp_path) == [record]
    write_record(box_record(notes="again"), tmp_path)
    assert [r.notes for r in read_records(tmp_path)] == ["again"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file stays
    write_record(box_record(seed=4, seconds_train=0.75), tmp_path)
    assert [r.spec.seed for r in read_records(tmp_path)] == [3, 4]


def test_other_options_have_another_name(tmp_path):
    options = ({}, {"band": 2}, {"band": 3})
    paths = {write_record(box_record(options=each, seconds_train=1.0 + i), tmp_path) for i, each in enumerate(options)}
    assert len(paths) == len(read_records(tmp_path)) == 3


def test_other_data_are_not_written_over_a_record(tmp_path):
    path = write_record(box_record(), tmp_path)
    with pytest.raises(DataError, match=r"paper_3\.json holds another run: its data_sha256 is .*; move that file away"):
        write_record(box_record(data_sha256="b" * 64), tmp_path)
    assert [p.name for p in path.parent.iterdir()] == [path.name] and read_records(tmp_path) == [box_record()]


def test_each_data_set_has_records_of_its_own_whatever_its_name(tmp_path):
    names = ["toy boxes", "toy-boxes", "toy/boxes", "toy  boxes", "../boxes", "数据一", "数据二", "boxes (1)", "studies", "NUL"]
    records = [box_record(data=boxes(name=name), seconds_train=i + 1.0) for i, name in enumerate(names)]
    paths = {write_record(record, tmp_path) for record in records}
    assert len(paths) == len(records) == len(read_records(tmp_path))
    assert all(path.parent.parent == tmp_path for path in paths)
    assert [find_record(record.spec, tmp_path) for record in records] == records


def test_the_same_run_made_again_replaces_its_record(tmp_path):
    for older in (
        box_record(),
        box_record().model_copy(update={"parts_sha256": None, "n_cases": None}),
    ):  # of before they were kept
        write_record(older, tmp_path)
        write_record(box_record(notes="again"), tmp_path)
        assert [record.notes for record in read_records(tmp_path)] == ["again"]


def test_a_failed_write_keeps_the_old_record(tmp_path, monkeypatch):
    record = box_record()
    path = write_record(record, tmp_path)

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises((OSError, DataError), match="no space"):
        write_record(box_record(notes="lost"), tmp_path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert read_records(tmp_path) == [record]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not readable JSON"),
        ("[1]", "holds no JSON object"),
        ("{}", "is no whole record of version 1"),
        ('{"version": 3}', ": source is missing"),
        ('{"version": 7}', ": version is 7; this program reads up to 3"),
    ],
)
def test_reading_names_the_broken_file(tmp_path, text, message):
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(DataError, match=f"broken.json.*{message}") as error:
        read_records(tmp_path)
    assert "\n" not in str(error.value)


def test_no_results_yet(tmp_path):
    assert read_records(tmp_path / "nowhere") == [] and read_studies(tmp_path / "nowhere") == []


# ---- studies --------------------------------------------------------------------------------------------------------


def study(**changes):
    return study_record(
        "bone age", boxes(name="wrist phantom"), {"mae": 7.5}, n={"test": 4}, seed=0, **{"profile": "full"} | changes
    )


def test_studies_lie_apart_from_runs(tmp_path):
    record = study()
    assert write_study(record, tmp_path) == tmp_path / "studies" / "wrist-phantom-bone-age.json"
    assert read_studies(tmp_path) == [record] and read_records(tmp_path) == []
    write_study(study(notes="again"), tmp_path)
    assert write_study(study(settings={"sizes": (1, 2)}), tmp_path / "other") == write_study(
        study(settings={"sizes": (1, 2)}), tmp_path / "other"
    )
    with pytest.raises(DataError, match=r"its settings is \{'sizes': \[1, 2\]\}, the new one's \{'sizes': \[1\]\}"):
        write_study(study(settings={"sizes": (1,)}), tmp_path / "other")
    with pytest.raises(DataError, match="its profile is full, the new one's smoke"):
        write_study(study(profile="smoke"), tmp_path)


def test_a_part_of_a_study_does_not_replace_the_whole(tmp_path):
    def of(**results):
        return study_record("transfer", boxes(), results, n={"test": 4}, seed=0, profile="full")

    path = write_study(of(depths={"two": 1, "three": 2}, widths={"8": 3}), tmp_path)
    for part, lost in ((of(depths={"two": 1, "three": 2}), "widths"), (of(depths={"two": 1}, widths={"8": 3}), "depths: three")):
        with pytest.raises(DataError, match=rf"transfer\.json holds results that this run lacks: {lost}; run the whole study"):
            write_study(part, tmp_path)
    more = of(depths={"two": 5, "three": 2}, widths={"8": 3, "16": 4})
    assert write_study(more, tmp_path) == path and read_studies(tmp_path) == [more]


def test_an_option_may_be_a_tuple(tmp_path):
    record = box_record(options={"channels": (4, 8)})
    write_record(record, tmp_path)
    assert find_record(record.spec, tmp_path) is not None


# ---- older files ----------------------------------------------------------------------------------------------------

NUMBERS = {"mean": 4.850027344163837, "sd": 2.1856, "low": 4.55, "high": 5.27, "unit": "mm"}
OLD = {
    "dataset": "JSRT", "copy": "converted PNG files", "size": [128, 128], "split": "stratified", "n_train": 144, "n_test": 86,
    "failures": 0, "method": "denseseg", "recipe": "default", "profile": "compact", "seed": 0, "commit": "6146b58c",
    "device": "AMD EPYC, 1 thread", "versions": {"python": "3.11.7"}, "data_sha256": "8" * 64, "parameters": 1704815,
    "seconds_train": 1586.155269502, "seconds_per_case": 0.63393447343024, "notes": "a note",
    "metrics": {"lungs": {"tre": NUMBERS}, "average": {"tre": NUMBERS | {"n": 5, "missing": 0, "failures": 1}}},
    "settings": {"recipe": {"band": 4}, "training": {"epochs": 60, "seed": 0, "precision": "auto"}},
}  # fmt: skip


def read_old(folder, **changes):
    (folder / "old.json").write_text(json.dumps(OLD | changes))
    (record,) = read_records(folder)
    return record


def test_files_of_version_1_stay_readable(tmp_path):
    record = read_old(tmp_path)
    assert record.spec.name == "denseseg_default_compact_stratified_0" and record.spec.dataset == "JSRT"
    assert (record.source, record.notes, record.toy) == ("converted PNG files", "a note", False)
    assert record.metrics["lungs"]["tre"].mean == 4.850027344163837 and record.metrics["lungs"]["tre"].n is None
    assert record.metrics["average"]["tre"].failures == 1
    assert record.precision == "32-true" and record.n_validation is None
    assert record.recipe_settings == {"recipe": {"band": 4}, "training": {"epochs": 60, "precision": "auto"}}
    assert "version 1" in record.migrated and "without masks and spacing" in record.migrated


def test_old_wrist_runs_say_how_they_were_trained(tmp_path):
    assert read_old(tmp_path, dataset="wrist phantom").spec.recipe == "many_structures"
    assert 'recipe was called "default"' in read_old(tmp_path, dataset="GRAZPEDWRI-DX").migrated
    assert read_old(tmp_path, dataset="wrist phantom", method="mean_shape").spec.recipe == "default"  # it is not trained
    assert read_old(tmp_path, dataset="wrist phantom", recipe="paper").spec.recipe == "paper"


def test_old_runs_with_a_network_of_another_width_say_so(tmp_path):
    recipes = {"usual": [32, 64, 128, 256], "wide": [64, 64, 128, 256]}
    found = {name: read_old(tmp_path, settings={"recipe": {"channels": c}}).spec.options for name, c in recipes.items()}
    assert found == {"usual": {}, "wide": {"channels": [64, 64, 128, 256]}}


def test_old_phantoms_stay_toys(tmp_path):
    assert read_old(tmp_path, dataset="chest phantom", profile="full").toy
    assert not read_old(tmp_path, profile="full").toy


def test_a_seed_that_differed_is_kept(tmp_path):
    settings = copy.deepcopy(OLD["settings"])
    settings["training"]["seed"] = 7
    assert read_old(tmp_path, settings=settings).recipe_settings["training"]["seed"] == 7


def test_files_of_version_2_stay_readable(tmp_path):
    record = box_record(options={"band": 2})
    path = write_record(record, tmp_path)
    content = json.loads(path.read_text())
    since = ("parts_sha256", "n_cases", "steps", "processor_seconds", "seconds_per_step", "peak_memory_mib", "values")
    old = {key: value for key, value in content.items() if key not in since} | {"version": 2}
    old["spec"] = {key: value for key, value in old["spec"].items() if key not in ("folds", "train_size", "budget", "augmentation")}
    path.write_text(json.dumps(old))
    assert read_records(tmp_path) == [record.model_copy(update=dict.fromkeys(since))]


def test_the_projects_own_results_can_be_read():
    paths = [p for p in (ROOT / "results").rglob("*.json") if p.parent.name != "benchmarks"]
    assert len(read_records(ROOT / "results")) + len(read_studies(ROOT / "results")) == len(paths) > 0
    for record in read_records(ROOT / "results"):
        assert record.spec.path(ROOT / "results").is_file()
