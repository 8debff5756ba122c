"""DenseSeg: masks and uv maps from one network, landmarks read from the maps (Keuth et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from skimage.measure import label
from torch import Tensor

from denseseg import losses
from denseseg.anatomy import Anatomy
from denseseg.augment import similarity_views
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.decode import decode_affine, decode_published, uv_targets
from denseseg.geometry.frame import Size, inside_image
from denseseg.geometry.outline_projection import snap_all
from denseseg.geometry.regions import contour_masks, find_regions
from denseseg.geometry.uvmap import uv_maps
from denseseg.geometry.warp import unwarp, warp
from denseseg.methods.method import Method, Recipe
from denseseg.networks.unet import TwoHeadUNet
from denseseg.prediction import Prediction


@dataclass(frozen=True)
class DenseSegRecipe(Recipe):
    """Options of DenseSeg.

    channels: features of the U-Net's levels. uv_method: generator of the uv targets (see `uv_maps`), on the augmented landmarks.
    band: pixels beyond the mask that are supervised too (tps only). soft_masks: train on covered shares of pixels.
    segmentation: "dice_bce" or "weighted_bce" (the paper's). decoder: "affine" or "published" (Eq. 3).
    shape_noise: before the contour step, the most probable shape under this noise of the landmarks (see `Method.plausible`).
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

    def prepare(self, train: CaseSet) -> None:
        super().prepare(train)
        if self.recipe.segmentation == "weighted_bce":
            masks = contour_masks(torch.as_tensor(train.landmarks, dtype=torch.float32), self.anatomy, self.size)
            self.positive_weights = losses.positive_weights(masks)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        regions = find_regions(batch.landmarks, self.anatomy, self.size, self.recipe.band + 1)  # for masks and maps alike
        masks = regions.masks(self.recipe.soft_masks) if batch.masks is None else batch.masks
        maps = uv_maps(batch.landmarks, self.fitted_template, self.size, self.recipe.uv_method, self.recipe.band, regions=regions)
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
        probabilities, uv = self._averaged(images)
        masks = probabilities > 0.5
        if self.recipe.largest_part:
            masks = largest_parts(masks)
        if self.recipe.decoder == "published":
            points = decode_published(uv, masks, self.fitted_template)
            unseen, spreads = torch.zeros_like(points[..., 0], dtype=torch.bool), [None] * len(images)
        else:
            decoded = decode_affine(uv, masks, self.fitted_template)
            points, unseen, spreads = decoded.points, decoded.reach > EXTRAPOLATED, list(decoded.covariance.cpu().numpy())
        arrays = [t.cpu().numpy() for t in (points.double(), unseen, masks, probabilities, uv)]
        return [self._prediction(*parts) for parts in zip(*arrays, spreads, strict=True)]

    def _averaged(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (B, C, H, W) and uv (B, C, 2, H, W), the mean over several views of each image.

        uv names a place of the template, so it does not change with the view: each view's maps are only moved back.
        """
        batch, _, height, width = images.shape
        count = 3 * len(self.anatomy)
        total = images.new_zeros(batch, count + 1, height, width)
        for matrix, shift in similarity_views(self.recipe.views, (height, width), images):
            logits, uv = self.network(self.normalise(warp(images, matrix, shift)))
            maps = torch.cat([torch.sigmoid(logits), uv.flatten(1, 2), torch.ones_like(images)], dim=1).to(total)
            total += unwarp(maps, matrix, shift)
        mean = total[:, :count] / total[:, count:]  # the last channel counts the views that saw a pixel; the first sees all
        return mean[:, : len(self.anatomy)], mean[:, len(self.anatomy) :].unflatten(1, (-1, 2))

    def _prediction(
        self,
        points: np.ndarray,
        unseen: np.ndarray,
        masks: np.ndarray,
        probabilities: np.ndarray,
        uv: np.ndarray,
        covariance: np.ndarray | None,
    ) -> Prediction:
        unseen = unseen | (np.isfinite(points).all(-1) & ~inside_image(points, self.size))
        points = self.plausible(points, self.recipe.shape_noise, unseen)
        if self.recipe.contour_step:
            kept = np.where(masks, probabilities, np.minimum(probabilities, 0.49))  # no outline round a part that was left out
            # the shape model has placed the landmarks along the outline; the map's own word on that would add its noise again
            points = snap_all(points, uv, kept, self.fitted_template, uv_weight=0.0 if self.recipe.shape_noise else 1.0)
        return Prediction(self.anatomy, points, masks, probabilities, uv, covariance)

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"positive_weights": self.positive_weights}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.positive_weights = state["positive_weights"]


def largest_parts(masks: Tensor) -> Tensor:
    """(B, C, H, W) bool masks, each reduced to its largest connected part."""
    kept = np.zeros(masks.shape, bool)
    array = masks.cpu().numpy()
    for index in np.ndindex(array.shape[:2]):
        parts = label(array[index], connectivity=1)
        if parts.max():
            kept[index] = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return torch.as_tensor(kept, device=masks.device)
