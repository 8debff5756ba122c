"""Checks, the notebook runner, the learner edition and the stage, on small notebooks made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
import yaml
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from denseseg.course import CheckFailed, check, check_close, get_profile, load_cases, notebooks, staging, vendor
from denseseg.course.folders import find_root
from denseseg.course.learner import BLANK, learner_edition, write_learner_edition
from denseseg.course.notebooks import NotebookError, Status, read_status, run_notebooks
from denseseg.experiments.experiment import run_folder

Captured = pytest.CaptureFixture[str]
PARAMETERS = 'profile = "course"\nanswer = 42'


def write(root: Path, name: str, *sources: str, needs: tuple[str, ...] = ()) -> Path:
    """A notebook of a `parameters` cell and some code cells."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
    book = new_notebook(cells=cells, metadata={"denseseg": {"needs": list(needs)}})
    path = root / "notebooks" / f"{name}.ipynb"
    nbformat.write(book, path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty book."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").touch()
    return tmp_path


# ---- checks ---------------------------------------------------------------------------------------------------------


def test_a_check_that_holds_says_so(capsys: Captured) -> None:
    check(torch.tensor([True, True]), "all inside")
    check_close(torch.ones(2, requires_grad=True), [1.0, 1.0 + 1e-9], 1e-6, "close")
    assert capsys.readouterr().out.splitlines()[0] == "✓ all inside"


@pytest.mark.parametrize("condition", [False, np.array([True, False]), torch.tensor([False]), []])
def test_a_check_that_does_not_hold_raises_with_its_hint(condition: Any) -> None:
    with pytest.raises(CheckFailed, match="inside\n  hint: look at the edge"):
        check(condition, "inside", "look at the edge")


@pytest.mark.parametrize(
    ("actual", "expected", "reason"),
    [
        (1.0, 1.2, "largest difference 0.2"),
        ([1.0, 2.0], [1.0], "shapes differ"),
        ([np.nan, 1.0], [0.0, 1.0], "on one side only"),
        ([np.inf, 1.0], [-np.inf, 1.0], "on one side only"),
        ([np.nan], [np.nan], "no finite number"),
        ([], [], "no finite number"),
    ],
)
def test_check_close_says_why(actual: Any, expected: Any, reason: str) -> None:
    with pytest.raises(CheckFailed, match=reason):
        check_close(actual, expected, 0.1, "equal")


def test_missing_landmarks_are_equal_where_both_are_missing() -> None:
    check_close([[np.nan, np.nan], [1.0, 2.0]], [[np.nan, np.nan], [1.0, 2.0]], 0, "equal")


def test_a_failed_check_is_shown_without_a_traceback() -> None:
    assert CheckFailed("inside", "look")._render_traceback_() == ["✗ inside", "  hint: look"]


# ---- folders --------------------------------------------------------------------------------------------------------


def test_runs_go_into_the_repository_wherever_a_notebook_is_run_and_never_share_a_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "notebooks")
    profile = get_profile("smoke")
    cases = load_cases(profile)[:2]
    folders = {run_folder(cases, "denseseg", "default", profile, 0, detail) for detail in ("paper", "stratified")}
    folders.add(run_folder(cases[:1], "denseseg", "default", profile, 0, "paper"))
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {root / "runs"}
    assert run_folder(cases, "denseseg", "default", profile, 0, "paper") in folders


def test_outside_of_the_repository_there_is_no_root(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="inside a clone"):
        find_root(tmp_path)


# ---- the runner: what it refuses ------------------------------------------------------------------------------------


def test_it_refuses_what_it_cannot_run(root: Path) -> None:
    write(root, "01_a", "")
    with pytest.raises(NotebookError, match="no profile 'smok'; there are: smoke, course"):
        run_notebooks("smok", root=root)
    with pytest.raises(NotebookError, match="no notebook '02'; there are: 01_a"):
        run_notebooks("smoke", ["02"], root=root)
    with pytest.raises(NotebookError, match="01_a has no parameter 'answr'; it has: profile, answer"):
        run_notebooks("smoke", parameters={"answr": 1}, root=root)
    assert not (root / "build").exists()


