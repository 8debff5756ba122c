"""One radiograph with its landmarks: points (x, y) in pixels, (0, 0) the centre of the top-left one; arrays [row, column]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from skimage.transform import resize

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError
from denseseg.geometry.frame import Frame, Size, scale_points
from denseseg.names import name_fault


@dataclass
class Case:
    """One radiograph.

    id: unique within its data set; it names the files, so it is no path: see `names.name_fault`.
    image: (H, W) float32 in [0, 1], bone bright.
    landmarks: (N, 2) float64, (x, y) in pixels; NaN marks a missing landmark. A structure without any landmark is absent: it is not
        in the image. Landmarks may lie outside the image, where its border cuts a structure off. With masks, all may be missing.
    masks: (C, H, W) bool in the anatomy's order, or None where the contours of the landmarks are the masks.
    spacing: millimetres per pixel, or None where unknown.
    metadata: further columns of cases.csv (split, stratum, age, ...).

    Raises DataError on construction where these do not hold.
    """

    id: str
    image: np.ndarray
    landmarks: np.ndarray
    anatomy: Anatomy
    masks: np.ndarray | None = None
    spacing: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.image = np.asarray(self.image, dtype=np.float32)
        self.landmarks = np.asarray(self.landmarks, dtype=np.float64)
        self.masks = None if self.masks is None else np.asarray(self.masks, dtype=bool)
        self.spacing = None if self.spacing is None else float(self.spacing)
        if fault := name_fault(self.id):
            raise DataError(f"case {self.id!r:.80}: its id {fault}; give it another")
        if fault := self._image_fault() or self._landmark_fault():
            raise DataError(f"case {self.id}: {fault}")

    def _image_fault(self) -> str | None:
        """What is wrong with image, spacing or masks, or None."""
        if self.image.ndim != 2:
            return f"the image has shape {self.image.shape}; convert it to one grey channel (H, W)"
        if min(self.image.shape) < 8:
            return f"the image has only {self.image.shape} pixels; give at least 8 x 8"
        if not np.isfinite(self.image).all():
            return "the image contains NaN or infinite values; replace them before building the case"
        if self.image.min() < 0 or self.image.max() > 1:
            return f"the image spans {self.image.min():g}..{self.image.max():g}; scale grey values to 0..1"
        if self.spacing is not None and not (np.isfinite(self.spacing) and self.spacing > 0):
            return f"spacing {self.spacing} is not a positive number of mm; leave it empty if unknown"
        expected = (len(self.anatomy), *self.size)
        if self.masks is not None and self.masks.shape != expected:
            return f"masks have shape {self.masks.shape}; give one (H, W) mask per structure: {expected}"
        return None

    def _landmark_fault(self) -> str | None:
        expected = (self.anatomy.n_landmarks, 2)
        if self.landmarks.shape != expected:
            return f"landmarks have shape {self.landmarks.shape}, {self.anatomy.name} needs {expected}; mark missing ones with NaN"
        if np.isinf(self.landmarks).any():
            return "a landmark is infinite; mark missing ones with NaN"
        if (np.isnan(self.landmarks).any(1) != np.isnan(self.landmarks).all(1)).any():
            return "a landmark has one coordinate only; mark missing ones with NaN in both"
        if self.masks is None and np.isnan(self.landmarks).all():
            return "every landmark is missing; remove the case or add its rows to landmarks.csv"
        for name, own in self.anatomy.slices.items():
            places = self.landmarks[own][np.isfinite(self.landmarks[own]).all(1)]
            if len(places) > 1 and (places == places[0]).all():
                found = f"all {len(places)} landmarks of the {name} are in one place, {places[0].round(1).tolist()}"
                return f"{found}; leave missing landmarks out, and give pixels"
        height, width = self.size
        margin = 0.5 * max(height, width) + 1e-6  # what a change of size may round away
        place = self.landmarks + 0.5  # from the image's corner, so that a case which passes does so at every size
        far = (place < -margin) | (place > np.array([width, height]) + margin)
        if not far.any():
            return None
        index = int(np.argwhere(far)[0, 0])
        where = f"landmark {index} at {self.landmarks[index].round(1).tolist()}"
        return f"{where} lies far outside the {width} x {height} image; check the axis order (x, y) and the pixel frame"

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        height, width = vars(self)["image"].shape
        return height, width

    @property
    def unit(self) -> str:
        """Of its errors: "mm", or "px" where the spacing is unknown."""
        return "px" if self.spacing is None else "mm"

    @property
    def absent(self) -> np.ndarray:
        """(C,) bool: structures of which the case has neither a landmark nor, where it has masks, a pixel of its mask."""
        unmarked = self.anatomy.absent(self.landmarks)
        return unmarked if self.masks is None else unmarked & ~self.masks.any((1, 2))

    def packed(self) -> Case:
        """The same case; its image takes the memory of 8 or 16 bit, where it holds no more, and is made anew when it is asked for.

        So 400 images of 2400 x 1935 pixels take 2 GB instead of 7. What is given then can't be written into; replace the image.
        """
        vars(self)["image"] = _packed(self.image)
        return self

    def points(self, structure: str) -> np.ndarray:
        """(n, 2) landmarks of one structure."""
        self.anatomy.index(structure)
        return self.landmarks[self.anatomy.slices[structure]]

    def fitted(self, size: Size) -> tuple[Case, Frame]:
        """The case as large as it fits into an image of (H, W), and the frame that leads back into its own pixels.

        Scaled alike in both directions; what remains is padded with 0, the grey of air, in equal parts on both sides.
        """
        frame = Frame.fit(self.size, size)
        if size[0] * self.size[1] == size[1] * self.size[0]:
            return self.resized(size), frame
        case = replace(
            self,
            image=np.clip(frame.maps_to_fitted(self.image), 0, 1),
            landmarks=frame.to_fitted(self.landmarks),
            masks=None if self.masks is None else frame.maps_to_fitted(self.masks) >= 0.5,
            spacing=None if self.spacing is None else self.spacing / frame.scale,
        )
        return case, frame

    def resized(self, size: Size) -> Case:
        """The case stretched to another (H, W). Raises DataError where that distorts the image and its spacing is known."""
        if size == self.size:
            return self
        rows, columns = size[0] / self.size[0], size[1] / self.size[1]
        if abs(rows - columns) > 0.02 * columns and self.spacing is not None:
            fault = f"resizing {self.size} to {size} changes the aspect ratio, and millimetres with it"
            raise DataError(f"case {self.id}: {fault}; use fitted((H, W)), which pads instead")

        def stretched(image: np.ndarray) -> np.ndarray:
            return resize(image.astype(np.float32), size, order=1, anti_aliasing=True)

        return replace(
            self,
            image=np.clip(stretched(self.image), 0, 1),
            landmarks=scale_points(self.landmarks, self.size, size),
            masks=None if self.masks is None else np.stack([stretched(mask) >= 0.5 for mask in self.masks]),
            spacing=None if self.spacing is None else self.spacing / columns,
        )


def _packed(image: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] as whole numbers of 8 or 16 bit, where these give back the same float32, else as it is."""
    for kind in (np.uint8, np.uint16):
        values = np.round(image * np.iinfo(kind).max).astype(kind)
        if (_unpacked(values) == image).all():
            return values
    return image


def _unpacked(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return values
    image = values.astype(np.float32) / np.iinfo(values.dtype).max
    image.flags.writeable = False  # what would be written into it would be lost
    return image


class _Image:
    """The field `image` of a case: packed or not, it is given as float32."""

    def __get__(self, case: Case | None, owner: type | None = None) -> Any:
        return self if case is None else _unpacked(vars(case)["image"])

    def __set__(self, case: Case, image: np.ndarray) -> None:
        vars(case)["image"] = image


Case.image = _Image()  # type: ignore[assignment]  # here, since as a default it would stand before fields that have none
