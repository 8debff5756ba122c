"""The Localization U-Net: learned widths and a U-Net without norms (Payer et al. 2019, Section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from denseseg.methods.localization import DEFAULT, PAPER, LocalizationMethod
from denseseg.methods.method import Recipe
from denseseg.networks.localization import LearnedWidths
from denseseg.networks.localization_unet import LocalizationUNet as Network

LEVELS = (128,) * 5


class LocalizationUNet(LocalizationMethod):
    """The rival of the SpatialConfiguration-Net, trained like it. Recipes: see `SpatialConfiguration`."""

    name = "localization_unet"
    title = "Localization U-Net"
    recipes: ClassVar[Mapping[str, Recipe]] = {"default": DEFAULT.changed(channels=LEVELS), "paper": PAPER.changed(channels=LEVELS)}

    def build(self) -> LearnedWidths:
        recipe = self.recipe
        return self.with_widths(Network(self.anatomy.n_landmarks, recipe.channels, dropout=recipe.dropout))
