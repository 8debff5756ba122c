"""One run from cases to record, in any folder, once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from records import boxes

from denseseg.anatomy import CHEST
from denseseg.augment import STRONG
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.experiments import (
    Spec,
    evaluate_method,
    experiment,
    is_current,
    read_records,
    recipe_of,
    run_experiment,
    write_record,
)
from denseseg.experiments.experiment import split_of
from denseseg.methods import create, get_method, load_method
from denseseg.phantom import chest_phantom
from denseseg.training.settings import Epochs, Run, Seconds, Steps

SIZE = (64, 64)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(12, SIZE, seed=1)


def spec(cases: CaseSet, **changes) -> Spec:
    common = {"dataset": cases.name, "method": "heatmap_regression", "profile": "smoke", "options": {"channels": (4, 8)}}
    return Spec(**(common | changes))


def test_a_run_leaves_a_method_a_table_and_a_record(cases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing here is a clone of the repository
    found = run_experiment(cases, spec(cases, seed=3), progress=False, precision="32-true", notes="made by a test")
    record = found.record
    assert record.spec.seed == 3 and record.toy and record.precision == "32-true"
    assert record.data_sha256 == cases.fingerprint()
    assert (record.n_train, record.n_validation, record.n_test) == tuple(map(len, vars(found.split).values()))
    assert record.parameters == found.method.parameters
    assert record.recipe_settings["training"]["length"] == {"epochs": 2}
    assert [row["epoch"] for row in record.history] == [0, 1]
    assert set(found.table["case"]) == set(found.split.test.ids)
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {"checkpoint.safetensors", "history.csv", "weights.safetensors"}
    again = load_method(folder / "weights.safetensors")
    image = found.split.test[0].image
    np.testing.assert_allclose(again.predict_image(image).landmarks, found.method.predict_image(image).landmarks, atol=1e-4)
    assert read_records(write_record(record, tmp_path / "results").parents[1]) == [record]


def test_the_same_run_is_not_trained_twice_and_another_gets_its_own_folder(cases, tmp_path):
    first = run_experiment(cases, spec(cases), tmp_path, progress=False)
    second = run_experiment(cases, spec(cases), tmp_path, progress=False)
    np.testing.assert_array_equal(first.history["seconds"], second.history["seconds"])
    run_experiment(cases, spec(cases, options={"channels": (4, 12)}), tmp_path, progress=False)
    run_experiment(cases, spec(cases, seed=1), tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 3


# ---- on equal terms -------------------------------------------------------------------------------------------------


def test_a_spec_fits_the_cases_to_its_size(cases):
    found = run_experiment(cases, spec(cases, method="mean_shape", options={}, size=(32, 32)), None)
    assert found.record.size == (32, 32) == found.method.size
    assert found.record.data_sha256 == cases.fitted((32, 32)).fingerprint()


def test_folds_and_draws_divide_the_cases(cases):
    folds = [run_experiment(cases, mean_of(cases, split="folds", fold=k, folds=3), None) for k in range(3)]
    assert sorted(i for found in folds for i in found.split.test.ids) == cases.ids
    few = run_experiment(cases, mean_of(cases, train_size=6, draw=1), None)
    assert few.record.n_train + few.record.n_validation == 6
    assert few.split.test.ids == run_experiment(cases, mean_of(cases), None).split.test.ids
    with pytest.raises(DataError, match="a run tests one fold; give Spec its number"):
        run_experiment(cases, mean_of(cases, split="folds", folds=3), None)


def test_runs_of_other_seeds_are_tested_on_the_same_cases(cases):
    parts = [split_of(cases, mean_of(cases, split="stratified", seed=seed)).test.ids for seed in (0, 1)]
    assert parts[0] == parts[1] != cases.split("stratified", seed=1).test.ids


def mean_of(cases: CaseSet, **changes) -> Spec:
    return spec(cases, **{"method": "mean_shape", "options": {}} | changes)


def test_a_budget_and_an_augmentation_are_the_same_for_every_recipe(cases):
    for method in ("denseseg", "heatmap_regression"):
        for length in (Epochs(7), Steps(7)):
            training = recipe_of(spec(cases, method=method, options={}, budget=length, augmentation=STRONG)).training
            assert (training.length, training.augmentation) == (length, STRONG)
    assert recipe_of(mean_of(cases, budget=Steps(7), augmentation=STRONG)) == recipe_of(mean_of(cases))


def test_a_budget_of_seconds_becomes_steps_once(cases, tmp_path, monkeypatch):
    short = spec(cases, budget=Seconds(0.3))
    first = run_experiment(cases, short, tmp_path, progress=False).record
    assert first.steps == max(1, round(0.3 / first.seconds_per_step))
    assert first.recipe_settings["training"]["length"] == {"steps": first.steps}
    assert first.processor_seconds > 0 and first.peak_memory_mib > 100
    monkeypatch.setattr(experiment, "TIMED", 0)  # it would fail if it were timed again
    again = run_experiment(cases, short, tmp_path, progress=False).record
    assert (again.steps, again.seconds_per_step, again.history) == (first.steps, first.seconds_per_step, first.history)


def test_a_resumed_run_tells_no_memory(cases, tmp_path):
    first, again = (run_experiment(cases, spec(cases), tmp_path, progress=False).record for _ in range(2))
    assert first.peak_memory_mib > 100 and again.peak_memory_mib is None


def test_a_record_made_again_of_a_finished_run_keeps_what_the_training_told(cases, tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    first = run_experiment(cases, spec(cases), runs, results=results, progress=False).record
    write_record(first.model_copy(update={"commit": "of the training"}), results)
    again = run_experiment(cases, spec(cases), runs, results=results, progress=False).record
    assert again.commit == f"of the training, {first.commit}"
    assert run_experiment(cases, spec(cases), runs, results=results, progress=False).record.commit == again.commit
    assert again.peak_memory_mib == first.peak_memory_mib > 100


def test_what_the_loop_does_not_train_is_not_told_to_have_its_precision(cases):
    history = pd.DataFrame({"loss": [1.0]})
    own, other = (experiment._precision(get_method(name), history, Run(precision="bf16-mixed")) for name in ("denseseg", "nnunet"))
    assert (own, other) == ("bf16-mixed", "its own")


def test_seconds_can_be_divided_where_the_prior_is_measured(cases):
    options = {"channels": (4, 8), "shape_prior": "validation"}
    record = run_experiment(cases, spec(cases, budget=Seconds(0.3), options=options), None, progress=False).record
    assert record.recipe_settings["shape_prior"] == "validation" and record.steps >= 1


def test_nnunet_keeps_no_budget_and_says_so(cases):
    for terms in ({"budget": Steps(900)}, {"augmentation": STRONG}):
        with pytest.raises(DataError, match="nnU-Net keeps no budget and has its own augmentation; give it the options epochs"):
            recipe_of(spec(cases, method="nnunet", options={}, **terms))
    assert recipe_of(spec(cases, method="nnunet", options={"epochs": 3})).epochs == 3


def test_what_could_not_be_recorded_is_not_trained(cases, tmp_path):
    toy = boxes()
    mean = Spec(dataset=toy.name, method="mean_shape", profile="smoke")
    run_experiment(toy, mean, None, results=tmp_path)
    for case, part in ((toy[0], "test"), (toy[9], "train")):
        case.metadata["split"] = part
    with pytest.raises(DataError, match="with other cases in training, validation or test part; move it away"):
        run_experiment(toy, mean, tmp_path / "runs", results=tmp_path)
    assert not (tmp_path / "runs").exists()


def test_a_record_is_current_until_its_recipe_changes(cases):
    for budget in (None, Seconds(0.5)):
        record = run_experiment(cases, spec(cases, budget=budget), None, progress=False).record
        assert is_current(record)
        settings = record.recipe_settings
        training = settings["training"]
        before = {key: value for key, value in settings.items() if key != "visibility_threshold"}  # it had the same by default
        for then, same in (
            (before, True),
            (settings | {"visibility_threshold": 0.3}, False),
            (settings | {"training": training | {"batch_size": 3}}, False),
            (settings | {"an option that is no more": 1}, False),
            (settings | {"training": training | {"length": {"epochs": 7}}}, budget is not None),
        ):
            assert is_current(record.model_copy(update={"recipe_settings": then})) is same
        gone = record.spec.model_copy(update={"recipe": "a recipe that is no more"})
        assert not is_current(record.model_copy(update={"spec": gone}))


def test_what_is_not_trained_in_steps_ignores_a_budget(cases):
    record = run_experiment(cases, mean_of(cases, budget=Seconds(1)), None).record
    assert record.steps is None and record.processor_seconds > 0


def test_a_spec_of_other_cases_is_refused(cases):
    with pytest.raises(DataError, match="the run is to use 'JSRT', the cases are 'chest phantom'"):
        run_experiment(cases, spec(cases, dataset="JSRT"), None)


def test_a_method_is_evaluated_on_cases_of_any_size(cases):
    mean = create("mean_shape", CHEST, SIZE)
    mean.fit(cases)
    same, seconds = evaluate_method(mean, cases)
    assert seconds > 0
    larger, _ = evaluate_method(mean, cases.fitted((128, 128)))
    tre = [table[table["metric"] == "tre"]["value"].mean() for table in (same, larger)]
    assert tre[0] == pytest.approx(tre[1], rel=1e-6)  # millimetres are the same in both
    with pytest.raises(DataError, match="no cases to evaluate"):
        evaluate_method(mean, [])
