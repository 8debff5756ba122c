"""Loss terms, each against its formula; Dice also on two ranks."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import distributed, multiprocessing

from denseseg import losses
from denseseg.anatomy import Anatomy, Structure
from denseseg.heatmaps import laplace_heatmaps

POINTS = Anatomy("points", (Structure("a", 3, "a"), Structure("b", 2, "b")))


def test_uv_loss_is_the_mean_over_valid_pixels():
    uv, valid = torch.zeros(1, 2, 2, 8, 8), torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    valid[:, 0, :4] = True
    off = uv + 0.5
    off[:, :, :, 4:] = 100  # outside, must not count
    expected = 0.5 * (64 * 0.5 / 65)  # structure 0: 64 valid values over count + 1; structure 1 absent: 0
    assert float(losses.uv_l1(off, uv, valid)) == pytest.approx(expected)


def test_landmark_loss_samples_the_map_between_pixels_and_ignores_what_is_outside():
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(20.0), indexing="ij")
    uv = torch.stack([x, y])[None, None].expand(1, 2, 2, 16, 20)
    landmarks = torch.tensor([[[3.25, 4.5], [10.0, 2.75], [50.0, 3.0], [torch.nan, torch.nan], [18.5, 14.5]]])
    targets = torch.tensor([[3.25, 4.5], [10.0, 2.75], [0.0, 0.0], [0.0, 0.0], [18.5, 14.5]])
    assert float(losses.landmark_uv(uv, landmarks, targets, POINTS)) == pytest.approx(0, abs=1e-5)
    assert float(losses.landmark_uv(uv + 1, landmarks, targets, POINTS)) == pytest.approx(1, abs=1e-5)


def test_landmark_loss_reaches_only_the_pixels_around_the_landmarks():
    uv = torch.zeros(1, 2, 2, 16, 16, requires_grad=True)
    landmarks = torch.tensor([[[4.5, 4.5]] * 3 + [[torch.nan] * 2] * 2])
    losses.landmark_uv(uv, landmarks, torch.ones(5, 2), POINTS).backward()
    touched = uv.grad[0, 0, 0].nonzero().tolist()
    assert touched == [[4, 4], [4, 5], [5, 4], [5, 5]]
    assert (uv.grad[0, 1] == 0).all()


def test_total_variation_of_a_ramp_and_of_a_flat_map():
    _, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ramp = torch.stack([0.1 * x, 0.3 * x])[None, None]
    everywhere = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    assert float(losses.total_variation(ramp, everywhere)) == pytest.approx(0.2**2 * 256 / 257, rel=1e-3)
    inside = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    inside[..., 4:12, 4:12] = True
    wild = torch.where(torch.nn.functional.max_pool2d(inside.float(), 3, 1, 1).bool()[:, :, None], ramp, 99 * torch.rand(16, 16))
    assert float(losses.total_variation(wild, inside)) == pytest.approx(0.2**2 * 64 / 65, rel=1e-3)
    flat = torch.zeros(1, 1, 2, 16, 16, requires_grad=True)
    losses.total_variation(flat, everywhere).backward()
    assert torch.isfinite(flat.grad).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_segmentation_losses_fall_towards_the_truth(seed):
    masks = (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) > 0.5).float()
    right, wrong = 8 * (2 * masks - 1), -8 * (2 * masks - 1)
    for term in (losses.bce, losses.dice, lambda a, b: losses.weighted_bce(a, b, torch.tensor([1.0, 5.0, 100.0]))):
        assert term(right, masks) < 0.05 < term(torch.zeros_like(masks), masks) < term(wrong, masks)


def test_the_segmentation_loss_is_dice_with_cross_entropy_or_with_weights_the_papers():
    logits, masks = some_batch()
    weights = torch.tensor([1.0, 5.0, 100.0], dtype=torch.float64)
    assert losses.segmentation(logits, masks) == losses.bce(logits, masks) + losses.dice(logits, masks)
    assert losses.segmentation(logits, masks, weights) == losses.weighted_bce(logits, masks, weights.float())


def test_dice_where_a_structure_is_absent():
    """Claiming as much as the others have costs a half, claiming nothing costs nothing, and the first pixel is cheap.

    And before the structure is found where it is, claiming it elsewhere costs hardly anything.
    """
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, 0, 2:6, 2:6] = 1
    silent = 40 * (2 * masks - 1)
    claims = silent.clone()
    claims[1, 0, :2] = 40.0  # 16 pixels, as many as the other case has
    first = silent.clone()
    first[1, 0, 0, 0] = 40.0
    assert float(losses.dice(silent, masks)) == pytest.approx(0, abs=1e-6)
    assert float(losses.dice(claims, masks)) == pytest.approx(0.5 / 2)
    assert float(losses.dice(first, masks)) == pytest.approx(1 / 17 / 2)
    blind = torch.where(masks > 0, -40.0, claims)
    assert float(losses.dice(blind, masks)) == pytest.approx((1 - 1 / 17 + 1 / 17 * 0.5) / 2)
    nobody = torch.zeros_like(masks, requires_grad=True)
    losses.dice(nobody, torch.zeros_like(masks)).backward()
    assert (nobody.grad == 0).all()
    losses.bce(nobody, torch.zeros_like(masks)).backward()
    assert (nobody.grad > 0).all()  # cross entropy still says: not here


def some_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and masks of four cases with three structures, of which the last two cases lack one each."""
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(4, 3, 8, 8, generator=generator) > 0.6).float()
    masks[2, 0] = masks[3, 1] = 0
    return torch.randn(4, 3, 8, 8, generator=generator), masks


