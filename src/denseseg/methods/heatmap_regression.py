"""HeatReg: one Gaussian heatmap a landmark from the same U-Net (Bulat & Tzimiropoulos 2016, as compared in the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from denseseg import losses
from denseseg.batch import Batch
from denseseg.heatmaps import Decoder, gaussian_heatmaps
from denseseg.methods.heatmap_method import HeatmapMethod, HeatmapRecipe
from denseseg.methods.method import Recipe
from denseseg.methods.network_method import MANY_STRUCTURES, OURS, VIEWS
from denseseg.networks.unet import OneHeadUNet

DEFAULT = HeatmapRecipe(training=OURS, loss_weights={"heatmap": 1.0}, shape_prior=1 / 128, test_time_views=VIEWS)
PAPER = HeatmapRecipe(decoder=Decoder.ARGMAX, visibility_threshold=0.0, presence_threshold=0.0, loss_weights={"heatmap": 1.0})


class HeatmapRegression(HeatmapMethod):
    """Recipes: "default" (the mean of 8 views, sub-pixel decoding, then the shape prior), "many_structures" (the same, trained
    longer, with larger steps), "paper" (one view, integer argmax)."""

    name = "heatmap_regression"
    title = "Heatmap regression"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "many_structures": DEFAULT.changed(training=MANY_STRUCTURES),
        "paper": PAPER,
    }

    def build(self) -> nn.Module:
        return OneHeadUNet(self.anatomy.n_landmarks, self.recipe.channels)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        sigma = self.recipe.sigma * self.size[0]
        heatmaps = gaussian_heatmaps(batch.landmarks, self.size, sigma, self.recipe.amplitude)
        return {"heatmaps": heatmaps, "known": self.known(batch)}

    def losses(self, outputs: Any, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"heatmap": losses.heatmap_mse(outputs.float(), targets["heatmaps"], targets["known"])}
