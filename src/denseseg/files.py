"""Files that must not lose data: each is written beside its place and moved there when it is whole."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imwrite
from skimage.io import imread

from denseseg.errors import DataError


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to write into; its files move to `folder` when the block ends without an error, dataset.toml last.

    So a full disk or a stopped run leaves what was in `folder` as it was. Raises DataError where it cannot be written.
    """
    staging = folder / ".unfinished"
    description = folder / "dataset.toml"
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
        staging.mkdir(parents=True)
        yield staging
        files = [path.relative_to(staging) for path in sorted(staging.rglob("*")) if path.is_file()]
        if (staging / "dataset.toml").exists():
            description.unlink(missing_ok=True)  # its presence says that the folder is whole
        for file in sorted(files, key=lambda file: file.name == "dataset.toml"):
            (folder / file).parent.mkdir(exist_ok=True)
            (staging / file).replace(folder / file)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}); free space or choose another folder, then run again") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_png(path: Path, image: np.ndarray, bits: int = 16) -> None:
    """Write (H, W) in [0, 1] as a PNG of 8 or 16 bit; `read_png` reads it back."""
    kind, top = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    path.write_bytes(imwrite("<bytes>", np.round(image * top).astype(kind), extension=".png"))


def read_png(path: Path) -> np.ndarray:
    """An 8- or 16-bit one-channel PNG as (H, W) float32 in [0, 1]. Raises DataError that names the file."""
    if not path.exists():
        raise DataError(f"{path} is missing; add the image or remove its line from cases.csv")
    try:
        image = imread(path)
    except Exception as error:  # the image libraries raise many kinds for damaged files
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}); copy it again") from None
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path} has pixels of type {image.dtype}; save it with 8 or 16 bit")
    if image.ndim == 3 and image.shape[2] in (3, 4) and (np.ptp(image[..., :3], axis=2) == 0).all():
        image = image[..., 0]  # grey saved as colour
    if image.ndim != 2:
        raise DataError(f"{path} has shape {image.shape}; convert it to one grey channel")
    return image.astype(np.float32) / np.iinfo(image.dtype).max


def plain(value: Any) -> Any:
    """The value in JSON's own types: numpy numbers as Python's, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record to this file in one step, so that a full disk or a stop leaves the older one whole. Raises DataError."""
    try:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (ValueError, TypeError) as error:
        raise DataError(f"{path.name}: the record holds something that JSON has not ({error}); use null for unknown") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
