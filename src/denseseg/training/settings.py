"""How to train."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from denseseg.augment import Augmentation


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults are the paper's (Section 3.5).

    epochs, batch_size; learning_rate falls to final_learning_rate along a cosine (Adam). seed: of order and augmentation.
    average: decay a step of the exponential moving average of the weights that is used for prediction; 0 uses the last weights.
    validate_every: epochs between validations. patience: epochs without a better validation error after which training stops, or
    None. precision: "auto" is bfloat16 autocast on a GPU that has it and float32 elsewhere; or a name that Fabric knows.
    """

    epochs: int = 100
    batch_size: int = 8
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    seed: int = 0
    average: float = 0.0
    validate_every: int = 5
    patience: int | None = None
    precision: str = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def changed(self, **changes: Any) -> TrainingSettings:
        return replace(self, **changes)
