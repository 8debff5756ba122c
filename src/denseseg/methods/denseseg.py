"""DenseSeg: masks and uv maps from one network, landmarks read from the maps (Keuth et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from denseseg import losses
from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.contour import contour_masks
from denseseg.geometry.decode import decode_affine, decode_published, uv_targets
from denseseg.geometry.frame import Size, inside_image
from denseseg.geometry.uvmap import uv_maps
from denseseg.methods import inference
from denseseg.methods.method import Method, Recipe
from denseseg.networks.unet import TwoHeadUNet
from denseseg.prediction import Prediction


@dataclass(frozen=True)
class DenseSegRecipe(Recipe):
    """Options of DenseSeg.

    channels: features of the U-Net's levels. uv_method: generator of the uv targets (see `uv_maps`), on the augmented landmarks.
    band: pixels beyond the mask that are supervised too (tps only). soft_masks: train on covered shares of pixels.
    segmentation: "dice_bce" or "weighted_bce" (the paper's). decoder: "affine" or "published" (Eq. 3).
    shape_noise: before the contour step, the most probable shape under this noise of the landmarks (see `inference`).
    contour_step: move contour landmarks to the predicted outline. largest_part: keep one connected part of each mask.
    views: of each image, whose maps are averaged; 1 is the image alone.
    weight_*: of the segmentation, dense uv, landmark uv and total variation terms; weight_uv = 0 is the paper's sparse ablation.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512)
    uv_method: str = "tps"
    band: int = 4
    soft_masks: bool = True
    segmentation: str = "dice_bce"
    decoder: str = "affine"
    shape_noise: float = 1 / 128
    contour_step: bool = True
    views: int = 8
    largest_part: bool = True
    weight_segmentation: float = 1.0
    weight_uv: float = 2.5
    weight_landmarks: float = 2.5
    weight_variation: float = 0.0


EXTRAPOLATED = 6.0  # pixels from the mask at which a landmark is no longer read from the map

DEFAULT = DenseSegRecipe()

# The paper as it describes itself: linear maps, weighted cross entropy, Eq. 3, and the weights of its search.
PAPER = DenseSegRecipe(
    uv_method="linear",
    soft_masks=False,
    segmentation="weighted_bce",
    decoder="published",
    shape_noise=0.0,
    contour_step=False,
    views=1,
    largest_part=False,
    weight_segmentation=0.1333,
    weight_uv=0.6667 / 2,
    weight_landmarks=0.6667 / 2,
    weight_variation=0.2,
)


class DenseSeg(Method):
    """The book's method. `recipes`: "default" (ours), "paper", "sparse" (paper without L_phi), "released" (with the maps' bug)."""

    name = "denseseg"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "paper": PAPER,
        "sparse": PAPER.changed(weight_uv=0.0, weight_landmarks=0.6667),
        "released": PAPER.changed(uv_method="published"),
    }

    def __init__(self, anatomy: Anatomy, size: Size, recipe: DenseSegRecipe):
        super().__init__(anatomy, size, recipe)
        self.recipe: DenseSegRecipe = recipe
        self.network: TwoHeadUNet = TwoHeadUNet(len(anatomy), recipe.channels)
        self.positive_weights = torch.ones(len(anatomy))
        self.covariance_factor = 1.0

    def prepare(self, train: CaseSet) -> None:
        super().prepare(train)
        if self.recipe.segmentation == "weighted_bce":
            masks = contour_masks(torch.as_tensor(train.landmarks, dtype=torch.float32), self.anatomy, self.size)
            self.positive_weights = losses.positive_weights(masks)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        masks = batch.masks
        if masks is None:
            masks = contour_masks(batch.landmarks, self.anatomy, self.size, soft=self.recipe.soft_masks)
        maps = uv_maps(batch.landmarks, self.fitted_template, self.size, self.recipe.uv_method, self.recipe.band)
        return {"landmarks": batch.landmarks, "masks": masks, "uv": maps.uv, "valid": maps.valid}

    def losses(self, outputs: tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        logits, uv = (output.float() for output in outputs)
        masks = targets["masks"]
        if self.recipe.segmentation == "weighted_bce":
            segmentation = losses.weighted_bce(logits, masks, self.positive_weights.to(logits))
        else:
            segmentation = losses.bce(logits, masks) + losses.dice(logits, masks)
        return {
            "segmentation": segmentation,
            "uv": losses.uv_l1(uv, targets["uv"], targets["valid"]),
            "landmarks": losses.landmark_uv(uv, targets["landmarks"], uv_targets(self.fitted_template, uv), self.anatomy),
            "variation": losses.total_variation(uv, masks > 0.5),
        }

    @property
    def weights(self) -> dict[str, float]:
        return {term: getattr(self.recipe, f"weight_{term}") for term in ("segmentation", "uv", "landmarks", "variation")}

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        maps = inference.average_over_views(self._maps, images, self.recipe.views)
        probabilities, uv = maps[:, : len(self.anatomy)], maps[:, len(self.anatomy) :].unflatten(1, (-1, 2))
        masks = probabilities > 0.5
        if self.recipe.largest_part:
            masks = inference.largest_components(masks)
        if self.recipe.decoder == "published":
            points = decode_published(uv, masks, self.fitted_template)
            unseen, spreads = torch.zeros_like(points[..., 0], dtype=torch.bool), [None] * len(images)
        else:
            decoded = decode_affine(uv, masks, self.fitted_template)
            points, unseen = decoded.points, decoded.reach > EXTRAPOLATED
            spreads = list(decoded.covariance.double().cpu().numpy())
        arrays = [t.cpu().numpy() for t in (points.double(), masks, probabilities, uv, unseen)]
        return [
            self._refined(Prediction(self.anatomy, place, mask, probability, uv, covariance=spread), hidden)
            for place, mask, probability, uv, hidden, spread in zip(*arrays, spreads, strict=True)
        ]

    def _maps(self, images: Tensor) -> Tensor:
        """(B, 3C, H, W): probabilities, then u and v of each structure in turn."""
        logits, uv = self.network(self.normalise(images))
        return torch.cat([torch.sigmoid(logits), uv.flatten(1, 2)], dim=1)

    def _refined(self, prediction: Prediction, unseen: np.ndarray) -> Prediction:
        """Landmarks as decoded -> the most probable shape, on the predicted outlines. unseen: (N,) bool, not read from the map."""
        points = prediction.landmarks
        unseen = unseen | (np.isfinite(points).all(-1) & ~inside_image(points, self.size))
        prediction = inference.apply_shape_prior(prediction, self.shape_model, self.recipe.shape_noise * self.size[0], unseen)
        if self.recipe.contour_step:
            # the shape model has placed the landmarks along the outline; the map's own word on that would add its noise again
            uv_weight = 0.0 if self.recipe.shape_noise else 1.0
            prediction = inference.apply_outline_projection(prediction, self.fitted_template, uv_weight)
        if prediction.covariance is None:
            return prediction
        return replace(prediction, covariance=self.covariance_factor * prediction.covariance)

    def calibrate(self, validation: CaseSet | None) -> None:
        """Fit the factor of the covariances to cases that were not trained on."""
        if validation is not None:
            predictions = [self.predict_image(case.image) for case in validation]
            self.covariance_factor *= inference.covariance_factor(predictions, validation)

    def state(self) -> dict[str, Tensor]:
        factor = torch.tensor(self.covariance_factor, dtype=torch.float64)
        return super().state() | {"positive_weights": self.positive_weights, "covariance_factor": factor}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.positive_weights = state["positive_weights"]
        self.covariance_factor = float(state.get("covariance_factor", 1.0))  # weights of version 1 have none
