"""Augmentation: images, landmarks and masks move together."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from denseseg.augment import NO_AUGMENTATION, Augmentation, augment
from denseseg.batch import Batch
from denseseg.heatmaps import gaussian_heatmaps, subpixel_landmarks


def spots(landmarks: torch.Tensor, size: tuple[int, int], sigma: float = 2.0) -> torch.Tensor:
    """(B, 1, H, W) image with a bright spot at each landmark."""
    return gaussian_heatmaps(landmarks, size, sigma).sum(1, keepdim=True)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0, 0.02))
def test_image_and_landmarks_move_together(seed, elastic):
    """A spot drawn at a landmark is found again at the moved landmark."""
    size = (64, 96)
    landmarks = torch.tensor([[[48.0, 30.0]], [[40.3, 36.7]]])
    ranges = Augmentation(rotation=20, translation=0.1, scale=0.2, elastic=elastic)
    moved = augment(Batch(spots(landmarks, size), landmarks), ranges, torch.Generator().manual_seed(seed))
    found = subpixel_landmarks(moved.images)
    inside = ((moved.landmarks > 6) & (moved.landmarks < torch.tensor([89, 57]))).all(-1)
    assume(inside.any())
    assert (found - moved.landmarks).norm(dim=-1)[inside].max() < 0.5


def test_augmentation_is_repeatable_and_can_be_switched_off():
    landmarks = torch.rand(2, 5, 2) * 30
    batch = Batch(torch.rand(2, 1, 32, 32), landmarks, torch.rand(2, 2, 32, 32).round())
    rich = Augmentation(elastic=0.02, gamma=0.3, contrast=0.3, noise=0.1)
    first, second = (augment(batch, rich, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.landmarks, second.landmarks)
    assert not torch.equal(first.images, augment(batch, rich, torch.Generator().manual_seed(6)).images)
    same = augment(batch, NO_AUGMENTATION, torch.Generator())
    torch.testing.assert_close(same.images, batch.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(same.landmarks, landmarks, atol=1e-4, rtol=0)


def test_missing_landmarks_stay_missing_and_masks_move_with_the_image():
    landmarks = torch.tensor([[[16.0, 16.0], [torch.nan, torch.nan]]])
    image = torch.zeros(1, 1, 32, 32)
    image[..., 10:20, 12:22] = 1
    moved = augment(Batch(image, landmarks, image.clone()), Augmentation(elastic=0.02), torch.Generator().manual_seed(0))
    assert torch.isnan(moved.landmarks[0, 1]).all()
    assert torch.isfinite(moved.landmarks[0, 0]).all()
    torch.testing.assert_close(moved.masks, moved.images)
