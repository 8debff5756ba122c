"""What several test files share: the repository, one smoke run of all notebooks, an empty book."""

from __future__ import annotations

from pathlib import Path

import pytest

from denseseg.course.notebooks import Status, run_notebooks

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "test"  # the tests' own: the book that `make book` built stays as it is


@pytest.fixture(scope="session")
def smoke_run() -> dict[str, Status]:
    """Every notebook of the book, run once in the smoke profile: name -> how it ended."""
    return {status.notebook: status for status in run_notebooks("smoke", root=ROOT, build=BUILD)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty book."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    return tmp_path
