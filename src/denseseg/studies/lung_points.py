"""The paper's own test of new landmarks: four places read from the chart of the left lung (Section 4.1.1).

What the places are, the authors' code says more exactly than the text: each is a mean of annotated landmarks. The text calls the
last one the centre of the lung's apex; its two landmarks lie on both sides of the *lower* outer corner, the costophrenic angle.
All of them were trained landmarks or between such, in the paper as here: what is new is where they are looked for. So the clavicle
is read from the lung, never from its own map, and "spline without its neighbours" leaves out the landmarks a place was made of.

    python -m denseseg.studies.lung_points data/jsrt weights.safetensors --profile compact --notes "which run"

runs the study with the weights of a finished run on the same split, and records it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.stats import rankdata, spearmanr

from denseseg.anatomy import Anatomy
from denseseg.cases.case_set import CaseSet, Split
from denseseg.cases.folder import read_cases
from denseseg.errors import DataError
from denseseg.evaluation.metrics import clipped, landmark_errors
from denseseg.evaluation.statistics import bootstrap_cases, bootstrap_interval
from denseseg.evaluation.tables import format_mean_sd, pipe_table
from denseseg.experiments.published import published
from denseseg.experiments.record import StudyRecord, study_record
from denseseg.geometry.decode import published_inversion
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.methods import load_method
from denseseg.methods.method import Method
from denseseg.prediction import Prediction, stacked_landmarks
from denseseg.studies.command import run_study, study_parser
from denseseg.studies.new_landmarks import SMOOTHING, NewLandmark, read_maps, read_splines, transfer_score, true_maps

CHART = "left lung"


@dataclass(frozen=True)
class Place:
    """Some points that are reported together, each the mean of a group of the structure's landmarks."""

    name: str
    structure: str
    groups: tuple[tuple[int, ...], ...]

    def published(self, method: str = "DenseSeg") -> tuple[float, float]:
        """Mean and SD of the paper for "DenseSeg" or "Mean shape", mm, at 256 x 256 pixels on its own split."""
        table = published().query("dataset == 'JSRT, new landmarks'").set_index(["group", "method"])
        mean, sd = table.loc[(self.name, method), ["mean", "sd"]]
        return float(mean), float(sd)

    def indices(self, anatomy: Anatomy) -> list[list[int]]:
        """The landmarks of each group, as positions in a case's landmark array."""
        start = anatomy.slices[self.structure].start
        return [[start + i for i in group] for group in self.groups]

    def points(self, landmarks: np.ndarray, anatomy: Anatomy) -> np.ndarray:
        """(M, N, 2) -> (M, K, 2) true positions."""
        return np.stack([landmarks[:, group].mean(1) for group in self.indices(anatomy)], axis=1)


PLACES = (
    Place("clavicle", "left clavicle", ((15,), (16,), (17,), (18,))),
    Place("lung centre", CHART, (tuple(range(50)),)),
    Place("outer contour", CHART, ((10, 11),)),
    Place("lower corner", CHART, ((19, 23),)),
)


@dataclass(frozen=True)
class Variant:
    """A way to read: the map of the chart, or a spline through the landmarks of the references (reference structures)."""

    reader: str = "map"
    references: tuple[str, ...] = (CHART,)
    smoothing: float = SMOOTHING

    def read(self, new: Sequence[NewLandmark], predictions: Sequence[Prediction], template: Template) -> np.ndarray:
        """(M, K, 2) pixels of new landmarks that have this variant's references."""
        if self.reader == "spline":
            return read_splines(stacked_landmarks(predictions), template, new, self.smoothing)
        maps, masks = zip(*((p.uv, p.masks) for p in predictions if p.uv is not None and p.masks is not None), strict=True)
        return read_maps(np.stack(maps), np.stack(masks), template, new)

    def __str__(self) -> str:
        by = f"spline (smoothing {self.smoothing:g}) of" if self.reader == "spline" else "map of"
        return f"{by} {' + '.join(self.references)}"


# None has the clavicle itself among its references: it plays the untrained structure.
REFERENCES = ((CHART,), ("right lung", CHART), ("right lung", CHART, "heart"))
VARIANTS = (Variant(), *(Variant("spline", c, s) for c in REFERENCES for s in (0.0, 0.1, 1.0, 10.0)))


