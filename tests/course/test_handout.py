"""The zip file for students, unpacked and tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from conftest import ROOT
from helpers import load_script

from denseseg.course.handout import trained_run, write_handout
from denseseg.errors import DataError
from denseseg.experiments.experiment import run_name
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec
from denseseg.methods import create, load_method, save_method
from denseseg.training.settings import Run

CHAPTER_10 = Spec(dataset="chest phantom", method="denseseg", recipe="default", profile="smoke", split="paper", seed=0)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book's files, and in the place of chapter 10's network a method that needs no training."""
    root = tmp_path_factory.mktemp("book")
    for name in ("book", "notebooks", "results", "src"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("runs", "__pycache__"))
    for name in ("_toc.yml", "constraints.txt", "pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy2(ROOT / name, root / name)
    return root


@pytest.fixture(scope="module")
def unpacked(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = load_cases(get_profile("smoke"))
    method = create("mean_shape", cases.anatomy, cases[0].size)
    method.fit(cases, None, Run(progress=False))
    save_method(method, book / "notebooks" / "runs" / run_name(cases.fingerprint(), CHAPTER_10) / "weights.safetensors")
    target = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(write_handout(book, "smoke"), target)
    (folder,) = target.iterdir()
    return folder


def test_without_the_trained_run_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no notebooks.runs.chest-phantom.*; run it, .* --profile smoke --only 10"):
        trained_run(tmp_path, "smoke")


def test_it_holds_what_a_student_needs_and_no_solution(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} == {
        *("START_HERE.md", "check_installation.py", "environment.yml", "constraints.txt"),
        *("learner", "package", "results", "_toc.yml", "LICENSE-text"),
    }
    assert {path.name for path in (unpacked / "learner").glob("*.ipynb")} == {p.name for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert "def naive_shift_mm" not in (unpacked / "learner" / "01_radiographs.ipynb").read_text(encoding="utf-8")
    assert not list(unpacked.rglob("__pycache__"))


def test_start_here_names_what_is_there(unpacked: Path) -> None:
    page = (unpacked / "START_HERE.md").read_text(encoding="utf-8")
    for name in ("learner/", "learner/runs/", "package/", "constraints.txt", "check_installation.py", "results/", "_toc.yml"):
        assert f"`{name}`" in page and (unpacked / name).exists()
    for system in ("Windows", "macOS", "Linux"):
        assert f"**{system}**" in page
    *_, pip = yaml.safe_load((unpacked / "environment.yml").read_text())["dependencies"]
    install = '{} "{}"'.format(*pip["pip"])
    assert install in page and install in (unpacked / "check_installation.py").read_text(encoding="utf-8")


def test_the_installation_test_passes_here(unpacked: Path) -> None:
    """As a student runs it, with the package of the zip file."""
    environment = {**os.environ, "PYTHONPATH": str(unpacked / "package" / "src"), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "check_installation.py"]
    ended = subprocess.run(run, cwd=unpacked, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "✓ torch" in ended.stdout and "pixels on average" in ended.stdout and "All is well" in ended.stdout


@pytest.fixture
def installation(tmp_path: Path) -> ModuleType:
    """The installation test in a folder in which nothing else is."""
    path = shutil.copy2(ROOT / "book" / "handout" / "check_installation.py", tmp_path)
    (tmp_path / "constraints.txt").write_text("# exact\ntorch==2.13.0\n")
    return load_script(Path(path))


def test_the_installation_test_says_what_is_wrong(installation: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    installation.NEEDED = {"torch": "no_such_library"}
    assert installation.main() == 1
    told = capsys.readouterr().out
    assert "✗ torch does not work (ModuleNotFoundError: No module named 'no_such_library'); install again, in this folder" in told
    installation.NEEDED = {"numpy": "numpy"}
    assert installation.main() == 1
    told = capsys.readouterr().out
    assert "✓ numpy" in told and "✗ learner/runs has no trained network; unpack the zip file again" in told


def test_the_installation_test_notices_a_network_that_finds_nothing(installation: ModuleType, unpacked: Path) -> None:
    (weights,) = unpacked.glob("learner/runs/*/weights.safetensors")
    method = load_method(weights)
    method.set_state({name: tensor + 1000 for name, tensor in method.state().items()})
    save_method(method, installation.HERE / "learner" / "runs" / "chest-phantom_denseseg_any" / "weights.safetensors")
    assert "landmarks are off by" in installation.problem_with_a_prediction()
