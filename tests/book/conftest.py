"""The book that its tests look at, built once from the smoke run."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import BUILD, ROOT, in_turn

from denseseg.course.notebooks import Status
from denseseg.course.staging import build


@pytest.fixture(scope="session")
def html(smoke_run: dict[str, Status], testrun_uid: str) -> Path:
    """The folder of the built pages."""
    built = BUILD / "built"  # holds where the pages lie and which run of the tests has built them
    with in_turn():
        if not built.is_file() or testrun_uid not in built.read_text():
            pages = build(ROOT, "smoke", folder=BUILD).parent
            built.write_text(f"{testrun_uid}\n{pages}")
    return Path(built.read_text().splitlines()[1])
