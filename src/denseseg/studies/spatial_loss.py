"""Does the spatial-configuration loss of Ham and Oh do anything, and if so, is it more than chance?

Three questions, each with its part of the record:
- what the softmax of a true heatmap leaves of a landmark's place, computed exactly for any image size, width and beta;
- how large the second term of the loss and its gradient then are beside the first, on images of the paper's 800 x 640 pixels;
- the rows of the paper's Tables 3 to 5 in small, on phantoms, and the gain of the whole loss over its U-Net with several seeds.

    python -m denseseg.studies.spatial_loss --folder runs/spatial_loss

A run that is cut off goes on where it was.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from denseseg.augment import Augmentation
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import reduce_landmarks
from denseseg.evaluation.metrics import RADII
from denseseg.evaluation.statistics import paired_difference, seeds_spread
from denseseg.evaluation.tables import format_mean_sd, pipe_table
from denseseg.experiments.record import StudyRecord, study_record
from denseseg.geometry.frame import Size
from denseseg.heatmaps import Decoder, laplace_heatmaps
from denseseg.losses import FeatureMap, correlation_map, feature_maps, spatial_embedding
from denseseg.methods.method import Method
from denseseg.methods.spatial_configuration_loss import (
    BETAS,
    CARTESIAN,
    GAMMAS,
    PAPER,
    POLAR,
    SpatialConfigurationLoss,
    SpatialRecipe,
)
from denseseg.names import file_name
from denseseg.phantom import hand_phantom
from denseseg.prediction import stacked_landmarks
from denseseg.studies.command import run_study, study_parser
from denseseg.training.settings import Adam, Drops, Run, Steps, TrainingSettings

FULL_SIZE = (800, 640)


# ---- what the softmax leaves ------------------------------------------------------------------------------------


def spot_share(size: Size, width: float, beta: float) -> float:
    """Share of softmax(beta x) over a true heatmap that its spot takes beyond what an even background would.

    width: of the Laplace heatmap, in pixels, with its landmark on the pixel in the middle of `size` (H, W). The feature maps have
    the mean 0, so the rest of the softmax adds nothing: an embedding is this share of what the spot alone would give.
    """
    middle = torch.tensor([[[size[1] // 2, size[0] // 2]]], dtype=torch.float64)
    excess = torch.expm1(beta * laplace_heatmaps(middle, size, width)).sum()
    return float(excess / (excess + size[0] * size[1]))


def predicted_share(size: Size, width: float, beta: float) -> float:
    """The same by the integral over the plane: A / (A + H W), A = 2 pi width^2 sum over k >= 1 of beta^k / (k! k^2).

    Raises ValueError where beta is negative or not finite.
    """
    if not 0 <= beta < np.inf:
        raise ValueError(f"beta is {beta}: give a finite number that is not negative")
    total, term = 0.0, 1.0
    for k in count(1):
        term *= beta / k
        total += term / k**2
        if k > beta and term <= 1e-12 * total:  # both are 0 where beta is
            break
    area, pixels = 2 * np.pi * width**2 * total, size[0] * size[1]
    return float(1 - pixels / (area + pixels))  # 1 where the sum is too large for a float


def signal_left(landmarks: torch.Tensor, size: Size, width: float, beta: float, maps: Sequence[FeatureMap]) -> dict[str, float]:
    """What is left of the embeddings and correlations of true heatmaps, against those of the landmarks' own pixels (beta = inf).

    landmarks: (B, N, 2) pixels. Both are ratios of root mean squares; the squared difference that training sees shrinks with the
    square of the second.
    """
    heatmaps, features = laplace_heatmaps(landmarks, size, width), feature_maps(maps, size)
    found, own = (spatial_embedding(heatmaps, features, sharpness) for sharpness in (beta, 1e4))
    return {
        "embedding": float(found.norm() / own.norm()),
        "correlation": float(correlation_map(found).norm() / correlation_map(own).norm()),
    }


def shares(landmarks: torch.Tensor, size: Size, widths: Sequence[float] = (3.0, 5.0, 10.0, 20.0)) -> list[dict[str, float]]:
    """A row a width (pixels) and beta: share of the softmax, and what is left of embedding and correlation."""
    return [
        {"width_px": width, "beta": beta, "share": spot_share(size, width, beta)}
        | signal_left(landmarks, size, width, beta, CARTESIAN + POLAR)
        for width in widths
        for beta in BETAS
    ]


# ---- how large the second term is -------------------------------------------------------------------------------


def term_sizes(method: SpatialConfigurationLoss, outputs: torch.Tensor, batch: Batch) -> list[dict[str, float]]:
    """For each beta both terms of the loss, and how large the gradient of the second is beside that of the first, at gamma = 1.

    outputs: (B, N, H, W) of a network, for which the gradients are taken.
    """
    method, outputs, rows = copy.copy(method), outputs.detach().requires_grad_(), []
    for beta in BETAS:
        method.recipe = method.recipe.changed(beta=beta, loss_weights={"heatmap": 1.0, "correlation": 1.0})
        terms = method.losses(outputs, method.targets(batch))
        sizes = {name: float(torch.autograd.grad(term, outputs, retain_graph=True)[0].norm()) for name, term in terms.items()}
        values = {name: term.item() for name, term in terms.items()}
        rows.append({"beta": beta, **values, "gradient_ratio": sizes["correlation"] / sizes["heatmap"]})
    return rows


def at_full_size(cases: CaseSet, steps: int = 50, channels: Sequence[int] = (4, 8, 16, 32, 64)) -> dict[str, Any]:
    """Training with the paper's recipe on a few cases of full size, with a narrow network: how large the second term is for the
    first case before and after, and for its true heatmaps if all of them lay 2 pixels to the right."""
    training = PAPER.training.changed(length=Steps(steps))
    method = SpatialConfigurationLoss(cases.anatomy, cases[0].size, PAPER.changed(channels=tuple(channels), training=training))
    first = Batch.of(cases[:1]).select(torch.tensor([0]))

    def painted() -> torch.Tensor:
        with torch.no_grad():
            return method.network(*method.inputs(first, torch.Generator()))

    moved = method.targets(replace(first, landmarks=first.landmarks + torch.tensor([2.0, 0.0])))["heatmaps"]
    fresh = term_sizes(method, painted(), first)
    history = method.fit(cases, None, Run(progress=False))
    return {
        "steps": steps,
        "channels": list(channels),
        "fresh": fresh,
        "trained": term_sizes(method, painted(), first),
        "moved": term_sizes(method, moved, first),
        "history": history[["heatmap", "correlation"]].to_dict("list"),
    }


# ---- the tables in small ------------------------------------------------------------------------------------------------

TRAINING = TrainingSettings(
    length=Steps(1000),
    batch_size=2,
    optimiser=Adam(1e-2),
    schedule=Drops(at=(500 / 800, 700 / 800)),
    augmentation=Augmentation(rotation=15, translation=0, scale=0.2),
)
# A third of the landmarks, so that so few features paint them all, and wide spots: else a network of this size learns too slowly.
PERCENT = 35
SMALL = SpatialRecipe(
    training=TRAINING,
    loss_weights={"heatmap": 1.0, "correlation": 1e-4},
    channels=(16, 32, 64),
    sigma=1 / 16,
    amplitude=10.0,
)
PLAIN, BOTH = "U-Net", "Cartesian + polar"
VARIANTS: dict[str, dict[str, Any]] = {
    PLAIN: {"loss_weights": {"heatmap": 1.0}},
    BOTH: {},
    "Cartesian": {"maps": CARTESIAN},
    "polar": {"maps": POLAR},
    "Cartesian + radius, cosine, sine": {"maps": (*CARTESIAN, FeatureMap.RADIUS, FeatureMap.COSINE, FeatureMap.SINE)},
    **{
        f"gamma = {gamma:g}": {"loss_weights": {"heatmap": 1.0, "correlation": gamma}}
        for gamma in GAMMAS
        if gamma != SMALL.loss_weights["correlation"]
    },
    **{f"beta = {beta:g}": {"beta": beta} for beta in BETAS if beta != SMALL.beta},
}


@dataclass(frozen=True)
class Trials:
    """Trainings on the same cases; `folder` keeps them, so that each is made once. train, test: of hands with a spacing."""

    train: CaseSet
    test: CaseSet
    recipe: SpatialRecipe = SMALL
    folder: Path = Path("runs/spatial_loss")

    def trained(self, variant: str, seed: int) -> Method:
        method = SpatialConfigurationLoss(self.train.anatomy, self.train[0].size, self.recipe.changed(**VARIANTS[variant]))
        method.fit(self.train, None, Run(seed=seed, folder=self.folder / file_name(f"{variant}_{seed}"), progress=False))
        return method

    def errors(self, variant: str, seed: int, decoder: Decoder = Decoder.SUBPIXEL) -> np.ndarray:
        """(M, N) mm of the test cases."""
        method = self.trained(variant, seed)
        method.recipe = method.recipe.changed(decoder=decoder)
        found = stacked_landmarks(method.predict_cases(self.test))
        spacing = np.array([[case.spacing] for case in self.test], float)
        return np.linalg.norm(found - self.test.landmarks, axis=-1) * spacing

    def results(self, seeds: Sequence[int]) -> dict[str, Any]:
        """`rows`: variant -> mean, SD and shares beyond 2, 4, 10 mm with the first seed; `seeds`: of plain and whole loss, each
        seed's mean and the paired difference; `plain_twice`: the U-Net against itself with another seed; `blob`: the paper's
        reader on the same two networks of the first seed."""
        errors = {name: self.errors(name, seeds[0]) for name in VARIANTS}
        pairs = {seed: [self.errors(name, seed) for name in (BOTH, PLAIN)] for seed in seeds}
        blobs = {name: summary(self.errors(name, seeds[0], Decoder.BLOB)) for name in (PLAIN, BOTH)}
        gains = [whole.mean() - plain.mean() for whole, plain in pairs.values()]
        again = [first[1] for first in pairs.values()]
        return {
            "rows": {name: summary(values) for name, values in errors.items()},
            "seeds": {str(seed): _compared(*pair) for seed, pair in pairs.items()},
            "gain_mm": seeds_spread(gains)._asdict(),
            "plain_twice": [_compared(other, again[0]) for other in again[1:]],
            "blob": blobs,
        }


def summary(errors: np.ndarray) -> dict[str, float]:
    """Of (M, N) errors in mm: mean, SD (n - 1) over all, and the shares in percent beyond each of `RADII`."""
    beyond = {f"beyond_{radius}": float(100 * (errors > radius).mean()) for radius in RADII}
    return {"mean": float(errors.mean()), "sd": float(errors.std(ddof=1)), **beyond}


def _compared(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Means of two trainings in mm, and their difference paired by image."""
    difference = paired_difference(first.mean(1), second.mean(1))._asdict()
    return {"first": float(first.mean()), "second": float(second.mean())} | {f"difference_{k}": v for k, v in difference.items()}


