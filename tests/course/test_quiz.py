"""Questions as a reader meets them: a page of three, built by Sphinx and answered in a browser from a file address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import Tab, needs_browser, tab
from conftest import ROOT
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

QUESTIONS = r"""
- name: half
  kind: number
  ask: How much is $\frac{1}{2}$ mm in pixels of 0.25 mm?
  value: 2
  tolerance: 0.1
  unit: px
  right: Half a millimetre holds two of them.
  wrong:
    - {value: 0.125, feedback: You multiplied; divide by $0.25$.}
  otherwise: How often does a pixel fit?
- name: colour
  kind: choice
  ask: What absorbs most?
  right: {text: "*bone*", feedback: It holds **calcium**.}
  wrong:
    - {text: "`air`", feedback: Air lets the rays pass.}
    - {text: fat, feedback: Fat absorbs less than water.}
- name: steps
  kind: order
  ask: |
    Bring these in order:

    $$ x' = (x + 0.5) s - 0.5 $$
  steps:
    - {text: add $0.5$}
    - {text: multiply by $s$, feedback: The scale acts on a corner.}
    - {text: subtract $0.5$, feedback: That leads back to the centre.}
  right: Corner, scale, centre.
"""
FORMULAS = "window.typeset = []; window.MathJax = { typesetPromise: (places) => window.typeset.push(places[0].innerHTML) };"
CONF = f"""
extensions = ["myst_nb", "denseseg.course.quiz"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "colon_fence"]
html_static_path = [{str(ROOT / "book" / "_static")!r}, "static"]
html_theme = "sphinx_book_theme"
mathjax_path = "formulas.js"
quiz_folder = "questions"
"""


def built(folder: Path, *names: str) -> tuple[Path, str]:
    """The page of a notebook that asks these questions, and Sphinx's warnings."""
    (folder / "questions").mkdir()
    (folder / "questions" / "01.yml").write_text(QUESTIONS, encoding="utf-8")
    (folder / "static").mkdir()
    (folder / "static" / "formulas.js").write_text(FORMULAS, encoding="utf-8")
    (folder / "conf.py").write_text(CONF, encoding="utf-8")
    texts = ["# A chapter", "## Its section", *(f":::{{quiz}} {name}\n:::" for name in names)]
    nbformat.write(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_markdown_cell, texts))), folder / "index.ipynb")
    warnings = folder / "warnings.txt"
    with patch_docutils(), docutils_namespace(), warnings.open("w") as stream:
        app = Sphinx(folder, folder, folder / "html", folder / "doctrees", "html", status=None, warning=stream)
        app.build()
    return folder / "html" / "index.html", warnings.read_text()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    html, warnings = built(tmp_path_factory.mktemp("pages"), "half", "colour", "steps")
    assert warnings == ""
    return html


def test_the_source_of_a_page_does_not_give_the_answer_away(page: Path) -> None:
    """Questions and choices can be read in it, feedback and which choice is right cannot."""
    source = page.read_text(encoding="utf-8")
    assert "What absorbs most?" in source and "<em>bone</em>" in source and ">air<" in source
    for feedback in ("calcium", "rays", "You multiplied", "two of them", "acts on a corner", "Corner, scale"):
        assert feedback not in source
    form = source[source.index('id="quiz-half"') : source.index('id="quiz-colour"')]
    assert "tolerance" not in form and "value" not in form
    choices = re.findall(r"<label>.*?</label>", source, re.DOTALL)
    assert len({re.sub(r'value="\d"|<span>.*</span>', "", choice, flags=re.DOTALL) for choice in choices}) == 1


def test_a_question_that_is_not_there_stops_a_strict_build(tmp_path: Path) -> None:
    assert "there is no question 'hlaf'" in built(tmp_path, "hlaf")[1]


# ---- in a browser ---------------------------------------------------------------------------------------------------

CHOOSE = """[...document.querySelectorAll("#quiz-colour label")].find((label) => label.textContent.includes("%s")).click()"""
TYPE = """document.querySelector("#quiz-half input").value = "%s" """
CHECK = """document.querySelector("#quiz-%s .quiz-check").click()"""
SAID = """document.querySelector("#quiz-%s .quiz-said").innerText"""
PROGRESS = """[...document.querySelectorAll(".quiz-progress")].filter((line) => line.checkVisibility())[0].innerText"""
STEPS = """[...document.querySelectorAll("#quiz-steps li > span[id]")].map((step) => step.innerText.split(" ")[0])"""
UP = """[...document.querySelectorAll("#quiz-steps li")]
  .find((step) => step.innerText.startsWith("%s")).querySelector("button").click()"""


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    # without the flag, Chromium 156 gives a page from a file that reads its storage early now and then another, empty one
    with tab(tmp_path_factory.mktemp("profile"), 390, 900, "--allow-file-access-from-files") as opened:
        yield opened


@pytest.fixture
def browser(phone: Tab, page: Path) -> Tab:
    """The page before anything is answered."""
    phone.open(page.as_uri())
    phone.evaluate("localStorage.clear()")
    phone.open(page.as_uri())
    return phone


def said(browser: Tab, name: str) -> str:
    browser.evaluate(CHECK % name)
    return browser.evaluate(SAID % name)


def arrange(browser: Tab, *wanted: str) -> None:
    """Move steps up until they stand so."""
    for place, step in enumerate(wanted):
        while browser.evaluate(STEPS).index(step) > place:
            browser.evaluate(UP % step)


