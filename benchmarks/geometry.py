"""Cost and accuracy of making uv maps and of reading landmarks back from them, on one thread.

    python benchmarks/geometry.py                                  # phantoms only
    python benchmarks/geometry.py --data data/jsrt                 # a data-set folder
    python benchmarks/geometry.py --data data/jsrt --authors PATH  # beside the authors' code: a folder with their utils.py

Times are processor time of one thread, the best of three runs of a case, then the median over cases. See README.md.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and NumPy start their threads

import argparse
import importlib.util
import platform
import subprocess
import sys
import time
import types
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases
from denseseg.evaluation.correspondence import dense_correspondence_error
from denseseg.files import plain, write_json
from denseseg.geometry.decode import affine_inversion, decode_affine, decode_published
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import Generator, UVMaps, fold_over_share, uv_maps
from denseseg.geometry.uvmap_alternatives import chart_uv, polar_to_template, polar_uv
from denseseg.phantom import ChestPhantom, chest_phantom

Maker = Callable[[Tensor, Template], UVMaps]


# ---- measuring --------------------------------------------------------------------------------------------------


def milliseconds(run: Callable[[], Any], repeats: int = 3) -> float:
    """The fastest of some runs, in processor time: with one thread that is the time on an idle machine, also on a busy one."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return 1000 * min(seconds)


def by_group(anatomy: Anatomy, values: np.ndarray) -> dict[str, float]:
    """Means of (C,) values over the structures of each group."""
    return {group: round(float(np.mean(values[members])), 4) for group, members in anatomy.groups.items()}


def by_structure(anatomy: Anatomy, per_landmark: np.ndarray) -> np.ndarray:
    """(C,) means of (N,) values, NaN left out."""
    return np.array([np.nanmean(per_landmark[where]) for where in anatomy.slices.values()])


def targets_of(method: str, template: Template, kept: np.ndarray) -> np.ndarray:
    """(N, 2) uv at which each landmark should be found, in the chart that the method makes of the `kept` (N,) landmarks."""
    targets = template.uv.copy()
    for where in template.anatomy.slices.values():
        points = template.points[where]
        known = points[kept[where]]
        if "polar" in method:
            targets[where] = polar_uv(points, known.mean(0))
        elif method == "authors":  # their chart is the box of the landmarks they are given
            targets[where] = chart_uv(points, (known.min(0), known.max(0)))
    return targets


def held_out_error(name: str, generate: Maker, template: Template, landmarks: np.ndarray) -> np.ndarray:
    """(C,) px: every second landmark takes no part in the map, then is read from it by affine inversion."""
    anatomy = template.anatomy
    kept = np.concatenate([np.arange(count) % 2 == 0 for count in anatomy.counts])
    maps = generate(torch.as_tensor(np.where(kept[:, None], landmarks, np.nan)[None], dtype=torch.float32), template)
    goal = torch.as_tensor(targets_of(name, template, kept), dtype=torch.float32)
    found = [
        affine_inversion(maps.uv[:, c], maps.valid[:, c], goal[where]).points[0].numpy()
        for c, where in enumerate(anatomy.slices.values())
    ]
    errors = np.linalg.norm(np.concatenate(found) - landmarks, axis=1)
    return by_structure(anatomy, np.where(kept, np.nan, errors))


