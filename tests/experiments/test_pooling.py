"""Folds pooled: as if all images had been tested at once, and refused where they do not make a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from records import BOX, boxes

from denseseg.anatomy import Anatomy, Structure
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.evaluation import summarise
from denseseg.experiments import Spec, read_records, run_experiment, write_record
from denseseg.experiments.pooling import pooled, pooled_spec


def spec(fold: int | None = None, **changes) -> Spec:
    return Spec(
        **{"dataset": "toy boxes", "method": "mean_shape", "profile": "smoke", "split": "folds", "folds": 3, "fold": fold} | changes
    )


def two_boxes() -> CaseSet:
    """The ten images with a second box in each."""
    anatomy = Anatomy("two boxes", (Structure("box", 4, "boxes"), Structure("other", 4, "others")))
    cases = [replace(case, landmarks=np.concatenate([case.landmarks, BOX - 4]), anatomy=anatomy) for case in boxes()]
    return CaseSet("two boxes", anatomy, cases)


@pytest.fixture(scope="module")
def runs():
    cases = boxes()
    for i, case in enumerate(cases):
        case.landmarks += np.random.default_rng(i).normal(size=case.landmarks.shape)
    cases[4].landmarks[2] = np.nan
    return [run_experiment(cases, spec(fold), None) for fold in range(3)]


@pytest.fixture
def records(runs):
    return [run.record for run in runs]


def test_folds_pooled_are_all_images_at_once(runs, records):
    whole = pooled(records)
    table = summarise(pd.concat([run.table for run in runs])).set_index(["group", "metric"])
    for group, metrics in whole.metrics.items():
        for metric, numbers in metrics.items():
            expected = table.loc[group, metric]
            for name in ("mean", "sd", "median"):
                assert getattr(numbers, name) == pytest.approx(expected[name], rel=1e-3), (group, metric, name)
            assert (numbers.n, numbers.missing, numbers.failures) == tuple(expected[["n", "missing", "failures"]])
    assert whole.spec == pooled_spec(records[0].spec) and whole.spec.fold is None
    assert whole.n_test == whole.n_cases == 10 == len(set(whole.values.cases))
    assert whole.seconds_train == pytest.approx(sum(record.seconds_train for record in records))
    assert whole.processor_seconds == pytest.approx(sum(record.processor_seconds for record in records))
    assert whole.history == [] and whole.steps is None


def test_where_one_fold_alone_lacks_a_structure_presence_is_judged_in_all():
    cases = two_boxes()
    lacking = cases.split("folds", folds=3, fold=0).test.ids[:2]
    for case in cases:
        if case.id in lacking:
            case.landmarks[4:] = np.nan
    runs = [run_experiment(cases, spec(fold, dataset=cases.name), None) for fold in range(3)]
    whole = pooled([run.record for run in runs])
    table = summarise(pd.concat([run.table for run in runs])).set_index(["group", "metric"])
    for group in ("boxes", "others", "average"):
        numbers, expected = whole.metrics[group]["presence"], table.loc[group, "presence"]
        assert (numbers.n, numbers.mean) == (expected["n"], pytest.approx(expected["mean"], rel=1e-4))
    assert whole.metrics["others"]["presence"].n == len(cases)
    records = [run.record for run in runs]
    records[1].metrics["average"].pop("presence")  # as an older version left it
    with pytest.raises(DataError, match=r"fold 1 of .* judges presence and fold 0 does not, or the reverse; run both again"):
        pooled(records)


def test_a_group_that_a_fold_lacks_is_missing_there():
    cases = two_boxes()
    without = cases.split("folds", folds=3, fold=0).test.ids
    for case in cases:
        if case.id in without:
            case.landmarks[4:] = np.nan
    runs = [run_experiment(cases, spec(fold, dataset=cases.name), None) for fold in range(3)]
    tre = pooled([run.record for run in runs]).metrics["others"]["tre"]
    assert (tre.n, tre.missing) == (len(cases) - len(without), len(without))


def test_the_order_of_the_folds_does_not_matter(records):
    one, other = (pooled(list(order)) for order in (records, records[::-1]))
    for metric, numbers in one.metrics["boxes"].items():
        assert numbers.mean == pytest.approx(other.metrics["boxes"][metric].mean)
        assert numbers.low == pytest.approx(other.metrics["boxes"][metric].low)
    assert (one.spec, one.n_train, one.failures) == (other.spec, other.n_train, other.failures)


def test_costs_are_added_up_or_weighted_by_images(records):
    costs = {
        "seconds_per_case": (1.0, 2.0, 4.0), "peak_memory_mib": (5.0, 9.0, 7.0), "processor_seconds": (10.0, 20.0, 60.0),
        "steps": (100, 200, 100), "n_train": (6, 5, 4),
    }  # fmt: skip
    changed = [r.model_copy(update={name: values[i] for name, values in costs.items()}) for i, r in enumerate(records)]
    whole = pooled(changed)
    tests = [record.n_test for record in records]
    assert sorted(tests) == [3, 3, 4]  # so a plain mean over folds would differ
    assert whole.seconds_per_case == pytest.approx(np.average([1, 2, 4], weights=tests))
    assert (whole.peak_memory_mib, whole.processor_seconds, whole.steps, whole.n_train) == (9, 90, 400, 5)
    assert whole.seconds_per_step == pytest.approx(90 / 400)


def test_a_pooled_record_lies_beside_its_folds(records, tmp_path):
    paths = {write_record(record, tmp_path) for record in [*records, pooled(records)]}
    assert len(paths) == 4 == len(read_records(tmp_path))


def test_what_is_no_whole_is_refused(records):
    with pytest.raises(DataError, match="no folds to pool"):
        pooled([])
    with pytest.raises(DataError, match=r"folds 0, 2 test \d of 10 cases; run the folds that are missing"):
        pooled([records[0], records[2]])
    with pytest.raises(DataError, match="is tested in 2 of the folds; give each fold once"):
        pooled([*records, records[1]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": None}, "has no values of single images; an older version made it: run it again"),
        ({"data_sha256": "a" * 64}, "fold 1 of .* has another data_sha256"),
        ({"parameters": 7}, "has another parameters, 7, than fold 0"),
        ({"recipe_settings": {"shape_prior": 1.0}}, "has another spec or recipe"),
        ({"spec": spec(1, seed=1)}, "has another spec or recipe"),
        ({"spec": spec(None)}, "is no fold of a cross-validation"),
        ({"spec": spec(None, split="paper", folds=None)}, "is no fold of a cross-validation"),
    ],
)
def test_folds_of_different_runs_are_not_pooled(records, changes, message):
    with pytest.raises(DataError, match=message):
        pooled([records[0], records[1].model_copy(update=changes), records[2]])


def test_a_budget_of_seconds_may_have_other_steps_in_each_fold(records):
    lengths = [{"training": {"length": {"steps": steps}, "batch_size": 4}} for steps in (10, 11, 12)]
    assert (
        pooled([record.model_copy(update={"recipe_settings": own}) for record, own in zip(records, lengths, strict=True)]).n_test
        == 10
    )
