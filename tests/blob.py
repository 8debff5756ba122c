"""One wobbly closed outline in a small image."""

from __future__ import annotations

import numpy as np

from denseseg.anatomy import Anatomy, Structure

ONE = Anatomy("one", (Structure("blob", 24, "blob"),))
SIZE = (64, 80)


def blob(seed: int, wobble: float = 0.15, radius: float = 18.0) -> np.ndarray:
    """A star-shaped closed contour of 24 points inside an image of SIZE."""
    rng = np.random.default_rng(seed)
    angle = np.arange(24) * 2 * np.pi / 24
    r = radius * (1 + wobble * sum(rng.normal() / k * np.cos(k * angle + rng.uniform(0, 6.28)) for k in (2, 3)) / 2)
    return np.stack([40 + r * np.cos(angle), 32 + r * np.sin(angle)], -1)
