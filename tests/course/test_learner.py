"""The learner edition: blanks for solutions."""

from __future__ import annotations

from pathlib import Path

import nbformat
from helpers import write_notebook
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from denseseg.course.learner import BLANK, learner_edition, write_learner_edition


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
    write_notebook(root, "01_a", "")
    assert [path.name for path in write_learner_edition(root)] == ["01_a.ipynb"]
    assert (root / "build" / "learner" / "01_a.ipynb").is_file()
