"""From a name or a file to a method, and from a method to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, PositiveInt, TypeAdapter

import denseseg
from denseseg.anatomy import Anatomy, get_anatomy
from denseseg.errors import DataError, validated
from denseseg.files import read_tensors, write_tensors
from denseseg.geometry.frame import Size
from denseseg.methods.method import Method, Recipe
from denseseg.training.settings import usable_device

METHODS: dict[str, type[Method]] = {}
VERSION = 2  # of the weights files that `save_method` writes


def register(cls: type[Method]) -> type[Method]:
    """Make a method known by its name; as a decorator or a call. Raises DataError where another one has the name."""
    if METHODS.setdefault(cls.name, cls) is not cls:
        raise DataError(f"there is a method {cls.name!r} already ({METHODS[cls.name].__qualname__}); give yours another name")
    return cls


def get_method(name: str) -> type[Method]:
    """The class of the method called `name`. Raises DataError that lists the known ones."""
    if name not in METHODS:
        raise DataError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    return METHODS[name]


def get_recipe(method: str, recipe: str) -> Recipe:
    """A method's recipe by its name, at full size. Raises DataError that lists what is known."""
    known = get_method(method).recipes
    if recipe not in known:
        raise DataError(f"{method} has no recipe {recipe!r}; it has: {', '.join(known)}")
    return known[recipe]


def create(name: str, anatomy: Anatomy, size: Size, recipe: str | Recipe = "default", **changes: Any) -> Method:
    """A method for images of an anatomy at this size (H, W), not trained yet.

    recipe: a name, or a recipe of the method; changes: single options of it.
    Raises DataError where a name is unknown, an option is wrong, or the method cannot work on the anatomy.
    """
    cls = get_method(name)
    if reason := cls.unsupported(anatomy):
        raise DataError(f"{cls.title} cannot work on the {anatomy.name}: {reason}")
    chosen = get_recipe(name, recipe) if isinstance(recipe, str) else recipe
    return cls(anatomy, size, chosen.changed(**changes))


class _Header(BaseModel):
    """What a weights file says besides its tensors; enough to make the method again."""

    version: int
    package: str
    method: str
    anatomy: Anatomy
    size: tuple[PositiveInt, PositiveInt]
    recipe: dict[str, Any]


def save_method(method: Method, path: str | Path, *, half: bool = False) -> Path:
    """Write a method to a safetensors file with a JSON header that rebuilds it, whole or not at all. Raises DataError.

    half: the network and the modes of its shape model in 16 bits a number, for a file of half the size.
    """
    header = _Header(
        version=VERSION,
        package=denseseg.__version__,
        method=method.name,
        anatomy=method.anatomy,
        size=method.size,
        recipe=TypeAdapter(type(method.recipe)).dump_python(method.recipe, mode="json"),
    )
    content = header.model_dump(mode="json") | {"anatomy": method.anatomy.to_dict()}
    state = method.state()
    if half:
        state = {name: tensor.half() if _large(name, tensor) else tensor for name, tensor in state.items()}
    return write_tensors(Path(path), state, content)


def _large(name: str, tensor: torch.Tensor) -> bool:
    """Whether a tensor makes weights large: the network, whole numbers aside, or the modes of a shape model."""
    return tensor.is_floating_point() and (name.startswith("network.") or name.endswith(".modes"))


def load_method(path: str | Path, device: str | torch.device = "cpu") -> Method:
    """A method from its weights file.

    Raises DataError where the file is missing, damaged, of another program, or holds what is not finite, and where this machine has
    no such device.
    """
    device = usable_device(device)
    tensors, content = read_tensors(Path(path))
    if "method" not in content:
        raise DataError(f"{path} holds no method; give a file that save_method wrote, not the checkpoint of a training")
    version = content.get("version", 1)
    if not isinstance(version, int) or version > VERSION:
        raise DataError(f"{path} was written by a later version of this package ({version}); update denseseg to read it")
    for older in range(version, VERSION):
        content = MIGRATIONS[older](content)
        tensors = {key.removeprefix("state."): value for key, value in tensors.items()}  # only version 1 has this prefix
    header = validated(_Header, content, str(path))
    cls = get_method(header.method)
    recipe = validated(type(cls.recipes["default"]), header.recipe, f"{path}: recipe")
    method = cls(header.anatomy, header.size, recipe)
    if endless := next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None):
        raise DataError(f"{path}: {endless} is not finite; train the method again")
    try:
        method.set_state(tensors)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except KeyError as error:
        raise DataError(f"{path} lacks {error}: another version wrote it; train the method again") from None
    except (RuntimeError, ValueError) as error:
        first = " ".join(str(error).split())[:200]
        raise DataError(f"{path} holds other weights than its recipe says ({first}); train the method again") from None
    if (network := getattr(method, "network", None)) is not None:
        network.to(device)
    return method


# ---- files of older versions ------------------------------------------------------------------------------------


def _from_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew an anatomy by its name alone, such as "wrist" or "wrist 25 %", and a recipe without its training."""
    base, _, percent = str(content.get("anatomy")).removesuffix(" %").partition(" ")
    if percent and not percent.isdigit():
        raise DataError(f"the anatomy {content.get('anatomy')!r} is not written out, as version 1 did not; train the method again")
    anatomy = get_anatomy(base).reduced(int(percent)) if percent else get_anatomy(base)
    old = dict(content.get("recipe", {}))
    names = {
        "uv_method": "generator", "shape_noise": "shape_prior", "contour_step": "project_onto_outline", "views": "test_time_views",
        "largest_part": "largest_component", "height": "amplitude", "seen": "visibility_threshold", "present": "presence_threshold",
    }  # fmt: skip
    recipe = {names.get(key, key): value for key, value in old.items() if not key.startswith("weight_")}
    weights = {key.removeprefix("weight_"): value for key, value in old.items() if key.startswith("weight_")}
    if "channels" in old:
        recipe["loss_weights"] = weights or {"heatmap": 1.0}
    return {**content, "version": 2, "package": "0.1.0", "anatomy": anatomy.to_dict(), "recipe": recipe}


MIGRATIONS = {1: _from_version_1}  # version -> its header as that of the next one
