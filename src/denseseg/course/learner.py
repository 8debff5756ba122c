"""The learner edition: the notebooks without their solutions, in build/learner.

    python -m denseseg.course.learner

In a notebook an exercise is a markdown cell with an `{exercise}` directive, then a code cell tagged `solution` and a
code cell tagged `solution-check`, or a markdown cell tagged `solution` where the answer is words.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from denseseg.course.folders import find_root
from denseseg.errors import exit_status

BLANK = "# YOUR SOLUTION HERE\nraise NotImplementedError"


def learner_edition(notebook: NotebookNode) -> NotebookNode:
    """A copy with a blank for each code cell tagged `solution`, and without the markdown cells tagged so."""
    edition = nbformat.from_dict({**notebook, "cells": []})
    for cell in notebook.cells:
        solution = "solution" in cell.metadata.get("tags", [])
        if not solution:
            edition.cells.append(nbformat.from_dict(cell))
        elif cell.cell_type == "code":
            edition.cells.append(nbformat.from_dict({**cell, "source": BLANK}))
    return edition


def write_learner_edition(root: Path) -> list[Path]:
    """Write the learner edition of every notebook of the book, and return the files."""
    folder = root / "build" / "learner"
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    for path in paths:
        nbformat.write(learner_edition(nbformat.read(path, as_version=4)), folder / path.name)
    return [folder / path.name for path in paths]


def main() -> None:
    files = write_learner_edition(find_root())
    print(f"{len(files)} notebooks without solutions: {find_root() / 'build' / 'learner'}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
