"""Files that must not lose data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import full_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from denseseg.errors import DataError
from denseseg.files import (
    MARK,
    atomic_file,
    atomic_folder,
    changed,
    read_csv,
    read_json,
    read_tensors,
    settle,
    sha256,
    write_json,
    write_tensors,
)  # fmt: skip


def test_staged_moves_files_only_when_the_block_ends_well(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "sub" / "a.txt").read_text() == "old"
    with atomic_folder(tmp_path) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.txt").write_text("new")
    assert (tmp_path / "sub" / "a.txt").read_text() == "new"
    assert not (tmp_path / ".unfinished").exists()


def write(folder: Path, files: dict[str, str]) -> None:
    with atomic_folder(folder) as staging:
        for name, text in files.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_text(text)


def held(folder: Path) -> dict[str, str]:
    """What whoever reads the folder finds in it, but for our mark."""
    settle(folder)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in found.items() if name != MARK and not name.startswith(".")}


OLD = {"a": "old", "b": "old", "sub/c": "old", "sub/d": "old"}
NEW = {"a": "new", "e": "new", "sub/c": "new", "sub/f": "new"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
def test_a_kill_at_any_step_leaves_the_old_files_or_the_new_ones(tmp_path):
    """A child process kills itself with signal 9 at its first, second, ... step that touches a file, and so on to the last."""
    ends = []
    for step in range(200):
        folder = tmp_path / str(step)
        write(folder, OLD)
        (folder / "mine").write_text("mine")
        if (child := os.fork()) == 0:
            left = iter(range(step, -1, -1))

            def count(event: str, _: object, left=left) -> None:
                if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir") and next(left) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            write(folder, NEW)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found = held(folder)
        assert found.pop("mine") == "mine"
        assert found in (OLD, NEW), step
        write(folder, OLD)  # and it can be written again
        assert held(folder) == OLD | {"mine": "mine"} and not (folder / ".unfinished").exists()
        ends.append(found == NEW)
        if status == 0:
            break
    assert status == 0 and ends == sorted(ends) and set(ends) == {False, True} and len(ends) > 20


def test_files_of_ours_go_with_the_set_they_belong_to_unless_somebody_changed_them(tmp_path):
    write(tmp_path, OLD)
    (tmp_path / "b").write_text("corrected")
    (tmp_path / "sub" / "mine").write_text("mine")
    assert changed(tmp_path, ["*", "sub/*"]) == ["b", MARK, "sub/mine"]
    write(tmp_path, NEW)
    assert held(tmp_path) == NEW | {"b": "corrected", "sub/mine": "mine"}


def test_a_mark_that_somebody_made_reaches_nothing_outside_the_folder(tmp_path):
    (tmp_path / "outside").write_text("mine")
    write(tmp_path / "in", OLD)
    mark = tmp_path / "in" / MARK
    mark.write_text(mark.read_text() + f"{sha256(tmp_path / 'outside')}  ../outside\n")
    write(tmp_path / "in", NEW)
    assert (tmp_path / "outside").read_text() == "mine" and held(tmp_path / "in") == NEW


def test_the_mark_is_what_sha256sum_writes(tmp_path):
    write(tmp_path, OLD)
    done = subprocess.run(["sha256sum", "--check", "--quiet", MARK], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("blocked", ["sub", "a", "sub/c"])
def test_what_is_in_the_way_is_named_before_anything_is_written(tmp_path, blocked):
    path = tmp_path / blocked
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine") if blocked == "sub" else path.mkdir()
    with pytest.raises(DataError, match=f"{blocked} is in the way; move it away"):
        write(tmp_path, NEW)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == ([path] if blocked == "sub" else [])


# ---- reading --------------------------------------------------------------------------------------------------------


def test_a_table_is_read_as_it_stands(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffcase,n\nNA,007\n,1.10\n"a\nb",\n'.encode())
    table = read_csv(path)
    assert table.columns.tolist() == ["case", "n"]
    assert table.to_numpy().tolist() == [["NA", "007"], ["", "1.10"], ["a\nb", ""]]
    assert read_csv(path, ["case"])["case"].tolist() == ["NA", "", "a\nb"]


DIALECTS = {
    "semicolons and decimal commas": b"case;x\r\nNA;0,5\r\n007;-1\r\n",
    "tabs": b"case\tx\nNA\t0.5\n007\t-1\n",
    "bars": b"case|x\nNA|0.5\n007|-1\n",
    "a line for Excel": b"sep=;\r\ncase;x\r\nNA;0,5\r\n007;-1",
    "UTF-16": "case,x\nNA,0.5\n007,-1\n".encode("utf-16"),
    "UTF-16 of Excel": "case\tx\r\nNA\t0,5\r\n007\t-1\r\n".encode("utf-16"),
    "a mark of UTF-8": "\ufeffcase,x\nNA,0.5\n007,-1\n".encode(),
    "lines of old Macs": b"case,x\rNA,0.5\r007,-1\r",
    "quotes": b'"case","x"\n"NA","0.5"\n"007","-1"\n',
    "blanks in the header": b" case , x\nNA,0.5\n007,-1\n",
    "empty lines": b"\n\ncase,x\nNA,0.5\n007,-1\n\n,\n\n",
    "commas at the ends": b"case,x,\nNA,0.5,\n007,-1,\n,,\n",
    "commas at the ends of rows": b"case,x\nNA,0.5,\n007,-1,\n",
}


@pytest.mark.parametrize("name", DIALECTS)
def test_tables_of_other_programs_are_understood(tmp_path, name):
    (tmp_path / "a.csv").write_bytes(DIALECTS[name])
    table = read_csv(tmp_path / "a.csv")
    assert table.columns.tolist() == ["case", "x"]
    assert table.to_numpy().tolist() == [["NA", "0.5"], ["007", "-1"]]
    large = read_csv(tmp_path / "a.csv", ["case"])
    assert large["case"].tolist() == ["NA", "007"] and pd.to_numeric(large["x"]).tolist() == [0.5, -1]


def test_the_index_says_which_line_a_row_is(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n\n,\n3,4\n")
    assert read_csv(tmp_path / "a.csv").index.tolist() == [0, 3]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_a_record_or_one_clear_error(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    for read in (read_csv, read_json, read_tensors):
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error) and "; " in str(error) and "\n" not in str(error).strip()


# ---- one file in one step -------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_takes_its_place_when_it_is_whole_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists() and temporary.parent == path.parent
    assert content(path.parent) == {"a.txt": b"first"}
    made = tmp_path / "made"
    made.touch()
    assert path.stat().st_mode == made.stat().st_mode


def test_what_others_may_not_read_they_may_not_read(tmp_path):
    before = os.umask(0o077)
    try:
        with atomic_file(tmp_path / "key.csv"):
            pass
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert (tmp_path / "key.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("bad")])
def test_an_error_leaves_the_older_file_whole_and_nothing_beside_it(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(type(error)), atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert content(tmp_path) == {"a.txt": b"old"}


WRITERS = {
    "json": lambda path: write_json(path, {"a": "x" * 5000}),
    "tensors": lambda path: write_tensors(path, {"a": torch.rand(50, 50)}, {"method": "a"}),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_told_in_one_line_and_leaves_the_older_file_whole(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("old")
    with full_disk(), pytest.raises(DataError, match=r"file could not be written \(.*\); free space or choose another folder"):
        write(path)
    assert content(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_place_that_cannot_be_written_to_is_told_in_one_line(tmp_path, write):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DataError, match=r"folder/file could not be written .*; free space or choose another folder"):
        write(tmp_path / "folder" / "file")


# ---- tensors --------------------------------------------------------------------------------------------------------

HEADER = {"method": "denseseg", "size": [64, 96], "anatomy": {"name": "ä"}, "recipe": {"weight": 0.1, "none": None}}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weights": torch.randn(3, 4, generator=generator),
        "transposed": torch.randn(3, 4, generator=generator).T,
        "double": torch.randn(2, generator=generator, dtype=torch.float64),
        "half": torch.randn(5, generator=generator).bfloat16(),
        "scalar": torch.tensor(0.5),
        "flags": torch.tensor([True, False]),
        "steps": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "infinite": torch.tensor([torch.inf]),
    }


def test_tensors_and_header_come_back_as_they_were(tmp_path):
    path = write_tensors(tmp_path / "new" / "a.safetensors", tensors(), HEADER)
    found, header = read_tensors(path)
    assert header == HEADER and found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    parameter = torch.nn.Parameter(torch.ones(2))
    assert torch.equal(read_tensors(write_tensors(path, {"p": parameter}, {}))[0]["p"], torch.ones(2))


def test_not_a_number_is_never_written(tmp_path):
    path = write_tensors(tmp_path / "a.safetensors", tensors(), HEADER)
    before = content(tmp_path)
    spoilt = tensors()
    spoilt["double"][1] = torch.nan
    with pytest.raises(DataError, match=r"a\.safetensors: the tensor double holds NaN, so nothing was written; train again"):
        write_tensors(path, spoilt, HEADER)
    for value in (float("nan"), torch.ones(1), {1, 2}):
        with pytest.raises(DataError, match=r"a\.safetensors: the header holds something that JSON has not"):
            write_tensors(path, tensors(), {"x": value})
    assert content(tmp_path) == before


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31))
def test_any_flipped_bit_of_the_file_is_noticed(tmp_path, seed):
    path = write_tensors(tmp_path / "a.safetensors", tensors(), HEADER | {"version": 2})
    raw = bytearray(path.read_bytes())
    raw[seed // 8 % len(raw)] ^= 1 << seed % 8
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.safetensors (is damaged|holds no tensors or is damaged|was written by another)"):
        read_tensors(path)


def test_every_truncation_is_noticed(tmp_path):
    whole = write_tensors(tmp_path / "a.safetensors", tensors(), HEADER).read_bytes()
    for length in (0, 4, 8, 50, len(whole) // 2, len(whole) - 1):
        (tmp_path / "b.safetensors").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"b\.safetensors holds no tensors or is damaged \(.*\); copy it again") as caught:
            read_tensors(tmp_path / "b.safetensors")
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_those_of_other_programs_are_told(tmp_path):
    with pytest.raises(DataError, match=r"a\.safetensors is missing; correct the path"):
        read_tensors(tmp_path / "a.safetensors")
    foreign = tmp_path / "b.safetensors"
    for metadata in (None, {"format": "pt"}, {"denseseg": "[1]"}, {"denseseg": "{}"}):
        save_file({"a": torch.ones(1)}, foreign, metadata=metadata)
        with pytest.raises(DataError, match=r"b\.safetensors was written by another program; give a file that denseseg wrote"):
            read_tensors(foreign)
    save_file({"a": torch.ones(1)}, foreign, metadata={"denseseg": "{not json"})
    with pytest.raises(DataError, match=r"b\.safetensors holds no tensors or is damaged"):
        read_tensors(foreign)


def test_not_a_number_is_never_read(tmp_path):
    """Of a file that another program made, or an older version without a check."""
    header = {"method": "mean_shape", "anatomy": "chest", "size": [96, 56], "recipe": {}}
    save_file({"template": torch.tensor([1.0, torch.nan])}, tmp_path / "a.safetensors", metadata={"denseseg": json.dumps(header)})
    with pytest.raises(DataError, match=r"a\.safetensors: the tensor template holds NaN; train again"):
        read_tensors(tmp_path / "a.safetensors")


def test_the_same_tensors_make_the_same_bytes(tmp_path):
    """Six files: the library's own order of two metadata differs from call to call."""
    paths = [write_tensors(tmp_path / f"{i}.safetensors", tensors(), HEADER) for i in range(6)]
    assert len({path.read_bytes() for path in paths}) == 1


def test_files_of_before_the_checksum_are_read(tmp_path):
    """As version 1 wrote them: method, anatomy, size and recipe, and no checksum."""
    header = {"method": "mean_shape", "anatomy": "wrist 25 %", "size": [96, 56], "recipe": {}}
    save_file({"state.template": torch.rand(4, 2)}, tmp_path / "old.safetensors", metadata={"denseseg": json.dumps(header)})
    found, read = read_tensors(tmp_path / "old.safetensors")
    assert read == header and found["state.template"].shape == (4, 2)
