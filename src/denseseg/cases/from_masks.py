"""Landmarks that correspond, for cases that have masks only (paper, Section 3.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.contour import mask_contours, perimeter
from denseseg.geometry.semilandmarks import corresponding_points

SPECK = 0.1  # a further part of a mask whose perimeter is at most this share of the first one's is overlooked


def landmarks_from_masks(cases: CaseSet) -> CaseSet:
    """The cases with as many landmarks on the outline of each structure's mask as the anatomy says, whatever they had before.

    Structures are done one by one: the outlines of all cases are brought into correspondence (see `corresponding_points`), and the
    landmarks are even on their mean. Where a mask is empty the structure is absent, its landmarks NaN. Where the image border cuts
    a structure, its landmarks run along the border: they tell where the image ends, not a place of the anatomy.

    The paper registers point clouds of a scan with a network that was trained for it, to one scan as reference; this is done
    outline by outline, without training, to the mean. Images should be upright to within some 45 degrees, and left hands not be
    mixed with right ones.

    Raises DataError where a structure is no outline, has no mask in any case, or a case has none or one that is in several parts.
    """
    landmarks = np.full((len(cases), cases.anatomy.n_landmarks, 2), np.nan)
    for structure, where in zip(cases.anatomy.structures, cases.anatomy.slices.values(), strict=True):
        if not structure.outlined:
            raise DataError(f"{structure.name}: kind = '{structure.kind}' cannot be read from masks; describe it as an outline")
        outlines = {i: outline for i, case in enumerate(cases) if (outline := mask_outline(case, structure.name)) is not None}
        if not outlines:
            raise DataError(f"{cases.name}: the mask of the {structure.name} is empty in every case; remove it from the anatomy")
        landmarks[list(outlines), where] = corresponding_points(list(outlines.values()), structure.count)
    made = (replace(c, landmarks=points, metadata=dict(c.metadata)) for c, points in zip(cases, landmarks, strict=True))
    return CaseSet(cases.name, cases.anatomy, made, cases.info | {"landmarks": "made from the masks"})


def mask_outline(case: Case, structure: str) -> np.ndarray | None:
    """(k, 2) closed outline of a structure's mask, at sub-pixel precision; None where the mask is empty.

    A part or hole is left out where its outline is at most a tenth (`SPECK`) as long as the longest. Raises DataError for a larger
    one, or where there is no mask at all.
    """
    if case.masks is None:
        raise DataError(f"case {case.id}: has no masks to make landmarks from; add its file to the folder masks/")
    curves = mask_contours(case.masks[case.anatomy.index(structure)])
    if any(perimeter(other) > SPECK * perimeter(curves[0]) for other in curves[1:]):
        raise DataError(f"case {case.id}: the mask of the {structure} has several parts, or a hole; leave one part and fill it")
    return curves[0] if curves else None
