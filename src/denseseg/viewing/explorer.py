"""The uv explorer: an image and its template side by side, joined by uv.

Point at a place in one panel and see the same place in the other; drag a landmark, or place a new one that no one ever trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.colors import to_hex
from scipy.ndimage import binary_dilation

from denseseg.errors import DataError
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.viewing.plots.style import UV_CORNERS, structure_colours
from denseseg.viewing.widget import Widget, grey, packed

INVALID = -32768  # the Int16 that no uv is rounded to


class Explorer(Widget):
    """Two panels joined by uv. Make one with `UVExplorer` or `PairExplorer`.

    data: what the module draws (see `explorer_data`).
    landmarks: the landmarks that were moved or placed, each {"name", "structure", "u", "v"}; in a live notebook, Python may set it.
    """

    module = "explorer"
    title = "uv explorer"
    landmarks: traitlets.List = traitlets.List().tag(sync=True)


class UVExplorer(Explorer):
    """A radiograph with its uv maps beside the template.

    image: (H, W) in [0, 1]. uv: (C, 2, H, W). valid: (C, H, W) bool, where the maps hold; of a prediction, its masks.
    title: the image's name above its panel. spacing: mm per pixel of the image, or None.
    Raises DataError where shapes do not fit the template's anatomy.
    """

    def __init__(
        self, image: Any, uv: Any, valid: Any, template: Template, title: str = "radiograph", spacing: float | None = None
    ) -> None:
        sides = [image_side(image, uv, valid, template, title, spacing), template_side(template)]
        super().__init__(data=explorer_data(sides, template))


class PairExplorer(Explorer):
    """Two radiographs joined through the template: point at a place in one, see the corresponding place in the other.

    first, second: (image, uv, valid) as for `UVExplorer`. titles, spacings: one for each.
    """

    def __init__(
        self,
        first: tuple[Any, Any, Any],
        second: tuple[Any, Any, Any],
        template: Template,
        titles: Sequence[str] = ("first case", "second case"),
        spacings: Sequence[float | None] = (None, None),
    ) -> None:
        cases = zip((first, second), titles, spacings, strict=True)
        sides = [image_side(*arrays, template, title, spacing) for arrays, title, spacing in cases]
        super().__init__(data=explorer_data(sides, template))


def explorer_data(sides: list[dict[str, Any]], template: Template) -> dict[str, Any]:
    """Everything that the module needs, as JSON: structures, the template's landmarks in uv, uv corner colours, two panels."""
    anatomy, colours = template.anatomy, structure_colours(template.anatomy)
    members = anatomy.membership.tolist()
    return {
        "structures": [{"name": s.name, "colour": to_hex(colours[s.name]), "contour": s.outlined} for s in anatomy.structures],
        "landmarks": [[c, round(u, 5), round(v, 5)] for c, (u, v) in zip(members, template.uv.tolist(), strict=True)],
        "corners": UV_CORNERS.tolist(),
        "sides": sides,
    }


def image_side(image: Any, uv: Any, valid: Any, template: Template, title: str, spacing: float | None) -> dict[str, Any]:
    """A panel: the image in 8 bit and one chart per structure."""
    image, uv, valid = np.asarray(image), np.asarray(uv, dtype=float), np.asarray(valid, dtype=bool)
    count = len(template.anatomy)
    if uv.shape != (count, 2, *image.shape) or valid.shape != (count, *image.shape):
        raise DataError(
            f"{title}: image {image.shape}, uv {uv.shape} and valid {valid.shape} do not fit together; "
            f"give (H, W), ({count}, 2, H, W) and ({count}, H, W), one map for each structure of the {template.anatomy.name}"
        )
    return {
        "title": title, "width": image.shape[1], "height": image.shape[0], "spacing": spacing, "image": packed(grey(image)),
        "charts": [pack_chart(one, where) for one, where in zip(uv, valid, strict=True)],
    }  # fmt: skip


def template_side(template: Template, band: int = 3) -> dict[str, Any]:
    """A panel without an image: the charts of the template itself, on its masks and `band` pixels beyond."""
    outline = torch.as_tensor(template.points[None], dtype=torch.float32)
    masks = contour_masks(outline, template.anatomy, template.size)[0].numpy() > 0.5
    charts = []
    for index, (structure, mask) in enumerate(zip(template.anatomy.structures, masks, strict=True)):
        uv = template.identity_map(index)
        within = mask if structure.outlined else (np.abs(uv) <= 1).all(0)
        charts.append(pack_chart(uv, binary_dilation(within, iterations=band)))
    height, width = template.size
    return {"title": "template", "width": width, "height": height, "spacing": None, "image": None, "charts": charts}


def pack_chart(uv: np.ndarray, valid: np.ndarray) -> dict[str, Any] | None:
    """One map (2, H, W) as base64 Int16 within the bounding box of `valid` (H, W); None where nothing is valid.

    A value is n * limit / 32767 with limit = max(1, largest |uv|): rounding costs at most limit / 65534.
    """
    if not valid.any():
        return None
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, values = valid[box], uv[:, *box]
    limit = max(1.0, float(np.abs(values[:, inside]).max()))
    steps = np.where(inside, np.round(values / limit * 32767), INVALID).astype("<i2")
    place = {"x": int(columns[0]), "y": int(rows[0]), "width": inside.shape[1], "height": inside.shape[0]}
    return {**place, "limit": limit, "uv": packed(steps)}
