"""The script that makes the weights that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import ROOT, load_script

from denseseg.methods import load_method

QUICK = ("--phantoms", "8", "--steps", "2")


@pytest.fixture(scope="module")
def script():
    return load_script(ROOT / "data_scripts" / "make_weights.py")


def test_the_same_command_makes_the_same_bytes(script, tmp_path):
    paths = [tmp_path / folder / "chest.safetensors" for folder in ("first", "second")]
    for path in paths:
        path.parent.mkdir()
        assert script.main(["chest", str(path), *QUICK]) == 0
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert load_method(paths[0]).size == script.PLANS["chest"].size


def test_another_seed_makes_other_bytes(script, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for seed, path in enumerate((first, second)):
        script.main(["chest", str(path), *QUICK, "--seed", str(seed)])
    assert first.read_bytes() != second.read_bytes()


def test_numbers_below_zero_are_refused(script, capsys):
    with pytest.raises(SystemExit):
        script.main(["chest", str(Path("x.safetensors")), "--seed", "-1"])
    assert "from 0 up" in capsys.readouterr().err
