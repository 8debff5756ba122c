# ruff: noqa: E501 (tables: one attack a line)
"""Requests that the runner of notebooks cannot meet, and places where it cannot work."""

from __future__ import annotations

import json
from pathlib import Path

from attacks.common import Attack, holding
from attacks.training import while_another
from helpers import write_notebook

from denseseg.course.notebooks import run_notebooks


def book(folder: Path) -> None:
    (folder / "notebooks").mkdir()
    (folder / "_toc.yml").write_text("")
    write_notebook(folder, "01_a", "x = 1")


def spoilt(change):
    """A toy book, changed."""

    def spoil(folder: Path) -> None:
        book(folder)
        change(folder)

    return spoil


def asked(**changes):
    more = {"profile": "smoke", "jobs": 1} | changes
    return lambda folder: run_notebooks(**more, root=folder)


def with_cells(folder: Path, change) -> None:
    path = folder / "notebooks" / "01_a.ipynb"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


REQUESTS = {
    "no jobs": Attack(book, asked(jobs=0), "--jobs 0: give the number of notebooks that run at once, at least 1"),
    "jobs below 0": Attack(book, asked(jobs=-2), "--jobs -2: give the number"),
    "no time": Attack(book, asked(limit=0.0), "--limit 0: give the seconds that a notebook may take, more than 0"),
    "time below 0": Attack(book, asked(limit=-5.0), "--limit -5: give the seconds"),
    "time that is no number": Attack(book, asked(limit=float("nan")), "--limit nan: give the seconds"),
    "an unknown profile": Attack(book, asked(profile="smok"), "there is no profile 'smok'; there are: smoke"),
    "no profile": Attack(book, asked(profile=""), "there is no profile ''; there are: smoke"),
    "an unknown notebook": Attack(book, asked(only=["02"]), "there is no notebook '02'; there are: 01_a"),
    "a notebook's title": Attack(book, asked(only=["The first"]), "there is no notebook 'The first'; there are"),
    "an unknown parameter": Attack(book, asked(parameters={"answr": 1}), "01_a has no parameter 'answr'; it has: profile, answer"),
    "a file for the build": Attack(spoilt(holding("build", "text")), asked(), r"build.* cannot be written .*\(--build names another folder\)"),
    "a file for the executed": Attack(spoilt(lambda f: ((f / "build").mkdir(), (f / "build" / "executed").write_text(""))), asked(), r"executed.* cannot be written .*\(--build names"),
    "a file for the profile's": Attack(spoilt(lambda f: ((f / "build" / "executed").mkdir(parents=True), (f / "build" / "executed" / "smoke").write_text(""))), asked(), r"smoke cannot be written: it is a file; move it away.*\(--build names"),
    "two runners": Attack(book, while_another(asked(), "build/executed/smoke"), r"smoke is being written by another program; wait for its end, .*\(--build names"),
    "a notebook cut off": Attack(spoilt(lambda f: (f / "notebooks/01_a.ipynb").write_text('{"cells": [')), asked(), "01_a.ipynb is not a notebook that can be read"),
    "an empty notebook": Attack(spoilt(holding("notebooks/01_a.ipynb", b"")), asked(), "01_a.ipynb is not a notebook that can be read"),
    "a list for a notebook": Attack(spoilt(holding("notebooks/01_a.ipynb", "[]")), asked(), "01_a.ipynb is not a notebook that can be read"),
    "a folder for a notebook": Attack(spoilt(lambda f: (f / "notebooks" / "02_b.ipynb").mkdir()), asked(), "02_b.ipynb is not a notebook that can be read"),
    "no parameters": Attack(spoilt(lambda f: with_cells(f, lambda c: c["cells"].pop(0))), asked(), "01_a.ipynb has no cell tagged `parameters`; give it one"),
    "parameters that are no Python": Attack(spoilt(lambda f: with_cells(f, lambda c: c["cells"][0].update(source="profile = "))), asked(), "01_a.ipynb: its cell of parameters is no Python .*; correct it"),
    "a need that is not there": Attack(spoilt(lambda f: write_notebook(f, "02_b", "", needs=("09",))), asked(), "02_b needs '09', which is none of: 01_a, 02_b"),
    "a need of itself": Attack(spoilt(lambda f: write_notebook(f, "02_b", "", needs=("02_b",))), asked(), "need one another in a circle: 02_b -> 02_b"),
    "no notebooks": Attack(spoilt(lambda f: (f / "notebooks" / "01_a.ipynb").unlink()), asked(), "notebooks holds no notebooks; run this in the book's repository"),
    "a repository without a book": Attack(lambda f: None, asked(), "notebooks holds no notebooks; run this"),
    "needs of a wrong kind": Attack(spoilt(lambda f: with_cells(f, lambda c: c["metadata"].update(denseseg={"needs": 3}))), asked(), "01_a.ipynb: `needs` in its metadata must be a list of names; correct it"),
}  # fmt: skip
