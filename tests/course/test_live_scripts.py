"""Script files that bring ONNX Runtime Web and networks into a page."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path

import pytest

from denseseg.course import live_scripts
from denseseg.course.live_scripts import stored, write_scripts
from denseseg.errors import DataError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that was fetched, with files of a few bytes."""
    contents = {"dist/loader.mjs": b"loader", "dist/one.wasm": b"wasm"}
    hashes = {name: live_scripts.hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(live_scripts, "FILES", hashes)
    for name, content in contents.items():
        path = tmp_path / "cache" / live_scripts.PACKAGE / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "cache"


def brought(path: Path) -> dict[str, bytes]:
    """What a script stores, by name."""
    lines = re.findall(r'\["(\w+)"\] = "([^"]*)";', path.read_text("ascii"))
    return {name: gzip.decompress(base64.b64decode(packed)) for name, packed in lines}


def test_scripts_hold_the_runtime_and_the_networks_and_their_sizes(cache: Path, tmp_path: Path) -> None:
    folder = write_scripts(cache, tmp_path / "live", {"chest": b"a network", "wrist": b"another"})
    runtime = brought(folder / "runtime.js")
    assert (runtime["loader"], runtime["wasm"]) == (b"loader", b"wasm") and b"onmessage" in runtime["worker"]
    assert brought(folder / "chest.js") == {"chest": b"a network"} and brought(folder / "wrist.js") == {"wrist": b"another"}
    sizes = json.loads(re.search(r"\.sizes = (.*);", (folder / "sizes.js").read_text("ascii"))[1])
    assert sizes == {name: (folder / f"{name}.js").stat().st_size for name in ("runtime", "chest", "wrist")}


def test_what_was_there_before_goes(cache: Path, tmp_path: Path) -> None:
    write_scripts(cache, tmp_path / "live", {"chest": b"a network"})
    write_scripts(cache, tmp_path / "live", {})
    assert sorted(path.name for path in (tmp_path / "live").iterdir()) == ["runtime.js", "sizes.js"]


def test_a_file_that_is_not_what_was_published_is_refused(cache: Path, tmp_path: Path) -> None:
    (cache / live_scripts.PACKAGE / "package" / "dist" / "one.wasm").write_bytes(b"other")
    with pytest.raises(DataError, match=r"one\.wasm is not what was published; remove"):
        write_scripts(cache, tmp_path / "live", {})
    assert not (tmp_path / "live").exists()


def test_the_same_bytes_make_the_same_script() -> None:
    assert stored("chest", b"network") == stored("chest", b"network")


def test_the_book_holds_the_networks_of_the_package(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_scripts, "to_onnx", lambda method: method.encode())
    monkeypatch.setattr(live_scripts, "NETWORKS", {"chest": lambda: "of chests", "wrist": lambda: "of wrists"})
    live_scripts.put_networks(cache, tmp_path / "static")
    assert brought(tmp_path / "static" / "live" / "wrist.js") == {"wrist": b"of wrists"}


def test_a_book_without_networks_fetches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_scripts, "NETWORKS", {})
    monkeypatch.setattr(live_scripts, "fetch", lambda *_: pytest.fail("fetched"))
    live_scripts.put_networks(tmp_path / "cache", tmp_path / "static")
    assert not (tmp_path / "static").exists()


def test_without_npm_the_book_is_built_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(live_scripts, "to_onnx", lambda method: b"")
    monkeypatch.setattr(live_scripts, "NETWORKS", {"chest": lambda: None})
    live_scripts.put_networks(tmp_path / "cache", tmp_path / "static")
    assert "cannot run a network" in capsys.readouterr().out and not (tmp_path / "static").exists()
