"""Where the book keeps its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from denseseg.course import get_profile, load_cases
from denseseg.course.folders import find_root
from denseseg.experiments.experiment import run_folder


def test_runs_go_into_the_repository_wherever_a_notebook_is_run_and_never_share_a_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "notebooks")
    profile = get_profile("smoke")
    cases = load_cases(profile)[:2]
    folders = {run_folder(cases, "denseseg", "default", profile, 0, detail) for detail in ("paper", "stratified")}
    folders.add(run_folder(cases[:1], "denseseg", "default", profile, 0, "paper"))
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {root / "runs"}
    assert run_folder(cases, "denseseg", "default", profile, 0, "paper") in folders


def test_outside_of_the_repository_there_is_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="inside a clone"):
        find_root(tmp_path)
