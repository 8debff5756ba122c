"""ShapeFormer: a start shape is moved onto the image, all landmarks at once (Keuth and Heinrich 2024, as compared in the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError, checked, explained
from denseseg.geometry.contour import on_device
from denseseg.geometry.frame import Size
from denseseg.geometry.warp import sample
from denseseg.methods import inference
from denseseg.methods.method import Recipe
from denseseg.methods.network_method import OURS, VIEWS, NetworkMethod, NetworkRecipe
from denseseg.networks.shapeformer import STRIDE, DilatedResNet, PointTransformer
from denseseg.prediction import Prediction
from denseseg.training.settings import Adam


@checked
class ShapeFormerRecipe(NetworkRecipe):
    """Options of ShapeFormer.

    channels: of the backbone's two stages (64 and 128 in ResNet18). blocks: of the PointTransformer. neighbours: points that each
    point looks at. start_shapes: training shapes that are moved when an image is predicted; the results are averaged. through_mean:
    the network predicts what is left of the displacement once the start shape has been moved to the mean shape.
    backbone: a safetensors file of an ImageNet ResNet18 with torchvision's names, or None for random first weights.
    Loss term: distance.
    """

    channels: tuple[PositiveInt, PositiveInt] = (64, 128)
    blocks: PositiveInt = 3
    neighbours: PositiveInt = 16
    start_shapes: PositiveInt = 8
    through_mean: bool = True
    backbone: str | None = None


UNIT = 0.1  # image heights: the PointTransformer's unit of length, about that of displacements and of distances of neighbours

PAPER = ShapeFormerRecipe(through_mean=False, training=OURS.changed(optimiser=Adam(3e-3)), loss_weights={"distance": 1.0})
DEFAULT = PAPER.changed(through_mean=True, shape_prior=1 / 128, test_time_views=VIEWS)


class ShapeRegressor(nn.Module):
    """Images (B, 1, H, W) and S start shapes for each (B, S, N, 2), pixels -> where the step takes them, as many, in float32.

    mean_shape: (N, 2) pixels, to be set before the training.
    """

    mean_shape: Tensor

    def __init__(self, landmarks: int, recipe: ShapeFormerRecipe):
        super().__init__()
        self.backbone = DilatedResNet(recipe.channels)
        features = recipe.channels[0]
        self.transformer = PointTransformer(landmarks, features + 2, features, recipe.blocks, recipe.neighbours)
        self.through_mean = recipe.through_mean
        self.register_buffer("mean_shape", torch.zeros(landmarks, 2))

    def forward(self, images: Tensor, starts: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        seen = sample(self.backbone(images).float(), starts / STRIDE, padding="border").permute(0, 2, 3, 1)  # (B, S, N, F)
        centre = on_device(np.array([width - 1, height - 1], np.float32) / 2, starts)
        places = (starts - centre) / height
        displacement = self.transformer(torch.cat([seen, 2 * places], -1).flatten(0, 1), (places / UNIT).flatten(0, 1))
        origin = self.mean_shape.expand_as(starts) if self.through_mean else starts
        return origin + UNIT * height * displacement.view_as(starts).float()


class ShapeFormer(NetworkMethod):
    """A network looks at the image where a start shape lies, a training shape drawn at random, and says where each landmark
    should go.

    Recipes: "default" (ours, with views and the shape prior), "one_start" (ours, from a single start shape), "paper" (displacements
    from the start shape itself). But for "one_start", the results of eight start shapes are averaged, as in the published
    evaluation.

    The paper gives the layers, but neither loss, optimiser nor epochs, nor how many blocks the PointTransformer has. Ours are ours:
    the mean absolute error, DenseSeg's training with larger steps, three blocks, features for each landmark of its own. So is the
    way through the mean shape, without which a network has to learn first to take off the start shape's own place. The published
    backbone begins with ImageNet's weights; without a file of them (`backbone`) it begins with random ones.
    """

    name = "shapeformer"
    title = "ShapeFormer"
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": DEFAULT,
        "one_start": DEFAULT.changed(start_shapes=1),
        "paper": PAPER,
    }
    recipe: ShapeFormerRecipe
    network: ShapeRegressor
    imagenet: Mapping[str, Tensor] | None = None  # read when training begins: weights files are complete without it

    def __init__(self, anatomy: Anatomy, size: Size, recipe: ShapeFormerRecipe):
        super().__init__(anatomy, size, recipe)
        self.starts = torch.empty(0, anatomy.n_landmarks, 2)

    def build(self) -> ShapeRegressor:
        network = ShapeRegressor(self.anatomy.n_landmarks, self.recipe)
        if self.template is not None:
            network.mean_shape.copy_(torch.as_tensor(self.template.points))
        if self.imagenet is not None:
            load_backbone(network.backbone, self.imagenet, str(self.recipe.backbone))
        return network

    def learn_constants(self, train: CaseSet) -> None:
        """Keep the training shapes; what a shape lacks is inferred from the rest of it, so that it can be a start."""
        marked = [points for points in train.landmarks if np.isfinite(points).any()]
        whole = [self.fitted_shape_model.posterior(p, 0.0, np.isnan(p).any(-1)).points for p in marked]
        self.starts = torch.as_tensor(np.stack(whole), dtype=torch.float32)
        if self.recipe.backbone is not None:
            self.imagenet = read_backbone(self.recipe.backbone)

    def inputs(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, ...]:
        chosen = torch.randint(len(self.starts), (len(batch), 1), generator=rng)
        return self.normalise(batch.images), self.starts[chosen].to(batch.images)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        return {"landmarks": batch.landmarks}

    def losses(self, outputs: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mean absolute error of the known coordinates, percent of the image height."""
        true = targets["landmarks"][:, None].expand_as(outputs)
        known = torch.isfinite(true)
        error = (outputs - true.nan_to_num(0.0)).abs() * known
        return {"distance": 100 / self.size[0] * error.sum() / known.sum().clamp_min(1)}

    @torch.no_grad()
    def moved(self, images: Tensor, starts: Tensor) -> Tensor:
        """(B, S, N, 2): where the network moves each of S start shapes (S, N, 2) in each of (B, 1, H, W) images, pixels."""
        images = self.normalise(images.to(self.device))
        return self.network(images, starts.to(images).expand(len(images), -1, -1, -1))

    @property
    def start_shapes(self) -> Tensor:
        """(S, N, 2) pixels: the training shapes that predictions start from, always the same ones."""
        if not len(self.starts):
            raise DataError(f"{self.name} has no start shapes yet; train it or load its weights first")
        order = torch.randperm(len(self.starts), generator=torch.Generator().manual_seed(0))
        return self.starts[order[: self.recipe.start_shapes]]

    def predict(self, images: Tensor) -> list[Prediction]:
        def mean_shapes(view: Tensor) -> Tensor:
            return self.moved(view, self.start_shapes).double().mean(1)

        points = inference.average_points_over_views(mean_shapes, images.to(self.device), self.recipe.test_time_views).cpu().numpy()
        nobody, noise = np.zeros(self.anatomy.n_landmarks, bool), self.landmark_noise
        return [
            inference.apply_shape_prior(Prediction(self.anatomy, one), self.fitted_shape_model, noise, nobody) for one in points
        ]

    def state(self) -> dict[str, Tensor]:
        return super().state() | {"starts": self.starts}

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.starts = state["starts"]


