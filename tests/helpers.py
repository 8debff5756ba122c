"""What several test files share and pytest need not know."""

from __future__ import annotations

import importlib.util
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_notebook


@contextmanager
def full_disk() -> Iterator[None]:
    """Inside, no file may grow beyond 1 KiB: the system then refuses to write, as it does on a full disk.

    A context, not a fixture that ends after the test: pytest's own report may go to a file, and would fail with it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def self_intersects(polygon: np.ndarray) -> bool:
    """Whether two sides of the closed polygon that are not neighbours cross."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    along, towards = b - a, a[None] - a[:, None]
    side = np.sign(along[:, None, 0] * towards[..., 1] - along[:, None, 1] * towards[..., 0])  # of corner j beside side i
    parted = side * np.roll(side, -1, axis=1) < 0  # the ends of side j lie on both sides of the line through side i
    return bool((parted & parted.T).any())


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def load_script(path: Path) -> ModuleType:
    """A script that is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def code_blocks(text: str, language: str) -> list[str]:
    """The contents of a page's fenced blocks in one language."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


def readme_python() -> str:
    """The README's one Python block: how a user finds landmarks in an image."""
    (block,) = code_blocks(README, "python")
    return block


def write_notebook(root: Path, name: str, *sources: str, needs: tuple[str, ...] = ()) -> Path:
    """Write a notebook of a `parameters` cell and some code cells into the book at `root`, and return its file."""
    parameters = new_code_cell('profile = "course"\nanswer = 42', metadata={"tags": ["parameters"]})
    book = new_notebook(cells=[parameters, *map(new_code_cell, sources)], metadata={"denseseg": {"needs": list(needs)}})
    path = root / "notebooks" / f"{name}.ipynb"
    nbformat.write(book, path)
    return path
