"""Methods by name, and weights files: whole, checked, readable for ever."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from denseseg.anatomy import CHEST, WRIST, Anatomy, Kind, Structure
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.files import write_tensors
from denseseg.methods import METHODS, create, get_recipe, load_method, register, save_method
from denseseg.methods.mean_shape import MeanShape
from denseseg.phantom import chest_phantom

SIZE = (64, 64)
# nnU-Net is another package's, and has a test file of its own
ALL = [(name, recipe) for name, cls in METHODS.items() if name != "nnunet" for recipe in cls.recipes]


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(6, SIZE, seed=1)


def prepared(name: str, cases: CaseSet, recipe: str = "default"):
    torch.manual_seed(0)
    method = create(name, CHEST, SIZE, recipe, **({} if name == "mean_shape" else {"channels": (8, 16)}))
    method.prepare(cases)
    return method


def header(path) -> dict:
    with safe_open(path, framework="pt") as content:
        return json.loads(content.metadata()["denseseg"])


def rewritten(path, change_header=lambda h: h, change_name=lambda n: n, leave_out=()):
    """The same file with another header or other names of tensors."""
    with safe_open(path, framework="pt") as content:
        tensors = {change_name(n): content.get_tensor(n) for n in content.keys() if n not in leave_out}  # noqa: SIM118
    changed = change_header(header(path))
    if "version" in changed:
        return write_tensors(path, tensors, changed)
    save_file(tensors, path, metadata={"denseseg": json.dumps(changed)})  # as version 1 did, without a checksum
    return path


@pytest.mark.parametrize(("name", "recipe"), ALL)
def test_saved_methods_predict_the_same(name, recipe, cases, tmp_path):
    method = prepared(name, cases, recipe)
    path = save_method(method, tmp_path / "weights.safetensors")
    loaded = load_method(path)
    assert loaded.recipe == method.recipe
    assert loaded.anatomy == method.anatomy
    before, after = (m.predict_image(cases[0].image) for m in (method, loaded))
    for what in ("landmarks", "probabilities"):
        if getattr(before, what) is not None:  # BLAS may differ in the last bits with the place in memory
            np.testing.assert_allclose(getattr(before, what), getattr(after, what), atol=1e-6)
    assert list(tmp_path.iterdir()) == [path]  # no partial file is left


@pytest.mark.parametrize("name", ["denseseg", "heatmap_regression"])
def test_half_as_many_bits_are_half_the_file_and_nearly_the_same_answer(name, cases, tmp_path):
    method = prepared(name, cases)
    whole, half = (save_method(method, tmp_path / f"{bits}", half=bits == 16) for bits in (32, 16))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    loaded = load_method(half)
    assert {tensor.dtype for tensor in loaded.network.state_dict().values() if tensor.is_floating_point()} == {torch.float32}
    exact, near = (m.predict_image(cases[0].image) for m in (method, loaded))
    if exact.probabilities is not None:
        np.testing.assert_allclose(exact.probabilities, near.probabilities, atol=0.01)
    assert np.median(np.linalg.norm(exact.landmarks - near.landmarks, axis=1)) < 0.5


def test_weights_carry_everything_that_makes_the_method_again(cases, tmp_path):
    found = header(save_method(prepared("denseseg", cases), tmp_path / "weights.safetensors"))
    assert (found["version"], found["method"], found["size"]) == (2, "denseseg", [64, 64])
    assert Anatomy.from_dict(found["anatomy"]) == CHEST
    assert found["recipe"]["training"]["optimiser"]["learning_rate"] == 1e-3
    assert found["package"]


def test_weights_of_a_described_anatomy_need_no_name(cases, tmp_path):
    own = Anatomy("mine", (Structure("a", 100, "g"), Structure("b", 66, "g", Kind.POINTS)))
    method = create("mean_shape", own, SIZE)
    method.prepare(CaseSet("mine", own, [type(c)(c.id, c.image, c.landmarks, own) for c in cases]))
    assert load_method(save_method(method, tmp_path / "w.safetensors")).anatomy == own


# ---- older files ----------------------------------------------------------------------------------------------------

VERSION_1 = {  # as this package wrote them before they had a version
    "denseseg": {
        "channels": [8, 16], "uv_method": "tps", "band": 4, "soft_masks": True, "segmentation": "dice_bce", "decoder": "affine",
        "shape_noise": 1 / 128, "contour_step": True, "views": 3, "largest_part": True, "weight_segmentation": 1.0,
        "weight_uv": 2.5, "weight_landmarks": 2.5, "weight_variation": 0.0,
    },
    "heatmap_regression": {
        "channels": [8, 16], "sigma": 0.03125, "height": 40.0, "decoder": "subpixel", "shape_noise": 0.0078125, "seen": 0.25,
        "present": 0.4,
    },
    "mean_shape": {},
}  # fmt: skip


@pytest.mark.parametrize("name", VERSION_1)
def test_weights_of_version_1_are_still_read(name, cases, tmp_path):
    method = prepared(name, cases)
    path = save_method(method, tmp_path / "weights.safetensors")
    old = {"method": name, "anatomy": "chest", "size": [64, 64], "recipe": VERSION_1[name]}
    rewritten(
        path,
        lambda _: old,
        lambda n: n if n.startswith("network.") else f"state.{n}",
        leave_out=("covariance_factor", *(["optional"] if name == "denseseg" else [])),
    )
    loaded = load_method(path)
    assert loaded.anatomy == CHEST
    if name == "denseseg":
        assert (loaded.recipe.test_time_views, loaded.recipe.band) == (3, 4)
        assert loaded.recipe.loss_weights == {"segmentation": 1.0, "uv": 2.5, "landmarks": 2.5, "variation": 0.0}
    elif name == "heatmap_regression":
        assert (loaded.recipe.amplitude, loaded.recipe.visibility_threshold) == (40.0, 0.25)
        assert loaded.recipe.loss_weights == {"heatmap": 1.0}
    assert loaded.predict_image(cases[0].image).landmarks.shape == (166, 2)


def test_reduced_anatomies_of_version_1_are_known_by_their_name(tmp_path):
    few = WRIST.reduced(25)
    method = create("mean_shape", few, (96, 56))
    points = np.random.default_rng(0).uniform(0, 50, (3, few.n_landmarks, 2))
    from denseseg.cases.case import Case

    method.prepare(CaseSet("few", few, [Case(f"c{i}", np.zeros((96, 56)), p, few) for i, p in enumerate(points)]))
    path = save_method(method, tmp_path / "weights.safetensors")
    old = {"method": "mean_shape", "anatomy": "wrist 25 %", "size": [96, 56], "recipe": {}}
    assert load_method(rewritten(path, lambda _: old, lambda n: f"state.{n}")).anatomy == few


def test_files_of_a_later_version_say_so(cases, tmp_path):
    path = save_method(prepared("mean_shape", cases), tmp_path / "weights.safetensors")
    rewritten(path, lambda h: h | {"version": 99})
    with pytest.raises(DataError, match=r"written by a later version of this package .*; update denseseg"):
        load_method(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h | {"method": "unet"}, "unknown method 'unet'"),
        (lambda h: h | {"size": "64"}, "size must be a valid array, got '64'"),
        (lambda h: h | {"recipe": {"decoder": "publishd"}}, "recipe: decoder must be 'affine' or 'published'"),
        (lambda h: h | {"anatomy": {"name": "chest", "structures": []}}, "anatomy.structures"),
        (lambda h: {k: v for k, v in h.items() if k != "anatomy"}, "anatomy is missing"),
    ],
)
def test_a_wrong_header_ends_in_one_line(change, message, cases, tmp_path):
    path = rewritten(save_method(prepared("denseseg", cases), tmp_path / "weights.safetensors"), change)
    with pytest.raises(DataError, match=message) as caught:
        load_method(path)
    assert "\n" not in str(caught.value)


def test_weights_that_lack_a_tensor_say_so(cases, tmp_path):
    path = save_method(prepared("heatmap_regression", cases), tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="lacks 'optional': another version wrote it; train the method again"):
        load_method(rewritten(path, leave_out=("optional",)))


def test_damaged_tensors_are_told_by_their_checksum(cases, tmp_path):
    path = save_method(prepared("mean_shape", cases), tmp_path / "weights.safetensors")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="differs from its checksum"):
        load_method(path)


# ---- names ----------------------------------------------------------------------------------------------------------


def test_a_name_belongs_to_one_method():
    class Another(MeanShape):
        name = "mean_shape"

    with pytest.raises(DataError, match="there is a method 'mean_shape' already"):
        register(Another)
    assert register(MeanShape) is MeanShape


@pytest.mark.parametrize("name", [name for name in METHODS if "channels" in {f.name for f in fields(get_recipe(name, "default"))}])
def test_a_network_without_levels_is_refused(name):
    for channels in ((), (8,)) if name in ("denseseg", "heatmap_regression", "plain_unet", "heatmap_segmentation") else ((),):
        with pytest.raises(DataError, match="channels"):
            create(name, CHEST, (64, 64), channels=channels)
