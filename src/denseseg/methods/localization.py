"""What the methods of Payer et al. 2019 share: heatmaps whose widths are learned, their loss, and the paper's training."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from denseseg import losses
from denseseg.anatomy import Anatomy
from denseseg.augment import Augmentation
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import checked
from denseseg.geometry.frame import Size
from denseseg.heatmaps import Decoder, gaussian_heatmaps
from denseseg.methods.heatmap_method import HeatmapMethod, HeatmapRecipe
from denseseg.methods.network_method import OURS, VIEWS
from denseseg.networks.localization import LearnedWidths
from denseseg.training.settings import SGD, Adam, Drops, Share, Steps, TrainingSettings

SIDE = 512  # pixels of the paper's images, in which its lengths are meant
GAMMA, ALPHA, LAMBDA = 100.0, 20.0, 0.0005  # of Eq. 1 and 2
FIRST_SIGMA = 2.5  # pixels, where its widths begin (its code): there Eq. 2 is least for a network that finds nothing
WEIGHTS = {"heatmap": 1.0, "sigma": ALPHA}
FIXED = {"learned_widths": False, "loss_weights": {"heatmap": 1.0}}  # options of a recipe whose widths stay where they begin


@checked
class LocalizationRecipe(HeatmapRecipe):
    """Options of methods with learned widths.

    sigma: where the widths begin, but not below 2.5 pixels, or where they stay. amplitude: the peak of a target of that width. A
        spot that gets narrower gets higher: gamma of Eq. 1 is 2 pi sigma^2 amplitude, in pixels.
    learned_widths: whether each landmark has a width of its own, learned like a weight. width_unit: pixels in which it is counted.
        Adam's steps are alike for all that it learns, so a unit of 30 pixels lets widths go 30 times as far as in pixels.
    loss_weights: of "heatmap", the sum of squares, and of "sigma", |sigma|^2 in pixels (alpha of Eq. 2).
    common_intensities: scale grey values from the training images' least and largest to -1 and 1, all images alike; otherwise each
        image has zero mean and unit standard deviation. dropout: rate, in the network's own places.
    """

    amplitude: PositiveFloat = GAMMA / (2 * math.pi * FIRST_SIGMA**2)
    fewest_features: ClassVar[int] = 1  # more than one pixel of them makes a heatmap: its last layer is larger than 1 x 1
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (128,) * 4  # the forerunner has one level
    learned_widths: bool = True
    width_unit: PositiveFloat = 1.0
    common_intensities: bool = False
    dropout: Share = 0.5


# The optimiser adds weight_decay |w|^2 / 2, biases and widths included, Eq. 2 lambda |w|^2. Uniform displacements of 5 pixels have
# this standard deviation; our intensities lie in 0..1 until they are scaled, so a shift by 0.25 of -1..1 is half of that.
PAYER = TrainingSettings(
    length=Steps(30_000),
    batch_size=1,
    optimiser=SGD(1e-6, momentum=0.99, nesterov=True, weight_decay=2 * LAMBDA),
    schedule=Drops(),
    gradient_clip=1e4,
    augmentation=Augmentation(
        rotation=15, translation=20 / SIDE, scale=0.4, elastic=5 / 3**0.5 / SIDE, elastic_grid=12, gain=0.25, offset=0.125
    ),
)
# Adam as in our other recipes: 400 steps by the paper's training leave a much larger error on small hands (chapter 16).
# Without norms a wide network bears smaller steps only: with 32 features 3e-4 gives 0.6 pixels, 1e-3 more than twice that. Widths
# in pixels would stay where they begin: 1000 such steps are 0.3 pixels at most.
DEFAULT = LocalizationRecipe(
    sigma=FIRST_SIGMA / SIDE,
    width_unit=30.0,
    training=OURS.changed(optimiser=Adam(3e-4)),
    loss_weights=WEIGHTS,
    shape_prior=1 / 128,
    test_time_views=VIEWS,
    dropout=0.0,
)
PAPER = LocalizationRecipe(
    sigma=FIRST_SIGMA / SIDE,
    decoder=Decoder.ARGMAX,
    visibility_threshold=0.0,
    presence_threshold=0.0,
    training=PAYER,
    loss_weights=WEIGHTS,
    common_intensities=True,
)


class LocalizationMethod(HeatmapMethod):
    """A heatmap method whose network is a `LearnedWidths`; what it must say is `build`, with `with_widths`."""

    recipe: LocalizationRecipe
    network: LearnedWidths

    def __init__(self, anatomy: Anatomy, size: Size, recipe: LocalizationRecipe):
        super().__init__(anatomy, size, recipe)
        self.intensities = torch.tensor([0.0, 1.0])  # least and largest of the training images

    @property
    def first_sigma(self) -> float:
        """Where the widths begin, in pixels."""
        sigma = self.recipe.sigma * self.size[0]
        return max(sigma, FIRST_SIGMA) if self.recipe.learned_widths else sigma

    def with_widths(self, network: torch.nn.Module) -> LearnedWidths:
        """A network with heatmaps as a network with heatmaps and their widths."""
        recipe = self.recipe
        return LearnedWidths(network, self.anatomy.n_landmarks, self.first_sigma, recipe.learned_widths, recipe.width_unit)

    def learn_constants(self, train: CaseSet) -> None:
        super().learn_constants(train)
        self.intensities = torch.tensor([float(train.images.min()), float(train.images.max())])

    def normalise(self, images: Tensor) -> Tensor:
        if not self.recipe.common_intensities:
            return super().normalise(images)
        least, largest = self.intensities.tolist()
        return 2 * (images - least) / max(largest - least, 1e-6) - 1

    def peaks(self, sigma: Tensor) -> Tensor:
        """(N,) peaks of targets of these widths (N,) in pixels, so that all hold the same sum (Eq. 1)."""
        return self.recipe.amplitude * (self.first_sigma / sigma) ** 2

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """Not yet heatmaps: their widths are known only with the network's output."""
        return {"landmarks": batch.landmarks, "known": self.known(batch)}

    def losses(self, outputs: tuple[Tensor, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        heatmaps, sigma = (output.float() for output in outputs)
        wanted = gaussian_heatmaps(targets["landmarks"], self.size, sigma, self.peaks(sigma))
        terms = {"heatmap": losses.heatmap_sse(heatmaps, wanted, targets["known"]), "sigma": sigma.square().sum()}
        return {name: terms[name] for name in self.terms}

    def heatmaps(self, images: Tensor) -> Tensor:
        heatmaps, sigma = self.network(self.normalise(images))
        return heatmaps.float() / self.peaks(sigma)[:, None, None]

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"intensities": self.intensities}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.intensities = state["intensities"]
