"""The stage: what Jupyter Book is given."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from denseseg.course import staging
from denseseg.course.learner import BLANK
from denseseg.course.notebooks import Status


def executed_notebook() -> nbformat.NotebookNode:
    picture = new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
    return new_notebook(
        cells=[
            new_markdown_cell("# Title"),
            new_code_cell('profile = "smoke"', metadata={"tags": ["injected-parameters"]}),
            new_code_cell("draw()", outputs=[picture]),
            new_markdown_cell("**Figure.** A lung, $x$ in mm.\n\nMore text."),
            new_code_cell("solve()", metadata={"tags": ["solution"]}),
            new_code_cell("check(solve())", outputs=[new_output("stream", text="7 %")], metadata={"tags": ["solution-check"]}),
            new_markdown_cell("**Key points**\n\n- Seven.", metadata={"tags": ["key-points"]}),
        ]
    )


def test_a_page_says_its_profile_and_hides_what_is_to_be_hidden() -> None:
    page = staging.dressed(executed_notebook(), "smoke")
    assert "numbers mean nothing" in page.cells[1].source
    assert "remove-cell" in page.cells[2].metadata.tags
    assert page.cells[3].metadata["mystnb"]["image"]["alt"] == "Figure. A lung, x in mm."
    assert "hide-cell" in page.cells[5].metadata.tags
    nbformat.validate(page)


def test_results_that_an_exercise_asks_for_are_folded() -> None:
    *_, check, points = staging.dressed(executed_notebook(), "smoke").cells
    assert "hide-cell" in check.metadata.tags and check.outputs  # tag for source and outputs
    assert points.source.startswith(":::{admonition} Key points") and ":class: dropdown" in points.source
    assert "- [ ] Seven." in points.source


def test_what_a_page_gives_to_download_has_no_solution(small_book: Path) -> None:
    nbformat.write(executed_notebook(), small_book / "notebooks" / "01_a.ipynb")
    given = small_book / "html" / "_sources" / "notebooks" / "01_a.ipynb"
    given.parent.mkdir(parents=True)
    nbformat.write(executed_notebook(), given)
    staging.give_learner_files(small_book, small_book / "html")
    sources = [cell.source for cell in nbformat.read(given, as_version=4).cells]
    assert BLANK in sources and "solve()" not in sources


def test_results_of_a_full_run_carry_no_banner() -> None:
    assert staging.dressed(executed_notebook(), "full").cells[1].source == "*About 5 minutes to read, and 0 exercises.*"


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
    source = executed_notebook()
    del source.cells[1]  # the injected parameters
    nbformat.write(source, root / "notebooks" / "01_a.ipynb")
    (executed / "01_a.json").write_text(json.dumps(vars(Status("01_a", "smoke", "f", "passed", 3.2))))
    monkeypatch.setattr(staging, "vendor", lambda cache, static: {})
    monkeypatch.setattr(staging, "put_networks", lambda cache, static: None)
    return root


def test_staging_names_what_has_not_been_run(small_book: Path) -> None:
    with pytest.raises(staging.StagingError, match=r"notebooks/02_b; .*--profile smoke"):
        staging.stage(small_book, "smoke")


def test_a_partial_stage_leaves_it_out(small_book: Path) -> None:
    target = staging.stage(small_book, "smoke", partial=True)
    toc = yaml.safe_load((target / "_toc.yml").read_text())
    assert staging.toc_files(toc) == ["book/introduction", "notebooks/01_a", "book/status"]
    status = (target / "book" / "status.md").read_text()
    assert "| {doc}`/notebooks/01_a` | smoke | 3 | – | – | – | passed |" in status
    assert "| 02_b | smoke | 0 | – | – | – | not run |" in status


@pytest.mark.parametrize("damaged", [False, True])
def test_a_copy_of_another_source_or_a_damaged_one_is_not_staged(small_book: Path, damaged: bool) -> None:
    path = small_book / ("build/executed/smoke" if damaged else "notebooks") / "01_a.ipynb"
    path.write_text(path.read_text()[:100] if damaged else path.read_text().replace("solve()", "guess()"))
    with pytest.raises(staging.StagingError, match=r"since it was changed: notebooks/01_a, notebooks/02_b; "):
        staging.stage(small_book, "smoke")


def test_the_status_page_names_machine_versions_seed_and_memory() -> None:
    on = {"seed": 3, "memory_mib": 612.4, "versions": {"python": "3.12", "torch": "2.13"}}
    passed = [Status(name, "course", "f", "passed", 9.6, device=device, **on) for name, device in zip("abc", "XYX", strict=True)]
    table = staging.status_table(passed)
    assert "| {doc}`/notebooks/a` | course | 10 | 612 | 3 | A | passed |" in table
    assert "/notebooks/b` | course | 10 | 612 | 3 | B |" in table and "/notebooks/c` | course | 10 | 612 | 3 | A |" in table
    assert table.endswith("- **A**: X; python 3.12, torch 2.13\n- **B**: Y; python 3.12, torch 2.13")


def test_a_page_without_a_place_for_its_table_is_an_error(small_book: Path) -> None:
    (small_book / "book" / "status.md").write_text("# Status\n")
    with pytest.raises(staging.StagingError, match=r"status\.md has no line '<!-- status -->'"):
        staging.stage(small_book, "smoke", partial=True)


def test_the_folder_that_the_runner_was_given_is_where_a_book_is_made_of_its_copies(small_book: Path, monkeypatch, capsys) -> None:
    """As from a repository for reading only."""
    elsewhere, fetched, commands = small_book / "else where", [], []
    (small_book / "build").rename(elsewhere)
    monkeypatch.chdir(small_book)
    monkeypatch.setattr(staging, "vendor", lambda cache, static: fetched.append(cache) or {})
    monkeypatch.setattr(
        staging.subprocess, "run", lambda command: commands.append(command) or staging.subprocess.CompletedProcess([], 0)
    )
    assert staging.main(["--profile", "smoke", "--build", str(elsewhere)]) == 1
    assert f"--profile smoke --build {elsewhere}" in capsys.readouterr().err
    assert staging.main(["--profile", "smoke", "--partial", "--build", str(elsewhere)]) == 0
    assert f"The book: {elsewhere / 'book'}" in capsys.readouterr().out
    assert fetched[-1] == elsewhere / "vendor" and commands[0][2] == str(elsewhere / "stage")
    assert (elsewhere / "stage" / "notebooks" / "01_a.ipynb").is_file() and not (small_book / "build").exists()


def test_tests_build_beside_the_book_and_leave_it_alone(small_book: Path) -> None:
    book = staging.stage(small_book, "smoke", partial=True)
    (book / "mark").touch()
    shutil.copytree(small_book / "build" / "executed", small_book / "other" / "executed")
    assert staging.stage(small_book, "smoke", partial=True, folder=small_book / "other") == small_book / "other" / "stage"
    assert (small_book / "other" / "stage" / "notebooks" / "01_a.ipynb").is_file()
    assert (book / "mark").exists()


@pytest.mark.parametrize("module", ["notebooks", "staging", "learner"])
def test_the_commands_that_make_gives_do_something(module: str, tmp_path: Path) -> None:
    """Outside of a clone each of them ends with a message, not in silence."""
    run = [sys.executable, "-m", f"denseseg.course.{module}"]
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "inside a clone of the book's repository" in ended.stderr


def test_a_page_gets_the_records_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "results" / "studies").mkdir(parents=True)
    (tmp_path / "results" / "studies" / "bone-ages.json").write_text('{"mm": 1.5}')
    page = tmp_path / "page.md"
    page.write_text('It is {{ "%.1f" % recorded.bone_ages.mm }} mm.')
    assert staging.recorded_on([page], tmp_path / "results") == {"bone_ages": {"mm": 1.5}}
    page.write_text("{{ recorded.age.mm }}")
    with pytest.raises(staging.StagingError, match=r"a page takes numbers from age, and .* holds no benchmark"):
        staging.recorded_on([page], tmp_path / "results")
