"""The book as a PDF."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from browser import CHROMIUM, needs_browser
from pypdf import PdfReader

from denseseg.course import printing
from denseseg.errors import DataError

CSS = Path(__file__).parents[2] / "book" / "_static" / "denseseg.css"


@pytest.fixture
def book(root: Path) -> Path:
    """A built book of two pages that link to each other, to one that is not printed, and to a public one."""
    chapters = [{"file": "book/two"}, {"file": "book/not_built"}]
    (root / "_toc.yml").write_text(yaml.safe_dump({"root": "book/one", "parts": [{"caption": "All", "chapters": chapters}]}))
    html = root / "build" / "book" / "_build" / "html" / "book"
    html.mkdir(parents=True)
    links = '<a href="two.html#x">on</a> <a href="../search.html">search</a> <a href="https://example.org/">out</a>'
    (html / "one.html").write_text(f"<title>First — Book</title><h1>First</h1>{links}")
    style = f"<style>{CSS.read_text()}</style>"
    solved = '<div class="admonition solution">ANSWER</div><div class="cell tag_solution">CODE</div>'
    (html / "two.html").write_text(f'<title>Second — Book</title>{style}<h1>Second</h1>{solved}<a href="one.html">back</a>')
    return root


@needs_browser
def test_pages_are_joined_with_bookmarks_working_links_and_no_solutions(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", str(CHROMIUM))
    pdf = PdfReader(printing.write_pdf(book))
    assert [entry.title for entry in pdf.outline] == ["First", "Second"]
    assert "ANSWER" not in pdf.pages[1].extract_text() and "CODE" not in pdf.pages[1].extract_text()
    links = [[note.get_object() for note in page.get("/Annots", ())] for page in pdf.pages]
    inside, public = links[0]  # the link to a page that is not printed is gone
    assert inside["/Dest"][0].get_object() == pdf.pages[1].get_object() and "/A" not in inside
    assert public["/A"]["/URI"] == "https://example.org/"
    assert links[1][0]["/Dest"][0].get_object() == pdf.pages[0].get_object()


def test_without_a_browser_the_error_says_which_were_looked_for(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(DataError, match=r"looked for chromium, .*install Chromium or Chrome, or name yours: make pdf CHROMIUM="):
        printing.write_pdf(book)


def test_a_program_that_does_not_print_is_named(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "true")
    with pytest.raises(DataError, match=r"true did not print one\.html \(it said nothing\); name another"):
        printing.write_pdf(book)


def test_a_book_that_is_not_built_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "_toc.yml").write_text(yaml.safe_dump({"root": "book/one", "parts": []}))
    monkeypatch.setenv("CHROMIUM", "true")
    with pytest.raises(DataError, match="the book has not been built; build it first: make book"):
        printing.write_pdf(root)
