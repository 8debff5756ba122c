"""What a method says of one image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from denseseg.anatomy import Anatomy
from denseseg.geometry.frame import Size, scale_points


@dataclass
class Prediction:
    """What a method says of one image.

    landmarks: (N, 2) pixels (x, y), NaN where the method failed, or says that a structure is absent; None for a method without.
    masks: (C, H, W) bool, or None for a method without masks (its contours are its masks).
    probabilities: (C, H, W) in [0, 1], or None.
    uv: (C, 2, H, W), or None; meaningful inside the masks.
    covariance: (N, 2, 2) pixels squared, or None.
    """

    anatomy: Anatomy
    landmarks: np.ndarray | None
    masks: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    uv: np.ndarray | None = None
    covariance: np.ndarray | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of structures with a landmark that was not found, or without landmarks those with an empty mask."""
        if self.landmarks is None:
            masks = () if self.masks is None else self.masks
            return tuple(name for name, mask in zip(self.anatomy.names, masks, strict=True) if not mask.any())
        lost = np.isnan(self.landmarks).any(1)
        return tuple(name for name, where in self.anatomy.slices.items() if lost[where].any())

    def table(self) -> pd.DataFrame:
        """One row a landmark: structure, index, x, y in pixels."""
        rows = [(name, i) for name, count in zip(self.anatomy.names, self.anatomy.counts, strict=True) for i in range(count)]
        table = pd.DataFrame(rows, columns=["structure", "index"])
        points = np.full((len(rows), 2), np.nan) if self.landmarks is None else self.landmarks
        return table.assign(x=points[:, 0], y=points[:, 1])

    def to_csv(self, path: str | Path) -> Path:
        """Write `table` to a CSV file; coordinates to 1e-3 pixel, empty where the method failed."""
        self.table().to_csv(path, index=False, float_format="%.3f")
        return Path(path)

    def resized(self, old: Size, new: Size) -> Prediction:
        """The prediction in an image of another (H, W). Points move exactly, maps bilinearly."""
        if old == new:
            return self
        ratio = np.array([new[1] / old[1], new[0] / old[0]])
        return replace(
            self,
            landmarks=None if self.landmarks is None else scale_points(self.landmarks, old, new),
            masks=None if self.masks is None else _resize_maps(self.masks.astype(np.float32), new) >= 0.5,
            probabilities=None if self.probabilities is None else _resize_maps(self.probabilities, new),
            uv=None if self.uv is None else _resize_maps(self.uv, new),
            covariance=None if self.covariance is None else self.covariance * np.outer(ratio, ratio),
        )


def _resize_maps(maps: np.ndarray, size: Size) -> np.ndarray:
    tensor = torch.as_tensor(maps).float().flatten(0, -3)[:, None]
    resized = F.interpolate(tensor, size, mode="bilinear", align_corners=False)
    return resized.view(*maps.shape[:-2], *size).numpy()
