"""How well landmarks made from masks correspond, against the phantoms' exact correspondence, by the way that they are made.

    python benchmarks/landmarks_from_masks.py --out results/benchmarks/landmarks_from_masks.json

Semilandmarks are the package's. Their rivals: equal arc length from the uppermost point; the same from the best start under a
similarity; and coherent point drift (Myronenko and Song 2010), each point then moved to the nearest place of the outline. One
thread, processor time. See README.md.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and NumPy start their threads

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from geometry import commit, machine
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from wrist_maps import kinds

from denseseg.anatomy import Anatomy
from denseseg.evaluation.correspondence import consistent_places
from denseseg.evaluation.metrics import along_and_across
from denseseg.files import plain, write_json
from denseseg.geometry.contour import distance_to_outline, mask_contours, resample
from denseseg.geometry.frame import inside_image
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.semilandmarks import POINTS, EvenCurve, corresponding_points, evenly_placed
from denseseg.geometry.similarity import procrustes_mean, umeyama
from denseseg.phantom import ChestPhantom, WristPhantom
from denseseg.phantom.phantom import Phantom

Outlines = Sequence[np.ndarray]
POPULATIONS: dict[str, tuple[type[Phantom], tuple[int, int]]] = {
    "chest phantom": (ChestPhantom, (256, 256)),
    "wrist phantom": (WristPhantom, (384, 224)),
}


def equal_arc_length(outlines: Outlines, count: int) -> np.ndarray:
    """Evenly round each outline, from its uppermost point."""
    return np.stack([resample(np.roll(one[:-1], -one[:-1, 1].argmin(), axis=0), count) for one in outlines])


def best_start(outlines: Outlines, count: int, rounds: int = 3) -> np.ndarray:
    """Evenly round each outline, from where the mean of all fits it best."""
    curves, points = [EvenCurve.of(one) for one in outlines], equal_arc_length(outlines, count)
    reference = points[0]
    for _ in range(rounds):
        points = np.stack([curve.at(evenly_placed(curve, reference)) for curve in curves])
        reference = procrustes_mean(points)
    return points


def point_drift(outlines: Outlines, count: int, rounds: int = 3) -> np.ndarray:
    """Coherent point drift of the mean of all to each outline, from the best start, then on to the outline."""
    points = best_start(outlines, POINTS)
    targets = [EvenCurve.of(one).points for one in outlines]
    for _ in range(rounds):
        reference = resample(procrustes_mean(points), POINTS)
        begun = [umeyama(reference, here).apply(reference) for here in points]
        drifted = [drift(start, resample(one, 2 * POINTS)) for start, one in zip(begun, targets, strict=True)]
        points = np.stack([one[KDTree(one).query(here)[1]] for one, here in zip(targets, drifted, strict=True)])
    return points[:, np.arange(count) * POINTS // count]


def drift(moving: np.ndarray, fixed: np.ndarray, width: float = 2.0, stiffness: float = 2.0, outliers: float = 0.05) -> np.ndarray:
    """Non-rigid coherent point drift of (n, 2) points to (k, 2) points, widths in units of the latter's spread."""
    centre = fixed.mean(0)
    spread = np.sqrt((fixed - centre).var(0).sum())
    x, y = (fixed - centre) / spread, (moving - centre) / spread
    n, k = len(y), len(x)
    smooth = np.exp(-cdist(y, y, "sqeuclidean") / (2 * width**2))
    now, variance = y, cdist(x, y, "sqeuclidean").mean() / 2
    for _ in range(60):
        likely = np.exp(-cdist(now, x, "sqeuclidean") / (2 * variance))
        likely /= likely.sum(0) + 2 * np.pi * variance * outliers / (1 - outliers) * n / k
        mass, pulled = likely.sum(1), likely @ x
        weights = np.linalg.solve(mass[:, None] * smooth + stiffness * variance * np.eye(n), pulled - mass[:, None] * y)
        now = y + smooth @ weights
        apart = (likely.sum(0) @ (x**2).sum(1) - 2 * (pulled * now).sum() + mass @ (now**2).sum(1)) / (2 * mass.sum())
        variance, before = max(apart, 1e-5), variance
        if abs(variance - before) < 1e-7:
            break
    return now * spread + centre


