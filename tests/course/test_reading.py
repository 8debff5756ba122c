"""Reading times, and cells that only draw."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from denseseg.course.reading import LONG, cells_that_only_draw, reading_time

PICTURE = new_output("display_data", {"image/png": "", "text/plain": "<Figure>"})
DRAWING = "ax = plt.subplots()[1]\n" + "\n".join(f"ax.plot(x, {k} * x)" for k in range(LONG))


def drawn(source: str):
    return new_code_cell(source, outputs=[PICTURE])


def test_reading_time_grows_with_words_and_lines_and_leaves_solutions_out() -> None:
    prose, code = new_markdown_cell("word " * 2000), new_code_cell("x = 1\n" * 200)
    exercise = new_markdown_cell(":::{exercise} One\n:label: ex-one\nDo it.\n:::")
    solution = new_code_cell("x = 1\n" * 2000, metadata={"tags": ["solution"]})
    assert reading_time(new_notebook(cells=[prose, code])) == "About 20 minutes to read, and 0 exercises"
    assert reading_time(new_notebook(cells=[prose, exercise, solution])) == "About 10 minutes to read, and 1 exercise"
    assert reading_time(new_notebook(cells=[])) == "About 5 minutes to read, and 0 exercises"


def test_only_long_cells_that_draw_and_teach_nothing_are_found() -> None:
    only, later = drawn(DRAWING), new_code_cell("ax = 1\nprint(ax)")
    cells = [
        only,
        drawn("plt.plot(x)"),
        drawn(DRAWING + "\nprint(x)"),
        drawn(f"def f():\n    pass\n{DRAWING}"),
        new_code_cell(DRAWING),
    ]
    assert list(cells_that_only_draw(new_notebook(cells=[*cells, later]))) == [only]


def test_a_name_that_a_later_cell_needs_keeps_its_cell_open() -> None:
    needed = drawn(DRAWING + "\nslope = 3")
    assert list(cells_that_only_draw(new_notebook(cells=[needed, new_code_cell("print(slope)")]))) == []
    assert list(cells_that_only_draw(new_notebook(cells=[needed, new_code_cell("slope = 2\nprint(slope)")]))) == [needed]
