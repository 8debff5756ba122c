"""HeatReg: one Gaussian heatmap a landmark from the same U-Net (Bulat & Tzimiropoulos 2016, as compared in the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from denseseg.anatomy import Anatomy
from denseseg.augment import Batch
from denseseg.cases import Size
from denseseg.heatmaps import argmax_landmarks, gaussian_heatmaps, subpixel_landmarks
from denseseg.methods.method import Method, Prediction, Recipe
from denseseg.networks.unet import HeatmapUNet


@dataclass(frozen=True)
class HeatmapRecipe(Recipe):
    """Options of heatmap regression.

    channels: features of the U-Net's levels. sigma: of the Gaussian, as a share of the image height, so that it means the same
    at every size (the paper's 8 pixels at 256). height: its peak value (alpha). decoder: "argmax" or "subpixel".
    shape_noise: see `Method.plausible`.
    """

    channels: tuple[int, ...] = (64, 128, 256, 512)
    sigma: float = 8 / 256
    height: float = 44.0
    decoder: str = "subpixel"
    shape_noise: float = 1 / 128


class HeatmapRegression(Method):
    """`recipes`: "paper" (integer argmax) and "default" (the same training; sub-pixel decoding, then the shape model)."""

    name = "heatmap_regression"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": HeatmapRecipe(),
        "paper": HeatmapRecipe(decoder="argmax", shape_noise=0.0),
    }

    def __init__(self, anatomy: Anatomy, size: Size, recipe: HeatmapRecipe):
        super().__init__(anatomy, size, recipe)
        self.recipe: HeatmapRecipe = recipe
        self.network: HeatmapUNet = HeatmapUNet(anatomy.n_landmarks, recipe.channels)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        sigma = self.recipe.sigma * self.size[0]
        present = torch.isfinite(batch.landmarks).all(-1)
        return {"heatmaps": gaussian_heatmaps(batch.landmarks, self.size, sigma, self.recipe.height), "present": present}

    def losses(self, outputs: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        error = F.mse_loss(outputs.float(), targets["heatmaps"], reduction="none").mean((2, 3))
        present = targets["present"].to(error)
        return {"heatmap": (error * present).sum() / present.sum().clamp_min(1)}

    @property
    def weights(self) -> dict[str, float]:
        return {"heatmap": 1.0}

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        decode = argmax_landmarks if self.recipe.decoder == "argmax" else subpixel_landmarks
        points = decode(self.network(self.normalise(images)).float()).double().cpu().numpy()
        return [Prediction(self.anatomy, self.plausible(p, self.recipe.shape_noise)) for p in points]
