"""Cases of three circles, a pair and a single one, and predictions of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from denseseg.anatomy import Anatomy, Structure
from denseseg.cases.case import Case
from denseseg.evaluation import evaluate

TWO = Anatomy("two", (Structure("left", 40, "pair"), Structure("right", 40, "pair"), Structure("single", 30, "single")))
SIZE = (96, 128)


def circle(centre, radius, n) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.asarray(centre) + radius * np.column_stack([np.cos(angle), np.sin(angle)])


LANDMARKS = np.concatenate([circle((35.3, 40.2), 20, 40), circle((90.1, 40.4), 20, 40), circle((64.2, 75.3), 12, 30)])


def make_case(name="a", landmarks=LANDMARKS, **more) -> Case:
    return Case(name, np.zeros(SIZE), landmarks, TWO, **more)


def make_prediction(landmarks=LANDMARKS, masks=None, **more) -> SimpleNamespace:
    return SimpleNamespace(landmarks=landmarks, masks=masks, **more)


def noisy_table(n=12, noise=2.0, seed=0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    predictions = [make_prediction(LANDMARKS + rng.normal(0, noise, 2)) for _ in range(n)]
    return evaluate(predictions, [make_case(f"case {i}", spacing=0.7) for i in range(n)])
