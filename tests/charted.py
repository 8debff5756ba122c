"""Tables to draw charts of."""

from __future__ import annotations

import numpy as np
import pandas as pd


def error_table(seed: int = 0) -> pd.DataFrame:
    """In the columns of evaluate: two metrics with two units."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"c{i}", g, m, rng.gamma(4, 1), unit)
        for m, unit in (("tre", "mm"), ("dsc", "%"))
        for g in ("round", "long")
        for i in range(6)
    ]
    return pd.DataFrame(rows, columns=["case", "group", "metric", "value", "unit"])


def history() -> pd.DataFrame:
    epoch = np.arange(1, 6)
    return pd.DataFrame({"epoch": epoch, "loss": 2 / epoch, "uv": 0.5 / epoch, "validation_error": [9, None, 5, None, 4.0]})


INTERVALS = pd.DataFrame({"method": ["a", "b"], "mean": [2.0, 4.0], "low": [1.0, 3.5], "high": [3.0, 5.0], "unit": "mm"})
