"""Shapes on which decoders are tested: small round bones, long thin ones, bones that the image border cuts."""

from __future__ import annotations

import numpy as np
import torch

from denseseg.anatomy import Anatomy, Structure
from denseseg.geometry.decode import Decoded, decode_affine
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps

SIZE = (120, 90)
PIXELS = np.array([SIZE[1] - 1, SIZE[0] - 1])  # the last pixel's centre
BONES = Anatomy("bones", (Structure("disc", 20, "short"), Structure("bar", 60, "long"), Structure("shaft", 50, "long")))


def outline(count: int, centre: np.ndarray, half_width: float, half_length: float, angle: float, bend: float) -> np.ndarray:
    """(count, 2) points once round a rounded bar, evenly along its edge; one as wide as long is a disc."""
    t = np.linspace(0, 2 * np.pi, 2001)
    power = 2 / (2 if half_width == half_length else 3)
    fine = np.stack([np.abs(np.sin(t)) ** power * np.sign(np.sin(t)), -(np.abs(np.cos(t)) ** power) * np.sign(np.cos(t))], -1)
    fine = fine * [half_width, half_length]
    fine[:, 0] += bend * fine[:, 1] ** 2 / half_length
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))]
    at = np.arange(count) / count * length[-1]
    points = np.stack([np.interp(at, length, fine[:, i]) for i in (0, 1)], -1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + centre


def bones(seed: int) -> np.ndarray:
    """(N, 2) landmarks: a disc of 6 to 10 px and a thin bar within the image, and a shaft that leaves it at the bottom."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            outline(20, (20, 40) + rng.normal(0, 2, 2), r := rng.uniform(6, 10), r, 0, 0),
            outline(60, (45, 50) + rng.normal(0, 2, 2), rng.uniform(4, 6), 40, rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1)),
            outline(50, (72, 105) + rng.normal(0, 2, 2), rng.uniform(6, 8), 36, rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)),
        ]
    )


TEMPLATE = Template(BONES, np.mean([bones(seed) for seed in range(8)], axis=0), SIZE)


def as_batch(*cases: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.stack(cases), dtype=torch.float32)


def read_back(*cases: np.ndarray) -> Decoded:
    """Landmarks from perfect maps; the masks end at the border."""
    batch = as_batch(*cases)
    return decode_affine(uv_maps(batch, TEMPLATE).uv, contour_masks(batch, BONES, SIZE).bool(), TEMPLATE)


def inside(points: np.ndarray) -> np.ndarray:
    return ((points >= 0) & (points <= PIXELS)).all(-1)
