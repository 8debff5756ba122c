"""DenseSeg: masks and uv maps from one network, landmarks read from the maps (Keuth et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import ClassVar

import numpy as np
import torch
from pydantic import NonNegativeInt
from torch import Tensor

from denseseg import losses
from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import checked
from denseseg.geometry.decode import decode_affine, decode_published, uv_targets
from denseseg.geometry.frame import Size, inside_image
from denseseg.geometry.regions import find_regions
from denseseg.geometry.uvmap import Generator, uv_maps
from denseseg.methods import inference
from denseseg.methods.method import Recipe
from denseseg.methods.network_method import MANY_STRUCTURES, OURS, VIEWS, NetworkMethod
from denseseg.methods.segmentation import (
    MaskMethod,
    MaskRecipe,
    Segmentation,
    class_weights,
    mask_targets,
    presence,
    read_masks,
)
from denseseg.networks.unet import TwoHeadUNet
from denseseg.prediction import Prediction


class MapDecoder(StrEnum):
    """How landmarks are read from uv maps: inversion of a local affine fit, or the paper's Eq. 3."""

    AFFINE = "affine"
    PUBLISHED = "published"


@checked
class DenseSegRecipe(MaskRecipe):
    """Options of DenseSeg.

    generator: of the uv targets (see `uv_maps`), on the augmented landmarks. band: pixels beyond the mask that are supervised too
    (thin-plate splines only). decoder: see there. project_onto_outline: move landmarks of outlines to the predicted outline.
    Loss terms: segmentation, uv, landmarks, variation; without uv it is the paper's sparse ablation.
    """

    generator: Generator = Generator.TPS
    band: NonNegativeInt = 4
    decoder: MapDecoder = MapDecoder.AFFINE
    project_onto_outline: bool = True


EXTRAPOLATED = 6.0  # pixels from the mask at which a landmark is no longer read from the map

DEFAULT = DenseSegRecipe(
    training=OURS,
    loss_weights={"segmentation": 1.0, "uv": 2.5, "landmarks": 2.5},
    shape_prior=1 / 128,
    test_time_views=VIEWS,
)

# The paper as it describes itself: linear maps, weighted cross entropy, Eq. 3, and the weights of its search.
PAPER = DenseSegRecipe(
    generator=Generator.LINEAR,
    soft_masks=False,
    segmentation=Segmentation.WEIGHTED_BCE,
    decoder=MapDecoder.PUBLISHED,
    project_onto_outline=False,
    largest_component=False,
    loss_weights={"segmentation": 0.1333, "uv": 0.6667 / 2, "landmarks": 0.6667 / 2, "variation": 0.2},
)


# Loss weights of a recipe with one term switched off, as the option `loss_weights` of a run. Without the segmentation loss nobody
# trains the mask in which landmarks are looked for: its head says anything, and landmarks are read wherever that is.
ABLATIONS = {
    f"{name}_without_{term}": {other: weight for other, weight in recipe.loss_weights.items() if other != term}
    for name, recipe in (("default", DEFAULT), ("paper", PAPER))
    for term in recipe.loss_weights
}


