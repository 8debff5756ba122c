"""What any method may do when it predicts: test-time augmentation, largest component, shape prior, projection onto the outline.

The first two work on maps or points, tensors in and tensors out. The others turn a prediction into a better one, its covariance
included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from denseseg.augment import similarity_views
from denseseg.cases.case import Case
from denseseg.geometry.contour import largest_component
from denseseg.geometry.frame import inside_image
from denseseg.geometry.outline_projection import project_onto_outlines
from denseseg.geometry.shape_model import ShapeModel
from denseseg.geometry.template import Template
from denseseg.geometry.warp import move_points, unwarp, warp
from denseseg.prediction import Prediction

ELLIPSE_95 = -2 * np.log(0.05)  # squared Mahalanobis distance within which a 2-D normal distribution holds 95 %
UNREADABLE = 6.0  # pixels, the largest standard deviation of a reading; more is a bad fit, not to spoil its whole structure


def average_over_views(maps: Callable[[Tensor], Tensor], images: Tensor, test_time_views: int) -> Tensor:
    """(B, K, H, W) maps of (B, 1, H, W) images, the mean over small similarity views of each (test-time augmentation).

    maps: from images to maps whose values do not change with the view, such as a probability or a uv: they are only moved back.
    """
    total = torch.zeros((), device=images.device)
    for matrix, shift in similarity_views(test_time_views, (images.shape[-2], images.shape[-1]), images):
        seen = maps(warp(images, matrix, shift)).to(images)
        total = total + unwarp(torch.cat([seen, torch.ones_like(images)], dim=1), matrix, shift)
    return total[:, :-1] / total[:, -1:]  # the last channel counts the views that saw a pixel; the first sees all


def average_points_over_views(points: Callable[[Tensor], Tensor], images: Tensor, test_time_views: int) -> Tensor:
    """(B, N, 2) points found in (B, 1, H, W) images, the mean over the same views; `points`: from images to points, pixels."""
    size, found = (images.shape[-2], images.shape[-1]), []
    for matrix, shift in similarity_views(test_time_views, size, images):
        inverse = torch.linalg.inv(matrix)
        seen = points(warp(images, matrix, shift))
        back = inverse.to(seen).expand(len(images), 2, 2), (-inverse @ shift).to(seen).expand(len(images), 2)
        found.append(move_points(seen, *back, None, size))
    return torch.stack(found).mean(0)


def largest_components(masks: Tensor) -> Tensor:
    """(B, C, H, W) bool masks, each reduced to its largest connected component; pixels touch along rows and columns."""
    kept = [largest_component(mask) for mask in masks.flatten(0, 1).cpu().numpy()]
    return torch.from_numpy(np.stack(kept)).view(masks.shape).to(masks.device)


def apply_shape_prior(prediction: Prediction, model: ShapeModel, noise: float, unseen: np.ndarray) -> Prediction:
    """The most probable shape if each landmark carries independent noise of this standard deviation (pixels; 0 changes nothing).

    unseen: (N,) bool, landmarks that the image does not show, such as those beyond its border: the others tell where they are.

    The covariance of a landmark's error is taken to be that of the prediction, a local one that sees only how rough a map is, plus
    that of the noise; and the error to be the same all over a structure: maps are smooth, so where one is wrong its neighbours are
    too. Errors taken for independent would average out, and leave ellipses that are several times too small.
    """
    if not noise or prediction.landmarks is None:
        return prediction
    posterior = model.posterior(prediction.landmarks, noise, unseen)
    if prediction.covariance is None:
        return replace(prediction, landmarks=posterior.points)
    local = np.nan_to_num(prediction.covariance, posinf=0.0, neginf=0.0)
    excess = np.maximum(1.0, np.trace(local, axis1=1, axis2=2) / (2 * UNREADABLE**2))
    errors = local / excess[:, None, None] + noise**2 * np.eye(2)
    root = np.zeros((len(errors), 2, len(prediction.anatomy), 2))
    root[np.arange(len(errors)), :, prediction.anatomy.membership] = np.linalg.cholesky(errors)
    return replace(prediction, landmarks=posterior.points, covariance=posterior.covariance(root.reshape(2 * len(errors), -1)))


def apply_outline_projection(prediction: Prediction, template: Template, uv_weight: float) -> Prediction:
    """Landmarks of outlines on the outlines of the masks; see `project_onto_outline`, also for `uv_weight`: 0 needs no map."""
    assert prediction.landmarks is not None and prediction.masks is not None and prediction.probabilities is not None
    # a component that was left out of the mask shall have no outline
    kept = np.where(prediction.masks, prediction.probabilities, np.minimum(prediction.probabilities, 0.49))
    projection = project_onto_outlines(prediction.landmarks, prediction.uv, kept, template, uv_weight)
    covariance = None if prediction.covariance is None else projection.covariance(prediction.covariance)
    return replace(prediction, landmarks=projection.points, covariance=covariance)


def mahalanobis_squared(predictions: Sequence[Prediction], cases: Sequence[Case]) -> np.ndarray:
    """(P,) squared distances from truth to prediction in the predicted covariance, of the landmarks that an image shows.

    Those that were not found, or have no covariance, are left out. Variances are at least 1e-4 pixels squared.
    """
    squared = [np.empty(0)]
    for prediction, case in zip(predictions, cases, strict=True):
        if prediction.landmarks is None or prediction.covariance is None:
            continue
        error, covariance = prediction.landmarks - case.landmarks, prediction.covariance
        judged = inside_image(case.landmarks, case.size) & np.isfinite(error).all(1) & np.isfinite(covariance).all((1, 2))
        error = error[judged, :, None]
        squared.append((error * np.linalg.solve(covariance[judged] + 1e-4 * np.eye(2), error)).sum((1, 2)))
    return np.concatenate(squared)


def covariance_factor(predictions: Sequence[Prediction], cases: Sequence[Case]) -> float:
    """The number to multiply covariances by so that 95 % of the landmarks lie in their 95 % ellipses; 1 without any landmark.

    By the quantile, not the mean: a few landmarks that are far off would decide a mean.
    """
    squared = mahalanobis_squared(predictions, cases)
    return float(np.quantile(squared, 0.95) / ELLIPSE_95) if len(squared) else 1.0
