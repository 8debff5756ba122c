"""What methods that predict masks share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from denseseg.anatomy import CHEST, Anatomy, Structure
from denseseg.batch import Batch
from denseseg.cases.masks import positive_weights, true_masks
from denseseg.errors import DataError
from denseseg.geometry.regions import find_regions
from denseseg.methods import create
from denseseg.methods.network_method import NetworkRecipe
from denseseg.methods.segmentation import MaskRecipe, Segmentation, class_weights, mask_targets, read_masks, without_region
from denseseg.phantom import chest_phantom

CASES = chest_phantom(4, (48, 48), seed=1)
MASKED = ("denseseg", "heatmap_segmentation", "plain_unet")


def test_the_loss_has_class_weights_only_where_the_recipe_asks_for_them():
    assert class_weights(CASES, MaskRecipe()) is None
    weights = class_weights(CASES, MaskRecipe(segmentation=Segmentation.WEIGHTED_BCE))
    np.testing.assert_allclose(weights, positive_weights(CASES), rtol=1e-6)


@pytest.mark.parametrize("soft", [False, True])
def test_targets_are_what_the_landmarks_enclose(soft):
    batch = Batch.of(CASES)
    masks = mask_targets(batch, find_regions(batch.landmarks, CHEST, (48, 48)), MaskRecipe(soft_masks=soft))
    true = np.stack([true_masks(case) for case in CASES])
    np.testing.assert_array_equal(masks.numpy() > 0.5, true)
    assert bool(((masks > 0) & (masks < 1)).any()) == soft


def test_masks_are_read_at_one_half_and_lose_their_islands_only_where_the_recipe_says_so():
    probabilities = torch.full((1, 1, 8, 8), 0.4)
    probabilities[..., 1:4, 1:4] = 0.6
    probabilities[..., 6, 6] = 0.9
    assert read_masks(probabilities, MaskRecipe(largest_component=False)).sum() == 10
    assert read_masks(probabilities, MaskRecipe()).sum() == 9


@pytest.mark.parametrize("name", MASKED)
def test_what_covers_no_region_has_no_mask(name):
    spots = Anatomy("spots", (Structure("lung", 8, "a"), Structure("spot", 3, "b", "points")))
    assert without_region(CHEST) is None
    with pytest.raises(DataError, match="spot covers no region, so it has no mask"):
        create(name, spots, (48, 48))


@pytest.mark.parametrize("name", MASKED)
def test_every_method_with_masks_trains_with_either_loss(name):
    """The class weights reach the loss: with them, the positive pixels of a small structure cost more."""
    batch, found = Batch.of(CASES), {}
    for loss in Segmentation:
        method = create(name, CHEST, (48, 48), channels=(4, 8), segmentation=loss, loss_weights={"segmentation": 1.0})
        method.prepare(CASES)
        targets = method.targets(batch)
        torch.manual_seed(0)
        outputs = method.build()(method.normalise(batch.images))
        terms = method.losses(outputs, targets)
        assert list(terms) == ["segmentation"]
        found[loss] = float(terms["segmentation"].detach())
    assert isinstance(method.recipe, NetworkRecipe)
    assert found[Segmentation.WEIGHTED_BCE] != pytest.approx(found[Segmentation.DICE_BCE], rel=1e-3)