class DenseSeg(MaskMethod, NetworkMethod):
    """The book's method.

    Recipes: "default" (ours), "many_structures" (ours, trained longer and with larger steps: more than ten structures take longer
    to be told apart, chapter 13), "paper", "sparse" (the paper's without the dense uv loss, with the code's weight of the sparse
    one: 0.667), "sparse_eq4" (the same with what Eq. 4 leaves of it, 0.333), "released" (with the bug of its maps).
    """

    name = "denseseg"
    title = "DenseSeg"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "many_structures": DEFAULT.changed(training=MANY_STRUCTURES),
        "paper": PAPER,
        "sparse": PAPER.changed(loss_weights={"segmentation": 0.1333, "landmarks": 0.6667, "variation": 0.2}),
        "sparse_eq4": PAPER.changed(loss_weights=ABLATIONS["paper_without_uv"]),
        "released": PAPER.changed(generator=Generator.PUBLISHED),
    }
    recipe: DenseSegRecipe

    def __init__(self, anatomy: Anatomy, size: Size, recipe: DenseSegRecipe):
        super().__init__(anatomy, size, recipe)
        self.class_weights: Tensor | None = None
        self.covariance_factor = 1.0

    def build(self) -> TwoHeadUNet:
        self.covariance_factor = 1.0  # `calibrate` fits it to the weights
        return TwoHeadUNet(len(self.anatomy), self.recipe.channels)

    def learn_constants(self, train: CaseSet) -> None:
        super().learn_constants(train)
        self.class_weights = class_weights(train, self.recipe)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        recipe, terms = self.recipe, self.terms
        regions = find_regions(batch.landmarks, self.anatomy, self.size, recipe.band + 1)  # for masks and maps alike
        targets = {"landmarks": batch.landmarks}
        if "segmentation" in terms or "variation" in terms:
            targets["masks"] = mask_targets(batch, regions, recipe)
        if "uv" in terms:
            maps = uv_maps(batch.landmarks, self.fitted_template, self.size, recipe.generator, recipe.band, regions=regions)
            targets |= {"uv": maps.uv, "valid": maps.valid}
        return targets

    def losses(self, outputs: tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        logits, uv = (output.float() for output in outputs)

        terms = {
            "segmentation": lambda: losses.segmentation(logits, targets["masks"], self.class_weights),
            "uv": lambda: losses.uv_l1(uv, targets["uv"], targets["valid"]),
            "landmarks": lambda: losses.landmark_uv(uv, targets["landmarks"], uv_targets(self.fitted_template, uv), self.anatomy),
            "variation": lambda: losses.total_variation(uv, targets["masks"] > 0.5),
        }
        return {name: terms[name]() for name in self.terms}

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        recipe, template = self.recipe, self.fitted_template
        maps = inference.average_over_views(self._maps, images.to(self.device), recipe.test_time_views)
        probabilities, uv = maps[:, : len(self.anatomy)], maps[:, len(self.anatomy) :].unflatten(1, (-1, 2))
        masks = read_masks(probabilities, recipe)
        if recipe.decoder is MapDecoder.PUBLISHED:
            points, spreads = decode_published(uv, masks, template), [None] * len(images)
            unseen = torch.zeros_like(points[..., 0], dtype=torch.bool)
        else:
            decoded = decode_affine(uv, masks, template)
            points, unseen = decoded.points, decoded.extrapolation > EXTRAPOLATED
            spreads = list(decoded.covariance.double().cpu().numpy())
        present = presence(masks, self.optional)
        arrays = [t.cpu().numpy() for t in (points.double(), masks, probabilities, uv, present, unseen)]
        return [
            self._refined(Prediction(self.anatomy, place, mask, probability, maps, there, spread), hidden)
            for place, mask, probability, maps, there, hidden, spread in zip(*arrays, spreads, strict=True)
        ]

    def _maps(self, images: Tensor) -> Tensor:
        """(B, 3C, H, W): probabilities, then u and v of each structure in turn."""
        logits, uv = self.network(self.normalise(images))
        return torch.cat([torch.sigmoid(logits), uv.flatten(1, 2)], dim=1)

    def _refined(self, prediction: Prediction, unseen: np.ndarray) -> Prediction:
        """Landmarks as decoded -> the most probable shape, on the predicted outlines. unseen: (N,) bool, not read from the map."""
        points, noise = prediction.landmarks, self.landmark_noise
        assert points is not None
        unseen = unseen | (np.isfinite(points).all(-1) & ~inside_image(points, self.size))
        prediction = inference.apply_shape_prior(prediction, self.fitted_shape_model, noise, unseen)
        if self.recipe.project_onto_outline:
            # the shape model has placed the landmarks along the outline; the map's own word on that would add its noise again
            prediction = inference.apply_outline_projection(prediction, self.fitted_template, 0.0 if noise else 1.0)
        if prediction.covariance is None:
            return prediction
        return replace(prediction, covariance=self.covariance_factor * prediction.covariance)

    def calibrate(self, validation: CaseSet | None) -> None:
        """Fit the factor of the covariances to cases that were not trained on."""
        if validation is not None:
            self.covariance_factor *= inference.covariance_factor(self.predict_cases(validation), validation)

    def state(self) -> dict[str, Tensor]:
        factor = torch.tensor(self.covariance_factor, dtype=torch.float64)
        return super().state() | {"covariance_factor": factor}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.covariance_factor = float(state.get("covariance_factor", 1.0))  # weights of version 1 have none
