"""Files that must not lose data: each is written beside its place and moved there when it is whole."""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from denseseg.errors import DataError, explained

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUM = "sha256"  # the header's key
ZEROS = "0" * 64  # stand for the checksum while it is computed
UNFINISHED, FINISHED = ".unfinished", ".finished"  # what is being written; what is whole, and on its way to its place
MARK = "checksums.txt"  # our own mark, in the form of sha256sum: which files of a folder we wrote, and how they were
UNWANTED = "unwanted.txt"  # files of an earlier set that the new one does not have
LOCK = ".lock"
NUMBERS = re.compile(r'\[\n[^][{}"]*\]')  # a list without texts, lists or mappings: it is written on one line
DECIMAL = re.compile(r"\s*([+-]?\d*,?\d*(e[+-]?\d+)?|na|nan|n/a|null|none)\s*", re.IGNORECASE)  # a decimal comma, or nothing


# ---- one writer at a time ---------------------------------------------------------------------------------------

_holders: dict[Path, int] = {}  # folders that this program has locked -> by which of its threads


@contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Inside, no other program, and no other thread, that asks for the same can write into this folder, which is made.

    patience: seconds to wait for another one to end.

    The system lifts the lock (flock) when its holder ends, however it ends. The thread that has it may take it again. Where the
    system knows no such lock, or the folder is for reading only, there is none. Raises DataError where another has it, or there
    can be no such folder.
    """
    place, thread = folder.resolve(), threading.get_ident()
    if _holders.get(place) == thread:
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} cannot be written: it is a file; move it away, or name another folder")
    with explained(f"{folder} cannot be written", "free space or choose another folder, then run again", OSError):
        folder.mkdir(parents=True, exist_ok=True)
        file = _lock(folder / LOCK, time.monotonic() + patience)
    if file is None:
        yield
        return
    _holders[place] = thread
    try:
        yield
    finally:
        del _holders[place]
        (folder / LOCK).unlink(missing_ok=True)
        os.close(file)


def _lock(path: Path, until: float) -> int | None:
    """Open and lock a file; None where that may not be written. Raises DataError where another has it locked `until` then."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return None
            raise
        try:
            import fcntl  # Windows has none

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            if time.monotonic() < until:
                time.sleep(0.2)
                continue
            raise DataError(
                f"{path.parent} is being written by another program; wait for its end, or name another folder"
            ) from None
        except (ImportError, OSError):  # nor have some network drives
            return file
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)  # its holder has just ended and removed it


# ---- a folder of files in one step ------------------------------------------------------------------------------


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into; when the block ends without an error, its files take their places in `folder`, all or none.

    So a full disk or an error leaves what was in `folder` as it was; and a program that is killed leaves the old files, or the new
    ones: what was whole by then is brought to its place by `settle`, which whoever reads `folder` calls first. Files that we wrote
    earlier (see `changed`) and that are not written again go. Raises DataError where it cannot be written.
    """
    staging = folder / UNFINISHED
    with locked(folder):
        try:
            with explained(f"{folder} cannot be written", "free space or choose another folder, then run again", OSError):
                settle(folder)
                shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
                staging.mkdir(parents=True)
                yield staging
                written = {path.relative_to(staging).as_posix(): sha256(path) for path in _files(staging)}
                for path in (folder / name for name in [*written, MARK]):
                    if path.is_dir() or path.parent.is_file():
                        raise DataError(f"{path if path.is_dir() else path.parent} is in the way; move it away, then run again")
                earlier = [name for name, digest in _marked(folder).items() if name not in written and _is(folder / name, digest)]
                (staging / UNWANTED).write_text("\n".join(earlier), encoding="utf-8")
                (staging / MARK).write_text("".join(f"{digest}  {name}\n" for name, digest in written.items()), encoding="utf-8")
                staging.replace(folder / FINISHED)  # from here on it is the new set
                settle(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def settle(folder: Path) -> None:
    """Bring to their places the files that `atomic_folder` had finished when it was killed; mostly there are none."""
    finished = folder / FINISHED
    if not exists(finished):
        return
    with explained(f"{folder} was being written when that was stopped", "make it writable, so that it can be finished", OSError):
        if (unwanted := finished / UNWANTED).exists():
            for name in unwanted.read_text(encoding="utf-8").split("\n"):
                if name:
                    (folder / name).unlink(missing_ok=True)
            unwanted.unlink(missing_ok=True)
        for path in _files(finished):
            target = folder / path.relative_to(finished)
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # another program that reads this folder was faster
                path.replace(target)
    shutil.rmtree(finished, ignore_errors=True)


def changed(folder: Path, patterns: Iterable[str]) -> list[str]:
    """Files in `folder`, of those that match the patterns, that `atomic_folder` did not write, or that were changed since."""
    settle(folder)
    marked = _marked(folder)
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if not path.is_dir()]
    names = [path.relative_to(folder).as_posix() for path in found]
    return [name for name in names if not _is(folder / name, marked.get(name))]


def sha256(path: Path) -> str:
    """Checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _marked(folder: Path) -> dict[str, str]:
    """Name -> checksum of the files that we wrote into a folder."""
    if not (folder / MARK).is_file():
        return {}
    lines = (line.partition("  ") for line in (folder / MARK).read_text(encoding="utf-8", errors="replace").splitlines())
    inside = folder.resolve()  # a mark that somebody made may name files anywhere
    return {name: digest for digest, _, name in lines if (folder / name).resolve().is_relative_to(inside)}