METHODS: dict[str, Callable[[Outlines, int], np.ndarray]] = {
    "equal arc length": equal_arc_length,
    "equal arc length, best start": best_start,
    "coherent point drift": point_drift,
    "semilandmarks": corresponding_points,
}


def measure(name: str, count: int, seed: int) -> dict[str, Any]:
    """Mean errors of each way in one population, by kind of structure, and how far the masks' outlines are from the true ones."""
    phantom, size = POPULATIONS[name]
    phantoms = [phantom(seed, index, size) for index in range(count)]
    anatomy, true = phantom.anatomy, np.stack([one.landmarks for one in phantoms])
    masks = contour_masks(torch.as_tensor(true, dtype=torch.float32), anatomy, size).bool().numpy()
    outlines = [[(mask_contours(mask) or [None])[0] for mask in masks[:, c]] for c in range(len(anatomy))]
    seconds = dict.fromkeys(METHODS, 0.0)
    rows = []
    for c, (kind, where) in enumerate(zip(kinds(anatomy), anatomy.slices.values(), strict=True)):
        known = [m for m, outline in enumerate(outlines[c]) if outline is not None]
        shapes = [outlines[c][m] for m in known]
        cut = any((~inside_image(true[m, where], size)).any() for m in known)
        row = {"structure": anatomy.names[c], "kind": f"{kind}, cut by the border" if cut else kind}
        visible = [true[m, where][inside_image(true[m, where], size)] for m in known]
        own = np.mean([distance_to_outline(points, [one]).mean() for points, one in zip(visible, shapes, strict=True)])
        rows.append({**row, "way": "the outline itself", "across": own})
        for title, way in METHODS.items():
            start = time.process_time()
            points = way(shapes, anatomy.counts[c])
            seconds[title] += time.process_time() - start
            rows.append({**row, "way": title, **errors([phantoms[m] for m in known], points, anatomy, c)})
    table = pd.DataFrame(rows)
    groups = {kind: summary(part) for kind, part in table.groupby("kind", sort=False)}
    return {
        "size": list(size),
        "cases": count,
        "structures": {"all": summary(table), **groups},
        "ms_per_case": {title: round(1000 * spent / count, 1) for title, spent in seconds.items()},
    }


def errors(phantoms: list[Phantom], points: np.ndarray, anatomy: Anatomy, c: int) -> dict[str, float]:
    """Mean distance of (M, n, 2) points of one structure from consistent places, whole, along and across the outline."""
    own = slice(anatomy.slices[anatomy.names[c]].start, anatomy.slices[anatomy.names[c]].start + points.shape[1])
    whole = np.full((len(points), anatomy.n_landmarks, 2), np.nan)
    whole[:, own] = points
    places = consistent_places(phantoms, whole, anatomy)[:, own]
    parts = np.stack([along_and_across(found, place) for found, place in zip(points, places, strict=True)])
    along, across = parts.mean((0, 1))
    return {"error": np.linalg.norm(points - places, axis=-1).mean(), "along": along, "across": across}


def summary(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Way -> mean over structures of each error, pixels."""
    means = table.groupby("way", sort=False)[["error", "along", "across"]].mean().round(3)
    return {str(way): row.dropna().to_dict() for way, row in means.iterrows()}


def show(report: dict[str, Any]) -> None:
    for name, result in report["populations"].items():
        print(f"\n{name}, mean error in px; ms per case {result['ms_per_case']}")
        table = pd.DataFrame(
            {kind: {way: row.get("error") for way, row in ways.items()} for kind, ways in result["structures"].items()}
        )
        print(table.drop("the outline itself").to_string())
        print("along and across, all:", result["structures"]["all"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1, help="weights and passes were chosen on 0 and 2")
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    populations = {name: measure(name, options.cases, options.seed) for name in POPULATIONS}
    report = {
        "benchmark": "landmarks from masks",
        "seed": options.seed,
        **machine(),
        "commit": commit(),
        "populations": populations,
    }
    show(report)
    if options.out:
        write_json(options.out, plain(report))


if __name__ == "__main__":
    main()
