"""Files that must not lose data: each is written beside its place and moved there when it is whole."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from imageio.v3 import imwrite
from skimage.io import imread

from denseseg.errors import DataError, explained

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUM = "sha256"  # the header's key
NUMBERS = re.compile(r'\[\n[^][{}"]*\]')  # a list without texts, lists or mappings: it is written on one line


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into; its files move to `folder` when the block ends without an error, dataset.toml last.

    So a full disk or a stopped run leaves what was in `folder` as it was. Raises DataError where it cannot be written.
    """
    staging, description = folder / ".unfinished", "dataset.toml"
    try:
        with explained(f"{folder} cannot be written", "free space or choose another folder, then run again", OSError):
            shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
            staging.mkdir(parents=True)
            yield staging
            if (staging / description).exists():
                (folder / description).unlink(missing_ok=True)  # its presence says that the folder is whole
            for path in sorted(staging.rglob("*"), key=lambda path: path.name == description):
                if path.is_file():
                    target = folder / path.relative_to(staging)
                    target.parent.mkdir(exist_ok=True)
                    path.replace(target)
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
    with explained(f"{path} cannot be read", "copy it again"):
        image = imread(path)
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
            os.chmod(name, 0o644)  # mkstemp's files are private
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file. Raises DataError that names the file."""
    with explained(f"{path} is not readable JSON", "run it again or remove it", (json.JSONDecodeError, UnicodeDecodeError)):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object; run it again or remove it")
    return content


def write_json(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record to this file in one step. Raises DataError."""
    with explained(f"{path.name}: the record holds something that JSON has not", "use null for unknown"):
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    text = NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Path:
    """Write named tensors as safetensors in one step, with a header of JSON values and a checksum of the tensors.

    Nothing is pickled. Raises DataError for a tensor that holds NaN, a header that is no JSON, and where the disk is full.
    """
    from safetensors.torch import save  # torch takes seconds to load: only those who have tensors pay for it

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    spoilt = next((name for name, tensor in whole.items() if tensor.isnan().any()), None)
    if spoilt is not None:
        raise DataError(f"{path}: the tensor {spoilt} holds NaN, so nothing was written; train again with a lower learning rate")
    with explained(f"{path}: the header holds something that JSON has not", "use null for unknown"):
        text = json.dumps({**header, CHECKSUM: _checksum(whole)}, allow_nan=False)
    with atomic_file(path) as temporary:
        temporary.write_bytes(save(whole, {"denseseg": text}))
    return path


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the header that `write_tensors` wrote; files of before the checksum are read without it.

    Raises DataError where the file is missing, damaged, or of another program.
    """
    from safetensors import safe_open

    if not path.exists():
        raise DataError(f"{path} is missing; correct the path, or train a method and save it there")
    with explained(f"{path} holds no tensors or is damaged", "copy it again"), safe_open(path, framework="pt") as content:
        header = json.loads((content.metadata() or {}).get("denseseg", "{}"))
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (not a mapping)
    if not isinstance(header, dict) or not header:
        raise DataError(f"{path} was written by another program; give a file that denseseg wrote")
    if header.pop(CHECKSUM, None) not in (None, _checksum(tensors)):
        raise DataError(f"{path} is damaged (its tensors differ from their checksum); copy it again")
    return tensors, header


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of contiguous tensors on the CPU."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
