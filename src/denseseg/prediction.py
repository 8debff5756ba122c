"""What a method says of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError
from denseseg.files import write_csv
from denseseg.geometry.frame import Frame, Turn


class _Maps:
    """A field of maps, whole or as a function that gives them: those of a large original are made when they are asked for.

    They are not kept: 17 structures in 4280 x 2518 pixels, with uv and probabilities, would take 2.4 GB.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"_{name}"

    def __get__(self, prediction: Prediction | None, owner: type | None = None) -> np.ndarray | None:
        maps = None if prediction is None else vars(prediction)[self.name]  # None: the default of the field
        return maps() if callable(maps) else maps

    def __set__(self, prediction: Prediction, maps: np.ndarray | Callable[[], np.ndarray] | None) -> None:
        vars(prediction)[self.name] = maps


@dataclass
class Prediction:
    """What a method says of one image. None: this method has none of it; NaN: it could not be placed in this image.

    landmarks: (N, 2) pixels (x, y); NaN where a landmark was not found, or where its structure is absent.
    masks: (C, H, W) bool. Where a method has landmarks only, their outlines stand for masks.
    probabilities: (C, H, W) in [0, 1]. uv: (C, 2, H, W), meaningful inside the masks.
    presence: (C,) in [0, 1]. A structure below 0.5 is absent from the image, and that is knowledge, not failure.
    covariance: (N, 2, 2) pixels squared, of the landmarks as they are given here.
    peaks: (N,) height of each landmark's heatmap, 1 where it is surely there.
    ood_score: out-of-distribution score, how unlike the training cases image and prediction are: 0 is usual, above 1 is beyond the
        limit that validation cases set. None where no limit is known.
    ood_reasons: (C,) texts, of what is beyond the limit, for each structure; "" where nothing is.

    In an image that was scaled or turned for the method, masks, probabilities and uv are computed each time that they are asked
    for, since they may be large: ask once.

    Raises DataError where both landmarks and masks are None.
    """

    anatomy: Anatomy
    landmarks: np.ndarray | None
    masks: _Maps = _Maps()
    probabilities: _Maps = _Maps()
    uv: _Maps = _Maps()
    presence: np.ndarray | None = None
    covariance: np.ndarray | None = None
    peaks: np.ndarray | None = None
    ood_score: float | None = None
    ood_reasons: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.landmarks is None and vars(self)["_masks"] is None:
            raise DataError("a prediction needs landmarks or masks; mark landmarks that were not found with NaN")

    @property
    def absent(self) -> np.ndarray:
        """(C,) bool: structures that the method knows not to be there."""
        return np.zeros(len(self.anatomy), bool) if self.presence is None else np.asarray(self.presence) < 0.5

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of structures that are not absent, but lack a landmark, or where there are no landmarks have an empty mask."""
        if self.landmarks is not None:
            gone = np.isnan(self.landmarks).any(1)
            lost = np.array([gone[where].any() for where in self.anatomy.slices.values()])
        else:
            masks = self.masks
            assert masks is not None
            lost = np.array([not mask.any() for mask in masks])
        return tuple(name for name, one in zip(self.anatomy.names, lost & ~self.absent, strict=True) if one)

    @property
    def doubtful(self) -> bool:
        """Whether this is beyond the limit of the out-of-distribution score; never where no limit is known."""
        return self.ood_score is not None and self.ood_score > 1

    @property
    def refusals(self) -> tuple[str, ...]:
        """(C,) why a structure is not to be believed, "" where it is: what is beyond a limit, or that it was not found."""
        reasons = self.ood_reasons or ("",) * len(self.anatomy)
        lost = self.failed
        return tuple(
            reason or ("not found" if name in lost else "") for name, reason in zip(self.anatomy.names, reasons, strict=True)
        )

    def table(self) -> pd.DataFrame:
        """One row a landmark: structure, index, label where the anatomy has some, x, y in pixels; of its structure whether it is
        absent and the refusal; of the image the ood_score, NaN where no limit is known.

        Raises DataError where there are no landmarks.
        """
        if self.landmarks is None:
            raise DataError("this method predicts masks alone; there are no landmarks to list")
        table = pd.DataFrame(self.anatomy.landmark_names, columns=["structure", "index", "label"])
        table[["x", "y"]] = self.landmarks
        member = self.anatomy.membership
        table["absent"], table["refusal"] = self.absent[member], np.array(self.refusals, dtype=object)[member]
        table["ood_score"] = np.nan if self.ood_score is None else round(self.ood_score, 2)
        return table if any(s.labels for s in self.anatomy.structures) else table.drop(columns="label")

    def to_csv(self, path: str | Path) -> Path:
        """Write `table` to a CSV file; coordinates to 1e-3 pixel, empty where a landmark was not found. Raises DataError."""
        return write_csv(Path(path), self.table())

    def restored(self, frame: Frame | Turn) -> Prediction:
        """The prediction in the original image, of which the method saw the fitted one.

        Points move exactly; maps bilinearly where the image was scaled, and exactly where it was turned.
        """
        if frame.unchanged:
            return self

        def back(name: str) -> Callable[[], np.ndarray] | None:
            return None if vars(self)[f"_{name}"] is None else partial(_maps_of, self, name, frame)

        return replace(
            self,
            landmarks=None if self.landmarks is None else frame.to_original(self.landmarks),
            masks=back("masks"),
            probabilities=back("probabilities"),
            uv=back("uv"),
            covariance=None if self.covariance is None else frame.covariance_to_original(self.covariance),
        )


def _maps_of(prediction: Prediction, name: str, frame: Frame | Turn) -> np.ndarray:
    """A field of maps in the original image."""
    maps = getattr(prediction, name)
    return frame.maps_to_original(np.asarray(maps, bool) if name == "masks" else maps)


def stacked_landmarks(predictions: Sequence[Prediction]) -> np.ndarray:
    """(M, N, 2) landmarks of M predictions, pixels. Raises DataError where a method has none, or M is 0."""
    points = [prediction.landmarks for prediction in predictions if prediction.landmarks is not None]
    if len(points) < len(predictions):
        raise DataError("this method predicts masks alone; there are no landmarks to compare")
    if not points:
        raise DataError("there are no predictions, so no landmarks to compare; give at least one")
    return np.stack(points)
