"""Closed outlines in a small image: a wobbly one well inside, and jagged ones that its border may cut."""

from __future__ import annotations

import numpy as np
import torch

from denseseg.anatomy import Anatomy, Structure

ONE = Anatomy("one", (Structure("blob", 24, "blob"),))
SIZE = (64, 80)
JAGGED_SIZE = (50, 40)
JAGGED = Anatomy("one", (Structure("blob", 16, "blob"),))


def blob(seed: int, wobble: float = 0.15, radius: float = 18.0) -> np.ndarray:
    """A star-shaped closed contour of 24 points inside an image of SIZE."""
    rng = np.random.default_rng(seed)
    angle = np.arange(24) * 2 * np.pi / 24
    r = radius * (1 + wobble * sum(rng.normal() / k * np.cos(k * angle + rng.uniform(0, 6.28)) for k in (2, 3)) / 2)
    return np.stack([40 + r * np.cos(angle), 32 + r * np.sin(angle)], -1)


def blobs(seed: int, count: int = 3) -> torch.Tensor:
    """(count, 16, 2) jagged outlines, some cut by the image border or beyond it."""
    rng = np.random.default_rng(seed)
    angle = np.arange(16) * 2 * np.pi / 16
    radius = rng.uniform(2, 15, (count, 1)) * rng.uniform(0.5, 1.5, (count, 16))
    centre = rng.uniform(-10, 60, (count, 1, 2))
    return torch.as_tensor(centre + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1), dtype=torch.float32)
