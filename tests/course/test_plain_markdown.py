"""MyST as plain markdown."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from nbformat.v4 import new_markdown_cell

from denseseg.course.plain_markdown import plain_markdown, with_pictures
from denseseg.errors import DataError


@pytest.mark.parametrize(
    ("myst", "plain"),
    [
        ("a {term}`uv map`, {term}`two <uv map>`", "a uv map, two"),
        ("{cite:t}`keuth2025denseseg`", "[Keuth et al. (2025)](https://doi.org/10.1007/s11548-024-03315-8)"),
        (
            "{cite:p}`sun2018integral,nibali2018dsnt`",
            "(Sun et al., 2018; [Nibali et al., 2018](https://arxiv.org/abs/1801.07372))",
        ),
        ("{cite:t}`vanginneken2006scr`", "[van Ginneken et al. (2006)](https://doi.org/10.1016/j.media.2005.02.002)"),
        ("{doc}`13_wrist`", "[13 · Evaluating the wrist](13_wrist.ipynb)"),
        ("{doc}`chapter 14 <../notebooks/14_statistics>`", "[chapter 14](14_statistics.ipynb)"),
        ("see {doc}`/book/results`", "see *Results*"),
        ("[results page](../book/results.md), [ten](10_training.ipynb)", "*results page*, [ten](10_training.ipynb)"),
        (":::{exercise} Two\n:label: ex-00-two\nWrite {term}`TRE`.\n:::\n", "### Exercise: Two `ex-00-two`\n\nWrite TRE.\n"),
        ("(here)=\n## Title", "## Title"),
        (":::{warning}\nHot.\n\n- very\n:::", "> **Warning**\n>\n> Hot.\n>\n> - very"),
        (
            "::::{admonition} More\n:class: dropdown\n:::{note}\nx\n:::\n::::",
            "<details>\n<summary>More</summary>\n\n> **Note**\n>\n> x\n\n</details>",
        ),
        ("```{figure} a.svg\n:alt: An a\nA caption.\n```", "![An a](a.svg)\n\nA caption."),
        ("```python\nx = {1}\n```", "```python\nx = {1}\n```"),
        ("`{x}` and `y`", "`{x}` and `y`"),
        ("$$ a = b $$\n\n| a |\n|---|", "$$ a = b $$\n\n| a |\n|---|"),
    ],
)
def test_what_becomes_of_myst(myst: str, plain: str) -> None:
    assert plain_markdown(myst, ROOT) == plain


def test_a_question_of_the_page_shows_no_answer() -> None:
    plain = plain_markdown(":::{quiz} outputs-of-two-kinds\n:::", ROOT)
    assert plain.startswith("**Question.** A method that paints one heatmap") and "51" not in plain


@pytest.mark.parametrize(
    ("myst", "problem"),
    [
        (":::{quiz} no-such\n:::", "no question 'no-such'"),
        (":::{quizz}\nx\n:::", r"directive \{quizz\}"),
        ("{numref}`fig`", r"role \{numref\}"),
        ("{cite:t}`nobody1999`", "nobody1999 is not in"),
        ("{doc}`99_gone`", "leads to no chapter"),
    ],
)
def test_what_it_does_not_know_is_an_error(myst: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        plain_markdown(myst, ROOT)


def test_a_picture_travels_with_its_cell(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg/>")
    cell = with_pictures(new_markdown_cell("![An a](a.svg) ![far](https://example.org/b.png)"), tmp_path)
    assert cell.source == "![An a](attachment:a.svg) ![far](https://example.org/b.png)"
    assert cell.attachments == {"a.svg": {"image/svg+xml": "PHN2Zy8+"}}
