"""axe-core in the tests' browser: it finds by rules what keeps people from using a page. From npm, as the book's JavaScript is."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest
from browser import REQUIRED, Tab
from conftest import ROOT

from denseseg.course.vendor import fetch

PACKAGE = "axe-core@4.14.1"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"  # of its axe.min.js
WIDTHS = {"desktop": 1280, "phone": 390}
# scheme -> the rules for it; what is no matter of colours is looked at once
SCHEMES = {"light": "", "dark": "runOnly: ['color-contrast', 'link-in-text-block']"}
# What is folded is opened. What repeats is thinned out, since the rule for contrast takes milliseconds a word: a table keeps its
# first rows, a page its first formulas within paragraphs, and of code one word of each kind stands for all.
PREPARE = """(async () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  for (const folded of document.querySelectorAll(".toggle-button.toggle-button-hidden")) folded.click();
  await window.MathJax?.startup?.promise;
  for (const row of document.querySelectorAll("tr:nth-child(n + 4)")) row.remove();
  for (const formula of [...document.querySelectorAll("p > mjx-container:not([display])")].slice(5)) formula.remove();
  const kinds = new Set();
  for (const word of document.querySelectorAll("pre span[class]:not(:has(*))")) {
    const kind = `${word.className} in ${word.closest(".cell_input, .cell_output, article, body").className}`;
    if (kinds.has(kind)) word.replaceWith(word.textContent);
    kinds.add(kind);
  }
})()"""
# the theme hears of another size or scheme with the next frame, and then fades from one to the other
SETTLED = """new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))
  .then(() => document.getAnimations().forEach((fading) => fading.finish()))"""
RUN = """axe.run({ resultTypes: ["violations"], iframes: false, %s }).then(({ violations }) => violations
  .filter(({ impact }) => impact === "serious" || impact === "critical")
  .map(({ id, impact, nodes }) => {
    const [first] = nodes, why = first.failureSummary.split("\\n").slice(1).join(" ").trim();
    return `${id}, ${impact}, ${nodes.length} x, the first at ${first.target.join(" ")}: ${why}`;
  }))"""


@cache
def script() -> str:
    """axe.min.js. The test is skipped where it cannot be fetched, unless a browser is required."""
    try:
        path = fetch(PACKAGE, ROOT / "build" / "vendor" / PACKAGE) / "axe.min.js"
    except (OSError, subprocess.SubprocessError) as error:
        if REQUIRED:
            raise
        pytest.skip(f"{PACKAGE} could not be fetched, no page was judged by it: npm and a network are needed once ({error})")
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256, (
        f"{path} is not what was published; remove {path.parents[1]} and try again"
    )
    return content.decode()


def serious_faults(page: Tab) -> Iterator[str]:
    """Serious and critical faults of the page that is open, on desktop and phone, in light and dark: a line each."""
    page.evaluate(PREPARE)
    page.evaluate(f"{script()}; null")
    for screen, width in WIDTHS.items():
        for scheme, rules in SCHEMES.items():
            page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=screen == "phone")
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            page.evaluate(SETTLED)
            assert page.evaluate("document.documentElement.dataset.theme") in (scheme, None), "the theme did not follow"
            yield from (f"{screen}, {scheme}: {fault}" for fault in page.evaluate(RUN % rules))
