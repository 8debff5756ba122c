"""The study in three dimensions: parts and tiles of volumes, the objective, scores, and a network that learns one volume."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.heatmaps import gaussian_heatmaps
from denseseg.networks.localization import LearnedWidths
from denseseg.phantom.spine import NAMES, SIZE, spine_phantom
from denseseg.studies.spine_3d import (
    ALPHA,
    FIRST_SIGMA,
    GAMMA,
    NETWORKS,
    TILE,
    Scale,
    appearance_alone,
    best_threshold,
    objective,
    part_along_z,
    peaks,
    read,
    relative_heatmaps,
    score,
    study,
    table,
    tile_starts,
    tiled,
    train,
    trained_and_measured,
    volumes_and_landmarks,
)


@pytest.fixture(scope="module")
def spines() -> tuple[torch.Tensor, torch.Tensor]:
    return volumes_and_landmarks(spine_phantom(3, seed=7))


# ---- parts and tiles ------------------------------------------------------------------------------------------------


def test_volumes_are_scaled_and_landmarks_kept(spines):
    volumes, landmarks = spines
    assert volumes.shape == (3, 1, *SIZE)
    assert landmarks.shape == (3, len(NAMES), 3)
    assert -1 <= volumes.min() < -0.5 < 0.5 < volumes.max() <= 1


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, SIZE[0] - TILE))
def test_a_part_shows_the_same_landmarks_on_the_same_voxels(start):
    coordinates = torch.arange(SIZE[0], dtype=torch.float32)[None, None, :, None, None].expand(1, 1, *SIZE)
    landmarks = torch.tensor([[[4.0, 5.0, float(z)] for z in range(-1, SIZE[0])]])
    part, moved = part_along_z(coordinates, landmarks, start)
    there = torch.isfinite(moved).all(-1)[0]
    assert part.shape[2] == TILE
    assert int(there.sum()) == TILE
    assert part[0, 0, moved[0, there, 2].long(), 5, 4].tolist() == landmarks[0, there, 2].tolist()


@given(depth=st.integers(1, 200), tile=st.integers(2, 64), share=st.floats(0, 0.99))
def test_tiles_cover_every_slice_and_overlap(depth, tile, share):
    overlap = int(share * tile)
    starts = tile_starts(depth, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + min(tile, depth) == depth
    assert all(0 < b - a <= tile - overlap for a, b in pairwise(starts))


@pytest.mark.parametrize("depth", [20, 32, 48, 71])
def test_tiles_of_what_looks_at_single_voxels_are_the_whole(depth):
    volumes = torch.rand(2, 1, depth, 3, 4)
    torch.testing.assert_close(tiled(lambda v: torch.cat([v, -3 * v], 1), volumes), torch.cat([volumes, -3 * volumes], 1))


def test_where_tiles_overlap_the_greater_response_wins():
    answers = iter((5.0, -1.0))
    merged = tiled(lambda v: torch.full_like(v, next(answers)), torch.zeros(1, 1, 48, 2, 2), tile=32, overlap=16)
    assert merged[0, 0, :, 0, 0].tolist() == [5.0] * 32 + [-1.0] * 16


# ---- the objective --------------------------------------------------------------------------------------------------


def test_targets_of_all_widths_hold_the_same_sum():
    sigma = torch.tensor([0.8, 1.5, 2.5])
    targets = gaussian_heatmaps(torch.full((1, 3, 3), 15.0), (31, 31, 31), sigma, peaks(sigma))
    torch.testing.assert_close(targets.sum((2, 3, 4))[0], torch.full((3,), GAMMA), rtol=2e-3, atol=0)


def test_perfect_heatmaps_cost_their_widths_alone_and_absent_landmarks_must_stay_dark():
    sigma, landmarks = torch.tensor([1.5, 2.0]), torch.tensor([[[9.0, 8.0, 7.0], [math.nan] * 3]])
    perfect = gaussian_heatmaps(landmarks, (16, 16, 16), sigma, peaks(sigma))
    widths = ALPHA * 1.5**2  # of the landmark that is there
    assert float(objective((perfect, sigma), landmarks)) == pytest.approx(widths)
    bright = perfect + torch.tensor([0.0, 0.5])[:, None, None, None]
    assert float(objective((bright, sigma), landmarks)) == pytest.approx(widths + 0.25 * 16**3)


def test_widths_begin_where_a_network_that_finds_nothing_leaves_them():
    landmark, nothing = torch.full((1, 1, 3), 15.0), torch.zeros(1, 1, 31, 31, 31)
    costs = {factor: float(objective((nothing, torch.tensor([factor * FIRST_SIGMA])), landmark)) for factor in (0.9, 1.0, 1.1)}
    assert min(costs, key=costs.__getitem__) == 1.0


# ---- reading and scores ---------------------------------------------------------------------------------------------


def test_a_score_in_millimetres_and_names():
    true = np.array([[[5.0, 5, 5], [5, 5, 11], [np.nan] * 3]])
    points = np.array([[[5.0, 5, 6], [5, 5, 6], [9, 9, 9]]])  # one voxel off; nearer to the first one; never there
    found = score(points, true)
    assert (found["mean_mm"], found["median_mm"], found["mean_voxels"]) == (15.0, 15.0, 3.0)
    assert (found["identified"], found["landmarks"], found["id_rate_percent"]) == (1, 2, 50.0)


def test_the_threshold_parts_present_from_absent():
    height, present = np.array([[0.9, 0.7, 0.1, 0.3]]), np.array([[True, True, False, False]])
    assert best_threshold(height, present) == 0.7
    assert best_threshold(height, ~present) in (0.1, 0.3, 0.7, 0.9)


class Known(torch.nn.Module):
    """A network whose components are known."""

    def __init__(self, *components: torch.Tensor):
        super().__init__()
        self.answer = components

    def components(self, volumes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.answer


@pytest.mark.parametrize("sign", [1, -1])
def test_local_appearance_is_read_with_its_sign_turned_to_the_product(sign):
    """Two places look alike, the wrong one a little more so; configuration is sure of the other."""
    places = torch.tensor([[[4.0, 5.0, 6.0]], [[4.0, 5.0, 20.0]]])
    right, wrong = gaussian_heatmaps(places, (28, 10, 10), 1.5, 1.0)
    network = Known(sign * (right + 1.2 * wrong)[None], sign * gaussian_heatmaps(places[:1], (28, 10, 10), 5.0))
    points, _ = read(appearance_alone(network), torch.zeros(1, 1, 28, 10, 10))
    assert points.tolist() == [[[4.0, 5.0, 20.0]]]


# ---- training -------------------------------------------------------------------------------------------------------


def test_a_small_network_learns_one_volume_to_the_voxel(spines):
    volumes, landmarks = part_along_z(spines[0][:1], spines[1][:1], start=8, depth=16)
    volumes, landmarks = volumes[..., :12, 1:13], landmarks - torch.tensor([1.0, 0.0, 0.0])
    torch.manual_seed(0)
    network = LearnedWidths(NETWORKS["Localization U-Net"](Scale(features=8, levels=2)), len(NAMES), FIRST_SIGMA)
    losses = train(network, volumes, landmarks, steps=150)
    assert np.mean(losses[-10:]) < losses[0]
    points, height = read(relative_heatmaps(network), volumes)
    true = landmarks.double().numpy()
    known = np.isfinite(true[..., 0])
    assert np.abs(points - true)[known].max() <= 1.0
    assert height[known].min() > height[~known].max()


def test_a_study_of_two_short_trainings_makes_a_record_and_a_table():
    scale = Scale(train=2, test=2, steps=2, features=2, levels=2)
    record = study({name: trained_and_measured(name, scale) for name in NETWORKS}, scale, notes="quick")
    assert record.toy
    assert set(record.results) == set(NETWORKS)
    assert record.results["SCN"]["tiles"]["landmarks"] == record.results["Localization U-Net"]["tiles"]["landmarks"]
    assert np.shape(record.results["SCN"]["first_volume"]) == (len(NAMES), 3)
    text = table(record.results)
    assert "| SCN | local appearance alone |" in " ".join(text.split())
