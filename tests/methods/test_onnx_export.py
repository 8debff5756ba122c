"""The graph of a DenseSeg says what Python says, in standard operators, and small weights make a small file."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_chest import small_chest, small_graph, without_clavicle
from torch import nn

from denseseg import chest_phantom, create
from denseseg.anatomy import CHEST, Anatomy
from denseseg.errors import DataError
from denseseg.geometry.shape_model import fit_shape_model
from denseseg.methods import inference, onnx_export
from denseseg.methods.onnx_export import OUTPUTS, Prior, graph_choices, inverse, to_onnx
from denseseg.prediction import Prediction

NO_CHEST = 4  # of the `images`


def session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options)


@pytest.fixture(scope="module")
def chest() -> onnxruntime.InferenceSession:
    return session(small_graph())


def images() -> list[np.ndarray]:
    """Plain, without a clavicle, half covered, moved out of the picture, and no chest at all."""
    cases = list(chest_phantom(5, small_chest().size, seed=7))
    plain, without, covered, moved = cases[0].image, without_clavicle(cases[1], 0).image, cases[2].image.copy(), cases[3].image
    covered[30:] = 0.5
    return [
        plain,
        without,
        covered,
        np.roll(moved, 20, axis=1),
        np.linspace(0, 1, plain.size, dtype=np.float32).reshape(plain.shape),
    ]


@pytest.mark.parametrize("index", range(5))
def test_the_graph_says_what_python_says(chest, index):
    image = images()[index][None, None]
    (wanted,) = graph_choices(small_chest()).predict(torch.as_tensor(image))
    found = dict(zip(OUTPUTS, chest.run(OUTPUTS, {"image": image}), strict=True))
    assert np.abs(found["probabilities"][0] - wanted.probabilities).max() < 1e-4
    assert np.abs(found["uv"][0] - wanted.uv).max() < 1e-4
    assert np.array_equal(found["masks"][0], wanted.masks)
    assert np.array_equal(found["presence"][0], wanted.presence)
    # where there is no chest the maps are nearly flat, and the inversion makes much of what rounding leaves
    close = 0.1 if index == NO_CHEST else 0.01
    assert np.allclose(found["landmarks"][0], wanted.landmarks, rtol=0, atol=close, equal_nan=True)
    assert np.allclose(found["covariance"][0], wanted.covariance, rtol=0.01, atol=0.01, equal_nan=True)


def test_the_images_above_have_all_kinds_of_answers(chest):
    answers = [chest.run(OUTPUTS, {"image": image[None, None]}) for image in images()]
    assert any(np.isnan(answer[3]).any() and np.isfinite(answer[3]).any() for answer in answers), "a structure is missing"
    assert any(np.isfinite(answer[3]).all() for answer in answers), "all are there"


def test_a_graph_has_standard_operators_and_no_trace_of_this_machine():
    content = small_graph()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"} and not model.functions
    assert str(ROOT).encode() not in content and b"onnx_export" not in content
    (anatomy,) = (json.loads(entry.value) for entry in model.metadata_props if entry.key == "anatomy")
    assert Anatomy.from_dict(anatomy) == CHEST


class Layer(nn.Module):
    def __init__(self, weights: torch.Tensor):
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, x):
        return x @ self.weights


def stored(weights: torch.Tensor) -> tuple[bytes, np.ndarray]:
    """A layer as it is stored, and what it does."""
    model = torch.onnx.export(Layer(weights).eval(), (torch.eye(64),), dynamo=True, verbose=False).model_proto
    onnx_export.store_small(model)
    content = model.SerializeToString()
    run = session(content)
    return content, run.run(None, {run.get_inputs()[0].name: np.eye(64, dtype=np.float32)})[0]


def test_weights_are_stored_as_small_as_they_are_exact():
    exact = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    rounded = exact.half().float()
    large, small = stored(exact), stored(rounded)
    assert len(small[0]) < len(large[0]) - 64 * 64
    assert np.array_equal(large[1], exact.numpy()) and np.array_equal(small[1], rounded.numpy())


class Largest(nn.Module):
    def forward(self, masks):
        return onnx_export.largest_components(masks)


@pytest.fixture(scope="module")
def largest() -> onnxruntime.InferenceSession:
    program = torch.onnx.export(Largest().eval(), (torch.zeros(2, 9, 12, dtype=torch.bool),), dynamo=True, verbose=False)
    return session(program.model_proto.SerializeToString())


@settings(deadline=None, max_examples=50)
@given(masks=arrays(bool, (2, 9, 12), elements=st.sampled_from([True, True, False])))
def test_largest_components_are_those_of_the_package(largest, masks):
    found = largest.run(None, {"masks": masks})[0]
    wanted = inference.largest_components(torch.as_tensor(masks)[None])[0].numpy()
    assert np.array_equal(found.sum((1, 2)), wanted.sum((1, 2)))  # two of the same size: either will do
    assert not (found & ~masks).any()
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other) or not (one & other).any()


def test_a_component_that_winds_is_one(largest):
    masks = np.zeros((2, 9, 12), bool)
    masks[0, ::2] = masks[0, 1::4, -1] = masks[0, 3::4, 0] = True  # to and fro
    masks[1, 0, :5] = masks[1, 2, :6] = True
    found = largest.run(None, {"masks": masks})[0]
    assert np.array_equal(found[0], masks[0])
    assert found[1].sum() == 6 and found[1, 2, :6].all()


class Posterior(nn.Module):
    def __init__(self, prior: Prior):
        super().__init__()
        self.prior = prior

    def forward(self, points, covariance, unseen):
        return self.prior(points, covariance, unseen)


@pytest.fixture(scope="module")
def shapes():
    """A shape model of chests, its noise, and its graph."""
    model, noise = fit_shape_model(chest_phantom(24, (64, 64)).landmarks), 0.5
    example = (torch.zeros(166, 2), torch.zeros(166, 2, 2), torch.zeros(166, dtype=torch.bool))
    program = torch.onnx.export(Posterior(Prior(model, noise, CHEST)).eval(), example, dynamo=True, verbose=False)
    return model, noise, session(program.model_proto.SerializeToString())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999), lost=st.sets(st.integers(0, 4)), hidden=st.sampled_from([0.0, 0.2, 0.9, 1.0]))
def test_the_prior_is_that_of_the_package(shapes, seed, lost, hidden):
    """Whatever is lost or unseen, and with covariances that are unreadable."""
    model, noise, graph = shapes
    rng = np.random.default_rng(seed)
    points = chest_phantom(1, (64, 64), seed=seed)[0].landmarks + rng.normal(0, 1, (166, 2))
    unseen = rng.random(166) < hidden
    root = rng.normal(0, 1, (166, 2, 2)) * 10 ** rng.uniform(-2, 2, (166, 1, 1))
    covariance = root @ root.swapaxes(1, 2)
    covariance[rng.random(166) < 0.1] = np.nan
    for c in lost:
        where = list(CHEST.slices.values())[c]
        points[where], unseen[where] = np.nan, False
    points, covariance = points.astype(np.float32), covariance.astype(np.float32)
    wanted = inference.apply_shape_prior(Prediction(CHEST, points.astype(float), covariance=covariance), model, noise, unseen)
    inputs = dict(zip((one.name for one in graph.get_inputs()), (points, covariance, unseen), strict=True))
    found, spread = graph.run(None, inputs)
    assert np.allclose(found, wanted.landmarks, rtol=0, atol=1e-3, equal_nan=True)
    assert np.allclose(spread, wanted.covariance, rtol=1e-3, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_inverse(size):
    root = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    matrix = root @ root.T + 0.01 * torch.eye(size)
    assert torch.allclose(inverse(matrix) @ matrix, torch.eye(size).double(), atol=1e-8)


def test_a_method_that_was_not_fitted_is_refused():
    with pytest.raises(DataError, match="train it or load its weights"):
        to_onnx(create("denseseg", CHEST, (64, 64), channels=(4, 8)))


def test_a_graph_has_one_view_and_no_projection_and_leaves_the_method_as_it_was():
    method = small_chest()
    chosen = graph_choices(method)
    assert (chosen.recipe.test_time_views, chosen.recipe.project_onto_outline) == (1, False)
    assert method.recipe.test_time_views > 1 and method.recipe.project_onto_outline
    assert chosen.network is method.network


def test_neither_the_package_nor_this_module_imports_onnx():
    code = "import sys, denseseg, denseseg.methods.onnx_export\nassert not {'onnx', 'onnxscript', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
