"""Random changes of images and landmarks together, batched on the device.

uv targets are not augmented: they are computed afresh from the augmented landmarks, so nothing is lost to resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from denseseg.batch import Batch
from denseseg.geometry.warp import move_points, sample, source_points


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes; a zero switches one off.

    rotation: degrees, uniform in +-. translation: share of the image size, uniform in +-, each axis. scale: uniform in 1 +-.
    elastic: standard deviation of a smooth displacement, share of the image size, on a 5 x 5 grid of control points.
    gamma: exponent exp(N(0, gamma)). contrast: factor exp(N(0, contrast)) about the image mean. noise: standard deviation.
    The defaults are the paper's (Section 3.5, with the signs of its code).
    """

    rotation: float = 10.0
    translation: float = 0.1
    scale: float = 0.15
    elastic: float = 0.0
    gamma: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0


NO_AUGMENTATION = Augmentation(rotation=0, translation=0, scale=0)


def augment(batch: Batch, ranges: Augmentation, generator: torch.Generator) -> Batch:
    """One random draw for each case of the batch. `generator` lives on the CPU, so a seed means the same on every device."""
    images, landmarks, masks = batch.images, batch.landmarks, batch.masks
    size = (images.shape[-2], images.shape[-1])
    matrix, shift = _random_similarity(len(images), size, ranges, generator, images)
    bend = _random_bend(len(images), size, ranges, generator, images)
    source = source_points(matrix, shift, bend, size)
    images = sample(images, source)
    masks = None if masks is None else sample(masks, source)
    return Batch(_change_grey_values(images, ranges, generator), move_points(landmarks, matrix, shift, bend, size), masks)


def similarity_views(views: int, size: tuple[int, int], like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Small similarity transforms to look at an image from, for averaging predictions: (matrix (2, 2), shift (2,) pixels) each.

    The first is the identity; the others turn, scale and shift by up to 8 degrees, 10 % and 5 % of the size, always the same ones.
    """
    generator = torch.Generator().manual_seed(0)
    ranges = Augmentation(rotation=8, translation=0.05, scale=0.1)
    matrices, shifts = _random_similarity(views, size, ranges, generator, like)
    matrices[0], shifts[0] = torch.eye(2), 0.0
    return list(zip(matrices, shifts, strict=True))


def _uniform(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Uniform in [-1, 1], drawn on the CPU."""
    return (torch.rand(shape, generator=generator) * 2 - 1).to(like)


def _normal(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator).to(like)


def _random_similarity(
    batch: int, size: tuple[int, int], ranges: Augmentation, generator: torch.Generator, like: Tensor
) -> tuple[Tensor, Tensor]:
    """x -> matrix (x - centre) + centre + shift: (B, 2, 2) and (B, 2) pixels."""
    angle = torch.deg2rad(ranges.rotation * _uniform((batch,), generator, like))
    scale = 1 + ranges.scale * _uniform((batch,), generator, like)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    shift = ranges.translation * _uniform((batch, 2), generator, like) * like.new_tensor([size[1], size[0]])
    return matrix, shift


def _random_bend(
    batch: int, size: tuple[int, int], ranges: Augmentation, generator: torch.Generator, like: Tensor
) -> Tensor | None:
    """(B, 2, H, W) smooth displacement in pixels, or None."""
    if not ranges.elastic:
        return None
    coarse = ranges.elastic * max(size) * _normal((batch, 2, 5, 5), generator, like)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=True)


def _change_grey_values(images: Tensor, ranges: Augmentation, generator: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1, 1)
    if ranges.gamma:
        images = images.clamp(0, 1) ** torch.exp(ranges.gamma * _normal(shape, generator, images))
    if ranges.contrast:
        mean = images.mean((1, 2, 3), keepdim=True)
        images = mean + (images - mean) * torch.exp(ranges.contrast * _normal(shape, generator, images))
    if ranges.noise:
        images = images + ranges.noise * _normal(tuple(images.shape), generator, images)
    return images


# Beyond the paper's affine changes: exposure, noise and a slight bend, for training sets of a few hundred images.
RICHER = Augmentation(elastic=0.01, gamma=0.2, contrast=0.2, noise=0.02)
