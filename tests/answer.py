"""A network whose answer is known, to see what a method makes of it."""

from __future__ import annotations

from typing import Any

import torch


class Answer(torch.nn.Module):
    """A network that gives one answer, whatever it sees."""

    def __init__(self, answer: Any):
        super().__init__()
        self.answer = answer

    def forward(self, images: torch.Tensor) -> Any:
        return self.answer
