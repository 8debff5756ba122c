"""The template: a mean shape and, per structure, a chart that names each of its places by (u, v) in [-1, 1]^2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError
from denseseg.geometry.frame import Size


@dataclass(frozen=True)
class Template:
    """Deformation-free shape of an anatomy.

    points: (N, 2) landmarks in pixels of an image of `size` = (H, W).

    Each structure's bounding box is its chart: u runs along x and v along y, from -1 to 1 (paper, Section 2.1.1).
    """

    anatomy: Anatomy
    points: np.ndarray
    size: Size

    def __post_init__(self) -> None:
        if self.points.shape != (self.anatomy.n_landmarks, 2) or not np.isfinite(self.points).all():
            known = int(np.isfinite(self.points).all(-1).sum())
            raise DataError(
                f"a template of the {self.anatomy.name} needs {self.anatomy.n_landmarks} finite points, got {known}; "
                "each landmark must be present in at least one training case; from masks alone, make them with landmarks_from_masks"
            )

    @classmethod
    def from_landmarks(cls, landmarks: np.ndarray, anatomy: Anatomy, size: Size) -> Template:
        """The mean of (M, N, 2) training landmarks, each over the cases that have it."""
        with np.errstate(invalid="ignore"):
            present = np.isfinite(landmarks).all(-1, keepdims=True)
            mean = np.where(present, landmarks, 0).sum(0) / present.sum(0)
        return cls(anatomy, mean, size)

    @cached_property
    def lower(self) -> np.ndarray:
        """(C, 2) smallest x and y of each structure: its chart's (-1, -1)."""
        return np.stack([self.points[where].min(0) for where in self.anatomy.slices.values()])

    @cached_property
    def upper(self) -> np.ndarray:
        """(C, 2) largest x and y of each structure: its chart's (1, 1)."""
        return np.stack([self.points[where].max(0) for where in self.anatomy.slices.values()])

    @property
    def half_extent(self) -> np.ndarray:
        """(C, 2) template pixels per unit of u and of v, half a pixel at least: a structure may be a line or a single landmark."""
        return np.maximum((self.upper - self.lower) / 2, 0.5)

    @cached_property
    def uv(self) -> np.ndarray:
        """(N, 2) chart coordinates of every landmark, each in its own structure's chart."""
        return self.to_uv(self.anatomy.membership, self.points)

    def to_uv(self, structure: int | np.ndarray, points: np.ndarray) -> np.ndarray:
        """(..., 2) template pixels -> chart coordinates of the structure with this index, or of one (...) for each point."""
        return (np.asarray(points) - self.lower[structure]) / self.half_extent[structure] - 1

    def from_uv(self, structure: int, uv: np.ndarray) -> np.ndarray:
        """(..., 2) chart coordinates -> template pixels."""
        return (np.asarray(uv) + 1) * self.half_extent[structure] + self.lower[structure]

    def identity_map(self, structure: int) -> np.ndarray:
        """(2, H, W): u and v of every pixel of the template's own image; beyond [-1, 1] outside the box."""
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        return np.moveaxis(self.to_uv(structure, np.stack([columns, rows], -1)), -1, 0)
