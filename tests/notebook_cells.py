"""How the book's tests read the cells of a notebook."""

from __future__ import annotations

import re

from nbformat import NotebookNode

EXERCISE = re.compile(r"^:::+\s*\{exercise\}.*?^:label:\s*(\S+)", re.MULTILINE | re.DOTALL)


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])
