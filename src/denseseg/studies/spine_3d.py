"""Landmarks in three dimensions, many of which look alike: vertebrae (Payer et al. 2019, Section 4.4), on a phantom.

The package is made for images in 2-D; this study works on plain tensors, with a loop of its own. Volumes are taller than what the
networks are trained on: training sees a random part along z, prediction goes through overlapping tiles and keeps the greatest
response. A vertebra beyond the field of view has an empty target, and where a heatmap stays low it is told to be absent. The
SpatialConfiguration-Net and the Localization U-Net are trained alike.

    python -m denseseg.studies.spine_3d --notes "one thread"

trains both and records what comes of it. Unlike in the paper networks are small, and trainings are short and Adam's; nothing drops
out, geometry is not augmented, widths begin at 2 voxels, and a vertebra that is not in view pays no price for its width.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from denseseg.errors import exit_status, validated
from denseseg.evaluation.metrics import id_rate, identified, landmark_errors
from denseseg.evaluation.tables import format_mean_sd, pipe_table
from denseseg.experiments.provenance import describe_device
from denseseg.experiments.record import StudyRecord
from denseseg.experiments.store import write_study
from denseseg.files import plain
from denseseg.heatmaps import argmax_landmarks, gaussian_heatmaps
from denseseg.losses import heatmap_sse
from denseseg.networks.localization import LearnedWidths
from denseseg.networks.localization_unet import LocalizationUNet
from denseseg.networks.spatial_configuration import LocalAppearance, SpatialConfiguration, SpatialConfigurationNet
from denseseg.phantom.spine import NAMES, SIZE, SPACING, SpineVolume, spine_phantom
from denseseg.studies.spatial_configuration import peak_sign
from denseseg.training.settings import Adam, Cosine

TILE, OVERLAP = 28, 16  # voxels along z; the paper's are 192 and 96
GAMMA, ALPHA = 1000.0, 1000.0  # of Eq. 1 and 2, in three dimensions (Section 3)
FIRST_SIGMA = 2.0  # voxels, where widths begin: there Eq. 2 is least for a network that finds nothing
OPTIMISER, SCHEDULE = Adam(2e-3), Cosine()
GAIN, SHIFT = 0.25, 0.25  # ranges of the random change of intensities, which lie in -1..1

Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Scale:
    """How large the trainings are: volumes, steps of one volume each, features of each of so many levels."""

    train: int = 40
    test: int = 40
    steps: int = 800
    features: int = 16
    levels: int = 3


def spatial_configuration_net(scale: Scale) -> SpatialConfigurationNet:
    """The paper's network in three dimensions: kernels of 7 at a quarter of the size."""
    appearance = LocalAppearance(len(NAMES), (scale.features,) * scale.levels, dimensions=3, dropout=0.0)
    return SpatialConfigurationNet(appearance, SpatialConfiguration(len(NAMES), scale.features, dimensions=3, shrink=4, kernel=7))


def localization_unet(scale: Scale) -> LocalizationUNet:
    """The U-Net that the paper compares it with."""
    return LocalizationUNet(len(NAMES), (scale.features,) * scale.levels, dimensions=3, dropout=0.0)


NETWORKS: dict[str, Callable[[Scale], torch.nn.Module]] = {
    "SCN": spatial_configuration_net,
    "Localization U-Net": localization_unet,
}


# ---- volumes, parts of them, targets --------------------------------------------------------------------------------


def volumes_and_landmarks(cases: Sequence[SpineVolume]) -> tuple[Tensor, Tensor]:
    """(M, 1, D, H, W) intensities from -1 to 1, and (M, N, 3) landmarks in voxels (x, y, z), NaN where absent."""
    volumes = torch.as_tensor(np.stack([case.image for case in cases]))[:, None]
    return 2 * volumes - 1, torch.as_tensor(np.stack([case.landmarks for case in cases]), dtype=torch.float32)


def part_along_z(volumes: Tensor, landmarks: Tensor, start: int, depth: int = TILE) -> tuple[Tensor, Tensor]:
    """The slices from `start` on of (B, 1, D, H, W), and (B, N, 3) landmarks in their voxels; NaN where these lie outside."""
    moved = landmarks - torch.tensor([0.0, 0.0, start])
    inside = (moved[..., 2] > -0.5) & (moved[..., 2] < depth - 0.5)
    return volumes[:, :, start : start + depth], torch.where(inside[..., None], moved, torch.nan)


def peaks(sigma: Tensor) -> Tensor:
    """(N,) peaks of targets of these widths (N,) in voxels, all of the sum gamma (Eq. 1 with d = 3)."""
    return GAMMA / (2 * math.pi) ** 1.5 / sigma**3


