"""House rules of the notebooks, and every notebook run in the smoke profile."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import BUILD, ROOT
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from notebook_cells import EXERCISE, tags

from denseseg.course.learner import ANSWER, BLANK, HEAD, learner_edition
from denseseg.course.notebooks import Status, find_notebooks
from denseseg.course.reading import shows_image
from denseseg.course.staging import caption, toc_files

IN_TOC = [Path(f).name for f in toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text())) if f.startswith("notebooks/")]
PRESENT = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
COLUMNS = 79  # characters in a line of the page's column
TASK = re.compile(r"^:::+\s*\{exercise\}.*\n:label:.*\n((?:.*\n)*?):::", re.MULTILINE)
SOLUTION = re.compile(r"^:::+\s*\{solution\}\s*(\S+)", re.MULTILINE)

every_notebook = pytest.mark.parametrize("name", PRESENT)


@cache
def read(name: str) -> NotebookNode:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


@cache
def edition(name: str) -> NotebookNode:
    return learner_edition(read(name), ROOT)


def exercises(name: str) -> list[tuple[NotebookNode, list[NotebookNode]]]:
    """Each exercise's task, and the cells from there to the next task."""
    cells = read(name).cells
    starts = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and EXERCISE.search(cell.source)]
    return [(cells[start], cells[start + 1 : end]) for start, end in zip(starts, [*starts[1:], len(cells)], strict=True)]


