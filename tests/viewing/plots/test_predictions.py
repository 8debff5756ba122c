"""Pictures of predictions, with and without landmarks."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from skimage.io import imread
from toy import TOY

from denseseg import chest_phantom, evaluate
from denseseg.errors import DataError
from denseseg.prediction import Prediction
from denseseg.viewing import plots


def test_overlay_writes_a_png_and_says_what_is_wrong(toy, tmp_path):
    path = plots.overlay(toy.case.image, toy.prediction, tmp_path / "overlay.png")
    assert imread(path).ndim == 3
    assert not plt.get_fignums()
    assert imread(plots.overlay(toy.case.image, toy.prediction, tmp_path / "new" / "overlay")).ndim == 3  # a PNG
    with pytest.raises(DataError, match=r"overlay\.xyz cannot be written .*; choose a folder that is writable, and an ending such"):
        plots.overlay(toy.case.image, toy.prediction, tmp_path / "overlay.xyz")
    with pytest.raises(DataError, match=r"cannot be written .*; choose a folder"):
        plots.overlay(toy.case.image, toy.prediction, path / "overlay.png")
    assert not plt.get_fignums()


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


def test_best_median_and_worst_are_those_of_the_first_method_and_the_rows_tell_each_methods_errors():
    cases = chest_phantom(4, (48, 48))
    results = {}
    for title, shifts in (("ours", (3, 1, 4, 2)), ("theirs", (1, 2, 3, 4))):  # pixels
        predictions = [Prediction(case.anatomy, case.landmarks + [s, 0]) for case, s in zip(cases, shifts, strict=True)]
        results[title] = (cases, predictions, evaluate(predictions, cases))
    figure = plots.show_best_to_worst(results)
    titles = [re.sub(r"ASD \(one-way\) \d+\.\d, ", "", ax.get_title(loc="left")) for ax in figure.axes]
    assert titles[:3] == [f"{what}: TRE {s * cases[0].spacing:.1f} mm" for what, s in (("best", 1), ("median", 3), ("worst", 4))]
    assert titles[3:] == [f"{what}: TRE {s * cases[0].spacing:.1f} mm" for what, s in (("best", 2), ("median", 1), ("worst", 3))]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["ours", "theirs"]


def test_a_dollar_sign_in_a_name_begins_no_formula(toy, tmp_path):
    case = replace(toy.case, id="a$x^$b", metadata={})
    axes = plots.show_prediction(case.image, toy.prediction, case)
    axes.figure.savefig(tmp_path / "a.png")
    plots.show_case(case).figure.savefig(tmp_path / "b.png")
    plt.close("all")
