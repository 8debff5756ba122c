"""Cases with masks and no landmarks: they show what their masks show, and teach no landmarks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from denseseg.anatomy import CHEST
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.evaluation import evaluate, summarise
from denseseg.methods import create
from denseseg.phantom import chest_phantom
from denseseg.prediction import Prediction
from denseseg.training.settings import Epochs, Run, TrainingSettings

SIZE = (64, 64)
QUICK = TrainingSettings(length=Epochs(1), batch_size=2)


def masks_only(cases: CaseSet, without: tuple[int, ...] = ()) -> CaseSet:
    """The cases with masks in place of landmarks; those of the structures `without` are empty."""
    bare = []
    for case in cases:
        masks = true_masks(case).copy()
        masks[list(without)] = False
        bare.append(replace(case, landmarks=np.full_like(case.landmarks, np.nan), masks=masks))
    return CaseSet(cases.name, cases.anatomy, bare)


def mixed() -> CaseSet:
    cases = chest_phantom(8, SIZE, seed=1)
    return CaseSet(cases.name, CHEST, [*cases[:4], *masks_only(cases[4:])])


def test_a_structure_with_a_mask_is_there():
    cases = masks_only(chest_phantom(3, SIZE, seed=1), without=(2,))
    np.testing.assert_array_equal(cases.absent, np.tile([False, False, True, False, False], (3, 1)))
    predictions = [Prediction(CHEST, None, case.masks) for case in cases]
    found = summarise(evaluate(predictions, cases)).set_index(["group", "metric"])["mean"]
    assert found["average", "presence"] == 100 and found["average", "dsc"] == 100


@pytest.mark.parametrize("name", ["heatmap_regression", "spatial_configuration", "heatmap_segmentation"])
def test_heatmaps_of_landmarks_that_nobody_marked_take_no_part(name):
    method = create(name, CHEST, SIZE, channels=(4, 8), training=QUICK)
    cases, heart = chest_phantom(6, SIZE, seed=1), CHEST.slices["heart"]
    for without, known in (((), False), ((2,), True)):
        bare = masks_only(cases[4:], without)
        method.prepare(CaseSet("mixed", CHEST, [*cases[:4], *bare]))
        told = method.known(Batch.of(bare))
        assert told[:, heart].all().item() is known and not told[:, CHEST.slices["right lung"]].any()
        assert method.optional[heart].all().item() is known
        assert not method.optional[CHEST.slices["right clavicle"]].any()


@pytest.mark.parametrize("name", ["denseseg", "heatmap_segmentation", "shapeformer", "plain_unet"])
def test_a_set_of_both_can_be_trained_on(name):
    narrow = {} if name == "shapeformer" else {"channels": (4, 8)}
    method = create(name, CHEST, SIZE, **narrow, training=QUICK)
    history = method.fit(mixed(), None, Run(progress=False))
    assert np.isfinite(history["loss"]).all()
    image = torch.as_tensor(chest_phantom(1, SIZE, seed=3).images)[:, None]
    assert method.predict(image)[0].anatomy == CHEST
