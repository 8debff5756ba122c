"""Methods that train a network with the loop of this package."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Self

import pandas as pd
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from denseseg.anatomy import Anatomy
from denseseg.augment import STRONG
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError, checked
from denseseg.geometry.frame import Size
from denseseg.methods.method import Method, Recipe, validation_error
from denseseg.networks.unet import parameter_count
from denseseg.training.loop import train as train_network
from denseseg.training.settings import Adam, Epochs, Run, TrainingSettings

# What our recipes add to the paper's training: exposure, noise and a slight bend, for sets of a few hundred images, and a moving
# average of the weights. More than ten structures take longer to be told apart (chapter 13).
OURS = TrainingSettings(augmentation=STRONG, ema_decay=0.98)
VIEWS = 8  # of each image, over which our recipes average
MANY_STRUCTURES = OURS.changed(length=Epochs(160), optimiser=Adam(3e-3))


@checked
class NetworkRecipe(Recipe):
    """Options that all network methods have.

    training: how the network is trained. loss_weights: of each loss term; a term that is not named, or has the weight 0, is not
    computed. monitor: terms that are computed all the same, to be seen in the history.
    channels: features of the network's levels, two or more.
    test_time_views: of each image, a little turned and shifted, that predictions are averaged over; 1 takes the image as it is.
    """

    training: TrainingSettings = TrainingSettings()
    loss_weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    monitor: tuple[str, ...] = ()
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (64, 128, 256, 512)
    test_time_views: PositiveInt = 1

    def scaled(self, length: float, width: float, largest_batch: int) -> Self:
        channels = tuple(max(4, round(width * n)) for n in self.channels)
        return self.changed(training=self.training.scaled(length, largest_batch), channels=channels)


class NetworkMethod(Method):
    """A method that says three things, so that `training.loop.train` can train it: what its network is given (`inputs`), what the
    network is to produce (`targets`, in float32) and how the two become loss terms (`losses`). `network` is made by `build`.
    """

    recipe: NetworkRecipe
    network: nn.Module

    def __init__(self, anatomy: Anatomy, size: Size, recipe: NetworkRecipe):
        super().__init__(anatomy, size, recipe)
        known = {term for own in self.recipes.values() if isinstance(own, NetworkRecipe) for term in own.loss_weights}
        if known and (strange := sorted({*recipe.loss_weights, *recipe.monitor} - known)):
            raise DataError(f"{self.name} has no loss term {strange[0]!r}; it has: {', '.join(sorted(known))}")
        self.network = self.build().eval()

    @abstractmethod
    def build(self) -> nn.Module:
        """A network with new weights."""

    def inputs(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, ...]:
        """What the network is given, each (B, ...): here the normalised images. `rng` lives on the CPU."""
        return (self.normalise(batch.images),)

    @abstractmethod
    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """What the network is to produce for this (already augmented) batch, in float32, on the batch's device."""

    @abstractmethod
    def losses(self, outputs: Any, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted scalars by name, those in `terms`."""

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """The weight of each loss term; training minimises the weighted sum."""
        return self.recipe.loss_weights

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the loss terms that are to be computed: those with a weight, and those to be monitored."""
        weighted = [name for name, weight in self.recipe.loss_weights.items() if weight > 0]
        return tuple(dict.fromkeys([*weighted, *self.recipe.monitor]))

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) images in [0, 1] as the network wants them: zero mean and unit standard deviation each."""
        mean, sd = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
        return (images - mean) / sd.clamp_min(1e-6)

    # ---- given --------------------------------------------------------------------------------------------------

    def fit(self, train: CaseSet, validation: CaseSet | None = None, run: Run = Run()) -> pd.DataFrame:
        """Train the network; afterwards it holds the weights that were best on the validation cases, or the last ones without any.

        Raises DataError where the cases do not fit the method, or `run.folder` holds another run.
        """
        validation = validation or None
        self.prepare(train, validation, keep_shapes=run.fine_tune)
        if not run.fine_tune:
            with torch.random.fork_rng([]):
                torch.manual_seed(run.seed)
                self.network = self.build()
        parts = (self.name, self.anatomy, self.size, self.recipe, train.fingerprint(), validation and validation.fingerprint())
        identity = repr(parts)
        if run.fine_tune:  # from other weights it is another run
            identity += _digest(self.state())
        validate = None if validation is None else lambda: validation_error(self, validation)
        history = train_network(self, Batch.of(train), self.recipe.training, run, identity, validate)
        self.choose_noise(validation)
        self.calibrate(validation)
        self.learn_usual(train, validation)
        return history

    def calibrate(self, validation: CaseSet | None) -> None:
        """What is fitted to validation cases after the training; by default nothing."""

    @property
    def device(self) -> torch.device:
        """Where the network is; predictions are made there."""
        return next(self.network.parameters(), torch.empty(0)).device

    @property
    def parameters(self) -> int:
        """Number of trained weights."""
        return parameter_count(self.network)

    def state(self) -> dict[str, Tensor]:
        """What was learned, the network's weights included, as tensors."""
        return super().state() | {f"network.{key}": value for key, value in self.network.state_dict().items()}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        super().set_state(state)
        weights = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        self.network.load_state_dict(weights)
        self.network.eval()


def _digest(state: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(b"".join(value.detach().cpu().numpy().tobytes() for value in state.values())).hexdigest()
