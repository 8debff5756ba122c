"""Local appearance times spatial configuration by hand: drag a distractor, turn the widths, see where the product is brightest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from denseseg.errors import DataError
from denseseg.viewing.widget import Widget, counted, grey, heat_colours, in_unit, packed, pairs


class SpatialProduct(Widget):
    """The two components of a SpatialConfiguration-Net (Payer et al. 2019, Eq. 4) and their product, drawn by hand.

    image: (H, W) in [0, 1]. places: (n, 2) landmarks that look alike, pixels; names: one each. distractor: where one more such
    place is at first; None puts it below the others. spacing: mm per pixel, None leaves pixels. Raises DataError where shapes do
    not fit.

    which: the landmark that is meant. distractor: its (x, y); brightness: of its dot, 1 as bright as the others. offset: (x, y)
    from the true place to where spatial configuration expects it. appearance, configuration: widths (SD) of the dots, pixels.
    added: the sum in place of the product.
    """

    module = "spatial_product"
    title = "local appearance times spatial configuration"
    which = traitlets.Int(0).tag(sync=True)
    distractor: traitlets.List = traitlets.List(traitlets.Float(), minlen=2, maxlen=2).tag(sync=True)
    brightness = traitlets.Float(1.5, min=0).tag(sync=True)
    offset: traitlets.List = traitlets.List(traitlets.Float(), [0.0, 3.0], minlen=2, maxlen=2).tag(sync=True)
    appearance = traitlets.Float(1.5, min=0.1).tag(sync=True)
    configuration = traitlets.Float(6.0, min=0.1).tag(sync=True)
    added = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, image: Any, places: Any, names: Sequence[str], distractor: Sequence[float] | None = None, spacing: float | None = None
    ) -> None:
        image, places = np.asarray(image), np.asarray(places, float)
        if image.ndim != 2 or places.shape != (len(names), 2) or not np.isfinite(places).all():
            raise DataError(
                f"image {image.shape}, places {places.shape} and {len(names)} names do not fit; give (H, W), finite (n, 2) and n"
            )
        data = {
            "image": packed(grey(image)), "width": image.shape[1], "height": image.shape[0],
            "places": pairs(places, 6), "names": list(names),
            "colours": heat_colours(), **in_unit(spacing),
        }  # fmt: skip
        start = places.mean(0) + [0, 0.3 * image.shape[0]] if distractor is None else distractor
        super().__init__(data=data, distractor=[float(k) for k in start])

    @traitlets.validate("which")
    def _known(self, proposal: Any) -> int:
        return counted(proposal, len(self.data["places"]), "landmark")
