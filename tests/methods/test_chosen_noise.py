"""The noise that the shape prior assumes, chosen on validation cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.methods import create, load_method, save_method
from denseseg.methods.heatmap_regression import HeatmapRegression
from denseseg.methods.method import NOISES, validation_error
from denseseg.prediction import Prediction
from denseseg.training.settings import Epochs, Run, TrainingSettings

SIZE = (64, 48)
POINTS = Anatomy("points", (Structure("points", 12, "points", Kind.POINTS),))


def cases(n: int, seed: int) -> CaseSet:
    """Images with a case's number as their grey value, and landmarks that move as one along three modes."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    centre, modes = fixed.uniform(16, 32, (12, 2)), fixed.normal(0, 1.5, (3, 12, 2))
    shapes = centre + np.einsum("ij,jkl->ikl", rng.normal(size=(n, 3)), modes)
    images = [np.full(SIZE, i / 256, np.float32) for i in range(n)]
    return CaseSet("points", POINTS, [Case(f"{seed}-{i}", images[i], shapes[i], POINTS) for i in range(n)])


class Reader(HeatmapRegression):
    """Reads the true landmarks of the cases that it is shown, with noise of `sd` pixels."""

    shown: CaseSet
    sd: float

    def predict(self, images):
        found = []
        for i in (256 * images[:, 0, 0, 0]).round().int().tolist():
            noise = np.random.default_rng(i).normal(0, self.sd, (12, 2))
            found.append(self._placed(self.shown[i].landmarks + noise, np.ones(12)))
        return found


def reader(sd: float, train: CaseSet) -> Reader:
    recipe = HeatmapRegression.recipes["default"].scaled(1.0, 1 / 16, 4).changed(shape_prior="validation")
    method = Reader(POINTS, SIZE, recipe)
    method.shown, method.sd = cases(40, 2), sd
    method.prepare(train, method.shown)
    assert method.landmark_noise == 0  # not yet known
    method.choose_noise(method.shown)
    return method


@pytest.mark.parametrize("sd", [0.25, 0.5, 1.0, 2.0])
def test_of_shapes_as_the_model_takes_them_to_be_it_is_the_noise_that_is_there(sd):
    assert reader(sd, cases(60, 1)).landmark_noise == sd


@pytest.mark.parametrize("train", [cases(60, 1), cases(2, 1)], ids=["many shapes", "two shapes"])
def test_no_other_makes_the_validation_error_smaller(train):
    method = reader(0.7, train)
    chosen, error = method.landmark_noise, validation_error(method, method.shown)
    for share in NOISES:
        method.recipe = method.recipe.changed(shape_prior=share)
        other = validation_error(method, method.shown)
        assert other == error if method.landmark_noise == chosen else other > error


def test_landmarks_that_are_exact_are_left_alone():
    assert reader(0.0, cases(60, 1)).landmark_noise == 0


def test_it_is_what_the_prior_assumes_and_is_kept_with_the_weights(tmp_path):
    train, validation = cases(30, 1), cases(10, 2)
    training = TrainingSettings(length=Epochs(1), batch_size=4)
    method = create("heatmap_regression", POINTS, SIZE, channels=(12, 12), training=training, shape_prior="validation")
    method.fit(train, validation, Run(progress=False))
    noise = method.landmark_noise
    assert noise > 0  # a network of one epoch is not exact
    image = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    (found,) = method.predict(image)
    again = load_method(save_method(method, tmp_path / "weights.safetensors"))
    assert again.landmark_noise == pytest.approx(noise)
    np.testing.assert_allclose(again.predict(image)[0].landmarks, found.landmarks, atol=1e-4)
    method.recipe = method.recipe.changed(shape_prior=noise / SIZE[0])
    np.testing.assert_allclose(method.predict(image)[0].landmarks, found.landmarks, atol=1e-6)
    method.recipe = method.recipe.changed(shape_prior=0.0)
    assert np.abs(method.predict(image)[0].landmarks - found.landmarks).max() > 0.1


def test_without_validation_cases_nothing_is_trained():
    method = create("heatmap_regression", POINTS, SIZE, channels=(12, 12), shape_prior="validation")
    with pytest.raises(DataError, match=r"no validation cases.*shape_prior"):
        method.fit(cases(10, 1), None, Run(progress=False))
    with pytest.raises(DataError, match="shape_prior"):
        create("heatmap_regression", POINTS, SIZE, shape_prior="test")


def test_where_no_landmark_is_found_there_is_no_prior(monkeypatch):
    method = reader(0.7, cases(60, 1))
    monkeypatch.setattr(method, "predict", lambda images: [Prediction(POINTS, np.full((12, 2), np.nan)) for _ in images])
    method.choose_noise(method.shown)
    assert method.landmark_noise == 0
