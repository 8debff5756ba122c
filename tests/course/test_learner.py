"""The learner edition: blanks for solutions, cells for answers, and a reader's work that is never lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from helpers import write_notebook
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from denseseg.course.learner import ANSWER, BLANK, CHECK, HEAD, learner_edition, main, write_learner_edition


def exercise() -> nbformat.NotebookNode:
    return new_notebook(
        cells=[
            new_code_cell("from denseseg.course.checks import check"),
            new_markdown_cell(":::{exercise} Double\n:label: ex-00-double\nWrite `double`. Why?\n:::"),
            new_code_cell("def double(x):\n    return 2 * x", metadata={"tags": ["solution"]}),
            new_code_cell('check(double(2) == 4, "doubles", "add it")', metadata={"tags": ["solution-check"]}),
            new_markdown_cell(":::{solution} ex-00-double\n:::", metadata={"tags": ["solution"]}),
            new_markdown_cell(f"{HEAD}- Two is $2$.\n- Because.", metadata={"tags": ["key-points"]}),
        ]
    )


def test_the_learner_edition_has_blanks_and_no_solutions(root: Path) -> None:
    edition = learner_edition(exercise(), root)
    nbformat.validate(edition)
    assert [cell.cell_type for cell in edition.cells] == ["code", "markdown", "code", "code", "markdown", "markdown"]
    assert edition.cells[2].source == BLANK
    assert "return 2 * x" not in nbformat.writes(edition)


def test_a_check_is_folded_and_its_first_line_tells_nothing(root: Path) -> None:
    check = learner_edition(exercise(), root).cells[3]
    assert check.metadata["jupyter"]["source_hidden"] is True
    assert check.source.startswith(CHECK) and len(CHECK.splitlines()) == 1


def test_words_have_a_cell_to_answer_in_and_folded_key_points_after_it(root: Path) -> None:
    answer, points = learner_edition(exercise(), root).cells[4:]
    assert answer.source == ANSWER
    assert points.source.startswith("<details>\n<summary>Key points") and points.source.endswith("</details>")
    assert "\n- [ ] Two is $2$.\n- [ ] Because.\n" in points.source


def test_solutions_pass_and_blanks_fail(root: Path) -> None:
    solved, blank = exercise(), learner_edition(exercise(), root)
    NotebookClient(solved, kernel_name="python3").execute()
    NotebookClient(blank, kernel_name="python3", allow_errors=True).execute()
    errors = [
        [output.ename for output in cell.outputs if output.output_type == "error"] for cell in blank.cells if "outputs" in cell
    ]
    assert errors == [[], ["NotImplementedError"], ["NameError"]]


# ---- what a reader wrote --------------------------------------------------------------------------------------------


def sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


@pytest.fixture
def written(root: Path) -> Path:
    """A book of two chapters whose learner edition has been written and whose first chapter the reader has changed."""
    for name in ("01_a", "02_b"):
        write_notebook(root, name, "1 + 1")
    assert write_learner_edition(root, root / "learner").new == ["01_a.ipynb", "02_b.ipynb"]
    changed = nbformat.read(root / "learner" / "01_a.ipynb", as_version=4)
    changed.cells.append(new_code_cell("my_answer = 2"))
    nbformat.write(changed, root / "learner" / "01_a.ipynb")
    for name in ("01_a", "02_b"):
        write_notebook(root, name, "2 + 2")
    return root


def test_a_changed_notebook_is_kept_and_an_unchanged_one_is_renewed(written: Path) -> None:
    outcome = write_learner_edition(written, written / "learner")
    assert (outcome.renewed, outcome.kept) == (["02_b.ipynb"], ["01_a.ipynb"])
    assert "kept as you changed them: 01_a.ipynb" in str(outcome)
    assert sources(written / "learner" / "01_a.ipynb")[1:] == ["1 + 1", "my_answer = 2"]
    assert sources(written / "learner" / "02_b.ipynb")[1:] == ["2 + 2"]
    assert write_learner_edition(written, written / "learner").kept == ["01_a.ipynb"]  # and it stays kept


def test_force_replaces_and_says_so(written: Path) -> None:
    outcome = write_learner_edition(written, written / "learner", force=True)
    assert "replaced, with all that you had changed in them: 01_a.ipynb" in str(outcome)
    assert sources(written / "learner" / "01_a.ipynb")[1:] == ["2 + 2"]
    assert write_learner_edition(written, written / "learner").renewed == ["01_a.ipynb", "02_b.ipynb"]


def test_without_its_list_of_files_nothing_is_taken_for_unchanged(written: Path) -> None:
    (written / "learner" / ".written.json").unlink()
    assert write_learner_edition(written, written / "learner").kept == ["01_a.ipynb", "02_b.ipynb"]


def test_of_chapters_that_the_book_no_longer_has_only_answers_stay(written: Path) -> None:
    for name in ("01_a", "02_b"):
        (written / "notebooks" / f"{name}.ipynb").unlink()
    write_learner_edition(written, written / "learner")
    assert [path.name for path in (written / "learner").glob("*.ipynb")] == ["01_a.ipynb"]


def test_the_command_says_what_it_did(written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(written)
    assert main([]) == 0
    told = capsys.readouterr().out
    assert "0 notebooks written, 1 renewed" in told and "kept as you changed them: 01_a.ipynb" in told
    assert main(["--force"]) == 0
    assert "replaced" in capsys.readouterr().out


def test_make_clean_leaves_answers_alone() -> None:
    told = subprocess.run(["make", "--dry-run", "clean"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "build" in told and "learner" not in told
