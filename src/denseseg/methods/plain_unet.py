"""A U-Net that predicts masks and nothing else: how well this network segments when it has no landmarks to think of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from denseseg import losses
from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.frame import Size
from denseseg.geometry.regions import find_regions
from denseseg.methods import inference
from denseseg.methods.method import Recipe
from denseseg.methods.network_method import MANY_STRUCTURES, OURS, VIEWS, NetworkMethod
from denseseg.methods.segmentation import MaskMethod, MaskRecipe, class_weights, mask_targets, presence, read_masks
from denseseg.networks.unet import OneHeadUNet
from denseseg.prediction import Prediction

DEFAULT = MaskRecipe(training=OURS, loss_weights={"segmentation": 1.0}, test_time_views=VIEWS)


class PlainUNet(MaskMethod, NetworkMethod):
    """DenseSeg's U-Net with one convolution to a mask a structure, Dice and cross entropy. It has no landmarks.

    Recipes: "default", "many_structures" (the same, trained longer, with larger steps).
    """

    name = "plain_unet"
    title = "U-Net (segmentation only)"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "many_structures": DEFAULT.changed(training=MANY_STRUCTURES),
    }
    recipe: MaskRecipe

    def __init__(self, anatomy: Anatomy, size: Size, recipe: MaskRecipe):
        super().__init__(anatomy, size, recipe)
        self.class_weights: Tensor | None = None

    def build(self) -> nn.Module:
        return OneHeadUNet(len(self.anatomy), self.recipe.channels)

    def learn_constants(self, train: CaseSet) -> None:
        super().learn_constants(train)
        self.class_weights = class_weights(train, self.recipe)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        return {"masks": mask_targets(batch, find_regions(batch.landmarks, self.anatomy, self.size), self.recipe)}

    def losses(self, outputs: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"segmentation": losses.segmentation(outputs.float(), targets["masks"], self.class_weights)}

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        probabilities = inference.average_over_views(self._probabilities, images.to(self.device), self.recipe.test_time_views)
        masks = read_masks(probabilities, self.recipe)
        present = presence(masks, self.optional)
        arrays = (t.cpu().numpy() for t in (masks, probabilities, present))
        return [
            Prediction(self.anatomy, None, mask, probability, presence=there)
            for mask, probability, there in zip(*arrays, strict=True)
        ]

    def _probabilities(self, images: Tensor) -> Tensor:
        return self.network(self.normalise(images)).float().sigmoid()
