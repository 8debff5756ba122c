"""Augmentation: what is drawn, what applies it, and that images, landmarks and masks move together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from denseseg.augment import NO_AUGMENTATION, STRONG, Augmentation, apply, augment, draw
from denseseg.batch import Batch
from denseseg.errors import DataError, validated
from denseseg.heatmaps import gaussian_heatmaps, subpixel_landmarks

ALL = Augmentation(elastic=0.02, elastic_grid=7, gamma=0.3, contrast=0.3, gain=0.3, offset=0.1, noise=0.1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(n: int, size: tuple[int, int] = (32, 48)) -> Batch:
    generator = seeded(1)
    landmarks = torch.rand(n, 5, 2, generator=generator) * 30
    masks = torch.rand(n, 2, *size, generator=generator).round()
    return Batch(torch.rand(n, 1, *size, generator=generator), landmarks, masks, torch.arange(n) % 2 == 0)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0, 0.02))
def test_image_and_landmarks_move_together(seed, elastic):
    """A spot drawn at a landmark is found again at the moved landmark."""
    size = (64, 96)
    landmarks = torch.tensor([[[48.0, 30.0]], [[40.3, 36.7]]])
    spots = gaussian_heatmaps(landmarks, size, 2.0).sum(1, keepdim=True)
    ranges = Augmentation(rotation=20, translation=0.1, scale=0.2, elastic=elastic)
    moved = augment(Batch(spots, landmarks), ranges, seeded(seed))
    inside = ((moved.landmarks > 6) & (moved.landmarks < torch.tensor([89, 57]))).all(-1)
    assume(inside.any())
    found = subpixel_landmarks(moved.images)
    assert (found - moved.landmarks).norm(dim=-1)[inside].max() < 0.5


def test_augmentation_is_repeatable_and_can_be_switched_off():
    batch = batch_of(2)
    first, second = (augment(batch, ALL, seeded(5)) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.landmarks, second.landmarks)
    assert not torch.equal(first.images, augment(batch, ALL, seeded(6)).images)
    same = augment(batch, NO_AUGMENTATION, torch.Generator())
    torch.testing.assert_close(same.images, batch.images, atol=1e-4, rtol=0)
    torch.testing.assert_close(same.landmarks, batch.landmarks, atol=1e-4, rtol=0)


def test_missing_landmarks_stay_missing_and_masks_move_with_the_image():
    landmarks = torch.tensor([[[16.0, 16.0], [torch.nan, torch.nan]]])
    image = torch.zeros(1, 1, 32, 32)
    image[..., 10:20, 12:22] = 1
    moved = augment(Batch(image, landmarks, image.clone()), Augmentation(elastic=0.02), seeded(0))
    assert torch.isnan(moved.landmarks[0, 1]).all()
    assert torch.isfinite(moved.landmarks[0, 0]).all()
    torch.testing.assert_close(moved.masks, moved.images)


# ---- one draw for all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("ranges", [ALL, STRONG, Augmentation()], ids=["all", "strong", "paper"])
def test_parts_of_one_draw_give_the_parts_of_the_whole(ranges, world):
    """Several processes draw for the global batch, and each applies its own part: noise and all."""
    batch = batch_of(7)
    whole = augment(batch, ranges, seeded(3))
    for rank in range(world):
        changes = draw(7, (32, 48), ranges, seeded(3))[rank::world]
        part = apply(batch.select(torch.arange(7)[rank::world]), changes)
        torch.testing.assert_close(part.images, whole.images[rank::world], atol=1e-6, rtol=0)
        torch.testing.assert_close(part.landmarks, whole.landmarks[rank::world], atol=1e-5, rtol=0)
        torch.testing.assert_close(part.masks, whole.masks[rank::world], atol=1e-6, rtol=0)
        assert torch.equal(part.has_masks, whole.has_masks[rank::world])


def test_every_case_gets_changes_of_its_own():
    image = torch.rand(1, 1, 32, 48, generator=seeded(0)).expand(3, -1, -1, -1)
    for ranges in (Augmentation(), *(Augmentation(0, 0, 0, **{name: 0.1}) for name in ("elastic", "gamma", "contrast", "noise"))):
        moved = augment(Batch(image, torch.zeros(3, 1, 2)), ranges, seeded(0)).images
        differences = [(moved[i] - moved[j]).abs().max() for i, j in ((0, 1), (0, 2), (1, 2))]
        assert min(differences) > 0.01, ranges


def test_what_is_switched_off_is_not_drawn():
    changes = draw(4, (32, 48), Augmentation(), seeded(0))
    assert changes.bend is changes.gamma is changes.contrast is changes.noise is None
    assert changes.matrix.shape == (4, 2, 2) and changes.shift.shape == (4, 2)
    angle = torch.atan2(changes.matrix[:, 1, 0], changes.matrix[:, 0, 0]).rad2deg()
    assert (angle.abs() <= 10).all() and ((changes.matrix.det().sqrt() - 1).abs() <= 0.15 + 1e-6).all()
    assert (changes.shift.abs() <= torch.tensor([4.8, 3.2])).all() and changes.shift.abs().max() > 0.5


def test_each_change_is_as_large_as_its_range_says():
    ranges = Augmentation(20, 0.1, 0.3, elastic=0.02, gamma=0.1, contrast=0.2, gain=0.3, offset=0.05, noise=0.15)
    changes = draw(4000, (8, 12), ranges, seeded(0))
    uniform = {
        20: torch.atan2(changes.matrix[:, 1, 0], changes.matrix[:, 0, 0]).rad2deg(), 0.3: changes.matrix.det().sqrt() - 1,
        1.2: changes.shift[:, 0], 0.8: changes.shift[:, 1], 0.05: changes.offset,
    }  # fmt: skip
    for reach, values in uniform.items():
        assert (float(values.min()), float(values.max())) == pytest.approx((-reach, reach), rel=0.02)
        assert float(values.std()) == pytest.approx(reach / 3**0.5, rel=0.05)
    normal = {0.02 * 12: changes.bend, 0.1: changes.gamma, 0.2: changes.contrast, 0.15: changes.noise}
    for spread, values in normal.items():
        assert float(values.mean()) == pytest.approx(0, abs=0.1 * spread)
        assert float(values.std()) == pytest.approx(spread, rel=0.05)


def test_gamma_is_an_exponent_and_contrast_a_factor_about_the_mean():
    image, still = torch.rand(1, 1, 8, 12, generator=seeded(0)), draw(1, (8, 12), NO_AUGMENTATION, seeded(0))
    strength = torch.full((1, 1, 1, 1), math.log(2.0))
    squared = apply(Batch(image, torch.zeros(1, 3, 2)), replace(still, gamma=strength)).images
    spread = apply(Batch(image, torch.zeros(1, 3, 2)), replace(still, contrast=strength)).images
    torch.testing.assert_close(squared, image**2, atol=1e-5, rtol=0)
    torch.testing.assert_close(spread, 2 * image - image.mean(), atol=1e-5, rtol=0)


def test_hard_masks_can_be_had_after_moving():
    """Warping leaves shares of pixels at the edges; a recipe of hard masks gets 0 and 1 back, of about the same area."""
    masks = torch.zeros(2, 1, 32, 48)
    masks[:, :, 8:24, 10:40] = 1
    batch = Batch(masks.clone(), torch.zeros(2, 1, 2), masks)
    moved = augment(batch, Augmentation(rotation=10, translation=0, scale=0), seeded(0))
    assert ((moved.masks > 0.01) & (moved.masks < 0.99)).any()
    hard = moved.masks_or(torch.zeros_like(masks), soft=False)
    assert set(hard.unique().tolist()) == {0, 1}
    torch.testing.assert_close(hard.sum((1, 2, 3)), moved.masks.sum((1, 2, 3)), rtol=0.02, atol=0)


def test_gain_and_offset_are_uniform_about_the_middle_grey():
    images = torch.tensor([0.5, 1.0]).view(1, 1, 1, 2).expand(2000, 1, 1, 2)
    ranges = Augmentation(rotation=0, translation=0, scale=0, gain=0.25, offset=0.1)
    grey, white = augment(Batch(images, torch.zeros(2000, 1, 2)), ranges, seeded(0)).images.unbind(-1)
    offset, gain = grey - 0.5, 2 * (white - grey)
    for values, reach, centre in ((offset, 0.1, 0.0), (gain, 0.25, 1.0)):
        assert (values - centre).abs().max() <= reach + 1e-5
        assert float(values.mean()) == pytest.approx(centre, abs=0.05 * reach)
        assert float(values.std()) == pytest.approx(reach / 3**0.5, rel=0.05)


def test_a_finer_elastic_grid_bends_on_a_smaller_scale():
    coarse, fine = (draw(4, (64, 64), Augmentation(elastic=0.02, elastic_grid=grid), seeded(0)).bend for grid in (5, 12))
    assert (coarse.shape, fine.shape) == ((4, 2, 5, 5), (4, 2, 12, 12))
    assert float(fine.std()) == pytest.approx(0.02 * 64, rel=0.1)


# ---- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rotation", -1, "greater than or equal to 0"),
        ("rotation", 200, "less than or equal to 180"),
        ("translation", 1.5, "less than or equal to 1"),
        ("scale", 1, "less than 1"),
        ("elastic", math.nan, "valid number|finite number"),
        ("noise", "0.1", "valid number"),
        ("gama", 0.1, "is unknown; correct the name or remove it"),
    ],
)
def test_ranges_out_of_their_bounds_are_refused_in_one_line(field, value, message):
    with pytest.raises(DataError, match=rf"^recipe: {field} .*({message})") as caught:
        validated(Augmentation, {field: value}, "recipe")
    assert "\n" not in str(caught.value)
    if not isinstance(value, str):
        with pytest.raises((ValueError, TypeError)):
            Augmentation(**{field: value})