def objective(output: tuple[Tensor, Tensor], landmarks: Tensor) -> Tensor:
    """Eq. 2 for heatmaps (B, N, D, H, W) with their widths (N,), and landmarks (B, N, 3).

    Who is absent has an empty target, and its width costs nothing: in a run of volumes without it the price alone would act, and
    drive the width to nothing.
    """
    heatmaps, sigma = output
    targets = gaussian_heatmaps(landmarks, heatmaps.shape[2:], sigma, peaks(sigma))
    there = torch.isfinite(landmarks).all(-1)
    return heatmap_sse(heatmaps, targets, torch.ones_like(there)) + ALPHA * (sigma.square() * there).sum(1).mean()


# ---- training -------------------------------------------------------------------------------------------------------


def train(network: LearnedWidths, volumes: Tensor, landmarks: Tensor, steps: int, seed: int = 0) -> list[float]:
    """Train on random parts along z, one volume a step; the loss of each step.

    volumes: (M, 1, D, H, W) in -1..1; landmarks: (M, N, 3) voxels.
    """
    rng, losses = np.random.default_rng(seed), []
    optimiser = OPTIMISER.make(network)
    network.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = SCHEDULE.rate(OPTIMISER.learning_rate, step / steps)
        if step % len(volumes) == 0:
            order = rng.permutation(len(volumes))
        case = order[step % len(volumes)]
        start = int(rng.integers(volumes.shape[2] - min(TILE, volumes.shape[2]) + 1))
        part, truth = part_along_z(volumes[case, None], landmarks[case, None], start)
        loss = objective(network(part * rng.uniform(1 - GAIN, 1 + GAIN) + rng.uniform(-SHIFT, SHIFT)), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            low, high = network.widths.min().item(), network.widths.max().item()
            print(f"step {step + 1:4d}/{steps}: loss {np.mean(losses[-50:]):.0f}, widths {low:.2f} to {high:.2f}", flush=True)
    network.eval()
    return losses


# ---- prediction -----------------------------------------------------------------------------------------------------


def tile_starts(depth: int, tile: int, overlap: int) -> list[int]:
    """First slices of tiles that cover the depth, each overlapping the next by `overlap` or more; the last ends with the volume."""
    last = max(depth - tile, 0)
    return [*range(0, last, tile - overlap), last]


@torch.no_grad()
def tiled(predict: Predict, volumes: Tensor, tile: int = TILE, overlap: int = OVERLAP) -> Tensor:
    """(B, 1, D, H, W) -> (B, N, D, H, W): tiles along z one after another, merged by their maximum (Section 4.4).

    MONAI's sliding windows take means of overlapping tiles; a tile that lacks the context to name a vertebra would dim what the
    next one knows.
    """
    depth = volumes.shape[2]
    parts = [
        F.pad(predict(volumes[:, :, start : start + tile]), (0, 0, 0, 0, start, max(depth - start - tile, 0)), value=-math.inf)
        for start in tile_starts(depth, tile, overlap)
    ]
    return torch.stack(parts).amax(0)


def relative_heatmaps(network: LearnedWidths) -> Predict:
    """Volumes -> heatmaps in units of their targets' peaks."""

    def predict(volumes: Tensor) -> Tensor:
        heatmaps, sigma = network(volumes)
        return heatmaps / peaks(sigma)[:, None, None, None]

    return predict


def appearance_alone(network: SpatialConfigurationNet) -> Predict:
    """Volumes -> what local appearance says, with the sign it has where the product peaks."""

    def predict(volumes: Tensor) -> Tensor:
        appearance, configuration = network.components(volumes)
        return appearance * peak_sign(appearance, configuration)

    return predict


def read(predict: Predict, volumes: Tensor, tile: int = TILE) -> tuple[np.ndarray, np.ndarray]:
    """Brightest voxels (M, N, 3) (x, y, z) of the merged heatmaps, and how bright they are, (M, N); volumes one by one."""
    heatmaps = [tiled(predict, volume[None], tile) for volume in volumes]
    points, height = torch.cat([argmax_landmarks(h) for h in heatmaps]), torch.cat([h.flatten(2).amax(-1) for h in heatmaps])
    return points.double().numpy(), height.double().numpy()


# ---- evaluation -----------------------------------------------------------------------------------------------------


def score(points: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Points (M, N, 3) against the truth, voxels: PE (its SD over n) in mm and voxels, and ID rate in % (Section 3.2, Eq. 8).

    As in the paper, every vertebra in the field of view counts, however faint its heatmap is.
    """
    errors = landmark_errors(points, true)
    known = errors[np.isfinite(errors)]
    return {
        "mean_mm": SPACING * float(known.mean()),
        "sd_mm": SPACING * float(known.std()),
        "median_mm": SPACING * float(np.median(known)),
        "mean_voxels": float(known.mean()),
        "identified": int(np.nansum(identified(points, true, SPACING))),
        "landmarks": len(known),
        "id_rate_percent": 100 * id_rate(points, true, SPACING),
    }


def best_threshold(height: np.ndarray, present: np.ndarray) -> float:
    """Where to cut heights (M, N) so that most of them lie on the side that `present` (M, N) says."""
    cuts = np.unique(height)
    return float(cuts[np.argmax([((height >= cut) == present).mean() for cut in cuts])])


def measured(network: LearnedWidths, train_part: tuple[Tensor, Tensor], test_part: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """The numbers of a trained network; the height that makes a vertebra present is chosen on training volumes."""
    predict = relative_heatmaps(network)
    cut = best_threshold(read(predict, train_part[0])[1], np.isfinite(train_part[1][..., 0].numpy()))
    volumes, true = test_part[0], test_part[1].double().numpy()
    points, height = read(predict, volumes)
    present, found = np.isfinite(true[..., 0]), height >= cut
    result = {
        "tiles": score(points, true),
        "whole volumes": score(read(predict, volumes, tile=volumes.shape[2])[0], true),
        "threshold": cut,
        "present_found_percent": 100 * float(found[present].mean()),
        "absent_found_percent": 100 * float(found[~present].mean()),
        "presence_accuracy_percent": 100 * float((found == present).mean()),
        "sigma_voxels": network(volumes[:1])[1].tolist(),
        "parameters": sum(p.numel() for p in network.parameters()),
        "first_volume": points[0],
    }
    if isinstance(network.network, SpatialConfigurationNet):
        result["local appearance alone"] = score(read(appearance_alone(network.network), volumes)[0], true)
    return result


# ---- its record and its table ---------------------------------------------------------------------------------------


def trained_and_measured(name: str, scale: Scale, seed: int = 0) -> dict[str, Any]:
    """The numbers of one of `NETWORKS`; all are trained on the same volumes, in the same order, and tested on the same others."""
    cases = spine_phantom(scale.train + scale.test, seed)
    train_part, test_part = volumes_and_landmarks(cases[: scale.train]), volumes_and_landmarks(cases[scale.train :])
    torch.manual_seed(seed)
    network = LearnedWidths(NETWORKS[name](scale), len(NAMES), FIRST_SIGMA)
    losses = train(network, *train_part, scale.steps, seed)
    return measured(network, train_part, test_part) | {"last_loss": float(np.mean(losses[-50:]))}


def study(results: Mapping[str, Any], scale: Scale, seed: int = 0, notes: str = "") -> StudyRecord:
    """The record of what `trained_and_measured` gave for each network, by name. No cases: scale and seed tell all volumes."""
    content = {
        "study": "three dimensions",
        "dataset": "spine phantom",
        "source": "synthetic spines",
        "synthetic": True,
        "device": describe_device(),
        "notes": notes,
        "profile": "course",
        "seed": seed,
        "n": {"train": scale.train, "test": scale.test},
        "data_sha256": None,
        "settings": asdict(scale) | {"size": SIZE, "tile": TILE, "overlap": OVERLAP, "gamma": GAMMA, "alpha": ALPHA},
        "results": results,
    }
    return validated(StudyRecord, plain(content), "record")


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    rows = []
    for name, entry in results.items():
        presence = [f"{entry[key]:.1f}" for key in ("present_found_percent", "absent_found_percent")]
        rows += [
            [name, way, *_cells(entry[way]), *(presence if way == "tiles" else ["–", "–"])]
            for way in ("tiles", "whole volumes", "local appearance alone")
            if way in entry
        ]
    header = ["network", "read from", "error (mm)", "median (mm)", "ID rate (%)", "found if there (%)", "found if not (%)"]
    text = "**Vertebrae in volumes, mean ± SD over all in the field of view; voxels of 5 mm.** Chapter 16 tells how."
    return f"{text}\n\n{pipe_table(header, rows)}"


def _cells(part: Mapping[str, float]) -> list[str]:
    return [format_mean_sd(part["mean_mm"], part["sd_mm"]), f"{part['median_mm']:.1f}", f"{part['id_rate_percent']:.1f}"]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=Scale.steps)
    parser.add_argument("--seed", type=int, default=0)
    for option, default in {"results": "results", "notes": ""}.items():
        parser.add_argument(f"--{option}", default=default)
    options = parser.parse_args()
    scale = Scale(steps=options.steps)
    results = {name: trained_and_measured(name, scale, options.seed) for name in options.networks}
    print(write_study(study(results, scale, options.seed, options.notes), options.results))


if __name__ == "__main__":
    raise SystemExit(exit_status(_main))
