"""The metrics of an outline by hand: drag points of a predicted outline over a true one, and see what each metric sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets

from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.viewing.widget import Widget, in_unit, pairs


class OutlineMetrics(Widget):
    """A predicted outline over a true one, with the metrics of `evaluation.metrics` beside it, as one drags its points.

    truth: (n, 2) landmarks round a closed outline, pixels. predictions: name -> (n, 2), what the reader may start from; the first
    is shown. size: (H, W) of the image, on whose pixels the DSC is counted. spacing: mm per pixel; None leaves pixels.
    Raises DataError where shapes do not fit.

    points: the (n, 2) predicted landmarks as they are now. radius: of the SDR, in the unit. lit: the metric whose part of the
    picture is lit up: "tre", "along", "across", "sdr", "asd_one_way", "assd", "hd95" or "dsc".
    """

    module = "outline_metrics"
    title = "metrics of an outline"
    points: traitlets.List = traitlets.List().tag(sync=True)
    radius = traitlets.Float(4.0).tag(sync=True)
    lit = traitlets.Enum(["tre", "along", "across", "sdr", "asd_one_way", "assd", "hd95", "dsc"], "tre").tag(sync=True)

    def __init__(self, truth: Any, predictions: Mapping[str, Any], size: Size, spacing: float | None = None) -> None:
        starts = [{"name": name, "points": pairs(points)} for name, points in predictions.items()]
        data: dict[str, Any] = {
            "truth": pairs(truth), "predictions": starts, "width": size[1], "height": size[0],
            **in_unit(spacing),
        }  # fmt: skip
        if not starts or len(data["truth"]) < 3:
            raise DataError(
                f"{len(starts)} predictions of {np.shape(truth)} landmarks; give at least one, of an outline of 3 or more"
            )
        super().__init__(data=data, points=starts[0]["points"])
        for start in starts:
            self._fitting({"value": start["points"]})

    @traitlets.validate("points")
    def _fitting(self, proposal: Any) -> list[list[float]]:
        points, count = np.asarray(proposal["value"], float), len(self.data["truth"])
        if points.shape != (count, 2) or not np.isfinite(points).all():
            raise DataError(f"predicted landmarks of shape {points.shape} for {count} true ones; give ({count}, 2) finite numbers")
        return points.tolist()
