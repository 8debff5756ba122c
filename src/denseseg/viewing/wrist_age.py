"""One phantom child's wrist at many ages: bones appear, growth plates close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import imageio.v3 as imageio
import numpy as np
import traitlets

from denseseg.anatomy import WRIST
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.phantom import WristPhantom
from denseseg.phantom.wrist.growth import plate_gap
from denseseg.viewing.widget import Widget, grey, packed

AGES = tuple(np.arange(2, 17.01, 0.5).tolist())
KEPT = 3  # every third landmark is enough for an outline on a screen
PLATES = ("radius", "ulna", "epiphysis of radius", "epiphysis of ulna")


class WristAge(Widget):
    """A wrist phantom (see `WristPhantom`) at evenly spaced ages, its bones named where one points.

    seed, index: which child. ages: in years, in order, at least two. size: (H, W) of a frame, about 12 high to 7 wide.
    Raises DataError for other ages or sizes.

    age: in years; the nearest frame is shown. lit: the name of the bone that is lit up, "growth plates", or "" for none.
    """

    module = "wrist_age"
    title = "a wrist and its age"
    age = traitlets.Float(2.0).tag(sync=True)
    lit = traitlets.Unicode("").tag(sync=True)

    def __init__(self, seed: int = 0, index: int = 0, ages: Sequence[float] = AGES, size: Size = (240, 140)) -> None:
        if len(ages) < 2 or np.ptp(np.diff(ages)) > 1e-6 or ages[1] <= ages[0]:
            raise DataError(f"ages {list(ages)}: give at least two, evenly spaced and in order")
        phantoms = [WristPhantom(seed, index, size, float(age)) for age in ages]
        child = phantoms[0].child
        bones = [
            {
                "name": s.name,
                "group": s.group,
                "onset": round(float(onset), 2) if np.isfinite(onset) else None,
                "plate": s.name in PLATES,
            }
            for s, onset in zip(WRIST.structures, child.onsets, strict=True)
        ]
        data = {
            "width": size[1], "height": size[0], "bones": bones, "tempo": round(child.bone_age - child.age, 3),
            "counts": [len(range(0, count, KEPT)) for count in WRIST.counts], "frames": [wrist_frame(p) for p in phantoms],
        }  # fmt: skip
        super().__init__(data=data, age=float(ages[0]))


def wrist_frame(phantom: WristPhantom) -> dict[str, Any]:
    """One age: the radiograph as JPEG, and the outlines of all bones, also of those to come, in steps of 1/64 pixel."""
    canonical = phantom.canonical
    outlines = [phantom.place(c, canonical[where][::KEPT]) for c, where in enumerate(WRIST.slices.values())]
    steps = np.round(64 * np.concatenate(outlines)).clip(-32768, 32767).astype("<i2")
    jpeg = imageio.imwrite("<bytes>", grey(phantom.case.image), extension=".jpg", quality=85)
    child = phantom.child
    return {
        "age": round(child.age, 2), "bone_age": round(child.bone_age, 2), "plate_gap": round(plate_gap(child.bone_age), 3),
        "present": [bool(there) for there in child.present],
        "image": packed(np.frombuffer(jpeg, np.uint8)), "outlines": packed(steps),
    }  # fmt: skip
