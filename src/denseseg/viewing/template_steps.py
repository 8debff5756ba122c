"""A template step by step: some shapes, aligned or not, their mean, and what one spoilt case does to it and to its own map."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from denseseg.errors import DataError
from denseseg.geometry.similarity import Similarity
from denseseg.viewing.widget import Widget, grey, in_unit, packed, pairs

ROOM = 1.15  # side of both panels, in lengths of the longest shape


class TemplateSteps(Widget):
    """The mean of shapes of one structure as a reader aligns them and spoils one of them, and the uv map of that case.

    shapes: (M, n, 2) closed outlines of at least two cases, pixels, n >= 8. The second is the reader's, and `image`, (H, W) in
    [0, 1], is the image that it was marked on. Aligned shapes lie in the frame of the first, as in `similarity.procrustes_mean`.
    spacing: mm per pixel, None leaves pixels. seed: of how askew films lie. Raises DataError where shapes do not fit.

    points: the (n, 2) landmarks of the reader's case, in the right order. alignment: "none", "translation", "rotation" (and
    translation) or "scale" (and both). numbering: of the reader's case, "right", "swapped" (two), "shifted" (by one) or
    "reversed". count: how many of the M shapes take part. askew: from 0 (shapes as they were taken) to 1 (each turned, moved
    and enlarged).
    """

    module = "template_steps"
    title = "a template step by step"
    points: traitlets.List = traitlets.List().tag(sync=True)
    alignment = traitlets.Enum(["none", "translation", "rotation", "scale"], "none").tag(sync=True)
    numbering = traitlets.Enum(["right", "swapped", "shifted", "reversed"], "right").tag(sync=True)
    count = traitlets.Int(2).tag(sync=True)
    askew = traitlets.Float(0.0, min=0, max=1).tag(sync=True)

    def __init__(self, image: Any, shapes: Any, spacing: float | None = None, seed: int = 0) -> None:
        image, shapes = np.asarray(image), np.asarray(shapes, float)
        fits = image.ndim == 2 and shapes.ndim == 3 and shapes.shape[2] == 2 and len(shapes) >= 2 and shapes.shape[1] >= 8
        if not fits or not np.isfinite(shapes).all():
            raise DataError(f"image {image.shape} and shapes {shapes.shape}: give (H, W) and finite (M >= 2, n >= 8, 2)")
        lower, upper = shapes.min((0, 1)), shapes.max((0, 1))
        side = int(np.ceil(ROOM * (upper - lower).max()))
        sheet = (lower + upper - side) / 2
        free = np.array(image.shape[::-1]) - side  # the panel with the image does not reach beyond it where both fit
        x, y = np.round(np.clip(sheet, np.minimum(free, 0), np.maximum(free, 0))).astype(int).tolist()
        around = np.pad(grey(image), side)
        poses = films_askew(len(shapes), (lower + upper) / 2, side, seed)
        data = {
            "x": x, "y": y, "width": side, "height": side, "sheet": sheet.round(3).tolist(),
            "image": packed(around[y + side :, x + side :][:side, :side]),
            "shapes": [pairs(shape) for shape in shapes], "poses": [pose_row(pose) for pose in poses],
            **in_unit(spacing),
        }  # fmt: skip
        super().__init__(data=data, points=data["shapes"][1], count=len(shapes))

    @traitlets.validate("points")
    def _fitting(self, proposal: Any) -> list[list[float]]:
        points, count = np.asarray(proposal["value"], float), len(self.data["shapes"][0])
        if points.shape != (count, 2) or not np.isfinite(points).all():
            raise DataError(f"landmarks of shape {points.shape}; give ({count}, 2) finite numbers")
        return points.tolist()

    @traitlets.validate("count")
    def _known(self, proposal: Any) -> int:
        if not 2 <= proposal["value"] <= len(self.data["shapes"]):
            raise DataError(f"{proposal['value']} of {len(self.data['shapes'])} shapes; at least two take part")
        return proposal["value"]


def films_askew(count: int, centre: np.ndarray, side: float, seed: int) -> list[Similarity]:
    """How films lie on a table: turned by up to 40 degrees round `centre`, moved, larger or smaller; the first lies straight."""
    rng = np.random.default_rng(seed)
    poses = [Similarity(1.0, np.eye(2), np.zeros(2))]
    for _ in range(count - 1):
        angle, scale, shift = rng.uniform(-0.7, 0.7), rng.uniform(0.75, 1.1), rng.uniform(-0.1, 0.1, 2) * side
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        poses.append(Similarity(scale, rotation, centre + shift - scale * rotation @ centre))
    return poses


def pose_row(pose: Similarity) -> list[float]:
    """The first column of scale times rotation, then the translation: all that a similarity in the plane needs."""
    return [round(float(k), 6) for k in (*(pose.scale * pose.rotation[:, 0]), *pose.translation)]