def _is(path: Path, digest: str | None) -> bool:
    return digest is not None and path.is_file() and sha256(path) == digest


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


# ---- reading ----------------------------------------------------------------------------------------------------


def exists(path: Path) -> bool:
    """Whether there is such a file or folder. Raises DataError where its folder may not be looked into."""
    with explained(f"{path} may not be read", "nothing is wrong with it: give yourself the right to read it", PermissionError):
        return path.exists()


def held(folder: Path) -> list[Path]:
    """What a folder holds but for hidden files, which a killed run, or a desktop, leaves; nothing where there is no folder."""
    return sorted(path for path in folder.glob("*") if path.name[0] != ".")


def require_file(path: Path, missing: str = "correct the path") -> None:
    """Raise DataError for what is no file, such as a folder or a pipe, which would be waited for; and where it may not be read."""
    if not exists(path):
        raise DataError(f"{path} is missing; {missing}")
    if not path.is_file():
        raise DataError(f"{path} is no file; move it away, and put the file there")
    with _readable(path), path.open("rb"):
        pass


def read_bytes(path: Path, missing: str = "correct the path") -> bytes:
    """What a file holds. Raises DataError that tells a file that is not there, or may not be read, from one that is damaged."""
    require_file(path, missing)
    with _readable(path):
        return path.read_bytes()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    with (
        explained(f"{path} could not be read from its disk", "check the disk, then try again", OSError),
        explained(f"{path} may not be read", "nothing is wrong with it: give yourself the right to read it", PermissionError),
    ):
        yield


def read_text(path: Path, missing: str = "correct the path") -> str:
    """The text of a file in UTF-8, or in UTF-16 where its first bytes say so. Raises DataError that names the file."""
    content = read_bytes(path, missing)
    encoding = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    with explained(f"{path} is no text in UTF-8", "save it as UTF-8", UnicodeError):
        text = content.decode(encoding)
    if "\0" in text:
        raise DataError(f"{path} is no text in UTF-8 (it holds zero bytes); save it as UTF-8")
    return text


def read_csv(path: Path, text: list[str] | None = None, missing: str = "correct the path") -> pd.DataFrame:
    """A table whose first line names its columns, each once; its cells as text, exactly as they stand.

    Cells are parted by commas, or where the first line has none by semicolons, tabs or bars; numbers then may have decimal commas,
    and get points. Lines of empty cells are left out: the index says which line is which, 0 the one below the names.
    text: for large tables, the columns that are text; the others then are what pandas makes of them.
    Raises DataError where the file is missing or no such table; missing: how that is mended.
    """
    lines = read_text(path, missing).lstrip("\r\n")
    if told := re.match(r'"?sep=(.)"?\r?\n', lines):  # as Excel is told
        lines = lines[told.end() :]
    separator = told[1] if told else _separator(lines)
    kinds: Any = str if text is None else dict.fromkeys(text, str)
    options: dict[str, Any] = {"sep": separator, "keep_default_na": False, "skip_blank_lines": False, "low_memory": False}
    with explained(
        f"{path} is not a readable CSV table", "write it again, as UTF-8, with commas, and as many in each line", ValueError
    ):
        names = pd.read_csv(StringIO(lines), dtype=str, header=None, nrows=1, **options).iloc[0].str.strip().tolist()
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise DataError(f"{path} has two columns {twice[0]!r}; give each a name of its own")
        names = [name or f"column {number} without a name" for number, name in enumerate(names, 1)]
        decimal = "." if separator == "," else ","
        table = pd.read_csv(StringIO(lines), dtype=kinds, header=0, names=names, decimal=decimal, **options)
    if not isinstance(table.index, pd.RangeIndex):  # more cells than names
        table = table.reset_index()
        names += [f"column {number} without a name" for number in range(len(names) + 1, table.shape[1] + 1)]
        table.columns = pd.Index(names)
    empty = table.isna() | table.eq("")
    for name in names:
        if name.endswith(" without a name"):
            if not empty[name].all():
                what = f"{path} has more cells in a line than columns in the first ({name})"
                raise DataError(f"{what}; write numbers with a point, not a comma, or name that column")
            table = table.drop(columns=name)
    table = table[~empty.all(axis=1)]
    table = table.fillna(dict.fromkeys(table if text is None else set(text) & set(table), ""))  # of lines that are too short
    return table if separator == "," else table.apply(_with_points)


