"""What cannot be written so that it can be read again, and what must not be replaced."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from attacks.common import CASES, FIRST, Attack, cases, holding, nothing
from helpers import full_disk

from denseseg.anatomy import CHEST
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import write_cases
from denseseg.errors import DataError

sys.path.append(str(Path(__file__).parents[2] / "data_scripts"))
import make_phantom  # type: ignore[import-not-found]


def with_metadata(key, value="x"):
    def ask(folder: Path) -> Path:
        changed = cases()
        changed[1].metadata[key] = value
        return write_cases(folder / "data", changed)

    return ask


def with_info(**info):
    return lambda folder: write_cases(folder / "data", cases(), info=info)


def named(name):
    return lambda folder: write_cases(folder / "data", CaseSet(name, CHEST, list(CASES)))


def without_masks(folder: Path) -> Path:
    changed = cases()
    changed[1].masks = None
    return write_cases(folder / "data", changed)


def foreign_masks(folder: Path) -> None:
    (folder / "data" / "masks" / f"{CASES[1].id}.npz").write_bytes(b"somebody's")


def in_the_way(name: str, kind: str):
    def spoil(folder: Path) -> None:
        path = folder / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if kind == "folder" else path.write_text("mine")

    return spoil


def to_new(folder: Path) -> Path:
    return write_cases(folder / "new", cases())


def on_a_full_disk(folder: Path) -> Path:
    with full_disk():
        return write_cases(folder / "data", cases())


def stopping(folder: Path) -> Path:
    def some():
        yield CASES[0]
        raise DataError("the second image is damaged; copy it again")

    return write_cases(folder / "data", some(), name="n", anatomy=CHEST)


# ---- the script that writes phantoms ----------------------------------------------------------------------------


def script(*arguments: str):
    """What `make_phantom` says when it refuses."""

    def ask(folder: Path) -> None:
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            status = make_phantom.main(["--size", "64", "--n", "2", *(text.format(folder) for text in arguments)])
        assert status == 1 and told.getvalue().startswith("error: ")
        raise DataError(told.getvalue().removeprefix("error: ").strip())

    return ask


def corrected(name: str):
    """The user corrects a file of the set."""

    def spoil(folder: Path) -> None:
        with (folder / "data" / name).open("ab") as file:
            file.write(b"\n")

    return spoil


def removed(*names: str):
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / "data" / name).unlink()

    return spoil


AGAIN = ("{}/data", "--overwrite")
OWN = r"was not written by this program, or corrected since, and would be replaced; choose another folder"

WRITING = {
    **{
        f"metadata {key!r}": Attack(nothing, with_metadata(key), r"case .*: its metadata .* cannot be .*; (give|write) it")
        for key in ("case", "spacing", "", " age", "age ", "a\nb", "a\x00b", "a\ud800", 7, None, ("a",))
    },
    **{
        f"a value {value!r}": Attack(nothing, with_metadata("note", value), r"case .*: its metadata 'note' cannot be .*; write it")
        for value in ("a\rb", "a\x00b", "a\x1bb", "a\ud800b", "a\u2028b", "a\x7fb")
    },
    **{
        f"info {info!r}": Attack(nothing, with_info(**info), r"dataset\.toml.*(; (give plain|correct|remove)| must be a valid)")
        for info in (
            {"anatomy": "hand"}, {"name": "other"}, {"structures": "none"}, {"note": None}, {"note": ["a"]}, {"note": {"a": 1}},
            {"note": "a\ud800"}, {"note": b"a"}, {"a\ud800": "b"},
        )
    },
    **{
        f"a set called {name!r}": Attack(nothing, named(name), r"dataset\.toml.*(; | String should have)")
        for name in ("a\nb", "a\x00b", " a", "a\r", "\ud800", "a\u2029b", "   ")
    },
    "masks of somebody else": Attack(foreign_masks, without_masks, r"masks/.*npz would be taken for the masks .*; move it away"),
    "a full disk": Attack(nothing, on_a_full_disk, r"data cannot be written .*; free space or choose another folder"),
    "a generator that stops": Attack(nothing, stopping, r"the second image is damaged; copy it again"),
    "a file for a folder": Attack(holding("new", b""), to_new, r"new cannot be written: it is a file; move it away, or name"),
    **{
        f"{kind} called {name}": Attack(in_the_way(name, kind), to_new, rf"{name}.* is in the way; move it away")
        for name, kind in (
            ("cases.csv", "folder"), ("dataset.toml", "folder"), ("checksums.txt", "folder"), ("images", "file"),
            (f"images/{FIRST}.png", "folder"), ("masks", "file"), (f"masks/{FIRST}.npz", "folder"),
        )
    },
}  # fmt: skip
PHANTOMS = {
    "a folder in use": Attack(nothing, script("{}/data"), r"data is not empty; name another folder, or add --overwrite"),
    "a file": Attack(nothing, script("{}/weights.safetensors"), r"weights.safetensors is a file; name a folder"),
    "a corrected table": Attack(corrected("landmarks.csv"), script(*AGAIN), rf"landmarks\.csv {OWN}"),
    "corrected cases": Attack(corrected("cases.csv"), script(*AGAIN), rf"cases\.csv {OWN}"),
    "a corrected description": Attack(corrected("dataset.toml"), script(*AGAIN), rf"dataset\.toml {OWN}"),
    "a corrected image": Attack(corrected(f"images/{FIRST}.png"), script(*AGAIN), rf"images/.*png {OWN}"),
    "corrected masks": Attack(corrected(f"masks/{FIRST}.npz"), script(*AGAIN), rf"masks/.*npz {OWN}"),
    "masks that were added": Attack(foreign_masks, script(*AGAIN), rf"masks/.*npz {OWN}"),
    "an image that was added": Attack(holding("data/images/mine.png", b"mine"), script(*AGAIN), rf"images/mine\.png {OWN}"),
    "a set that somebody else wrote": Attack(removed("checksums.txt"), script(*AGAIN), rf"dataset\.toml \(and 7 more\) {OWN}"),
    "a mark for other files": Attack(holding("data/checksums.txt", "0" * 64 + "  cases.csv\n"), script(*AGAIN), OWN),
    "a mark that is none": Attack(holding("data/checksums.txt", b"\xff\x00"), script(*AGAIN), OWN),
    "images alone": Attack(removed("checksums.txt", "dataset.toml", "cases.csv", "landmarks.csv"), script(*AGAIN), OWN),
    "something else in it": Attack(
        holding("data/thesis.txt", "mine"), script(*AGAIN), r"data holds something else .*\(thesis\.txt\); empty"
    ),
    "a folder of results": Attack(
        nothing, script("{}/results", "--overwrite"), r"results holds something else than a data set .*; empty"
    ),
    "a size that is refused": Attack(nothing, script(*AGAIN, "--size", "8"), r"size"),
    "another size that is refused": Attack(nothing, script(*AGAIN, "--size", "0x64"), r"size"),
    "a key within": Attack(
        nothing, script("{}/new", "--key", "{}/new/key.csv"), r"key\.csv lies in .*; keep the key somewhere else"
    ),
    "a key in use": Attack(nothing, script("{}/new", "--key", "{}/data/cases.csv"), r"cases\.csv exists; name another file"),
    "a key that is none": Attack(
        nothing, script("{}/new", "--key", "{}/data/cases.csv", "--overwrite"), r"cases\.csv is no key of phantoms.*; name another"
    ),
    "a key that is a folder": Attack(
        nothing, script("{}/new", "--key", "{}/results", "--overwrite"), r"results is no key of phantoms.*; name another"
    ),
    "an old key and a folder that cannot be written": Attack(
        holding("key.csv", "case,drawn_as,seed\n"), script("{}/weights.safetensors/a", "--key", "{}/key.csv", "--overwrite"), r"; "
    ),
}
