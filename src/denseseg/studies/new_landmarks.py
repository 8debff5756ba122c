"""New landmarks without retraining (paper, Sections 3.3 and 4.1.1).

A trained network knows a whole chart of each structure, not only the landmarks that it was trained on. So a new landmark is a
place in the template that moves with one or more reference structures, its references. It is placed there once, by hand or from
annotated examples, and found in a new image in one of two ways:

* "map": where the predicted uv map takes the place's uv (affine inversion), as in the paper;
* "spline": a thin-plate spline carries the template's landmarks to the predicted ones, and the new landmark with them. It has a
  meaning beyond the mask too, profits from the shape model and the projection onto the contour, and can use several structures at
  once.

Whether a landmark transfers at all is decided by anatomy, not by the network: `transfer_score` tells from training landmarks alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from denseseg.anatomy import Anatomy
from denseseg.errors import DataError
from denseseg.geometry.contour import signed_distance
from denseseg.geometry.decode import affine_inversion
from denseseg.geometry.spline import fit_spline, usable
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.prediction import Prediction

READERS = ("map", "spline")
SMOOTHING = 1.0  # of the spline, since predicted landmarks are noisy; from 0.1 to 10 JSRT's validation cases hardly tell them apart


@dataclass(frozen=True)
class NewLandmark:
    """A landmark that no network was trained on.

    position: (x, y) in template pixels. references: names of the structures it moves with; a map is read for each, and their
    readings averaged, a spline runs through the landmarks of all.
    """

    name: str
    position: tuple[float, float]
    references: tuple[str, ...]

    @classmethod
    def from_examples(
        cls, name: str, points: np.ndarray, landmarks: np.ndarray, template: Template, references: Sequence[str],
        smoothing: float = SMOOTHING,
    ) -> NewLandmark:  # fmt: skip
        """Learn the place from one or more annotated cases: the mean of where each puts it in the template.

        points: (m, 2) pixels, its annotation in each case; NaN where it has none. landmarks: (m, N, 2), the cases' known landmarks.
        Raises DataError where no case has both the point and its references.
        """
        places = places_in_template(points[:, None], landmarks, template, references, smoothing)[:, 0]
        known = places[np.isfinite(places).all(1)]
        if not len(known):
            raise DataError(f"no example shows {name} together with {' and '.join(references)}; annotate one")
        x, y = known.mean(0)
        return cls(name, (float(x), float(y)), tuple(references))


# ---- reading --------------------------------------------------------------------------------------------------------


def locate(
    prediction: Prediction, template: Template, new: Sequence[NewLandmark], reader: str = "spline", smoothing: float = SMOOTHING
) -> np.ndarray:
    """The new landmarks in a predicted image: (K, 2) pixels.

    reader: "map" needs the prediction's uv maps and masks, and gives NaN where the mask of any reference is empty; "spline" needs
    its landmarks, and gives NaN where fewer than three of all references together were found. Raises DataError where the
    prediction lacks what the reader needs, and for another reader.
    """
    if reader == "spline":
        if prediction.landmarks is None:
            raise DataError("this prediction has no landmarks to carry others along; use reader='map'")
        return read_splines(prediction.landmarks[None], template, new, smoothing)[0]
    if reader != "map":
        raise DataError(f"unknown reader {reader!r}; known: {', '.join(READERS)}")
    if prediction.uv is None or prediction.masks is None:
        raise DataError("this prediction has no uv maps to read; use reader='spline'")
    return read_maps(prediction.uv[None], prediction.masks[None], template, new)[0]


def read_splines(landmarks: np.ndarray, template: Template, new: Sequence[NewLandmark], smoothing: float = SMOOTHING) -> np.ndarray:
    """New landmarks carried along with known ones, (M, N, 2), true or predicted: (M, K, 2) pixels.

    A known landmark that is NaN takes no part; with fewer than three of the references' the result is NaN.
    """
    found = np.full((len(landmarks), len(new), 2), np.nan)
    for references in dict.fromkeys(landmark.references for landmark in new):
        own = [k for k, landmark in enumerate(new) if landmark.references == references]
        places = np.broadcast_to(np.array([new[k].position for k in own]), (len(landmarks), len(own), 2))
        found[:, own] = _carry(places, template.points, landmarks, template.anatomy, references, smoothing)
    return found


def read_maps(uv: np.ndarray, masks: np.ndarray, template: Template, new: Sequence[NewLandmark]) -> np.ndarray:
    """New landmarks looked up in uv maps (M, C, 2, H, W) within masks (M, C, H, W): (M, K, 2) pixels.

    Each reference's map is read by `affine_inversion`, which extrapolates by a few pixels beyond the mask and no further.
    """
    total = np.zeros((len(uv), len(new), 2))
    for name in dict.fromkeys(reference for landmark in new for reference in landmark.references):
        own = [k for k, landmark in enumerate(new) if name in landmark.references]
        c = template.anatomy.index(name)
        goal = torch.as_tensor(template.to_uv(c, np.array([new[k].position for k in own])), dtype=torch.float32)
        maps, mask = torch.as_tensor(uv[:, c]).float(), torch.as_tensor(masks[:, c]).bool()
        read = affine_inversion(maps, mask, goal, half_extent=template.half_extent[c].tolist()).points.double().numpy()
        total[:, own] += read / np.array([len(new[k].references) for k in own])[:, None]
    return total


def true_maps(landmarks: np.ndarray, template: Template, method: str = "tps") -> tuple[np.ndarray, np.ndarray]:
    """uv maps and masks as a perfect network would predict them, from true landmarks (M, N, 2): arguments of `read_maps`.

    method: a generator as in `uv_maps`; "published" gives those of the released code.
    """
    maps = uv_maps(torch.as_tensor(landmarks, dtype=torch.float32), template, generator=method, band=0)
    return maps.uv.numpy(), maps.valid.numpy()


def places_in_template(
    points: np.ndarray, landmarks: np.ndarray, template: Template, references: Sequence[str], smoothing: float = SMOOTHING
) -> np.ndarray:
    """Where each case's annotation (M, K, 2) lies in the template, by its known landmarks (M, N, 2): (M, K, 2) template pixels."""
    return _carry(points, landmarks, template.points, template.anatomy, references, smoothing)