@needs_browser
def test_a_choice_is_judged_and_kept(browser: Tab, page: Path) -> None:
    assert "Choose one" in said(browser, "colour")
    browser.evaluate(CHOOSE % "air")
    first = said(browser, "colour")
    assert "Not yet" in first and "Air lets the rays pass." in first and "Read again: Its section" in first
    browser.evaluate(CHOOSE % "fat")
    assert "Fat absorbs less than water." in said(browser, "colour")
    assert "0 of 3" in browser.evaluate(PROGRESS)
    browser.evaluate(CHOOSE % "bone")
    assert "It holds calcium." in said(browser, "colour")
    assert "1 of 3" in browser.evaluate(PROGRESS)
    browser.open(page.as_uri())
    assert "1 of 3" in browser.evaluate(PROGRESS)
    assert "It holds calcium." in browser.evaluate(SAID % "colour")
    assert browser.evaluate("""document.querySelector("#quiz-colour :checked").parentNode.innerText""") == "bone"
    assert browser.errors() == []


@needs_browser
def test_a_number_is_judged_within_its_tolerance_and_kept(browser: Tab, page: Path) -> None:
    for typed, answer in {
        "": "Type a number first",
        "two": "Type a number first",
        "0.125": "You multiplied",
        "0,125": "You multiplied",
        "-2": "How often",
        "2.2": "How often",
        "2.1": "two of them",
        "1,9": "two of them",
    }.items():
        browser.evaluate(TYPE % typed)
        assert answer in said(browser, "half"), typed
    browser.open(page.as_uri())
    assert "1 of 3" in browser.evaluate(PROGRESS)
    assert browser.evaluate("""document.querySelector("#quiz-half input").value""") == "2"


@needs_browser
def test_steps_are_judged_by_the_first_out_of_place_and_kept(browser: Tab, page: Path) -> None:
    arrange(browser, "multiply", "add", "subtract")
    assert "acts on a corner" in said(browser, "steps")
    arrange(browser, "add", "subtract", "multiply")
    assert "leads back" in said(browser, "steps")
    arrange(browser, "add", "multiply", "subtract")
    assert "Corner, scale, centre." in said(browser, "steps")
    browser.open(page.as_uri())
    assert browser.evaluate(STEPS) == ["add", "multiply", "subtract"]
    assert "1 of 3" in browser.evaluate(PROGRESS)


@needs_browser
def test_answers_can_be_forgotten(browser: Tab, page: Path) -> None:
    asked = browser.evaluate(STEPS)
    arrange(browser, "add", "multiply", "subtract")
    said(browser, "steps")
    browser.evaluate("""document.querySelector(".quiz-progress button").click()""")
    assert "0 of 3" in browser.evaluate(PROGRESS)
    assert browser.evaluate(STEPS) == asked
    browser.open(page.as_uri())
    assert "0 of 3" in browser.evaluate(PROGRESS)


@needs_browser
def test_it_works_where_the_browser_keeps_nothing(browser: Tab, page: Path) -> None:
    refuse = """Object.defineProperty(window, "localStorage", { get() { throw new DOMException("denied", "SecurityError"); } })"""
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=refuse)
    try:
        browser.open(page.as_uri())
        browser.evaluate(CHOOSE % "bone")
        assert "It holds calcium." in said(browser, "colour")
        assert "1 of 3" in browser.evaluate(PROGRESS)
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", **script)


@needs_browser
def test_keys_alone_answer(browser: Tab) -> None:
    """Space chooses and presses, Enter in the field checks, and a step that was moved keeps the focus."""

    def key(name: str, code: int, text: str) -> None:
        for kind in ("keyDown", "keyUp"):
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code, text=text if kind == "keyDown" else ""
            )

    browser.evaluate("""document.querySelector("#quiz-half input").focus()""")
    browser.call("Input.insertText", text="2")
    key("Enter", 13, "\r")
    assert "two of them" in browser.evaluate(SAID % "half")
    browser.evaluate("""document.querySelector("#quiz-colour input").focus()""")
    key(" ", 32, " ")
    key("Enter", 13, "\r")
    assert browser.evaluate(SAID % "colour") != ""
    browser.evaluate("""document.querySelectorAll("#quiz-steps li")[2].querySelector("button").focus()""")
    before = browser.evaluate(STEPS)
    key(" ", 32, " ")
    key(" ", 32, " ")
    assert browser.evaluate(STEPS) == [before[2], before[0], before[1]]
    assert "Now step 1 of 3" in browser.evaluate(SAID % "steps")


@needs_browser
def test_formulas_in_feedback_are_typeset(browser: Tab) -> None:
    browser.evaluate(TYPE % "0.125")
    said(browser, "half")
    assert r"\(0.25\)" in browser.evaluate("window.typeset.at(-1)")


@needs_browser
def test_all_that_can_be_operated_has_a_name_and_fits_a_phone(browser: Tab) -> None:
    browser.call("Accessibility.enable")
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {
        role: [n["name"]["value"] for n in tree if n.get("role", {}).get("value") == role]
        for role in ("radio", "textbox", "radiogroup")
    }
    assert sorted(roles["radio"]) == ["air", "bone", "fat"]
    assert "What absorbs most?" in roles["radiogroup"]
    assert any("mm in pixels" in name and name.endswith("px") for name in roles["textbox"])
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