def measure_generator(name: str, generate: Maker, template: Template, cases: np.ndarray) -> dict[str, Any]:
    """Time, mask coverage, folds and held-out error of one generator over (M, N, 2) landmarks."""
    anatomy, times, coverage, folds, held_out = template.anatomy, [], [], [], []
    for landmarks in cases:
        batch = torch.as_tensor(landmarks[None], dtype=torch.float32)
        run = generate.prepare(batch, template) if isinstance(generate, AuthorsGenerator) else partial(generate, batch, template)
        times.append(milliseconds(run))
        maps = generate(batch, template)
        masks = contour_masks(batch, anatomy, template.size).bool()
        coverage.append(((maps.valid & masks).sum((2, 3)) / masks.sum((2, 3)))[0].numpy())
        folds.append(maps.fold_over[0].numpy())
        held_out.append(held_out_error(name, generate, template, landmarks))
    return {
        "ms_per_case": round(float(np.median(times)), 2),
        "mask_covered": by_group(anatomy, np.mean(coverage, 0)),
        "fold_share_worst": round(float(np.max(folds)), 5),
        "folded_maps": int((np.array(folds) > 0).sum()),
        "maps": int(np.size(folds)),
        "held_out_px": by_group(anatomy, np.nanmean(held_out, 0)),
    }


def dense_published(uv: Tensor, mask: Tensor, targets: Tensor, k: int = 5) -> Tensor:
    """Equation 3 spelled out over every pixel of the image, as published: O(H W n) memory and time for n landmarks.

    uv: (2, H, W); mask: (H, W); targets: (n, 2). Returns (n, 2) pixels.
    """
    height, width = mask.shape
    distance = (uv.flatten(1)[:, :, None] - targets.T[:, None]).norm(dim=0)  # (H W, n)
    distance = distance.masked_fill(~mask.flatten()[:, None], torch.inf)
    nearest = torch.zeros_like(distance, dtype=torch.bool).scatter_(0, distance.topk(k, 0, largest=False).indices, True)
    weight = torch.softmax(-distance.masked_fill(~nearest, torch.inf), 0)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([columns, rows], -1).view(-1, 1, 2).float()
    return (weight[..., None] * pixels).sum(0)


def dense_decode(uv: Tensor, mask: Tensor, template: Template) -> Tensor:
    goal = torch.as_tensor(template.uv, dtype=torch.float32)
    slices = template.anatomy.slices.values()
    return torch.cat([dense_published(uv[0, c], mask[0, c], goal[where]) for c, where in enumerate(slices)])


def measure_decoders(decoders: dict[str, Callable], template: Template, cases: np.ndarray) -> dict[str, Any]:
    """Time and error of decoding all landmarks from spline maps that are valid in the mask only."""
    rows: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in decoders}
    for landmarks in cases:
        batch = torch.as_tensor(landmarks[None], dtype=torch.float32)
        uv = uv_maps(batch, template).uv
        mask = contour_masks(batch, template.anatomy, template.size).bool()
        for name, decode in decoders.items():
            error = np.linalg.norm(np.asarray(decode(uv, mask, template)).reshape(-1, 2) - landmarks, axis=1)
            rows[name].append((milliseconds(partial(decode, uv, mask, template)), by_structure(template.anatomy, error)))
    return {
        name: {
            "ms_per_case": round(float(np.median([ms for ms, _ in row])), 2),
            "error_px": by_group(template.anatomy, np.mean([error for _, error in row], 0)),
        }
        for name, row in rows.items()
    }


def measure_correspondence(generators: dict[str, Maker], count: int, size: int) -> dict[str, dict[str, float]]:
    """Mean distance (px) between generated and true correspondence over all pixels of phantoms, by group."""
    tables: dict[str, list[np.ndarray]] = {name: [] for name in generators}
    for index in range(count):
        phantom = ChestPhantom(seed=0, index=index, size=(size, size))
        anatomy = phantom.case.anatomy
        template = Template(anatomy, phantom.canonical, phantom.size)
        points = [template.points[where] for where in anatomy.slices.values()]
        landmarks = torch.as_tensor(phantom.landmarks[None], dtype=torch.float32)
        masks = contour_masks(landmarks, anatomy, phantom.size)[0].bool()
        for name, generate in generators.items():
            maps = generate(landmarks, template)
            back = (lambda c, uv, points=points: polar_to_template(uv, points[c])) if "polar" in name else None
            table = dense_correspondence_error(phantom, template, maps.uv[0], maps.valid[0] & masks, back)
            tables[name].append(table["mean"].to_numpy())
    return {name: by_group(anatomy, np.nanmean(rows, 0)) for name, rows in tables.items()}


