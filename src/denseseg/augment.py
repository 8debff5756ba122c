"""Random changes of images and landmarks together, batched on the device: what is drawn, and what applies it.

uv targets are not augmented: they are computed afresh from the augmented landmarks, so nothing is lost to resampling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from denseseg.batch import Batch
from denseseg.errors import checked
from denseseg.geometry.frame import Size
from denseseg.geometry.warp import move_points, sample, source_points

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0)]


@checked
class Augmentation:
    """Ranges of the random changes; a zero switches one off. None may be negative.

    rotation: degrees, uniform in +-, at most 180. translation: share of the image size, uniform in +-, each axis. scale: uniform
    in 1 +-, less than 1. elastic: standard deviation of a smooth displacement, share of the image size, on a square grid of
    `elastic_grid` control points a side. gamma: exponent exp(N(0, gamma)). contrast: factor exp(N(0, contrast)) about the image
    mean. gain: factor uniform in 1 +- about the middle grey, 0.5. offset: what is added, uniform in +-. noise: standard deviation.
    The defaults are the paper's (Section 3.5, with the signs of its code). Raises DataError where a range is out of its bounds.
    """

    rotation: Annotated[float, Field(ge=0, le=180)] = 10.0
    translation: Share = 0.1
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.15
    elastic: Share = 0.0
    elastic_grid: Annotated[int, Field(ge=2)] = 5
    gamma: Spread = 0.0
    contrast: Spread = 0.0
    gain: Share = 0.0
    offset: Share = 0.0
    noise: Spread = 0.0


NO_AUGMENTATION = Augmentation(rotation=0, translation=0, scale=0)
# Beyond the paper's affine changes: exposure, noise and a slight bend, for training sets of a few hundred images.
STRONG = Augmentation(elastic=0.01, gamma=0.2, contrast=0.2, noise=0.02)


@dataclass(frozen=True)
class Changes:
    """What was drawn for n cases, on the CPU in float32; None for a change that is switched off.

    matrix, shift: x -> matrix (x - centre) + centre + shift, (n, 2, 2) and (n, 2) pixels.
    bend: (n, 2, grid, grid) pixels, the displacement at the control points. gamma, contrast: (n, 1, 1, 1), the logarithm of each.
    gain, offset: (n, 1, 1, 1), x -> (1 + gain) (x - 0.5) + 0.5 + offset. noise: (n, 1, H, W), what is added.
    """

    matrix: Tensor
    shift: Tensor
    bend: Tensor | None = None
    gamma: Tensor | None = None
    contrast: Tensor | None = None
    noise: Tensor | None = None
    gain: Tensor | None = None
    offset: Tensor | None = None

    def __getitem__(self, index: slice | Tensor) -> Changes:
        """The part of some cases, such as `changes[rank::world]`: of several processes, each draws for all and applies its own."""
        return self._each(lambda part: part[index])

    def to(self, device: torch.device) -> Changes:
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Changes:
        return replace(self, **{name: change(part) for name, part in vars(self).items() if part is not None})


def draw(n: int, size: Size, ranges: Augmentation, generator: torch.Generator) -> Changes:
    """Random changes of n images of `size` = (H, W). `generator` lives on the CPU, so a seed means the same on every device."""

    def normal(spread: float, *shape: int) -> Tensor | None:
        return spread * torch.randn(n, *shape, generator=generator) if spread else None

    def uniform(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * 2 - 1

    angle, scale = torch.deg2rad(ranges.rotation * uniform()), 1 + ranges.scale * uniform()
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    shift = ranges.translation * uniform(2) * torch.tensor([size[1], size[0]])
    bend = normal(ranges.elastic * max(size), 2, *[ranges.elastic_grid] * 2)
    gamma, contrast = normal(ranges.gamma, 1, 1, 1), normal(ranges.contrast, 1, 1, 1)
    noise = normal(ranges.noise, 1, *size)
    gain, offset = (spread * uniform(1, 1, 1) if spread else None for spread in (ranges.gain, ranges.offset))
    return Changes(matrix, shift, bend, gamma, contrast, noise, gain, offset)


def apply(batch: Batch, changes: Changes) -> Batch:
    """The batch with the changes made, one for each of its cases. Masks come out soft at their edges: see `Batch.masks_or`."""
    size, changes = batch.size, changes.to(batch.images.device)
    bend = None if changes.bend is None else F.interpolate(changes.bend, size, mode="bicubic", align_corners=True)
    source = source_points(changes.matrix, changes.shift, bend, size)
    return replace(
        batch,
        images=_change_grey_values(sample(batch.images, source), changes),
        landmarks=move_points(batch.landmarks, changes.matrix, changes.shift, bend, size),
        masks=None if batch.masks is None else sample(batch.masks, source),
    )


def augment(batch: Batch, ranges: Augmentation, generator: torch.Generator) -> Batch:
    """One random draw for each case of the batch, applied: `draw` and `apply`."""
    return apply(batch, draw(len(batch), batch.size, ranges, generator))


def _change_grey_values(images: Tensor, changes: Changes) -> Tensor:
    if changes.gamma is not None:
        images = images.clamp(0, 1) ** changes.gamma.exp()
    if changes.contrast is not None:
        mean = images.mean((1, 2, 3), keepdim=True)
        images = mean + (images - mean) * changes.contrast.exp()
    if changes.gain is not None:
        images = 0.5 + (images - 0.5) * (1 + changes.gain)
    if changes.offset is not None:
        images = images + changes.offset
    return images if changes.noise is None else images + changes.noise


def similarity_views(views: int, size: Size, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Small similarity transforms to look at an image from, for averaging predictions: (matrix (2, 2), shift (2,) pixels) each.

    The first is the identity; the others turn, scale and shift by up to 8 degrees, 10 % and 5 % of the size, always the same ones.
    """
    ranges = Augmentation(rotation=8, translation=0.05, scale=0.1)
    changes = draw(views, size, ranges, torch.Generator().manual_seed(0))
    changes.matrix[0], changes.shift[0] = torch.eye(2), 0.0
    return list(zip(changes.matrix.to(like), changes.shift.to(like), strict=True))
