"""What an image is not: noticed by methods with and without maps, kept in the weights file, told in tables and annotations."""

from __future__ import annotations

import re

import numpy as np
import pytest
from attacks.doubt import UNUSUAL

from denseseg.anatomy import CHEST
from denseseg.exchange.cases import annotation_of, refused
from denseseg.files import read_tensors, write_tensors
from denseseg.geometry.shape_model import fit_shape_model
from denseseg.methods import create, load_method, save_method
from denseseg.methods.outliers import CHECKS
from denseseg.phantom.chest.phantom import chest_phantom
from denseseg.prediction import Prediction
from denseseg.training.settings import Epochs, Run, TrainingSettings

SIZE = (64, 64)
SPLIT = chest_phantom(60, SIZE, seed=3).split("stratified", validation=0.3)
QUIET = Run(progress=False, device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def mean_shape():
    """A method without any map."""
    method = create("mean_shape", CHEST, SIZE)
    method.fit(SPLIT.train, SPLIT.validation)
    return method


@pytest.fixture(scope="module", params=["denseseg", "heatmap_regression", "plain_unet"])
def trained(request):
    training = TrainingSettings(length=Epochs(1), batch_size=4)
    method = create(request.param, CHEST, SIZE, channels=(4, 8), training=training, test_time_views=1)
    method.fit(SPLIT.train[:8], SPLIT.validation[:4], QUIET)
    return method


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_an_unusual_image_is_not_is_told_for_every_structure(name, mean_shape):
    change, reasons = UNUSUAL[name]
    for case in SPLIT.test[:2]:
        found = mean_shape.predict_image(np.ascontiguousarray(change(case.image)))
        assert found.doubtful and found.ood_score > 1, found.ood_score
        assert all(re.search(reasons, reason) for reason in found.refusals), found.refusals
        table = found.table()
        assert set(table["refusal"]) == set(found.refusals) and not table["absent"].any()
        assert (table["ood_score"] > 1).all()


def test_sound_images_are_believed(mean_shape):
    found = mean_shape.predict_cases(SPLIT.test)
    assert sum(one.doubtful for one in found) <= 1  # of 21
    assert sum(any(one.refusals) for one in found) <= 1


def test_each_method_checks_what_it_has_and_keeps_the_limits_in_its_file(trained, tmp_path):
    has = {
        "denseseg": set(CHECKS),
        "heatmap_regression": set(CHECKS) - {"folds", "cycle"},
        "plain_unet": {"looks", "way round", "detail", "undecided"},
    }
    assert trained.usual is not None and set(trained.usual.limits) == has[trained.name]
    assert all(low < limit for low, limit in trained.usual.limits.values())
    again = load_method(save_method(trained, tmp_path / "weights.safetensors"))
    black = np.zeros(SIZE)
    before, after = trained.predict_image(black), again.predict_image(black)
    assert before.doubtful and before.ood_score == after.ood_score and before.ood_reasons == after.ood_reasons


def test_weights_of_before_know_no_limit_and_refuse_nothing(trained, tmp_path):
    path = save_method(trained, tmp_path / "weights.safetensors")
    tensors, header = read_tensors(path)
    write_tensors(path, {key: value for key, value in tensors.items() if not key.startswith("usual.")}, header)
    old = load_method(path).predict_image(np.zeros(SIZE))
    assert old.ood_score is None and not old.doubtful and old.ood_reasons is None


@pytest.mark.parametrize("validation", [None, SPLIT.validation[:0], SPLIT.validation[:3]])
def test_with_too_few_validation_cases_no_limit_is_known(validation):
    method = create("mean_shape", CHEST, SIZE)
    method.fit(SPLIT.train, validation)
    assert method.usual is None and method.predict_image(np.zeros(SIZE)).ood_score is None


def test_a_refused_structure_goes_out_hidden_and_an_absent_one_not_at_all():
    points = SPLIT.test[0].landmarks
    reasons = ("", "", "its map folds over", "", "")
    prediction = Prediction(CHEST, points, ood_score=2.0, ood_reasons=reasons)
    one = annotation_of("a.png", SIZE, points, refused=refused(prediction))
    assert one.hidden[CHEST.slices[CHEST.names[2]]].all() and not one.hidden[CHEST.slices[CHEST.names[0]]].any()
    lost = points.copy()
    lost[CHEST.slices[CHEST.names[1]]] = np.nan
    absent = Prediction(CHEST, lost, presence=np.array([1.0, 0.0, 1, 1, 1]))
    assert absent.refusals == ("",) * 5 and absent.table()["absent"].sum() == CHEST.counts[1]
    assert Prediction(CHEST, lost).refusals[1] == "not found"


def test_the_distance_from_a_shape_model_is_that_of_its_gaussian():
    rng = np.random.default_rng(0)
    model = fit_shape_model(rng.normal(size=(30, 4, 2)) * [3, 1] + 10)
    covariance = model.modes @ np.diag(model.variances - model.residual) @ model.modes.T + model.residual * np.eye(8)
    points = rng.normal(size=(4, 2)) + 12
    apart = points.ravel() - model.mean
    assert model.distance(points) == pytest.approx(np.sqrt(apart @ np.linalg.solve(covariance, apart) / 8), rel=1e-6)
    points[1] = np.nan
    kept = np.isfinite(points).ravel()
    apart = apart[kept]
    assert model.distance(points) == pytest.approx(
        np.sqrt(apart @ np.linalg.solve(covariance[np.ix_(kept, kept)], apart) / 6), rel=1e-6
    )
    assert np.isnan(model.distance(np.full((4, 2), np.nan)))
