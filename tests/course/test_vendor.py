"""The JavaScript that pages need."""

from __future__ import annotations

from pathlib import Path

import pytest

from denseseg.course import vendor

Captured = pytest.CaptureFixture[str]


def test_without_npm_the_book_is_built_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert vendor.vendor(tmp_path / "cache", tmp_path / "static") == {}
    assert "need a network" in capsys.readouterr().out
    assert not (tmp_path / "static").exists()


def test_vendored_packages_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "VENDORED", {"small": ("small@1.0.0", ("small.js",))})
    (tmp_path / "cache" / "small@1.0.0" / "package").mkdir(parents=True)
    (tmp_path / "cache" / "small@1.0.0" / "package" / "small.js").write_text("1")
    monkeypatch.setattr(vendor.subprocess, "run", lambda *_, **__: pytest.fail("fetched again"))
    settings = vendor.vendor(tmp_path / "cache", tmp_path / "static")
    assert (tmp_path / "static" / "small" / "small.js").read_text() == "1"
    assert (tmp_path / "static" / "anywidget.js").is_file()
    assert all(isinstance(value, str) for options in settings["nb_ipywidgets_js"].values() for value in options.values())
