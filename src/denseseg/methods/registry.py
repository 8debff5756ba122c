"""From a name or a file to a method."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from denseseg.anatomy import Anatomy, get_anatomy
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.methods.method import Method


@dataclass
class Registry:
    """Name -> method class."""

    classes: dict[str, type[Method]] = field(default_factory=dict)

    def create(self, name: str, anatomy: Anatomy, size: Size, recipe: str = "default", **changes: Any) -> Method:
        """A method by name and recipe, with single options changed. Raises DataError that lists what is known."""
        known = self._class(name).recipes
        if recipe not in known:
            raise DataError(f"{name} has no recipe {recipe!r}; it has: {', '.join(known)}")
        return self.classes[name](anatomy, size, known[recipe].changed(**changes))

    def options(self, name: str) -> set[str]:
        """Names of the options that the recipes of a method have."""
        return {option.name for recipe in self._class(name).recipes.values() for option in fields(recipe)}

    def _class(self, name: str) -> type[Method]:
        if name not in self.classes:
            raise DataError(f"unknown method {name!r}; known: {', '.join(self.classes)}")
        return self.classes[name]

    def load(self, path: str | Path, device: str | torch.device = "cpu") -> Method:
        """A method from its weights file. Raises DataError where the file is missing, damaged or of another program."""
        path = Path(path)
        if not path.exists():
            raise DataError(f"{path} is missing; train a method and save it, or correct the path")
        try:
            with safe_open(path, framework="pt") as content:
                header = json.loads((content.metadata() or {})["denseseg"])
                tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 (not a mapping)
        except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
            raise DataError(f"{path} holds no denseseg weights or is damaged ({error}); copy or train it again") from None
        recipe: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in header["recipe"].items()}
        method = self.create(header["method"], _anatomy(header["anatomy"]), tuple(header["size"]), **recipe)
        try:
            method.set_state(_with_prefix(tensors, "state."))
        except KeyError as error:
            raise DataError(f"{path} lacks {error}: an older version wrote it; train the method again") from None
        if method.network is not None:
            method.network.load_state_dict(_with_prefix(tensors, "network."))
            method.network.to(device).eval()
        return method


def _anatomy(name: str) -> Anatomy:
    """The anatomy of weights of version 1, which knew it by its name alone, such as "wrist" or "wrist 25 %"."""
    base, _, percent = name.removesuffix(" %").partition(" ")
    return get_anatomy(base).reduced(int(percent)) if percent else get_anatomy(base)


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