def code_cells(notebook: NotebookNode, *wanted: str) -> list[NotebookNode]:
    """The code cells; with `wanted`, only those that have one of these tags."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if not wanted or set(wanted) & set(tags(cell))]


def markdown(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def python(cell: NotebookNode) -> str:
    """A code cell's source, with IPython's magics turned into Python."""
    return TransformerManager().transform_cell(cell.source)


def scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from scopes(child)


def binds(cells: Iterable[NotebookNode]) -> set[str]:
    """Names that cells leave behind for later ones: variables, functions, classes and imports, not what is local to a function."""
    tables = [symtable.symtable(python(cell), "cell", "exec") for cell in cells]
    return {s.get_name() for table in tables for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def uses(cells: Iterable[NotebookNode]) -> set[str]:
    """Names of the notebook that cells read, in functions too."""
    tables = [table for cell in cells for table in scopes(symtable.symtable(python(cell), "cell", "exec"))]
    symbols = [(table, symbol) for table in tables for symbol in table.get_symbols()]
    return {s.get_name() for table, s in symbols if s.is_referenced() and (s.is_global() or table.get_type() == "module")}


# ---- the set of notebooks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IN_TOC)
def test_a_notebook_in_the_table_of_contents_exists(name: str) -> None:
    assert name in PRESENT


@every_notebook
def test_a_notebook_is_in_the_table_of_contents(name: str) -> None:
    assert name in IN_TOC


def test_labels_of_exercises_are_unique_in_the_book() -> None:
    labels = [label for name in PRESENT for label in EXERCISE.findall(markdown(read(name)))]
    assert len(labels) == len(set(labels))


def test_what_notebooks_need_exists() -> None:
    assert list(find_notebooks(ROOT)) == PRESENT


# ---- house rules ----------------------------------------------------------------------------------------------------


@every_notebook
def test_no_outputs_are_committed(name: str) -> None:
    for cell in code_cells(read(name)):
        assert not cell.outputs and cell.execution_count is None, "run `make strip`"


@every_notebook
def test_it_asks_for_a_plain_python_kernel(name: str) -> None:
    kernel = read(name).metadata.kernelspec
    assert (kernel.name, kernel.language) == ("python3", "python")


@every_notebook
def test_one_cell_holds_the_parameters(name: str) -> None:
    cells = code_cells(read(name), "parameters")
    assert len(cells) == 1
    assert "profile" in binds(cells)


@every_notebook
def test_code_cells_are_short(name: str) -> None:
    too_long = [cell.source.splitlines()[0] for cell in code_cells(read(name)) if len(cell.source.splitlines()) > 30]
    assert not too_long, "over 30 lines: split the cell or move code to the package"


@every_notebook
def test_lines_of_code_fit_the_page(name: str) -> None:
    lines = [line for cell in code_cells(read(name)) for line in cell.source.splitlines()]
    assert not [line for line in lines if len(line) > COLUMNS]


@every_notebook
def test_it_opens_with_title_goals_and_prerequisites(name: str) -> None:
    cells = read(name).cells
    opening = "\n".join(cell.source for cell in cells[:4] if cell.cell_type == "markdown").lower()
    assert cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
    assert "learning goals" in opening
    assert "prerequisites" in opening


@every_notebook
def test_it_closes_with_what_we_saw_and_references(name: str) -> None:
    headings = re.findall(r"^## (.+)$", markdown(read(name)), re.MULTILINE)
    assert [heading.strip().lower() for heading in headings[-2:]] == ["what we saw", "references"]


@every_notebook
def test_there_are_three_checks_besides_those_of_exercises(name: str) -> None:
    cells = [cell for cell in code_cells(read(name)) if not set(tags(cell)) & {"solution", "solution-check"}]
    calls = [node for cell in cells for node in ast.walk(ast.parse(python(cell))) if isinstance(node, ast.Call)]
    checks = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"check", "check_close"}]
    assert len(checks) >= 3


@every_notebook
def test_two_to_four_exercises_have_hidden_solutions(name: str) -> None:
    """From an exercise to the next there is a code solution with its checks, or a folded one in words."""
    assert 2 <= len(exercises(name)) <= 4
    assert len(EXERCISE.findall(markdown(read(name)))) == len(exercises(name)), "one exercise a cell"
    for task, after in exercises(name):
        (label,) = EXERCISE.findall(task.source)
        kinds = [tag for cell in after if cell.cell_type == "code" for tag in tags(cell) if tag.startswith("solution")]
        words = [cell for cell in after if cell.cell_type == "markdown" and label in SOLUTION.findall(cell.source)]
        assert re.fullmatch("(solution (solution-check )+)*", "".join(f"{kind} " for kind in kinds))
        assert kinds or words, f"{label} has no solution"
        for cell in words:
            assert "solution" in tags(cell), f"tag the solution of {label}, so that the learner edition leaves it out"
            assert ":class: dropdown" in cell.source, f"fold the solution of {label}"


@every_notebook
def test_a_question_has_key_points(name: str) -> None:
    """Where a task asks for words (it asks "?", or for no code) a cell says what a good answer says, in three to five points.

    What the code is to do is said in a sentence, not asked.
    """
    for task, after in exercises(name):
        (label,), (words,) = EXERCISE.findall(task.source), TASK.findall(task.source)
        asks = "?" in words or not any("solution" in tags(cell) for cell in after if cell.cell_type == "code")
        found = [i for i, cell in enumerate(after) if "key-points" in tags(cell)]
        assert len(found) == asks, f"{label}: one cell tagged `key-points` where there is a question, none where there is not"
        for i in found:
            assert any("solution" in tag for tag in tags(after[i - 1])), f"{label}: key points stand behind solution and check"
            assert after[i].cell_type == "markdown" and after[i].source.startswith(HEAD)
            points = after[i].source.removeprefix(HEAD).splitlines()
            assert 3 <= len(points) <= 5 and all(point.startswith("- ") for point in points), label
            assert max(map(len, points)) <= 140, f"{label}: a point is one line"


# ---- the learner edition --------------------------------------------------------------------------------------------

# what only MyST reads: a directive, an option of one, a role, a target, a comment, a substitution, a link to a target
MYST = re.compile(r"^\s*(?:`{3,}|:{3,})\s*\{|^:{3,}|^:\w+:|(?<!`)\{[\w:-]+\}`|^\(\S+\)=|^% |\{\{|\]\(#|\.md\)", re.MULTILINE)


def test_myst_is_recognised() -> None:
    for text in (":::{exercise} A", "```{note}", "a {term}`b`", "(here)=", ":label: x", "% no", "{{ x }}", "[a](#b)", "[a](b.md)"):
        assert MYST.search(text), text
    assert not MYST.search("```sh\nls\n```\n`{x}` [a](b.ipynb) $\\frac{a}{b}$\n\n|:---|")


@every_notebook
def test_no_myst_is_left_for_learners(name: str) -> None:
    assert not [cell.source for cell in edition(name).cells if cell.cell_type == "markdown" and MYST.search(cell.source)]


@every_notebook
def test_learners_get_valid_notebooks_that_lead_to_one_another(name: str) -> None:
    nbformat.validate(edition(name))
    linked = re.findall(r"\]\((?!https?:|attachment:)([^)]*)\)", markdown(edition(name)))
    assert {f"{other}.ipynb" for other in PRESENT} >= set(linked)


@every_notebook
def test_every_question_has_a_cell_to_answer_in(name: str) -> None:
    asked = sum("key-points" in tags(cell) for cell in read(name).cells)
    assert [cell.source for cell in edition(name).cells].count(ANSWER) == asked > 0


# ---- solutions pass, blanks fail ------------------------------------------------------------------------------------


@every_notebook
def test_blanks_fail(name: str) -> None:
    """The checks of an exercise use a name that nothing but its solution defines, and a blank defines nothing but raises."""
    notebook = read(name)
    for cell, blank in zip(code_cells(notebook), code_cells(edition(name)), strict=True):
        if "solution" in tags(cell):
            assert blank.source == BLANK
            with pytest.raises(NotImplementedError):
                exec(blank.source, {})
    cells = code_cells(notebook)
    elsewhere = binds([cell for cell in cells if "solution" not in tags(cell)])
    for _, after in exercises(name):
        coded = [cell for cell in after if cell.cell_type == "code"]
        solution, checks = ([cell for cell in coded if tag in tags(cell)] for tag in ("solution", "solution-check"))
        if solution:
            own = binds(solution) - elsewhere
            assert own & uses(checks), f"its checks use nothing that only this solution defines: {solution[0].source[:60]!r}"


@every_notebook
def test_a_learner_who_skips_an_exercise_can_read_on(name: str) -> None:
    others = [cell for cell in code_cells(read(name)) if not set(tags(cell)) & {"solution", "solution-check"}]
    only_solutions = binds(code_cells(read(name), "solution")) - binds(others)
    assert not only_solutions & uses(others)


# ---- and they run ---------------------------------------------------------------------------------------------------


def executed(name: str) -> NotebookNode:
    return nbformat.read(BUILD / "executed" / "smoke" / f"{name}.ipynb", as_version=4)


@pytest.mark.notebook
@every_notebook
def test_it_runs_in_the_smoke_profile(name: str, smoke_run: dict[str, Status]) -> None:
    assert smoke_run[name].status == "passed", smoke_run[name].error


@pytest.mark.notebook
@every_notebook
def test_every_picture_has_a_caption(name: str, smoke_run: dict[str, Status]) -> None:
    cells = executed(name).cells
    bare = [
        cell.source
        for cell, after in zip(cells, [*cells[1:], None], strict=True)
        if shows_image(cell) and "solution" not in tags(cell) and not caption(cell, after)
    ]
    assert not bare, "follow the cell by markdown that begins with **Figure.**"


@pytest.mark.notebook
@every_notebook
def test_printed_lines_fit_the_page(name: str, smoke_run: dict[str, Status]) -> None:
    outputs = [output for cell in code_cells(executed(name)) for output in cell.outputs]
    printed = [output.text for output in outputs if output.output_type == "stream"]
    shown = [output.data["text/plain"] for output in outputs if set(output.get("data", {})) == {"text/plain"}]
    lines = [line for text in (*printed, *shown) for line in text.splitlines()]
    assert not [line for line in lines if len(line) > COLUMNS], "print less, or in two lines"
