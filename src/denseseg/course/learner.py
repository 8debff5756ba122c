"""The learner edition: the notebooks without their solutions, in plain markdown, in the folder `learner`.

    python -m denseseg.course.learner [--force]

In a notebook an exercise is a markdown cell with an `{exercise}` directive, then a code cell tagged `solution` and one or
more tagged `solution-check`, or a markdown cell tagged `solution` where the answer is words. What a good answer in words says
stands in a markdown cell tagged `key-points`: the line `**Key points**` and a list.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from denseseg.course.folders import find_root
from denseseg.course.plain_markdown import plain_markdown, with_pictures
from denseseg.errors import exit_status
from denseseg.files import read_json, write_json

BLANK = "# YOUR SOLUTION HERE\nraise NotImplementedError"
# JupyterLab shows the first line of a cell that is folded
CHECK = "# The check of your answer: run this cell as it is\n"
ANSWER = "**Your answer** (double-click here and write; Shift + Enter when it is done):"
HEAD = "**Key points**\n\n"
TICK = "Tick what your answer says: double-click, and write `[x]` for `[ ]`."
MANIFEST = ".written.json"


def learner_edition(notebook: NotebookNode, root: Path) -> NotebookNode:
    """A copy with blanks for solutions, cells to answer in where words are asked for, checks and key points folded, plain markdown.

    root: the repository, for what the text refers to. Raises DataError where it refers to something that is not there.
    """
    edition = nbformat.from_dict({**notebook, "cells": []})
    for cell in notebook.cells:
        edition.cells += [nbformat.from_dict(new) for new in cells_for_learners(cell)]
    for cell in edition.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source, root)
            with_pictures(cell, root / "notebooks")
    return edition


def cells_for_learners(cell: NotebookNode) -> Iterator[dict]:
    """What stands in the edition for a cell: none, one or two."""
    tags = cell.metadata.get("tags", [])
    if "key-points" in tags:
        yield new_markdown_cell(ANSWER, id=f"{cell.id[:56]}-answer", metadata={"tags": ["answer"]})
        yield {**cell, "source": key_points(cell, TICK)}
    elif "solution-check" in tags:
        yield {**cell, "source": CHECK + cell.source, "metadata": {**cell.metadata, "jupyter": {"source_hidden": True}}}
    elif "solution" not in tags:
        yield cell
    elif cell.cell_type == "code":
        yield {**cell, "source": BLANK}


def key_points(cell: NotebookNode, how: str = "") -> str:
    """The list in a cell tagged `key-points`, folded and with boxes to tick."""
    points = cell.source.removeprefix(HEAD)
    boxes = "\n".join("- [ ] " + line[2:] if line.startswith("- ") else line for line in points.splitlines())
    return f":::{{admonition}} Key points: open when you have answered\n:class: dropdown\n{how}\n\n{boxes}\n:::"


@dataclass
class Written:
    """Names of files of the edition by what became of them."""

    new: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # the reader changed them
    replaced: list[str] = field(default_factory=list)  # changed by the reader, and overwritten by force

    def __str__(self) -> str:
        lines = [f"{len(self.new)} notebooks written, {len(self.renewed)} renewed that you had not changed"]
        if self.kept:
            lines.append(f"kept as you changed them: {', '.join(self.kept)} (delete one to get it anew; FORCE=1 replaces them all)")
        if self.replaced:
            lines.append(f"replaced, with all that you had changed in them: {', '.join(self.replaced)}")
        return "\n".join(lines)


def write_learner_edition(root: Path, folder: Path, force: bool = False) -> Written:
    """Write the edition of every notebook to a folder, but over no file that was changed since it was written, unless by force.

    A file that is as it was written is renewed, or removed where the book no longer has its chapter.
    """
    written = Written()
    folder.mkdir(exist_ok=True)
    manifest = folder / MANIFEST
    hashes = read_json(manifest) if manifest.is_file() else {}
    chapters = {path.name: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    editions = {n: nbformat.writes(learner_edition(nbformat.read(p, as_version=4), root)) + "\n" for n, p in chapters.items()}
    for name, text in editions.items():
        path = folder / name
        changed = path.is_file() and digest(path.read_bytes()) not in {hashes.get(name), digest(text.encode())}
        fate = "new" if not path.is_file() else "renewed" if not changed else "replaced" if force else "kept"
        getattr(written, fate).append(name)
        if fate != "kept":
            path.write_bytes(text.encode())
            hashes[name] = digest(text.encode())
    for name in hashes.keys() - editions.keys():
        path, hashed = folder / name, hashes.pop(name)
        if path.is_file() and digest(path.read_bytes()) == hashed:
            path.unlink()
    write_json(manifest, hashes)
    return written


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m denseseg.course.learner", description="Write the notebooks without solutions.")
    parser.add_argument("--force", action="store_true", help="also over notebooks that were changed")
    options = parser.parse_args(arguments)

    def write() -> None:
        root = find_root()
        print(f"{write_learner_edition(root, root / 'learner', options.force)}\nThey lie in {root / 'learner'}")

    return exit_status(write)


if __name__ == "__main__":
    sys.exit(main())
