"""Small records of runs: boxes as cases, and one landmark of one test case that failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from denseseg.anatomy import Anatomy, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.evaluation import evaluate
from denseseg.experiments.record import Record, Spec, make_record

ANATOMY = Anatomy("box", (Structure("box", 4, "boxes"),))
BOX = np.array([[8.0, 8], [24, 8], [24, 24], [8, 24]])


def boxes(kind: str = "images", name: str = "toy boxes") -> CaseSet:
    """Ten images with a box each; six for training."""
    cases = [
        Case(f"c{i}", np.full((32, 32), i / 10), BOX + 0.1 * i, ANATOMY, spacing=1.4, metadata={"split": mark})
        for i, mark in enumerate(["train"] * 6 + ["test"] * 4)
    ]
    return CaseSet(name, ANATOMY, cases, {"source": "drawn for a test", "kind": kind})


def box_run(
    data: CaseSet | None = None, profile: str = "smoke", seed: int = 3, options: dict | None = None, **more
) -> dict[str, Any]:
    """The arguments of `make_record` for one run; a landmark failed, so its TRE but not its mask."""
    data = boxes() if data is None else data
    parts = data.split("paper", validation=0.2)
    landmarks = [case.landmarks + 1 for case in parts.test]
    landmarks[2][0] = np.nan
    table = evaluate([SimpleNamespace(landmarks=points, masks=None) for points in landmarks], parts.test)
    spec = Spec(dataset=data.name, method="mean_shape", profile=profile, seed=seed, options=options or {})
    return {
        "spec": spec, "data": data, "split": parts, "table": table, "parameters": 0, "seconds_train": 0.5,
        "seconds_per_case": np.float32(0.25), "precision": "32-true", "recipe": {"epochs": 2, "size": (32, 32)},
        "history": pd.DataFrame({"epoch": [1, 2], "loss": [0.5, np.nan]}), "notes": "made by a test",
    } | more  # fmt: skip


def box_record(**changes) -> Record:
    return make_record(**box_run(**changes))
