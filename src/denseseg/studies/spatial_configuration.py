"""The studies of the SpatialConfiguration-Net's paper on small hand phantoms (Payer et al. 2019, Sections 4.1 and 5).

Does the product split the task in two? What are learned widths worth, what more filters, what larger images? Each question is a
few short trainings on the same cases, with the same seed, of 400 steps unless the name says more. They differ in one thing, except
that 32 filters also learn at a smaller rate, 3e-4 instead of 1e-3. All networks of the group "product" learn their widths, also the
forerunner of 2016, whose own were fixed. Besides, what each component of a trained network says by itself (Fig. 9), local
appearance also with the truth's help: "LAaroundGT", its maximum within 10 mm.

    python -m denseseg.studies.spatial_configuration --groups components widths --notes "one thread"

trains, or goes on where it was stopped, and records what there is after each training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError, exit_status
from denseseg.evaluation.metrics import RADII
from denseseg.evaluation.tables import format_mean_sd, pipe_table
from denseseg.experiments.record import StudyRecord, study_record
from denseseg.experiments.store import read_studies, write_study
from denseseg.files import plain
from denseseg.geometry.frame import Size
from denseseg.heatmaps import DECODERS
from denseseg.methods import create, get_recipe
from denseseg.methods.localization import ALPHA, FIXED, LocalizationMethod, LocalizationRecipe
from denseseg.methods.spatial_configuration import SpatialConfiguration
from denseseg.names import file_name
from denseseg.phantom import hand_phantom
from denseseg.prediction import stacked_landmarks
from denseseg.training.settings import Adam, Run, Steps

NAME = "spatial configuration"
NEAR = 10.0  # mm, of LAaroundGT


# ---- what is trained ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How large the trainings of a study are: (H, W) pixels, cases, steps, batch, features of each level, and Adam's learning rate,
    larger than in our recipes, as so few features bear it."""

    size: Size = (80, 60)
    train: int = 60
    test: int = 40
    steps: int = 400
    batch_size: int = 2
    features: int = 16
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Arm:
    """One training: a method and what its recipe and its scale have of their own.

    augmentation: the recipe from which it is taken, if not its own. sigma_px: in pixels of its images.
    """

    group: str
    name: str
    method: str = "spatial_configuration"
    recipe: str = "default"
    augmentation: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    sigma_px: float | None = None
    scale: dict[str, Any] = field(default_factory=dict)


SUBPIXEL = {"decoder": "subpixel"}
SCN = Arm("components", "SCN")
LA_NET = Arm("components", "LA-Net", "local_appearance")
# after 400 steps learned widths have not come to rest
LONG: tuple[tuple[str, dict[str, Any], float | None], ...] = (("fixed 1.5 px", FIXED, 1.5), ("learned", {}, None))
# The paper has 128 to 512 pixels and 32 to 256 filters.
ARMS = (
    SCN,
    LA_NET,
    Arm("components", "Localization U-Net", "localization_unet"),
    *(Arm("widths", f"fixed {s:g} px", options=FIXED, sigma_px=s) for s in (1.5, 3.0, 6.0)),
    *(
        Arm("widths", f"learned, alpha {alpha:g}", options={"loss_weights": {"heatmap": 1.0, "sigma": alpha}})
        for alpha in (5.0, 100.0)
    ),
    Arm("product", "convolutions instead", options={"variant": "convolutions"}),
    Arm("product", "forerunner (2016)", options={"variant": "pairwise"}),
    *(Arm("widths, 1600 steps", name, options=options, sigma_px=s, scale={"steps": 1600}) for name, options, s in LONG),
    *(
        Arm("filters", f"{n} filters", scale={"features": n, "learning_rate": rate})
        for n, rate in ((4, 1e-3), (8, 1e-3), (32, 3e-4))
    ),
    # which keeps 64 before its 1 x 1 layer elsewhere, and is a starved rival without them
    Arm("filters", "16 in all of the Localization U-Net", "localization_unet", options={"channels": (16,) * 5}),
    *(Arm("input size", f"{h} x {w} px", scale={"size": (h, w)}) for h, w in ((64, 48), (112, 84))),
    Arm("cells", "1/16 of 80 pixels", options={"cells": 5}),
    Arm("training", "the paper's", recipe="paper", options=SUBPIXEL),
    Arm("training", "the paper's, our augmentation", recipe="paper", augmentation="default", options=SUBPIXEL),
    Arm("training", "the paper's, 1600 steps", recipe="paper", options=SUBPIXEL, scale={"steps": 1600}),
)
GROUPS = tuple(dict.fromkeys(arm.group for arm in ARMS))


