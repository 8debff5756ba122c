"""Few real images on top of given weights: a record of very short runs, which goes on where it was stopped."""

from __future__ import annotations

import pytest

from denseseg.cases.folder import write_cases
from denseseg.errors import DataError
from denseseg.phantom import chest_phantom, hand_phantom
from denseseg.studies import fine_tuning
from denseseg.studies.fine_tuning import WAYS, learner, record, table
from denseseg.training.settings import Adam


def test_the_record_of_very_short_runs(tmp_path, monkeypatch):
    data = write_cases(tmp_path / "chests", chest_phantom(5, (64, 64)))
    made = record(str(data), steps=1, draws=1, counts=(0, 1, 2), runs=str(tmp_path / "runs"))
    trained = str(5 - made.n["test"])
    assert set(made.results) == set(WAYS)
    assert list(made.results["given weights"]) == ["0", "1", "2", trained] and list(made.results["heatmaps"]) == ["2", trained]
    one = made.results["heatmaps"]["2"]["tre"]
    assert one["low"] <= one["mean"] <= one["high"]
    assert "0 images" in table(made.results)

    def fail(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(fine_tuning, "evaluate", fail)  # all numbers are there
    assert record(str(data), steps=1, draws=1, counts=(0, 1, 2), runs=str(tmp_path / "runs")).results == made.results
    monkeypatch.setattr(fine_tuning, "GENTLE", Adam(1e-2))  # by another recipe they would be others
    with pytest.raises(AssertionError, match="trained again"):
        record(str(data), steps=1, draws=1, counts=(0, 1, 2), runs=str(tmp_path / "runs"))


def test_other_anatomies_and_ways_are_refused(tmp_path):
    with pytest.raises(DataError, match="needs the chest"):
        record(str(write_cases(tmp_path / "hands", hand_phantom(4, (64, 48)))))
    with pytest.raises(DataError, match="there are: given weights, from new weights, heatmaps"):
        learner("by hand", 1)
