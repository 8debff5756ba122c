"""nnU-Net: which structures share a net, files in its layout, and the way back; the real package where it is installed."""

from __future__ import annotations

import builtins
import json
import os
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.io import imread

from denseseg.anatomy import CHEST, Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError
from denseseg.evaluation import evaluate
from denseseg.methods import create, get_recipe, load_method, nnunet, save_method
from denseseg.methods.nnunet import Net, environment, export, label_map, masks_of, nets_of, overlap_shares
from denseseg.phantom import chest_phantom
from denseseg.training.settings import Run

SIZE = (64, 64)
QUIET = Run(progress=False, device="cpu")
LUNGS_AND_HEART, CLAVICLES = (0, 1, 2), (3, 4)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(6, SIZE, seed=1)


# ---- which structures share a net -----------------------------------------------------------------------------------


def test_the_chest_needs_two_nets_as_in_the_paper(cases):
    shares = overlap_shares(cases)
    assert nets_of(shares > get_recipe("nnunet", "default").overlap) == [LUNGS_AND_HEART, CLAVICLES]
    np.testing.assert_array_equal(shares, shares.T)
    assert shares[0, 3] > 0.5  # a clavicle lies over its lung
    assert 0 < shares[1, 2] < 0.05  # lung and heart touch
    assert not np.diag(shares).any()


def test_an_overlap_is_a_share_of_the_smaller_structure():
    two = Anatomy("two", (Structure("large", 4, "g"), Structure("small", 4, "g")))
    masks = np.zeros((2, 20, 20), bool)
    masks[0, :10], masks[1, 8:12, :5] = True, True  # 200 and 20 pixels, 10 of them in both
    case = Case("c", np.zeros((20, 20)), np.arange(16.0).reshape(8, 2), two, masks)
    np.testing.assert_allclose(overlap_shares([case, case]), [[0, 0.5], [0.5, 0]])


@settings(deadline=None)
@given(st.integers(1, 9).flatmap(lambda n: arrays(bool, (n, n))))
def test_no_net_holds_two_structures_that_conflict_and_each_is_in_one(pairs):
    conflicts = (pairs | pairs.T) & ~np.eye(len(pairs), dtype=bool)
    nets = nets_of(conflicts)
    assert sorted(c for members in nets for c in members) == list(range(len(pairs)))
    assert not any(conflicts[np.ix_(members, members)].any() for members in nets)
    assert len(nets) <= conflicts.sum(1).max() + 1  # the bound of greedy colouring


# ---- labels ---------------------------------------------------------------------------------------------------------


def test_a_pixel_of_two_structures_is_the_smaller_ones():
    masks = np.zeros((3, 6, 6), bool)
    masks[0, 1:3, 1:3], masks[1], masks[2, 2:6, 2:6] = True, True, True
    labels = label_map(masks)
    assert labels.dtype == np.uint8
    assert (labels[1, 1], labels[2, 2], labels[5, 5], labels[0, 0]) == (1, 1, 3, 2)


@settings(deadline=None)
@given(arrays(np.uint8, (5, 7), elements=st.integers(0, 4)))
def test_labels_and_masks_without_overlap_are_each_others_inverse(labels):
    masks = masks_of(labels, 4)
    assert masks.shape == (4, 5, 7)
    np.testing.assert_array_equal(label_map(masks), labels)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_the_export_has_nnunets_layout(cases, tmp_path):
    folder = export(tmp_path, cases, CLAVICLES, number=2)
    assert folder == tmp_path / "Dataset002_chest"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"dataset.json"} | {f"imagesTr/{i}_0000.png" for i in cases.ids} | {f"labelsTr/{i}.png" for i in cases.ids}
    assert json.loads((folder / "dataset.json").read_text()) == {
        "channel_names": {"0": "radiograph"},
        "labels": {"background": 0, "right clavicle": 1, "left clavicle": 2},
        "numTraining": 6,
        "file_ending": ".png",
    }
    case = cases[3]
    image, labels = imread(folder / "imagesTr" / f"{case.id}_0000.png"), imread(folder / "labelsTr" / f"{case.id}.png")
    np.testing.assert_allclose(image / 65535, case.image, atol=1e-5)
    np.testing.assert_array_equal(masks_of(labels, 2), true_masks(case)[list(CLAVICLES)])
    assert set(np.unique(labels)) == {0, 1, 2}
    export(tmp_path, cases[:2], CLAVICLES, number=2)
    assert {path.name for path in folder.glob("labelsTr/*")} == {f"{i}.png" for i in cases.ids[:2]}  # no case of an earlier set


def test_the_environment_is_as_it_was_afterwards(monkeypatch):
    monkeypatch.setenv(nnunet.RAW, "mine")
    monkeypatch.delenv(nnunet.RESULTS, raising=False)
    with pytest.raises(RuntimeError), environment(**{nnunet.RAW: "theirs", nnunet.RESULTS: "theirs"}):
        assert os.environ[nnunet.RAW] == os.environ[nnunet.RESULTS] == "theirs"
        raise RuntimeError
    assert os.environ[nnunet.RAW] == "mine"
    assert nnunet.RESULTS not in os.environ


# ---- the method -----------------------------------------------------------------------------------------------------


def test_structures_without_a_region_have_no_mask_to_learn():
    curve = Anatomy("arm", (Structure("crease", 5, "c", Kind.CURVE),))
    with pytest.raises(DataError, match="nnU-Net cannot work on the arm: crease covers no region"):
        create("nnunet", curve, SIZE)


