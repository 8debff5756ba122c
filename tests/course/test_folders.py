"""Where the book keeps its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from denseseg.course.folders import find_root


def test_the_repository_is_found_from_any_folder_in_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "notebooks")
    assert find_root() == root.resolve()


def test_outside_of_the_repository_there_is_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="inside a clone"):
        find_root(tmp_path)