def _separator(lines: str) -> str:
    """What parts the names in the first line of a table."""
    first = re.sub(r'"[^"]*"', "", lines).lstrip().partition("\n")[0]
    return "," if "," in first else next((sign for sign in ";\t|" if sign in first), ",")


def _with_points(cells: pd.Series) -> pd.Series:
    """Numbers with decimal commas as numbers with points, where a column holds no other texts."""
    texts = pd.api.types.is_string_dtype(cells)
    return cells.str.replace(",", ".") if texts and cells.str.fullmatch(DECIMAL).all() else cells


# ---- writing ----------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The value in JSON's own types: numpy numbers as Python's, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to, which takes its place when the block ends without an error.

    So a full disk or a stopped run leaves an older file whole. Raises DataError where the file cannot be written.
    """
    with explained(f"{path} could not be written", "free space or choose another folder", OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        os.close(handle)
        try:
            yield Path(name)
            os.umask(umask := os.umask(0))
            os.chmod(name, 0o666 & ~umask)  # as a new file's; those of mkstemp are private
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Write a table without its index, numbers to three digits behind the point, in one step. Raises DataError."""
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.3f")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file. Raises DataError that names the file."""
    text = read_bytes(path)
    with explained(f"{path} is not readable JSON", "move it away, and run that again", (ValueError, RecursionError)):
        content = json.loads(text)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object; move it away, and run that again")
    return content


def write_json(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record to this file in one step. Raises DataError."""
    with explained(f"{path.name}: the record holds something that JSON has not", "use null for unknown"):
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    text = NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


class DamagedError(DataError):
    """The file holds something else than what was written."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Path:
    """Write named tensors as safetensors in one step, with a header of JSON values and a checksum of the whole file.

    Nothing is pickled. Raises DataError for a tensor that holds NaN, a header that is no JSON, and where the disk is full.
    """
    from safetensors.torch import save  # torch takes seconds to load: only those who have tensors pay for it

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if spoilt := _spoilt(whole):
        raise DataError(f"{path}: the tensor {spoilt} holds NaN, so nothing was written; train again with a lower learning rate")
    with explained(f"{path}: the header holds something that JSON has not", "use null for unknown"):
        text = json.dumps(header, allow_nan=False)
    content = _ordered(save(whole, {"denseseg": text, CHECKSUM: ZEROS}))
    checksum = hashlib.sha256(content).hexdigest()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.replace(ZEROS.encode(), checksum.encode(), 1))
    return path


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the header that `write_tensors` wrote; files of before the checksum are read without it.

    Raises DataError where the file is missing, may not be read, is of another program or holds NaN, DamagedError where it differs
    from what was written.
    """
    from safetensors.torch import load

    content = read_bytes(path, "correct the path, or train a method and save it there")
    try:
        tensors = load(content)
        length = 8 + int.from_bytes(content[:8], "little")
        known = json.loads(content[8:length]).get("__metadata__", {})
        checksum, header = known.get(CHECKSUM, ""), json.loads(known.get("denseseg", "null"))
    except Exception as error:  # a library in another language
        first = str(error).splitlines()[0][:200]
        raise DamagedError(f"{path} holds no tensors or is damaged ({first}); copy it again") from None
    if not isinstance(header, dict) or not (header or checksum):
        raise DataError(f"{path} was written by another program; give a file that denseseg wrote")
    older = header.pop(CHECKSUM, None) is not None or ("method" in header and "version" not in header)
    if hashlib.sha256(content.replace(checksum.encode(), ZEROS.encode(), 1)).hexdigest() != checksum and (checksum or not older):
        raise DamagedError(f"{path} is damaged (it differs from its checksum); copy it again")
    if spoilt := _spoilt(tensors):
        raise DataError(f"{path}: the tensor {spoilt} holds NaN; train again with a lower learning rate")
    return tensors, header


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with its metadata in order: the library writes it in any, so equal contents were unequal bytes."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors stay aligned
    return len(text).to_bytes(8, "little") + text + content[start:]


def _spoilt(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that holds NaN."""
    return next((name for name, tensor in tensors.items() if tensor.isnan().any()), None)
