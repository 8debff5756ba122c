"""The scripts that prepare public data: run again, they go on, and replace nothing that a person has corrected."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hand_files import HandFiles
from helpers import load_script
from killed import HOLD, start

from denseseg.cases.folder import read_cases

SCRIPTS = Path(__file__).parents[2] / "data_scripts"


@pytest.fixture(scope="module")
def script():
    return load_script(SCRIPTS / "prepare_hand.py")


@pytest.fixture(scope="module")
def prepared(script, tmp_path_factory) -> tuple[list[str], Path]:
    """The script's arguments but for the folder, and a folder that it has prepared."""
    folder = tmp_path_factory.mktemp("hand")
    images, setup = HandFiles(folder).write()
    arguments = ["--images", str(images), "--setup", str(setup), "--longest", "64"]
    assert script.main([*arguments, str(folder / "out")]) == 0
    return arguments, folder / "out"


@pytest.fixture
def out(prepared, tmp_path) -> Path:
    return Path(shutil.copytree(prepared[1], tmp_path / "out"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def appended(name: str):
    return lambda out: (out / name).write_bytes((out / name).read_bytes() + b"\n")


CORRECTIONS = {
    "landmarks.csv": appended("landmarks.csv"),
    "cases.csv": appended("cases.csv"),
    "dataset.toml": appended("dataset.toml"),
    "images/3142.png": lambda out: shutil.copy(out / "images" / "3143.png", out / "images" / "3142.png"),
    "masks/3142.npz": lambda out: ((out / "masks").mkdir(exist_ok=True), (out / "masks" / "3142.npz").write_bytes(b"mine")),
}


@pytest.mark.parametrize("name", CORRECTIONS)
def test_what_somebody_corrected_is_not_replaced(script, prepared, out, capsys, name):
    CORRECTIONS[name](out)
    before = contents(out)
    assert script.main([*prepared[0], str(out)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") and f"{name} was not written by this program, or corrected since" in told
    assert told.strip().endswith("; choose another folder, or move it away") and contents(out) == before


def test_run_again_on_what_is_whole_it_makes_the_same_and_keeps_notes(script, prepared, out):
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    assert script.main([*prepared[0], str(out)]) == 0
    assert contents(out) == before


def test_what_was_deleted_is_made_again(script, prepared, out):
    before = contents(out)
    for name in ("landmarks.csv", "images/3142.png"):
        (out / name).unlink()
    assert script.main([*prepared[0], str(out)]) == 0
    assert contents(out) == before and len(read_cases(out)) == 9


def test_a_set_without_our_mark_is_not_replaced(script, prepared, out, capsys):
    """As older versions wrote it: nobody knows whether it was corrected."""
    (out / "checksums.txt").unlink()
    before = contents(out)
    assert script.main([*prepared[0], str(out)]) == 1
    assert "dataset.toml (and 2 more) was not written by this program" in capsys.readouterr().err and contents(out) == before


def test_a_file_in_place_of_the_folder_is_told(script, prepared, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert script.main([*prepared[0], str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.strip().endswith("out is a file; name a folder")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="flock")
def test_two_programs_do_not_prepare_one_folder(script, prepared, tmp_path, capsys):
    holder = start(HOLD, tmp_path / "out")
    assert script.main([*prepared[0], str(tmp_path / "out")]) == 1
    assert "out is being written by another program; wait for its end" in capsys.readouterr().err
    holder.kill()
    holder.communicate()
    assert script.main([*prepared[0], str(tmp_path / "out")]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
@pytest.mark.parametrize("step", [0, 1, 3, 5, 8, 13])
def test_killed_and_run_again_it_makes_what_one_run_makes(script, prepared, tmp_path, step):
    """The process kills itself with signal 9 before it makes, moves or removes a file for the so-manieth time."""
    arguments, whole = prepared
    if (child := os.fork()) == 0:
        left = iter(range(step, -1, -1))

        def count(event: str, _: object) -> None:
            if event in ("os.rename", "os.remove", "os.mkdir") and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        script.main([*arguments, str(tmp_path / "out")])
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert script.main([*arguments, str(tmp_path / "out")]) == 0
    made = {name: content for name, content in contents(tmp_path / "out").items() if not name.startswith(".")}
    assert made == contents(whole)
