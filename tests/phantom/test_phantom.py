"""What all phantoms share: one list, and a mark in their sets."""

from __future__ import annotations

import pytest

from denseseg.cases.folder import read_cases, write_cases
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.phantom import FULL_SIZES, PHANTOMS

SIZES = {"chest": (48, 48), "wrist": (96, 56), "hand": (64, 48)}


@pytest.mark.parametrize("name", PHANTOMS)
def test_a_set_of_phantoms_says_that_it_is_one_whatever_it_is_called(name, tmp_path):
    cases = PHANTOMS[name](2, size=SIZES[name], seed=3)
    assert cases.anatomy.name == name and len(cases) == 2
    assert cases.info["kind"] == "phantom" and f"{name} phantom of denseseg, seed 3" in cases.info["source"]
    again = read_cases(write_cases(tmp_path, cases.fitted((64, 64)), name="hands of our clinic"))
    assert again.info == cases.info and again[:1].resized((32, 32)).info["kind"] == "phantom"


def test_a_run_may_ask_for_each_phantom_by_name(monkeypatch):
    for name in PHANTOMS:
        monkeypatch.setitem(PHANTOMS, name, lambda n, size, seed, name=name: (name, n, seed))
    profile = get_profile("smoke")
    assert load_cases(profile, "phantom", 5) == ("chest", profile.n_cases, 5)
    for name in PHANTOMS:
        assert load_cases(profile, f"{name} phantom", 5) == (name, profile.n_cases, 5)


def test_the_full_size_is_that_of_a_phantom_for_which_none_is_asked():
    for name, make in PHANTOMS.items():
        assert make(1)[0].size == FULL_SIZES[name]
