"""Loss terms, each against its formula; Dice also on two ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed, multiprocessing

from denseseg import losses
from denseseg.anatomy import Anatomy, Structure

POINTS = Anatomy("points", (Structure("a", 3, "a"), Structure("b", 2, "b")))


def test_positive_weights_are_the_ratio_of_negative_to_positive_pixels():
    masks = torch.zeros(2, 2, 10, 10)
    masks[:, 0, :5] = 1
    masks[:, 1, 0, 0] = 1
    torch.testing.assert_close(losses.positive_weights(masks), torch.tensor([1.0, 99.0]))


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
