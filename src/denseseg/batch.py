"""What a network learns from: images, landmarks and masks as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from denseseg.cases.case_set import CaseSet


@dataclass
class Batch:
    """What a method learns from.

    images: (B, 1, H, W) in [0, 1]; landmarks: (B, N, 2) pixels, NaN where missing;
    masks: (B, C, H, W) in [0, 1], or None where the contours of the landmarks are the masks.
    """

    images: Tensor
    landmarks: Tensor
    masks: Tensor | None = None


def as_batch(cases: CaseSet, device: torch.device) -> Batch:
    """All cases as one batch. Masks are kept only where every case brings its own, as bool, a byte a pixel."""
    own = [case.masks for case in cases if case.masks is not None]
    masks = torch.as_tensor(np.stack(own), device=device) if len(own) == len(cases) else None
    landmarks = torch.as_tensor(cases.landmarks, dtype=torch.float32, device=device)
    return Batch(torch.as_tensor(cases.images, device=device)[:, None], landmarks, masks)
