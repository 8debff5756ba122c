"""The networks that come with the package: what they are, and what they find on drawings that they have not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import ROOT
from scipy.ndimage import rotate

from denseseg import load_pretrained
from denseseg.anatomy import get_anatomy
from denseseg.errors import DataError
from denseseg.evaluation import evaluate, per_case
from denseseg.experiments import read_studies
from denseseg.files import read_tensors
from denseseg.geometry.frame import Turn
from denseseg.methods.onnx_export import graph_choices, to_onnx
from denseseg.phantom import PHANTOMS, RANDOMISED, chest_phantom
from denseseg.studies.transfer import table
from denseseg.weights import FOLDER, card, load_weights, pretrained

NAMES = ("chest", "wrist")


def test_these_networks_come_with_the_package():
    assert pretrained() == NAMES
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) < 8e6


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_stored_in_half_precision_and_knows_its_anatomy(name):
    tensors, _ = read_tensors(FOLDER / f"{name}.safetensors")
    network = [tensor for key, tensor in tensors.items() if key.startswith("network.") and tensor.is_floating_point()]
    assert {tensor.dtype for tensor in network} == {torch.half}
    method = load_pretrained(name)
    assert method.anatomy == get_anatomy(name)
    assert all(parameter.dtype == torch.float32 for parameter in method.network.parameters())


@pytest.mark.parametrize(("name", "pixels"), [("chest", 4.0), ("wrist", 4.0)])
def test_it_finds_the_landmarks_of_drawings_that_it_has_not_seen(name, pixels):
    method = load_pretrained(name)
    new = PHANTOMS[name](6, method.size, 977, **RANDOMISED[name])
    found = method.predict_cases(new)
    spacing = new[0].spacing or 1.0
    assert per_case(evaluate(found, new), "tre").median() < pixels * spacing
    assert all(one.ood_score is not None for one in found)


@pytest.mark.parametrize("number", [1, 4, 7])
def test_it_finds_out_how_a_hand_lies(number):
    method = load_pretrained("wrist")
    (case,) = PHANTOMS["wrist"](1, method.size, 977, **RANDOMISED["wrist"])
    turn = Turn.all(case.size)[number]
    as_it_is = method.predict_image(case.image)
    given = turn.maps_to_fitted(case.image)
    found, laid = method.predict_any_way(given)
    np.testing.assert_allclose(laid.maps_to_fitted(given), case.image, atol=1e-6)
    np.testing.assert_allclose(turn.to_original(found.landmarks), as_it_is.landmarks, atol=1e-3)


def test_the_card_for_chests_has_the_numbers_of_the_record():
    (found,) = [one for one in read_studies(ROOT / "results") if one.study == "transfer on test cases"]
    assert table(found.results) in card("chest")


def test_a_page_finds_what_python_finds():
    """Its graph, on drawings as they are, turned, and half covered."""
    method = graph_choices(load_pretrained("chest"))
    images = list(chest_phantom(3, method.size, 978, **RANDOMISED["chest"]).images)
    images += [rotate(images[0], 20, reshape=False, order=1, mode="nearest"), np.where(np.arange(128) < 50, 0.5, images[1])]
    session = onnxruntime.InferenceSession(to_onnx(method))
    for image in images:
        one = np.asarray(image, np.float32)[None, None]
        (wanted,) = method.predict(torch.as_tensor(one))
        (found,) = session.run(["landmarks"], {"image": one})
        np.testing.assert_allclose(found[0], wanted.landmarks, rtol=0, atol=0.1)


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(DataError, match="no weights called 'hip' come with the package; there are: chest, wrist"):
        load_pretrained("hip")


def test_a_file_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_weights("chest").anatomy.name == "chest"
    Path("chest").write_bytes(b"something else")
    with pytest.raises(DataError, match="chest"):
        load_weights("chest")


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_a_user_must_know(name):
    words = card(name)
    command = f"python data_scripts/make_weights.py {name}"
    for said in ("not a medical device", "drawings", command, "## What it cannot do", "Licence"):
        assert said in words, said
