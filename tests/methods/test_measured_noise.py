"""The noise that the shape prior assumes, measured on validation cases."""

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


class Noisy(HeatmapRegression):
    """Reads the true landmarks of the cases that it is shown, with noise of 0.7 pixels, and one in ten of them far off."""

    shown: CaseSet

    def predict(self, images):
        found = []
        for i in (256 * images[:, 0, 0, 0]).round().int().tolist():
            rng = np.random.default_rng(i)
            points = self.shown[i].landmarks + rng.normal(0, 0.7, (12, 2))
            points[rng.random(12) < 0.1] += 20
            found.append(self._placed(points, np.ones(12)))
        return found


def noisy() -> Noisy:
    recipe = HeatmapRegression.recipes["default"].scaled(1.0, 1 / 16, 4).changed(shape_prior="validation")
    method = Noisy(POINTS, SIZE, recipe)
    train, validation = cases(60, 1), cases(40, 2)
    method.shown = validation
    method.prepare(train, validation)
    assert method.landmark_noise == 0  # not yet known
    method.measure_noise(validation)
    return method


def test_it_is_the_networks_own_whatever_a_few_landmarks_that_are_far_off():
    method = noisy()
    assert method.landmark_noise == pytest.approx(0.7, rel=0.25)  # 480 landmarks, a tenth of them spoilt
    measured = method.landmark_noise
    method.measure_noise(method.shown)
    assert method.landmark_noise == measured  # measured without the prior's help, so the same again


def test_it_is_what_the_prior_assumes_and_is_kept_with_the_weights(tmp_path):
    train, validation = cases(30, 1), cases(10, 2)
    training = TrainingSettings(length=Epochs(1), batch_size=4)
    method = create("heatmap_regression", POINTS, SIZE, channels=(12, 12), training=training, shape_prior="validation")
    method.fit(train, validation, Run(progress=False))
    noise = method.landmark_noise
    assert noise > 0
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


def test_where_no_landmark_is_found_there_is_no_noise_to_measure(monkeypatch):
    method = noisy()
    monkeypatch.setattr(method, "predict", lambda images: [Prediction(POINTS, np.full((12, 2), np.nan)) for _ in images])
    with pytest.raises(DataError, match="no landmark was found in points; train heatmap_regression longer"):
        method.measure_noise(method.shown)
