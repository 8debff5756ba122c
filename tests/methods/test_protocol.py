"""Every method through the one protocol: prepare, targets, losses, predict, save, load; and the training loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from denseseg.anatomy import CHEST
from denseseg.augment import NO_AUGMENTATION
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import inside_image, scale_points
from denseseg.methods import METHODS, Prediction, create, load_method
from denseseg.phantom import chest_phantom, wrist_phantom
from denseseg.training.loop import fit, predict_all, validation_error
from denseseg.training.settings import TrainingSettings

SIZE = (64, 64)
TINY = {"channels": (8, 16)}
QUICK = TrainingSettings(epochs=2, batch_size=2, validate_every=1)


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(6, SIZE, seed=1)


def tiny(name: str, recipe: str = "default", **changes):
    torch.manual_seed(0)
    return create(name, CHEST, SIZE, recipe, **({} if name == "mean_shape" else TINY | changes))


def batch_of(cases: CaseSet) -> Batch:
    return Batch(torch.as_tensor(cases.images)[:, None], torch.as_tensor(cases.landmarks, dtype=torch.float32))


ALL = [(name, recipe) for name, cls in METHODS.items() for recipe in cls.recipes]


class Answer(torch.nn.Module):
    """A network that gives one answer, whatever it sees."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor):
        return self.answer


