"""The built pages as a reader sees them, in a browser window 1280 pixels wide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import needs_browser, tab
from conftest import ROOT

from denseseg.course.learner import BLANK
from denseseg.course.staging import toc_files

pytestmark = [pytest.mark.notebook, needs_browser]
PAGES = toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
WIDTH = 1280
# of Jupyter Book 1, its theme and the widgets' manager; they break nothing
HARMLESS = re.compile(r"'THEBE_JS_URL' has already been declared|Got invalid theme mode|reading 'Queue'")
LOOK = """(() => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const code = [...document.querySelectorAll("article.bd-article pre")].filter((pre) => pre.clientWidth > 0);
  const wide = code.filter((pre) => pre.scrollWidth > pre.clientWidth);
  return {
    blocks: code.length,
    wide: wide.map((pre) => `${pre.scrollWidth} px in ${pre.clientWidth}: ${pre.textContent.slice(0, 300)}`),
    page: document.documentElement.scrollWidth,
  };
})()"""


@pytest.fixture(scope="module")
def seen(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Page -> what one browser saw there, all pages in turn."""
    found = {}
    with tab(tmp_path_factory.mktemp("profile"), WIDTH) as browser:
        for page in PAGES:
            browser.open((html / f"{page}.html").as_uri())
            found[page] = {**browser.evaluate(LOOK), "errors": browser.errors()}
    yield found


@pytest.mark.parametrize("page", PAGES)
def test_no_code_block_is_wider_than_its_column(seen: dict[str, dict[str, Any]], page: str) -> None:
    assert seen[page]["wide"] == []
    assert seen[page]["blocks"] > 0 or not page.startswith("notebooks/")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_not_scroll_sideways(seen: dict[str, dict[str, Any]], page: str) -> None:
    assert seen[page]["page"] <= WIDTH


def test_the_button_of_a_page_leads_to_its_notebook_from_a_file_address_too(html: Path, tmp_path: Path) -> None:
    with tab(tmp_path, WIDTH) as browser:
        browser.open((html / "notebooks" / "01_radiographs.html").as_uri())
        browser.open(browser.evaluate("document.querySelector('a.btn-download-source-button').href"))
        shown = json.loads(browser.evaluate("document.body.textContent"))
    assert BLANK in ["".join(cell["source"]) for cell in shown["cells"]]


def test_key_points_open_and_can_be_ticked(html: Path, tmp_path: Path) -> None:
    points = "[...document.querySelectorAll('.admonition.dropdown')].find((box) => box.textContent.includes('Key points'))"
    box = f"{points}.querySelector('input[type=checkbox]')"
    with tab(tmp_path, WIDTH) as browser:
        browser.open((html / "notebooks" / "01_radiographs.html").as_uri())
        assert browser.evaluate(f"{box}.checkVisibility({{visibilityProperty: true}})") is False
        browser.evaluate(f"{points}.querySelector('.toggle-button').click()")
        assert browser.evaluate(f"{box}.checkVisibility({{visibilityProperty: true}})") is True
        browser.evaluate(f"{box}.click()")
        assert browser.evaluate(f"{box}.checked && {box}.ariaLabel.length > 10") is True


@pytest.mark.parametrize("page", PAGES)
def test_a_page_reports_no_error(seen: dict[str, dict[str, Any]], page: str) -> None:
    assert [error for error in seen[page]["errors"] if not HARMLESS.search(error)] == []
