"""Between annotations and cases: what is known of an image goes out to a tool, and comes back corrected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from denseseg.anatomy import Anatomy
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.exchange.annotation import Annotation
from denseseg.geometry.frame import Size, inside_image
from denseseg.geometry.regions import contour_masks
from denseseg.prediction import Prediction, stacked_landmarks
from denseseg.readers.image import read_image


def annotation_of(
    image: str, size: Size, landmarks: np.ndarray, spacing: float | None = None, refused: np.ndarray | None = None
) -> Annotation:
    """(N, 2) landmarks, true or predicted, of an image that the tool finds under this name.

    Those beyond its border are hidden, and so are those that are `refused`, (N,) bool: placed, but not to be believed.
    """
    doubted = np.zeros(len(landmarks), bool) if refused is None else refused
    hidden = np.isfinite(landmarks).all(1) & (doubted | ~inside_image(landmarks, size))
    return Annotation(image, size, landmarks, hidden, spacing)


def refused(prediction: Prediction) -> np.ndarray:
    """(N,) bool: landmarks of structures that are refused."""
    return np.array([bool(reason) for reason in prediction.refusals])[prediction.anatomy.membership]


def placed(prediction: Prediction) -> np.ndarray:
    """(N, 2) landmarks of the structures that the image shows, NaN for the others and where none was found.

    Raises DataError where the method predicts masks alone.
    """
    points = stacked_landmarks([prediction])[0]
    return np.where(prediction.absent[prediction.anatomy.membership, None], np.nan, points)


def masks_of(prediction: Prediction, size: Size) -> np.ndarray:
    """(C, H, W) bool: the predicted masks, or where a method has landmarks only, what these enclose in an image of `size`."""
    if (masks := prediction.masks) is not None:
        return masks
    return contour_masks(torch.as_tensor(prediction.landmarks)[None], prediction.anatomy, size)[0].numpy() > 0.5


def annotated_cases(annotations: Mapping[str, Annotation], images: Mapping[str, Path], anatomy: Anatomy) -> Iterator[Case]:
    """A case for each annotation that holds a landmark, from the image file of its name.

    Raises DataError where an image is missing, cannot be read, or has another size than the one that was annotated.
    """
    for name, annotation in _filled(annotations).items():
        if name not in images:
            raise DataError(f"there is no image for the annotation of {annotation.image}; add it, or remove the annotation")
        read = read_image(images[name])
        _check_size(annotation, read.image.shape)
        yield Case(name, read.image, annotation.landmarks, anatomy, spacing=read.spacing).packed()  # a set of large images must fit


def corrected_cases(cases: Iterable[Case], annotations: Mapping[str, Annotation]) -> Iterator[Case]:
    """The cases that annotations hold landmarks of, with these instead of their own; all else of a case stays.

    Raises DataError where an annotation is of no case, or of an image of another size.
    """
    left = _filled(annotations)
    for case in cases:
        if (annotation := left.pop(case.id, None)) is not None:
            _check_size(annotation, case.size)
            yield replace(case, landmarks=annotation.landmarks).packed()
    if left:
        raise DataError(
            f"the data set has no case {next(iter(left))!r}, which is annotated; remove the annotation, or give another set"
        )


def _filled(annotations: Mapping[str, Annotation]) -> dict[str, Annotation]:
    return {name: one for name, one in annotations.items() if np.isfinite(one.landmarks).any()}


def _check_size(annotation: Annotation, size: Size) -> None:
    if annotation.size not in (None, size):
        annotated, has = (f"{width} x {height}" for height, width in (annotation.size or size, size))
        fault = f"{annotation.image} was annotated at {annotated} pixels, the image has {has}"
        raise DataError(f"{fault}; give the image that was annotated, or annotate again")
