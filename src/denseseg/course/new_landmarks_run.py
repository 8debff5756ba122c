"""Run the study of new landmarks on a chest data set and record it.

    python -m denseseg.course.new_landmarks_run data/jsrt weights.safetensors --profile compact --notes "which run"

The weights are those of a finished run on the same split (`course.experiment`); they stay where they are.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

from denseseg.cases.folder import read_cases
from denseseg.experiments.record import study_record
from denseseg.experiments.store import write_study
from denseseg.methods import load_method
from denseseg.studies.lung_points import lung_points_study


def new_landmarks_record(
    folder: str | Path, weights: str | Path, profile: str, split: str = "stratified", seed: int = 0, copy: str = "", notes: str = ""
) -> dict[str, Any]:
    """The record of the study on a data-set folder, with a method trained on the training part of this split.

    Raises DataError where the folder or the weights cannot be read, or where they do not belong together.
    """
    method = load_method(weights)
    cases = read_cases(folder).resized(method.size)
    parts = cases.split(split, seed=0)
    return study_record(
        "new landmarks",
        cases.name,
        lung_points_study(method, parts, seed=seed),
        n={"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)},
        profile=profile,
        seed=seed,
        copy=copy,
        data_sha256=cases.fingerprint(),
        settings={
            "size": list(method.size),
            "split": split,
            "method": method.name,
            "weights_sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
        },
        notes=notes,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("weights")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--split", default="stratified")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copy", default="")
    parser.add_argument("--notes", default="")
    parser.add_argument("--results", default="results")
    options = vars(parser.parse_args())
    results = options.pop("results")
    print(write_study(new_landmarks_record(**options), results))
