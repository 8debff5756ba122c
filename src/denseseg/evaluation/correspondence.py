"""How far correspondence is from the truth: at the pixels of a uv map, and of landmarks across cases. Only phantoms can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from denseseg.anatomy import Anatomy
from denseseg.geometry.template import Template


class KnowsCorrespondence(Protocol):
    """A phantom: it says where in its undeformed shape an image point of a structure came from, and the other way round."""

    def material(self, structure_index: int, points: np.ndarray) -> np.ndarray:
        """(P, 2) image pixels -> (P, 2) canonical pixels."""

    def place(self, structure_index: int, material: np.ndarray) -> np.ndarray:
        """(P, 2) canonical pixels -> (P, 2) image pixels."""


def dense_correspondence_error(
    phantom: KnowsCorrespondence, template: Template, uv: Any, mask: Any, to_template: Callable | None = None
) -> pd.DataFrame:
    """Distance between the place in the template that a map gives to each pixel, and the true place.

    phantom: the case's phantom. Its truth is in canonical coordinates, so `template` must hold the canonical landmarks:
        `Template(phantom.case.anatomy, phantom.canonical, phantom.size)`; not a mean of deformed cases.
    uv: (C, 2, H, W) and mask: (C, H, W) bool, arrays or CPU tensors; generated or predicted; pixels in the mask count.
    to_template: (structure index, (P, 2) uv) -> (P, 2) template pixels, for maps in another chart than the template's box.
    Returns a row per structure: `structure`, `group`, `mean`, `p95` and `worst` distance in template pixels (NaN where the mask
    is empty), and `pixels`, the number of pixels compared.
    """
    uv, mask = np.asarray(uv, dtype=float), np.asarray(mask, dtype=bool)
    convert = to_template or template.from_uv
    rows = []
    for c, structure in enumerate(template.anatomy.structures):
        points = np.argwhere(mask[c])[:, ::-1].astype(float)
        place = convert(c, uv[c][:, mask[c]].T)
        distance = np.linalg.norm(place - phantom.material(c, points), axis=-1)
        distance = distance[np.isfinite(distance)]
        mean, p95, worst = (distance.mean(), np.quantile(distance, 0.95), distance.max()) if len(distance) else [np.nan] * 3
        rows.append((structure.name, structure.group, mean, p95, worst, len(distance)))
    return pd.DataFrame(rows, columns=["structure", "group", "mean", "p95", "worst", "pixels"])


def consistent_places(phantoms: Sequence[KnowsCorrespondence], landmarks: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Where landmarks would be if each were the same place of the anatomy in all phantoms: (M, N, 2) pixels, NaN where missing.

    landmarks: (M, N, 2) pixels, one set in each phantom, such as those that a registration made. Their distance from the result is
    the error of their correspondence. The place is the landmark's mean in the canonical shape: nobody says which one was meant,
    so with M phantoms the error comes out smaller by about 1 / 2M.
    """
    places = np.full(landmarks.shape, np.nan)
    for c, where in enumerate(anatomy.slices.values()):
        known = [m for m, points in enumerate(landmarks[:, where]) if np.isfinite(points).all()]
        if known:
            mean = np.mean([phantoms[m].material(c, landmarks[m, where]) for m in known], axis=0)
            places[known, where] = [phantoms[m].place(c, mean) for m in known]
    return places
