"""The uv explorer: an image and its template side by side, joined by uv.

Point at a place in one panel and see the same place in the other; drag a landmark, or place a new one that no one ever trained.
One JavaScript module draws it twice: live in a notebook, through anywidget, and without a kernel in a built page, where the
same module and its data are written into the HTML output.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import numpy as np
import torch
import traitlets
from matplotlib.colors import to_hex
from scipy.ndimage import binary_dilation

from denseseg.errors import DataError
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.viewing.plots.style import UV_CORNERS, structure_colours

FOLDER = Path(__file__).parent
INVALID = -32768  # the Int16 that no uv is rounded to


class Explorer(anywidget.AnyWidget):
    """Two panels joined by uv. Make one with `UVExplorer` or `PairExplorer`.

    data: what the module draws (see `explorer_data`).
    landmarks: in a live notebook, the landmarks that were moved or placed, each {"name", "structure", "u", "v"}.
    """

    _esm = FOLDER / "explorer.js"
    _css = FOLDER / "explorer.css"
    data = traitlets.Dict().tag(sync=True)
    landmarks: traitlets.List = traitlets.List().tag(sync=True)

    def html(self) -> str:
        """The explorer as a piece of HTML that needs no kernel and no network. Each call gives it a new element id."""
        name = f"uvx-{uuid4().hex}"
        style, module = ((FOLDER / f"explorer.{kind}").read_text("utf-8") for kind in ("css", "js"))
        data = json.dumps(self.data, separators=(",", ":")).replace("</", "<\\/")
        return (
            f'<style>\n{style}</style>\n<div id="{name}">This figure is interactive: it needs JavaScript.</div>\n'
            f'<script type="module">\n{module}\nmount(document.getElementById("{name}"), {data});\n</script>'
        )

    def save(self, path: str | Path, title: str = "uv explorer") -> Path:
        """Write a page of its own, to open from disk or to send to someone."""
        path = Path(path)
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        look = "<style>html { color-scheme: light dark; } body { margin: 1rem; }</style>"
        start = f'<!doctype html>\n<html lang="en"><head>{head}<title>{title}</title>{look}</head>'
        path.write_text(f"{start}<body>\n{self.html()}\n</body></html>\n", "utf-8")
        return path

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle and ({**bundle[0], "text/html": self.html()}, bundle[1])


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
    grey = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return {
        "title": title, "width": image.shape[1], "height": image.shape[0], "spacing": spacing, "image": _base64(grey),
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
    return {**place, "limit": limit, "uv": _base64(steps)}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
