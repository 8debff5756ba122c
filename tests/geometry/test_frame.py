"""Points and pixels when an image is scaled, padded, and brought back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from denseseg.geometry.frame import scale_points

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
