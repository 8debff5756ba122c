"""Quality control: landmarks that enclose something else than the mask are at the top of the list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from circles import LANDMARKS, TWO, make_case

from denseseg.cases.masks import true_masks
from denseseg.evaluation.mask_agreement import THRESHOLDS, mask_agreement


def masked(**changes):
    return replace(make_case(), masks=true_masks(make_case()), **changes)


def test_landmarks_on_their_masks_agree():
    table = mask_agreement([masked()])
    assert table["structure"].tolist() == TWO.names and (table["dice"] == 1).all()


def test_a_planted_shift_is_found_and_the_worst_comes_first():
    shifted = LANDMARKS.copy()
    shifted[TWO.slices["single"]] += [6, 0]
    shifted[TWO.slices["left"]] += [1, 0]
    table = mask_agreement([masked(), masked(id="bad", landmarks=shifted)])
    assert table.loc[0, ["case", "structure"]].tolist() == ["bad", "single"]
    assert table["dice"].is_monotonic_increasing
    radius, step = 12, 6  # of the circle, and between the two of them: the share of each that the other covers
    lens = 2 * radius**2 * np.arccos(step / (2 * radius)) - step / 2 * np.sqrt(4 * radius**2 - step**2)
    assert table.loc[0, "dice"] == pytest.approx(lens / (np.pi * radius**2), abs=0.02)
    assert table[table["dice"] < min(THRESHOLDS)]["case"].tolist() == ["bad"]


def test_one_of_the_two_alone_is_no_agreement_and_neither_is_left_out():
    masks, landmarks = true_masks(make_case()), LANDMARKS.copy()
    landmarks[TWO.slices["left"]] = landmarks[TWO.slices["right"]] = np.nan
    masks[1] = False
    table = mask_agreement([replace(make_case(), masks=masks, landmarks=landmarks)])
    assert table.to_numpy().tolist() == [["a", "left", 0.0], ["a", "single", 1.0]]
