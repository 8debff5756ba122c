"""HeatReg: one Gaussian heatmap a landmark from the same U-Net (Bulat & Tzimiropoulos 2016, as compared in the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.frame import Size, inside_image
from denseseg.heatmaps import argmax_landmarks, gaussian_heatmaps, subpixel_landmarks
from denseseg.methods import inference
from denseseg.methods.method import Method, Recipe
from denseseg.networks.unet import HeatmapUNet
from denseseg.prediction import Prediction


@dataclass(frozen=True)
class HeatmapRecipe(Recipe):
    """Options of heatmap regression.

    channels: features of the U-Net's levels. sigma: of the Gaussian, as a share of the image height, so that it means the same
    at every size (the paper's 8 pixels at 256). height: its peak value (alpha). decoder: "argmax" or "subpixel".
    shape_noise: see `inference`. seen: share of `height` below which a peak says that its landmark is not in the image.
    present: the same for the median peak of a structure, below which all of it is absent. Both judge only landmarks that some
        training image lacks, so they change nothing where all are always there.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512)
    sigma: float = 8 / 256
    height: float = 44.0
    decoder: str = "subpixel"
    shape_noise: float = 1 / 128
    seen: float = 0.2
    present: float = 0.4


class HeatmapRegression(Method):
    """`recipes`: "paper" (integer argmax) and "default" (the same training; sub-pixel decoding, then the shape model)."""

    name = "heatmap_regression"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": HeatmapRecipe(),
        "paper": HeatmapRecipe(decoder="argmax", shape_noise=0.0, seen=0.0, present=0.0),
    }

    def __init__(self, anatomy: Anatomy, size: Size, recipe: HeatmapRecipe):
        super().__init__(anatomy, size, recipe)
        self.recipe: HeatmapRecipe = recipe
        self.network: HeatmapUNet = HeatmapUNet(anatomy.n_landmarks, recipe.channels)
        self.optional = torch.zeros(anatomy.n_landmarks, dtype=torch.bool)

    def prepare(self, train: CaseSet) -> None:
        super().prepare(train)
        always = np.all([inside_image(case.landmarks, case.size) for case in train], axis=0)
        self.optional = torch.as_tensor(~always)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        sigma = self.recipe.sigma * self.size[0]
        heatmaps = gaussian_heatmaps(batch.landmarks, self.size, sigma, self.recipe.height)
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

    @property
    def weights(self) -> dict[str, float]:
        return {"heatmap": 1.0}

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        decode = argmax_landmarks if self.recipe.decoder == "argmax" else subpixel_landmarks
        heatmaps = self.network(self.normalise(images)).float()
        points = decode(heatmaps).double().cpu().numpy()
        peaks = (heatmaps.amax((2, 3)).clamp_min(0) / self.recipe.height).cpu().numpy()  # a level of 0 judges nothing
        return [self._prediction(*parts) for parts in zip(points, peaks, strict=True)]

    def _prediction(self, points: np.ndarray, peaks: np.ndarray) -> Prediction:
        """A structure with faint heatmaps is absent; in the others, the landmarks that are seen tell where the unseen ones are."""
        optional = self.optional.numpy()
        unseen = optional & (peaks < self.recipe.seen)
        for where in self.anatomy.slices.values():
            if optional[where].all() and np.median(peaks[where]) < self.recipe.present:
                points[where], unseen[where] = np.nan, False
        prediction = Prediction(self.anatomy, points)
        return inference.apply_shape_prior(prediction, self.shape_model, self.recipe.shape_noise * self.size[0], unseen)

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"optional": self.optional}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.optional = state["optional"]
