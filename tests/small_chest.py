"""A small DenseSeg of chests, trained on phantoms in a minute and kept in the tests' build folder: what live pages are tried with.

Some of its training cases lack a clavicle, so it knows that one may be absent. Its weights are rounded to half precision, as those
that are given away are.

    python tests/small_chest.py SIDE CHANNELS EPOCHS      such as: 128 32,64,128,256 20
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import BUILD, in_turn

from denseseg import chest_phantom
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.methods import onnx_export
from denseseg.methods.denseseg import DenseSeg
from denseseg.methods.registry import create, load_method, save_method
from denseseg.training.settings import Epochs

VALIDATION = 8


def small_chest(side: int = 64, channels: Sequence[int] = (8, 16, 32), epochs: int = 40) -> DenseSeg:
    """Trained once for all tests."""
    path = BUILD / "small_chest" / f"{side}_{'_'.join(map(str, channels))}_{epochs}.safetensors"
    with in_turn("small_chest"):
        if not path.exists():
            save_method(trained(side, tuple(channels), epochs), path)
    method = load_method(path)
    assert isinstance(method, DenseSeg)
    return method


def small_graph() -> bytes:
    """The ONNX file of `small_chest()`, exported once for all tests: it takes some ten seconds."""
    key = hashlib.sha256(Path(onnx_export.__file__).read_bytes()).hexdigest()[:12]
    path = BUILD / "small_chest" / f"{key}.onnx"
    method = small_chest()
    with in_turn("small_chest"):
        if not path.exists():
            path.write_bytes(onnx_export.to_onnx(method))
    return path.read_bytes()


def trained(side: int, channels: tuple[int, ...], epochs: int) -> DenseSeg:
    phantoms = chest_phantom(96, (side, side))
    cases = [without_clavicle(case, i) if i % 4 == 0 else case for i, case in enumerate(phantoms)]
    train = CaseSet("train", phantoms.anatomy, cases[VALIDATION:])
    validation = CaseSet("validation", phantoms.anatomy, cases[:VALIDATION])
    method = create("denseseg", phantoms.anatomy, (side, side), channels=channels)
    assert isinstance(method, DenseSeg)
    length = replace(method.recipe.training, length=Epochs(epochs), batch_size=4)
    method.recipe = replace(method.recipe, training=length)
    method.fit(train)
    method.network.half().float()
    method.calibrate(validation)
    return method


def without_clavicle(case: Case, index: int) -> Case:
    """The case with one of its clavicles behind a grey plate, and without its landmarks."""
    name = ("right clavicle", "left clavicle")[index // 4 % 2]
    where = case.anatomy.slices[name]
    (left, top), (right, bottom) = case.landmarks[where].min(0).astype(int) - 2, case.landmarks[where].max(0).astype(int) + 3
    image, landmarks = case.image.copy(), case.landmarks.copy()
    image[max(top, 0) : bottom, max(left, 0) : right] = 0.5
    landmarks[where] = np.nan
    return replace(case, image=image, landmarks=landmarks)


if __name__ == "__main__":
    small_chest(int(sys.argv[1]), [int(n) for n in sys.argv[2].split(",")], int(sys.argv[3]))
