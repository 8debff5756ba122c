"""An out-of-distribution score: how unlike the training data an image and its prediction are.

A method predicts something for any image, also for a black, an inverted or a mirrored one. So each prediction is compared with what
is usual: how the image looks (at 16 x 16 pixels, against a Gaussian of the training images), which way round that fits best, how
fine its detail is; and of each structure how far its shape is from the shape model, how much its map folds over, how far map and
landmarks disagree, how undecided the network was. What is usual is learned from training cases, predicted like any others, and from
validation cases, on which the network was not trained. The score is the largest of these, scaled so that 0 is the median and 1 the
limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from denseseg.geometry.frame import Size
from denseseg.geometry.shape_model import ShapeModel, fit_shape_model
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import fold_over_share
from denseseg.geometry.warp import sample
from denseseg.prediction import Prediction

SIDE = 16  # pixels of the small images
FLAT = 1e-3  # standard deviation of an image without contrast
REACH = 2.0  # with many cases the limit is the median + REACH * (95 % quantile - median) of the usual cases; with few it is higher
LEAST = 4  # validation cases, to know a limit
# name -> how far above the median the limit lies at least, and what is told of an image or a structure beyond it
CHECKS = {
    "looks": (0.5, "the image does not look like the training images"),
    "way round": (0.1, "the image looks more like the training images mirrored, turned or inverted"),
    "detail": (0.2, "the image is noisier, smoother or smaller than the training images"),
    "shape": (0.5, "its landmarks form no shape like those of the training cases"),
    "folds": (0.01, "its map folds over"),
    "cycle": (0.5, "its map and its landmarks disagree"),
    "undecided": (0.1, "the network is undecided"),
}
Evidence = dict[str, np.ndarray]  # check -> (1,) of the image, or (C,) of its structures


@dataclass(frozen=True)
class Usual:
    """What is usual for one trained method.

    looks: Gaussian of the small training images; detail: their median `_detail`; limits: check -> (median, limit) of usual cases.
    """

    looks: ShapeModel
    detail: float
    limits: Mapping[str, tuple[float, float]]

    @classmethod
    def of(
        cls,
        images: np.ndarray,
        usual: Sequence[Sequence[tuple[np.ndarray, Prediction]]],
        shapes: ShapeModel,
        template: Template,
    ) -> Usual:
        """images: (M, H, W), of all training cases. usual: groups of images with their predictions; the oddest group decides."""
        looks = fit_shape_model(np.stack([_small(image) for image in images]).reshape(len(images), -1, 2))
        made = cls(looks, float(np.median([_detail(image) for image in images])), {})
        worst = [[_worst(made.evidence(*one, shapes, template)) for one in group] for group in usual if len(group)]
        limits = {}
        for name in worst[0][0]:
            groups = [[one[name] for one in group if np.isfinite(one.get(name, np.nan))] for group in worst]
            beyond = [_centre_and_limit(group, CHECKS[name][0])[::-1] for group in groups if group]
            if beyond:
                limit, centre = max(beyond)
                limits[name] = (centre, limit)
        known = cls.from_state(replace(made, limits=limits).state())  # as a weights file holds it, so that scores stay the same
        assert known is not None
        return known

    def judged(self, image: np.ndarray, prediction: Prediction, shapes: ShapeModel, template: Template) -> Prediction:
        """The prediction of an (H, W) image, with its score and with a reason for each structure that is beyond a limit."""
        worst, scores = np.zeros(len(prediction.anatomy)), [0.0]
        reasons = [""] * len(worst)
        for name, values in self.evidence(image, prediction, shapes, template).items():
            if name in self.limits:
                centre, limit = self.limits[name]
                found = (np.nan_to_num(values, nan=centre) - centre) / (limit - centre)
                scores.append(float(found.max()))
                for c, score in enumerate(np.broadcast_to(found, worst.shape)):
                    if score > max(1.0, worst[c]):
                        worst[c], reasons[c] = score, CHECKS[name][1]
        return replace(prediction, ood_score=max(scores), ood_reasons=tuple(reasons))

    def evidence(self, image: np.ndarray, prediction: Prediction, shapes: ShapeModel, template: Template) -> Evidence:
        """All that can be checked of an image and what was predicted for it."""
        small = _small(image).reshape(SIDE, SIDE)
        here = self._strangeness(small)
        others = (small[:, ::-1], small[::-1], small[::-1, ::-1], small.T, -small)
        found = {
            "looks": np.array([here]),
            "way round": np.array([here / max(min(map(self._strangeness, others)), 1e-6)]),
            "detail": np.array([abs(_detail(image) - self.detail)]),
        }
        structures = _of_structures(prediction, shapes, template)
        return found | {name: np.where(prediction.absent, np.nan, values) for name, values in structures.items()}

    def _strangeness(self, small: np.ndarray) -> float:
        return self.looks.distance(small.reshape(-1, 2))

    def state(self) -> dict[str, Tensor]:
        """As tensors, for a weights file."""
        looks = {f"looks.{key}": torch.as_tensor(value, dtype=torch.float32) for key, value in vars(self.looks).items()}
        limits = {f"limits.{name}": torch.tensor(pair, dtype=torch.float64) for name, pair in self.limits.items()}
        return {"detail": torch.tensor(self.detail, dtype=torch.float64), **looks, **limits}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Usual | None:
        """The inverse of `state`; None for an empty one."""
        if not state:
            return None
        mean, modes, variances, residual = (state[f"looks.{f.name}"].double().numpy() for f in fields(ShapeModel))
        limits = {name: state[f"limits.{name}"].tolist() for name in CHECKS if f"limits.{name}" in state}
        return cls(
            ShapeModel(mean, modes, variances, float(residual)), float(state["detail"]), {k: (a, b) for k, (a, b) in limits.items()}
        )


def _centre_and_limit(values: Sequence[float], least: float) -> tuple[float, float]:
    """Median and limit of a few values: the fewer, the farther the limit."""
    low, high = np.median(values), np.quantile(values, 0.95)
    return float(low), float(low + max((1 + LEAST / len(values)) * REACH * (high - low), least))


def _of_structures(prediction: Prediction, shapes: ShapeModel, template: Template) -> Evidence:
    """check -> (C,), NaN where a structure has nothing to check."""
    own, found, size = list(prediction.anatomy.slices.values()), {}, template.size
    points = prediction.landmarks
    if points is not None:
        found["shape"] = np.array([shapes.distance(_only(points, where)) for where in own])
    if prediction.peaks is not None:
        found["undecided"] = np.array([1 - prediction.peaks[where].mean() for where in own])
    if prediction.probabilities is not None:
        doubt = (prediction.probabilities * (1 - prediction.probabilities)).sum((1, 2))
        found["undecided"] = doubt / np.maximum((prediction.probabilities > 0.5).sum((1, 2)), 1)
    if prediction.uv is not None and prediction.masks is not None and points is not None:
        uv = torch.as_tensor(prediction.uv)
        found["folds"] = fold_over_share(uv, torch.as_tensor(prediction.masks)).numpy()
        found["cycle"] = np.array(
            [_cycle_error(uv[c], points[where], template.uv[where], template.half_extent[c], size) for c, where in enumerate(own)]
        )
    return found


def _only(points: np.ndarray, where: slice) -> np.ndarray:
    kept = np.full_like(points, np.nan)
    kept[where] = points[where]
    return kept


def _cycle_error(uv: Tensor, points: np.ndarray, wanted: np.ndarray, half_extent: np.ndarray, size: Size) -> float:
    """Root mean square, in template pixels, between where a (2, H, W) map puts (n, 2) points and their places `wanted`."""
    inside = np.isfinite(points).all(1) & (points >= 0).all(1) & (points <= np.array(size[::-1]) - 1).all(1)
    if not inside.any():
        return np.nan
    read = sample(uv[None].float(), torch.as_tensor(points[inside], dtype=torch.float32)[None, None], padding="border")[0, :, 0].T
    return float(np.sqrt(np.mean((((read.numpy() - wanted[inside]) * half_extent) ** 2).sum(1))))


def _small(image: np.ndarray) -> np.ndarray:
    """(SIDE * SIDE,) of an (H, W) image: means over its parts, with mean 0 and standard deviation 1, or 0 without contrast."""
    small = F.adaptive_avg_pool2d(torch.as_tensor(image, dtype=torch.float64)[None], SIDE)[0].numpy()
    return ((small - small.mean()) / max(float(small.std()), FLAT)).ravel()


def _detail(image: np.ndarray) -> float:
    """Log of the root mean square difference of neighbouring pixels, against the image's contrast."""
    steps = np.mean(np.diff(image, axis=0) ** 2) + np.mean(np.diff(image, axis=1) ** 2)
    return float(np.log(np.sqrt(steps) / max(float(image.std()), FLAT) + 1e-4))


def _worst(evidence: Evidence) -> dict[str, float]:
    """The largest value of each check; NaN where nothing could be checked."""
    return {name: float(np.nanmax(values)) if np.isfinite(values).any() else np.nan for name, values in evidence.items()}
