"""Move images and points: a similarity and a bend, and the way back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from denseseg.geometry.contour import on_device, pixel_grid


def warp(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Every (B, K, H, W) image under x -> matrix (x - centre) + centre + shift, bilinear; zero where nothing is known."""
    batch, _, *size = images.shape
    return sample(images, source_points(matrix.expand(batch, 2, 2), shift.expand(batch, 2), None, (size[0], size[1])))


def unwarp(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """The inverse of `warp`."""
    inverse = torch.linalg.inv(matrix)
    return warp(images, inverse, -inverse @ shift)


def _centre(size: tuple[int, int], like: Tensor) -> Tensor:
    return on_device(np.array([(size[1] - 1) / 2, (size[0] - 1) / 2]), like).to(like.dtype)


def source_points(matrix: Tensor, shift: Tensor, bend: Tensor | None, size: tuple[int, int]) -> Tensor:
    """(B, H, W, 2): where in the old image each pixel of the new one comes from."""
    target = pixel_grid(size, matrix.device, matrix.dtype).view(*size, 2).expand(len(matrix), -1, -1, -1)
    if bend is not None:
        target = target + bend.movedim(1, -1)
    centre = _centre(size, matrix)
    return (target - centre - shift[:, None, None]) @ torch.linalg.inv(matrix).mT[:, None] + centre


def move_points(landmarks: Tensor, matrix: Tensor, shift: Tensor, bend: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Landmarks (B, N, 2) in the new image: the inverse of `source_points`, its bend by fixed-point iteration."""
    centre = _centre(size, matrix)
    moved = (landmarks - centre) @ matrix.mT + centre + shift[:, None]
    if bend is None:
        return moved
    place = moved
    for _ in range(8):
        place = moved - sample(bend, place[:, :, None], padding="border")[..., 0].mT
    return torch.where(torch.isfinite(landmarks), place, torch.nan)


def sample(images: Tensor, points: Tensor, padding: str = "zeros") -> Tensor:
    """Bilinear samples of (B, K, H, W) at (B, h, w, 2) pixel positions: (B, K, h, w)."""
    extent = on_device(np.array([images.shape[-1], images.shape[-2]]), points)
    grid = (2 * points.nan_to_num(0.0) + 1) / extent - 1
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)
