"""The runner: what it refuses, what it runs, what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers import write_notebook
from nbformat.v4 import new_code_cell, new_notebook

from denseseg.course import notebooks
from denseseg.course.notebooks import NotebookError, read_status, run_notebooks

Captured = pytest.CaptureFixture[str]

# ---- what it refuses --------------------------------------------------------------------------------------------------


def test_it_refuses_what_it_cannot_run(root: Path) -> None:
    write_notebook(root, "01_a", "")
    with pytest.raises(NotebookError, match="no profile 'smok'; there are: smoke, course"):
        run_notebooks("smok", root=root)
    with pytest.raises(NotebookError, match="no notebook '02'; there are: 01_a"):
        run_notebooks("smoke", ["02"], root=root)
    with pytest.raises(NotebookError, match="01_a has no parameter 'answr'; it has: profile, answer"):
        run_notebooks("smoke", parameters={"answr": 1}, root=root)
    assert not (root / "build").exists()


def test_it_refuses_needs_that_cannot_be_met(root: Path) -> None:
    write_notebook(root, "01_a", "", needs=("03_c",))
    with pytest.raises(NotebookError, match="01_a needs '03_c', which is none of: 01_a"):
        run_notebooks("smoke", root=root)
    write_notebook(root, "03_c", "", needs=("01_a",))
    with pytest.raises(NotebookError, match="in a circle"):
        run_notebooks("smoke", root=root)


def test_it_refuses_files_that_are_no_notebooks_of_the_book(root: Path) -> None:
    path = root / "notebooks" / "01_a.ipynb"
    path.write_text("no json")
    with pytest.raises(NotebookError, match="is not a notebook"):
        notebooks.find_notebooks(root)
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), path)
    with pytest.raises(NotebookError, match="no cell tagged `parameters`"):
        notebooks.find_notebooks(root)


def test_notebooks_are_chosen_by_number_name_or_file(root: Path) -> None:
    books = {name: notebooks.read_notebook(write_notebook(root, name, "")) for name in ("01_a", "02_b", "03_c")}
    assert notebooks.select(books, []) == ["01_a", "02_b", "03_c"]
    assert notebooks.select(books, ["03", "notebooks/01_a.ipynb"]) == ["01_a", "03_c"]


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("1e-4", 1e-4), ("True", True), ("None", None), ("data/jsrt", "data/jsrt")])
def test_parameter_values_are_read_as_python(text: str, value: Any) -> None:
    assert notebooks.parse_value(text) == value


def test_a_notebook_is_not_fresh_where_its_data_changed(root: Path) -> None:
    path = write_notebook(root, "01_a", "")
    (root / "notebooks" / "mine").mkdir()
    table = root / "notebooks" / "mine" / "dataset.toml"

    def fingerprint() -> str:
        return notebooks.fingerprints({"01_a": notebooks.read_notebook(path)}, {"01_a": {"data": "mine"}}, root)["01_a"]

    table.write_text("a")
    first = fingerprint()
    assert fingerprint() == first
    table.write_text("ab")
    assert fingerprint() != first


# ---- what it does -----------------------------------------------------------------------------------------------------


def test_a_run_orders_keeps_and_reports(root: Path, capsys: Captured) -> None:
    write_notebook(root, "01_later", 'assert open("made.txt").read() == "42"', needs=("02_first",))
    write_notebook(root, "02_first", 'open("made.txt", "w").write(str(answer)); assert profile == "smoke"')
    write_notebook(root, "03_broken", "x = 1", "1 / 0")
    write_notebook(root, "04_after_broken", "", needs=("03_broken",))
    ended = {status.notebook: status for status in run_notebooks("smoke", root=root)}
    assert {name: status.status for name, status in ended.items()} == {
        "01_later": "passed",
        "02_first": "passed",
        "03_broken": "failed",
        "04_after_broken": "not run",
    }
    assert ended["03_broken"].error.startswith("In [4]")
    assert ended["03_broken"].error.endswith("ZeroDivisionError: division by zero")

    capsys.readouterr()
    write_notebook(root, "03_broken", "x = 1", "y = 2")  # mended: this one and the one that waits for it are run, and no other
    again = run_notebooks("smoke", root=root)
    out = capsys.readouterr().out
    assert all(status.status == "passed" for status in again)
    assert [line.split()[1] for line in out.splitlines() if line.split()[0] == "kept"] == ["02_first", "01_later"]


def test_executed_copies_go_where_they_are_wanted(root: Path, tmp_path: Path) -> None:
    write_notebook(root, "01_a", "")
    run_notebooks("smoke", root=root, build=tmp_path / "other")
    assert (tmp_path / "other" / "executed" / "smoke" / "01_a.ipynb").is_file()
    assert not (root / "build").exists()


def test_fingerprints_follow_source_package_parameters_and_needs(root: Path) -> None:
    write_notebook(root, "01_a", "x = 1")
    write_notebook(root, "02_b", "", needs=("01_a",))

    def prints(**parameters: Any) -> dict[str, str]:
        books = notebooks.find_notebooks(root)
        return notebooks.fingerprints(books, dict.fromkeys(books, parameters), root)

    before = prints(profile="smoke")
    assert prints(profile="smoke") == before
    assert all(prints(profile="course")[name] != before[name] for name in before)
    write_notebook(root, "01_a", "x = 2")
    assert all(prints(profile="smoke")[name] != before[name] for name in before)
    write_notebook(root, "01_a", "x = 1")
    (root / "src" / "denseseg").mkdir(parents=True)
    (root / "src" / "denseseg" / "new.py").touch()
    assert all(prints(profile="smoke")[name] != before[name] for name in before)


def test_the_command_line_says_what_is_wrong(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(root)
    assert notebooks.main(["--profile", "smok"]) == 2
    assert "no profile 'smok'" in capsys.readouterr().err


def test_the_end_of_a_traceback_has_no_colours() -> None:
    assert notebooks.last_lines(["\x1b[0;31mZeroDivisionError\x1b[0m: m", "x"], 1) == "x"
    assert notebooks.last_lines(["\x1b[0;31mZeroDivisionError\x1b[0m: m"]) == "ZeroDivisionError: m"


def test_a_status_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_status(tmp_path, "01_a") is None
    (tmp_path / "01_a.json").write_text('{"notebook"')
    assert read_status(tmp_path, "01_a") is None


def test_a_status_tells_seed_memory_device_and_versions(root: Path) -> None:
    """One notebook holds 1 GiB, the next one little: each is measured alone."""
    path = write_notebook(root, "01_large", "held = bytes(range(256)) * 2**22")
    path.write_text(path.read_text().replace("answer = 42", "seed = 4"))
    write_notebook(root, "02_small", "")
    large, small = run_notebooks("smoke", jobs=1, root=root)
    assert (large.seed, small.seed) == (4, None)
    assert large.versions["python"] and large.device
    assert large.memory_mib is not None and small.memory_mib is not None
    assert large.memory_mib > small.memory_mib + 400
