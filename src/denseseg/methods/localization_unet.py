"""The Localization U-Net: learned widths and a U-Net without norms (Payer et al. 2019, Section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from denseseg.errors import checked
from denseseg.methods import localization
from denseseg.methods.heatmap_method import HeatmapRecipe
from denseseg.methods.localization import LocalizationMethod, LocalizationRecipe
from denseseg.methods.method import Recipe
from denseseg.networks.localization import LearnedWidths
from denseseg.networks.localization_unet import LocalizationUNet as Network

LEVELS = {"channels": (128,) * 5}


@checked
class LocalizationUNetRecipe(LocalizationRecipe):
    """As `LocalizationRecipe`. A last layer of 1 x 1 needs features, so a smaller network keeps those: see `fewest_features`."""

    fewest_features: ClassVar[int] = HeatmapRecipe.fewest_features


class LocalizationUNet(LocalizationMethod):
    """The rival of the SpatialConfiguration-Net, trained like it. Recipes: see `SpatialConfiguration`."""

    name = "localization_unet"
    title = "Localization U-Net"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": LocalizationUNetRecipe(**vars(localization.DEFAULT) | LEVELS),
        "paper": LocalizationUNetRecipe(**vars(localization.PAPER) | LEVELS),
    }

    def build(self) -> LearnedWidths:
        recipe = self.recipe
        return self.with_widths(Network(self.anatomy.n_landmarks, recipe.channels, dropout=recipe.dropout))
