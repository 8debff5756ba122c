"""What all methods that read landmarks from heatmaps share: targets, decoding, and what a faint heatmap means."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import checked
from denseseg.geometry.frame import Size
from denseseg.heatmaps import DECODERS, Decoder
from denseseg.methods import inference
from denseseg.methods.network_method import NetworkMethod, NetworkRecipe
from denseseg.prediction import Prediction


@checked
class HeatmapRecipe(NetworkRecipe):
    """Options that all heatmap methods have.

    sigma: of the heatmaps' spots, as a share of the image height, so that it means the same at every size (the DenseSeg paper's
    8 pixels at 256). amplitude: the peak value of a target (that paper's alpha). decoder: how landmarks are read from heatmaps.
    visibility_threshold: share of the peak value below which a peak says that its landmark is not in the image.
    presence_threshold: the same for the median peak of a structure, below which all of it is absent.
    Both judge only landmarks that some training image lacks, so they change nothing where all are always there.
    """

    sigma: PositiveFloat = 8 / 256
    amplitude: PositiveFloat = 44.0
    decoder: Decoder = Decoder.SUBPIXEL
    visibility_threshold: NonNegativeFloat = 0.2
    presence_threshold: NonNegativeFloat = 0.4
    # Heatmaps mixed pixel by pixel from fewer feature maps than the paper's 64 smear 166 landmarks, however long is trained.
    fewest_features: ClassVar[int] = 64

    def scaled(self, length: float, width: float, largest_batch: int) -> Self:
        """Fewer features but at full resolution, where the heatmaps are made: see `fewest_features`."""
        recipe = super().scaled(length, width, largest_batch)
        first, *deeper = recipe.channels
        return recipe.changed(channels=(max(first, min(self.fewest_features, self.channels[0])), *deeper))


class HeatmapMethod(NetworkMethod):
    """A network method whose landmarks are the peaks of heatmaps; what it must say besides `build` and `losses` is `heatmaps`, if
    its network gives more than heatmaps of the recipe's amplitude."""

    recipe: HeatmapRecipe

    def __init__(self, anatomy: Anatomy, size: Size, recipe: HeatmapRecipe):
        super().__init__(anatomy, size, recipe)
        self.optional = torch.zeros(anatomy.n_landmarks, dtype=torch.bool)  # landmarks that some training image lacks

    def learn_constants(self, train: CaseSet) -> None:
        unmarked = self.anatomy.absent(train.landmarks) & ~train.absent  # a mask alone does not tell where its landmarks are
        self.optional = torch.as_tensor(~(train.shown | unmarked[:, self.anatomy.membership]).all(0))

    def heatmaps(self, images: Tensor) -> Tensor:
        """(B, N, H, W) heatmaps of (B, 1, H, W) images in [0, 1], scaled so that a landmark that is surely there peaks at 1."""
        return self.network(self.normalise(images)).float() / self.recipe.amplitude

    def known(self, batch: Batch) -> Tensor:
        """(B, N) bool: a landmark is where its case says, or known not to be there since its whole structure is absent."""
        known = torch.isfinite(batch.landmarks).all(-1)
        for c, where in enumerate(self.anatomy.slices.values()):
            absent = ~known[:, where].any(1)
            if batch.masks is not None:  # a structure with a mask is there, landmarks or not
                absent &= (batch.masks[:, c] < 0.5).all((1, 2))
            known[:, where] |= absent[:, None]
        return known

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[Prediction]:
        return self.read(inference.average_over_views(self.heatmaps, images.to(self.device), self.recipe.test_time_views))

    def read(self, heatmaps: Tensor) -> list[Prediction]:
        """Predictions from (B, N, H, W) heatmaps in which a landmark that is surely there peaks at 1."""
        points = DECODERS[self.recipe.decoder](heatmaps).double().cpu().numpy()
        peaks = heatmaps.amax((2, 3)).clamp_min(0).cpu().numpy()  # a threshold of 0 judges nothing
        return [self._placed(*parts) for parts in zip(points, peaks, strict=True)]

    def _placed(self, points: np.ndarray, peaks: np.ndarray) -> Prediction:
        """A structure with faint heatmaps is absent; in the others, the landmarks that are seen tell where the unseen ones are."""
        optional = self.optional.numpy()
        unseen, presence = optional & (peaks < self.recipe.visibility_threshold), np.ones(len(self.anatomy))
        for c, where in enumerate(self.anatomy.slices.values()):
            if optional[where].all() and np.median(peaks[where]) < self.recipe.presence_threshold:
                points[where], unseen[where], presence[c] = np.nan, False, 0.0
        prediction = Prediction(self.anatomy, points, presence=presence, peaks=peaks)
        return inference.apply_shape_prior(prediction, self.fitted_shape_model, self.landmark_noise, unseen)

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"optional": self.optional}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.optional = state["optional"]
