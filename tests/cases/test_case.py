"""A case: what it refuses, and how it changes its size."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_cases import IMAGE, LANDMARKS, SIZE, make_case, with_value

from denseseg.errors import DataError


@pytest.mark.parametrize("side", [32, 64, 96, 256])
def test_resized_moves_image_landmarks_masks_and_spacing_together(side):
    y, x = np.mgrid[:128, :128]
    centre = np.array([70.0, 45.0])
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 12**2))
    case = make_case(
        size=(128, 128), image=blob, landmarks=centre + np.linspace(0, 1, 37)[:, None], masks=(blob > 0.5)[None]
    ).resized((side, side))
    rows, columns = np.mgrid[:side, :side]
    for weights in (case.image, case.masks[0]):
        found = [np.average(columns, weights=weights), np.average(rows, weights=weights)]
        np.testing.assert_allclose(found, case.landmarks[0], atol=0.15)
    assert case.spacing == pytest.approx(0.5 * 128 / side)
    assert case.masks.shape == (1, side, side)


@pytest.mark.parametrize(("size", "fitted"), [((30, 33), (64, 64)), ((62, 65), (48, 40)), ((240, 194), (96, 96))])
def test_fitted_moves_image_landmarks_masks_and_spacing_together(size, fitted):
    y, x = np.mgrid[: size[0], : size[1]]
    centre = np.array([size[1] * 0.4, size[0] * 0.55])
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (min(size) / 8) ** 2))
    old = make_case(size=size, image=blob, landmarks=centre + np.linspace(0, 1, 37)[:, None], masks=(blob > 0.3)[None])
    case, frame = old.fitted(fitted)
    assert case.size == case.masks.shape[1:] == fitted and case.image.dtype == np.float32 and case.masks.dtype == bool
    rows, columns = np.mgrid[: fitted[0], : fitted[1]]
    for weights in (case.image, case.masks[0]):
        found = [np.average(columns, weights=weights), np.average(rows, weights=weights)]
        np.testing.assert_allclose(found, case.landmarks[0], atol=0.3)
    np.testing.assert_allclose(frame.to_original(case.landmarks), old.landmarks, atol=1e-9)
    assert case.spacing * min(fitted[0] / size[0], fitted[1] / size[1]) == pytest.approx(0.5)
    assert (case.id, case.metadata) == (old.id, old.metadata)


@pytest.mark.parametrize("size", [SIZE, (12, 16), (48, 64), (96, 128)])
def test_without_padding_fitted_is_resized(size):
    case = make_case(masks=IMAGE[None] > 0.5)
    fitted, frame = case.fitted(size)
    resized = case.resized(size)
    assert (fitted.image == resized.image).all() and (fitted.masks == resized.masks).all() and frame.offset == (0, 0)
    np.testing.assert_allclose(fitted.landmarks, frame.to_fitted(case.landmarks), atol=1e-12)
    assert fitted.spacing == resized.spacing


@given(st.tuples(*[st.integers(8, 60)] * 4), st.integers(0, 5))
@example((8, 58, 8, 37), 0)
@settings(deadline=None, max_examples=50)
def test_a_case_fits_any_size(sides, seed):
    """Landmarks may lie half an image outside; a case that is allowed stays so."""
    size, fitted = sides[:2], sides[2:]
    margin = max(size) / 2
    landmarks = np.random.default_rng(seed).uniform(-margin, np.array(size[::-1]) + margin, (37, 2)) - 0.5
    landmarks[:2] = [[-margin - 0.5] * 2, [size[1] + margin - 0.5, 1]]
    case, frame = make_case(size=size, landmarks=landmarks, image=np.ones(size)).fitted(fitted)
    np.testing.assert_allclose(case.landmarks, frame.to_fitted(landmarks), atol=1e-9)
    assert case.image.max() == pytest.approx(1, abs=1e-5) and case.size == fitted


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
        ({"landmarks": LANDMARKS * [1, np.nan]}, "one coordinate only"),
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
    points = with_value(LANDMARKS, -3)
    points[5] = np.nan
    assert np.isnan(make_case(landmarks=points).landmarks).all(1).sum() == 1


def test_every_landmark_may_be_missing_where_there_are_masks():
    assert np.isnan(make_case(landmarks=LANDMARKS * np.nan, masks=np.ones((1, *SIZE))).landmarks).all()


@pytest.mark.parametrize(("bits", "size"), [(8, 1), (16, 2), (12, 4), (None, 4)])
def test_a_packed_image_is_the_same_in_less_memory(bits, size):
    """12 bits, and a float that holds more, stay as they are."""
    rng, top = np.random.default_rng(0), 2 ** (bits or 1) - 1
    image = rng.random((40, 30), np.float32) if bits is None else rng.integers(0, top + 1, (40, 30)).astype(np.float32) / top
    case = make_case(size=(40, 30), image=image)
    other = replace(case).packed()
    assert vars(other)["image"].nbytes == 40 * 30 * size
    assert other.image.dtype == np.float32 and (other.image == image).all() and other.size == (40, 30)
    again = replace(other, id="b")
    assert (again.image == image).all() and (pickle.loads(pickle.dumps(other)).image == image).all()
    if size < 4:
        with pytest.raises(ValueError, match="read-only"):
            other.image[0] = 0
