"""Loss terms, each its own function, and what they are computed from. Each says what its mean is taken over.

Most are means over cases, each counting for itself. `heatmap_mse` and `correlation_mse` are means over the known landmarks, or
pairs of them, of the whole batch; `dice` looks at the other cases of the batch too, those on other ranks included.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import cache

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from denseseg.anatomy import Anatomy
from denseseg.geometry.frame import Size
from denseseg.geometry.regions import padded_landmarks
from denseseg.geometry.warp import sample


def weighted_bce(logits: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """Binary cross entropy with a weight (C,) on the positive pixels of each structure (paper, L_BCE).

    logits, masks: (B, C, H, W).
    """
    return F.binary_cross_entropy_with_logits(logits, masks, pos_weight=weights.view(-1, 1, 1))


def bce(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross entropy without weights, mean over all pixels. logits, masks: (B, C, H, W); masks may be soft."""
    return F.binary_cross_entropy_with_logits(logits, masks)


def segmentation(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """The loss of masks: cross entropy and Dice, or where there are class weights (C,) the paper's `weighted_bce` alone."""
    if weights is not None:
        return weighted_bce(logits, masks, weights.to(logits))
    return bce(logits, masks) + dice(logits, masks)


@cache
def _soft_dice() -> nn.Module:
    from monai.losses import DiceLoss  # MONAI takes seconds to load: only those who train pay for it

    return DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """One minus the soft Dice coefficient (Milletari 2016), mean over cases and structures; masks may be soft.

    Where a structure is absent, the smoothed Dice loss of one falsely claimed pixel would be 0.5, half that of a missed bone. There
    the loss is D S / (S + A) instead: S the area that is claimed, A the mean area of the structure in the cases of the batch that
    have it, and D, a constant, its mean soft Dice in those: a network that does not find a bone yet need not tell that it is
    missing. A structure that no case of the batch has is left out. Chapter 13 compares this with its alternatives.

    logits, masks: (B, C, H, W). Looks at the whole batch: where several ranks share one, all must call this together, and with
    equally many cases each the mean of their losses is the loss of the whole batch.
    """
    loss, area = _soft_dice()(logits, masks).flatten(1), masks.flatten(2).sum(-1)  # (B, C)
    there = area > 0
    have, areas, found = _over_ranks(torch.stack([there.to(area), area, (1 - loss.detach()) * there]).sum(1))  # each (C,)
    counts = (have > 0).expand_as(there)
    typical, found = areas / have.clamp_min(1), found / have.clamp_min(1)
    claimed = logits.sigmoid().flatten(2).sum(-1)
    loss = torch.where(there, loss, found * claimed / (claimed + typical).clamp_min(1e-6))
    return (loss * counts).sum() / counts.sum().clamp_min(1)


def _over_ranks(sums: Tensor) -> Tensor:
    """Sums over the cases of this rank -> over those of all ranks, without a gradient."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(sums)
    return sums


def uv_l1(predicted: Tensor, uv: Tensor, valid: Tensor) -> Tensor:
    """L_phi: mean absolute difference of predicted and true uv over valid pixels, per case and structure.

    predicted, uv: (B, C, 2, H, W); valid: (B, C, H, W) bool. As in the authors' code the sum is divided by the number of valid
    values + 1, so that an absent structure gives 0.
    """
    difference = ((predicted - uv).abs() * valid[:, :, None]).sum((2, 3, 4))
    return (difference / (2 * valid.sum((2, 3)) + 1)).mean()


def landmark_uv(predicted: Tensor, landmarks: Tensor, targets: Tensor, anatomy: Anatomy) -> Tensor:
    """L_LM: predicted uv sampled at the true landmarks against the template's uv there, L1.

    predicted: (B, C, 2, H, W); landmarks: (B, N, 2) pixels; targets: (N, 2) uv. Landmarks that are missing, or outside the
    rectangle of pixel centres, do not count; the mean is taken within each structure first, so that structures weigh alike; an
    absent one gives 0.
    """
    points, goal = padded_landmarks(landmarks, anatomy), padded_landmarks(targets, anatomy)  # (B, C, n, 2), (C, n, 2)
    (x, y), (height, width) = points.unbind(-1), predicted.shape[-2:]
    counts = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)  # False for NaN
    found = sample(predicted.flatten(0, 1), points.flatten(0, 1)[:, None], padding="border")[:, :, 0].mT.view_as(points)
    difference = (found - torch.where(counts[..., None], goal, 0)).abs().mean(-1) * counts
    return (difference.sum(-1) / counts.sum(-1).clamp_min(1)).mean()


def total_variation(uv: Tensor, masks: Tensor) -> Tensor:
    """L_TV as in the authors' code: gradient magnitude per channel, mean of u and v, squared, mean over the mask.

    uv: (B, C, 2, H, W); masks: (B, C, H, W) bool. (The paper says only "total variation".)
    """
    dy, dx = torch.gradient(uv, dim=(3, 4))
    # the small constant keeps the square root's slope finite where the map is flat
    magnitude = (dy.square() + dx.square() + 1e-12).sqrt().mean(2)
    variation = (magnitude.square() * masks).sum((2, 3))
    return (variation / (masks.sum((2, 3)) + 1)).mean()


def heatmap_mse(predicted: Tensor, heatmaps: Tensor, known: Tensor) -> Tensor:
    """L_H: mean squared difference of (B, N, H, W) heatmaps over those that are `known`, (B, N) bool."""
    error = F.mse_loss(predicted, heatmaps, reduction="none").mean((2, 3))
    return (error * known).sum() / known.sum().clamp_min(1)


def heatmap_sse(predicted: Tensor, heatmaps: Tensor, known: Tensor) -> Tensor:
    """Squared differences of (B, N, *size) heatmaps, summed over pixels and `known` (B, N) landmarks (Payer et al., Eq. 2)."""
    squares = F.mse_loss(predicted, heatmaps, reduction="none").flatten(2).sum(-1)
    return (squares * known).sum(1).mean()


# ---- how landmarks lie to one another (Ham and Oh 2023) -------------------------------------------------------------


class FeatureMap(StrEnum):
    """A picture that says of each pixel where it is, see `feature_maps`; the first four, Cartesian and polar, are the paper's."""

    X = "x"
    Y = "y"
    RADIUS = "radius"
    ANGLE = "angle"
    COSINE = "cosine"
    SINE = "sine"


def feature_maps(names: Sequence[FeatureMap], size: Size, device: torch.device | None = None) -> Tensor:
    """Spatial feature maps F (Section 3.2, Fig. 4): (d, H, W), each of zero mean and unit variance over the image.

    x and y count from the image's centre, from where also radius and angle are measured. The angle runs from -pi to pi and jumps
    between the two on the row to the left of the centre; its cosine and sine say the same without a jump.
    """
    y, x = (torch.arange(extent, device=device, dtype=torch.float32) - (extent - 1) / 2 for extent in size)
    y, x = torch.meshgrid(y, x, indexing="ij")
    angle = torch.atan2(y, x)
    maps = {
        FeatureMap.X: x,
        FeatureMap.Y: y,
        FeatureMap.RADIUS: torch.hypot(x, y),
        FeatureMap.ANGLE: angle,
        FeatureMap.COSINE: angle.cos(),
        FeatureMap.SINE: angle.sin(),
    }
    return F.instance_norm(torch.stack([maps[name] for name in names])[None])[0]


def spatial_embedding(heatmaps: Tensor, maps: Tensor, beta: float) -> Tensor:
    """e = softmax(beta x) . F (Eq. 1 and 2): the mean of each map under the softmax over a heatmap's pixels.

    heatmaps: (B, N, H, W), with peaks of about 1; maps: (d, H, W), of `feature_maps`. Returns (B, N, d). What the softmax leaves
    on an even background adds nothing, since each map's mean is 0; it only makes e smaller.
    """
    return torch.softmax(beta * heatmaps.flatten(2), -1) @ maps.flatten(1).T


def correlation_map(embedding: Tensor) -> Tensor:
    """C = E E^T (Eq. 4): (B, N, d) -> (B, N, N). Turning or mirroring the embedded points about the origin changes nothing."""
    return embedding @ embedding.mT


def correlation_mse(predicted: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """Second term of Eq. 3: mean squared difference of (B, N, N) correlation maps over pairs of `known` landmarks, (B, N) bool."""
    pairs = known[:, :, None] & known[:, None, :]
    return ((predicted - true).square() * pairs).sum() / pairs.sum().clamp_min(1)
