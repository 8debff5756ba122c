"""Where points and pixels lie: sizes, scaling, what is inside an image, and one image inside another.

Points are (x, y) in pixels with (0, 0) the centre of the top-left pixel; arrays are [row, column]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

Size = tuple[int, int]


def inside_image(points: np.ndarray, size: Size, margin: float = 0.5) -> np.ndarray:
    """Which of (..., 2) points (x, y) lie on the pixels of an (H, W) image: (...,) bool, False for a missing one.

    margin: pixels by which the image reaches beyond the centres of its border pixels.
    """
    return np.all((points >= -margin) & (points <= np.array([size[1], size[0]]) - 1 + margin), axis=-1)


def scale_points(points: np.ndarray, old: Size, new: Size) -> np.ndarray:
    """Move (..., 2) points from an image of `old` = (H, W) to one of `new`: x' = (x + 0.5) s - 0.5."""
    scale = np.array([new[1] / old[1], new[0] / old[0]])
    return (points + 0.5) * scale - 0.5


@dataclass(frozen=True)
class Frame:
    """How an image of `original` = (H0, W0) pixels lies in one of `fitted` = (H, W): scaled alike in both directions, then padded.

    scale: fitted pixels per original pixel. offset: (x, y), fitted pixels of padding at the left and at the top.
    A point p of the original is at (p + 0.5) * scale - 0.5 + offset in the fitted image.
    """

    original: Size
    fitted: Size
    scale: float
    offset: tuple[float, float]

    @classmethod
    def fit(cls, original: Size, fitted: Size) -> Frame:
        """As large as fits, in the middle to within a pixel: padding of whole pixels blurs no grey value."""
        scale = min(fitted[0] / original[0], fitted[1] / original[1])
        top, left = (round((new - old * scale) / 2) for old, new in zip(original, fitted, strict=True))
        return cls(original, fitted, scale, (float(left), float(top)))

    @property
    def unchanged(self) -> bool:
        """Whether the fitted image is the original."""
        return self.original == self.fitted

    def to_fitted(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the original image in the fitted one."""
        return (np.asarray(points) + 0.5) * self.scale - 0.5 + np.array(self.offset)

    def to_original(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `to_fitted`."""
        return (np.asarray(points) + 0.5 - np.array(self.offset)) / self.scale - 0.5

    def covariance_to_original(self, covariance: np.ndarray) -> np.ndarray:
        """Covariances (..., 2, 2) of points in the fitted image, as they are in the original."""
        return np.asarray(covariance) / self.scale**2

    def maps_to_fitted(self, maps: np.ndarray) -> np.ndarray:
        """Images or masks (..., H0, W0) as (..., H, W) float32: smoothed where they shrink, then bilinear; the padding is 0.

        Without padding it is what scikit-image's `resize` gives.
        """
        smooth = max(0.0, (1 / self.scale - 1) / 2)
        maps = gaussian_filter(np.asarray(maps, np.float32), smooth, mode="mirror", axes=(-2, -1))
        for axis, length in ((-2, self.original[0]), (-1, self.original[1])):
            at = (np.arange(self.fitted[axis]) + 0.5 - self.offset[-1 - axis]) / self.scale - 0.5
            inside = (at >= -0.5) & (at <= length - 0.5)
            mirrored = length - 1 - np.abs(length - 1 - np.abs(at))
            maps = _linear(maps, mirrored, axis) * _along(inside, axis)
        return maps

    def maps_to_original(self, maps: np.ndarray) -> np.ndarray:
        """Maps (..., H, W) of the fitted image as (..., H0, W0) float32 of the original, bilinear; of bool ones those of >= 0.5.

        One after the other, so that besides the result there is only one map of that size at a time.
        """
        maps = np.asarray(maps)
        result = np.empty((*maps.shape[:-2], *self.original), bool if maps.dtype == bool else np.float32)
        for index in np.ndindex(maps.shape[:-2]):
            large = maps[index].astype(np.float32)
            for axis, length in ((-2, self.original[0]), (-1, self.original[1])):
                at = (np.arange(length) + 0.5) * self.scale - 0.5 + self.offset[-1 - axis]
                large = _linear(large, at, axis)
            result[index] = large >= 0.5 if maps.dtype == bool else large
        return result


@dataclass(frozen=True)
class Turn:
    """One of the eight orientations of an image of `original` = (H0, W0) pixels: mirrored from left to right or not, then turned by
    quarter turns. Nothing is resampled.

    quarters: 0 to 3 quarter turns, anticlockwise.
    """

    original: Size
    quarters: int = 0
    mirrored: bool = False

    @classmethod
    def all(cls, original: Size) -> list[Turn]:
        """All eight, first the one that leaves the image as it is."""
        return [cls(original, quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]

    def __str__(self) -> str:
        words = ["mirrored"] * self.mirrored + [f"{90 * self.quarters}° anticlockwise"] * bool(self.quarters)
        return " and ".join(words) or "as it is"

    @property
    def unchanged(self) -> bool:
        """Whether the turned image is the original."""
        return not (self.quarters or self.mirrored)

    @property
    def fitted(self) -> Size:
        """(H, W) of the turned image."""
        return self.original if self.quarters % 2 == 0 else self.original[::-1]

    def maps_to_fitted(self, maps: np.ndarray) -> np.ndarray:
        """Images or masks (..., H0, W0), turned: (..., H, W)."""
        return np.rot90(np.flip(maps, -1) if self.mirrored else maps, self.quarters, (-2, -1))

    def maps_to_original(self, maps: np.ndarray) -> np.ndarray:
        """The inverse of `maps_to_fitted`."""
        back = np.rot90(maps, -self.quarters, (-2, -1))
        return np.flip(back, -1) if self.mirrored else back

    def to_original(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the turned image in the original one."""
        centre, original = ((np.array(size[::-1]) - 1) / 2 for size in (self.fitted, self.original))
        return (np.asarray(points) - centre) @ self._back.T + original

    def covariance_to_original(self, covariance: np.ndarray) -> np.ndarray:
        """Covariances (..., 2, 2) of points in the turned image, as they are in the original."""
        return self._back @ np.asarray(covariance) @ self._back.T

    @property
    def _back(self) -> np.ndarray:
        """(2, 2) what takes directions of the turned image to those of the original."""
        return np.diag([-1 if self.mirrored else 1, 1]) @ np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), self.quarters)


def _linear(maps: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Values at the fractional positions `at` (k,) of an axis, linear between pixels; beyond the ends those at the ends."""
    at = np.clip(at, 0, maps.shape[axis] - 1)
    low = np.minimum(at.astype(int), maps.shape[axis] - 2)
    share = _along((at - low).astype(np.float32), axis)
    return maps.take(low, axis) * (1 - share) + maps.take(low + 1, axis) * share


def _along(values: np.ndarray, axis: int) -> np.ndarray:
    """(k,) values, shaped to multiply arrays along their last axis (-1) or the one before it (-2)."""
    return values.reshape(-1, *[1] * (-1 - axis))
