"""Plant the wrong answers of tests/bugs into a chapter, and see what its checks say.

    python tests/planted.py [--only 03 ...] [--root FOLDER]

A file of tests/bugs has a table for each exercise, and one named `text` for the cells of the chapter itself:

    [ex-01-half-pixel]
    wrong = [["what is wrong", "piece of the solution", "what stands there instead", "words of the hint"]]
    right = [["another right answer", "", "its whole code"]]

An empty piece replaces the whole solution. The chapter runs once, in the smoke profile. At each cell with plans the process
forks, and its copy, which has the chapter's variables, runs the changed cell and those that may notice. Networks that a cell has
trained lie on a pretended GPU from then on (pretend_device.py), so that a cell that forgets the device breaks off.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from notebook_cells import EXERCISE, tags

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60  # seconds for one planted answer
PASSED = "passed"


@dataclass(frozen=True)
class Plan:
    """One changed cell, the cells that run after it, and what must happen."""

    exercise: str
    name: str
    cells: tuple[str, ...]
    hint: str | None  # words that the hint of a wrong answer must have; None: a right answer
    start: int  # index of the changed cell


@dataclass(frozen=True)
class Outcome:
    """What the checks said of one planted answer: `passed`, `CheckFailed`, or the name of another error."""

    exercise: str
    name: str
    wanted: str | None
    ended: str
    hint: str = ""

    @property
    def caught(self) -> bool:
        return self.ended == "CheckFailed"

    @property
    def as_wanted(self) -> bool:
        """A right answer passed, or a wrong one failed in a check whose hint has the words."""
        if self.wanted is None:
            return self.ended == PASSED
        return self.caught and self.wanted.lower() in self.hint.lower()


def bug_file(name: str) -> Path:
    """The file of planted answers for the notebook `name`."""
    return ROOT / "tests" / "bugs" / f"{name.split('_')[0]}.toml"


def exercise_cells(cells: list[NotebookNode], label: str) -> list[int]:
    """Indices of the code cells `solution` and `solution-check` of one exercise; none where its answer is words."""
    begun, found = False, list[int]()
    for index, cell in enumerate(cells):
        if cell.cell_type == "markdown" and (labels := EXERCISE.findall(cell.source)):
            begun = label in labels
        elif begun and cell.cell_type == "code" and {"solution", "solution-check"} & set(tags(cell)):
            found.append(index)
    return found


def plans(cells: list[NotebookNode], bugs: dict[str, dict[str, Any]]) -> list[Plan]:
    """What a file of planted answers asks for. Raises LookupError where a piece stands nowhere or an exercise is missing."""
    return [
        plan(cells, exercise, name, old, new, *hint)
        for exercise, answers in bugs.items()
        for name, old, new, *hint in answers.get("wrong", []) + answers.get("right", [])
    ]


def plan(cells: list[NotebookNode], exercise: str, name: str, old: str, new: str, hint: str | None = None) -> Plan:
    if exercise == "text":
        own = [i for i, c in enumerate(cells) if c.cell_type == "code" and not {"solution", "solution-check"} & set(tags(c))]
        own = own[next((k for k, i in enumerate(own) if old in cells[i].source), len(own)) :]
    else:
        own = exercise_cells(cells, exercise)
    if not own or old not in cells[own[0]].source:
        raise LookupError(f"{exercise}, {name}: no such cell, or {old!r} is not in it")
    changed = cells[own[0]].source.replace(old, new) if old else new
    return Plan(exercise, name, (changed, *(cells[i].source for i in own[1:])), hint, own[0])


def run_cells(shell: Any, sources: tuple[str, ...]) -> tuple[str, str]:
    """Run cells up to the first error: how it ended, and the hint."""
    for source in sources:
        result = shell.run_cell(source)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            return type(error).__name__, getattr(error, "hint", str(error))
    return PASSED, ""


def outcome(shell: Any, planted: Plan) -> Outcome:
    """Run a plan in a copy of this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        os.write(writer, json.dumps(run_cells(shell, planted.cells)).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    ended, hint = json.loads(said) if said else ("no end", "")
    return Outcome(planted.exercise, planted.name, planted.hint, ended, hint)


def run_chapter(path: Path, bugs: Path) -> list[Outcome]:
    """Run one notebook in this process, in its folder, with its planted answers on the way."""
    from IPython.core.interactiveshell import InteractiveShell
    from pretend_device import keep_trained_networks_there

    keep_trained_networks_there()
    cells = nbformat.read(path, as_version=4).cells
    todo = plans(cells, tomllib.loads(bugs.read_text(encoding="utf-8")))
    os.chdir(path.parent)
    shell, outcomes = InteractiveShell.instance(), list[Outcome]()
    for index, cell in enumerate(cells):
        outcomes += [outcome(shell, p) for p in todo if p.start == index]
        if cell.cell_type == "code":
            profile = '\nprofile = "smoke"' if "parameters" in tags(cell) else ""
            ended, hint = run_cells(shell, (cell.source + profile,))
            if ended != PASSED:
                raise RuntimeError(f"{path.stem}, cell {index}: {ended}: {hint}")
    return outcomes


def planted_outcomes(path: Path, bugs: Path | None = None) -> list[Outcome]:
    """The same in a process of its own. It has no GPU and one thread: a process with more cannot be copied."""
    alone = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "outcomes.json"
        command = [sys.executable, __file__, "--chapter", str(path), str(bugs or bug_file(path.stem)), str(to)]
        ended = subprocess.run(command, env={**os.environ, **alone}, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(ended.stderr[-2000:])
        return [Outcome(**one) for one in json.loads(to.read_text(encoding="utf-8"))]


def table(outcomes: list[Outcome]) -> str:
    """Exercise by exercise: wrong answers tried, caught, and caught with the right hint; right answers that passed."""
    count = Counter[tuple[str, str]]()
    for one in outcomes:
        kind = ("tried", "caught", "hint right") if one.wanted is not None else ("right", "-", "passed")
        count.update([(one.exercise, kind[0])])
        count.update([(one.exercise, kind[1])] if one.caught else [])
        count.update([(one.exercise, kind[2])] if one.as_wanted else [])
    columns = ("tried", "caught", "hint right", "right", "passed")
    names = list(dict.fromkeys(one.exercise for one in outcomes))
    rows = [(name, *(count[name, column] for column in columns)) for name in names]
    rows.append(("all", *(sum(row[k] for row in rows) for k in range(1, len(columns) + 1))))
    form = "{:20s}" + "{:>12}" * len(columns)
    return "\n".join(form.format(*row) for row in (("", *columns), *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="numbers of chapters; all by default")
    parser.add_argument("--root", type=Path, default=ROOT, help="a repository whose notebooks are tried")
    parser.add_argument("--chapter", type=Path, nargs=3, metavar=("NOTEBOOK", "BUGS", "OUTCOMES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.chapter:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            outcomes = run_chapter(*options.chapter[:2])
        options.chapter[2].write_text(json.dumps([asdict(one) for one in outcomes]), encoding="utf-8")
        return
    outcomes = []
    for path in sorted((options.root / "notebooks").glob("*.ipynb")):
        if bug_file(path.stem).is_file() and (not options.only or path.stem.split("_")[0] in options.only):
            outcomes += planted_outcomes(path)
    for one in outcomes:
        if not one.as_wanted:
            print(f"{one.exercise}: {one.name}: {one.ended}: {one.hint}")
    print(table(outcomes))


if __name__ == "__main__":
    main()
