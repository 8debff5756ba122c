"""Curves over the number of training images, from records whose numbers are known."""

from __future__ import annotations

import math

import pytest
from records import box_record

from denseseg.studies.few_shot import few_shot
from denseseg.training.settings import Steps


def run(value: float, train_size: int | None = None, draw: int | None = None, method: str = "mean_shape", **changes):
    """A record with this mean error."""
    record = box_record()
    spec = record.spec.model_copy(update={"method": method, "train_size": train_size, "draw": draw} | changes)
    tre = record.metrics["average"]["tre"].model_copy(update={"mean": value})
    return record.model_copy(update={"spec": spec, "metrics": {"average": {"tre": tre}}})


def test_draws_are_averaged_and_the_run_with_all_images_ends_the_curve():
    table = few_shot([run(9.0, 2, 0), run(7.0, 2, 1), run(5.0)])
    assert table["images"].tolist() == [2, 6]  # the toy set has six to learn from
    assert table["mean"].tolist() == [8.0, 5.0] and table["draws"].tolist() == [2, 1]
    assert table.loc[0, "sd"] == pytest.approx(math.sqrt(2)) and (table.loc[0, "lowest"], table.loc[0, "highest"]) == (7.0, 9.0)


def test_folds_of_a_draw_are_one_number():
    folds = [run(value, 2, 0, split="folds", fold=fold) for fold, value in enumerate((1.0, 2.0, 6.0))]
    (row,) = few_shot(folds).to_dict("records")
    assert (row["mean"], row["draws"]) == (3.0, 1) and math.isnan(row["sd"])


def test_what_is_another_comparison_stays_out():
    other = run(1.0, method="denseseg")  # never with few images
    bent = run(1.0, 2, 0, options={"shape_prior": 0.0})
    assert few_shot([run(9.0, 2, 0), other, bent])[["method", "mean"]].to_numpy().tolist() == [["Mean shape", 9.0]]
    assert few_shot([]).empty


def test_a_curve_is_of_one_budget():
    table = few_shot([run(9.0, 2, 0, budget=Steps(5)), run(7.0, 2, 0), run(5.0, budget=Steps(5))])
    assert table[["budget", "images", "mean"]].to_numpy().tolist() == [["", 2, 7.0], ["5 steps", 2, 9.0], ["5 steps", 6, 5.0]]


def test_splits_have_curves_of_their_own_and_other_sizes_have_none():
    table = few_shot([run(9.0, 2, 0), run(1.0, 2, 0, split="folds", fold=0), run(5.0, 2, 0, size=(64, 64))])
    assert table[["split", "mean", "draws"]].to_numpy().tolist() == [["folds", 1.0, 1], ["paper", 9.0, 1]]