def lung_points_study(method: Method, parts: Split, draws: int = 20, seed: int = 0) -> dict[str, Any]:
    """The whole study of a trained method on chest cases with a spacing; errors in mm, each the mean over a place's points.

    The variant is chosen by its mean error over the places on the validation part, then used on the test part as it is.
    Returns plain numbers: `chosen`, `validation_mm` and `test_mm` of each variant, and `places`: name -> readings -> mean, sd,
    low, high (95 % bootstrap interval over cases) in mm; with the scores, the published numbers, the spread of the places that
    true and predicted maps give to the true points, and the error by the number of annotated examples. `candidates` tells how
    well `transfer_score` ranks many further points.
    Raises DataError where the cases have no common spacing, or the method makes no uv maps.
    """
    train, template, spacing = parts.train.landmarks, method.fitted_template, _spacing(parts.test)
    validation, test = (
        Readings(method.predict_cases(part), part.landmarks, train, template, spacing) for part in (parts.validation, parts.test)
    )
    if test.predictions[0].uv is None:
        raise DataError(f"{method.name} makes no uv maps, which this study reads; give the weights of a DenseSeg")
    on_validation, on_test = validation.by_variant(), test.by_variant()
    chosen = min(VARIANTS, key=lambda v: np.mean([e.mean() for e in on_validation[str(v)].values()]))
    places = {}
    for place in PLACES:
        examples = place.points(train, template.anatomy)
        score = transfer_score(examples, train, template, chosen.references, smoothing=chosen.smoothing, spacing=spacing)
        errors = {"ours": on_test[str(chosen)][place.name], "map": on_test[str(VARIANTS[0])][place.name]}
        errors |= _references(place, chosen, test)
        places[place.name] = {
            "points": [[f"{place.structure} {i}" for i in group] if len(group) < 9 else "all" for group in place.groups],
            "mm": {name: summary(values) for name, values in errors.items()},
            "published_mm": {"map": place.published(), "mean shape": place.published("Mean shape")},
            "score": score.drop(columns="name").mean().to_dict(),
            "spread_mm": _spreads(place, test),
            "mm_by_examples": _by_examples(place, chosen, test, draws, seed),
        }
    return {
        "chosen": str(chosen),
        "validation_mm": {name: {k: e.mean() for k, e in errors.items()} for name, errors in on_validation.items()},
        "test_mm": {name: {k: e.mean() for k, e in errors.items()} for name, errors in on_test.items()},
        "places": places,
        "candidates": candidate_ranking(test, chosen.smoothing, seed),
    }


def summary(values: np.ndarray) -> dict[str, float]:
    """Mean, SD and 95 % bootstrap interval of the mean of (M,) errors, one a case."""
    low, high = bootstrap_interval(values)
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "low": low, "high": high}


def at_mean_shape(points: np.ndarray, references: Sequence[str] = (CHART,)) -> list[NewLandmark]:
    """New landmarks at the mean of their training positions (M, K, 2), which is their place in the template, as in the paper."""
    return [NewLandmark(f"point {k}", (float(x), float(y)), tuple(references)) for k, (x, y) in enumerate(points.mean(0))]


def _spacing(cases: CaseSet) -> float:
    spacing = cases[0].spacing
    if spacing is None or any(case.spacing != spacing for case in cases):
        raise DataError(f"{cases.name}: this study needs one spacing in mm for all cases; fill it in")
    return spacing


