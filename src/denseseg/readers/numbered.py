"""The layout of the data that Payer et al. published: images named by number, tables of landmarks, lists of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from denseseg.errors import DataError, explained
from denseseg.readers.files import one_file_each
from denseseg.readers.image import ITK, PLAIN


def find_images(folder: Path, example: str) -> dict[str, Path]:
    """Number -> file, of all images in `folder` and below. Raises DataError where there is none, or two of one number."""
    files = [(path.stem, path) for path in sorted(folder.rglob("*")) if path.suffix.lower() in (*PLAIN, *ITK)]
    named = [(name, path) for name, path in files if name.isdigit()]
    nothing = f"no image that is named by a number, such as {example}"
    return one_file_each(folder, named, f"{example}, ...", nothing, keep="one of them")


def read_landmarks(path: Path, count: int) -> dict[str, np.ndarray]:
    """Number -> (count, 2) landmarks, (x, y) in the file's unit, of a table with a line an image: number, x, y, x, y, ...

    Raises DataError for a wrong number of columns, gaps, and a number that is there twice.
    """
    with explained(f"{path} cannot be read as a table", "give the published file"):
        table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, index_col=0)
    if table.shape[1] != 2 * count:
        raise DataError(f"{path} has {table.shape[1]} columns after the number instead of {2 * count}; give the published file")
    if table.index.has_duplicates:
        raise DataError(f"{path} holds {table.index[table.index.duplicated()][0]} twice; remove one of its lines")
    numbers = table.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    broken = ~np.isfinite(numbers).all(axis=1)
    if broken.any():
        raise DataError(f"{path}: the line of {table.index[broken][0]} holds something that is no finite number; mend it")
    return {str(name): row.reshape(-1, 2) for name, row in zip(table.index, numbers, strict=True)}


def read_list(path: Path) -> set[str]:
    """The numbers in a list of images. Raises DataError where the file is missing, empty, or holds anything else."""
    with explained(f"{path} cannot be read", "give the whole published setup folder", (OSError, UnicodeDecodeError)):
        names = path.read_text(encoding="utf-8").split()
    if not names or not all(name.isdigit() for name in names):
        raise DataError(f"{path} must hold numbers of images, one a line; give the published file")
    return set(names)
