"""A uv map under the microscope: one landmark read by Equation 3 and by the affine fit, with the pixels that each of them uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from denseseg.errors import DataError
from denseseg.viewing.widget import Widget, counted, in_unit, packed, pairs


class DecoderMicroscope(Widget):
    """The pixels round a landmark, in the image and in uv, and where `geometry.decode`'s two inversions put it.

    uv: (2, H, W) one structure's map; mask: (H, W) bool; targets: (n, 2) the landmarks' uv; truth: (n, 2) where they are, pixels;
    half_extent: pixels per unit of u and of v, as in `decode.affine_inversion`; spacing: mm per pixel, None leaves pixels.
    Raises DataError where shapes do not fit or the mask is empty.

    landmark: which of the n is shown. k, temperature: of Equation 3; the paper has 5 and 1. noise: SD that is added to the map, in
    pixels; seed: of this noise.
    """

    module = "decoder_microscope"
    title = "decoder microscope"
    landmark = traitlets.Int(0).tag(sync=True)
    k = traitlets.Int(5, min=1, max=25).tag(sync=True)
    temperature = traitlets.Float(1.0, min=0.001).tag(sync=True)
    noise = traitlets.Float(0.0, min=0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)

    def __init__(self, uv: Any, mask: Any, targets: Any, truth: Any, half_extent: Any = (1.0, 1.0), spacing: float | None = None):
        uv, mask, targets, truth = (np.asarray(array) for array in (uv, mask, targets, truth))
        if uv.shape != (2, *mask.shape) or targets.shape != truth.shape or targets.shape[1:] != (2,) or not mask.any():
            shapes = f"uv {uv.shape}, mask {mask.shape}, targets {targets.shape} and truth {truth.shape}"
            raise DataError(f"{shapes} do not fit; give (2, H, W), (H, W) that is not empty, (n, 2) and (n, 2)")
        (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (1, 0))
        box = np.s_[..., top : bottom + 1, left : right + 1]
        values = np.where(mask, uv, np.nan)[box].astype("<f4")
        data = {
            "x": int(left), "y": int(top), "width": values.shape[2], "height": values.shape[1], "uv": packed(values),
            "targets": pairs(targets, 9), "truth": pairs(truth, 6), "extent": [float(k) for k in half_extent],
            **in_unit(spacing),
        }  # fmt: skip
        super().__init__(data=data)

    @traitlets.validate("landmark")
    def _known(self, proposal: Any) -> int:
        return counted(proposal, len(self.data["targets"]))
