"""The hyper-parameter search, on drawings of 32 pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from denseseg import chest_phantom
from denseseg.errors import DataError
from denseseg.methods import create
from denseseg.studies import search

SMALL = {"epochs": 1, "width": 1 / 16}


@pytest.fixture(scope="module")
def cases():
    return chest_phantom(10, (32, 32))


@pytest.fixture(scope="module")
def study(cases, tmp_path_factory):
    """Two trials, and in a second call two more."""
    journal = tmp_path_factory.mktemp("search") / "journal.log"
    first = search.search("denseseg", cases[:8], cases[8:], trials=2, journal=journal, **SMALL)
    assert len(first.trials) == 2
    return search.search("denseseg", cases[:8], cases[8:], trials=4, journal=journal, **SMALL)


def test_a_search_goes_on_where_its_journal_ends(study):
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert all(len(trial.values) == 3 and np.isfinite(trial.values).all() for trial in study.trials)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 4  # nothing is tried twice


def test_a_trial_that_was_killed_does_not_count(cases, tmp_path, monkeypatch):
    def searched(trials):
        return search.search("heatmap_regression", cases[:8], cases[8:], trials=trials, journal=tmp_path / "journal.log", **SMALL)

    monkeypatch.setattr(search, "measured", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        searched(1)
    monkeypatch.undo()
    assert [trial.state.name for trial in searched(1).trials] == ["FAIL", "COMPLETE"]


def test_the_front_holds_what_no_other_trial_beats_in_everything(study):
    values = np.array([trial.values for trial in study.trials])
    beaten = [(np.all(values <= mine, 1) & np.any(values < mine, 1)).any() for mine in values]
    assert {trial.number for trial in search.chosen(study, 9)} == {n for n, worse in enumerate(beaten) if not worse}


def test_the_weights_of_a_proposal_sum_to_one_and_the_maps_share_theirs(study):
    weights = search.PROPOSALS["denseseg"](study.trials[0])["loss_weights"]
    assert sum(weights.values()) == pytest.approx(1) and weights["uv"] == weights["landmarks"]


def test_the_best_are_trained_again_beside_the_recipe_as_it_stands(study, cases):
    again = search.trained_again(study, "denseseg", cases[:8], cases[8:], seeds=(1,), count=1, **SMALL)
    assert again["trial"].tolist() == [-1, search.chosen(study, 1)[0].number]
    more = {"n": {"train": 8, "validation": 2}, "profile": "smoke", "seed": 0}
    record = search.record(cases, {"denseseg": study}, {"denseseg": again}, **more)
    shown = search.table(record.results)
    assert "as published" in shown and "4 trials (4 complete)" in shown


def test_what_was_trained_again_is_not_trained_once_more(study, cases, tmp_path):
    def again() -> pd.DataFrame:
        return search.trained_again(study, "denseseg", cases[:8], cases[8:], seeds=(1,), count=1, runs=tmp_path, **SMALL)

    first = again()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoint.safetensors")}
    assert len(written) == 2  # the recipe as it stands, and one trial
    pd.testing.assert_frame_equal(again(), first)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoint.safetensors")} == written


def test_a_rival_is_judged_by_its_landmarks_alone(cases):
    study = search.search("heatmap_regression", cases[:8], cases[8:], trials=1, **SMALL)
    (value,) = study.trials[0].values
    assert study.trials[0].params["amplitude"] <= 50 and 0 < value <= np.hypot(32, 32)


def test_an_untrained_network_is_measured_as_bad(cases):
    method = create("denseseg", cases.anatomy, (32, 32), "paper", channels=(4, 8))
    method.prepare(cases)
    bad = search.measured(method, cases[8:])
    assert set(bad) == {"landmark_error_px", "dice_loss", "uv_error", "landmark_uv_error"}
    assert bad["uv_error"] > 0.1 and bad["dice_loss"] > 0.3


def test_a_search_without_a_space_or_without_validation_cases_is_refused(cases):
    with pytest.raises(DataError, match="no search for 'mean_shape'; there is one for: denseseg"):
        search.search("mean_shape", cases[:8], cases[8:], trials=1)
    with pytest.raises(DataError, match="a search judges on validation cases"):
        search.search("denseseg", cases[:8], cases[:0], trials=1)