def test_it_refuses_needs_that_cannot_be_met(root: Path) -> None:
    write(root, "01_a", "", needs=("03_c",))
    with pytest.raises(NotebookError, match="01_a needs '03_c', which is none of: 01_a"):
        run_notebooks("smoke", root=root)
    write(root, "03_c", "", needs=("01_a",))
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
    books = {name: notebooks.read_notebook(write(root, name, "")) for name in ("01_a", "02_b", "03_c")}
    assert notebooks.select(books, []) == ["01_a", "02_b", "03_c"]
    assert notebooks.select(books, ["03", "notebooks/01_a.ipynb"]) == ["01_a", "03_c"]


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("1e-4", 1e-4), ("True", True), ("None", None), ("data/jsrt", "data/jsrt")])
def test_parameter_values_are_read_as_python(text: str, value: Any) -> None:
    assert notebooks.parse_value(text) == value


# ---- the runner: what it does ---------------------------------------------------------------------------------------


def test_a_run_orders_keeps_and_reports(root: Path, capsys: Captured) -> None:
    write(root, "01_later", 'assert open("made.txt").read() == "42"', needs=("02_first",))
    write(root, "02_first", 'open("made.txt", "w").write(str(answer)); assert profile == "smoke"')
    write(root, "03_broken", "x = 1", "1 / 0")
    write(root, "04_after_broken", "", needs=("03_broken",))
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
    write(root, "03_broken", "x = 1", "y = 2")  # mended: this one and the one that waits for it are run, and no other
    again = run_notebooks("smoke", root=root)
    out = capsys.readouterr().out
    assert all(status.status == "passed" for status in again)
    assert [line.split()[1] for line in out.splitlines() if line.split()[0] == "kept"] == ["02_first", "01_later"]


def test_fingerprints_follow_source_package_parameters_and_needs(root: Path) -> None:
    write(root, "01_a", "x = 1")
    write(root, "02_b", "", needs=("01_a",))

    def prints(**parameters: Any) -> dict[str, str]:
        books = notebooks.find_notebooks(root)
        return notebooks.fingerprints(books, dict.fromkeys(books, parameters), root)

    before = prints(profile="smoke")
    assert prints(profile="smoke") == before
    assert all(prints(profile="course")[name] != before[name] for name in before)
    write(root, "01_a", "x = 2")
    assert all(prints(profile="smoke")[name] != before[name] for name in before)
    write(root, "01_a", "x = 1")
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


# ---- the learner edition --------------------------------------------------------------------------------------------


def exercise() -> nbformat.NotebookNode:
    return new_notebook(
        cells=[
            new_code_cell("from denseseg.course.checks import check"),
            new_markdown_cell(":::{exercise}\n:label: ex-00-double\nWrite `double`.\n:::"),
            new_code_cell("def double(x):\n    return 2 * x", metadata={"tags": ["solution"]}),
            new_code_cell('check(double(2) == 4, "doubles")', metadata={"tags": ["solution-check"]}),
            new_markdown_cell(":::{solution} ex-00-double\n:::", metadata={"tags": ["solution"]}),
        ]
    )


def test_the_learner_edition_has_blanks_and_no_solutions() -> None:
    edition = learner_edition(exercise())
    assert [cell.source for cell in edition.cells][2] == BLANK
    assert len(edition.cells) == 4
    assert "return 2 * x" not in nbformat.writes(edition)


def test_solutions_pass_and_blanks_fail() -> None:
    solved, blank = exercise(), learner_edition(exercise())
    NotebookClient(solved, kernel_name="python3").execute()
    NotebookClient(blank, kernel_name="python3", allow_errors=True).execute()
    errors = [
        [output.ename for output in cell.outputs if output.output_type == "error"] for cell in blank.cells if "outputs" in cell
    ]
    assert errors == [[], ["NotImplementedError"], ["NameError"]]


