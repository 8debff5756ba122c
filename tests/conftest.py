"""What several test files share: the repository, one smoke run of all notebooks, an empty book."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from denseseg.course.notebooks import Status, run_notebooks

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "test"  # the tests' own: the book that `make book` built stays as it is


@contextmanager
def in_turn(what: str = "book") -> Iterator[None]:
    """Inside, no other process of these tests makes the same thing in BUILD: what the first has made, the next finds."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / f".{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def smoke_run() -> dict[str, Status]:
    """Every notebook of the book, run once in the smoke profile: name -> how it ended."""
    with in_turn():
        return {status.notebook: status for status in run_notebooks("smoke", root=ROOT, build=BUILD)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty book."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    return tmp_path
