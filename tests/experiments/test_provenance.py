"""Where a number was made, inside and outside a clone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from denseseg.experiments import provenance


def test_commit_is_this_packages_or_unknown(monkeypatch, tmp_path):
    """A copy of the package inside a foreign repository must not record that repository's commit."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    foreign = tmp_path / "record.py"
    foreign.touch()
    monkeypatch.setattr(provenance, "__file__", str(foreign))
    assert provenance.current_commit() == "unknown"
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "add", "record.py"], cwd=tmp_path, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "first"], cwd=tmp_path, check=True)
    commit = provenance.current_commit()
    assert len(commit) == 40
    foreign.write_text("changed")
    assert provenance.current_commit() == commit + "+changes"


def test_outside_a_clone_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.current_commit() == "unknown"


def test_without_git_or_processor_names(monkeypatch):
    def nothing(*_, **__):
        raise OSError

    monkeypatch.setattr(provenance.subprocess, "run", nothing)
    assert provenance.current_commit() == "unknown"
    monkeypatch.setattr(Path, "read_text", nothing)
    assert provenance.describe_device("cpu").split(",")[0]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets")
def test_the_memory_of_an_earlier_run_is_not_that_of_this_one():
    provenance.forget_peak_memory()
    before = provenance.peak_memory()
    held = np.ones(100 * 2**17)  # 100 MiB
    held.sum()
    assert provenance.peak_memory() > before + 90
    del held
    provenance.forget_peak_memory()
    assert provenance.peak_memory() < before + 50
