"""What is done at prediction time, with known answers: a recipe's own help gives the run's own table."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest

from denseseg.errors import DataError
from denseseg.evaluation import per_case, summarise
from denseseg.experiments.experiment import run_experiment
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec, study_record
from denseseg.studies.prediction_help import HELPS, NUMBERS, gains, read_by, record, table


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return str(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(runs):
    return record("phantom", "smoke", ["shapeformer:paper", "shapeformer:default:1", "mean_shape"], runs)


@pytest.mark.parametrize(("name", "own"), [("shapeformer:paper:0", "bare"), ("shapeformer:default:1", "both")])
def test_the_recipes_own_help_gives_the_runs_own_table(made, runs, name, own):
    method, recipe, seed = name.split(":")
    cases = load_cases(get_profile("smoke"), "phantom")
    run = run_experiment(cases, Spec(dataset=cases.name, method=method, recipe=recipe, profile="smoke", seed=int(seed)), runs)
    found, tre = made.results[name.removesuffix(":0")], run.record.metrics["average"]["tre"]
    assert list(found) == list(HELPS)
    assert found[own]["tre"] == pytest.approx(tre.model_dump(include={*NUMBERS}))
    fixed = {name: numbers["tre"]["mean"] for name, numbers in found.items() if name != "both, chosen"}
    assert len({*fixed.values()}) == len(fixed)  # each help does something
    chooser = copy.copy(run.method)
    chooser.recipe = run.method.recipe.changed(test_time_views=8, shape_prior="validation")
    chooser.choose_noise(run.split.validation)
    noise = chooser.landmark_noise / chooser.size[0]
    table = read_by(run, {"test_time_views": 8, "shape_prior": noise})
    chosen = summarise(table[table["metric"] == "tre"]).set_index("group").loc["average", "mean"]
    assert found["both, chosen"]["tre"]["mean"] == pytest.approx(chosen)
    for help_name, numbers in found.items():
        again = per_case(read_by(run, HELPS[help_name]), "tre")
        assert numbers["tre"]["mean"] == pytest.approx(again.mean())
        if help_name != "bare":
            difference = numbers["difference"]
            assert difference["mean"] == pytest.approx(numbers["tre"]["mean"] - found["bare"]["tre"]["mean"])
            assert difference["low"] <= difference["mean"] <= difference["high"]
    assert "difference" not in found["bare"] and run.method.recipe == run_experiment(cases, run.record.spec, runs).method.recipe


def test_a_method_without_the_options_keeps_its_number(made):
    found = made.results["mean_shape"]
    assert all(numbers["tre"] == found["bare"]["tre"] for numbers in found.values())
    assert all(numbers["difference"] == dict.fromkeys(NUMBERS, 0) for name, numbers in found.items() if name != "bare")


def test_help_that_takes_a_millimetre_off_each_image_is_found_again_in_pairs():
    """Two groups of unlike size; the images differ by much more than the help does."""
    rng = np.random.default_rng(0)
    rows = [(f"c{c}", group, n) for c in range(30) for group, n in (("lung", 2), ("heart", 1)) for _ in range(n)]
    bare = pd.DataFrame(rows, columns=["case", "group", "n"])
    bare["structure"] = [f"{row.group} {i % 3}" for i, row in enumerate(bare.itertuples())]
    bare = bare.assign(metric="tre", unit="mm", landmark=np.nan, failed=False, value=rng.uniform(5, 25, len(bare)))
    helping = bare.assign(value=bare["value"] - 1)
    other = bare.assign(metric="dsc", unit="%")  # is not looked at
    found = gains({"bare": pd.concat([bare, other]), "8 views": pd.concat([helping, other])})
    groups = bare.groupby("group")["value"].mean()
    assert found["bare"]["tre"]["mean"] == pytest.approx(groups.mean())  # not that of all rows
    assert found["8 views"]["difference"] == pytest.approx(dict.fromkeys(NUMBERS, -1.0))
    assert found["bare"]["tre"] == summarise(bare).set_index("group").loc["average", NUMBERS].to_dict()


def test_several_folds_are_pooled(runs):
    both = record("hand phantom", "smoke", ["mean_shape"], runs, split="folds", fold=[0, 2, 0], folds=3)
    one = [record("hand phantom", "smoke", ["mean_shape"], runs, split="folds", fold=[fold], folds=3) for fold in (0, 2)]
    assert both.n["test"] == sum(single.n["test"] for single in one) == 8 and both.settings["fold"] == [0, 2]
    tre = [single.results["mean_shape"]["both"]["tre"]["mean"] for single in one]
    assert both.results["mean_shape"]["both"]["tre"]["mean"] == pytest.approx(np.mean(tre))  # of as many images each


def test_the_table_has_a_row_for_each_help_and_a_dash_for_what_is_not_known(made):
    text = table(made.results)
    assert text.count("| shapeformer:default:1 ") == len(HELPS) and text.count("–") == 3 and made.settings["unit"] == "mm"
    assert "| +0.00 [+0.00, +0.00]" in text
    cases, unknown = load_cases(get_profile("smoke"), "phantom"), {"mean": 5.0, "low": np.nan, "high": np.nan}
    results = {"a": {"bare": {"tre": unknown}, "both": {"tre": unknown, "difference": unknown | {"mean": -0.5}}}}
    single = study_record("prediction help", cases, results, profile="smoke", seed=0, n={"test": 1})
    cells = [[cell.strip() for cell in line.split("|")[2:5]] for line in table(single.results).splitlines()[-2:]]
    assert cells == [["bare", "5.00", "–"], ["both", "5.00", "-0.50"]]


def test_what_cannot_be_studied_is_said_in_one_line_and_before_anything_is_trained(tmp_path):
    for wrong, told in {
        "mean_shape:default:one": "is no method; write",
        "": "is no method",
        "mean_shape:best": "has no recipe",
    }.items():
        with pytest.raises(DataError, match=told):
            record("phantom", "smoke", ["mean_shape", wrong], str(tmp_path))
    for split, fold, told in (("paper", [1], "has no folds"), ("folds", [], "a run tests one fold"), ("folds", [3], "fold")):
        with pytest.raises(DataError, match=told) as caught:
            record("phantom", "smoke", ["mean_shape"], str(tmp_path), split=split, fold=fold, folds=3 if split == "folds" else None)
        assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_a_method_of_masks_alone_is_refused(runs):
    with pytest.raises(DataError, match="plain_unet has no landmark errors"):
        record("phantom", "smoke", ["plain_unet"], runs)
