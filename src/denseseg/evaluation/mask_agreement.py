"""Quality control of annotations: do landmarks enclose what the mask says?"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from denseseg.cases.case import Case
from denseseg.cases.masks import polygon_masks, true_masks
from denseseg.evaluation.metrics import dice

THRESHOLDS = (0.8, 0.875, 0.9)  # least Dice of a case that stayed in the wrist set; its authors publish a file for each


def mask_agreement(cases: Iterable[Case]) -> pd.DataFrame:
    """Dice of each structure's mask with the polygon of its landmarks, a row each, the worst first: `case`, `structure`, `dice`.

    0 where there is only one of the two; structures that have neither are left out. A case without masks always agrees.
    Landmarks may be in the wrong places of the right outline: that it does not see.
    """
    rows = []
    for case in cases:
        pairs = zip(case.anatomy.names, polygon_masks(case.landmarks, case), true_masks(case), strict=True)
        rows += [(case.id, name, dice(polygon, mask)) for name, polygon, mask in pairs if np.any(polygon | mask)]
    return pd.DataFrame(rows, columns=["case", "structure", "dice"]).sort_values("dice", ignore_index=True)
