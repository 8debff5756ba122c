"""`make_phantom --overwrite`: the old set goes only when the new one is whole, and only if the script wrote it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers import load_script

from denseseg.cases.folder import read_cases

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "make_phantom.py"


@pytest.fixture(scope="module")
def script():
    return load_script(SCRIPT)


def make(script, folder: Path, n: int, *more: str) -> int:
    return script.main(["--n", str(n), "--size", "64", *more, str(folder)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_smaller_set_replaces_a_larger_one_whole(script, tmp_path):
    assert make(script, tmp_path / "a", 3) == 0
    assert make(script, tmp_path / "a", 1, "--overwrite", "--seed", "5") == 0
    assert make(script, tmp_path / "b", 1, "--seed", "5") == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (OSError("no space left on device"), 1)])
def test_stopped_while_it_draws_the_new_set_it_keeps_the_old_one_and_its_key(script, tmp_path, monkeypatch, error, status):
    folder, key = tmp_path / "a", tmp_path / "key.csv"
    assert make(script, folder, 2, "--key", str(key)) == 0
    before = contents(tmp_path)

    def stopped(*_, **__):
        raise error

    for name in ("write_cases", "without_key"):
        with monkeypatch.context() as patch:
            patch.setattr(script, name, stopped)
            assert make(script, folder, 1, "--overwrite", "--key", str(key)) == status
        assert contents(tmp_path) == before
    assert make(script, folder, 1, "--overwrite", "--key", str(key)) == 0
    assert read_cases(folder).ids == pd.read_csv(key)["case"].tolist()


def test_what_a_killed_run_left_is_no_set(script, tmp_path):
    (tmp_path / "a" / ".unfinished" / "images").mkdir(parents=True)
    assert make(script, tmp_path / "a", 1) == 0
    assert len(read_cases(tmp_path / "a")) == 1 and not (tmp_path / "a" / ".unfinished").exists()
