"""How far a uv map is from the truth inside a structure, not only at its landmarks. Only phantoms can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd

from denseseg.geometry.template import Template


class KnowsCorrespondence(Protocol):
    """A phantom: it says where in its undeformed shape an image point of a structure came from."""

    def material(self, structure_index: int, points: np.ndarray) -> np.ndarray:
        """(P, 2) image pixels -> (P, 2) canonical pixels."""


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