# ---- the protocol ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "recipe"), ALL)
def test_every_recipe_keeps_the_protocol(name, recipe, cases):
    method = tiny(name, recipe)
    method.prepare(cases)
    predictions = method.predict(batch_of(cases).images)
    assert len(predictions) == len(cases)
    assert all(p.landmarks.shape == (166, 2) for p in predictions)
    if method.network is None:
        return
    batch = batch_of(cases[:2])
    batch.landmarks[0, CHEST.slices["heart"]] = torch.nan  # a missing structure must reach no loss as NaN
    targets = method.targets(batch)
    terms = method.losses(method.network(method.normalise(batch.images)), targets)
    assert terms.keys() == method.weights.keys()
    assert all(torch.isfinite(term) and term >= 0 for term in terms.values())
    sum(method.weights[k] * v for k, v in terms.items()).backward()
    gradients = [p.grad for p in method.network.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize(("name", "recipe"), ALL)
def test_saved_methods_predict_the_same(name, recipe, cases, tmp_path):
    method = tiny(name, recipe)
    method.prepare(cases)
    path = method.save(tmp_path / "weights.safetensors")
    loaded = load_method(path)
    assert loaded.recipe == method.recipe
    before, after = (m.predict_image(cases[0].image).landmarks for m in (method, loaded))
    np.testing.assert_allclose(before, after, atol=1e-6)  # BLAS may differ in the last bits with the place in memory
    assert list(tmp_path.iterdir()) == [path]  # no partial file is left


def test_weights_of_an_older_version_say_so(cases, tmp_path):
    method = tiny("heatmap_regression")
    method.prepare(cases)
    path = method.save(tmp_path / "weights.safetensors")
    with safe_open(path, framework="pt") as content:
        tensors = {key: content.get_tensor(key) for key in content.keys() if key != "state.optional"}  # noqa: SIM118
        save_file(tensors, path, metadata=content.metadata())
    with pytest.raises(DataError, match="lacks 'optional': an older version wrote it; train the method again"):
        load_method(path)


def test_perfect_outputs_give_small_losses_and_the_true_landmarks(cases):
    """The network replaced by one that answers with the targets: the floor of representation and decoder."""
    method = tiny("denseseg", views=1, shape_noise=0.0)  # the oracle answers for the image as it is
    method.prepare(cases)
    targets = method.targets(batch_of(cases))
    logits = torch.logit(targets["masks"].clamp(1e-4, 1 - 1e-4))
    terms = method.losses((logits, targets["uv"]), targets)
    assert terms["uv"] == 0
    assert terms["landmarks"] < 0.02

    method.network = Answer((logits, targets["uv"]))
    found = np.stack([p.landmarks for p in method.predict(batch_of(cases).images)])
    assert np.linalg.norm(found - cases.landmarks, axis=-1).mean() < 0.2


# ---- absent and cut structures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wrists() -> CaseSet:
    return wrist_phantom(16, (192, 112), seed=2)


def oracle(name: str, wrists: CaseSet, **changes):
    """A method of the first four wrists whose network answers with their targets; those without channels to spare."""
    method = create(name, wrists.anatomy, (192, 112), channels=(8, 16), **changes)
    method.prepare(wrists)
    targets = method.targets(batch_of(wrists[:4]))
    if name == "denseseg":
        method.network = Answer((torch.logit(targets["masks"].clamp(1e-4, 1 - 1e-4)), targets["uv"]))
    else:
        method.network = Answer(targets["heatmaps"])
    return method


@pytest.mark.parametrize(("name", "changes", "bound"), [("denseseg", {"views": 1}, 0.5), ("heatmap_regression", {}, 0.5)])
def test_absent_bones_are_told_and_landmarks_beyond_the_border_inferred(name, changes, bound, wrists):
    few = wrists[:4]
    found = np.stack([p.landmarks for p in oracle(name, wrists, **changes).predict(batch_of(few).images)])
    true = few.landmarks
    there = np.isfinite(true).all(-1)
    assert not there.all()
    np.testing.assert_array_equal(np.isfinite(found).all(-1), there)
    shown = inside_image(true, (192, 112))
    assert (there & ~shown).sum() > 20
    error = np.linalg.norm(found - true, axis=-1)
    assert error[shown].mean() < bound
    mean = np.linalg.norm(np.nanmean(wrists.landmarks, axis=0) - true, axis=-1)
    assert error[there & ~shown].mean() < 0.5 * mean[there & ~shown].mean()


def test_heatmaps_of_an_absent_bone_are_zero_and_those_of_a_missing_landmark_do_not_count(wrists):
    method = create("heatmap_regression", wrists.anatomy, (192, 112), channels=(8, 16))
    method.prepare(wrists)
    batch = batch_of(wrists[:2])
    capitate, ulna = (wrists.anatomy.slices[name] for name in ("capitate", "ulna"))
    batch.landmarks[0, capitate] = torch.nan
    batch.landmarks[0, ulna.start] = torch.nan
    targets = method.targets(batch)
    assert targets["known"][0, capitate].all()
    assert not targets["known"][0, ulna.start]
    quiet = torch.zeros_like(targets["heatmaps"])
    loud = quiet.clone()
    loud[0, ulna.start] = 9.0
    loss = [float(method.losses(maps, targets)["heatmap"]) for maps in (quiet, loud)]
    assert loss[0] == loss[1]
    loud[0, capitate.start] = 9.0
    assert float(method.losses(loud, targets)["heatmap"]) > loss[0]


def test_the_papers_heatmaps_tell_no_absence_even_where_they_are_all_below_zero(wrists):
    method = create("heatmap_regression", wrists.anatomy, (192, 112), "paper", channels=(8, 16))
    method.prepare(wrists)
    assert method.optional.any()
    method.network = Answer(torch.full((1, wrists.anatomy.n_landmarks, 192, 112), -1.0))
    assert np.isfinite(method.predict(batch_of(wrists[:1]).images)[0].landmarks).all()


def test_the_validation_error_leaves_out_what_the_image_does_not_show(wrists):
    """The mean shape, whose errors are known without a network."""
    method = create("mean_shape", wrists.anatomy, (192, 112))
    method.prepare(wrists)
    error = np.linalg.norm(method.fitted_template.points - wrists.landmarks, axis=-1)
    assert validation_error(method, wrists) == pytest.approx(error[inside_image(wrists.landmarks, (192, 112))].mean())


# ---- predictions ----------------------------------------------------------------------------------------------------


def test_the_mean_shape_is_the_mean(cases):
    method = tiny("mean_shape")
    assert fit(method, cases, None, QUICK).empty
    np.testing.assert_allclose(predict_all(method, cases)[3].landmarks, cases.landmarks.mean(0))


def test_predictions_follow_the_images_size(cases):
    large = np.kron(cases[0].image, np.ones((2, 2), np.float32))
    mean = tiny("mean_shape")
    mean.prepare(cases)
    points = (mean.predict_image(image).landmarks for image in (cases[0].image, large))
    np.testing.assert_allclose(scale_points(next(points), SIZE, (128, 128)), next(points))
    dense = tiny("denseseg")
    dense.prepare(cases)
    prediction = dense.predict_image(large)
    assert prediction.masks.shape == (5, 128, 128)
    assert prediction.uv.shape == (5, 2, 128, 128)


def test_a_resized_prediction_covers_the_same_ground():
    mask = np.zeros((1, 32, 32), bool)
    mask[0, 8:16, 8:24] = True
    square = np.tile(np.eye(2), (166, 1, 1))
    small = Prediction(CHEST, np.full((166, 2), 10.0), mask, mask.astype(np.float32), covariance=square)
    large = small.resized((32, 32), (64, 96))
    assert large.masks.sum() == pytest.approx(6 * mask.sum(), rel=0.02)
    np.testing.assert_allclose(large.landmarks[0], [31, 20.5])
    np.testing.assert_allclose(large.covariance[0], [[9, 0], [0, 4]])


def test_a_prediction_is_a_table(tmp_path):
    points = np.arange(332.0).reshape(166, 2)
    points[CHEST.slices["heart"].start] = np.nan
    prediction = Prediction(CHEST, points)
    assert prediction.failed == ("heart",)
    table = pd.read_csv(prediction.to_csv(tmp_path / "landmarks.csv"))
    assert list(table.columns) == ["structure", "index", "x", "y"]
    assert table.iloc[45].tolist() == ["left lung", 1, 90, 91]
    assert table[["x", "y"]].isna().any(axis=1).sum() == 1


def test_an_empty_mask_is_a_failure_not_a_guess(cases):
    method = tiny("denseseg")
    method.prepare(cases)
    with torch.no_grad():
        method.network.mask_head[-1].weight.zero_()
        method.network.mask_head[-1].bias.fill_(-10)
    prediction = method.predict(batch_of(cases).images[:1])[0]
    assert prediction.failed == tuple(CHEST.names)
    assert validation_error(method, cases) == pytest.approx(np.hypot(64, 64) / 2)


# ---- training -------------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def test_training_lowers_the_loss_and_keeps_a_history(cases):
    method = tiny("denseseg")
    settings = QUICK.changed(epochs=8, augmentation=NO_AUGMENTATION)
    history = fit(method, cases, cases[:2], settings, progress=False)
    assert list(history["epoch"]) == list(range(8))
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]
    weighted = sum(method.weights[k] * history[k] for k in method.weights)
    np.testing.assert_allclose(weighted, history["loss"], rtol=1e-5)
    assert np.isfinite(history["validation_tre"]).all()
    assert history["learning_rate"].is_monotonic_decreasing


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_an_interrupted_run_resumes_to_the_same_weights(cases, tmp_path, monkeypatch, average):
    settings = QUICK.changed(epochs=3, average=average)
    whole = tiny("denseseg")
    fit(whole, cases, cases[:2], settings, tmp_path / "whole", progress=False)

    from denseseg.training import loop as training

    save = training._Run._save

    def save_and_stop(run, folder, next_epoch):
        save(run, folder, next_epoch)
        if next_epoch == 2:
            raise Stop

    monkeypatch.setattr(training._Run, "_save", save_and_stop)
    with pytest.raises(Stop):
        fit(tiny("denseseg"), cases, cases[:2], settings, tmp_path / "cut", progress=False)
    monkeypatch.setattr(training._Run, "_save", save)
    torch.manual_seed(99)  # another process would not have the same random state
    resumed = create("denseseg", CHEST, SIZE, **TINY)
    history = fit(resumed, cases, cases[:2], settings, tmp_path / "cut", progress=False)
    assert len(history) == 3
    for a, b in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_finished_run_is_not_trained_again(cases, tmp_path, monkeypatch):
    first = tiny("heatmap_regression")
    fit(first, cases, cases[:2], QUICK, tmp_path, progress=False)
    from denseseg.training import loop as training

    monkeypatch.setattr(training._Run, "epoch", lambda *_: pytest.fail("trained again"))
    second = tiny("heatmap_regression")
    assert len(fit(second, cases, cases[:2], QUICK, tmp_path, progress=False)) == 2


