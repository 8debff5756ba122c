"""HeatReg: one Gaussian heatmap a landmark from the same U-Net (Bulat & Tzimiropoulos 2016, as compared in the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional as F

from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import STRICT
from denseseg.geometry.frame import Size, inside_image
from denseseg.heatmaps import argmax_landmarks, gaussian_heatmaps, subpixel_landmarks
from denseseg.methods import inference
from denseseg.methods.method import Recipe
from denseseg.methods.network_method import MANY_STRUCTURES, OURS, NetworkMethod, NetworkRecipe
from denseseg.networks.unet import HeatmapUNet
from denseseg.prediction import Prediction


class Decoder(StrEnum):
    """How a landmark is read from its heatmap: the brightest pixel, or the peak of a parabola round it."""

    ARGMAX = "argmax"
    SUBPIXEL = "subpixel"


@dataclass(frozen=True, config=STRICT)
class HeatmapRecipe(NetworkRecipe):
    """Options of heatmap regression.

    sigma: of the Gaussian, as a share of the image height, so that it means the same at every size (the paper's 8 pixels at 256).
    amplitude: its peak value (the paper's alpha). visibility_threshold: share of `amplitude` below which a peak says that its
    landmark is not in the image. presence_threshold: the same for the median peak of a structure, below which all of it is absent.
    Both judge only landmarks that some training image lacks, so they change nothing where all are always there.
    """

    sigma: PositiveFloat = 8 / 256
    amplitude: PositiveFloat = 44.0
    decoder: Decoder = Decoder.SUBPIXEL
    visibility_threshold: NonNegativeFloat = 0.2
    presence_threshold: NonNegativeFloat = 0.4


DEFAULT = HeatmapRecipe(training=OURS, loss_weights={"heatmap": 1.0}, shape_prior=1 / 128)
PAPER = HeatmapRecipe(decoder=Decoder.ARGMAX, visibility_threshold=0.0, presence_threshold=0.0, loss_weights={"heatmap": 1.0})


class HeatmapRegression(NetworkMethod):
    """Recipes: "default" (sub-pixel decoding, then the shape prior), "many_structures" (trained longer, with larger steps), "paper"
    (integer argmax)."""

    name = "heatmap_regression"
    title = "Heatmap regression"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "many_structures": DEFAULT.changed(training=MANY_STRUCTURES),
        "paper": PAPER,
    }
    recipe: HeatmapRecipe

    def __init__(self, anatomy: Anatomy, size: Size, recipe: HeatmapRecipe):
        super().__init__(anatomy, size, recipe)
        self.optional = torch.zeros(anatomy.n_landmarks, dtype=torch.bool)  # landmarks that some training image lacks

    def build(self) -> HeatmapUNet:
        return HeatmapUNet(self.anatomy.n_landmarks, self.recipe.channels)

    def prepare(self, train: CaseSet) -> None:
        super().prepare(train)
        always = np.all([inside_image(case.landmarks, case.size) for case in train], axis=0)
        self.optional = torch.as_tensor(~always)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        sigma = self.recipe.sigma * self.size[0]
        heatmaps = gaussian_heatmaps(batch.landmarks, self.size, sigma, self.recipe.amplitude)
        return {"heatmaps": heatmaps, "known": self._known(batch.landmarks)}

    def _known(self, landmarks: Tensor) -> Tensor:
        """(B, N) bool: a landmark is where its case says, or known not to be there since its whole structure is absent."""
        known = torch.isfinite(landmarks).all(-1)
        for where in self.anatomy.slices.values():
            known[:, where] |= ~known[:, where].any(1, keepdim=True)
        return known

    def losses(self, outputs: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        error = F.mse_loss(outputs.float(), targets["heatmaps"], reduction="none").mean((2, 3))
        known = targets["known"].to(error)
        return {"heatmap": (error * known).sum() / known.sum().clamp_min(1)}

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        decode = argmax_landmarks if self.recipe.decoder is Decoder.ARGMAX else subpixel_landmarks
        heatmaps = self.network(self.normalise(images.to(self.device))).float()
        points = decode(heatmaps).double().cpu().numpy()
        peaks = (heatmaps.amax((2, 3)).clamp_min(0) / self.recipe.amplitude).cpu().numpy()  # a level of 0 judges nothing
        return [self._prediction(*parts) for parts in zip(points, peaks, strict=True)]

    def _prediction(self, points: np.ndarray, peaks: np.ndarray) -> Prediction:
        """A structure with faint heatmaps is absent; in the others, the landmarks that are seen tell where the unseen ones are."""
        optional = self.optional.numpy()
        unseen, presence = optional & (peaks < self.recipe.visibility_threshold), np.ones(len(self.anatomy))
        for c, where in enumerate(self.anatomy.slices.values()):
            if optional[where].all() and np.median(peaks[where]) < self.recipe.presence_threshold:
                points[where], unseen[where], presence[c] = np.nan, False, 0.0
        prediction = Prediction(self.anatomy, points, presence=presence)
        return inference.apply_shape_prior(prediction, self.fitted_shape_model, self.recipe.shape_prior * self.size[0], unseen)

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"optional": self.optional}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.optional = state["optional"]
