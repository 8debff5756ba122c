"""Masks made too large: what is measured, on predictions whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from answer import Answer

from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.evaluation.metrics import failure_distance
from denseseg.geometry.contour import dilate
from denseseg.methods import create
from denseseg.phantom import chest_phantom
from denseseg.studies.mask_and_map import CONDITIONS, READINGS, RECIPE, enlarged, mask_and_map_study, measure, table, train
from denseseg.training.settings import Steps

SIZE = (64, 64)
QUICK = RECIPE.changed(channels=(4, 8), training=RECIPE.training.changed(length=Steps(2)))


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(12, SIZE, seed=4)


def test_masks_are_enlarged_and_landmarks_stay(cases):
    grown = enlarged(cases, 3)
    for before, after in zip(cases, grown, strict=True):
        np.testing.assert_array_equal(before.landmarks, after.landmarks)
        assert (after.masks >= true_masks(before)).all()
        assert (after.masks.sum((1, 2)) > true_masks(before).sum((1, 2))).all()
    np.testing.assert_array_equal(enlarged(cases, 0)[0].masks, true_masks(cases[0]))


@pytest.mark.parametrize("pixels", [0, 3])
def test_a_true_map_under_an_enlarged_mask(cases, pixels):
    """The map and its landmarks stay where they are; the projection alone drags them out, by about the width of the rim."""
    method = create("denseseg", cases.anatomy, SIZE, RECIPE, test_time_views=1, band=6)
    cases = cases[:8]  # one batch
    method.prepare(cases)
    targets = method.targets(Batch.of(cases))
    masks = torch.stack([dilate(case > 0.5, pixels) for case in targets["masks"]])
    method.network = Answer((torch.where(masks, 9.0, -9.0), targets["uv"]))
    found = measure(method, cases).mean(numeric_only=True)
    assert len(measure(method, cases)) == len(cases) * len(cases.anatomy)
    assert found["rim"] == pytest.approx(pixels, abs=0.4 * pixels + 0.2)
    for reading in READINGS[:2]:
        assert abs(found[f"{reading} shift"]) < 0.2
        assert found[f"{reading} tre"] < 0.3
    assert found["predicted outline shift"] == pytest.approx(pixels, abs=0.25 * pixels + 0.3)
    assert found["predicted outline tre"] >= 0.8 * found["predicted outline shift"]


def test_a_structure_whose_mask_is_empty_stays_in_the_mean_at_the_price_of_a_failure(cases):
    method = create("denseseg", cases.anatomy, SIZE, RECIPE, test_time_views=1, band=6)
    cases = cases[:8]
    method.prepare(cases)
    targets = method.targets(Batch.of(cases))
    logits = torch.where(targets["masks"] > 0.5, 9.0, -9.0)
    logits[0, 2] = -9.0
    method.network = Answer((logits, targets["uv"]))
    lost = measure(method, cases).iloc[2]
    assert [lost[f"{reading} tre"] for reading in READINGS[1:]] == [pytest.approx(failure_distance(SIZE))] * 2
    assert lost["true mask tre"] < 1


def test_each_condition_trains_on_what_it_says(cases):
    """From the same first weights, different masks and losses lead to different networks."""
    networks = {name: train(cases, name, QUICK, seed=0) for name in ("true masks", "4 px larger", "class weights")}
    assert networks["class weights"].recipe.segmentation == "weighted_bce"
    assert all(method.recipe.shape_prior == 0 and not method.recipe.project_onto_outline for method in networks.values())
    first, *others = (method.network.mask_head[-1].weight for method in networks.values())
    assert all(not torch.equal(first, other) for other in others)


def test_the_study_has_its_table_and_keeps_its_runs(cases, tmp_path):
    results = mask_and_map_study(cases.split(), QUICK, seeds=2, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * len(CONDITIONS)
    assert list(results) == list(CONDITIONS)
    for numbers in results.values():
        assert numbers["rim"]["low"] <= numbers["rim"]["mean"] <= numbers["rim"]["high"]
    page = table(results)
    assert [line.split("|")[1].strip() for line in page.splitlines()[-len(CONDITIONS) :]] == list(CONDITIONS)
