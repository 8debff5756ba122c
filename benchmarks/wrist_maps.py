"""Which uv map suits which bone: thin-plate spline, linear and polar against the wrist phantom's exact correspondence.

    python benchmarks/wrist_maps.py --out results/benchmarks/wrist_maps.json

Small round carpals, long thin metacarpals, shafts that the image border cuts, and epiphyses of all ages, absent bones among them.
One thread; times are processor time, the best of three. See README.md.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and NumPy start their threads

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from geometry import commit, machine, milliseconds

from denseseg.anatomy import Anatomy
from denseseg.evaluation.correspondence import dense_correspondence_error
from denseseg.files import plain, write_json
from denseseg.geometry.contour import signed_area
from denseseg.geometry.frame import Size
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.geometry.uvmap_alternatives import polar_to_template
from denseseg.phantom import WristPhantom

METHODS = ("tps", "linear", "polar")


def kinds(anatomy: Anatomy) -> list[str]:
    """For each structure the row that it belongs to: its group, but with shafts and epiphyses apart."""
    split = {"ulna/radius": "shafts"}
    return ["epiphyses" if s.name.startswith("epiphysis") else split.get(s.group, s.group) for s in anatomy.structures]


def is_star_shaped(points: np.ndarray) -> bool:
    """Does the landmark mean see every landmark? Then the outline turns about it in one sense only."""
    offset = points - points.mean(0)
    following = np.roll(offset, -1, axis=0)
    turn = offset[:, 0] * following[:, 1] - offset[:, 1] * following[:, 0]
    return bool((turn > 0).all() or (turn < 0).all())


def measure_bones(phantom: Any, method: str) -> pd.DataFrame:
    """A row per bone that is in the image: coverage of its mask, folds, and distance from the true correspondence.

    `error` is in pixels of the template, the chart's own; `error_image` in pixels of the image, by the bone's size in both.
    """
    anatomy, size = phantom.case.anatomy, phantom.case.size
    template = Template(anatomy, phantom.canonical, size)
    landmarks = phantom.landmarks
    batch = torch.as_tensor(landmarks[None], dtype=torch.float32)
    masks = contour_masks(batch, anatomy, size)[0].bool()
    maps = uv_maps(batch, template, generator=method)
    points = [template.points[where] for where in anatomy.slices.values()]
    back = (lambda c, uv: polar_to_template(uv, points[c])) if method == "polar" else None
    table = dense_correspondence_error(phantom, template, maps.uv[0], maps.valid[0] & masks, back)
    rows = []
    for c, (name, where) in enumerate(anatomy.slices.items()):
        if not masks[c].any():
            continue
        own, error = landmarks[where], table.iloc[c]
        ratio = np.sqrt(abs(signed_area(own) / signed_area(points[c])))
        rows.append(
            {
                "case": phantom.case.id,
                "structure": name,
                "kind": kinds(anatomy)[c],
                "cut": bool(((own < -0.5) | (own > np.array(size[::-1]) - 0.5)).any()),
                "pixels": int(masks[c].sum()),
                "covered": float((maps.valid[0, c] & masks[c]).sum() / masks[c].sum()),
                "folded": float(maps.fold_over[0, c]),
                "star_shaped": is_star_shaped(own) and is_star_shaped(points[c]),
                "error": error["mean"],
                "error_p95": error["p95"],
                "error_worst": error["worst"],
                "error_image": error["mean"] * ratio,
                "error_image_p95": error["p95"] * ratio,
            }
        )
    return pd.DataFrame(rows)


def summary(bones: pd.DataFrame) -> dict[str, Any]:
    """Means over the bones of one kind."""
    return {
        "bones": len(bones),
        "pixels_median": int(bones["pixels"].median()),
        "star_shaped": round(float(bones["star_shaped"].mean()), 3),
        "mask_covered": round(float(bones["covered"].mean()), 4),
        "mask_covered_least": round(float(bones["covered"].min()), 4),
        "folded_maps": int((bones["folded"] > 0).sum()),
        "fold_share_worst": round(float(bones["folded"].max()), 5),
        "template_px": {"mean": round(float(bones["error"].mean()), 4), "p95": round(float(bones["error_p95"].mean()), 4)},
        "image_px": {"mean": round(float(bones["error_image"].mean()), 4), "p95": round(float(bones["error_image_p95"].mean()), 4)},
        "worst_bone_image_px": round(float(bones["error_image"].max()), 4),
    }


def time_of(method: str, phantoms: list[Any], kind: str) -> float:
    """Median ms per bone of one kind."""
    whole = phantoms[0].case.anatomy
    members = [c for c, own in enumerate(kinds(whole)) if own == kind]
    anatomy = Anatomy(kind, tuple(whole.structures[c] for c in members))
    chosen = np.isin(whole.membership, members)
    times = []
    for phantom in phantoms:
        present = sum(bool(np.isfinite(phantom.landmarks[whole.slices[s.name]]).all()) for s in anatomy.structures)
        if present:
            template = Template(anatomy, phantom.canonical[chosen], phantom.case.size)
            batch = torch.as_tensor(phantom.landmarks[None, chosen], dtype=torch.float32)
            times.append(milliseconds(partial(uv_maps, batch, template, generator=method)) / present)
    return round(float(np.median(times)), 3)


def benchmark(count: int, size: Size, seed: int) -> dict[str, Any]:
    phantoms = [WristPhantom(seed, index, size) for index in range(count)]
    result: dict[str, Any] = {}
    for method in METHODS:
        bones = pd.concat([measure_bones(phantom, method) for phantom in phantoms])
        rows: dict[str, Any] = {}
        for (kind, cut), part in bones.groupby(["kind", "cut"]):
            rows[f"{kind}, {'cut by the border' if cut else 'inside'}"] = summary(part)
        result[method] = {
            "groups": rows,
            "ms_per_bone": {kind: time_of(method, phantoms[:5], kind) for kind in sorted(set(bones["kind"]))},
        }
    present = [np.isfinite(p.landmarks[where]).all() for p in phantoms for where in p.case.anatomy.slices.values()]
    return {
        "benchmark": "wrist maps",
        "dataset": "wrist phantom",
        "size": list(size),
        "cases": count,
        "seed": seed,
        "absent_bones": int(len(present) - np.sum(present)),
        "clock": "processor time, best of 3 runs, median over 5 cases",
        **machine(),
        "commit": commit(),
        "methods": result,
    }


def show(report: dict[str, Any]) -> None:
    for method, result in report["methods"].items():
        print(f"\n{method}: ms per bone {result['ms_per_bone']}")
        print(pd.json_normalize(list(result["groups"].values())).set_axis(list(result["groups"]), axis=0).to_string())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(384, 224), metavar=("H", "W"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = benchmark(options.cases, tuple(options.size), options.seed)
    show(report)
    if options.out:
        write_json(options.out, plain(report))


if __name__ == "__main__":
    main()
