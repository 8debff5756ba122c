"""A correction tool: predicted landmarks to drag; where one is put right, its neighbours follow as shapes vary."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets
from matplotlib.colors import to_hex

from denseseg.anatomy import Anatomy, Kind
from denseseg.errors import DataError
from denseseg.geometry.shape_model import Errors
from denseseg.viewing.plots.style import structure_colours
from denseseg.viewing.widget import Widget, grey, in_unit, packed, require_places, rows


class CorrectionTool(Widget):
    """An image with predicted landmarks. What a person drags stays where it was put; the others move with it.

    image: (H, W) in [0, 1]; name: the file that is saved, for `denseseg import`, is NAME.json, of the image NAME.png.
    landmarks: (N, 2) pixels, predicted; NaN where there is none. errors: how their errors belong together, in the same pixels: of a
    trained method `fitted_shape_model.errors(noise)`, `scaled` where the image is larger than the method's. spacing: mm per pixel.
    Raises DataError where shapes do not fit.

    known: the landmarks that a person put somewhere, (x, y) in pixels, None for the others. `corrected` gives all of them.
    """

    module = "correction_tool"
    title = "correction tool"
    known: traitlets.List = traitlets.List().tag(sync=True)

    def __init__(
        self, image: Any, name: str, landmarks: Any, anatomy: Anatomy, errors: Errors, spacing: float | None = None
    ) -> None:
        image, points = np.asarray(image, float), np.asarray(landmarks, float)
        if image.ndim != 2 or points.shape != (anatomy.n_landmarks, 2) or len(errors.factors) != points.size:
            fault = f"image {image.shape}, landmarks {points.shape} and errors of {len(errors.factors) // 2} points do not fit"
            raise DataError(f"{fault}; give (H, W) and the {anatomy.n_landmarks} landmarks of the {anatomy.name}")
        self.predicted, self.errors = points, errors
        colours = structure_colours(anatomy)
        data = {
            "image": packed(grey(image)), "width": image.shape[1], "height": image.shape[0], "name": name, **in_unit(spacing),
            "ids": [f"{structure}: {index}" for structure, index, _ in anatomy.landmark_names],
            "points": rows(points, 3),
            "structures": [
                {"colour": to_hex(colours[s.name]), "start": own.start, "stop": own.stop, "line": s.kind != Kind.POINTS,
                 "closed": s.kind == Kind.OUTLINE}
                for s, own in zip(anatomy.structures, anatomy.slices.values(), strict=True)
            ],
            "factors": packed(errors.factors.astype("<f4")), "rest": errors.rest, "hand": errors.hand,
        }  # fmt: skip
        super().__init__(data=data, known=[None] * len(points))

    @property
    def corrected(self) -> np.ndarray:
        """(N, 2) pixels: the known landmarks, and the others as they follow."""
        return self.errors.corrected(self.predicted, np.array([[np.nan] * 2 if place is None else place for place in self.known]))

    @traitlets.validate("known")
    def _fitting(self, proposal: Any) -> list[list[float] | None]:
        require_places(proposal["value"], "places", len(self.data["points"]), "landmarks")
        return proposal["value"]
