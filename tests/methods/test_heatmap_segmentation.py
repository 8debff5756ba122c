"""HeatRegSeg: its loss, what it reads from perfect maps, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from answer import Answer

from denseseg import losses
from denseseg.anatomy import CHEST
from denseseg.augment import NO_AUGMENTATION
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import positive_weights, reduce_landmarks, true_masks
from denseseg.evaluation.metrics import dice
from denseseg.geometry.contour import distance_to_outline, mask_contours
from denseseg.heatmaps import gaussian_heatmaps, subpixel_landmarks
from denseseg.methods import create
from denseseg.phantom import chest_phantom
from denseseg.prediction import stacked_landmarks
from denseseg.training.settings import Adam, Run, Steps, TrainingSettings

SIZE = (64, 64)
PLAIN = {"shape_prior": 0.0, "test_time_views": 1, "project_onto_outline": False}


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(4, SIZE, seed=1)


def answering(cases: CaseSet, shift: float = 0.0, **changes):
    """A method whose network answers with the true masks, and heatmaps of landmarks that are shifted to the right (pixels)."""
    method = create("heatmap_segmentation", CHEST, SIZE, channels=(4, 8), **PLAIN | changes)
    method.prepare(cases)
    batch = Batch.of(cases)
    masks = method.targets(batch)["masks"]
    moved = batch.landmarks + torch.tensor([shift, 0.0])
    heatmaps = gaussian_heatmaps(moved, SIZE, method.recipe.sigma * SIZE[0], method.recipe.amplitude)
    method.network = Answer((torch.logit(masks.clamp(1e-4, 1 - 1e-4)), heatmaps))
    return method


def test_the_papers_loss_is_its_formula(cases):
    method = create("heatmap_segmentation", CHEST, SIZE, "paper", channels=(4, 8))
    method.prepare(cases)
    batch = Batch.of(cases)
    logits, heatmaps = method.network(method.normalise(batch.images))
    masks = torch.as_tensor(np.stack([true_masks(case) for case in cases])).float()
    bce = losses.weighted_bce(logits, masks, torch.as_tensor(positive_weights(cases), dtype=torch.float32))
    squares = (heatmaps - gaussian_heatmaps(batch.landmarks, SIZE, 8 * 64 / 256, 44.0)).square().mean()
    terms = method.losses((logits, heatmaps), method.targets(batch))
    total = sum(method.loss_weights[name] * term for name, term in terms.items())
    torch.testing.assert_close(total, 0.38 * bce + 0.62 * squares)


def test_perfect_maps_give_the_true_landmarks_and_masks(cases):
    method = answering(cases)
    predictions = method.predict(Batch.of(cases).images)
    error = np.linalg.norm(stacked_landmarks(predictions) - cases.landmarks, axis=-1)
    assert error.mean() < 0.02
    for prediction, case in zip(predictions, cases, strict=True):
        assert np.mean([dice(a, b) for a, b in zip(prediction.masks, true_masks(case), strict=True)]) > 0.98
        np.testing.assert_array_equal(prediction.masks, prediction.probabilities > 0.5)


def test_projection_moves_landmarks_to_the_outline_of_the_mask(cases):
    """Heatmaps are off by 2 pixels, masks are right: landmarks of outlines then lie on them, and nearer to the truth."""
    images = Batch.of(cases).images
    apart, joined = (answering(cases, shift=2.0, project_onto_outline=project).predict(images)[0] for project in (False, True))
    error = [np.linalg.norm(p.landmarks - cases[0].landmarks, axis=-1).mean() for p in (apart, joined)]
    assert error[0] == pytest.approx(2.0, abs=0.05)
    assert error[1] < 0.8 * error[0]
    for probability, where in zip(joined.probabilities, CHEST.slices.values(), strict=True):
        assert distance_to_outline(joined.landmarks[where], mask_contours(probability)).max() < 0.15


def best_of_rank(heatmaps: torch.Tensor, rank: int) -> torch.Tensor:
    """The nearest (N, H, W) heatmaps that so many feature pictures can make."""
    left, values, right = torch.linalg.svd(heatmaps.flatten(1), full_matrices=False)
    return ((left[:, :rank] * values[:rank]) @ right[:rank]).view_as(heatmaps)


def test_four_phantoms_are_learned_by_heart():
    size = (48, 48)
    cases = chest_phantom(4, size, seed=1)
    few = reduce_landmarks(cases, 25, cases.landmarks.mean(0))
    training = TrainingSettings(length=Steps(120), batch_size=4, optimiser=Adam(5e-3), augmentation=NO_AUGMENTATION)
    method = create("heatmap_segmentation", few.anatomy, size, channels=(32, 32, 64), training=training, **PLAIN)
    history = method.fit(few, None, Run(progress=False))
    true = torch.as_tensor(few.landmarks)
    goal = gaussian_heatmaps(true, size, method.recipe.sigma * size[0])
    floor = torch.stack([best_of_rank(heatmaps, 33) for heatmaps in goal])  # 32 features and a constant make no more
    assert (subpixel_landmarks(floor) - true).norm(dim=-1).mean() < 0.5
    predictions = method.predict_cases(few)
    assert np.linalg.norm(stacked_landmarks(predictions) - few.landmarks, axis=-1).mean() < 1.0
    pairs = [(a, b) for p, case in zip(predictions, few, strict=True) for a, b in zip(p.masks, case.masks, strict=True)]
    assert np.mean([dice(a, b) for a, b in pairs]) > 0.95
    for term in ("segmentation", "heatmap"):
        assert history[term].iloc[-1] < 0.3 * history[term].iloc[0]