# ---- its record and its table ---------------------------------------------------------------------------------------


def small_cases(n: int = 160, size: Size = (64, 48)) -> CaseSet:
    """Hand phantoms with `PERCENT` of their landmarks."""
    hands = hand_phantom(n, size, seed=0)
    return reduce_landmarks(hands, PERCENT, hands.landmarks.mean(0))


def record(folder: str | Path, seeds: Sequence[int] = (0, 1, 2), size: Size = (64, 48), n: int = 160, **more: Any) -> StudyRecord:
    """The whole study on `n` hand phantoms of `size`, three of four to train on. more: notes, as in `study_record`."""
    cases, part = small_cases(n, size), 3 * n // 4
    full = hand_phantom(5, (800, 600), seed=1).fitted(FULL_SIZE)
    trials = Trials(cases[:part], cases[part:], folder=Path(folder))
    results = {
        "shares": shares(torch.as_tensor(full[0].landmarks, dtype=torch.float32)[None], FULL_SIZE),
        "full_size": at_full_size(full),
        "small": trials.results(seeds),
    }
    settings = {"size": size, "seeds": list(seeds), "landmarks": cases.anatomy.n_landmarks, "recipe": asdict(SMALL)}
    counts = {"train": part, "test": n - part, "full_size": len(full)}
    return study_record(
        "spatial-configuration loss", cases, results, n=counts, profile="course", seed=seeds[0], settings=settings, **more
    )


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    small = results["small"]
    rows = [
        [name, format_mean_sd(row["mean"], row["sd"], 2), *(f"{row[f'beyond_{radius}']:.2f}" for radius in RADII)]
        for name, row in small["rows"].items()
    ]
    gain, seeds = small["gain_mm"], small["seeds"].values()
    gains = ", ".join("{difference_mean:+.2f} [{difference_low:+.2f}, {difference_high:+.2f}]".format(**one) for one in seeds)
    text = (
        f"**Error on hand phantoms, one seed each.** {BOTH} with gamma = 1e-4 and beta = 10 unless said otherwise. {BOTH} minus "
        f"{PLAIN} in mm, paired by image, for each of {gain['n']} seeds: {gains}; over the seeds {gain['mean']:+.3f} "
        f"[{gain['low']:+.3f}, {gain['high']:+.3f}]. Chapter 17 tells how."
    )
    return f"{text}\n\n{pipe_table(['loss', 'error (mm)', *(f'beyond {radius} mm (%)' for radius in RADII)], rows)}"


if __name__ == "__main__":
    raise SystemExit(run_study(study_parser(__doc__, folder="runs/spatial_loss", notes=""), record))
