"""Wrong answers that students give: each must fail in a check that names the mistake, and other right answers must pass.

The same run of a chapter shows that no cell forgets the device on which a training leaves its network.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_cells import EXERCISE
from planted import bug_file, exercise_cells, plans, planted_outcomes, table

from denseseg.course.notebooks import Status

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_chapter = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

DOUBLE = """
[ex-00-double]
wrong = [
    ["add", "2 * x", "2 + x", "times"],
    ["other hint", "2 * x", "3 * x", "add"],
    ["half", "2 * x", "x / 2", "times"],
    ["breaks off", "2 * x", "x[2]", "times"],
    ["not noticed", "2 * x", "x + 7", "times"],
]
right = [["sum", "2 * x", "x + x"]]
[text]
wrong = [["seven", "x = 7", "x = 8", "seven"]]
"""


def test_planted_answers_are_told_apart(tmp_path: Path) -> None:
    book = new_notebook(
        cells=[
            new_code_cell('profile = "course"', metadata={"tags": ["parameters"]}),
            new_code_cell("from denseseg.course import check, check_close\nx = 7"),
            new_markdown_cell(":::{exercise}\n:label: ex-00-double\nWrite `double`.\n:::"),
            new_code_cell("def double(x):\n    return 2 * x", metadata={"tags": ["solution"]}),
            new_code_cell('check_close(double(x), 14, 0, "doubled", "2 times x")', metadata={"tags": ["solution-check"]}),
            new_code_cell('check(x == 7, "x", "seven")'),
        ]
    )
    nbformat.write(book, tmp_path / "00_toy.ipynb")
    (tmp_path / "00.toml").write_text(DOUBLE)
    outcomes = {one.name: one for one in planted_outcomes(tmp_path / "00_toy.ipynb", tmp_path / "00.toml")}
    assert [name for name, one in outcomes.items() if one.as_wanted] == ["seven", "add", "half", "sum"]
    assert outcomes["breaks off"].ended == "TypeError"
    assert outcomes["not noticed"].ended == "passed"
    assert table(list(outcomes.values())).splitlines()[-1].split() == ["all", "6", "4", "3", "1", "1"]


TRAIN = """
import torch
from denseseg.methods import create, get_recipe
from denseseg.phantom import chest_phantom
from denseseg.training import Run
cases = chest_phantom(4, (64, 64))
recipe = get_recipe("denseseg", "default").scaled(length=0.01, width=0.25, largest_batch=4)
method = create("denseseg", cases.anatomy, cases[0].size, recipe)
method.fit(cases, run=Run(seed=0, progress=False))
"""


def test_a_cell_that_forgets_the_device_is_found(tmp_path: Path) -> None:
    (tmp_path / "00.toml").touch()
    for name, where in (("careful", ", device=method.device"), ("careless", "")):
        cells = [new_code_cell(TRAIN), new_code_cell(f"method.network(torch.zeros(1, 1, 64, 64{where}))")]
        nbformat.write(new_notebook(cells=cells), tmp_path / f"00_{name}.ipynb")
    assert planted_outcomes(tmp_path / "00_careful.ipynb", tmp_path / "00.toml") == []
    with pytest.raises(RuntimeError, match=r"00_careless, cell 1: .*on the host meets tensors on the device"):
        planted_outcomes(tmp_path / "00_careless.ipynb", tmp_path / "00.toml")


@every_chapter
def test_each_exercise_has_three_planted_answers(path: Path) -> None:
    """And each of them names a piece of the solution that stands there."""
    bugs, cells = tomllib.loads(bug_file(path.stem).read_text(encoding="utf-8")), nbformat.read(path, as_version=4).cells
    assert plans(cells, bugs)
    labels = [label for cell in cells if cell.cell_type == "markdown" for label in EXERCISE.findall(cell.source)]
    coded = [label for label in labels if exercise_cells(cells, label)]
    assert not [label for label in coded if len(bugs.get(label, {}).get("wrong", [])) < 3]


@pytest.mark.notebook
@every_chapter
def test_planted_bugs_are_caught_and_named(path: Path, smoke_run: dict[str, Status]) -> None:
    """The smoke run comes first: chapters read what an earlier one has trained."""
    outcomes = planted_outcomes(path)
    print(table(outcomes))
    assert not [one for one in outcomes if not one.as_wanted]
