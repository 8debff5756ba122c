"""Routes through the book: plans that add up, by measured reading times."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from denseseg.course.routes import Chapters, Route, Session, Step, read_routes, render_core, render_routes, total
from denseseg.errors import DataError


def plan(*steps: dict, minutes: int = 30, **more: object) -> dict:
    session = {"title": "One", "minutes": minutes, "steps": list(steps), **more}
    return {"routes": [{"title": "Short", "purpose": "For all.", "core": True, "sessions": [session]}]}


@pytest.fixture
def book(root: Path) -> Path:
    """A chapter of 10 minutes in two sections of 4 and 6, with one exercise."""
    (root / "book").mkdir()
    exercise = "## Exercises\n\n:::{exercise} Draw\n:label: ex-01-draw\nA map.\n:::"
    cells = [new_markdown_cell("# A\n\n## First\n" + "word " * 798), new_markdown_cell("## Second"), new_code_cell("x = 1\n" * 118)]
    nbformat.write(new_notebook(cells=[*cells, new_markdown_cell(exercise)]), root / "notebooks" / "01_a.ipynb")
    return root


def read(book: Path, content: dict) -> tuple[list[Route], Chapters]:
    (book / "book" / "routes.yml").write_text(yaml.safe_dump(content))
    return read_routes(book)


READ, DRAW = {"read": "01_a", "sections": ["First"]}, {"exercise": "ex-01-draw", "minutes": 5}


def test_a_plan_has_measured_minutes_and_says_when_each_step_begins(book: Path) -> None:
    routes, chapters = read(book, plan(READ, DRAW, {"do": "talk", "minutes": 7}))
    table = render_routes(routes, chapters)
    assert "| 0:00 | 4 | read {doc}`chapter 1 </notebooks/01_a>`: First |" in table
    assert "| 0:04 | 5 | exercise *Draw* ({doc}`chapter 1 </notebooks/01_a>`) |" in table
    assert "| 0:16 | 14 | in reserve |" in table
    assert "| | together | 4 |" in render_core(routes, chapters)


def test_work_at_home_makes_a_table_of_weeks(book: Path) -> None:
    routes, chapters = read(book, plan(DRAW, home=[{"read": "01_a"}], home_minutes=20))
    minutes = total(routes[0].sessions[0].home, chapters)
    assert minutes == 10
    assert f"{{doc}}`chapter 1 </notebooks/01_a>`, {minutes} min (**{minutes}** of 20)" in render_routes(routes, chapters)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (plan(READ, minutes=3), r"Short, One: in class 4 minutes are planned, and there are 3"),
        (plan(DRAW, home=[READ], home_minutes=3), r"at home 4 minutes are planned, and there are 3"),
        (plan({"read": "09_z"}), r"no chapter '09_z'; there are: 01_a"),
        (plan({"read": "01_a", "sections": ["Third"]}), r"01_a has no section 'Third'; it has: First, Second, Exercises"),
        (plan({"exercise": "ex-99", "minutes": 5}), r"no exercise 'ex-99'"),
        (plan({"read": "01_a", "minutes": 5}), r"reading is measured"),
        (plan({"do": "talk"}), r"reading is measured, so it has no minutes; any other step has"),
        (plan({"do": "talk", "exercise": "ex-01-draw", "minutes": 5}), r"one of read, exercise and do"),
    ],
)
def test_a_plan_that_cannot_be_taught_is_refused(book: Path, content: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(book, content)


# ---- the book's own -------------------------------------------------------------------------------------------------


def test_every_plan_of_the_book_adds_up_and_the_semester_reads_every_chapter() -> None:
    routes, chapters = read_routes(ROOT)  # raises where one does not
    assert [sum(session.minutes for session in route.sessions) for route in routes] == [90, 360, 14 * 90]
    assert set(routes[2].chapters) == set(chapters.minutes)


def test_the_map_marks_the_core_path() -> None:
    routes, _ = read_routes(ROOT)
    (core,) = [route for route in routes if route.core]
    page = (ROOT / "book" / "introduction.md").read_text(encoding="utf-8")
    assert re.findall(r"<\.\./notebooks/(\w+)>` ★", page) == core.chapters
    first = (ROOT / "notebooks" / "00_points.ipynb").read_text(encoding="utf-8")
    (row,) = re.findall(r"\| an hour and a half \|(.*?)\|", first)
    assert re.findall(r"\((\w+)\.ipynb\)", row) == core.chapters[1:]


def test_a_longer_chapter_breaks_a_plan_that_was_full(book: Path) -> None:
    session = Session(title="Full", minutes=4, steps=(Step(read="01_a", sections=("First",)),))
    assert total(session.steps, Chapters(book)) == session.minutes
    path = book / "notebooks" / "01_a.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "word " * 10
    nbformat.write(notebook, path)
    assert total(session.steps, Chapters(book)) > session.minutes
