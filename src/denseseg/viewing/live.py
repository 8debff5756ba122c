"""A network that answers while its radiograph is turned, darkened, made noisy or covered, and for a reader's own radiograph.

In a live notebook this kernel answers. In a built page ONNX Runtime Web does, after a click, from scripts beside the book's pages
(`course.live_scripts`); what is drawn, and how, is the same.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
import traitlets
from matplotlib.colors import to_hex
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.geometry.template import Template
from denseseg.prediction import Prediction
from denseseg.viewing.explorer import pack_chart
from denseseg.viewing.plots.style import structure_colours
from denseseg.viewing.widget import Widget, ellipses, grey, packed, pairs, rows


class Network(Protocol):
    """What is asked of a method: its predictions hold masks, uv maps and a covariance."""

    anatomy: Anatomy
    size: Size

    @property
    def fitted_template(self) -> Template: ...

    def predict(self, images: Tensor) -> list[Prediction]: ...


class Live(Widget):
    """A radiograph with what a network says of it, beside the template.

    method: a fitted DenseSeg with the choices of its graph (`methods.onnx_export.graph_choices`), so that a kernel says what a page
    says. cases: some radiographs to begin with, of the method's size. network: name of the graph's script in the folder `live` of
    the built book. Raises DataError where a case has another size or anatomy.

    image: index of the case that is shown, -1 for the reader's own. turn: degrees, clockwise. contrast: a factor round middle grey.
    brightness: added to the grey values, which are in [0, 1]. noise: standard deviation of what is added. plate: radius in pixels
    of a grey plate that covers a part, 0 for none; plate_at: its centre. point: a place in the template; where it is in the
    radiograph is read from the uv map. masks, lines, landmarks, ellipses: what is drawn. seen: the picture as the page shows it,
    and the number of the question; answer: what was predicted for it, and the number of the question that it answers.
    """

    module = "live"
    title = "the network in the page"
    image = traitlets.Int(0).tag(sync=True)
    turn = traitlets.Float(0.0).tag(sync=True)
    contrast = traitlets.Float(1.0).tag(sync=True)
    brightness = traitlets.Float(0.0).tag(sync=True)
    noise = traitlets.Float(0.0).tag(sync=True)
    plate = traitlets.Float(0.0).tag(sync=True)
    plate_at: traitlets.List = traitlets.List().tag(sync=True)
    point: traitlets.List = traitlets.List().tag(sync=True)
    masks = traitlets.Bool(True).tag(sync=True)
    lines = traitlets.Bool(True).tag(sync=True)
    landmarks = traitlets.Bool(True).tag(sync=True)
    ellipses = traitlets.Bool(False).tag(sync=True)
    seen: traitlets.Dict = traitlets.Dict().tag(sync=True)
    answer: traitlets.Dict = traitlets.Dict().tag(sync=True)

    def __init__(self, method: Network, cases: Sequence[Case], network: str = "chest") -> None:
        for case in cases:
            if case.size != method.size or case.anatomy != method.anatomy:
                wanted = f"{method.anatomy.name} of {method.size} pixels"
                raise DataError(f"case {case.id} is no {wanted}; call case.fitted({method.size})")
        self.method = method
        template, colours, (height, width) = method.fitted_template, structure_colours(method.anatomy), method.size
        structures = [
            {"name": one.name, "colour": to_hex(colours[one.name]), "outlined": one.outlined, "first": own.start, "end": own.stop}
            for one, own in zip(method.anatomy.structures, method.anatomy.slices.values(), strict=True)
        ]
        data = {
            "width": width, "height": height, "network": network, "structures": structures, "names": [case.id for case in cases],
            "images": [packed(grey(case.image)) for case in cases], "template": pairs(template.points),
            "lower": pairs(template.lower, 5), "extent": pairs(template.half_extent, 5),
        }  # fmt: skip
        first = method.anatomy.slices[method.anatomy.names[0]]
        middle, answer = template.points[first].mean(0).round(1), self._answer(grey(cases[0].image) / np.float32(255), 0)
        super().__init__(data=data, plate_at=[width / 2, height / 2], point=middle.tolist(), answer=answer)
        self.observe(self._asked, "seen")

    def _asked(self, change: Any) -> None:
        """The page shows another picture."""
        picture = np.frombuffer(base64.b64decode(change["new"]["picture"]), "<f4").reshape(self.method.size)
        self.answer = self._answer(picture, change["new"]["number"])

    def _answer(self, picture: np.ndarray, number: int) -> dict[str, Any]:
        """What the method says of an (H, W) picture in [0, 1], as JSON."""
        start = time.perf_counter()
        (found,) = self.method.predict(torch.tensor(picture)[None, None])
        seconds = time.perf_counter() - start
        points, covariance, uv, masks = found.landmarks, found.covariance, found.uv, found.masks
        assert points is not None and covariance is not None and uv is not None and masks is not None
        return {
            "number": number,
            "seconds": round(seconds, 3),
            "charts": [pack_chart(*one) for one in zip(uv, masks, strict=True)],
            "points": rows(points, 3),
            "covariance": ellipses(covariance),
            "absent": found.absent.tolist(),
        }