def test_the_learner_edition_is_written_for_every_notebook(root: Path) -> None:
    write(root, "01_a", "")
    assert [path.name for path in write_learner_edition(root)] == ["01_a.ipynb"]
    assert (root / "build" / "learner" / "01_a.ipynb").is_file()


# ---- the stage ------------------------------------------------------------------------------------------------------


def executed_notebook() -> nbformat.NotebookNode:
    picture = new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
    return new_notebook(
        cells=[
            new_markdown_cell("# Title"),
            new_code_cell('profile = "smoke"', metadata={"tags": ["injected-parameters"]}),
            new_code_cell("draw()", outputs=[picture]),
            new_markdown_cell("**Figure.** A lung, $x$ in mm.\n\nMore text."),
            new_code_cell("solve()", metadata={"tags": ["solution"]}),
        ]
    )


def test_a_page_says_its_profile_and_hides_what_is_to_be_hidden() -> None:
    page = staging.dressed(executed_notebook(), "smoke")
    assert "numbers mean nothing" in page.cells[1].source
    assert "remove-cell" in page.cells[2].metadata.tags
    assert page.cells[3].metadata["mystnb"]["image"]["alt"] == "Figure. A lung, x in mm."
    assert "hide-cell" in page.cells[5].metadata.tags
    nbformat.validate(page)


def test_results_of_a_full_run_carry_no_banner() -> None:
    assert staging.dressed(executed_notebook(), "full").cells[1].cell_type == "code"


@pytest.fixture
def small_book(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of one page and two notebooks, of which the first one has been run; without vendored JavaScript."""
    (root / "book").mkdir()
    (root / "book" / "introduction.md").write_text("# Hello\n")
    (root / "book" / "status.md").write_text("# Status\n\n<!-- status -->\n")
    chapters = [{"file": "notebooks/01_a"}, {"file": "notebooks/02_b"}, {"file": "book/status"}]
    toc = {"format": "jb-book", "root": "book/introduction", "parts": [{"caption": "All", "chapters": chapters}]}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    (root / "_config.yml").write_text(yaml.safe_dump({"title": "Small", "sphinx": {"config": {}}}))
    executed = root / "build" / "executed" / "smoke"
    executed.mkdir(parents=True)
    nbformat.write(executed_notebook(), executed / "01_a.ipynb")
    (executed / "01_a.json").write_text(json.dumps(vars(Status("01_a", "smoke", "f", "passed", 3.2))))
    monkeypatch.setattr(staging, "vendor", lambda cache, static: {})
    return root


def test_staging_names_what_has_not_been_run(small_book: Path) -> None:
    with pytest.raises(staging.StagingError, match=r"notebooks/02_b; .*--profile smoke"):
        staging.stage(small_book, "smoke")


def test_a_partial_stage_leaves_it_out(small_book: Path) -> None:
    target = staging.stage(small_book, "smoke", partial=True)
    toc = yaml.safe_load((target / "_toc.yml").read_text())
    assert staging.toc_files(toc) == ["book/introduction", "notebooks/01_a", "book/status"]
    status = (target / "book" / "status.md").read_text()
    assert "| {doc}`/notebooks/01_a` | smoke | 3 | passed |" in status
    assert "| 02_b | smoke | 0 | not run |" in status


def test_a_page_without_a_place_for_its_table_is_an_error(small_book: Path) -> None:
    (small_book / "book" / "status.md").write_text("# Status\n")
    with pytest.raises(staging.StagingError, match=r"status\.md has no line '<!-- status -->'"):
        staging.stage(small_book, "smoke", partial=True)


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


def test_a_status_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_status(tmp_path, "01_a") is None
    (tmp_path / "01_a.json").write_text('{"notebook"')
    assert read_status(tmp_path, "01_a") is None
