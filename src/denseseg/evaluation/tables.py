"""Tables as text: markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

MARKUP = re.compile(r"(?<!\w)_|_(?!\w)|[^\w\s.,:;()/+×±%°@'’–-]")  # an underscore within a word is none


def format_mean_sd(mean: float, sd: float | None, digits: int = 1) -> str:
    """ "5.8 ± 4.0"; the mean alone where there is no SD, "-" where there is no mean."""
    if mean is None or pd.isna(mean):
        return "-"
    return f"{mean:.{digits}f}" + ("" if sd is None or pd.isna(sd) else f" ± {sd:.{digits}f}")


def to_markdown(table: pd.DataFrame) -> str:
    """A table of `comparison_table` (or any indexed table) as a markdown pipe table."""
    flat = table.reset_index()
    return pipe_table([str(column) for column in flat.columns], flat.astype(str).to_numpy()) + "\n"


def pipe_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same from cells that are text already, without a newline at the end."""
    table = pd.DataFrame(list(rows), columns=list(header)).rename(columns=_escaped)
    return table.map(_escaped).to_markdown(index=False, disable_numparse=True)


def as_text(text: object) -> str:
    """Text of a file for markdown, on one line: whatever could be markup is written as a character reference, which never is."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(str(text).split()))


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;")


def to_latex(table: pd.DataFrame) -> str:
    """The same as a LaTeX tabular with booktabs rules."""
    columns = "l" * table.index.nlevels + "r" * len(table.columns)
    return table.reset_index().to_latex(index=False, escape=True, column_format=columns).replace("±", r"$\pm$")
