"""Slides from executed notebooks: a deck a chapter, of its goals, figures, checks and conclusions, without code.

    python -m denseseg.course.slides --profile course

Decks go to build/slides, with reveal.js and MathJax beside them, so that they can be shown without a network.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode

from denseseg.course.folders import find_root
from denseseg.course.notebooks import find_notebooks, read_status
from denseseg.course.staging import BANNERS, caption
from denseseg.course.vendor import VENDORED, copy_packages
from denseseg.errors import DataError, exit_status

REVEAL = ("reveal.js@6.0.2", ("dist/reveal.js", "dist/reveal.css", "dist/theme/white.css"))
PACKAGES = {"reveal": REVEAL, "mathjax": VENDORED["mathjax"]}
CHECKS = 9  # on a slide
TOY = '<p class="toy">Made-up radiographs, a small run: numbers teach, they are no results.</p>'
FONT = "font-family: -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
# nbconvert's own template for reveal.js asks three servers for its scripts; ours takes them from beside the deck
TEMPLATE = r"""
{%- extends 'reveal/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block notebook_css -%}
<style>
html, body, main { height: 100%; margin: 0; }
.reveal { FONT; font-size: 27px; }
.reveal h1, .reveal h2 { FONT; text-transform: none; }
.reveal h1 { font-size: 1.9em; margin-top: 3em; }
.reveal h2 { font-size: 1.3em; margin: 0 0 0.5em; }
.reveal ul { display: block; text-align: left; list-style: disc outside; margin: 0 2em; line-height: 1.35; }
.reveal li { margin-bottom: 0.5em; }
.reveal section img { display: block; margin: 0 auto; max-width: none; max-height: none; width: 1180px; height: 490px; }
.reveal section img { object-fit: contain; }
.reveal p.caption { font-size: 0.62em; line-height: 1.35; text-align: left; margin: 0.4em 1em 0; }
.reveal .slide-number { background: #444; }
.reveal p.toy { font-size: 0.7em; color: #8a4b00; }
</style>
{%- endblock -%}
{%- block html_head_js_mathjax -%}
<script>
window.MathJax = { tex: { inlineMath: [["$", "$"], ["\\(", "\\)"]] }, startup: { typeset: true } };
</script>
<script defer src="vendor/mathjax/es5/tex-mml-chtml.js"></script>
{%- endblock -%}
{%- block footer_js -%}
<script src="vendor/reveal/dist/reveal.js"></script>
<script>
Reveal.initialize({ hash: true, slideNumber: "c/t", transition: "none", width: 1280, height: 720, margin: 0.04, center: false });
</script>
{%- endblock -%}
""".replace("FONT", FONT)


def slides_of(notebook: NotebookNode, profile: str) -> Iterator[str]:
    """The slides of an executed notebook, each as markdown: title, goals, figures, checks, what we saw. Solutions are left out."""
    cells = [cell for cell in notebook.cells if not {"solution", "solution-check"} & set(cell.metadata.get("tags", []))]
    text = [plain(cell.source) for cell in cells if cell.cell_type == "markdown"]
    title = next(line.removeprefix("# ") for source in text for line in source.splitlines() if line.startswith("# "))
    yield f"# {title}\n\n" + (TOY if profile in BANNERS else "")
    whole = "\n\n".join(text)
    if goals := re.search(r"\*\*Learning goals\.\*\*(.*?)(?=\n\n)", whole, re.DOTALL):
        yield f"## After this chapter you can\n\n{bullets(goals.group(1))}"
    yield from figures(cells, title)
    done = [line.strip() for cell in cells for line in printed(cell).splitlines() if line.startswith("✓")]
    for first in range(0, len(done), CHECKS):
        yield "## What was checked\n\n" + "\n".join(f"- {line}" for line in done[first : first + CHECKS])
    if saw := re.search(r"^## What we saw\n+((?:- .*\n(?:(?!\n).*\n)*)+)", whole + "\n", re.MULTILINE):
        yield f"## What we saw\n\n{saw.group(1)}"


def bullets(text: str) -> str:
    """The list in a text that begins with "After this page you can"."""
    return text[text.index("- ") :] if "- " in text else text


def figures(cells: Sequence[NotebookNode], title: str) -> Iterator[str]:
    """A slide for each picture: heading of its section (before the first one the chapter's title), the picture, its caption."""
    section = title
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type == "markdown":
            section = (re.findall(r"^## (.+)$", plain(cell.source), re.MULTILINE) or [section])[-1]
        for output in cell.get("outputs", []):
            if picture := output.get("data", {}).get("image/png"):
                said = caption(cell, after)
                alt = said.replace('"', "'") or "A figure"
                source = "".join(picture).replace("\n", "")
                under = formatted_caption(after) if after is not None and "**Figure" in after.source[:9] else said
                yield f'## {section}\n\n<img alt="{alt}" src="data:image/png;base64,{source}">\n\n<p class="caption">{under}</p>'


def formatted_caption(cell: NotebookNode) -> str:
    """The caption with its formulas, its emphasis as HTML."""
    text = plain(cell.source.split("\n\n")[0]).removeprefix("**Figure.** ")
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    return re.sub(r"(?<![\w*])\*([^*$]+)\*(?![\w*])", r"<i>\1</i>", text)


def printed(cell: NotebookNode) -> str:
    """What a code cell printed, each line that was wrapped in one piece again."""
    text = "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout")
    return text.replace("\n  ", " ")


def plain(text: str) -> str:
    """Markdown without what only the book can resolve: roles such as {term}`a <b>`, and links to other chapters."""
    text = re.sub(r"\{[a-z:]+\}`([^`<]*?) *(?:<[^`]*>)?`", r"\1", text)
    return re.sub(r"\[([^\]]+)\]\([\w.]+\.ipynb[^)]*\)", r"\1", text)


def deck(notebook: NotebookNode, profile: str, name: str) -> str:
    """The deck of an executed notebook as one HTML page, which expects `vendor` beside it."""
    pages = nbformat.v4.new_notebook()
    for markdown in slides_of(notebook, profile):
        pages.cells.append(nbformat.v4.new_markdown_cell(markdown, metadata={"slideshow": {"slide_type": "slide"}}))
    places = {"reveal_url_prefix": "vendor/reveal", "reveal_theme": "white"}
    exporter = SlidesExporter(raw_template=TEMPLATE, exclude_anchor_links=True, **places)
    return exporter.from_notebook_node(pages, resources={"metadata": {"name": name}})[0]


def write_slides(root: Path, profile: str, folder: Path | None = None) -> list[Path]:
    """Write a deck for each notebook that has been run in `profile`; all in `folder`, build/slides by default.

    Raises DataError where none has been run, or where reveal.js cannot be fetched.
    """
    folder, executed = folder or root / "build" / "slides", root / "build" / "executed" / profile
    done = [name for name in find_notebooks(root) if (status := read_status(executed, name)) and status.status == "passed"]
    if not done:
        raise DataError(f"no notebook has been run in profile {profile}; run some: make preview PROFILE={profile} ONLY=03")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        copy_packages(PACKAGES, root / "build" / "vendor", folder / "vendor")
    except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
        raise DataError(f"reveal.js and MathJax could not be fetched: npm and a network are needed once ({error})") from error
    for name in done:
        page = deck(nbformat.read(executed / f"{name}.ipynb", as_version=4), profile, name)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return [folder / f"{name}.html" for name in done]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m denseseg.course.slides", description="Make slides from executed notebooks.")
    parser.add_argument("--profile", default="course", help="course is the default")
    options = parser.parse_args(arguments)
    return exit_status(lambda: print(*write_slides(find_root(), options.profile), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