@dataclass(frozen=True)
class Readings:
    """M predicted cases and all that is known of them.

    landmarks: (M, N, 2) true ones; train: (T, N, 2) those of the training part; spacing: mm per pixel.
    """

    predictions: Sequence[Prediction]
    landmarks: np.ndarray
    train: np.ndarray
    template: Template
    spacing: float

    def distances(self, found: np.ndarray, true: np.ndarray) -> np.ndarray:
        """(M, K) mm between points (M, K, 2); what was not found has the price of a failure, as in `evaluate`."""
        errors = np.nan_to_num(landmark_errors(found, true, self.spacing), nan=np.inf)
        errors[~np.isfinite(true).all(-1)] = np.nan  # what is not known is not judged
        return clipped(errors, self.template.size, self.spacing)

    def errors(self, found: np.ndarray, place: Place) -> np.ndarray:
        """(M,) mean distance over the points of a place, mm, of those found in each case, (M, K, 2)."""
        return self.distances(found, place.points(self.landmarks, self.template.anatomy)).mean(1)

    def by_variant(self) -> dict[str, dict[str, np.ndarray]]:
        """Variant -> place -> errors (M,)."""
        examples = {place: place.points(self.train, self.template.anatomy) for place in PLACES}
        result: dict[str, dict[str, np.ndarray]] = {}
        for variant in VARIANTS:
            new = {place: at_mean_shape(points, variant.references) for place, points in examples.items()}
            found = {place: variant.read(landmarks, self.predictions, self.template) for place, landmarks in new.items()}
            result[str(variant)] = {place.name: self.errors(points, place) for place, points in found.items()}
        return result


def _references(place: Place, chosen: Variant, test: Readings) -> dict[str, np.ndarray]:
    """Errors (M,) of what ours is to be compared with."""
    template, anatomy, c = test.template, test.template.anatomy, test.template.anatomy.index(CHART)
    examples = place.points(test.train, anatomy)
    published_uv, published_mask = (torch.as_tensor(maps[:, c]) for maps in true_maps(test.landmarks, template, "published"))
    goal = torch.as_tensor(template.to_uv(c, examples.mean(0)), dtype=torch.float32)
    found = {
        "mean shape": examples.mean(0)[None],
        "true maps": read_maps(*true_maps(test.landmarks, template), template, at_mean_shape(examples)),
        "true maps, published chain and Eq. 3": published_inversion(published_uv, published_mask, goal).numpy(),
    }
    own = [index for group in place.indices(anatomy) for index in group]
    if place.structure == CHART and len(own) < anatomy.counts[c]:
        others = stacked_landmarks(test.predictions)
        others[:, own] = np.nan
        new = at_mean_shape(examples, chosen.references)
        found["spline without its neighbours"] = read_splines(others, template, new, chosen.smoothing)
    return {name: test.errors(points, place) for name, points in found.items()}


def _spreads(place: Place, test: Readings) -> dict[str, float]:
    """Root mean square distance, over cases, of where the chart's map puts the true points from their mean place, in the template.

    A predicted map may have less spread than a true one: it follows what is seen near a pixel, not the annotator's habits.
    """
    template = test.template
    c, points = template.anatomy.index(CHART), place.points(test.landmarks, template.anatomy)
    predicted = np.stack([p.uv[c] for p in test.predictions if p.uv is not None])
    true = uv_maps(torch.as_tensor(test.landmarks, dtype=torch.float32), template).uv[:, c].numpy()  # with a band: points on edges
    spreads = {}
    for name, maps in (("true maps", true), ("predicted maps", predicted)):
        uv = [[map_coordinates(channel, xy.T[::-1], order=1) for channel in uv] for uv, xy in zip(maps, points, strict=True)]
        places = template.from_uv(c, np.moveaxis(np.array(uv), 1, -1))  # (M, K, 2)
        spreads[name] = float(np.sqrt(((places - places.mean(0)) ** 2).sum(-1).mean()) * test.spacing)
    return spreads


def _by_examples(place: Place, chosen: Variant, test: Readings, draws: int, seed: int) -> Mapping[str, float]:
    """Number of annotated training cases -> mean test error when the places are learned from that many, mean over random draws."""
    train, template, rng = test.train, test.template, np.random.default_rng(seed)
    examples = place.points(train, template.anatomy)
    result = {}
    for count in sorted({min(count, len(train)) for count in (1, 3, 10, len(train))}):
        errors = []
        for _ in range(draws if count < len(train) else 1):
            rows = rng.choice(len(train), count, replace=False)
            new = [
                NewLandmark.from_examples(
                    f"point {k}", examples[rows, k], train[rows], template, chosen.references, chosen.smoothing
                )
                for k in range(examples.shape[1])
            ]
            errors.append(test.errors(chosen.read(new, test.predictions, template), place).mean())
        result[str(count)] = float(np.mean(errors))
    return result


