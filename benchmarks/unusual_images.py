"""Does a method notice what it cannot know? False alarms on sound test cases, and hits on each kind of unusual image.

    python benchmarks/unusual_images.py --out results/benchmarks/unusual_images.json

Trains small methods on chest phantoms, and tells for each kind of image the share that is beyond the limit of the
out-of-distribution score, its median, and the reasons. The limits of `methods/outliers.py` were chosen on the images of seed 0, so
seed 1 is measured by default: other phantoms, another training.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from geometry import commit, machine
from scipy.ndimage import gaussian_filter, zoom

from denseseg.files import plain, write_json
from denseseg.methods import Method, create, get_recipe
from denseseg.phantom import PHANTOMS
from denseseg.training.settings import Run

Change = Callable[[np.ndarray], np.ndarray]


def noisy(amount: float) -> Change:
    return lambda image: np.clip(image + np.random.default_rng(0).normal(0, amount, image.shape), 0, 1)


def tiny(side: int) -> Change:
    return lambda image: np.clip(zoom(image, side / image.shape[0], order=1, grid_mode=True, mode="nearest"), 0, 1)


KINDS: dict[str, Change] = {
    "sound": lambda image: image,
    "ten times darker": lambda image: image / 10,
    "black": np.zeros_like,
    "white": np.ones_like,
    "noise alone": lambda image: np.random.default_rng(0).random(image.shape),
    "noisy, SD 0.1": noisy(0.1),
    "noisy, SD 0.3": noisy(0.3),
    "blurred": lambda image: gaussian_filter(image, 2),
    "upside down": lambda image: image[::-1],
    "mirrored": lambda image: image[:, ::-1],
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
    "turned by 90 degrees": np.rot90,
    "transposed": np.transpose,
    "inverted": lambda image: 1 - image,
    "1 x 1 pixel": tiny(1),
    "4 x 4 pixels": tiny(4),
    "8 x 8 pixels": tiny(8),
    "16 x 16 pixels": tiny(16),
    "lower half alone": lambda image: np.where(np.arange(len(image))[:, None] < len(image) // 2, 0, image),
    "a quarter of it": lambda image: image[: len(image) // 2, : len(image) // 2],
    "padded to twice its size": lambda image: np.pad(image, len(image) // 2),
    "shifted by a third": lambda image: np.roll(image, len(image) // 3, axis=1),
}


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Kind of image -> how many there are, how many are beyond the limit, median and largest score, reasons by how often."""
    size = (options.size, options.size)
    split = PHANTOMS["chest"](options.cases, size, options.seed).split("stratified")
    recipe = get_recipe(name, "default").scaled(options.length, 0.25, 4)
    method = create(name, split.train.anatomy, size, recipe)
    method.fit(split.train, split.validation, Run(device="cpu", seed=options.seed))
    wrists = [case.image for case in PHANTOMS["wrist"](options.each, (96, 56), options.seed)]
    several = {kind: split.test if kind == "sound" else split.test[: options.each] for kind in KINDS}
    sets = {kind: [np.ascontiguousarray(KINDS[kind](case.image)) for case in cases] for kind, cases in several.items()}
    return {kind: judged(method, images) for kind, images in (sets | {"wrists": wrists}).items()}


def judged(method: Method, images: list[np.ndarray]) -> dict[str, Any]:
    found = [method.predict_image(image) for image in images]
    scores = [one.ood_score or 0.0 for one in found]
    reasons = Counter(reason for one in found for reason in {*(one.ood_reasons or ()), ""} - {""})
    return {
        "images": len(found),
        "beyond_the_limit": sum(one.doubtful for one in found),
        "median_score": round(float(np.median(scores)), 2),
        "largest_score": round(max(scores), 2),
        "reasons": dict(reasons.most_common(2)),
    }


def show(report: dict[str, Any]) -> None:
    for name, kinds in report["methods"].items():
        table = pd.DataFrame(kinds).T.drop(columns="reasons")
        print(f"\n{name}\n{table.to_string()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["denseseg", "heatmap_regression"])
    parser.add_argument("--cases", type=int, default=160)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--length", type=float, default=0.25, help="share of the recipe's training")
    parser.add_argument("--each", type=int, default=20, help="test cases that are made unusual in each way; sound ones are all")
    parser.add_argument("--seed", type=int, default=1, help="limits were chosen on 0")
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = {
        "benchmark": "unusual images",
        "seed": options.seed,
        **machine(),
        "commit": commit(),
        "cases": options.cases,
        "size": [options.size, options.size],
        "length": options.length,
        "methods": {name: measure(name, options) for name in options.methods},
    }
    show(report)
    if options.out:
        write_json(options.out, plain(report))


if __name__ == "__main__":
    main()