def test_training_stops_when_patience_runs_out_and_keeps_the_best_weights(cases, monkeypatch):
    from denseseg.training import loop as training

    errors = iter([5.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0])
    seen = []

    def measured(method, *_):
        seen.append({k: v.clone() for k, v in method.network.state_dict().items()})
        return next(errors)

    monkeypatch.setattr(training, "validation_error", measured)
    method = tiny("heatmap_regression")
    history = fit(method, cases, cases[:2], QUICK.changed(epochs=7, patience=2), progress=False)
    assert history["validation_tre"].tolist() == [5.0, 3.0, 4.0, 6.0]
    for name, value in method.network.state_dict().items():
        assert torch.equal(value, seen[1][name])


def test_seeds_decide_the_run(cases):
    def trained(seed):
        method = tiny("heatmap_regression")
        fit(method, cases, None, QUICK.changed(seed=seed), progress=False)
        return method.network.head.weight

    assert torch.equal(trained(0), trained(0))
    assert not torch.equal(trained(0), trained(1))


def test_an_exploding_loss_is_an_error_not_a_result(cases):
    with pytest.raises(DataError, match="lower the learning rate"):
        fit(tiny("heatmap_regression"), cases, None, QUICK.changed(learning_rate=1e30, epochs=4), progress=False)
