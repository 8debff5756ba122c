"""The study of the spatial-configuration loss: its exact part against closed forms, the rest on toy trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.batch import Batch
from denseseg.heatmaps import laplace_heatmaps
from denseseg.losses import FeatureMap, feature_maps, spatial_embedding
from denseseg.methods import create
from denseseg.phantom import hand_phantom
from denseseg.studies import spatial_loss
from denseseg.studies.spatial_loss import (
    BOTH,
    PLAIN,
    SMALL,
    VARIANTS,
    Trials,
    predicted_share,
    signal_left,
    spot_share,
    summary,
    table,
    term_sizes,
)
from denseseg.training.settings import Steps

CARTESIAN = (FeatureMap.X, FeatureMap.Y)


@settings(deadline=None, max_examples=15)
@given(st.floats(8, 14), st.floats(1.5, 20))
def test_the_share_of_the_softmax_is_that_of_the_integral_where_the_top_is_wider_than_a_pixel(width, top):
    size, beta = (320, 320), width / top  # near its top the softmax falls by e within this many pixels
    assert spot_share(size, width, beta) == pytest.approx(predicted_share(size, width, beta), rel=0.02)


def test_the_share_of_the_integral_goes_from_0_to_1_with_beta():
    assert [predicted_share((800, 640), 20.0, beta) for beta in (0.0, 1000.0)] == [0.0, 1.0]
    for beta in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not negative"):
            predicted_share((800, 640), 20.0, beta)


def test_at_the_papers_size_beta_10_leaves_a_narrow_spot_on_the_background_and_a_wide_one_not():
    assert spot_share((800, 640), 3.0, 10.0) < 0.1
    assert 0.5 < spot_share((800, 640), 20.0, 10.0) < 0.7
    assert spot_share((800, 640), 20.0, 1.0) < 0.01
    assert spot_share((800, 640), 3.0, 20.0) > 0.98


def test_an_embedding_is_the_share_times_the_place():
    size, point, width, beta = (65, 81), torch.tensor([[[50.0, 30.0]]]), 2.0, 7.0
    maps = feature_maps(CARTESIAN, size)
    found = spatial_embedding(laplace_heatmaps(point, size, width), maps, beta)[0, 0]
    torch.testing.assert_close(found, spot_share(size, width, beta) * maps[:, 30, 50], atol=5e-3, rtol=0)
    left = signal_left(point, size, width, beta, CARTESIAN)
    assert left["embedding"] == pytest.approx(spot_share(size, width, beta), abs=0.02)
    assert left["correlation"] == pytest.approx(left["embedding"] ** 2, rel=1e-3)  # one landmark: C is a square


def test_a_soft_softmax_makes_the_second_term_quiet():
    hands = hand_phantom(2, (64, 48), seed=0)
    torch.manual_seed(0)
    method = create("spatial_configuration_loss", hands.anatomy, (64, 48), "paper", channels=(4, 8))
    soft, _, sharp, *_ = term_sizes(method, torch.zeros(2, 37, 64, 48), Batch.of(hands))
    assert (soft["beta"], sharp["beta"]) == (1, 10)
    assert soft["heatmap"] == sharp["heatmap"]
    assert 0 < soft["gradient_ratio"] < 0.1 * sharp["gradient_ratio"]
    assert method.recipe.beta == 10  # left as it was


def test_a_trial_is_made_once_and_its_numbers_make_a_table(tmp_path, monkeypatch):
    few = {name: VARIANTS[name] for name in (PLAIN, BOTH, "polar")}
    monkeypatch.setattr(spatial_loss, "VARIANTS", few)
    hands = hand_phantom(8, (64, 48), seed=0)
    recipe = SMALL.changed(training=replace(SMALL.training, length=Steps(2)), channels=(4, 8))
    trials = Trials(hands[:4], hands[4:], recipe, tmp_path)
    first = trials.errors(PLAIN, 0)
    assert first.shape == (4, 37)
    np.testing.assert_allclose(trials.errors(PLAIN, 0), first, rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["U--Net_0"]
    results = trials.results((0, 1))
    assert list(results["rows"]) == list(few)
    assert results["rows"][PLAIN] == pytest.approx(summary(first))
    seed = results["seeds"]["1"]
    assert seed["difference_mean"] == pytest.approx(seed["first"] - seed["second"])
    assert results["gain_mm"]["mean"] == pytest.approx(
        np.mean([one["difference_mean"] for one in results["seeds"].values()]), abs=1e-9
    )
    lines = table({"small": results}).splitlines()
    assert len(lines) == 2 + 2 + len(few)
    assert BOTH in lines[0]


def test_the_summary_counts_what_lies_beyond():
    numbers = summary(np.array([[1.0, 3.0], [5.0, 11.0]]))
    assert numbers["mean"] == 5
    assert (numbers["beyond_2"], numbers["beyond_4"], numbers["beyond_10"]) == (75, 50, 25)
