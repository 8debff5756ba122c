"""Worksheets and exam: blanks for students, answers for the teacher, and marks that add up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe import WIDTHS, serious_faults
from browser import needs_browser, tab
from bs4 import BeautifulSoup
from conftest import ROOT

from denseseg.course.routes import read_routes
from denseseg.course.teaching import ANSWER, page, write_sheets
from denseseg.errors import DataError

SHEET = "# Sheet\n\n1. Two and two is [[four]], x < [[5 & 6]].\n\nWhy?\n\n[[Because of\n  arithmetic.]]\n"
EXAM = (ROOT / "teaching" / "exam.md").read_text(encoding="utf-8")
SHEETS = [*sorted((ROOT / "teaching" / "worksheets").glob("*.md")), ROOT / "teaching" / "exam.md"]


def test_students_get_blanks_and_the_key_has_answers() -> None:
    blanks, key = (BeautifulSoup(page(SHEET, with_answers), "html.parser") for with_answers in (False, True))
    assert not {"four", "arithmetic.", "5"} & set(blanks.get_text().split())
    assert len(blanks.select(".blank")) == 2 and len(blanks.select(".lines")) == 2
    assert [answer.get_text() for answer in key.select(".answer")] == ["four", "5 & 6", "Because of arithmetic."]
    assert "(key)" in key.title.get_text() and "(key)" not in blanks.title.get_text()


def test_a_sheet_without_answers_is_refused() -> None:
    with pytest.raises(DataError, match="mark its answers"):
        page("# Sheet\n\nNothing to do.", key=False)


def test_every_sheet_is_written_twice(root) -> None:
    (root / "teaching" / "worksheets").mkdir(parents=True)
    (root / "teaching" / "worksheets" / "01_a.md").write_text(SHEET)
    (root / "teaching" / "exam.md").write_text(SHEET)
    assert [path.name for path in write_sheets(root)] == ["01_a.html", "01_a-key.html", "exam.html", "exam-key.html"]


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda path: path.stem)
def test_no_answer_is_left_on_a_students_page(sheet) -> None:
    source = sheet.read_text(encoding="utf-8")
    assert source.count("[[") == source.count("]]") == len(ANSWER.findall(source)) >= 5
    blanks = page(source, key=False)
    assert blanks.count('class="blank"') + len(re.findall(r'(?<!</span>)<span class="lines">', blanks)) == source.count("[[")
    assert "[[" not in blanks and "answer&quot;" not in blanks


def test_there_is_a_worksheet_for_each_chapter_of_the_core_path() -> None:
    routes, _ = read_routes(ROOT)
    (core,) = [route for route in routes if route.core]
    assert [sheet.stem for sheet in SHEETS[:-1]] == core.chapters


def test_points_of_the_exam_add_up_and_each_scheme_gives_them() -> None:
    questions = re.findall(r"^\*\*(\d+)\.\*\* \((\d+)\).*?\n\n\[\[(.*?)\]\]", EXAM, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, *_ in questions] == list(range(1, 21))
    assert sum(int(points) for _, points, _ in questions) == 100
    for part in EXAM.split("\n## ")[1:]:
        said = int(re.findall(r"\((\d+) points\)", part.splitlines()[0])[0])
        assert said == sum(map(int, re.findall(r"^\*\*\d+\.\*\* \((\d+)\)", part, re.MULTILINE)))
    for number, points, scheme in questions:
        given = sum(int(share) for share in re.findall(r"\((\d)\)", scheme))
        assert given >= int(points) or "point each" in scheme, f"question {number}: its scheme gives {given} of {points}"


def test_no_page_of_the_book_links_to_what_gives_answers_away() -> None:
    for source in [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]:
        assert not re.search(r"\]\([^)]*teaching/", source.read_text(encoding="utf-8")), source.name


def test_guesses_are_marked_as_the_page_says(tmp_path, monkeypatch, capsys) -> None:
    source = (ROOT / "teaching" / "hands_without_ages.md").read_text(encoding="utf-8")
    (tmp_path / "ages.csv").write_text("case,age_months,bone_age_months\nwrist000,100,110\nwrist001,50,40\n")
    (tmp_path / "guesses.csv").write_text("case,age_months\nwrist001,40\nwrist000,104\n")
    monkeypatch.chdir(tmp_path)
    exec(source.split("```python\n")[1].split("```")[0], {})
    assert capsys.readouterr().out == "mean absolute error 7.0 months\n3.0\n"


@needs_browser
def test_axe_finds_no_serious_fault_on_a_sheet(tmp_path: Path) -> None:
    with tab(tmp_path / "profile", WIDTHS["desktop"]) as browser:
        for key in (False, True):
            (tmp_path / "sheet.html").write_text(page(EXAM, key), encoding="utf-8")
            browser.open((tmp_path / "sheet.html").as_uri())
            assert list(serious_faults(browser)) == []
