"""LA-Net: the local appearance component of the SpatialConfiguration-Net, trained alone (Payer et al. 2019, Section 4.1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from denseseg.methods.localization import DEFAULT, PAPER, LocalizationMethod
from denseseg.methods.method import Recipe
from denseseg.networks.localization import LearnedWidths
from denseseg.networks.spatial_configuration import LocalAppearance

# Wide dots at first: it sees only a patch, and narrow ones give it no say between alike joints. Chosen on the validation images of
# three folds of real hands: 1.33 pixels from 1/32 of the height, 1.42 from the 2.5 pixels of the others.
WIDE = DEFAULT.changed(sigma=1 / 32)


class LocalAppearanceNet(LocalizationMethod):
    """It sees a patch around each place, so it cannot tell alike ones apart. Recipes: see `SpatialConfiguration`; in "default"
    widths begin at 1/32 of the image height."""

    name = "local_appearance"
    title = "LA-Net"
    recipes: ClassVar[Mapping[str, Recipe]] = {"default": WIDE, "paper": PAPER}

    def build(self) -> LearnedWidths:
        recipe = self.recipe
        return self.with_widths(LocalAppearance(self.anatomy.n_landmarks, recipe.channels, dropout=recipe.dropout))
