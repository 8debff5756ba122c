"""Values image by image: from the table of an evaluation and back, in few bytes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from records import ANATOMY, BOX, box_run
from toy_cases import make_set

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.errors import DataError, validated
from denseseg.evaluation import compare_methods, evaluate, per_case, summarise
from denseseg.experiments.values import Values


def judged(cases, shift: float = 1.0, lost: int | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    points = [case.landmarks + shift * rng.normal(size=case.landmarks.shape) for case in cases]
    if lost is not None:
        points[lost][:2] = np.nan
    return evaluate([SimpleNamespace(landmarks=own, masks=None) for own in points], cases)


def same_summary(values: Values, table: pd.DataFrame) -> None:
    ours, theirs = (summarise(one).set_index(["group", "metric"]) for one in (values.table(), table))
    theirs = theirs.dropna(subset="mean")
    assert set(ours.index) == set(theirs.index)
    largest = table.groupby("metric")["value"].max()[ours.index.get_level_values("metric")].to_numpy()
    for column in ("mean", "sd", "median"):  # no value moves by more than 5e-5 of itself, so an SD by no more than twice that
        assert (np.abs(ours[column] - theirs.loc[ours.index, column]) <= 1e-4 * largest).all(), column
    for column in ("n", "failures", "unit"):
        assert (ours[column] == theirs.loc[ours.index, column]).all()
    keys = ["case", "structure", "metric", "landmark"]
    joined = values.table().merge(table.dropna(subset="value"), on=keys, suffixes=("", "_before"))
    assert len(joined) == len(table.dropna(subset="value"))
    assert (joined["n"] == joined["n_before"]).all() and (joined["failed"] == joined["failed_before"]).all()


def test_summaries_of_outlines_can_be_made_again_from_the_values():
    table = box_run()["table"]
    values = Values.of(table)
    assert values.groups == {"box": "boxes"} and values.units["tre"] == "mm"
    assert values.columns["box"]["tre"].failed == [2]
    same_summary(values, table)
    assert values.columns["box"]["tre"].n == 4


def test_missing_landmarks_of_some_cases_are_counted():
    cases = [Case(f"c{i}", np.zeros((32, 32)), BOX.copy(), ANATOMY, spacing=1.4) for i in range(3)]
    cases[1].landmarks[2] = np.nan
    table = judged(cases)
    assert Values.of(table).columns["box"]["tre"].n == [4, 3, 4]
    same_summary(Values.of(table), table)


def test_summaries_of_single_landmarks_can_be_made_again_without_their_success_rates():
    cases = make_set(5)
    for case in cases:
        case.landmarks[:] = np.random.default_rng(1).uniform(2, 20, case.landmarks.shape)
    cases[3].landmarks[7] = np.nan
    table = judged(cases, shift=4.0, lost=1)
    values = Values.of(table)
    (columns,) = values.columns.values()
    assert not [metric for metric in columns if metric.startswith("sdr_")]
    assert len(columns["tre"].values) == 5 * 37
    same_summary(values, table)


def test_a_metric_that_only_some_cases_have_stays_so():
    cases = [Case(f"c{i}", np.zeros((32, 32)), BOX + shift, ANATOMY, spacing=1.4) for i, shift in enumerate([0, 12, 12])]
    table = judged(cases)  # two boxes reach beyond the image
    assert Values.of(table).columns["box"]["tre_outside"].values[0] is None
    same_summary(Values.of(table), table)


def test_points_and_outlines_in_one_anatomy():
    anatomy = Anatomy("both", (Structure("box", 4, "boxes"), Structure("dots", 3, "dots", kind=Kind.POINTS)))
    points = np.concatenate([BOX, [[3.0, 4], [20, 5], [9, 25]]])
    cases = [Case(f"c{i}", np.zeros((32, 32)), points + 0.1 * i, anatomy) for i in range(4)]
    table = judged(cases, shift=3.0)
    same_summary(Values.of(table), table)


def test_methods_are_compared_in_pairs_from_their_values_alone():
    cases = make_set(8)
    for case in cases:
        case.landmarks[:] = np.random.default_rng(1).uniform(2, 20, case.landmarks.shape)
    tables = {"near": judged(cases, 0.5), "far": judged(cases, 3.0)}
    kept = {name: Values.of(table).table() for name, table in tables.items()}
    np.testing.assert_allclose(per_case(kept["far"], "tre"), per_case(tables["far"], "tre"), rtol=1e-3)
    ours, theirs = compare_methods(kept, "near"), compare_methods(tables, "near")
    np.testing.assert_allclose(ours.select_dtypes("number"), theirs.select_dtypes("number"), rtol=5e-3)


def test_values_of_a_chest_test_part_are_small():
    """87 cases, five structures and ten metrics; a record holds little else."""
    names = [f"structure {i}" for i in range(5)]
    metrics = ["tre", "along", "across", "asd_one_way", "asd_one_way_published", "assd", "hd95", "dsc", "sdr_2", "sdr_4", "sdr_10"]
    rng = np.random.default_rng(0)
    rows = [
        (f"JPCLN{i:03d}", name, name, m, rng.uniform(0, 99), "mm", 1, False, None)
        for i in range(87)
        for name in names
        for m in metrics
    ]
    table = pd.DataFrame(rows, columns=["case", "structure", "group", "metric", "value", "unit", "n", "failed", "landmark"])
    assert len(json.dumps(Values.of(table).model_dump(mode="json"))) < 50_000


TRE = {"values": [1.0, 2.0, None], "n": 4}


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        ({"cases": ["c1", "c2"]}, {}, "tre of box does not fit the cases, groups and units"),
        ({"groups": {}}, {}, "tre of box does not fit"),
        ({"units": {}}, {}, "tre of box does not fit"),
        ({}, {"n": [4, 4]}, "columns.box.tre counts and failures do not fit the values"),
        ({}, {"failed": [3]}, "columns.box.tre counts and failures do not fit the values"),
    ],
)
def test_values_that_do_not_fit_each_other_are_refused(change, column, message):
    whole = {"cases": ["c1", "c2", "c3"], "groups": {"box": "b"}, "units": {"tre": "mm"}, "columns": {"box": {"tre": TRE}}}
    assert len(validated(Values, whole, "file").table()) == 2
    with pytest.raises(DataError, match=message):
        validated(Values, whole | change | {"columns": {"box": {"tre": TRE | column}}}, "file")
