"""How much do the other structures tell? A linear prediction of each structure from the *true* landmarks of the others.

This is no method: it looks at no image, and it is given what a method has to find. It is a yardstick beside the mean shape. What it
explains, anatomy has settled; a network that does not do better has learned shapes and not to look.
"""

from __future__ import annotations

import numpy as np

from denseseg.anatomy import Anatomy
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.shape_model import ShapeModel, fit_shape_model
from denseseg.prediction import Prediction

TITLE = "Linear shape (from the true others)"  # in tables, so that nobody takes it for a method


def predict_from_others(train: CaseSet, cases: CaseSet) -> list[Prediction]:
    """A prediction for each case, as `evaluate` takes it: each structure from the case's own true landmarks of all others.

    The shape model is that of the training cases. Its conditional mean is a ridge regression on the modes, whose penalty is the
    model's cross-validated residual. Raises DataError where the two sets differ in size or anatomy.
    """
    if train.anatomy != cases.anatomy or {case.size for case in train} != {case.size for case in cases}:
        raise DataError(f"{train.name} and {cases.name} differ in anatomy or size; take both from one split of one data set")
    model = fit_shape_model(train.landmarks)
    return [Prediction(cases.anatomy, from_others(case.landmarks, model, cases.anatomy)) for case in cases]


def from_others(landmarks: np.ndarray, model: ShapeModel, anatomy: Anatomy) -> np.ndarray:
    """(N, 2) pixels: where each structure is expected, given the (N, 2) landmarks of the others; NaN among them take no part.

    With no other landmark at hand a structure is where the mean shape has it.
    """
    mean = model.mean.reshape(-1, 2)
    expected = mean.copy()
    for where in anatomy.slices.values():
        hidden = np.zeros(len(landmarks), bool)
        hidden[where] = True
        others = np.where(hidden[:, None], np.nan, landmarks)
        guess = model.posterior(others, 0.0, hidden).points[where]
        expected[where] = np.where(np.isfinite(guess), guess, mean[where])
    return expected
