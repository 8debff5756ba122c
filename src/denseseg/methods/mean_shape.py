"""The baseline every table starts with: the mean training shape, whatever the image shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from denseseg.methods.method import Method, Recipe
from denseseg.prediction import Prediction


class MeanShape(Method):
    """Predicts the template's landmarks for every image."""

    name = "mean_shape"
    recipes: ClassVar[Mapping[str, Recipe]] = {"default": Recipe()}

    def predict(self, images: Tensor) -> list[Prediction]:
        return [Prediction(self.anatomy, self.fitted_template.points.copy()) for _ in images]
