"""Cases as tensors: masks where a case has its own, the landmarks' contours where it has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_cases import SIZE, make_case, make_set

from denseseg.anatomy import CHEST, HAND
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.methods import create
from denseseg.phantom import chest_phantom

OWN = np.arange(SIZE[0] * SIZE[1]).reshape(1, *SIZE) % 3 == 0


def some_masks() -> CaseSet:
    return CaseSet("toy", HAND, [make_case(0, masks=OWN), make_case(1), make_case(2, masks=~OWN)])


def test_a_batch_holds_images_landmarks_and_the_masks_that_there_are():
    cases = some_masks()
    batch = Batch.of(cases)
    assert len(batch) == 3 and batch.images.shape == (3, 1, *SIZE)
    np.testing.assert_array_equal(batch.images[:, 0], cases.images)
    np.testing.assert_allclose(batch.landmarks, cases.landmarks, rtol=1e-6)
    assert batch.masks.dtype == torch.bool and batch.has_masks.tolist() == [True, False, True]
    np.testing.assert_array_equal(batch.masks.numpy(), np.stack([OWN, np.zeros_like(OWN), ~OWN]))


def test_a_set_without_masks_has_none():
    batch = Batch.of(make_set(2))
    assert batch.masks is None and batch.has_masks.tolist() == [False, False]
    assert Batch(batch.images, batch.landmarks, torch.ones(2, 1, *SIZE)).has_masks.all()
    drawn = torch.rand(2, 1, *SIZE)
    assert batch.masks_or(drawn) is drawn


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_selected_cases_come_in_order_and_in_float32(dtype):
    whole = Batch.of(some_masks())
    batch = replace(whole, images=whole.images.to(dtype)).select(torch.tensor([2, 1]))
    assert batch.images.dtype == batch.masks.dtype == batch.landmarks.dtype == torch.float32
    torch.testing.assert_close(batch.images, whole.images[[2, 1]], atol=1e-3, rtol=0)
    assert torch.equal(batch.masks, whole.masks[[2, 1]].float()) and batch.has_masks.tolist() == [True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_own_masks_win_and_the_others_are_drawn(dtype):
    batch = Batch.of(some_masks()).select(torch.arange(3))
    batch.masks[0, 0, 0, :3] = torch.tensor([0.2, 0.5, 0.8])
    drawn = torch.rand(3, 1, *SIZE, dtype=dtype)
    soft, hard = batch.masks_or(drawn), batch.masks_or(drawn, soft=False)
    for masks in (soft, hard):
        assert masks.dtype == dtype and torch.equal(masks[1], drawn[1])
        assert torch.equal(masks[2], batch.masks[2].to(dtype))
    assert torch.equal(soft[0], batch.masks[0].to(dtype))
    assert hard[0, 0, 0, :3].tolist() == [0, 1, 1] and set(hard[0].unique().tolist()) == {0, 1}


def test_one_case_without_masks_does_not_drop_those_of_the_others():
    cases = chest_phantom(2, (64, 64))
    shrunk = true_masks(cases[0])
    shrunk[:, :, :32] = False  # so that they can be told from the landmarks' contours
    batch = Batch.of(CaseSet("mixed", CHEST, [replace(cases[0], masks=shrunk), cases[1]])).select(torch.arange(2))
    method = create("denseseg", CHEST, (64, 64), channels=(4, 8))
    method.prepare(cases)
    masks = method.targets(batch)["masks"]
    np.testing.assert_array_equal(masks[0].numpy(), shrunk)
    assert np.abs(masks[1].numpy() - true_masks(cases[1])).max() <= 0.5  # soft at the edges
