"""A training film: what a network predicted of some cases after several epochs, its maps beside the true ones and their error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.geometry.template import Template
from denseseg.prediction import Prediction
from denseseg.viewing.plots.style import UV_CORNERS
from denseseg.viewing.widget import Widget, counted, ellipses, grey, heat_colours, in_unit, packed, rows

LIMIT = 1.5  # uv beyond it is cut off


class TrainingFilm(Widget):
    """Predicted uv maps beside the true ones, for several cases and several stages of one training.

    cases: M cases of one size, small ones, such as 48 pixels: all of it is written into the page. uv: (M, C, 2, H, W) true maps;
    masks: (M, C, H, W) bool, where they hold. stages: name of a stage, such as "epoch 3" -> M predictions with masks and uv.
    template: the one of the predictions. Raises DataError where shapes do not fit.

    stage: which stage is shown. case: which case. landmarks: whether predicted landmarks are shown, each with an ellipse of
    two standard deviations where the method has covariances, and a line to its true place.
    """

    module = "training_film"
    title = "training film"
    stage = traitlets.Int(0).tag(sync=True)
    case = traitlets.Int(0).tag(sync=True)
    landmarks = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, cases: Sequence[Case], uv: Any, masks: Any, stages: Mapping[str, Sequence[Prediction]], template: Template
    ) -> None:
        uv, masks = np.asarray(uv, float), np.asarray(masks, bool)
        count, size, structures = len(cases), cases[0].size, len(template.anatomy)
        if uv.shape != (count, structures, 2, *size) or masks.shape != (count, structures, *size):
            fitting = f"({count}, {structures}, 2, {size[0]}, {size[1]}) and ({count}, {structures}, {size[0]}, {size[1]})"
            raise DataError(f"uv {uv.shape} and masks {masks.shape} do not fit {count} cases; give {fitting}")
        for name, predictions in stages.items():
            if len(predictions) != count or any(p.uv is None or p.masks is None for p in predictions):
                raise DataError(f"{name}: {len(predictions)} predictions for {count} cases; give one each, with masks and uv")
        data = {
            "width": size[1], "height": size[0], "structures": structures, "limit": LIMIT, "corners": UV_CORNERS.tolist(),
            "extent": np.round(template.half_extent, 4).tolist(), "names": list(stages),
            "colours": heat_colours(),
            "cases": [
                {
                    "name": case.id, "image": packed(grey(case.image)), **in_unit(case.spacing),
                    "truth": _maps(true, mask) | {"points": rows(case.landmarks, 2)},
                    "stages": [_prediction(predictions[i]) for predictions in stages.values()],
                }
                for i, (case, true, mask) in enumerate(zip(cases, uv, masks, strict=True))
            ],
        }  # fmt: skip
        super().__init__(data=data, stage=len(stages) - 1)

    @traitlets.validate("stage", "case")
    def _known(self, proposal: Any) -> int:
        return counted(proposal, len(self.data[{"stage": "names", "case": "cases"}[proposal["trait"].name]]))


def _maps(uv: np.ndarray, masks: np.ndarray) -> dict[str, str]:
    """uv (C, 2, H, W) where masks (C, H, W) are true, in 8 bit: the masks as bits, and u and v of their pixels in order."""
    inside = np.moveaxis(uv, 1, -1)[masks]  # (pixels, 2)
    steps = np.round(np.clip(inside / LIMIT, -1, 1) * 127).astype(np.int8)
    return {"mask": packed(np.packbits(masks)), "uv": packed(steps)}


def _prediction(one: Prediction) -> dict[str, Any]:
    assert one.uv is not None and one.masks is not None
    return _maps(one.uv, one.masks) | {
        "points": None if one.landmarks is None else rows(one.landmarks, 2),
        "covariance": None if one.covariance is None else ellipses(one.covariance),
    }
