"""HeatRegSeg: heatmap regression with DenseSeg's segmentation head beside it (Keuth et al., Section 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from denseseg import losses
from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import checked
from denseseg.geometry.frame import Size
from denseseg.geometry.regions import find_regions
from denseseg.heatmaps import Decoder
from denseseg.methods import inference
from denseseg.methods.heatmap_method import HeatmapRecipe
from denseseg.methods.heatmap_regression import HeatmapRegression
from denseseg.methods.method import Recipe
from denseseg.methods.network_method import MANY_STRUCTURES, OURS, VIEWS
from denseseg.methods.segmentation import MaskRecipe, Segmentation, class_weights, mask_targets, read_masks, without_region
from denseseg.networks.unet import MaskHeatmapUNet
from denseseg.prediction import Prediction


@checked
class HeatmapSegmentationRecipe(HeatmapRecipe, MaskRecipe):
    """Options of HeatRegSeg: those of heatmap methods and those of methods with masks.

    project_onto_outline: move landmarks of outlines to the predicted outline, in their order.
    Loss terms: segmentation, heatmap.
    """

    project_onto_outline: bool = True


# A tenth or ten times the weight of the masks trades a little of the landmarks' error for a little of the masks', or the reverse.
DEFAULT = HeatmapSegmentationRecipe(
    training=OURS,
    loss_weights={"segmentation": 1.0, "heatmap": 1.0},
    shape_prior=1 / 128,
    test_time_views=VIEWS,
)

# The paper's lambda is 0.38, found by its search in [0, 1]: 0.38 L_BCE + 0.62 L_H.
PAPER = HeatmapSegmentationRecipe(
    decoder=Decoder.ARGMAX,
    visibility_threshold=0.0,
    presence_threshold=0.0,
    soft_masks=False,
    segmentation=Segmentation.WEIGHTED_BCE,
    largest_component=False,
    project_onto_outline=False,
    loss_weights={"segmentation": 0.38, "heatmap": 0.62},
)


class HeatmapSegmentation(HeatmapRegression):
    """Landmarks from heatmaps, masks from a head of their own. The heatmaps alone say which structures are absent.

    Recipes: "default" (ours), "many_structures" (the same, trained longer, with larger steps), "paper".
    """

    name = "heatmap_segmentation"
    title = "Heatmaps and segmentation"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "many_structures": DEFAULT.changed(training=MANY_STRUCTURES),
        "paper": PAPER,
    }
    recipe: HeatmapSegmentationRecipe

    def __init__(self, anatomy: Anatomy, size: Size, recipe: HeatmapSegmentationRecipe):
        super().__init__(anatomy, size, recipe)
        self.class_weights: Tensor | None = None

    @classmethod
    def unsupported(cls, anatomy: Anatomy) -> str | None:
        return without_region(anatomy)

    def build(self) -> nn.Module:
        return MaskHeatmapUNet(len(self.anatomy), self.anatomy.n_landmarks, self.recipe.channels)

    def learn_constants(self, train: CaseSet) -> None:
        super().learn_constants(train)
        self.class_weights = class_weights(train, self.recipe)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        masks = mask_targets(batch, find_regions(batch.landmarks, self.anatomy, self.size), self.recipe)
        return super().targets(batch) | {"masks": masks}

    def losses(self, outputs: Any, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        logits, heatmaps = outputs
        segmentation = losses.segmentation(logits.float(), targets["masks"], self.class_weights)
        found = super().losses(heatmaps, targets) | {"segmentation": segmentation}
        return {name: found[name] for name in self.terms}

    def heatmaps(self, images: Tensor) -> Tensor:
        return self._maps(images)[:, len(self.anatomy) :]

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        maps = inference.average_over_views(self._maps, images.to(self.device), self.recipe.test_time_views)
        probabilities, heatmaps = maps.tensor_split([len(self.anatomy)], dim=1)
        masks = read_masks(probabilities, self.recipe)
        parts = zip(self.read(heatmaps), masks.cpu().numpy(), probabilities.cpu().numpy(), strict=True)
        found = [replace(prediction, masks=mask, probabilities=probability) for prediction, mask, probability in parts]
        if not self.recipe.project_onto_outline:
            return found
        return [inference.apply_outline_projection(prediction, self.fitted_template, uv_weight=0.0) for prediction in found]

    def _maps(self, images: Tensor) -> Tensor:
        """(B, C + N, H, W): probabilities of the masks, then heatmaps that peak at 1."""
        logits, heatmaps = self.network(self.normalise(images))
        return torch.cat([logits.float().sigmoid(), heatmaps.float() / self.recipe.amplitude], dim=1)