def _carry(
    points: np.ndarray, start: np.ndarray, end: np.ndarray, anatomy: Anatomy, references: Sequence[str], smoothing: float
) -> np.ndarray:
    """Move (M, K, 2) points by the splines that carry the references' landmarks from `start` to `end`, each (N, 2) or (M, N, 2)."""
    known = np.concatenate([np.arange(anatomy.n_landmarks)[anatomy.slices[anatomy.names[anatomy.index(c)]]] for c in references])
    shape = (len(points), len(known), 2)
    a, b = (torch.as_tensor(np.broadcast_to(side[..., known, :], shape).copy()) for side in (start, end))
    both = (torch.isfinite(a) & torch.isfinite(b)).all(-1, keepdim=True)
    a, b = torch.where(both, a, torch.nan), torch.where(both, b, 0)
    moved = np.full(points.shape, np.nan)
    rows = usable(a.numpy()) & usable(torch.where(both, b, torch.nan).numpy())
    if rows.any():
        moved[rows] = fit_spline(a[rows], b[rows], smoothing)(torch.as_tensor(points[rows])).numpy()
    return moved


# ---- will it transfer? ----------------------------------------------------------------------------------------------


def transfer_score(
    points: np.ndarray, landmarks: np.ndarray, template: Template, references: Sequence[str],
    names: Sequence[str] | None = None, smoothing: float = SMOOTHING, spacing: float = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """Which new landmarks will transfer, judged from training cases alone, before any network reads them.

    points: (M, K, 2) annotations of K candidates in M >= 2 training cases, NaN where missing; landmarks: (M, N, 2).
    Each case in turn is left out: the place is learned from the others and carried to it by its own true landmarks.

    Returns a row per candidate, all distances in units of `spacing` per pixel:
    transfer: the mean error of that, what would remain if the network were perfect: the score, lower is better.
    mean_shape: the same for the mean position in the other cases, the baseline that needs no image.
    gain: 1 - transfer / mean_shape; at 0 or below, these reference structures do not tell where this landmark is.
    spread: root mean square distance of the cases' places from their mean, in the template.
    outside: how far the mean place lies outside the nearest reference's outline in the template; negative inside.
    """
    places = places_in_template(points, landmarks, template, references, smoothing)
    back = _carry(_mean_of_others(places), template.points, landmarks, template.anatomy, references, smoothing)
    centre = np.nanmean(places, axis=0)
    scores = {
        "transfer": np.nanmean(np.linalg.norm(back - points, axis=-1), axis=0),
        "mean_shape": np.nanmean(np.linalg.norm(_mean_of_others(points) - points, axis=-1), axis=0),
        "spread": np.sqrt(np.nanmean(((places - centre) ** 2).sum(-1), axis=0)),
        "outside": _outside(centre, template, references),
    }
    table = pd.DataFrame({key: value * spacing for key, value in scores.items()})
    table.insert(2, "gain", 1 - table["transfer"] / table["mean_shape"])
    table.insert(0, "name", list(names) if names is not None else [f"candidate {k}" for k in range(points.shape[1])])
    return table


def _mean_of_others(values: np.ndarray) -> np.ndarray:
    """(M, K, 2) -> for each case the mean over all other cases that have a value; NaN where there is none."""
    known = np.isfinite(values).all(-1, keepdims=True)
    filled = np.where(known, values, 0)
    count = known.sum(0) - known
    return np.where(count > 0, filled.sum(0) - filled, np.nan) / np.maximum(count, 1)


def _outside(points: np.ndarray, template: Template, references: Sequence[str]) -> np.ndarray:
    """(K,) template pixels from (K, 2) points to the nearest reference's outline, negative inside a reference."""
    p = torch.as_tensor(points)[None]
    outlines = [torch.as_tensor(template.points[template.anatomy.slices[name]])[None] for name in references]
    return torch.stack([-signed_distance(p, outline)[0] for outline in outlines]).amin(0).numpy()
