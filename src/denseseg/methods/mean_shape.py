"""The baseline every table starts with: the mean training shape, whatever the image shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pandas as pd
from torch import Tensor

from denseseg.cases.case_set import CaseSet
from denseseg.methods.method import Method, Recipe
from denseseg.prediction import Prediction
from denseseg.training.settings import Run


class MeanShape(Method):
    """Predicts the template's landmarks for every image."""

    name = "mean_shape"
    title = "Mean shape"
    recipes: ClassVar[Mapping[str, Recipe]] = {"default": Recipe()}

    def fit(self, train: CaseSet, validation: CaseSet | None = None, run: Run = Run()) -> pd.DataFrame:
        self.prepare(train, validation, keep_shapes=run.fine_tune)
        self.learn_usual(train, validation)
        return pd.DataFrame()

    def predict(self, images: Tensor) -> list[Prediction]:
        return [Prediction(self.anatomy, self.fitted_template.points.copy()) for _ in images]
