"""Points and pixels when an image is scaled, padded, and brought back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from denseseg.geometry.frame import Frame, Turn, inside_image, scale_points

sides = st.integers(8, 3000)


@given(sides, sides, sides, sides, st.lists(st.tuples(*[st.floats(-500, 3500)] * 2), min_size=1, max_size=5))
def test_scaling_points_there_and_back_is_the_identity(h1, w1, h2, w2, points):
    points = np.array(points)
    np.testing.assert_allclose(scale_points(scale_points(points, (h1, w1), (h2, w2)), (h2, w2), (h1, w1)), points, atol=1e-6)


@given(sides, sides)
def test_scaling_keeps_the_corners_of_the_image(old, new):
    """The image spans -0.5 .. size - 0.5: pixel centres are whole numbers."""
    corners = np.array([[-0.5, -0.5], [old - 0.5, old - 0.5]])
    expected = [[-0.5, -0.5], [new - 0.5, new - 0.5]]
    np.testing.assert_allclose(scale_points(corners, (old, old), (new, new)), expected, atol=1e-9)


# ---- frames ---------------------------------------------------------------------------------------------------------

sizes = st.tuples(sides, sides)
RNG = np.random.default_rng(0)


@given(sizes, sizes, st.lists(st.tuples(*[st.floats(-500, 3500)] * 2), min_size=1, max_size=5))
def test_a_frame_leads_there_and_back_exactly(original, fitted, points):
    frame, points = Frame.fit(original, fitted), np.array(points)[:, None]
    np.testing.assert_allclose(frame.to_original(frame.to_fitted(points)), points, atol=1e-9, rtol=0)
    assert frame.to_fitted(points).shape == points.shape


@given(sizes, sizes)
def test_the_whole_image_lies_in_the_middle_of_the_fitted_one_with_its_aspect(original, fitted):
    frame = Frame.fit(original, fitted)
    first, last = frame.to_fitted(np.array([[-0.5, -0.5], [original[1] - 0.5, original[0] - 0.5]]))
    before, after = first + 0.5, np.array(fitted[::-1]) - 0.5 - last  # padding at the left and top, at the right and bottom
    assert (before >= 0).all() and (after > -1e-9).all() and inside_image(np.stack([first, last]).round(9), fitted).all()
    assert (before % 1 == 0).all() and (np.abs(before - after) <= 1 + 1e-9).all() and min(*before, *after) < 1
    np.testing.assert_allclose(last - first, frame.scale * np.array(original[::-1]))


def test_missing_points_stay_missing():
    frame = Frame.fit((2400, 1935), (512, 512))
    points = np.array([[np.nan, np.nan], [1934.5, 2399.5]])
    np.testing.assert_allclose(frame.to_fitted(points), [[np.nan, np.nan], [50 + 412.8 - 0.5, 511.5]])


@pytest.mark.parametrize(("original", "fitted"), [((128, 96), (64, 48)), ((128, 96), (96, 72)), ((30, 33), (60, 66))])
def test_without_padding_an_image_is_what_resize_gives(original, fitted):
    image = RNG.random(original, dtype=np.float32)
    expected = resize(image, fitted, order=1, anti_aliasing=True)
    np.testing.assert_allclose(Frame.fit(original, fitted).maps_to_fitted(image), expected, atol=1e-6)


@pytest.mark.parametrize(("original", "fitted"), [((240, 194), (64, 64)), ((30, 33), (64, 64)), ((62, 65), (48, 96))])
def test_grey_values_move_with_the_points(original, fitted):
    """A blob is found again where the frame says, in both directions, and the padding is black."""
    frame = Frame.fit(original, fitted)
    y, x = np.mgrid[: original[0], : original[1]]
    centre = np.array([original[1] * 0.4, original[0] * 0.55])
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (min(original) / 10) ** 2))
    there = frame.maps_to_fitted(blob)
    assert there.shape == fitted and there.dtype == np.float32
    np.testing.assert_allclose(centroid(there), frame.to_fitted(centre), atol=0.05)
    np.testing.assert_allclose(centroid(frame.maps_to_original(there)), centre, atol=0.05)
    assert frame.maps_to_original(there).shape == original
    x, y = (np.arange(length) for length in fitted[::-1])
    shown = inside_image(frame.to_original(np.stack(np.meshgrid(x, y), -1)), original)
    full = frame.maps_to_fitted(np.ones(original))
    np.testing.assert_allclose(full[shown], 1, atol=1e-6)
    assert (full[~shown] == 0).all() and not shown.all()


def centroid(image: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([np.average(columns, weights=image), np.average(rows, weights=image)])


def test_maps_come_back_bilinearly_with_any_axes_in_front():
    frame = Frame.fit((50, 37), (24, 32))
    maps = RNG.random((2, 3, 24, 32)).astype(np.float32)
    found = frame.maps_to_original(maps)
    x, y = np.meshgrid(np.arange(37), np.arange(50))
    at = frame.to_fitted(np.stack([x, y], -1))
    expected = map_coordinates(maps[1, 2], [at[..., 1], at[..., 0]], order=1, mode="nearest")
    assert found.shape == (2, 3, 50, 37)
    np.testing.assert_allclose(found[1, 2], expected, atol=1e-5)


# ---- turns ----------------------------------------------------------------------------------------------------------

few = st.integers(1, 6)


@given(few, few, st.integers(0, 7), st.data())
def test_a_point_is_where_its_pixel_is_however_the_image_is_laid(height, width, number, data):
    turn = Turn.all((height, width))[number]
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    image = np.zeros((2, height, width))
    image[1, row, column] = 1
    laid = turn.maps_to_fitted(image)
    assert laid.shape[1:] == turn.fitted
    _, y, x = np.argwhere(laid)[0]
    np.testing.assert_allclose(turn.to_original(np.array([x, y])), [column, row], atol=1e-9)
    np.testing.assert_array_equal(turn.maps_to_original(laid), image)


@given(st.integers(0, 7))
def test_a_covariance_turns_as_its_points_do(number):
    turn, points = Turn.all((30, 20))[number], RNG.normal(size=(50, 2)) * (3, 1)
    np.testing.assert_allclose(turn.covariance_to_original(np.cov(points.T)), np.cov(turn.to_original(points).T), atol=1e-9)


def test_the_eight_turns_differ_and_say_what_they_are():
    turns, image = Turn.all((3, 3)), np.arange(9).reshape(3, 3)
    assert len({turn.maps_to_fitted(image).tobytes() for turn in turns}) == 8
    np.testing.assert_array_equal(turns[0].maps_to_fitted(image), image)
    assert [str(turns[k]) for k in (0, 1, 4, 7)] == [
        "as it is", "90° anticlockwise", "mirrored", "mirrored and 270° anticlockwise"
    ]  # fmt: skip
