"""Sliding along the outline, with known answers: landmarks turned round a circle slide, all alike; moved outwards they do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from circles import LANDMARKS, SIZE, TWO, make_case, make_prediction
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.evaluation import sliding

CENTRED = np.concatenate([LANDMARKS[where] - LANDMARKS[where].mean(0) for where in TWO.slices.values()])
NORMALS = CENTRED / np.linalg.norm(CENTRED, axis=1, keepdims=True)
TANGENTS = np.column_stack([-NORMALS[:, 1], NORMALS[:, 0]])  # in the order of the landmarks


def moved(slides: list[np.ndarray], across: float = 0.0, spacing: float | None = None) -> pd.DataFrame:
    """The table of one case for each array of slides, (110,) or one number, in pixels."""
    predictions = [make_prediction(LANDMARKS + np.multiply(TANGENTS.T, slide).T + across * NORMALS) for slide in slides]
    return sliding(predictions, [make_case(f"case {i}", spacing=spacing) for i in range(len(slides))]).set_index("structure")


def test_a_numbering_that_begins_elsewhere_is_all_sliding_and_all_common():
    table = moved([1.0, -2.0, 4.0], spacing=0.5)
    assert table.index.tolist() == [*TWO.names, "all"]
    np.testing.assert_allclose(table[["along", "common"]], 100)
    np.testing.assert_allclose(table["slide"], 0.5 * np.sqrt((1 + 4 + 16) / 3))
    np.testing.assert_allclose(table["shift"], 0.5 * np.mean([1, -2, 4]))
    np.testing.assert_allclose(table.loc[list(TWO.names), "shift_sd"], 0.5 * np.std([1, -2, 4], ddof=1))
    assert table["n"].tolist() == [120, 120, 90, 330] and set(table["unit"]) == {"mm"} and not table["failures"].any()


def test_landmarks_that_slide_to_and_fro_have_nothing_in_common():
    table = moved([np.where(np.arange(110) % 2, 3.0, -3.0)] * 2)
    np.testing.assert_allclose(table["along"], 100)
    np.testing.assert_allclose(table[["common", "shift", "shift_sd"]], 0, atol=1e-9)
    np.testing.assert_allclose(table["slide"], 3)


def test_an_error_across_the_outline_is_no_slide():
    table = moved([4.0], across=3.0)
    np.testing.assert_allclose(table["along"], 100 * 16 / 25)
    np.testing.assert_allclose(table["common"], 100)
    outwards = moved([0.0], across=3.0)
    np.testing.assert_allclose(outwards[["slide", "along"]], 0, atol=1e-9)
    assert moved([0.0])[["along", "common"]].isna().all(axis=None)  # no error, nothing to share


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 3), st.integers(0, 1000))
def test_the_common_share_is_that_of_the_variance_explained(spread, seed):
    rng = np.random.default_rng(seed)
    slides = rng.normal(0, 1, (4, 110)) + rng.normal(0, spread, (4, 1))
    table = moved(list(slides))
    for name in TWO.names:
        own = slides[:, TWO.slices[name]]
        assert table.loc[name, "common"] == pytest.approx(100 * own.shape[1] * (own.mean(1) ** 2).sum() / (own**2).sum())
        assert table.loc[name, "shift_sd"] == pytest.approx(own.mean(1).std(ddof=1))


def test_failures_and_what_cannot_be_judged():
    """A failure has no direction, so it is only counted; a wild slide counts as much as a failure would."""
    true, found = LANDMARKS.copy(), LANDMARKS + 2 * TANGENTS
    true[40:50], found[0] = np.nan, np.nan
    table = sliding([make_prediction(found)], [make_case(landmarks=true)]).set_index("structure")
    assert table.loc["left", ["n", "failures"]].tolist() == [39, 1] and table.loc["right", ["n", "failures"]].tolist() == [30, 0]
    assert table.loc["left", "common"] == pytest.approx(100)
    np.testing.assert_allclose(moved([1e6])["slide"], np.hypot(*SIZE) / 2)


def test_single_landmarks_do_not_slide():
    anatomy = Anatomy("points", (Structure("points", 3, "points", Kind.POINTS),))
    case = Case("a", np.zeros(SIZE), LANDMARKS[:3], anatomy)
    with pytest.raises(DataError, match="no landmark of these cases lies on a closed outline"):
        sliding([make_prediction(LANDMARKS[:3])], [case])
    with pytest.raises(DataError, match="one unit"):
        sliding([make_prediction()] * 2, [make_case(), make_case("b", spacing=1.0)])
