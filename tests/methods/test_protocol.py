"""Every method through the one protocol: prepare, targets, losses, fit, predict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from answer import Answer

from denseseg.anatomy import CHEST, Anatomy, Kind, Structure
from denseseg.augment import NO_AUGMENTATION, Augmentation
from denseseg.batch import Batch
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import reduce_landmarks, true_masks
from denseseg.errors import DataError
from denseseg.evaluation import evaluate
from denseseg.geometry.decode import decode_affine, decode_published
from denseseg.geometry.frame import inside_image, scale_points
from denseseg.heatmaps import gaussian_heatmaps
from denseseg.methods import METHODS, NetworkMethod, create, get_recipe
from denseseg.methods.denseseg import MapDecoder
from denseseg.methods.method import error_of, validation_error
from denseseg.phantom import chest_phantom, wrist_phantom
from denseseg.prediction import Prediction, stacked_landmarks
from denseseg.training.settings import Adam, Epochs, Run, Steps, TrainingSettings

SIZE = (64, 64)
TINY = {"channels": (8, 16)}
QUICK = TrainingSettings(length=Epochs(2), batch_size=2, validate_every=1)
QUIET = Run(progress=False)
RNG = torch.Generator()


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(6, SIZE, seed=1)


def tiny(name: str, recipe: str = "default", **changes):
    torch.manual_seed(0)
    return create(name, CHEST, SIZE, recipe, **({} if name == "mean_shape" else TINY | {"training": QUICK} | changes))


def batch_of(cases: CaseSet) -> Batch:
    return Batch.of(cases)


# nnU-Net is another package's, and has a test file of its own
ALL = [(name, recipe) for name, cls in METHODS.items() if name != "nnunet" for recipe in cls.recipes]


# ---- the protocol ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "recipe"), ALL)
def test_every_recipe_keeps_the_protocol(name, recipe, cases):
    method = tiny(name, recipe)
    method.prepare(cases)
    predictions = method.predict(batch_of(cases).images)
    assert len(predictions) == len(cases)
    assert all(p.landmarks is None or p.landmarks.shape == (166, 2) for p in predictions)
    assert all(p.masks is None or p.masks.shape == (5, *SIZE) for p in predictions)
    assert len(evaluate(predictions, cases)) and np.isfinite(validation_error(method, cases))
    if not isinstance(method, NetworkMethod):
        return
    batch = batch_of(cases[:2])
    batch.landmarks[0, CHEST.slices["heart"]] = torch.nan  # a missing structure must reach no loss as NaN
    targets = method.targets(batch)
    terms = method.losses(method.network(*method.inputs(batch, RNG)), targets)
    assert terms.keys() == method.loss_weights.keys()
    assert all(torch.isfinite(term) and term >= 0 for term in terms.values())
    sum(method.loss_weights[k] * v for k, v in terms.items()).backward()
    gradients = [p.grad for p in method.network.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


def test_perfect_outputs_give_small_losses_and_the_true_landmarks(cases):
    """The network replaced by one that answers with the targets: the floor of representation and decoder."""
    method = tiny("denseseg", test_time_views=1, shape_prior=0.0)  # the oracle answers for the image as it is
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
    logits = torch.logit(targets["masks"].clamp(1e-4, 1 - 1e-4)) if "masks" in targets else None
    answers = {
        "denseseg": lambda: (logits, targets["uv"]),
        "heatmap_segmentation": lambda: (logits, targets["heatmaps"]),
        "heatmap_regression": lambda: targets["heatmaps"],
        "plain_unet": lambda: logits,
    }
    method.network = Answer(answers[name]())
    return method


@pytest.mark.parametrize(("name", "bound"), [("denseseg", 0.5), ("heatmap_regression", 0.5), ("heatmap_segmentation", 0.5)])
def test_absent_bones_are_told_and_landmarks_beyond_the_border_inferred(name, bound, wrists):
    few = wrists[:4]
    found = np.stack([p.landmarks for p in oracle(name, wrists, test_time_views=1).predict(batch_of(few).images)])
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


def test_a_network_for_masks_alone_tells_absent_bones_too(wrists):
    few = wrists[:4]
    predictions = oracle("plain_unet", wrists, test_time_views=1).predict(batch_of(few).images)
    np.testing.assert_array_equal([p.absent for p in predictions], wrists.anatomy.absent(few.landmarks))
    assert all(p.failed == () for p in predictions)
    table = evaluate(predictions, few).groupby("metric")["value"].mean()
    assert table["presence"] == 100
    assert table["dsc"] > 99
    assert "tre" not in table


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
    assert method.fit(cases).empty
    np.testing.assert_allclose(method.predict_cases(cases)[3].landmarks, cases.landmarks.mean(0))
    assert method.parameters == 0


def test_predictions_are_in_the_images_own_pixels(cases):
    large = np.kron(cases[0].image, np.ones((2, 2), np.float32))
    mean = tiny("mean_shape")
    mean.fit(cases)
    small, big = (mean.predict_image(image).landmarks for image in (cases[0].image, large))
    np.testing.assert_allclose(scale_points(small, SIZE, (128, 128)), big)
    dense = tiny("denseseg")
    dense.prepare(cases)
    prediction = dense.predict_image(large)
    assert prediction.masks.shape == (5, 128, 128)
    assert prediction.uv.shape == (5, 2, 128, 128)


@pytest.mark.parametrize("size", [(62, 62), (65, 64), (30, 33)])
@pytest.mark.parametrize("name", ["denseseg", "heatmap_regression", "heatmap_segmentation", "plain_unet"])
def test_any_size_of_image_can_be_learned_and_predicted(name, size, cases):
    odd = cases.fitted(size)
    method = create(name, CHEST, size, channels=(4, 8, 8, 8), training=QUICK.changed(length=Epochs(1)))
    method.fit(odd[2:], odd[:2], QUIET)
    prediction = method.predict_image(np.zeros((50, 90), np.float32) + cases[0].image.mean())
    assert prediction.landmarks is None or prediction.landmarks.shape == (166, 2)
    assert prediction.masks is None or prediction.masks.shape == (5, 50, 90)
    assert len(method.predict_cases(cases[:3])) == 3


def test_cases_of_several_sizes_are_predicted_at_once(cases):
    mixed = [cases[0], cases[1].fitted((80, 60))[0], cases[2]]
    mean = tiny("mean_shape")
    mean.fit(cases)
    found = mean.predict_cases(mixed)
    np.testing.assert_allclose(found[0].landmarks, found[2].landmarks)
    scale = min(64 / 80, 64 / 60)
    np.testing.assert_allclose(np.ptp(found[1].landmarks, axis=0) * scale, np.ptp(found[0].landmarks, axis=0))


def test_an_empty_mask_is_absence_only_where_a_structure_was_ever_absent(cases):
    landmarks = [case.landmarks.copy() for case in cases]
    landmarks[0][CHEST.slices["heart"]] = np.nan
    some = CaseSet("some", CHEST, [Case(c.id, c.image, p, CHEST) for c, p in zip(cases, landmarks, strict=True)])
    method = tiny("denseseg")
    method.prepare(some)
    with torch.no_grad():
        method.network.mask_head[-1].weight.zero_()
        method.network.mask_head[-1].bias.fill_(-10)
    prediction = method.predict(batch_of(cases).images[:1])[0]
    assert np.isnan(prediction.landmarks).all()
    assert prediction.absent.tolist() == [name == "heart" for name in CHEST.names]
    assert prediction.failed == tuple(name for name in CHEST.names if name != "heart")
    assert validation_error(method, cases) == pytest.approx(np.hypot(64, 64) / 2)


@pytest.mark.parametrize("optional", [True, False])
def test_faint_heatmaps_say_what_is_absent_and_what_is_unseen_where_training_images_lack_landmarks(cases, optional):
    """By the thresholds 0.4 (median of a structure) and 0.2 (a landmark); where every training image has all, none is judged."""
    method = tiny("heatmap_regression")
    method.prepare(cases)
    method.optional = torch.full((CHEST.n_landmarks,), optional)
    true = cases[0].landmarks
    heart, lung = CHEST.slices["heart"], CHEST.slices["right lung"]
    peaks = torch.ones(CHEST.n_landmarks)
    peaks[heart], peaks[lung.start] = 0.3, 0.15
    places = torch.as_tensor(true, dtype=torch.float32)[None]
    places[0, lung.start] = torch.tensor([60.0, 60.0])  # a faint spot in the wrong place
    found = method.read(gaussian_heatmaps(places, SIZE, 2.0) * peaks[:, None, None])[0]
    assert found.presence.tolist() == [float(name != "heart" or not optional) for name in CHEST.names]
    assert np.isnan(found.landmarks[heart]).all() == optional
    shown = np.setdiff1d(np.arange(CHEST.n_landmarks), [*range(heart.start, heart.stop), lung.start])
    assert np.linalg.norm(found.landmarks - true, axis=1)[shown].mean() < 0.5
    assert (np.linalg.norm(found.landmarks[lung.start] - true[lung.start]) < 5) == optional  # told by the other landmarks


def test_networks_see_images_of_no_mean_and_unit_spread(cases):
    """Whatever the exposure of each; an image of one grey is no reason for NaN."""
    images = batch_of(cases).images[:3]
    method = tiny("denseseg")
    seen = method.normalise(
        torch.cat([images * torch.tensor([1.0, 0.3, 2.0]).view(3, 1, 1, 1) + 0.1, torch.full_like(images[:1], 0.4)])
    )
    assert seen[3].abs().max() < 0.5
    torch.testing.assert_close(seen[:3].mean((1, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[:3].std((1, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[:3], method.normalise(images), atol=1e-3, rtol=0)


class MasksOnly(METHODS["mean_shape"]):
    """Segmentation only: the masks of the mean shape."""

    name = "masks_only"

    def predict(self, images):
        points = self.fitted_template.points
        masks = np.zeros((len(self.anatomy), *self.size), bool)
        masks[:, 20:40, 20:40] = True
        return [Prediction(self.anatomy, None, masks) for _ in points[: len(images)]]


def test_a_method_without_landmarks_is_validated_by_its_masks(cases):
    method = MasksOnly(CHEST, SIZE, MasksOnly.recipes["default"])
    method.fit(cases)
    error = validation_error(method, cases)
    assert 0 < error < 100
    with pytest.raises(DataError, match="predicts masks alone"):
        stacked_landmarks(method.predict_cases(cases))


def test_masks_alone_cost_what_their_dsc_lacks(cases):
    true = [true_masks(case) for case in cases]
    none = [np.zeros_like(masks) for masks in true]

    def error(masks):
        return error_of([Prediction(cases.anatomy, None, m) for m in masks], cases, SIZE)

    assert error(true) == pytest.approx(0, abs=1e-9)
    assert error(none) == pytest.approx(100)
    assert error([*true[:2], *none[2:]]) == pytest.approx(100 * (len(cases) - 2) / len(cases))


# ---- training -------------------------------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_keeps_a_history(cases):
    method = tiny("denseseg", training=QUICK.changed(length=Epochs(8), augmentation=NO_AUGMENTATION), monitor=("variation",))
    history = method.fit(cases[2:], cases[:2], QUIET)
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]
    weighted = sum(method.loss_weights[k] * history[k] for k in method.loss_weights)
    np.testing.assert_allclose(weighted, history["loss"], rtol=1e-4)
    assert (history["variation"] > 0).all()  # only looked at
    assert np.isfinite(history["validation_error"]).all()
    assert not method.network.training


def learned_by_heart(name, recipe, cases, **options):
    """The mean error in pixels on four phantoms after so many steps on them, without any help at prediction time."""
    options = {"training": options.pop("training"), "shape_prior": 0.0, "test_time_views": 1} | options
    method = create(name, cases.anatomy, cases[0].size, recipe, **options)
    method.fit(cases, None, QUIET)
    return np.linalg.norm(stacked_landmarks(method.predict_cases(cases)) - cases.landmarks, axis=-1).mean()


@pytest.mark.parametrize(("recipe", "steps"), [("default", 150), ("sparse", 300)])
def test_dense_maps_learn_four_phantoms_by_heart(recipe, steps):
    cases = chest_phantom(4, (48, 48), seed=1)
    training = TrainingSettings(length=Steps(steps), batch_size=4, optimiser=Adam(5e-3), augmentation=NO_AUGMENTATION)
    options = {"channels": (16, 32, 64), "decoder": MapDecoder.AFFINE, "project_onto_outline": False}
    assert learned_by_heart("denseseg", recipe, cases, training=training, **options) < 1
    # the decoder's own floor, on true maps, is far below; that of the published one, 0.94, is not
    method = create("denseseg", cases.anatomy, (48, 48), "paper", channels=(8, 16))
    method.prepare(cases)
    true = method.targets(batch_of(cases))
    read = {decode: decode(true["uv"], true["masks"] > 0.5, method.fitted_template) for decode in (decode_published, decode_affine)}
    floors = [
        np.linalg.norm(points.numpy() - cases.landmarks, axis=-1).mean()
        for points in (read[decode_published], read[decode_affine].points)
    ]
    assert floors[1] < 0.1 < 0.5 < floors[0]


def test_heatmaps_of_a_quarter_of_the_landmarks_learn_four_phantoms_by_heart():
    cases = chest_phantom(4, (48, 48), seed=1)
    few = reduce_landmarks(cases, 25, cases.landmarks.mean(0))
    training = TrainingSettings(length=Steps(200), batch_size=4, optimiser=Adam(5e-3), augmentation=NO_AUGMENTATION)
    assert learned_by_heart("heatmap_regression", "default", few, training=training, channels=(64, 32, 64)) < 0.5


def test_terms_of_weight_zero_are_not_computed(cases):
    method = tiny("denseseg", loss_weights={"segmentation": 1.0, "uv": 0.0})
    method.prepare(cases)
    targets = method.targets(batch_of(cases))
    assert "uv" not in targets  # no map is made that no loss uses
    assert list(method.losses(method.network(*method.inputs(batch_of(cases), RNG)), targets)) == ["segmentation"]


def test_a_seed_means_the_same_whatever_was_drawn_before(cases):
    def trained(seed, before):
        torch.manual_seed(before)
        method = create("heatmap_regression", CHEST, SIZE, **TINY, training=QUICK)
        method.fit(cases, None, Run(seed=seed, progress=False))
        return method.network.head.weight

    assert torch.equal(trained(0, 1), trained(0, 2))
    assert not torch.equal(trained(0, 1), trained(1, 1))


def test_fine_tuning_begins_with_the_weights_at_hand(cases):
    method = tiny("heatmap_regression", training=QUICK.changed(length=Epochs(1)))
    first = method.fit(cases, None, QUIET)["loss"].iloc[0]
    further = method.fit(cases, None, Run(progress=False, fine_tune=True))["loss"].iloc[0]
    assert further < first == method.fit(cases, None, QUIET)["loss"].iloc[0]


def test_fine_tuning_from_other_weights_is_another_run(cases, tmp_path):
    def tuned(seed: int):
        method = tiny("heatmap_regression", training=QUICK.changed(length=Epochs(1)))
        method.fit(cases, None, Run(seed=seed, progress=False))
        method.fit(cases, None, Run(progress=False, fine_tune=True, folder=tmp_path))
        return method.network.head.weight

    assert torch.equal(tuned(0), tuned(0))  # the second one finds the run of the first
    for other in (lambda: tuned(1), lambda: tiny("heatmap_regression").fit(cases, None, Run(progress=False, folder=tmp_path))):
        with pytest.raises(DataError, match="belongs to a run with another recipe, data, settings, precision or"):
            other()


def test_the_mean_shape_keeps_its_template_in_fine_tuning(cases):
    method = create("mean_shape", CHEST, SIZE)
    method.fit(cases)
    template = method.template
    method.fit(cases[:2], None, Run(fine_tune=True))
    assert method.template is template


def test_validation_images_without_a_landmark_cannot_choose_weights(cases):
    method = create("mean_shape", CHEST, SIZE)
    method.fit(cases)
    masks = CaseSet("masks", CHEST, [replace(c, landmarks=np.full_like(c.landmarks, np.nan), masks=true_masks(c)) for c in cases])
    with pytest.raises(DataError, match="masks: no image shows a landmark, so none can be judged; give other validation cases"):
        validation_error(method, masks)


def test_fine_tuning_on_one_case_keeps_the_template_and_the_shape_model(cases):
    method = tiny("denseseg", training=QUICK.changed(length=Epochs(1)))
    method.fit(cases, None, QUIET)
    template, shapes, before = method.template, method.shape_model, method.network.mask_head[-1].weight.clone()
    method.fit(cases[:1], None, Run(progress=False, fine_tune=True))
    assert method.template is template and method.shape_model is shapes
    assert not torch.equal(before, method.network.mask_head[-1].weight)
    method.fit(cases[:1], chest_phantom(5, SIZE, seed=3), Run(progress=False, fine_tune=True))  # no limit of what is usual
    assert method.usual is None and method.covariance_factor != 1
    method.fit(cases[:2], None, QUIET)
    assert method.template is not template and method.covariance_factor == 1


@pytest.mark.parametrize("name", ["mean_shape", "plain_unet"])
def test_validation_cases_of_another_anatomy_or_of_the_training_part_are_refused(name, cases):
    method = tiny(name)
    with pytest.raises(DataError, match="shows the wrist"):
        method.fit(cases, wrist_phantom(5, (96, 56)), QUIET)
    with pytest.raises(DataError, match="training"):
        method.fit(cases, cases[:5], QUIET)


@pytest.mark.parametrize("image", [np.zeros((0, 0)), np.zeros((4, 4, 1)), np.full((64, 64), np.nan), np.full((64, 64), 2.0)])
def test_an_image_of_the_wrong_kind_is_refused(image, cases):
    method = tiny("mean_shape")
    method.prepare(cases)
    with pytest.raises(DataError, match=r"give one \(H, W\) image of grey values in 0\.\.1"):
        method.predict_image(image)


def test_the_validation_cases_belong_to_the_identity_of_a_run(cases, tmp_path):
    tiny("heatmap_regression").fit(cases[4:], cases[:2], Run(folder=tmp_path, progress=False))
    with pytest.raises(DataError, match="belongs to a run with another recipe, data, settings, precision or"):
        tiny("heatmap_regression").fit(cases[4:], cases[2:4], Run(folder=tmp_path, progress=False))


# ---- training for a short time beats the mean shape ------------------------------------------------------------------


def test_a_short_training_beats_the_mean_shape_on_unseen_phantoms():
    cases = chest_phantom(56, SIZE, seed=5)
    train, test = cases[:44], cases[44:]
    mean = create("mean_shape", CHEST, SIZE)
    mean.fit(train)
    slight = Augmentation(rotation=5, translation=0.05, scale=0.05)
    training = TrainingSettings(length=Steps(150), batch_size=4, optimiser=Adam(3e-3), ema_decay=0.9, augmentation=slight)
    method = create("denseseg", CHEST, SIZE, training=training, channels=(16, 32, 64), test_time_views=1)
    method.fit(train, None, QUIET)
    assert validation_error(method, test) < 0.7 * validation_error(mean, test)


# ---- structures that are odd ----------------------------------------------------------------------------------------


ODD = Anatomy(
    "odd",
    (
        Structure("disc", 12, "a"),
        Structure("line", 4, "b", Kind.CURVE),
        Structure("spot", 1, "b", Kind.POINTS),
        Structure("crease", 5, "c", Kind.CURVE),
        Structure("points", 6, "c", Kind.POINTS, region="hull"),
    ),
)


def odd_cases(n: int = 4) -> CaseSet:
    """A disc, a straight line, a single landmark, an open curve and loose points."""
    rng = np.random.default_rng(0)
    angle = np.arange(12) * 2 * np.pi / 12
    made = []
    for i in range(n):
        disc = 16 + 6 * np.stack([np.cos(angle), np.sin(angle)], -1)
        line = np.stack([np.arange(4) + 30, np.full(4, 30.0)], -1)
        crease = np.stack([np.arange(5) * 4.0 + 4, 40 + np.sin(np.arange(5.0))], -1)
        points = rng.uniform(28, 44, (6, 2))
        landmarks = np.concatenate([disc, line, [[8.0, 40.0]], crease, points]) + rng.normal(0, 0.5, 2)
        made.append(Case(f"o{i}", rng.random((48, 48)).astype(np.float32), landmarks, ODD))
    return CaseSet("odd", ODD, made)


@pytest.mark.parametrize("name", ["heatmap_regression", "heatmap_segmentation", "spatial_configuration_loss"])
def test_no_profile_takes_features_from_the_layer_that_paints_heatmaps(name):
    first, second, *_ = get_recipe(name, "default").scaled(0.25, 0.25, 4).channels
    assert (first, second) == (64, 32)
    few = get_recipe(name, "default").changed(channels=(16, 32)).scaled(0.25, 0.25, 4)
    assert few.channels == (16, 8)


def test_heatmaps_take_any_kind_of_structure():
    cases = odd_cases()
    method = create("heatmap_regression", ODD, (48, 48), channels=(4, 8), training=QUICK)
    assert np.isfinite(method.fit(cases, None, QUIET)["loss"]).all()
    assert method.predict_cases(cases)[0].landmarks.shape == (28, 2)


def test_denseseg_takes_outlines_and_hulls_but_no_open_curve():
    with pytest.raises(DataError, match="line, spot, crease covers no region"):
        create("denseseg", ODD, (48, 48))
    keep = [s for s in ODD.structures if s.name in ("disc", "points")]
    covered = Anatomy("covered", tuple(keep))
    rows = np.concatenate([np.arange(28)[ODD.slices[s.name]] for s in keep])
    cases = CaseSet("odd", covered, [Case(c.id, c.image, c.landmarks[rows], covered) for c in odd_cases()])
    method = create("denseseg", covered, (48, 48), channels=(4, 8), training=QUICK)
    assert np.isfinite(method.fit(cases, None, QUIET)["loss"]).all()
    assert method.predict_cases(cases)[0].landmarks.shape == (18, 2)