@cache
def drawn(size: Size, n: int, seed: int) -> CaseSet:
    """The hands of a study; the first ones, the same at every size, are for training."""
    return hand_phantom(n, size, seed)


def recipe_of(arm: Arm, scale: Scale) -> LocalizationRecipe:
    """The arm's recipe at this scale; the shape prior and the views, which would hide differences, are left out."""
    recipe = get_recipe(arm.method, arm.recipe)
    augmented = get_recipe(arm.method, arm.augmentation or arm.recipe)
    assert isinstance(recipe, LocalizationRecipe) and isinstance(augmented, LocalizationRecipe)
    training = recipe.training.changed(
        length=Steps(scale.steps), batch_size=scale.batch_size, augmentation=augmented.training.augmentation
    )
    if isinstance(training.optimiser, Adam):  # not the paper's
        training = training.changed(optimiser=Adam(scale.learning_rate))
    recipe = recipe.scaled(1.0, scale.features / recipe.channels[0], scale.batch_size)
    recipe = recipe.changed(training=training, shape_prior=0.0, test_time_views=1)
    sigma = recipe.sigma if arm.sigma_px is None else arm.sigma_px / scale.size[0]
    return recipe.changed(sigma=sigma, **arm.options)


def trained(arm: Arm, scale: Scale, seed: int = 0, folder: Path | None = None) -> tuple[LocalizationMethod, CaseSet]:
    """The method trained by an arm, and its test cases. folder: where trainings are kept, each in a folder of its own, or None."""
    scale = replace(scale, **arm.scale)
    cases = drawn(scale.size, scale.train + scale.test, seed)
    method = create(arm.method, cases.anatomy, scale.size, recipe_of(arm, scale))
    assert isinstance(method, LocalizationMethod)
    own = None if folder is None else folder / file_name(f"scn {arm.group} {arm.name} {scale} {seed}")
    method.fit(cases[: scale.train], None, Run(seed=seed, folder=own, progress=False))
    return method, cases[scale.train :]


# ---- what is measured -----------------------------------------------------------------------------------------------


def errors_mm(found: np.ndarray, cases: CaseSet) -> np.ndarray:
    """(M, N) distances in mm of landmarks found (M, N, 2) px from the true ones. Raises DataError for a case without spacing."""
    for case in cases:
        if case.spacing is None:
            raise DataError(f"case {case.id} has no spacing; this study reports millimetres, so give it one")
    return np.linalg.norm(found - cases.landmarks, axis=-1) * np.array([case.spacing for case in cases], float)[:, None]


def score(errors: np.ndarray) -> dict[str, float]:
    """Point-to-point errors (M, N) in mm, as in the paper's Table 1: mean, SD (over n), median, and % beyond each of `RADII`."""
    outliers = {f"over_{radius:g}_mm_percent": 100 * float((errors > radius).mean()) for radius in RADII}
    return {"mean": float(errors.mean()), "sd": float(errors.std()), "median": float(np.median(errors))} | outliers


def peak_sign(appearance: Tensor, configuration: Tensor) -> Tensor:
    """(B, N, 1, 1) or (B, N, 1, 1, 1) sign of local appearance where its product with configuration, both (B, N, [D,] H, W), peaks.

    No training fixes it: a product is the same if both factors change their sign.
    """
    peak = (appearance * configuration).flatten(2).argmax(-1, keepdim=True)
    return appearance.flatten(2).gather(-1, peak).sign().reshape(*peak.shape[:2], *[1] * (appearance.ndim - 2))


def read_outs(method: SpatialConfiguration, cases: CaseSet) -> dict[str, np.ndarray]:
    """Errors (M, N) in mm of landmarks read from the product, from each component, and from local appearance near the truth.

    Where local appearance is negative at the product's peak, both components are turned.
    """
    batch = Batch.of(cases)
    appearance, configuration = (part.cpu() for part in method.components(batch.images))
    sign = peak_sign(appearance, configuration)
    spacing = torch.tensor([case.spacing or torch.nan for case in cases])[:, None]
    maps = {
        "product": appearance * configuration,
        "local appearance": sign * appearance,
        "spatial configuration": sign * configuration,
        "local appearance near the truth": near(sign * appearance, batch.landmarks, NEAR / spacing),
    }
    decode = DECODERS[method.recipe.decoder]
    return {name: errors_mm(decode(values).double().numpy(), cases) for name, values in maps.items()}


