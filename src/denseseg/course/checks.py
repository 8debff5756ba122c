"""Checks: assertions that teach. When one does not hold, the reader gets a message and a hint, not a traceback."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np


class CheckFailed(AssertionError):
    """A check did not hold. Shown in a notebook as its message and hint alone."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(f"{message}\n  hint: {hint}" if hint else message)

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return [part for line in f"✗ {self}".splitlines() for part in wrapped(line)]


def check(condition: Any, message: str, hint: str = "") -> None:
    """Print "✓ message" where `condition` holds, raise CheckFailed(message, hint) where it does not.

    condition: a bool, or an array or tensor of bools, all of which must be True. An empty array fails: it would check nothing.
    """
    values = as_array(condition)
    if values.size == 0 or not values.all():
        raise CheckFailed(message, hint)
    print(*wrapped(f"✓ {message}"), sep="\n")


def check_close(actual: Any, expected: Any, tolerance: float, message: str, hint: str = "") -> None:
    """Check that `actual` and `expected` have one shape and differ nowhere by more than `tolerance`, in their own unit.

    Numbers, arrays and tensors alike. A NaN (a missing landmark) equals a NaN and nothing else; with no finite number to
    compare the check fails. Raises CheckFailed with the largest difference.
    """
    actual, expected = as_array(actual).astype(float), as_array(expected).astype(float)
    if actual.shape != expected.shape:
        raise CheckFailed(f"{message} (shapes differ: {actual.shape} and {expected.shape})", hint)
    finite = np.isfinite(actual) & np.isfinite(expected)
    if not finite.any():
        raise CheckFailed(f"{message} (no finite number to compare)", hint)
    if not np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        raise CheckFailed(f"{message} (NaN or infinity on one side only)", hint)
    difference = np.abs(actual[finite] - expected[finite]).max()
    if difference > tolerance:
        raise CheckFailed(f"{message} (largest difference {difference:.3g}, allowed {tolerance:.3g})", hint)
    print(*wrapped(f"✓ {message} (largest difference {difference:.2g})"), sep="\n")


def wrapped(line: str) -> list[str]:
    """The line in pieces of 79 characters, which is what a page's column holds."""
    return textwrap.wrap(line, 79, subsequent_indent="  ")


def as_array(value: Any) -> np.ndarray:
    """An array of `value`, be it a number, a list, an array, or a tensor on any device."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)
