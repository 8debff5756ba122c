"""Where the book keeps its files."""

from __future__ import annotations

from pathlib import Path


def find_root(start: Path | str = ".") -> Path:
    """The repository: the nearest folder at or above `start` with a `_toc.yml`. Raises FileNotFoundError where none has."""
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file():
            return folder
    raise FileNotFoundError(f"no _toc.yml in {start} or above: run this inside a clone of the book's repository")
