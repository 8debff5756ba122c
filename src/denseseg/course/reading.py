"""How long a chapter takes to read, and which of its cells a reader may skip."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

WORDS, LINES = 200, 20  # read in a minute: words of prose, lines of code
LONG = 8  # lines; a shorter cell that draws says in a glance what is drawn


def reading_time(notebook: NotebookNode) -> str:
    """In words, such as "About 25 minutes to read, and 3 exercises": by its words and lines of code, without the solutions."""
    text = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    exercises = sum(len(re.findall(r"\{exercise\}", source)) for source in text)
    minutes = max(5, 5 * round(sum(minutes_by_section(notebook).values()) / 5))
    return f"About {minutes} minutes to read, and {exercises} exercise{'s' if exercises != 1 else ''}"


def minutes_by_section(notebook: NotebookNode) -> dict[str, float]:
    """Title of each section -> minutes to read it, solutions left out; "" is what stands before the first section."""
    minutes, section = {"": 0.0}, ""
    for cell in notebook.cells:
        if {"solution", "solution-check"} & set(cell.metadata.get("tags", [])):
            continue
        if cell.cell_type == "code":
            minutes[section] += sum(bool(line.strip()) for line in cell.source.splitlines()) / LINES
            continue
        for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
            if part.startswith("## "):
                section = part.splitlines()[0].removeprefix("## ").strip()
            minutes.setdefault(section, 0.0)
            minutes[section] += len(re.sub(r"\$\$.*?\$\$", "", part, flags=re.DOTALL).split()) / WORDS
    return minutes


def cells_that_only_draw(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Long code cells that show a figure and define, check or print nothing, and give no name to a later cell."""
    used_later: set[str] = set()
    for cell in reversed(notebook.cells):
        if cell.cell_type != "code":
            continue
        names = list(_names(cell.source))
        given = {name for name, stored in names if stored}
        said = {name for name, stored in names if not stored}
        teaches = given & used_later or said & {"check", "check_close", "print"} or re.search(r"^def ", cell.source, re.MULTILINE)
        if shows_image(cell) and len(cell.source.splitlines()) > LONG and not teaches:
            yield cell
        used_later = used_later - given | (said - given)  # what a cell gives itself it needs from no other


def shows_image(cell: NotebookNode) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def _names(source: str) -> Iterator[tuple[str, bool]]:
    """Every name in a cell, and whether it is given there. Lines for IPython alone are left out."""
    plain = "\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))
    for node in ast.walk(ast.parse(plain)):
        if isinstance(node, ast.Name):
            yield node.id, isinstance(node.ctx, ast.Store)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, True
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name.split(".")[0], True) for alias in node.names)
