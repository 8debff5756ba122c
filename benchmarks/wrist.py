"""Cost of the geometry for many structures: the wrist (17 structures, 710 landmarks, 384 x 224) beside the chest.

    python benchmarks/wrist.py                                    # phantoms only
    python benchmarks/wrist.py --authors PATH                     # beside the authors' code, as in geometry.py
    python benchmarks/wrist.py --out results/benchmarks/wrist.json

Time and peak memory of every step, and how both grow with the number of structures and of landmarks. One thread; times are
processor time, memory is measured in a fresh process for each step. See README.md.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and NumPy start their threads

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from geometry import AuthorsGenerator, authors_decoder, commit, load_authors, machine
from torch import Tensor

from denseseg.anatomy import CHEST, WRIST, Anatomy, Structure
from denseseg.augment import Augmentation, augment
from denseseg.batch import Batch
from denseseg.files import plain, write_json
from denseseg.geometry.decode import decode_affine, decode_published
from denseseg.geometry.frame import Size
from denseseg.geometry.outline_projection import project_onto_outlines
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import UVMaps, uv_maps
from denseseg.methods.denseseg import DEFAULT, DenseSeg
from denseseg.phantom import chest_phantom, wrist_phantom

CHANNELS = (16, 32, 64, 128)  # of the network in the training step: the course's, so that it runs without a GPU


@dataclass(frozen=True)
class Workload:
    """A batch of cases: (B, N, 2) landmarks and their template."""

    landmarks: np.ndarray
    template: Template

    @property
    def anatomy(self) -> Anatomy:
        return self.template.anatomy

    @property
    def size(self) -> Size:
        return self.template.size

    @property
    def batch(self) -> Tensor:
        return torch.as_tensor(self.landmarks, dtype=torch.float32)

    def of(self, anatomy: Anatomy, chosen: np.ndarray) -> Workload:
        """The same cases with some of the landmarks only, or some of them several times."""
        return Workload(self.landmarks[:, chosen], Template(anatomy, self.template.points[chosen], self.size))

    def first(self, count: int) -> Workload:
        return Workload(self.landmarks[:count], self.template)


def workload(name: str, cases: int) -> Workload:
    """ "chest", "wrist", "structures K" (copies of the third metacarpal) or "landmarks P" (percent of the wrist's)."""
    kind, _, number = name.partition(" ")
    data = chest_phantom(cases, (256, 256)) if kind == "chest" else wrist_phantom(cases, (384, 224))
    full = Workload(data.landmarks, Template.from_landmarks(data.landmarks, CHEST if kind == "chest" else WRIST, data[0].size))
    if kind == "structures":
        where = np.arange(WRIST.n_landmarks)[WRIST.slices["metacarpal 3"]]
        copies = tuple(Structure(f"bone {i}", len(where), "bones") for i in range(int(number)))
        return full.of(Anatomy("copies", copies), np.tile(where, int(number)))
    if kind == "landmarks":
        kept = [
            np.arange(w.start, w.stop)[np.arange(0, w.stop - w.start, 100 / int(number)).astype(int)] for w in WRIST.slices.values()
        ]
        fewer = [Structure(s.name, len(k), s.group) for s, k in zip(WRIST.structures, kept, strict=True)]
        return full.of(Anatomy("thinned wrist", tuple(fewer)), np.concatenate(kept))
    return full


# ---- the steps --------------------------------------------------------------------------------------------------


def _maps_and_masks(work: Workload) -> tuple[UVMaps, Tensor]:
    return uv_maps(work.batch, work.template), contour_masks(work.batch, work.anatomy, work.size, soft=True)


def make_maps(work: Workload) -> Callable[[], Any]:
    return partial(uv_maps, work.batch, work.template)


def make_masks(work: Workload) -> Callable[[], Any]:
    return partial(contour_masks, work.batch, work.anatomy, work.size)


def make_soft_masks(work: Workload) -> Callable[[], Any]:
    return partial(contour_masks, work.batch, work.anatomy, work.size, soft=True)


def make_decoding(work: Workload) -> Callable[[], Any]:
    maps, masks = _maps_and_masks(work)
    return partial(decode_affine, maps.uv, masks > 0.5, work.template)


def make_equation_3(work: Workload) -> Callable[[], Any]:
    maps, masks = _maps_and_masks(work)
    return partial(decode_published, maps.uv, masks > 0.5, work.template)


def make_outline_projection(work: Workload) -> Callable[[], Any]:
    maps, masks = _maps_and_masks(work)
    points = decode_affine(maps.uv, masks > 0.5, work.template).points.double().numpy()
    uv, soft = maps.uv.numpy(), masks.numpy()
    return lambda: [project_onto_outlines(*parts, work.template) for parts in zip(points, uv, soft, strict=True)]


def make_augmentation(work: Workload) -> Callable[[], Any]:
    images = torch.rand(len(work.landmarks), 1, *work.size)
    return lambda: augment(Batch(images, work.batch), Augmentation(elastic=0.02), torch.Generator().manual_seed(0))


def make_training_step(work: Workload) -> Callable[[], Any]:
    """Targets, forward, losses and backward of DenseSeg's default recipe with a small network."""
    method = DenseSeg(work.anatomy, work.size, DEFAULT.changed(channels=CHANNELS))
    method.template = work.template
    images = torch.rand(len(work.landmarks), 1, *work.size)

    def step() -> None:
        targets = method.targets(Batch(images, work.batch))
        terms = method.losses(method.network(method.normalise(images)), targets)
        sum(method.loss_weights[name] * value for name, value in terms.items()).backward()

    return step


STEPS: dict[str, Callable[[Workload], Callable[[], Any]]] = {
    "maps": make_maps,
    "masks": make_masks,
    "soft masks": make_soft_masks,
    "affine decoding": make_decoding,
    "Eq. 3": make_equation_3,
    "contour step": make_outline_projection,
    "augmentation": make_augmentation,
    "training step": make_training_step,
}
SCALED = ("maps", "masks", "soft masks", "affine decoding", "contour step")


# ---- measuring --------------------------------------------------------------------------------------------------


def milliseconds(run: Callable[[], Any], repeats: int) -> float:
    """Processor time: the median of `repeats` runs after one that is not counted."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return 1000 * float(np.median(seconds))


def per_case(step: str, work: Workload, repeats: int) -> float:
    return round(milliseconds(STEPS[step](work), repeats) / len(work.landmarks), 3)


def peak_memory(step: str, name: str, cases: int) -> float:
    """MiB that one run of a step adds to the peak of a fresh process, its results included."""
    command = [sys.executable, __file__, "--memory-of", step, name, str(cases)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(answer.stdout.split()[-1])


def print_memory(step: str, name: str, cases: int) -> None:
    STEPS[step](workload("chest", 1))()  # what the libraries set up once
    run = STEPS[step](workload(name, cases))
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew from what is resident now
    before = _resident("VmRSS")
    result = run()
    peak = _resident("VmHWM")
    del result
    print(round((peak - before) / 1024, 1))


def _resident(key: str) -> int:
    """KiB of this process: resident now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def growth(values: dict[int, float]) -> float:
    """How much faster than linear: cost per unit at the largest number over cost per unit at the smallest; at most 1 is linear."""
    low, high = min(values), max(values)
    return round(values[high] / high / (values[low] / low), 3)


def scaling(kind: str, numbers: tuple[int, ...], cases: int, repeats: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    works = {number: workload(f"{kind} {number}", cases) for number in numbers}
    for step in SCALED:
        times = {number: per_case(step, work, repeats) for number, work in works.items()}
        memory = {number: peak_memory(step, f"{kind} {number}", cases) for number in numbers}
        result[step] = {"ms_per_case": times, "mib": memory, "growth": growth(times)}
    return result


def complete(work: Workload, count: int) -> Workload:
    """The first cases without an absent structure, shrunk into the image: the authors' code refuses landmarks outside it."""
    whole = work.landmarks[np.isfinite(work.landmarks).all((1, 2))][:count]
    centre = (np.array(work.size[::-1]) - 1) / 2
    everything = np.concatenate([whole, work.template.points[None]]) - centre
    scale = min(1.0, float((0.99 * centre / np.abs(everything).max((0, 1))).min()))
    points = centre + scale * (work.template.points - centre)
    return Workload(centre + scale * (whole - centre), Template(work.anatomy, points, work.size))


def beside_authors(work: Workload, authors: Any) -> dict[str, Any]:
    """Their maps and their decoding, beside ours, a case at a time and on the same cases."""
    rows: dict[str, list[float]] = {"maps": [], "affine decoding": [], "authors' maps": [], "authors' decoding": []}
    maker, decode = AuthorsGenerator(authors.extract_warped_uv_maps), authors_decoder(authors)
    for landmarks in work.landmarks:
        one = Workload(landmarks[None], work.template)
        maps, masks = _maps_and_masks(one)
        rows["maps"].append(milliseconds(make_maps(one), 3))
        rows["affine decoding"].append(milliseconds(make_decoding(one), 3))
        rows["authors' maps"].append(milliseconds(maker.prepare(one.batch, one.template), 1))
        rows["authors' decoding"].append(milliseconds(partial(decode, maps.uv, masks > 0.5, one.template), 1))
    ms = {name: round(float(np.median(values)), 2) for name, values in rows.items()}
    times = {"maps": ms["authors' maps"] / ms["maps"], "decoding": ms["authors' decoding"] / ms["affine decoding"]}
    return {"cases": len(work.landmarks), "ms_per_case": ms, "times_faster": {key: round(value, 1) for key, value in times.items()}}


def benchmark(cases: int, repeats: int, authors: Any | None) -> dict[str, Any]:
    report: dict[str, Any] = {
        "benchmark": "wrist",
        "dataset": "wrist phantom and chest phantom",
        "cases_in_batch": cases,
        "clock": f"processor time, median of {repeats} runs",
        "network_channels": list(CHANNELS),
        **machine(),
        "commit": commit(),
        "workloads": {},
    }
    for name in ("chest", "wrist"):
        work = workload(name, cases)
        rows = {}
        for step in STEPS:
            many = work.first(2) if step == "training step" else work
            rows[step] = {
                "ms_per_case_in_batch": per_case(step, many, repeats),
                "ms_one_case": per_case(step, work.first(1), repeats),
                "mib": peak_memory(step, name, len(many.landmarks)),
                "cases": len(many.landmarks),
            }
            print(name, step, rows[step], flush=True)
        structures, landmarks = len(work.anatomy), work.anatomy.n_landmarks
        report["workloads"][name] = {"size": list(work.size), "structures": structures, "landmarks": landmarks, "steps": rows}
    report["growth_with_structures"] = scaling("structures", (1, 2, 4, 8, 17), cases, repeats)
    report["growth_with_landmarks"] = scaling("landmarks", (25, 50, 75, 100), cases, repeats)
    if authors:
        report["beside_authors"] = {
            name: beside_authors(complete(workload(name, 24 if name == "wrist" else 3), 3), authors) for name in ("chest", "wrist")
        }
    return report


def show(report: dict[str, Any]) -> None:
    for kind in ("structures", "landmarks"):
        print(f"\nms per case by {kind}; growth 1 is linear")
        for step, row in report[f"growth_with_{kind}"].items():
            print(f"  {step:16}", row)
    print("\n", report.get("beside_authors", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", type=Path, help="checkout of the authors' repository (needs kornia)")
    parser.add_argument("--cases", type=int, default=8, help="cases in a batch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    parser.add_argument("--memory-of", nargs=3, metavar=("STEP", "WORKLOAD", "CASES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        step, name, cases = options.memory_of
        return print_memory(step, name, int(cases))
    report = benchmark(options.cases, options.repeats, load_authors(options.authors) if options.authors else None)
    show(report)
    if options.out:
        write_json(options.out, plain(report))


if __name__ == "__main__":
    main()
