"""The book, built from the smoke run with warnings as errors, and what its pages must have."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup, Tag
from conftest import ROOT

from denseseg.course.learner import BLANK
from denseseg.course.staging import toc_files

pytestmark = pytest.mark.notebook
PAGES = toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]


@cache
def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def article(page: Path) -> Tag:
    found = soup(page).select_one("article.bd-article")
    assert found is not None
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_built_with_a_title_and_some_text(html: Path, page: str) -> None:
    content = article(html / f"{page}.html")
    assert content.find("h1") is not None
    assert len(content.get_text().split()) > 20


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(html: Path, page: str) -> None:
    source = html / f"{page}.html"
    for link in soup(source).select("a[href]"):
        url = urlsplit(str(link["href"]))
        if url.scheme or url.netloc:
            continue
        target = (source.parent / unquote(url.path)).resolve() if url.path else source
        assert target.exists(), f"{link['href']} leads nowhere"
        if url.fragment and target.suffix == ".html":
            assert soup(target).find(id=unquote(url.fragment)) is not None, f"{link['href']}: no such place on the page"


@pytest.mark.parametrize("page", PAGES)
def test_its_tables_are_tables(html: Path, page: str) -> None:
    """A markdown table that is not read as one stays on the page as bars and dashes, those in outputs of cells too."""
    for paragraph in article(html / f"{page}.html").find_all("p"):
        assert not re.search(r"\|[ :]*[-–—]{2,}|\|:—", paragraph.get_text()), paragraph.get_text()[:200]


@pytest.mark.parametrize("page", PAGES)
def test_its_pictures_have_words_for_those_who_cannot_see_them(html: Path, page: str) -> None:
    for image in article(html / f"{page}.html").find_all("img"):
        words = str(image.get("alt", "")).strip()
        assert words and not words.endswith((".png", ".svg")), f"{image['src']} needs an alternative text"


@pytest.mark.parametrize("page", PAGES)
def test_it_loads_nothing_from_elsewhere(html: Path, page: str) -> None:
    if not (html / "_static" / "vendor").is_dir():
        pytest.skip("built without npm or a network: formulas come from a public server, as the build said")
    content = soup(html / f"{page}.html")
    loaded = [tag["src"] for tag in content.select("script[src], img[src], iframe[src]")]
    loaded += [tag["href"] for tag in content.select("link[rel=stylesheet]")]
    assert not [url for url in loaded if urlsplit(str(url)).netloc]


@pytest.mark.parametrize("page", PAGES)
def test_its_html_is_below_three_megabytes(html: Path, page: str) -> None:
    assert (html / f"{page}.html").stat().st_size < 3e6


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_toy_number_cannot_be_mistaken_for_a_real_one(html: Path, page: str) -> None:
    assert "Smoke profile: numbers mean nothing" in article(html / f"{page}.html").get_text()


@pytest.mark.parametrize("page", CHAPTERS)
def test_solutions_and_what_checks_say_of_them_are_folded(html: Path, page: str) -> None:
    cells = article(html / f"{page}.html").select("div.tag_solution, div.tag_solution-check")
    assert cells
    for cell in cells:
        seen = [part for part in cell.select("div.cell_input, div.cell_output") if part.find_parent("details") is None]
        assert not seen or cell.find_parent("details") is not None


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_button_gives_the_learner_edition(html: Path, page: str) -> None:
    (button,) = soup(html / f"{page}.html").select("a.btn-download-source-button")
    given = (html / page).parent / str(button["href"])
    assert given.name == f"{Path(page).name}.ipynb"
    cells = nbformat.read(given, as_version=4).cells
    assert all(cell.source == BLANK for cell in cells if "solution" in cell.metadata.get("tags", []))
    assert BLANK in [cell.source for cell in cells]


def test_generated_tables_are_there(html: Path) -> None:
    status = article(html / "book" / "status.html").get_text()
    assert status.count("passed") >= sum(page.startswith("notebooks/") for page in PAGES)
    assert article(html / "book" / "results.html").find("table") is not None
