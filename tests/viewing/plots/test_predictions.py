"""Pictures of predictions, with and without landmarks."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from skimage.io import imread
from toy import TOY

from denseseg.errors import DataError
from denseseg.prediction import Prediction
from denseseg.viewing import plots


def test_overlay_writes_a_png_and_says_what_is_wrong(toy, tmp_path):
    path = plots.overlay(toy.case.image, toy.prediction, tmp_path / "overlay.png")
    assert imread(path).ndim == 3
    assert not plt.get_fignums()
    with pytest.raises(DataError, match="choose a folder"):
        plots.overlay(toy.case.image, toy.prediction, tmp_path / "none" / "overlay.png")


def test_prediction_names_what_was_not_found(toy):
    lost = toy.prediction.landmarks.copy()
    lost[20] = np.nan
    assert plots.show_prediction(toy.case.image, toy.prediction, toy.case).get_title(loc="left").endswith("case toy-1")
    ax = plots.show_prediction(toy.case.image, Prediction(TOY, lost), toy.case)
    assert ax.get_title(loc="left").endswith("not found: bar")


def test_a_prediction_without_landmarks_shows_its_masks_and_the_truth(toy, tmp_path):
    masks = toy.valid.copy()
    masks[1] = False
    prediction = Prediction(TOY, None, masks)
    ax = plots.show_prediction(toy.case.image, prediction, toy.case, ellipses=True)
    assert ax.get_title(loc="left").endswith("not found: bar")
    assert [len(dots.get_offsets()) for dots in ax.collections if dots.get_offsets().shape[0] > 1] == [28]  # the truth alone
    assert plots.overlay(toy.case.image, prediction, tmp_path / "overlay.png").is_file()