def candidate_ranking(test: Readings, smoothing: float, seed: int = 0) -> dict[str, Any]:
    """Does the score rank points as their real errors do?

    Candidates: midpoints of 100 random pairs of the chart's landmarks, and every landmark of the other structures, read from the
    chart alone. Returns Spearman's rank correlation of score and test error, with a 95 % bootstrap interval over test cases, and in
    how many the score tells rightly whether reading beats the mean shape.
    """
    template, anatomy, rng = test.template, test.template.anatomy, np.random.default_rng(seed)
    member = anatomy.membership == anatomy.index(CHART)
    pairs = [rng.choice(np.flatnonzero(member), 2, replace=False) for _ in range(100)]

    def candidates(landmarks: np.ndarray) -> np.ndarray:
        between = np.stack([landmarks[:, pair].mean(1) for pair in pairs], axis=1)
        return np.concatenate([between, landmarks[:, ~member]], axis=1)

    examples, true = candidates(test.train), candidates(test.landmarks)
    table = transfer_score(examples, test.train, template, (CHART,), smoothing=smoothing, spacing=test.spacing)
    found = read_splines(stacked_landmarks(test.predictions), template, at_mean_shape(examples), smoothing)
    errors = test.distances(found, true)
    baseline = np.linalg.norm(examples.mean(0) - true, axis=-1).mean(0) * test.spacing
    score = table["transfer"].to_numpy()

    def correlation(index: np.ndarray, axis: int = -1) -> np.ndarray:
        ranks = rankdata(errors[np.moveaxis(index, axis, 0)].mean(0), axis=-1)
        centred = ranks - ranks.mean(-1, keepdims=True)
        own = rankdata(score) - (len(score) + 1) / 2
        return (centred @ own) / np.sqrt((centred**2).sum(-1) * (own @ own))

    low, high = bootstrap_cases(correlation, len(errors))
    return {
        "n": len(score),
        "spearman": float(spearmanr(score, errors.mean(0)).statistic),
        "spearman_low": low,
        "spearman_high": high,
        "spearman_within_chart": float(spearmanr(score[:100], errors.mean(0)[:100]).statistic),
        "told_rightly": float(((table["gain"].to_numpy() > 0) == (errors.mean(0) < baseline)).mean()),
        "score_mm": score.round(2).tolist(),
        "error_mm": errors.mean(0).round(2).tolist(),
        "mean_shape_mm": baseline.round(2).tolist(),
    }


# ---- its record and its table ---------------------------------------------------------------------------------------


def record(
    folder: str | Path, weights: str | Path, profile: str, split: str = "stratified", seed: int = 0, **more: str
) -> StudyRecord:
    """The record of the study on a data-set folder, with a method trained on the training part of this split.

    more: source and notes, as in `study_record`.
    Raises DataError where the folder or the weights cannot be read, or where they do not belong together.
    """
    method = load_method(weights)
    cases = read_cases(folder).fitted(method.size)
    method.require(cases)
    parts = cases.split(split, seed=0)
    digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    return study_record(
        "new landmarks",
        cases,
        lung_points_study(method, parts, seed=seed),
        n={"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)},
        profile=profile,
        seed=seed,
        settings={"size": method.size, "split": split, "method": method.name, "weights_sha256": digest},
        **more,
    )


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    rows = []
    for place, entry in results["places"].items():
        ours = [entry["mm"][key] for key in ("ours", "mean shape", "true maps")]
        theirs = [format_mean_sd(*entry["published_mm"][key]) for key in ("map", "mean shape")]
        rows.append([place, *("{mean:.1f} [{low:.1f}, {high:.1f}]".format(**numbers) for numbers in ours), *theirs])
    header = ["landmark", "ours", "mean shape", "true maps, no network", "published", "published mean shape"]
    text = "**Error in mm of landmarks read through the left lung, mean [95 % interval].** Chapter 20 tells how."
    return f"{text}\n\n{pipe_table(header, rows)}"


if __name__ == "__main__":
    parser = study_parser(__doc__, split="stratified", seed=0, source="", notes="")
    parser.add_argument("folder")
    parser.add_argument("weights")
    parser.add_argument("--profile", required=True)
    raise SystemExit(run_study(parser, record))