def near(heatmaps: Tensor, landmarks: Tensor, radius: Tensor) -> Tensor:
    """(B, N, H, W) heatmaps, as dark as can be farther from their landmark (B, N, 2) than a radius (B, 1) in pixels."""
    y, x = (torch.arange(n, dtype=landmarks.dtype) for n in heatmaps.shape[-2:])
    squared = (x - landmarks[..., 0, None])[..., None, :] ** 2 + (y - landmarks[..., 1, None])[..., None] ** 2
    return torch.where(squared <= radius[..., None, None] ** 2, heatmaps, heatmaps.amin((2, 3), keepdim=True))


def measured(method: LocalizationMethod, cases: CaseSet) -> dict[str, Any]:
    """The numbers of one arm."""
    result: dict[str, Any] = {"mm": score(errors_mm(stacked_landmarks(method.predict_cases(cases)), cases))}
    sigma = method.network.widths.detach().cpu().numpy()
    widths = {"least": float(sigma.min()), "mean": float(sigma.mean()), "largest": float(sigma.max())}
    result |= {"parameters": method.parameters, "sigma_px": widths}
    if isinstance(method, SpatialConfiguration) and method.recipe.variant == "product":
        result["read_outs_mm"] = {name: score(errors) for name, errors in read_outs(method, cases).items()}
    return result


# ---- its record and its table ---------------------------------------------------------------------------------------


def study(
    arms: Sequence[Arm], scale: Scale, seed: int = 0, folder: Path | None = None, notes: str = "", known: Sequence[StudyRecord] = ()
) -> Iterator[tuple[str, StudyRecord]]:
    """Train and measure the arms one by one: the name of each, and the record of what came of all so far, by group and name.

    known: earlier records; the results of one with the same settings and seed stay.
    """
    cases, settings = drawn(scale.size, scale.train + scale.test, seed), {**vars(scale), "alpha": ALPHA, "near_mm": NEAR}
    same = [r for r in known if r.study == NAME and r.seed == seed and r.settings == plain(settings)]
    results: dict[str, dict[str, Any]] = {group: dict(arms) for r in same for group, arms in r.results.items()}
    for arm in arms:
        results.setdefault(arm.group, {})[arm.name] = measured(*trained(arm, scale, seed, folder))
        yield (
            arm.name,
            study_record(
                NAME,
                cases,
                results,
                n={"train": scale.train, "test": scale.test},
                profile="course",
                seed=seed,
                settings=settings,
                notes=notes,
            ),
        )


def table(results: Mapping[str, Any]) -> str:
    """The record's results as markdown."""
    rows = [
        [group, name, *_cells(entry["mm"]), "{least:.1f} to {largest:.1f}".format(**entry["sigma_px"])]
        for group, entries in results.items()
        for name, entry in entries.items()
    ]
    header = ["question", "network", "error (mm)", "median (mm)", *(f"beyond {radius:g} mm (%)" for radius in RADII), "σ (px)"]
    text = (
        "**Error of networks that differ in one thing, mean ± SD**, except that 32 filters also learn at a smaller rate, 3e-4 "
        "instead of 1e-3. All networks of the group “product” learn their widths, also the forerunner of 2016, whose own were "
        "fixed. Chapter 16 tells how."
    )
    parts = [text, pipe_table(header, rows)]
    if read := results.get(SCN.group, {}).get(SCN.name, {}).get("read_outs_mm"):
        rows = [[name, *_cells(mm)] for name, mm in read.items()]
        parts += ["**What is read from the trained SCN.**", pipe_table(["from", *header[2:-1]], rows)]
    return "\n\n".join(parts)


def _cells(mm: Mapping[str, float]) -> list[str]:
    outliers = [f"{mm[f'over_{radius:g}_mm_percent']:.1f}" for radius in RADII]
    return [format_mean_sd(mm["mean"], mm["sd"], 2), f"{mm['median']:.2f}", *outliers]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--steps", type=int, default=Scale.steps)
    parser.add_argument("--seed", type=int, default=0)
    for option, default in {"runs": "runs", "results": "results", "notes": ""}.items():
        parser.add_argument(f"--{option}", default=default)
    options = parser.parse_args()
    arms = [arm for arm in ARMS if arm.group in options.groups]
    known = read_studies(options.results)
    for name, record in study(arms, Scale(steps=options.steps), options.seed, Path(options.runs), options.notes, known):
        print(f"{name}: {write_study(record, options.results)}", flush=True)


if __name__ == "__main__":
    raise SystemExit(exit_status(_main))
