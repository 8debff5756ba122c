"""A case: what it refuses, and how it changes its size."""

from __future__ import annotations

import numpy as np
import pytest
from toy_cases import IMAGE, LANDMARKS, SIZE, make_case, with_value

from denseseg.errors import DataError


@pytest.mark.parametrize("side", [32, 64, 96, 256])
def test_resized_moves_image_landmarks_masks_and_spacing_together(side):
    y, x = np.mgrid[:128, :128]
    centre = np.array([70.0, 45.0])
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 12**2))
    case = make_case(size=(128, 128), image=blob, landmarks=np.tile(centre, (37, 1)), masks=(blob > 0.5)[None]).resized(
        (side, side)
    )
    rows, columns = np.mgrid[:side, :side]
    for weights in (case.image, case.masks[0]):
        found = [np.average(columns, weights=weights), np.average(rows, weights=weights)]
        np.testing.assert_allclose(found, case.landmarks[0], atol=0.15)
    assert case.spacing == pytest.approx(0.5 * 128 / side)
    assert case.masks.shape == (1, side, side)


def test_resizing_to_the_same_size_returns_the_same_case():
    case = make_case()
    assert case.resized(SIZE) is case


def test_resizing_refuses_another_aspect_ratio_unless_spacing_is_unknown():
    with pytest.raises(DataError, match="aspect ratio"):
        make_case().resized((24, 24))
    assert make_case(spacing=None).resized((24, 24)).size == (24, 24)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((24, 32, 3))}, "one grey channel"),
        ({"image": np.zeros((7, 32))}, "at least 8 x 8"),
        ({"image": with_value(IMAGE, np.nan)}, "NaN or infinite"),
        ({"image": IMAGE * 255}, r"scale grey values to 0\.\.1"),
        ({"image": IMAGE - 0.5}, r"scale grey values to 0\.\.1"),
        ({"landmarks": LANDMARKS[:-1]}, r"hand needs \(37, 2\)"),
        ({"landmarks": with_value(LANDMARKS, np.inf)}, "infinite"),
        ({"landmarks": LANDMARKS * np.nan}, "every landmark is missing"),
        ({"landmarks": with_value(LANDMARKS, 80)}, "landmark 2 at .* far outside the 32 x 24 image"),
        ({"masks": np.zeros((2, *SIZE))}, "one .* mask per structure"),
        ({"spacing": 0.0}, "not a positive number"),
        ({"spacing": float("nan")}, "not a positive number"),
    ],
)
def test_a_bad_case_is_refused_and_named(changes, message):
    with pytest.raises(DataError, match=f"case case000.*{message}"):
        make_case(**changes)


def test_a_missing_landmark_and_one_just_outside_the_image_are_fine():
    case = make_case(landmarks=with_value(with_value(LANDMARKS, -3), np.nan))
    assert np.isnan(case.landmarks).sum() == 1
