"""Transfer: what an arm varies, what a fixed correction takes away, and a record of a very short run."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch

from denseseg.anatomy import CHEST
from denseseg.errors import DataError
from denseseg.phantom import NO_LOOKS, NO_RANDOMISATION, TRANSFER, WIDE_LOOKS, ChestPhantom
from denseseg.studies.transfer import GROUPS, arm, corrected, fixed_correction, record, table


def test_an_arm_switches_what_it_says_and_nothing_else():
    assert arm("nothing") == (NO_RANDOMISATION, NO_LOOKS) and arm("everything") == (TRANSFER, WIDE_LOOKS)
    assert arm("only looks") == (NO_RANDOMISATION, WIDE_LOOKS) == arm("everything without anatomy")
    assert arm("everything without heart") == (replace(TRANSFER, heart=0.0), WIDE_LOOKS)
    assert arm("only jpeg") == (NO_RANDOMISATION, replace(NO_LOOKS, jpeg=WIDE_LOOKS.jpeg))
    without_film = replace(WIDE_LOOKS, gamma=0.0, window=0.0, shading=0.0)
    assert arm("everything without film") == (TRANSFER, without_film)


def test_the_small_groups_cover_every_switch_once():
    listed = [name for group, names in GROUPS.items() if group not in ("anatomy", "looks") for name in names]
    assert sorted(listed) == sorted([*asdict(TRANSFER), *asdict(WIDE_LOOKS)])


@pytest.mark.parametrize("bad", ["something", "everything without hearts", "nothing without film", "only "])
def test_an_unknown_arm_is_refused(bad):
    with pytest.raises(DataError, match="everything without X"):
        arm(bad)


def test_a_displacement_that_goes_with_the_box_is_corrected_away():
    rng = np.random.default_rng(0)
    predicted = np.stack([ChestPhantom(0, i, (64, 64)).landmarks for i in range(6)])
    constant, true = rng.normal(0, 0.05, (CHEST.n_landmarks, 2)), predicted.copy()
    for where in CHEST.slices.values():
        true[:, where] += constant[where] * np.ptp(predicted[:, where], axis=1, keepdims=True).max(-1, keepdims=True)
    found = fixed_correction(predicted[:3], true[:3], CHEST)
    np.testing.assert_allclose(found, constant, atol=1e-9)
    np.testing.assert_allclose(corrected(predicted[3:], found, CHEST), true[3:], atol=1e-9)
    predicted[3, :44] = np.nan  # a lung that was not found stays so, and the others are corrected
    again = corrected(predicted[3:], found, CHEST)
    assert np.isnan(again[0, :44]).all()
    np.testing.assert_allclose(again[0, 44:], true[3, 44:], atol=1e-9)


def test_the_record_of_a_very_short_run_has_every_arm_and_a_table(tmp_path, monkeypatch):
    again = partial(record, "phantom", "smoke", ["nothing", "everything"], n=4, epochs=1, correction=2, runs=str(tmp_path))
    made = again()
    assert set(made.results) == {"nothing", "everything"} and made.n["phantoms"] == 4 and made.settings["part"] == "validation"
    assert "doubtful" not in made.results["nothing"]["average"]  # trained without validation cases: no limit is known
    for groups in made.results.values():
        assert set(groups) == {"lungs", "heart", "clavicles", "average"}
        assert all(0 <= numbers["dsc"] <= 100 for numbers in groups.values())
    assert table(made.results).count("| everything |") == 4
    shown = record("phantom", "smoke", ["given"], correction=2, part="test")
    given = shown.results["given"]["average"]
    assert 0 <= given["doubtful"] <= shown.n["test"] and -1 <= given["score_against_tre"] <= 1

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(torch.optim.Optimizer, "step", fail)  # it goes on where it was stopped: all is trained
    assert again().results == made.results


def test_wrong_data_parts_and_corrections_are_refused():
    with pytest.raises(DataError, match="needs the chest"):
        record("hand phantom", "smoke", ["nothing"])
    with pytest.raises(DataError, match="by which arms are chosen"):
        record("phantom", "smoke", ["nothing"], part="train")
    with pytest.raises(DataError, match="correction 0: it is fitted on so many real training cases; give 1 or more"):
        record("phantom", "smoke", ["given"], correction=0)
