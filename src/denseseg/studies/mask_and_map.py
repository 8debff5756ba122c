"""Does a mask that is too large drag the uv map along? (paper, Section 4.1)

Keuth et al. show a case whose heart's mask is too large and its map with it, and blame that both are learned together. To see
both errors together tells no cause: where an image misleads, it misleads both. So here masks are made too large on purpose.
Networks are trained with dilated masks, or with the paper's class weights, while the maps that they are to learn stay the true
ones.

Landmarks are read from each map in three ways, so that it shows where an enlarged mask does its harm: within the true mask (what
the map itself says), within the predicted mask, and projected onto the predicted mask's outline.

    python -m denseseg.studies.mask_and_map --seeds 3

trains twelve small networks on chest phantoms, and records the study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy.stats import spearmanr

from denseseg.cases.case_set import CaseSet, Split
from denseseg.cases.masks import true_masks
from denseseg.evaluation.metrics import clipped
from denseseg.evaluation.scores import landmark_distances
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import StudyRecord, study_record
from denseseg.geometry.contour import dilate, perimeter, signed_distance
from denseseg.geometry.decode import decode_affine
from denseseg.geometry.outline_projection import project_onto_outlines
from denseseg.methods import create
from denseseg.methods.denseseg import DEFAULT, DenseSegRecipe
from denseseg.methods.method import Method
from denseseg.methods.network_method import OURS
from denseseg.methods.segmentation import Segmentation
from denseseg.names import file_name
from denseseg.studies.command import run_study, study_parser
from denseseg.training.settings import Adam, Run, Steps

SIZE = (64, 64)
RECIPE = DEFAULT.changed(
    channels=(16, 32, 64), training=OURS.changed(length=Steps(300), batch_size=4, optimiser=Adam(3e-3), ema_decay=0.9)
)
READINGS = ("true mask", "predicted mask", "predicted outline")
CONDITIONS: dict[str, tuple[int, dict[str, Any]]] = {  # pixels by which training masks are dilated, and changes of the recipe
    "true masks": (0, {}),
    "2 px larger": (2, {}),
    "4 px larger": (4, {}),
    "class weights": (0, {"segmentation": Segmentation.WEIGHTED_BCE}),
}


def enlarged(cases: CaseSet, pixels: int) -> CaseSet:
    """The cases with masks dilated by so many pixels, and unchanged landmarks."""
    masks = (dilate(torch.as_tensor(true_masks(case)), pixels).numpy() for case in cases)
    grown = (replace(case, masks=mask) for case, mask in zip(cases, masks, strict=True))
    return CaseSet(cases.name, cases.anatomy, grown, cases.info)


def train(cases: CaseSet, condition: str, recipe: DenseSegRecipe, seed: int, folder: Path | None = None) -> Method:
    """DenseSeg under one of the `CONDITIONS`; it predicts what its maps say, without views and shape prior.

    folder: where runs are kept, so that a study that was stopped goes on where it was.
    """
    pixels, changes = CONDITIONS[condition]
    plain = recipe.changed(test_time_views=1, shape_prior=0.0, project_onto_outline=False, **changes)
    method = create("denseseg", cases.anatomy, cases[0].size, plain)
    own = None if folder is None else folder / file_name(f"mask_and_map_{condition}_{seed}")
    method.fit(enlarged(cases, pixels), None, Run(seed=seed, folder=own, progress=False))
    return method


def measure(method: Method, cases: CaseSet) -> pd.DataFrame:
    """A row a case and structure: case, structure, rim, and for each of the `READINGS` R "R shift" and "R tre"; all in pixels.

    rim: mean width by which the predicted mask is larger than the true one, the difference of areas over the true outline's length.
    shift: mean distance of the landmarks beyond the true outline, negative inside. tre: mean distance from the true landmarks.
    Where a mask is empty, nothing can be read within it: its tre has the price of a failure, as in `evaluate`; its shift has no
    direction, so it is NaN and left out of means.
    """
    template, rows = method.fitted_template, []
    for case, prediction in zip(cases, method.predict_cases(cases), strict=True):
        in_pixels = replace(case, spacing=None)
        assert prediction.masks is not None and prediction.uv is not None and prediction.probabilities is not None
        uv, masks, true = torch.as_tensor(prediction.uv)[None], torch.as_tensor(prediction.masks)[None], true_masks(case)
        points = [decode_affine(uv, where, template).points[0].double().numpy() for where in (torch.as_tensor(true)[None], masks)]
        points.append(project_onto_outlines(points[-1], prediction.uv, prediction.probabilities, template).points)
        for c, (name, where) in enumerate(case.anatomy.slices.items()):
            outline = case.landmarks[where]
            rim = (prediction.masks[c].sum() - true[c].sum()) / perimeter(outline)
            row: dict[str, Any] = {"case": case.id, "structure": name, "rim": rim}
            for reading, found in zip(READINGS, points, strict=True):
                there, edge = torch.as_tensor(found[where])[None], torch.as_tensor(outline)[None]
                row[f"{reading} shift"] = -float(signed_distance(there, edge).mean())
                errors = landmark_distances(found[where], outline, in_pixels)
                row[f"{reading} tre"] = float(clipped(errors, case.size).mean())
            rows.append(row)
    return pd.DataFrame(rows)


def mask_and_map_study(split: Split, recipe: DenseSegRecipe, seeds: int = 3, folder: Path | None = None) -> dict[str, Any]:
    """For each condition the means of `measure` over cases, structures and seeds, and the lowest and highest seed's.

    correlation: Spearman's, over cases and structures of a network, of the rim and the shift of the map alone.
    """
    results: dict[str, Any] = {}
    for condition in CONDITIONS:
        tables = [measure(train(split.train, condition, recipe, seed, folder), split.test) for seed in range(seeds)]
        means = pd.DataFrame([table.mean(numeric_only=True) for table in tables])
        means["correlation"] = [spearmanr(table["rim"], table[f"{READINGS[0]} shift"]).statistic for table in tables]
        numbers = {"mean": means.mean(), "low": means.min(), "high": means.max()}
        results[condition] = pd.DataFrame(numbers).rename(index=lambda key: key.replace(" ", "_")).to_dict("index")
    return results


def record(seeds: int, runs: str, notes: str = "") -> StudyRecord:
    """The record of the study on the chest phantoms of the course profile, at `SIZE`."""
    cases = load_cases(get_profile("course")).fitted(SIZE)
    split = cases.split(seed=0)
    return study_record(
        "mask and map", cases, mask_and_map_study(split, RECIPE, seeds, Path(runs)), profile="course", seed=0, notes=notes,
        n={"train": len(split.train), "test": len(split.test)}, settings={"size": SIZE, "seeds": seeds, "recipe": asdict(RECIPE)},
    )  # fmt: skip


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    keys = ["rim", *(f"{reading.replace(' ', '_')}_{what}" for what in ("shift", "tre") for reading in READINGS), "correlation"]
    cell = "{mean:.2f} ({low:.2f}..{high:.2f})"
    rows = [[condition, *(cell.format(**numbers[key]) for key in keys)] for condition, numbers in results.items()]
    header = ["masks in training", "rim", *(f"{what}, {r}" for what in ("shift", "TRE") for r in READINGS), "correlation"]
    text = (
        "**What masks that are too large do to landmarks, pixels, mean (lowest..highest seed).** Rim: by how much the predicted "
        "mask is too wide; shift: how far landmarks lie beyond the true outline, read from the map in three ways; correlation: of "
        "the rim and the first shift, over cases and structures. Chapter 15 tells how."
    )
    return f"{text}\n\n{pipe_table(header, rows)}"


if __name__ == "__main__":
    raise SystemExit(run_study(study_parser(__doc__, seeds=3, runs="runs", notes=""), record))
