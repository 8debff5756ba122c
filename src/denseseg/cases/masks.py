"""The masks of a case: its own, or what the contours of its landmarks enclose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.contour import Outline, mask_contours, polygon_mask
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.subsets import landmark_subset


def polygon_masks(landmarks: np.ndarray, case: Case) -> np.ndarray:
    """(C, H, W) bool: pixel centres inside the polygons of (N, 2) landmarks.

    Missing landmarks are skipped; a structure with fewer than three, or whose landmarks are no contour, has an empty mask.
    """
    masks = np.zeros((len(case.anatomy), *case.size), bool)
    for c, structure in enumerate(case.anatomy.structures):
        points = _known(landmarks[case.anatomy.slices[structure.name]])
        if structure.outlined and len(points) >= 3:
            masks[c] = polygon_mask(points, case.size)
    return masks


def true_outline(case: Case, index: int) -> Outline:
    """The true outline of a structure: its mask's where the case has masks, else the polygon of the known landmarks."""
    if case.masks is not None:
        return mask_contours(case.masks[index])
    points = _known(case.points(case.anatomy.names[index]))
    return [points] if len(points) >= 3 else []


def _known(points: np.ndarray) -> np.ndarray:
    """The (k, 2) points of (n, 2) that are not missing."""
    return points[~np.isnan(points).any(-1)]


def reduce_landmarks(cases: CaseSet, percent: int, points: np.ndarray) -> CaseSet:
    """The cases with `percent` of the landmarks of each structure, in their order along the contour, and unchanged masks.

    points: (N, 2) on which they are chosen: the template of the *training* cases.
    Where the landmarks bound the masks, the masks of all landmarks are kept, so that a coarser polygon is not taken for the truth.
    """
    anatomy = cases.anatomy.reduced(percent)
    keep = landmark_subset(points, cases.anatomy, percent)
    fewer = (replace(c, anatomy=anatomy, landmarks=c.landmarks[keep], masks=_masks(c), metadata=dict(c.metadata)) for c in cases)
    return CaseSet(f"{cases.name} {percent} %", anatomy, fewer, cases.info)


def _masks(case: Case) -> np.ndarray:
    if case.masks is not None:
        return case.masks
    return contour_masks(torch.as_tensor(case.landmarks)[None], case.anatomy, case.size)[0].numpy() > 0.5