# ---- the authors' code, where the user has it -------------------------------------------------------------------


def load_authors(folder: Path) -> types.ModuleType:
    """Their utils.py, with stand-ins for its one use of torchvision (a crop) and for its progress bar. It needs kornia."""

    def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
        return image[..., top : top + height, left : left + width]

    functional = types.ModuleType("torchvision.transforms.functional")
    functional.crop = crop  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[functional.__name__] = functional
    spec = importlib.util.spec_from_file_location("authors_utils", folder / "utils.py")
    if spec is None or spec.loader is None or not (folder / "utils.py").exists():
        raise SystemExit(f"{folder} holds no utils.py; give the folder of a checkout of the authors' DenseSeg repository")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise SystemExit(f"the authors' code needs a package that is not here ({error.name}): pip install {error.name}") from None
    module.tqdm = lambda items, **_: items  # type: ignore[attr-defined]
    return module


class AuthorsGenerator:
    """One of their generators behind our interface; their channels are (v, u), ours (u, v)."""

    def __init__(self, extract: Callable) -> None:
        self.extract = extract

    def prepare(self, landmarks: Tensor, template: Template) -> Callable[[], Tensor]:
        """Everything but their own work, which is what remains to be timed: they take the masks as given."""
        slices = template.anatomy.slices.values()
        masks = contour_masks(landmarks, template.anatomy, template.size).bool()
        kept = [torch.isfinite(landmarks[0, where]).all(-1) for where in slices]
        means = [torch.as_tensor(template.points[where], dtype=torch.float32)[k] for where, k in zip(slices, kept, strict=True)]
        cases = [landmarks[:, where][:, k] for where, k in zip(slices, kept, strict=True)]
        given = list(zip(means, cases, masks.unbind(1), strict=True))
        return lambda: torch.stack([self.extract(mean, case, mask)[0] for mean, case, mask in given], 1)

    def __call__(self, landmarks: Tensor, template: Template) -> UVMaps:
        uv = self.prepare(landmarks, template)().flip(2)
        valid = torch.isfinite(uv).all(2)
        uv = torch.where(valid[:, :, None], uv, 0)
        folds = torch.stack([fold_over_share(uv[:, c], valid[:, c]) for c in range(len(template.anatomy))], 1)
        return UVMaps(uv, valid, folds)


def authors_decoder(module: types.ModuleType) -> Callable:
    def decode(uv: Tensor, mask: Tensor, template: Template) -> Tensor:
        goal = torch.as_tensor(template.uv, dtype=torch.float32)
        values = [goal[where] for where in template.anatomy.slices.values()]
        maps = torch.where(mask[:, :, None], uv, torch.nan)
        return torch.cat(module.convert_list_of_uv_to_coordinates(maps, values, "linear", 5), 1)[0]

    return decode


def agreement(ours: Maker, theirs: Maker, template: Template, cases: np.ndarray) -> dict[str, float]:
    """How far two generators are apart, in template pixels where both are valid: median and 95th percentile."""
    gaps = []
    for landmarks in cases:
        batch = torch.as_tensor(landmarks[None], dtype=torch.float32)
        a, b = ours(batch, template), theirs(batch, template)
        half = torch.as_tensor(template.half_extent, dtype=torch.float32)
        gap = ((a.uv - b.uv) * half[None, :, :, None, None]).norm(dim=2)
        gaps.append(gap[a.valid & b.valid].numpy())
    together = np.concatenate(gaps)
    return {"median_px": round(float(np.median(together)), 4), "p95_px": round(float(np.quantile(together, 0.95)), 4)}


# ---- the report -------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    packages = {}
    for package in ("torch", "numpy", "scipy", "kornia"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"device": f"CPU, {name}", "threads": 1, "versions": {"python": platform.python_version(), **packages}}


