"""Slides: what of a chapter is on them, and that a browser shows them from a file address."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nbformat
import pytest
from axe import serious_faults
from browser import needs_browser, tab
from bs4 import BeautifulSoup
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from denseseg.course import slides
from denseseg.course.notebooks import Status
from denseseg.course.vendor import copy_packages
from denseseg.errors import DataError

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==\n"
GOALS = """# 03 · Maps

Hello.

**Learning goals.** After this page you can
- make a {term}`uv map <uv>`;
- read it.

**Prerequisites.** None."""
SAW = """## What we saw

- A map has $u$ and $v$.
- It may
  fold.

[Chapter 04](04_exploring.ipynb) goes on.

## References

- Nobody."""
CAPTION = "**Figure.** A *fold* in {cite:t}`keuth2025denseseg`, $\\det J < 0$, see [chapter 04](04_exploring.ipynb).\n\nMore."


def out(text: str) -> nbformat.NotebookNode:
    return new_output("stream", name="stdout", text=text)


def chapter() -> nbformat.NotebookNode:
    picture = new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"})
    return new_notebook(
        cells=[
            new_markdown_cell(GOALS),
            new_code_cell("profile = 1", metadata={"tags": ["parameters"]}),
            new_markdown_cell("## Folds\n\nWords."),
            new_code_cell("secret_drawing()", outputs=[picture, out("✓ maps agree, and\n  nowhere differ\nnoise\n")]),
            new_markdown_cell(CAPTION),
            new_code_cell("answer = 42", metadata={"tags": ["solution"]}, outputs=[picture]),
            new_code_cell("check(answer)", metadata={"tags": ["solution-check"]}, outputs=[out("✓ it is 42\n")]),
            new_markdown_cell(SAW),
        ]
    )


def test_a_deck_holds_title_goals_figures_checks_and_conclusions() -> None:
    title, goals, figure, checks, saw = slides.slides_of(chapter(), "course")
    assert title.startswith("# 03 · Maps") and "Made-up" in title
    assert "- make a uv map;\n- read it." in goals and "Prerequisites" not in goals
    assert "## Folds" in figure and f'src="data:image/png;base64,{PIXEL.strip()}"' in figure
    assert "A <i>fold</i> in keuth2025denseseg, $\\det J < 0$, see chapter 04." in figure and "More" not in figure
    assert checks == "## What was checked\n\n- ✓ maps agree, and nowhere differ"
    assert "- A map has $u$ and $v$.\n- It may\n  fold." in saw and "Chapter 04" not in saw


def test_real_results_carry_no_warning() -> None:
    assert "Made-up" not in next(slides.slides_of(chapter(), "full"))


def test_no_code_no_answer_and_nothing_from_elsewhere_is_on_a_deck() -> None:
    page = BeautifulSoup(slides.deck(chapter(), "course", "03"), "html.parser")
    assert len(page.select(".slides > section")) == 5
    assert not {"secret_drawing", "answer", "42"} & set(page.get_text().replace("(", " ").split())
    loaded = [tag.get("src") or tag.get("href") for tag in page.select("script[src], img[src], link[href]")]
    assert loaded and not [url for url in loaded if not url.startswith(("vendor/", "data:"))]


def test_many_checks_take_several_slides() -> None:
    notebook = chapter()
    notebook.cells[3].outputs[1].text = "".join(f"✓ check {k}\n" for k in range(20))
    assert sum(slide.startswith("## What was checked") for slide in slides.slides_of(notebook, "course")) == 3


@pytest.fixture
def run(root: Path) -> Path:
    """A book whose only chapter has been run in the smoke profile."""
    cells = [new_markdown_cell("# 03"), new_code_cell('profile = "smoke"', metadata={"tags": ["parameters"]})]
    nbformat.write(new_notebook(cells=cells), root / "notebooks" / "03_maps.ipynb")
    executed = root / "build" / "executed" / "smoke"
    executed.mkdir(parents=True)
    nbformat.write(chapter(), executed / "03_maps.ipynb")
    (executed / "03_maps.json").write_text(json.dumps(vars(Status("03_maps", "smoke", "f", "passed", 3.2))))
    return root


def test_decks_of_what_was_run_are_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "copy_packages", lambda packages, cache, static: None)
    assert slides.write_slides(run, "smoke") == [run / "build" / "slides" / "03_maps.html"]
    with pytest.raises(DataError, match=r"run in profile course; run some: make preview"):
        slides.write_slides(run, "course")


def test_without_npm_the_error_says_what_is_needed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match=r"npm and a network are needed once"):
        slides.write_slides(run, "smoke")


@needs_browser
def test_a_browser_turns_the_pages_from_a_file_address(run: Path, tmp_path: Path) -> None:
    try:
        copy_packages(slides.PACKAGES, ROOT / "build" / "vendor", run / "build" / "slides" / "vendor")
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"reveal.js could not be fetched: {error}")
    deck = run / "build" / "slides" / "03_maps.html"
    deck.write_text(slides.deck(chapter(), "smoke", "03"), encoding="utf-8")
    with tab(tmp_path / "profile", 1280, 720) as page:
        page.open(deck.as_uri())
        assert page.evaluate("Reveal.getTotalSlides()") == 5
        page.evaluate("Reveal.next(), Reveal.next()")
        assert page.evaluate("Reveal.getCurrentSlide().querySelector('h2').textContent") == "Folds"
        assert page.evaluate("MathJax.startup.promise.then(() => document.querySelectorAll('mjx-container').length)") == 3
        assert page.evaluate("Reveal.getCurrentSlide().querySelector('img').getBoundingClientRect().height") > 300
        assert page.errors() == []
        assert list(serious_faults(page)) == []
