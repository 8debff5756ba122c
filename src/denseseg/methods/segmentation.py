"""What all methods that predict masks share: their options, their targets, and how masks are read."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import torch
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import positive_weights
from denseseg.errors import checked
from denseseg.geometry.frame import Size
from denseseg.geometry.regions import Regions
from denseseg.methods import inference
from denseseg.methods.method import Method, Recipe
from denseseg.methods.network_method import NetworkRecipe


class Segmentation(StrEnum):
    """The loss of the masks: Dice with cross entropy, or the paper's cross entropy weighted by class."""

    DICE_BCE = "dice_bce"
    WEIGHTED_BCE = "weighted_bce"


@checked
class MaskRecipe(NetworkRecipe):
    """Options that all methods with masks have.

    soft_masks: train on covered shares of pixels. segmentation: see there. largest_component: keep one connected component of each
    mask.
    """

    soft_masks: bool = True
    segmentation: Segmentation = Segmentation.DICE_BCE
    largest_component: bool = True


def without_region(anatomy: Anatomy) -> str | None:
    """Why a method with masks cannot work on an anatomy, None where it can: see `Method.unsupported`."""
    bare = [s.name for s in anatomy.structures if not s.covers]
    if not bare:
        return None
    return f'{", ".join(bare[:3])} covers no region, so it has no mask; single landmarks get one by region = "hull" in dataset.toml'


class MaskMethod(Method):
    """What methods with a mask of each structure share: an empty one may mean "absent"."""

    def __init__(self, anatomy: Anatomy, size: Size, recipe: Recipe):
        super().__init__(anatomy, size, recipe)
        self.optional = torch.zeros(len(anatomy), dtype=torch.bool)  # structures that some training case lacks

    @classmethod
    def unsupported(cls, anatomy: Anatomy) -> str | None:
        return without_region(anatomy)

    def learn_constants(self, train: CaseSet) -> None:
        super().learn_constants(train)
        self.optional = torch.as_tensor(train.absent.any(0))

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"optional": self.optional}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.optional = state.get("optional", torch.ones_like(self.optional))  # weights of version 1 have none


def class_weights(train: Iterable[Case], recipe: MaskRecipe) -> Tensor | None:
    """(C,) weights of positive pixels for `losses.segmentation`; None where the recipe's loss has none."""
    if recipe.segmentation is not Segmentation.WEIGHTED_BCE:
        return None
    return torch.as_tensor(positive_weights(train), dtype=torch.float32)


def mask_targets(batch: Batch, regions: Regions, recipe: MaskRecipe) -> Tensor:
    """(B, C, H, W) float32: the cases' own masks, or where a case has none those of its `regions`."""
    return batch.masks_or(regions.masks(recipe.soft_masks), soft=recipe.soft_masks)


def read_masks(probabilities: Tensor, recipe: MaskRecipe) -> Tensor:
    """(B, C, H, W) bool masks of predicted probabilities."""
    masks = probabilities > 0.5
    return inference.largest_components(masks) if recipe.largest_component else masks


def presence(masks: Tensor, optional: Tensor) -> Tensor:
    """(B, C) 0 or 1 from (B, C, H, W) bool masks, on the CPU: an empty mask says "absent" only of a structure that some training
    case lacked, `optional` (C,); what is always there is not absent but not found."""
    return (masks.flatten(2).any(-1).cpu() | ~optional).double()