def read_backbone(path: str) -> dict[str, Tensor]:
    """The tensors of a ResNet18 by torchvision's names, from a safetensors file. Raises DataError."""
    from safetensors.torch import load_file

    if not Path(path).exists():
        raise DataError(f"{path} is missing; correct the option backbone, or leave it out to begin with random weights")
    fix = "write the weights with safetensors.torch.save_file; files of torch.save are not read, since they may run code"
    with explained(f"{path} is no safetensors file", fix):
        return load_file(path)


def load_backbone(backbone: DilatedResNet, weights: Mapping[str, Tensor], source: str) -> None:
    """Give a backbone the weights of a ResNet18, all but those of its dilated convolutions.

    The first convolution's three colours are added up: what a grey image in each of them would do. Raises DataError where weights
    are missing or of another width.
    """
    own = {name: value for name, value in backbone.state_dict().items() if not name.startswith("dilated.")}
    missing = sorted(own.keys() - weights.keys())
    if missing:
        raise DataError(f"{source} lacks {missing[0]}; give the weights of a ResNet18 with torchvision's names")
    given = {name: weights[name] for name in own}
    given["conv1.weight"] = given["conv1.weight"].sum(1, keepdim=True)
    with explained(f"{source} does not fit", "a ResNet18 needs the recipe's full width, channels (64, 128)", RuntimeError):
        backbone.load_state_dict(given, strict=False)
