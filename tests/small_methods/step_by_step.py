"""A method that moves a start shape step by step: in training from random starts, in prediction from the mean shape."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass
from torch import nn

from denseseg.augment import Augmentation
from denseseg.errors import STRICT
from denseseg.geometry.warp import sample
from denseseg.methods import NetworkMethod, NetworkRecipe, register
from denseseg.prediction import Prediction
from denseseg.training.settings import Adam, Steps, TrainingSettings

SLIGHT = Augmentation(rotation=5, translation=0.05, scale=0.05)


class Mover(nn.Module):
    """Images (B, 1, H, W) and points (B, N, 2) -> the points after one step."""

    def __init__(self, landmarks: int, channels: tuple[int, ...]):
        super().__init__()
        pairs = zip((1, *channels), channels, strict=False)
        self.look = nn.Sequential(*(m for a, b in pairs for m in (nn.Conv2d(a, b, 5, padding=4, dilation=2), nn.ReLU())))
        width = landmarks * (channels[-1] + 2) + 64 * channels[-1]
        self.move = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 2 * landmarks))
        nn.init.zeros_(self.move[-1].weight)  # the first step leaves the points where they are
        nn.init.zeros_(self.move[-1].bias)

    def forward(self, images, points):
        features = self.look(images)
        seen = sample(features, points[:, :, None].to(features), padding="border")[..., 0].mT  # (B, N, features)
        whole = nn.functional.adaptive_avg_pool2d(features, 8).flatten(1)
        scale = max(images.shape[-2:])
        places = (points - points.mean(1, keepdim=True)) / scale
        moved = self.move(torch.cat([torch.cat([seen, places.to(seen)], -1).flatten(1), whole], 1)).unflatten(1, (-1, 2))
        return points + scale / 10 * moved


@dataclass(frozen=True, config=STRICT)
class StepRecipe(NetworkRecipe):
    """steps: how often the shape is moved when an image is predicted."""

    steps: PositiveInt = 3


@register
class StepByStep(NetworkMethod):
    """The network sees the image where the points are now, and says where they should go."""

    name, title = "step_by_step", "Step by step"
    recipes = {
        "default": StepRecipe(
            training=TrainingSettings(length=Steps(4000), batch_size=4, optimiser=Adam(5e-3), augmentation=SLIGHT),
            loss_weights={"distance": 1.0},
            channels=(8, 16),
        )
    }

    def build(self):
        return Mover(self.anatomy.n_landmarks, self.recipe.channels)

    def _start(self, like):
        return torch.as_tensor(self.fitted_template.points).to(like)

    def inputs(self, batch, rng):
        shift = 0.05 * self.size[0] * torch.randn(len(batch), 1, 2, generator=rng)
        return self.normalise(batch.images), self._start(batch.landmarks) + shift.to(batch.landmarks)

    def targets(self, batch):
        return {"landmarks": batch.landmarks}

    def losses(self, outputs, targets):
        return {"distance": (outputs.float() - targets["landmarks"]).abs().nanmean()}

    @torch.no_grad()
    def predict(self, images):
        images = self.normalise(images.to(self.device))
        points = self._start(images).expand(len(images), -1, -1)
        for _ in range(self.recipe.steps):
            points = self.network(images, points)
        return [Prediction(self.anatomy, one) for one in points.double().cpu().numpy()]
