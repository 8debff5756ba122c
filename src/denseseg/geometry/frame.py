"""Where points and pixels lie: sizes, scaling, and what is inside an image.

Points are (x, y) in pixels with (0, 0) the centre of the top-left pixel; arrays are [row, column]."""

from __future__ import annotations

import numpy as np

Size = tuple[int, int]


def inside_image(points: np.ndarray, size: Size) -> np.ndarray:
    """Which of (..., 2) points (x, y) lie on the pixels of an (H, W) image: (...,) bool, False for a missing one."""
    return np.all((points >= -0.5) & (points <= np.array([size[1], size[0]]) - 0.5), axis=-1)


def scale_points(points: np.ndarray, old: Size, new: Size) -> np.ndarray:
    """Move (..., 2) points from an image of `old` = (H, W) to one of `new`: x' = (x + 0.5) s - 0.5."""
    scale = np.array([new[1] / old[1], new[0] / old[0]])
    return (points + 0.5) * scale - 0.5
