"""What the authors' released chain makes of the landmarks of a data set, before any network learns from it.

    python benchmarks/released_maps.py --data data/jsrt --out results/benchmarks/released_maps.json
    python benchmarks/released_maps.py                       # on phantoms

Maps are those of `generator="published"`, which agree with the output of the authors' own code, as geometry.py measures.
See README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from geometry import commit, machine
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree
from torch import Tensor

from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases
from denseseg.cases.masks import positive_weights
from denseseg.files import plain, write_json
from denseseg.geometry.decode import decode_published
from denseseg.geometry.regions import contour_masks
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.phantom import chest_phantom

TURN = 10.0  # degrees, an augmentation as in chapter 03


def half_range(uv: Tensor, valid: Tensor) -> float:
    """How far the shorter side of a structure's map (2, H, W) reaches from -range to range; 1 where nothing is squeezed."""
    return float(min((channel[valid].max() - channel[valid].min()) / 2 for channel in uv))


def gap(uv: Tensor, valid: Tensor, points: np.ndarray, goal: np.ndarray) -> float:
    """Mean distance, in uv, of the map (2, H, W) from the template's uv (n, 2), at the valid pixels nearest to the landmarks."""
    where = valid.nonzero().numpy()
    rows, columns = where[KDTree(where).query(points[:, ::-1])[1]].T
    return float(np.linalg.norm(uv[:, rows, columns].T.numpy() - goal, axis=1).mean())


def left_when_turned(uv: Tensor, mask: Tensor) -> float:
    """Share of the turned mask's pixels that still have a target, where the map (2, H, W) is resampled with NaN outside it."""
    height, width = mask.shape
    middle = np.array([height - 1, width - 1])[:, None, None] / 2
    sine, cosine = np.sin(np.radians(TURN)), np.cos(np.radians(TURN))
    source = np.einsum("ij,jhw->ihw", [[cosine, sine], [-sine, cosine]], np.indices((height, width)) - middle) + middle
    turned = map_coordinates(mask.float().numpy(), source, order=1) > 0.5
    target = np.stack([map_coordinates(channel.numpy(), source, order=1, cval=np.nan) for channel in uv])
    return float(np.isfinite(target).all(0)[turned].mean())


def smallest_weight(uv: Tensor, mask: Tensor, goal: Tensor, k: int = 5) -> float:
    """Equation 3's smallest weight over its largest, mean over landmarks: 1 where its softmax does not weigh at all."""
    distance = torch.cdist(goal, uv[:, mask].T).topk(k, largest=False).values
    return float((distance.min(1).values - distance.max(1).values).exp().mean())


def measure(data: CaseSet) -> dict[str, dict[str, float]]:
    """Structure -> its measures, means over the cases."""
    anatomy = data.anatomy
    template = Template.from_landmarks(data.landmarks, anatomy, data[0].size)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in anatomy.names}
    for case in data:
        batch = torch.as_tensor(case.landmarks[None], dtype=torch.float32)
        mask = contour_masks(batch, anatomy, case.size)[0].bool()
        released, ours = uv_maps(batch, template, generator="published"), uv_maps(batch, template)
        eased = uv_maps(batch, template, smoothing=1e-3).uv[0]
        read = decode_published(released.uv, released.valid, template)[0].numpy()
        off = np.linalg.norm(read - case.landmarks, axis=1) * np.mean(case.spacing)
        for c, (name, where) in enumerate(anatomy.slices.items()):
            uv, valid, goal = released.uv[0, c], released.valid[0, c], template.uv[where]
            measured = {
                "half_range": half_range(uv, valid),
                "gap": gap(uv, valid, case.landmarks[where], goal),
                "read_back_mm": float(np.nanmean(off[where])),
                "mask_covered": float(valid[mask[c]].float().mean()),
                "covered_when_turned": left_when_turned(torch.where(valid & mask[c], uv, torch.nan), mask[c]),
                "smallest_weight": smallest_weight(ours.uv[0, c], mask[c], torch.as_tensor(goal, dtype=torch.float32)),
                # a map that folds gets ten times the smoothing, and is then the one that asks for that much
                "folded": float(torch.equal(ours.uv[0, c], eased[c])),
            }
            for key, value in measured.items():
                found[name].setdefault(key, []).append(value)
    means = {name: {key: float(np.mean(values)) for key, values in own.items()} for name, own in found.items()}
    for name, weight in zip(anatomy.names, positive_weights(data), strict=True):
        means[name] |= {"positive_weight": float(weight), "folded": sum(found[name]["folded"])}
    return {name: {key: round(value, 4) for key, value in own.items()} for name, own in means.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="data-set folder; without it, phantoms")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    options = parser.parse_args()
    size = (options.size, options.size)
    data = read_cases(options.data).resized(size) if options.data else chest_phantom(20, size)
    structures = measure(data)
    report: dict[str, Any] = {"benchmark": "released maps", "dataset": data.name, "copy": data.info.get("source", "")}
    report |= {"size": list(size), "cases": len(data), **machine(), "commit": commit(), "structures": structures}
    for name, own in structures.items():
        print(f"{name:16s}", ", ".join(f"{key} {value:.3f}" for key, value in own.items()))
    if options.out:
        write_json(options.out, plain(report))


if __name__ == "__main__":
    main()