def half_a_batch(rank: int, folder: str) -> None:
    """What one of two ranks does: the loss and the gradient of its own two cases."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    logits, masks = (part[2 * rank : 2 * rank + 2] for part in some_batch())
    loss = losses.dice(logits.requires_grad_(), masks)
    loss.backward()
    torch.save((loss.detach(), logits.grad), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_dice_of_two_halves_on_two_ranks_is_that_of_the_whole(tmp_path: Path):
    multiprocessing.spawn(half_a_batch, (str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    logits, masks = some_batch()
    whole = losses.dice(logits.requires_grad_(), masks)
    whole.backward()
    torch.testing.assert_close((halves[0][0] + halves[1][0]) / 2, whole.detach())
    torch.testing.assert_close(torch.cat([gradient for _, gradient in halves]) / 2, logits.grad)
    alone = [losses.dice(logits[i : i + 2], masks[i : i + 2]) for i in (0, 2)]
    assert abs((sum(alone) / 2 - whole).item()) > 1e-3  # without the other half's statistics it is another


def test_the_sum_of_squares_is_that_of_the_known_landmarks_of_an_image():
    heatmaps = torch.zeros(2, 3, 4, 5)
    off, known = heatmaps + torch.tensor([1.0, 2.0, 3.0])[:, None, None], torch.tensor([[True, True, False], [True, False, False]])
    assert float(losses.heatmap_sse(off, heatmaps, known)) == 20 * (1 + 4 + 1) / 2
    volumes = torch.zeros(1, 1, 2, 3, 4)
    assert float(losses.heatmap_sse(volumes + 1, volumes, torch.ones(1, 1, dtype=torch.bool))) == 24


# ---- how landmarks lie to one another -------------------------------------------------------------------------------

EVERY = tuple(losses.FeatureMap)
CARTESIAN, POLAR = EVERY[:2], EVERY[2:4]


def spots(points: list[tuple[int, int]], size: tuple[int, int]) -> torch.Tensor:
    """Heatmaps (1, N, H, W) of one very bright pixel (x, y) each: the softmax sees nothing else."""
    maps = torch.zeros(1, len(points), *size)
    for n, (x, y) in enumerate(points):
        maps[0, n, y, x] = 100.0
    return maps


def test_feature_maps_are_normalised_and_the_angle_jumps_where_its_cosine_and_sine_do_not():
    maps = losses.feature_maps(EVERY, (24, 32))
    torch.testing.assert_close(maps.mean((1, 2)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.var((1, 2), correction=0), torch.ones(6), atol=1e-3, rtol=0)
    x, y, radius = maps[:3]
    assert (x.diff(dim=1) > 0).all() and (y.diff(dim=0) > 0).all() and radius.argmin() in (11 * 32 + 15, 11 * 32 + 16)
    right, below = (12, 31), (23, 16)  # cosine is large where x is, sine where y is
    assert maps[4, *right] > maps[4, *below] and maps[5, *below] > maps[5, *right]
    jump = (maps[:, 12, 2] - maps[:, 11, 2]).abs()  # two pixels left of the centre, one above the other
    assert jump[3] > 3 and jump[4:].max() < 0.2


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 31), st.integers(0, 23))
def test_the_embedding_of_one_bright_pixel_is_what_the_maps_say_there(x, y):
    maps = losses.feature_maps(EVERY, (24, 32))
    found = losses.spatial_embedding(spots([(x, y)], (24, 32)), maps, beta=10.0)
    torch.testing.assert_close(found[0, 0], maps[:, y, x], atol=1e-5, rtol=1e-5)


def test_an_even_heatmap_is_embedded_in_the_middle_and_an_even_background_only_shrinks():
    maps = losses.feature_maps(EVERY, (24, 32))
    even = losses.spatial_embedding(torch.full((1, 1, 24, 32), 0.3), maps, beta=10.0)
    torch.testing.assert_close(even, torch.zeros(1, 1, 6), atol=1e-5, rtol=0)
    beta, pixel = 5.0, spots([(20, 4)], (24, 32)) / 100
    share = (torch.tensor(beta).exp() - 1) / (torch.tensor(beta).exp() - 1 + 24 * 32)
    torch.testing.assert_close(losses.spatial_embedding(pixel, maps, beta)[0, 0], share * maps[:, 4, 20], atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=2, max_size=5))
def test_turning_or_mirroring_a_square_image_changes_no_cartesian_correlation_but_moving_does(points):
    """Points all on one column change nothing where they are moved to its mirror image."""
    maps = losses.feature_maps(CARTESIAN, (16, 16))

    def correlation(heatmaps: torch.Tensor) -> torch.Tensor:
        return losses.correlation_map(losses.spatial_embedding(heatmaps, maps, 10.0))

    heatmaps = spots(points, (16, 16))
    before = correlation(heatmaps)
    torch.testing.assert_close(before, before.mT)
    for changed in (heatmaps.rot90(1, (2, 3)), heatmaps.flip(3), heatmaps.mT):
        torch.testing.assert_close(correlation(changed), before, atol=1e-4, rtol=1e-4)
    moved = heatmaps.roll(3, dims=3)
    assume(not torch.equal(moved, heatmaps.flip(3)))
    assert not torch.allclose(correlation(moved), before, atol=1e-2)


def test_the_correlation_loss_is_a_mean_over_pairs_of_known_landmarks():
    true, found = torch.zeros(1, 3, 3), torch.zeros(1, 3, 3)
    found[0, 0, 1] = found[0, 1, 0] = 2.0
    found[0, 2] = found[0, :, 2] = 50.0
    everyone, two = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[True, True, False]])
    assert losses.correlation_mse(found, true, two) == pytest.approx(2 * 4 / 4)
    assert losses.correlation_mse(found, true, everyone) == pytest.approx((2 * 4 + 5 * 2500) / 9)
    assert losses.correlation_mse(found, true, ~everyone) == 0


def test_the_correlation_loss_pulls_a_heatmap_towards_its_place():
    maps = losses.feature_maps((*CARTESIAN, *POLAR), (16, 16))

    def correlation(heatmaps: torch.Tensor) -> torch.Tensor:
        return losses.correlation_map(losses.spatial_embedding(heatmaps, maps, 10.0))

    true = correlation(laplace_heatmaps(torch.tensor([[[3.0, 4.0], [12.0, 9.0]]]), (16, 16), 2.0))
    heatmaps = laplace_heatmaps(torch.tensor([[[3.0, 4.0], [11.0, 9.0]]]), (16, 16), 2.0).requires_grad_()  # one is a pixel off
    losses.correlation_mse(correlation(heatmaps), true, torch.ones(1, 2, dtype=torch.bool)).backward()
    slope = heatmaps.grad[0, 1]
    assert slope[9, 12] < 0 < slope[9, 10]


def test_a_positive_pixel_costs_its_weight():
    masks = torch.zeros(1, 2, 4, 4)
    masks[:, 0, :2] = 1
    masks[:, 1, 0, 0] = 1
    found = losses.weighted_bce(torch.zeros_like(masks), masks, torch.tensor([3.0, 15.0]))
    assert float(found) == pytest.approx(math.log(2) * ((8 * 3 + 8) + (15 + 15)) / 32)


def test_landmark_loss_takes_absolute_differences_and_the_mean_of_structures():
    uv, targets = torch.zeros(1, 2, 2, 16, 20), torch.tensor([[0.5, 1.5], [1, 2], [9, 9], [4, 0], [9, 9]])
    landmarks = torch.tensor([[[3.0, 4], [5, 6], [50, 3], [7, 8], [torch.nan, torch.nan]]])
    assert float(losses.landmark_uv(uv, landmarks, targets, POINTS)) == pytest.approx(((1 + 1.5) / 2 + 2) / 2)
    landmarks[0, 3] = torch.nan
    assert float(losses.landmark_uv(uv, landmarks, targets, POINTS)) == pytest.approx((1 + 1.5) / 2 / 2)


def test_each_case_weighs_alike_in_the_dense_loss_and_unknown_landmarks_nothing_in_that_of_heatmaps():
    valid = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    valid[0], valid[1, 0, 0, 0] = True, True
    uv = torch.zeros(2, 1, 2, 4, 4)
    off = uv.clone()
    off[0], off[1] = 1, 3
    assert float(losses.uv_l1(off, uv, valid)) == pytest.approx((32 / 33 + 6 / 3) / 2)
    maps = torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    found = losses.heatmap_mse(maps, torch.zeros(1, 3, 4, 4), torch.tensor([[True, True, False]]))
    assert float(found) == pytest.approx(2.5)
