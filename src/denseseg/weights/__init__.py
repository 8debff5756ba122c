"""Networks that come with the package. They have seen drawings only: no patient stands behind them.

Each is a weights file like any other, in half precision, with a card beside it that says what it was trained on, what it can and
cannot do, and how well. `data_scripts/make_weights.py` makes them again.
"""

from __future__ import annotations

from pathlib import Path

import torch

from denseseg.errors import DataError
from denseseg.methods import Method, load_method
from denseseg.methods.denseseg import DenseSeg

FOLDER = Path(__file__).parent


def pretrained() -> tuple[str, ...]:
    """The names that `load_pretrained` takes."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def load_pretrained(name: str = "chest", device: str | torch.device = "cpu") -> DenseSeg:
    """A network that comes with the package, such as "chest": ready to predict, or to be trained further on own cases.

    For teaching and research; not a medical device. Raises DataError that lists the known names.
    """
    method = load_method(_file(name, "safetensors"), device)
    assert isinstance(method, DenseSeg)
    return method


def load_weights(source: str | Path, device: str | torch.device = "cpu") -> Method:
    """A method from its weights file or, where there is no file of that name, one of those that come with the package.

    Raises DataError where it is neither, or the file is none that `save_method` wrote.
    """
    path, known = Path(source), pretrained()
    if str(source) in known and not path.is_file():
        return load_pretrained(str(source), device)
    if not path.exists():
        raise DataError(f"{source} is no file, and no network that comes with the package ({', '.join(known)}); correct the name")
    if path.is_dir():
        raise DataError(f"{source} is a folder; give the file, such as {path / 'weights.safetensors'}")
    return load_method(source, device)


def card(name: str) -> str:
    """The model card, as markdown: what the network saw and how well it does. Raises DataError as `load_pretrained`."""
    return _file(name, "md").read_text(encoding="utf-8")


def _file(name: str, kind: str) -> Path:
    if name not in pretrained():
        raise DataError(f"no weights called {name!r} come with the package; there are: {', '.join(pretrained())}")
    return FOLDER / f"{name}.{kind}"