def commit() -> str | None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return answer.stdout.strip() or None


def benchmark(data: CaseSet, count: int, size: int, authors: types.ModuleType | None) -> dict[str, Any]:
    template = Template.from_landmarks(data.landmarks, data.anatomy, (size, size))
    cases = data.landmarks[np.linspace(0, len(data) - 1, min(count, len(data))).astype(int)]
    generators: dict[str, Maker] = {name.value: partial(uv_maps, generator=name) for name in Generator}
    decoders: dict[str, Callable] = {
        "Eq. 3, every pixel": dense_decode,
        "Eq. 3, masked top-k": decode_published,
        "affine": lambda *arguments: decode_affine(*arguments).points,
    }
    if authors:
        generators["authors"] = AuthorsGenerator(authors.extract_warped_uv_maps)
        generators["authors_polar"] = AuthorsGenerator(authors.extract_polar_uv_maps)
        decoders["authors"] = authors_decoder(authors)
    report: dict[str, Any] = {
        "benchmark": "geometry",
        "dataset": data.name,
        "copy": data.info.get("source", ""),
        "size": [size, size],
        "cases": len(cases),
        "clock": "processor time, best of 3 runs a case, median over cases",
        **machine(),
        "commit": commit(),
        "generators": {name: measure_generator(name, g, template, cases) for name, g in generators.items()},
        "decoders": measure_decoders(decoders, template, cases),
        "phantom_correspondence_px": measure_correspondence(generators, min(count, 10), size),
    }
    spline = partial(uv_maps, template=template)
    everything = torch.as_tensor(cases, dtype=torch.float32)
    report["generators"]["tps"]["ms_per_case_in_batch"] = round(milliseconds(lambda: spline(everything)) / len(cases), 2)
    if authors:
        made, read = report["generators"], report["decoders"]
        report["times_faster_than_authors"] = {
            "tps": round(made["authors"]["ms_per_case"] / made["tps"]["ms_per_case"], 1),
            "tps in a batch": round(made["authors"]["ms_per_case"] / made["tps"]["ms_per_case_in_batch"], 1),
            "linear": round(made["authors"]["ms_per_case"] / made["linear"]["ms_per_case"], 1),
            "polar": round(made["authors_polar"]["ms_per_case"] / made["polar"]["ms_per_case"], 1),
            "Eq. 3, masked top-k": round(read["authors"]["ms_per_case"] / read["Eq. 3, masked top-k"]["ms_per_case"], 1),
            "affine": round(read["authors"]["ms_per_case"] / read["affine"]["ms_per_case"], 1),
        }
        report["published_against_authors"] = agreement(generators["published"], generators["authors"], template, cases)
    return report


def show(report: dict[str, Any]) -> None:
    print(f"{report['dataset']}, {report['cases']} cases at {report['size']}, {report['device']}, one thread\n")
    for title, key in (("Making uv maps", "generators"), ("Reading landmarks", "decoders")):
        print(title)
        print(pd.json_normalize(list(report[key].values())).set_axis(list(report[key]), axis=0).to_string(na_rep="-"), "\n")
    print("Distance from the true dense correspondence on phantoms, px")
    print(pd.DataFrame(report["phantom_correspondence_px"]).T.to_string(), "\n")
    for key in ("times_faster_than_authors", "published_against_authors"):
        if key in report:
            print(key.replace("_", " "), report[key])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="data-set folder; without it, phantoms")
    parser.add_argument("--authors", type=Path, help="checkout of the authors' repository (needs kornia)")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = (options.size, options.size)
    data = read_cases(options.data).resized(size) if options.data else chest_phantom(options.cases, size)
    report = benchmark(data, options.cases, options.size, load_authors(options.authors) if options.authors else None)
    show(report)
    if options.out:
        write_json(options.out, plain(report))


if __name__ == "__main__":
    main()
