"""Markdown for generated pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Row = Sequence[str]


def table(header: Row, rows: Iterable[Row]) -> str:
    """A pipe table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
