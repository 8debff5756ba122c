"""The SpatialConfiguration-Net: what a landmark looks like, times where it may be (Payer et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from denseseg.errors import checked
from denseseg.methods import localization
from denseseg.methods.localization import FIRST_SIGMA, FIXED, LocalizationMethod, LocalizationRecipe
from denseseg.methods.method import Recipe
from denseseg.networks.localization import LearnedWidths
from denseseg.networks.spatial_configuration import (
    ConvolvedConfigurationNet,
    LocalAppearance,
    PairwiseConfiguration,
    SpatialConfigurationNet,
    plain_appearance,
)
from denseseg.networks.spatial_configuration import SpatialConfiguration as Configuration


@checked
class SpatialConfigurationRecipe(LocalizationRecipe):
    """Options of the SpatialConfiguration-Net.

    cells: spatial configuration sees about so many cells along the image height, at any size: 1/16 of the paper's 512 pixels. The
        image is shrunk by the nearest power of two.
    variant: "product" of the components; "convolutions" in its place (Section 5); "pairwise", the forerunner's plain local
        appearance and its sum over pairs of landmarks (Payer et al. 2016).
    """

    cells: PositiveInt = 32
    variant: Literal["product", "convolutions", "pairwise"] = "product"


DEFAULT = SpatialConfigurationRecipe(**vars(localization.DEFAULT))
PAPER = SpatialConfigurationRecipe(**vars(localization.PAPER))


class SpatialConfiguration(LocalizationMethod):
    """Recipes: "default" (ours: the mean of 8 views, sub-pixel decoding, the shape prior), "paper" (its training and its brightest
    pixel), "paper_2016" (the forerunner at its 256 pixels, its width fixed; trained as in 2019), "convolutions" (the paper's, but
    for the product)."""

    name = "spatial_configuration"
    title = "SpatialConfiguration-Net"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "paper": PAPER,
        "paper_2016": PAPER.changed(variant="pairwise", sigma=FIRST_SIGMA / 256, channels=(128,), **FIXED),
        "convolutions": PAPER.changed(variant="convolutions"),
    }
    recipe: SpatialConfigurationRecipe

    @property
    def shrink(self) -> int:
        """How much smaller than the image spatial configuration is."""
        return 2 ** max(0, round(math.log2(self.size[0] / self.recipe.cells)))

    def build(self) -> LearnedWidths:
        n, recipe = self.anatomy.n_landmarks, self.recipe
        features = recipe.channels[0]
        if recipe.variant == "pairwise":
            parts = plain_appearance(n, features), PairwiseConfiguration(n, shrink=self.shrink)
            return self.with_widths(SpatialConfigurationNet(*parts))
        appearance = LocalAppearance(n, recipe.channels, dropout=recipe.dropout)
        configuration = Configuration(n, features, shrink=self.shrink)
        if recipe.variant == "convolutions":
            return self.with_widths(ConvolvedConfigurationNet(appearance, configuration, n, features))
        return self.with_widths(SpatialConfigurationNet(appearance, configuration))

    @torch.no_grad()
    def components(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Local appearance and spatial configuration, (B, N, H, W) each, of (B, 1, H, W) images in [0, 1]."""
        network: SpatialConfigurationNet = self.network.network  # type: ignore[assignment]
        return network.components(self.normalise(images.to(self.device)))
