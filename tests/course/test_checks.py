"""Checks say what holds, and why something does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from denseseg.course import CheckFailed, check, check_close, hint_on_error

Captured = pytest.CaptureFixture[str]


def test_a_check_that_holds_says_so(capsys: Captured) -> None:
    check(torch.tensor([True, True]), "all inside")
    check_close(torch.ones(2, requires_grad=True), [1.0, 1.0 + 1e-9], 1e-6, "close")
    assert capsys.readouterr().out.splitlines()[0] == "✓ all inside"


@pytest.mark.parametrize("condition", [False, np.array([True, False]), torch.tensor([False]), []])
def test_a_check_that_does_not_hold_raises_with_its_hint(condition: Any) -> None:
    with pytest.raises(CheckFailed, match="inside\n  hint: look at the edge"):
        check(condition, "inside", "look at the edge")


@pytest.mark.parametrize(
    ("actual", "expected", "reason"),
    [
        (1.0, 1.2, "largest difference 0.2"),
        ([1.0, 2.0], [1.0], "shapes differ"),
        ([np.nan, 1.0], [0.0, 1.0], "on one side only"),
        ([np.inf, 1.0], [-np.inf, 1.0], "on one side only"),
        ([np.nan], [np.nan], "no finite number"),
        ([], [], "no finite number"),
        ([[1.0], [1.0, 2.0]], [1.0], "not a number"),
        ("four", 4.0, "not a number"),
        (None, 4.0, "None.*\n.*return"),
    ],
)
def test_check_close_says_why(actual: Any, expected: Any, reason: str) -> None:
    with pytest.raises(CheckFailed, match=reason):
        check_close(actual, expected, 0.1, "equal")


def test_an_answer_that_equals_a_known_mistake_gets_its_hint() -> None:
    mistakes = {"those are pixels": [4.0, np.nan], "that is the squared length": [4.0, 9.0]}
    for answer, hint in (([4.0, np.nan], "those are pixels"), ([4.0, 9.0], "that is the squared"), ([1.0, 1.0], "measure")):
        with pytest.raises(CheckFailed, match=f"hint: {hint}"):
            check_close(answer, [2.0, 3.0], 0.1, "lengths in mm", "measure", mistakes)
    with pytest.raises(CheckFailed, match="hint: NaN times 0"):
        check_close(np.nan, 0.0, 0.1, "a loss", "mean", {"another": lambda: 7.0, "NaN times 0 is NaN": lambda: np.nan})
    check_close([2.0, 3.0], [2.0, 3.0], 0.1, "lengths in mm", "measure", {"never computed for a right answer": pytest.fail})


def test_an_answer_that_breaks_off_is_a_failed_check() -> None:
    with pytest.raises(CheckFailed, match=r"ZeroDivisionError(?s:.*)hint: count at least 1"), hint_on_error("count at least 1"):
        print(1 / 0)
    with pytest.raises(CheckFailed, match="hint: its own"), hint_on_error("another"):
        check(False, "inside", "its own")


def test_missing_landmarks_are_equal_where_both_are_missing() -> None:
    check_close([[np.nan, np.nan], [1.0, 2.0]], [[np.nan, np.nan], [1.0, 2.0]], 0, "equal")


def test_a_failed_check_is_shown_without_a_traceback() -> None:
    assert CheckFailed("inside", "look")._render_traceback_() == ["✗ inside", "  hint: look"]


def test_long_messages_are_broken_where_the_page_ends(capsys: Captured) -> None:
    words = "word " * 20
    check(True, words)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(len(line) <= 79 for line in lines)
    assert " ".join(" ".join(lines).split()) == f"✓ {words}".strip()
    assert max(map(len, CheckFailed(words, words)._render_traceback_())) <= 79
