"""What readers of data sets share: a report, checksums, smaller cases, images that were converted already, a manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from denseseg.cases.case import Case
from denseseg.cases.folder import require_own
from denseseg.errors import DataError, explained
from denseseg.files import atomic_file, held, locked, sha256
from denseseg.geometry.frame import Size
from denseseg.pictures import read_picture, write_png


@dataclass
class Report:
    """What became of each file. `str(report)` says it in words.

    kept: ids of the cases in the set.
    left_out: id -> why the case is not in the set.
    notes: whatever else a reader of the set should know.
    """

    kept: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        reasons: dict[str, list[str]] = {}
        for case, why in self.left_out.items():
            reasons.setdefault(why, []).append(case)
        lines = [f"kept {len(self.kept)} cases, left out {len(self.left_out)}"]
        lines += [f"left out {few(cases)}: {why}" for why, cases in reasons.items()]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def close(self, folder: Path) -> None:
        """Leave report.txt in the finished data-set folder, and print it with where that is."""
        (folder / "report.txt").write_text(f"{self}\n", encoding="utf-8")
        print(self)
        print(f"written: {folder}")


def few(names: list[str], show: int = 5) -> str:
    """The names, or how many and the first ones."""
    return ", ".join(names) if len(names) <= show else f"{len(names)} cases ({', '.join(names[:show])}, ...)"


def one_file_each(folder: Path, files: Iterable[tuple[str, Path]], expected: str, nothing: str, keep: str) -> dict[str, Path]:
    """Case id -> file. Raises DataError where `folder` is none, holds no file, or two of one case: `keep` says which is right."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one that holds {expected}")
    found: dict[str, Path] = {}
    for name, path in files:
        if name in found:
            raise DataError(f"{found[name]} and {path.relative_to(folder)} are the same case; keep {keep}")
        found[name] = path
    if not found:
        raise DataError(f"{folder} holds {nothing}")
    return found


def shrunk(case: Case, longest: int | None) -> Case:
    """The case with at most `longest` pixels along its longer side, scaled alike in both directions; None leaves it alone.

    Raises DataError for less than 8 pixels.
    """
    if longest is not None and longest < 8:
        raise DataError(f"longest={longest}: give at least 8 pixels")
    if longest is None or max(case.size) <= longest:
        return case
    height, width = (-(-side * longest // max(case.size)) for side in case.size)  # rounded up, so that nothing is cut off
    return case.fitted((height, width))[0]


@contextmanager
def preparing(out: Path, settings: str, files: Iterable[Path]) -> Iterator[None]:
    """Inside, no other program prepares the folder OUT, and what is there already was made of the same files and settings.

    These are noted in OUT/source.txt, so that a rerun resumes only its own work. Raises DataError where a file is missing, another
    program is at work, or the folder holds anything else, or what was corrected since.
    """
    files = list(files)
    for path in files:
        if not path.is_file():
            raise DataError(f"{path} is not a file; check the path")
    lines = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    text = "\n".join([settings, *lines]) + "\n"
    note = out / "source.txt"
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder")
    with locked(out):
        begun = held(out) not in ([], [note])  # a note alone is of a run that ended before it wrote anything
        if begun and not (note.exists() and note.read_text(encoding="utf-8") == text):
            raise DataError(f"{out} holds something else (other files, or another size); give a new folder, or empty this one")
        require_own(out, resumed=True)
        with atomic_file(note) as temporary:
            temporary.write_text(text, encoding="utf-8")
        yield


def cached_image(path: Path | None, size: Size, convert: Callable[[], np.ndarray]) -> np.ndarray:
    """The (H, W) image in the PNG file `path`; where that is missing, damaged or of another size, `convert()`, kept there."""
    if path is None:
        return convert()
    with suppress(DataError):  # not there yet, or damaged
        image = read_picture(path)
        if image.shape == size:
            return image
    image = convert()
    with atomic_file(path) as temporary:
        write_png(temporary, image)
    return image


def verify_checksums(folder: Path, checksums: Path, images: dict[str, Path]) -> list[str]:
    """Compare files below `folder` with the lines of `checksums` (sha256sum format).

    Raises DataError for a line that is no checksum, a file that is missing or differs. Returns notes on unlisted images.
    """
    with explained(f"{checksums} cannot be read", "give a text file as sha256sum writes it"):
        lines = checksums.read_text(encoding="utf-8").splitlines()
    listed = set()
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line)
        if match is None:
            raise DataError(f"{checksums}, line {number}: expected 64 hexadecimal digits, two spaces, a file name")
        path = folder / match[2]
        if not path.is_file():
            raise DataError(f"{path} is missing, but {checksums} lists it; copy it, or remove line {number}")
        if sha256(path) != match[1].lower():
            raise DataError(f"{path} differs from its checksum in {checksums}: damaged, or another version; copy it again")
        listed.add(path.resolve())
    unlisted = [name for name, path in images.items() if path.resolve() not in listed]
    return [f"no checksum for {few(unlisted)}"] if unlisted else []
