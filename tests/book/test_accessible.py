"""Every page of the built book by axe-core's rules: nothing may keep a reader out, on desktop and phone, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from axe import WIDTHS, serious_faults
from browser import Tab, needs_browser, tab
from conftest import ROOT

from denseseg.course.staging import toc_files

pytestmark = [pytest.mark.notebook, needs_browser]
PAGES = [*toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))), "genindex", "search"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("profile"), WIDTHS["desktop"]) as page:
        yield page


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_no_serious_fault(html: Path, browser: Tab, page: str) -> None:
    browser.open((html / f"{page}.html").as_uri())
    assert "\n".join(serious_faults(browser)) == ""


def test_axe_finds_the_faults_that_are_there(browser: Tab, tmp_path: Path) -> None:
    faulty = '<html lang="en"><title>faulty</title><img src="a.png"><button></button><p style="color: #ddd">pale</p>'
    (tmp_path / "faulty.html").write_text(f"<!doctype html>{faulty}", encoding="utf-8")
    browser.open((tmp_path / "faulty.html").as_uri())
    found = [fault.split(", 1 x")[0] for fault in serious_faults(browser)]
    in_light, in_dark = ["button-name, critical", "color-contrast, serious", "image-alt, critical"], ["color-contrast, serious"]
    rules = {"light": in_light, "dark": in_dark}
    assert found == [f"{screen}, {scheme}: {rule}" for screen in WIDTHS for scheme in rules for rule in rules[scheme]]
