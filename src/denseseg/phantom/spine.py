"""A small spine in three dimensions: vertebrae that look alike, and a field of view that cuts some of them off.

Two vertebrae with ribs (T11, and T12 with shorter ones), five without (L1 to L5), a sacrum below. Which vertebra is which can be
told only by counting from where the ribs end or the sacrum begins. The truth is known by construction: each landmark is the centre
of a vertebral body, as in the spine CTs of Payer et al. 2019 (Section 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from denseseg.phantom.canvas import rise

NAMES = ("T11", "T12", "L1", "L2", "L3", "L4", "L5")  # from above
RIBS = (3.0, 1.5)  # voxels, half the length of the ribs of the uppermost ones
SIZE = (40, 16, 16)  # (D, H, W) voxels of a volume: from head to foot, front to back, right to left
SPACING = 5.0  # mm, side of a voxel
PITCH = 6.0  # voxels from one vertebra to the next in a spine of middle size
FIRST = 0.5 * PITCH  # voxels from where the topmost vertebra begins to its centre
VIEWS = (-2.0, 16.0)  # voxels below the spine's upper end at which a volume may begin

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class SpineVolume:
    """image: (D, H, W) float32 in [0, 1]. labels: (D, H, W) uint8, i + 1 in the body of vertebra i, 0 elsewhere.

    landmarks: (N, 3) voxels (x, y, z), the centres of the bodies; NaN where the centre lies beyond the field of view.
    """

    image: np.ndarray
    labels: np.ndarray
    landmarks: np.ndarray


@dataclass
class _Drawing:
    """Voxel coordinates, how dense each voxel is, and whose it is."""

    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    density: np.ndarray
    labels: np.ndarray

    @classmethod
    def blank(cls) -> _Drawing:
        z, y, x = np.indices(SIZE, dtype=float)
        return cls(z, y, x, np.zeros(SIZE), np.zeros(SIZE, np.uint8))

    def block(self, centre: Triple, radii: Triple, density: float, slope: tuple[float, float] = (0, 0), label: int = 0) -> None:
        """A rounded block round centre (x, y, z), which leans by `slope` voxels of x and y a voxel of z."""
        up = self.z - centre[2]
        across = self.x - centre[0] - slope[0] * up, self.y - centre[1] - slope[1] * up, up
        depth = 1 - sum((side / radius) ** 4 for side, radius in zip(across, radii, strict=True)) ** 0.25
        self.density = np.maximum(self.density, density * rise(depth * min(radii), 1.0))
        self.labels[depth > 0] = label or self.labels[depth > 0]


def spine_phantom(n: int, seed: int = 0, first: int = 0) -> list[SpineVolume]:
    """n different volumes, each of them determined by the seed and its number, which counts from `first`."""
    return [_volume(np.random.default_rng((seed, first + number))) for number in range(n)]


def _volume(rng: np.random.Generator) -> SpineVolume:
    scale, top = rng.uniform(0.9, 1.1), rng.uniform(*VIEWS)
    bend, phase, middle = rng.uniform(0, 1.5, 2), rng.uniform(0, 2 * np.pi, 2), rng.uniform(-1, 1, 2) + (7.5, 5.5)

    def place(z: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Where the curved column runs at z, (..., 2) voxels (x, y), and its slope there."""
        turn = 2 * np.pi * np.asarray(z)[..., None] / 70 + phase
        return middle + bend * np.sin(turn), bend * np.cos(turn) * 2 * np.pi / 70

    heights = scale * (FIRST + PITCH * np.arange(len(NAMES)) + rng.uniform(-0.4, 0.4, len(NAMES))) - top
    centres = np.column_stack([place(heights)[0], heights])
    drawing = _Drawing.blank()
    for number, (x, y, z) in enumerate(centres):
        size = scale * (1 + 0.02 * number) * rng.uniform(0.95, 1.05)
        density, slope = rng.uniform(0.6, 0.9), place(z)[1]
        drawing.block((x, y, z), (3.0 * size, 2.6 * size, 2.1 * scale), density, (slope[0], slope[1]), number + 1)
        drawing.block((x, y + 4.6 * size, z + 1), (1.2, 2.8 * size, 1.4), density)  # the spinous process
        for side in (-1, 1) if number < len(RIBS) else ():
            length = RIBS[number] * rng.uniform(0.8, 1.2)
            drawing.block((x + side * (3 * size + length), y + 2, z), (length + 1, 1.6, 1.5), density)
    below = heights[-1] + 9 * scale
    (x, y), _ = place(below)
    drawing.block((x, y + 1, below), (5 * scale, 3.2 * scale, 5.6 * scale), rng.uniform(0.6, 0.9))
    inside = (heights > -0.5) & (heights < SIZE[0] - 0.5)
    return SpineVolume(_exposed(drawing, rng), drawing.labels, np.where(inside[:, None], centres, np.nan))


def _exposed(drawing: _Drawing, rng: np.random.Generator) -> np.ndarray:
    """Bone in soft tissue as a scanner shows it: blurred, and with noise."""
    trunk = 1 - np.hypot((drawing.x - 7.5) / 8.5, (drawing.y - 7.5) / 8.0)
    tissue = 0.2 * rise(trunk * 8, 1.0)
    blurred = gaussian_filter(np.maximum(tissue, drawing.density), 0.7)
    return np.clip(blurred + rng.normal(0, 0.08, SIZE), 0, 1).astype(np.float32)
