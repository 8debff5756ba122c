"""What a network learns from: images, landmarks and masks as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from denseseg.cases.case_set import CaseSet
from denseseg.geometry.frame import Size


@dataclass
class Batch:
    """What a method learns from.

    images: (B, 1, H, W) in [0, 1]. landmarks: (B, N, 2) pixels, NaN where missing.
    masks: (B, C, H, W) in [0, 1] or bool, the cases' own; or None where none has any.
    has_masks: (B,) bool, which cases have masks of their own; where not given, all where there are masks. For the others the
        contours of the landmarks are the masks, and `masks` is empty.
    """

    images: Tensor
    landmarks: Tensor
    masks: Tensor | None = None
    has_masks: Tensor = None  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        if self.has_masks is None:
            self.has_masks = torch.full((len(self.images),), self.masks is not None, device=self.images.device)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return Batch(self.images.to(device), self.landmarks.to(device), masks, self.has_masks.to(device))

    @classmethod
    def of(cls, cases: CaseSet) -> Batch:
        """All cases as one batch. Masks are kept as bool, a byte a pixel, and only where a case has some of its own."""
        masks = None
        if any(case.masks is not None for case in cases):
            empty = np.zeros((len(cases.anatomy), *cases[0].size), bool)
            own = np.stack([empty if case.masks is None else case.masks for case in cases])
            masks = torch.as_tensor(own)
        images, landmarks = torch.as_tensor(cases.images)[:, None], torch.as_tensor(cases.landmarks, dtype=torch.float32)
        return cls(images, landmarks, masks, torch.tensor([case.masks is not None for case in cases]))

    def select(self, index: Tensor) -> Batch:
        """The cases at these positions (b,), in this order, all in float32: what is augmented and trained on."""
        masks = None if self.masks is None else self.masks[index].float()
        return Batch(self.images[index].float(), self.landmarks[index].float(), masks, self.has_masks[index])

    def masks_or(self, drawn: Tensor, soft: bool = True) -> Tensor:
        """(B, C, H, W) in the dtype of `drawn`: the cases' own masks, and those `drawn` from the landmarks where a case has none.

        soft: keep the values between 0 and 1 that moving an image leaves at the edges of its masks; False makes them 0 or 1 again.
        """
        if self.masks is None:
            return drawn
        own = self.masks if soft else self.masks >= 0.5
        return torch.where(self.has_masks[:, None, None, None], own.to(drawn), drawn)
