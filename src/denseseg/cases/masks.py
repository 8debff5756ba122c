"""The masks of a case: its own, or what its landmarks enclose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.contour import Outline, mask_contours
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.subsets import landmark_subset


def true_masks(case: Case) -> np.ndarray:
    """(C, H, W) bool: the case's own masks where it has them, else what its landmarks enclose (see `polygon_masks`)."""
    return polygon_masks(case.landmarks, case) if case.masks is None else case.masks


def true_outlines(case: Case) -> list[Outline]:
    """The outlines of each structure: those of its mask where the case has masks, else the polygon of its known landmarks,
    or for a hull the contour of its mask.

    An outline is a list of closed curves (k, 2); that of a structure which is absent or covers no region is empty.
    """
    outlines: list[Outline] = []
    by_points = [case.masks is None and structure.outlined for structure in case.anatomy.structures]
    masks = np.empty(0) if all(by_points) else true_masks(case)
    for index, structure in enumerate(case.anatomy.structures):
        if by_points[index]:
            points = case.points(structure.name)
            points = points[~np.isnan(points).any(-1)]
            outlines.append([points] if len(points) >= 3 else [])
        else:
            outlines.append(mask_contours(masks[index]))
    return outlines


def polygon_masks(landmarks: np.ndarray, case: Case) -> np.ndarray:
    """(C, H, W) bool: pixel centres inside the regions of (N, 2) landmarks, true or predicted, in the image of a case.

    See `geometry.regions.find_regions` for what a structure covers; one that covers nothing has an empty mask.
    """
    return contour_masks(torch.as_tensor(landmarks)[None], case.anatomy, case.size)[0].numpy() > 0.5


def positive_weights(cases: Iterable[Case]) -> np.ndarray:
    """(C,) negative over positive pixels of each structure's masks in all cases: the paper's class weights (its L_BCE).

    The masks of one case at a time are in memory. A structure without any pixel counts as one.
    """
    positive, pixels = 0, 0
    for case in cases:
        positive = positive + true_masks(case).sum((1, 2))
        pixels += case.image.size
    return (pixels - positive) / np.maximum(positive, 1)


def reduce_landmarks(cases: CaseSet, percent: int, points: np.ndarray) -> CaseSet:
    """The cases with `percent` of the landmarks of each structure, in their order along the contour, and unchanged masks.

    points: (N, 2) on which they are chosen: the template of the *training* cases.
    Where the landmarks bound the masks, the masks of all landmarks are kept, so that a coarser polygon is not taken for the truth.
    """
    anatomy = cases.anatomy.reduced(percent)
    keep = landmark_subset(points, cases.anatomy, percent)
    fewer = (
        replace(c, anatomy=anatomy, landmarks=c.landmarks[keep], masks=true_masks(c), metadata=dict(c.metadata)) for c in cases
    )
    return CaseSet(f"{cases.name} {percent} %", anatomy, fewer, cases.info)
