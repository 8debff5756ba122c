"""The book that its tests look at, built once from the smoke run."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import BUILD, ROOT

from denseseg.course.notebooks import Status
from denseseg.course.staging import build


@pytest.fixture(scope="session")
def html(smoke_run: dict[str, Status]) -> Path:
    """The folder of the built pages."""
    return build(ROOT, "smoke", folder=BUILD).parent