def test_a_profile_shortens_the_training_and_leaves_the_plan_to_nnunet():
    scaled = get_recipe("nnunet", "default").scaled(length=0.25, width=0.25, largest_batch=4)
    assert scaled == get_recipe("nnunet", "default").changed(epochs=250)
    assert not scaled.mirroring and get_recipe("nnunet", "paper").mirroring


def test_without_the_package_it_says_how_to_install_it(cases, monkeypatch):
    real = builtins.__import__

    def lacking(name, *args, **kwargs):
        if name.startswith("nnunetv2"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    method = create("nnunet", CHEST, SIZE)
    for work in (lambda: method.fit(cases), lambda: method.predict(torch.zeros(1, 1, *SIZE))):
        with pytest.raises(DataError, match=r'needs the package nnunetv2; install it with: pip install "denseseg\[nnunet\]"'):
            work()


def answering(cases: CaseSet, labels: dict[tuple[int, ...], np.ndarray], monkeypatch):
    """A method whose nets answer with these labels (B, H, W), whatever they see."""
    method = create("nnunet", CHEST, SIZE)
    method.prepare(cases)
    method.nets = [Net(structures, {"plan": 1.5}, {"labels": {}}, {"w": torch.ones(2, 3)}) for structures in labels]
    monkeypatch.setattr(nnunet, "require_nnunet", lambda: None)
    monkeypatch.setattr(nnunet, "predicted_labels", lambda net, images, mirroring: labels[net.structures])
    return method


def test_masks_of_all_nets_make_one_prediction(cases, monkeypatch):
    truth = [true_masks(case) for case in cases]
    labels = {
        structures: np.stack([label_map(masks[list(structures)]) for masks in truth]) for structures in (LUNGS_AND_HEART, CLAVICLES)
    }
    predictions = answering(cases, labels, monkeypatch).predict_cases(cases)
    assert all(p.landmarks is None and not p.failed for p in predictions)
    table = evaluate(predictions, cases)
    dsc = table[table["metric"] == "dsc"].groupby("structure")["value"].mean()
    assert (dsc[["right clavicle", "left clavicle", "heart"]] == 100).all()  # clavicles overlap lungs, in another net
    assert (dsc > 99).all()  # a lung cedes to the heart what they share
    assert "tre" not in set(table["metric"])


def test_an_empty_mask_is_absence_only_where_a_structure_was_ever_absent(cases, monkeypatch):
    empty = {structures: np.zeros((1, *SIZE), np.uint8) for structures in (LUNGS_AND_HEART, CLAVICLES)}
    method = answering(cases, empty, monkeypatch)
    method.optional[2] = True
    prediction = method.predict(torch.zeros(1, 1, *SIZE))[0]
    assert prediction.absent.tolist() == [name == "heart" for name in CHEST.names]
    assert prediction.failed == tuple(name for name in CHEST.names if name != "heart")


def test_nets_are_saved_as_tensors_and_read_without_the_package(cases, monkeypatch, tmp_path):
    method = answering(cases, {LUNGS_AND_HEART: np.empty(0), CLAVICLES: np.empty(0)}, monkeypatch)
    loaded = load_method(save_method(method, tmp_path / "weights.safetensors"))
    assert loaded.parameters == method.parameters == 12
    for one, other in zip(loaded.nets, method.nets, strict=True):
        assert (one.structures, one.plans, one.dataset) == (other.structures, other.plans, other.dataset)
        assert torch.equal(one.weights["w"], other.weights["w"])


def test_it_cannot_be_trained_further(cases, monkeypatch):
    monkeypatch.setattr(nnunet, "require_nnunet", lambda: None)
    with pytest.raises(DataError, match="nnunet begins with new weights each time and cannot be fine-tuned"):
        create("nnunet", CHEST, SIZE).fit(cases, None, Run(fine_tune=True))


def test_before_training_there_is_nothing_to_predict_with(monkeypatch):
    monkeypatch.setattr(nnunet, "require_nnunet", lambda: None)
    with pytest.raises(DataError, match="nnunet has no nets yet; train it or load its weights first"):
        create("nnunet", CHEST, SIZE).predict(torch.zeros(1, 1, *SIZE))


@pytest.mark.skipif(find_spec("nnunetv2") is None, reason="nnunetv2 is not installed")
def test_the_real_package_plans_trains_predicts_and_is_saved(cases, tmp_path):
    method = create("nnunet", CHEST, SIZE, "proof", epochs=2, steps=2)
    history = method.fit(cases, None, Run(progress=False, device="cpu", folder=tmp_path / "run"))
    assert history.groupby("net").size().to_dict() == {1: 2, 2: 2}
    assert np.isfinite(history["loss"]).all()
    assert [net.structures for net in method.nets] == [LUNGS_AND_HEART, CLAVICLES]
    assert method.nets[0].plans["configurations"]["2d"]["patch_size"] == [64, 64]
    assert not list((tmp_path / "run").rglob("*.pth"))
    predictions = method.predict_cases(cases[:2])
    assert all(p.masks.shape == (5, *SIZE) and p.landmarks is None for p in predictions)
    again = load_method(save_method(method, tmp_path / "weights.safetensors")).predict_cases(cases[:2])
    assert all((one.masks == other.masks).all() for one, other in zip(predictions, again, strict=True))
