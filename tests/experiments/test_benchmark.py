"""Methods on equal terms: what they share, one table of all, and refusals where they share too little."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from records import box_record, boxes

from denseseg.augment import STRONG
from denseseg.errors import DataError
from denseseg.evaluation import compare_methods, evaluate, per_case
from denseseg.experiments import Spec, read_records
from denseseg.experiments.benchmark import averaged, benchmark, benchmark_table, on_equal_terms
from denseseg.experiments.experiment import recipe_of
from denseseg.experiments.store import write_record
from denseseg.prediction import Prediction
from denseseg.training.settings import Epochs, Seconds

HEATMAPS, DENSE, MEAN = ("heatmap_regression", "default"), ("denseseg", "default"), ("mean_shape", "default")


# ---- specs ----------------------------------------------------------------------------------------------------------


def test_specs_on_equal_terms_differ_in_method_recipe_and_seed_alone():
    shared = {"dataset": "toy", "profile": "smoke", "split": "stratified", "budget": Epochs(3), "augmentation": STRONG}
    specs = on_equal_terms([HEATMAPS, DENSE], seeds=(0, 1), **shared)
    assert [(spec.method, spec.seed) for spec in specs] == [(m, s) for m, _ in (HEATMAPS, DENSE) for s in (0, 1)]
    assert {(recipe_of(spec).training.length, recipe_of(spec).training.augmentation) for spec in specs} == {(Epochs(3), STRONG)}
    assert len({spec.name for spec in specs}) == 4


def test_an_option_goes_to_the_recipes_that_know_it():
    options = {"decoder": "argmax", "test_time_views": 1, "shape_prior": 0.0}
    heat, dense, mean = on_equal_terms([HEATMAPS, DENSE, MEAN], options=options, dataset="toy", profile="smoke")
    assert heat.options == options
    assert dense.options == {"test_time_views": 1, "shape_prior": 0.0}  # its decoders read uv maps
    assert mean.options == {"shape_prior": 0.0}
    with pytest.raises(DataError, match="no recipe has an option 'decoder' that can be 'argmin'"):
        on_equal_terms([HEATMAPS, DENSE], options={"decoder": "argmin"}, dataset="toy", profile="smoke")


# ---- table ----------------------------------------------------------------------------------------------------------


def run(method: str, seed: int = 0, error: float = 1.0, **spec):
    """A record of ten images that a method misses by about `error` pixels, and the table behind it."""
    cases = boxes()
    rng = np.random.default_rng(seed + 10 * len(method))
    predictions = [Prediction(case.anatomy, case.landmarks + error * rng.normal(size=case.landmarks.shape)) for case in cases]
    table = evaluate(predictions, cases)
    named = Spec(**{"dataset": "toy boxes", "method": method, "profile": "full", "seed": seed} | spec)
    history = pd.DataFrame({"epoch": [0.0], "steps": [4.0], "processor_seconds": [2.0 + seed]})
    return box_record(data=cases, spec=named, table=table, history=history, parameters=7), table


def test_a_row_holds_error_comparison_and_costs_of_a_method():
    (near, near_table), (far, far_table) = run("near", error=0.5), run("far", error=2.0, budget=Seconds(60))
    table = benchmark_table([near, far], near.spec).set_index(["method", "metric"])
    assert set(table.index) == {(method, metric) for method in ("near", "far") for metric in ("tre", "asd_one_way", "dsc")}
    row = table.loc["far", "tre"]
    assert row["mean"] == pytest.approx(per_case(far_table, "tre").mean(), rel=1e-4)
    expected = compare_methods({"near": near_table, "far": far_table}, "near").iloc[0]
    for ours, theirs in {"difference": "difference", "difference_low": "low", "difference_high": "high"}.items():
        assert row[ours] == pytest.approx(expected[theirs], rel=1e-3)
    for name in (name for name in expected.index if name.startswith("p_")):
        assert row[name] == pytest.approx(expected[name], rel=1e-3)
    assert (row["unit"], row["budget"], row["n"], row["seeds"], row["parameters"]) == ("mm", "60 seconds", 10, 1, 7)
    assert (row["processor_seconds"], row["steps"]) == (2.0, 4)
    reference = table.loc["near", "tre"]
    assert np.isnan(reference["difference"]) and reference["budget"] == "profile"


def test_seeds_are_averaged_image_by_image():
    runs = {seed: run("near", seed) for seed in (0, 1, 2)}
    others = [run("far", seed, error=2.0)[0] for seed in runs]
    table = benchmark_table([*(record for record, _ in runs.values()), *others], runs[0][0].spec).set_index(["method", "metric"])
    each = [per_case(values, "tre") for _, values in runs.values()]
    row = table.loc["near", "tre"]
    assert row["mean"] == pytest.approx(np.mean(each), rel=1e-4)
    assert row["sd_seeds"] == pytest.approx(np.std([own.mean() for own in each], ddof=1), rel=1e-3)
    assert row["seeds"] == 3 and row["n"] == 10 and row["processor_seconds"] == 3.0
    pooled = per_case(averaged([record for record, _ in runs.values()]), "tre")
    np.testing.assert_allclose(pooled, np.mean(each, axis=0), rtol=1e-4)


def test_a_method_without_landmarks_is_compared_where_it_can_be():
    near, far = run("near")[0], run("far")[0]
    kept = {name: own for name, own in far.values.columns["box"].items() if name != "tre"}
    far = far.model_copy(update={"values": far.values.model_copy(update={"columns": {"box": kept}})})
    table = benchmark_table([near, far], near.spec)
    assert set(table.loc[table["method"] == "far", "metric"]) == {"asd_one_way", "dsc"}
    assert set(benchmark_table([near, far], far.spec, ["tre"])["method"]) == {"near"}  # nothing to compare with


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"split": "stratified"}, "has another split than"),
        ({"train_size": 6, "draw": 0}, "has another train_size than"),
        ({"seed": 1}, r"was run with the seeds \[1\], others with \[0\]"),
    ],
)
def test_runs_that_share_too_little_are_not_compared(other, message):
    near = run("near")[0]
    with pytest.raises(DataError, match=message):
        benchmark_table([near, run("far", **other)[0]], near.spec)


def test_runs_on_other_cases_are_not_compared():
    near, far = run("near")[0], run("far")[0]
    divided = far.model_copy(update={"parts_sha256": "0" * 64})
    with pytest.raises(DataError, match=r"^far_.* was run with other cases in training, validation or test part than near_"):
        benchmark_table([near, divided], near.spec)
    moved = far.model_copy(update={"data_sha256": "0" * 64})
    with pytest.raises(DataError, match=r"^far_.* was run on other data than near_"):
        benchmark_table([near, moved], near.spec)
    for fair in ({"parts_sha256": None}, {"data_sha256": "0" * 64, "size": (64, 64)}, {"data_sha256": "0" * 64, "synthetic": True}):
        assert len(benchmark_table([near, far.model_copy(update=fair)], near.spec)) == 6


def test_pixels_of_different_sizes_are_not_subtracted():
    near, far = run("near")[0], run("far")[0]
    larger = far.model_copy(update={"size": (64, 64)})
    assert len(benchmark_table([near, larger], near.spec)) == 6  # millimetres are millimetres

    def in_pixels(record):
        units = {metric: "px" if unit == "mm" else unit for metric, unit in record.values.units.items()}
        return record.model_copy(update={"values": record.values.model_copy(update={"units": units})})

    with pytest.raises(DataError, match="errors are in pixels, of images of different sizes; compare runs of one size"):
        benchmark_table([in_pixels(near), in_pixels(larger)], near.spec)


def test_an_unknown_metric_is_told():
    near, far = run("near")[0], run("far")[0]
    with pytest.raises(KeyError, match="unknown metric 'ter'; known: tre, "):
        benchmark_table([near, far], near.spec, ["ter"])


def test_records_that_cannot_be_compared_say_what_to_do():
    near, far = run("near")[0], run("far")[0]
    with pytest.raises(DataError, match="no record of the reference far"):
        benchmark_table([near], far.spec)
    with pytest.raises(DataError, match="has no values of single images"):
        benchmark_table([near, far.model_copy(update={"values": None})], near.spec)


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_what_is_recorded_is_not_run_again(tmp_path):
    cases = boxes()
    specs = on_equal_terms([MEAN], dataset=cases.name, profile="smoke", split="folds", folds=3, fold=1)
    first = benchmark(cases, specs, specs[0], results=tmp_path, runs=None)
    (record,) = read_records(tmp_path)
    again = benchmark(cases, specs, specs[0], results=tmp_path, runs=None)
    pd.testing.assert_frame_equal(first, again)
    assert read_records(tmp_path) == [record]


def test_a_record_of_other_cases_is_not_taken_for_theirs(tmp_path):
    specs = on_equal_terms([MEAN], dataset="toy boxes", profile="smoke")
    benchmark(boxes(), specs, specs[0], results=tmp_path, runs=None)
    moved, swapped = boxes(), boxes()
    moved[0].landmarks[0] += 1
    for case, part in ((swapped[0], "test"), (swapped[9], "train")):
        case.metadata["split"] = part
    for cases, fault in ((moved, "on other data"), (swapped, "with other cases in training, validation or test part")):
        with pytest.raises(DataError, match=fault):
            benchmark(cases, specs, specs[0], results=tmp_path, runs=None)


def test_a_record_of_an_older_recipe_is_not_taken_for_todays(tmp_path):
    cases = boxes()
    new, old = (Spec(dataset=cases.name, method="mean_shape", profile="smoke", seed=seed) for seed in (0, 1))
    benchmark(cases, [old], old, results=tmp_path, runs=None)
    (record,) = read_records(tmp_path)
    write_record(record.model_copy(update={"recipe_settings": {"gone": 1}}), tmp_path)
    with pytest.raises(DataError, match=f"the recipe of .*{old.name}.json has changed since; move that file away"):
        benchmark(cases, [new, old], old, results=tmp_path, runs=None)
    assert len(read_records(tmp_path)) == 1  # told before anything is run
