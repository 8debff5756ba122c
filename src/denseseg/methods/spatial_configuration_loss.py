"""Heatmap regression whose loss also asks how the landmarks lie to one another (Ham and Oh 2023).

Where the paper is silent or at odds with itself:
- The width of its Laplace heatmaps is not printed. Its reader takes the centroid of what is above 0.95, which is more than a single
  pixel only where exp(-1 / width) > 0.95, so from 19.5 pixels on: here 20 of the 800 rows.
- Eq. 3 has sums of squares, over pixels and over pairs of landmarks. Here both terms are means, as PyTorch takes them: the gamma of
  sums is gamma N / (H W) of means, 7e-5 gamma for 37 landmarks and 800 x 640 pixels, with which no gamma of Table 5 could do harm.
- Heatmaps have a peak of 1. A network whose first outputs are as large spends its first hundreds of steps on painting nothing; our
  recipe lets it paint 44, as our other heatmap methods do, and divides. Both terms of the loss are of the divided heatmaps.
- gamma is 1e-3 in Section 4.2, but the published result is the row of 1e-4 in Table 5.
- Brightness and contrast are undone by the normalisation of each image here, and grey has no saturation and no hue: of the
  augmentation, rotation and scale remain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from denseseg import losses
from denseseg.augment import Augmentation
from denseseg.batch import Batch
from denseseg.errors import checked
from denseseg.heatmaps import Decoder, laplace_heatmaps
from denseseg.losses import FeatureMap
from denseseg.methods.heatmap_method import HeatmapMethod, HeatmapRecipe
from denseseg.methods.method import Recipe
from denseseg.methods.network_method import MANY_STRUCTURES, OURS, VIEWS
from denseseg.networks.classic_unet import ClassicUNet
from denseseg.training.settings import Adam, Drops, Epochs, TrainingSettings

CARTESIAN = (FeatureMap.X, FeatureMap.Y)
POLAR = (FeatureMap.RADIUS, FeatureMap.ANGLE)
BETAS = (1.0, 5.0, 10.0, 20.0, 30.0)  # the paper's Table 4
GAMMAS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-10)  # and Table 5


@checked
class SpatialRecipe(HeatmapRecipe):
    """Options of the spatial-configuration loss; gamma is the weight of the loss term "correlation".

    sigma: width of the Laplace heatmaps exp(-d / width), as a share of the image height. maps: the spatial feature maps.
    beta: how sharply the softmax looks at the peak of a heatmap.
    """

    sigma: PositiveFloat = 20 / 800
    amplitude: PositiveFloat = 1.0
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (64, 128, 256, 512, 1024)
    maps: tuple[FeatureMap, ...] = CARTESIAN + POLAR
    beta: PositiveFloat = 10.0


BOTH = {"heatmap": 1.0, "correlation": 1e-4}
DEFAULT = SpatialRecipe(training=OURS, loss_weights=BOTH, amplitude=44.0, shape_prior=1 / 128, test_time_views=VIEWS)
PAPER = SpatialRecipe(
    training=TrainingSettings(
        length=Epochs(800),
        batch_size=1,
        optimiser=Adam(1e-3, betas=(0.9, 0.9)),
        schedule=Drops(at=(500 / 800, 700 / 800)),
        augmentation=Augmentation(rotation=15, translation=0, scale=0.2),
    ),
    loss_weights=BOTH,
    decoder=Decoder.BLOB,
    visibility_threshold=0.0,
    presence_threshold=0.0,
)


class SpatialConfigurationLoss(HeatmapMethod):
    """Recipes: "default" (trained and read like our other heatmap methods), "many_structures" (the same, trained longer), "paper",
    and the other rows of the paper's Table 3: "plain" (its U-Net alone), "cartesian" and "polar"."""

    name = "spatial_configuration_loss"
    title = "U-Net with spatial-configuration loss"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "many_structures": DEFAULT.changed(training=MANY_STRUCTURES),
        "paper": PAPER,
        "plain": PAPER.changed(loss_weights={"heatmap": 1.0}),
        "cartesian": PAPER.changed(maps=CARTESIAN),
        "polar": PAPER.changed(maps=POLAR),
    }
    recipe: SpatialRecipe

    def build(self) -> ClassicUNet:
        return ClassicUNet(self.anatomy.n_landmarks, self.recipe.channels)

    def correlation(self, heatmaps: Tensor) -> Tensor:
        """(B, N, N): how landmarks lie to one another by (B, N, H, W) heatmaps with peaks of 1."""
        maps = losses.feature_maps(self.recipe.maps, self.size, heatmaps.device)
        return losses.correlation_map(losses.spatial_embedding(heatmaps, maps, self.recipe.beta))

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        heatmaps = laplace_heatmaps(batch.landmarks, self.size, self.recipe.sigma * self.size[0])
        targets = {"heatmaps": heatmaps, "known": self.known(batch)}
        if "correlation" in self.terms:
            targets |= {"correlation": self.correlation(heatmaps), "placed": torch.isfinite(batch.landmarks).all(-1)}
        return targets

    def losses(self, outputs: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        heatmaps = outputs.float() / self.recipe.amplitude
        terms = {"heatmap": losses.heatmap_mse(heatmaps, targets["heatmaps"], targets["known"])}
        if "correlation" in self.terms:
            found = self.correlation(heatmaps)
            terms["correlation"] = losses.correlation_mse(found, targets["correlation"], targets["placed"])
        return terms
