"""Tables as text: markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd


def format_mean_sd(mean: float, sd: float | None, digits: int = 1) -> str:
    """ "5.8 ± 4.0"; the mean alone where there is no SD, "-" where there is no mean."""
    if mean is None or pd.isna(mean):
        return "-"
    return f"{mean:.{digits}f}" + ("" if sd is None or pd.isna(sd) else f" ± {sd:.{digits}f}")


def to_markdown(table: pd.DataFrame) -> str:
    """A table of `comparison_table` (or any flat or indexed table) as a markdown pipe table."""
    return pipe_table(*_cells(table)) + "\n"


def pipe_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same from cells that are text already, without a newline at the end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def to_latex(table: pd.DataFrame) -> str:
    """The same as a LaTeX tabular with booktabs rules."""
    header, rows = _cells(table)
    lines = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in [header, *rows]]
    columns = "l" * table.index.nlevels + "r" * len(table.columns)
    begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", end]) + "\n"


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    flat = table.reset_index()
    return [str(column) for column in flat.columns], [[str(cell) for cell in row] for row in flat.to_numpy()]


def _latex(text: str) -> str:
    for plain, escaped in (("\\", r"\textbackslash "), ("&", r"\&"), ("%", r"\%"), ("_", r"\_"), ("#", r"\#"), ("±", r"$\pm$")):
        text = text.replace(plain, escaped)
    return text
