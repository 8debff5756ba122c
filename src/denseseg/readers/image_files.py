"""Which image files there are, for those who name files and folders of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath

from denseseg.errors import DataError, explained
from denseseg.readers.image import ITK, PLAIN

ENDINGS = (*PLAIN, *ITK, ".img", ".dcm", ".dicom")


def image_files(paths: Iterable[str | Path], numbered: bool = False) -> dict[str, Path]:
    """Name without ending -> file, of the files named and of all images in the folders named and below.

    In a folder a file counts as an image by its ending, or where it has none, as DICOM files often have. Hidden files are left out.
    numbered: the names are 0001, 0002, ..., so that nobody's name in that of a file or folder is passed on.
    Raises DataError where a path is missing, there is no image, or two have one name.
    """
    found: dict[str, Path] = {}
    named = [Path(path) for path in paths]
    for path in named:
        if not path.exists():
            raise DataError(f"{path} is neither a file nor a folder; check the path")
        if path.is_dir():
            with explained(f"{path} may not be looked into", "give yourself the right to read it", OSError):
                next(path.iterdir(), None)
            files = sorted(p for p in path.rglob("*") if not p.is_dir() and _is_image(p, path))  # a pipe is told when it is read
        else:
            files = [path]
        for file in files:
            name = f"{len(found) + 1:04d}" if numbered else image_name(file)
            if found.setdefault(name, file) != file:
                raise DataError(f"{found[name]} and {file} have one name; rename one, or give them in two runs")
    if not found:
        raise DataError(f"there is no image in {', '.join(map(str, named))}; give files or folders of {', '.join(ENDINGS)}")
    return found


def image_name(path: PurePath) -> str:
    """The file's name without its ending: that of its case."""
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if path.name.lower().endswith(ending)), "")
    return path.name[: len(path.name) - len(ending)] or path.name


def _is_image(file: Path, folder: Path) -> bool:
    shown = not any(part.startswith(".") for part in file.relative_to(folder).parts)
    return shown and (not file.suffix or file.name.lower().endswith(ENDINGS))
