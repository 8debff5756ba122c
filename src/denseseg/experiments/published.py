"""Tables for people: the published numbers, ours beside them, and export as markdown or LaTeX.

The published numbers are facts from Keuth et al., DenseSeg (2025), Tables 1 and 2. Their "ASD" is one-directional, from the
predicted landmarks to the true contour (for nnU-Net from all its contour points), so it is called `asd_one_way` here.
"""

from __future__ import annotations

import pandas as pd

# Each line: group, metric, then mean and SD of each method in the order of the header.
_JSRT_METHODS = ("ShapeFormer", "HeatReg", "HeatRegSeg", "DenseSeg", "DenseSeg sparse", "nnU-Net")


_JSRT = """
lungs      dsc          95.6 2.0   97.1 0.9   96.8 1.2   96.7 1.4   96.6 1.5   98.1 0.8
lungs      asd_one_way   2.7 1.2    1.9 0.6    1.8 0.6    2.1 0.6    3.4 1.1    1.4 0.6
lungs      tre           6.0 2.4    5.7 1.5    5.6 1.7    6.2 1.8    6.9 2.8    - -
heart      dsc          92.3 4.7   94.2 2.1   92.9 3.5   92.7 2.8   92.6 2.7   95.2 2.1
heart      asd_one_way   4.7 2.3    3.8 1.3    3.8 1.3    3.9 1.5    5.4 1.8    3.0 1.2
heart      tre           9.4 9.3    8.5 8.9    8.4 9.0    8.1 9.0    9.6 8.9    - -
clavicles  dsc          78.9 9.5   82.8 5.3   78.8 5.5   82.9 4.9   81.7 5.4   93.4 2.7
clavicles  asd_one_way   3.0 1.3    2.4 0.7    2.2 0.7    1.7 0.6    1.9 0.5    1.1 0.3
clavicles  tre           5.1 2.1    4.2 1.4    4.0 1.4    3.2 1.3    3.2 1.2    - -
average    dsc          88.9 5.4   91.4 2.8   89.5 3.4   90.8 3.0   90.3 3.2   95.6 2.9
average    asd_one_way   3.5 1.6    2.7 0.9    2.6 0.9    2.6 0.9    3.5 1.1    1.6 1.0
average    tre           6.8 4.6    6.1 3.9    6.0 4.0    5.8 4.0    6.6 4.3    - -
"""


_GRAZ_METHODS = ("HeatReg 720", "HeatReg 178", "HeatRegSeg", "DenseSeg")


_GRAZ = """
carpals      dsc          90.1 5.0   87.0 5.1   88.0 7.8   88.8 6.9
carpals      asd_one_way   1.8 0.4    1.8 0.5    1.8 0.4    1.0 0.4
carpals      tre           2.5 0.7    2.7 0.8    2.5 0.7    1.7 0.6
metacarpals  dsc          87.1 5.3   83.8 5.2   94.7 3.0   94.4 3.4
metacarpals  asd_one_way   2.0 0.4    2.0 0.7    2.0 0.4    1.2 0.9
metacarpals  tre           4.8 1.7    5.6 1.9    5.0 1.9    2.5 1.5
ulna/radius  dsc          87.2 8.8   81.8 9.7   94.3 4.8   94.4 4.6
ulna/radius  asd_one_way   1.9 0.6    1.6 0.4    1.7 0.6    1.0 0.5
ulna/radius  tre           6.9 4.6    5.7 3.2    6.9 4.3    3.2 2.2
average      dsc          88.1 6.4   84.2 6.7   92.3 5.2   92.6 5.0
average      asd_one_way   1.9 0.5    1.8 0.5    1.8 0.5    1.1 0.6
average      tre           4.8 2.3    4.6 2.0    4.8 2.3    2.5 1.4
"""


def published() -> pd.DataFrame:
    """Tables 1 (JSRT, mm) and 2 (GRAZPEDWRI-DX, px) of the DenseSeg paper: dataset, method, group, metric, mean, sd, unit."""
    rows = [*_parse("JSRT", _JSRT_METHODS, _JSRT, "mm"), *_parse("GRAZPEDWRI-DX", _GRAZ_METHODS, _GRAZ, "px")]
    return pd.DataFrame(rows, columns=["dataset", "method", "group", "metric", "mean", "sd", "unit"])


def _parse(dataset: str, methods: tuple[str, ...], text: str, unit: str) -> list[tuple]:
    rows = []
    for line in text.strip().splitlines():
        group, metric, *numbers = line.split()
        for method, mean, sd in zip(methods, numbers[::2], numbers[1::2], strict=True):
            if mean != "-":
                rows.append((dataset, method, group, metric, float(mean), float(sd), "%" if metric == "dsc" else unit))
    return rows
