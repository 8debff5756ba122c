"""A marking tool: each reader of a class marks the same points on the same image, and their files together show the scatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from denseseg.errors import DataError
from denseseg.viewing.widget import Widget, grey, in_unit, packed, pairs, require_places


class MarkingTool(Widget):
    """An image on which a reader marks points, and the marks of all readers whose files are loaded.

    image: (H, W) in [0, 1]; image_name: so that marks of another image are refused. names: what to mark, one point each.
    truth: (n, 2) where they are, pixels, or None. spacing: mm per pixel, None leaves pixels.
    Raises DataError where shapes do not fit.

    marks: the reader's own points, (x, y) in pixels, or None where one is not marked yet. reader: the reader's name.
    which: the point that the next click places. files: what was loaded, {"reader", "marks"} each. true: whether the truth is shown.
    """

    module = "marking_tool"
    title = "marking tool"
    marks: traitlets.List = traitlets.List().tag(sync=True)
    reader = traitlets.Unicode("").tag(sync=True)
    which = traitlets.Int(0, min=0).tag(sync=True)
    files: traitlets.List = traitlets.List().tag(sync=True)
    true = traitlets.Bool(False).tag(sync=True)

    def __init__(self, image: Any, image_name: str, names: Sequence[str], truth: Any = None, spacing: float | None = None) -> None:
        image, count = np.asarray(image, float), len(names)
        places = None if truth is None else np.asarray(truth, float)
        if image.ndim != 2 or not names or (places is not None and (places.shape != (count, 2) or not np.isfinite(places).all())):
            raise DataError(f"image {image.shape}, {count} names and truth {np.shape(truth)} do not fit; give (H, W), n and (n, 2)")
        data = {
            "image": packed(grey(image)), "width": image.shape[1], "height": image.shape[0], "image_name": image_name,
            "names": list(names), "truth": None if places is None else pairs(places),
            **in_unit(spacing),
        }  # fmt: skip
        super().__init__(data=data, marks=[None] * count)

    @traitlets.validate("marks")
    def _fitting(self, proposal: Any) -> list[list[float] | None]:
        require_places(proposal["value"], "marks", len(self.data["names"]), "points")
        return proposal["value"]
