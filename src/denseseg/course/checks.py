"""Checks: assertions that teach. When one does not hold, the reader gets a message and a hint, not a traceback."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


def check_close(
    actual: Any, expected: Any, tolerance: float, message: str, hint: str = "", mistakes: Mapping[str, Any] | None = None
) -> None:
    """Check that `actual` and `expected` have one shape and differ nowhere by more than `tolerance`, in their own unit.

    Numbers, arrays and tensors alike. A NaN (a missing landmark) equals a NaN and nothing else; with no finite number to
    compare the check fails.
    mistakes: hint -> the value that this mistake leads to, or a function that computes it, called only after a failure. An answer
    that equals such a value gets its hint in place of `hint`.
    Raises CheckFailed with the largest difference.
    """
    if actual is None:
        raise CheckFailed(f"{message} (the answer is None)", "a function gives back nothing unless it ends in `return ...`")
    reason = difference(actual, expected, tolerance)
    if isinstance(reason, str):
        wrong = ((named, value() if callable(value) else value) for named, value in (mistakes or {}).items())
        raise CheckFailed(
            f"{message} ({reason})", next((named for named, value in wrong if is_same(actual, value, tolerance)), hint)
        )
    print(*wrapped(f"✓ {message} (largest difference {reason:.2g})"), sep="\n")


def difference(actual: Any, expected: Any, tolerance: float) -> float | str:
    """The largest difference of two arrays, or in words why they are not equal within `tolerance`."""
    try:
        actual, expected = as_array(actual).astype(float), as_array(expected).astype(float)
    except (TypeError, ValueError):
        return "not a number, nor an array of numbers"
    if actual.shape != expected.shape:
        return f"shapes differ: {actual.shape} and {expected.shape}"
    finite = np.isfinite(actual) & np.isfinite(expected)
    if not finite.any():
        return "no finite number to compare"
    if not np.array_equal(actual[~finite], expected[~finite], equal_nan=True):
        return "NaN or infinity on one side only"
    largest = float(np.abs(actual[finite] - expected[finite]).max())
    return largest if largest <= tolerance else f"largest difference {largest:.3g}, allowed {tolerance:.3g}"


def is_same(actual: Any, wrong: Any, tolerance: float) -> bool:
    """Whether an answer equals the value of a mistake, NaN for NaN."""
    try:
        actual, wrong = as_array(actual).astype(float), as_array(wrong).astype(float)
    except (TypeError, ValueError):
        return False
    return actual.shape == wrong.shape and np.allclose(actual, wrong, rtol=0, atol=tolerance, equal_nan=True)


@contextmanager
def hint_on_error(hint: str) -> Iterator[None]:
    """Inside, an answer that breaks off with an error is a failed check with this hint, not a traceback."""
    try:
        yield
    except CheckFailed:
        raise
    except Exception as error:
        raise CheckFailed(f"it breaks off: {type(error).__name__}: {error}", hint) from error


def wrapped(line: str) -> list[str]:
    """The line in pieces of 79 characters, which is what a page's column holds."""
    return textwrap.wrap(line, 79, subsequent_indent="  ")


def as_array(value: Any) -> np.ndarray:
    """An array of `value`, be it a number, a list, an array, or a tensor on any device."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)
