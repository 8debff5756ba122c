"""Masks against the outlines of their own case."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.health.finding import Finding

GAIN = 0.15  # in the mean Dice, beyond which a change is believed
LEAST = 0.5  # Dice below which a mask and its outline are odd


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """2 |A and B| / (|A| + |B|) of two masks, 0 where both are empty."""
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def mask_findings(cases: CaseSet) -> Iterator[Finding]:
    """One for each case with masks at most: the mistake that explains it best, else the structure whose mask fits worst."""
    for case in cases:
        if case.masks is None or np.isnan(case.landmarks).all():
            continue
        from denseseg.cases.masks import polygon_masks  # loads torch, which sets without masks do without

        outlines = polygon_masks(case.landmarks, case)
        there = outlines.any((1, 2))
        if there.any():
            finding = _mask_finding(case, case.masks[there], outlines[there], np.array(case.anatomy.names)[there])
            if finding is not None:
                yield finding


def _mask_finding(case: Case, masks: np.ndarray, outlines: np.ndarray, names: np.ndarray) -> Finding | None:
    overlap = np.array([dice(a, b) for a, b in zip(masks, outlines, strict=True)])
    empty = ~masks.any((1, 2))
    if empty.any():
        what = f"the mask of its {', '.join(names[empty][:3])} is empty, though there are landmarks"
        return Finding(10.0, case.id, what, "make it again, or remove all its masks: outlines then stand for them")
    trials = {
        told: np.mean([dice(a, b) for a, b in zip(changed, outlines, strict=True)]) for told, changed in _changes(masks, outlines)
    }
    (what, mend), best = max(trials.items(), key=lambda item: item[1])
    if best > overlap.mean() + GAIN:
        return Finding(float(best - overlap.mean()) / GAIN, case.id, what, mend)
    worst = int(overlap.argmin())
    if overlap[worst] >= LEAST:
        return None
    larger = masks[worst].sum() / outlines[worst].sum()
    found = f"Dice {overlap[worst]:.2f}; the mask has {larger:.2g} times the pixels"
    what = f"mask and outline of its {names[worst]} hardly overlap ({found})"
    return Finding(float(LEAST / max(overlap[worst], 0.05)), case.id, what, "find out which of the two is wrong")


def _changes(masks: np.ndarray, outlines: np.ndarray) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """The masks without a usual mistake."""
    overlap = np.array([[dice(mask, outline) for mask in masks] for outline in outlines])
    best = linear_sum_assignment(-overlap)[1]
    yield ("its masks are in another order than the structures", "put them into the order of dataset.toml"), masks[best]
    if masks.shape[1] == masks.shape[2]:
        yield ("its masks are transposed", "save them as (structure, row, column)"), masks.swapaxes(1, 2)
    yield ("its masks are mirrored left to right", "mirror them back"), masks[..., ::-1]
    yield ("its masks are upside down", "turn them over"), masks[:, ::-1]
    yield ("its masks are turned by 180 degrees", "turn them back"), masks[:, ::-1, ::-1]
    yield ("its masks are inverted", "a mask is true inside its structure"), ~masks
