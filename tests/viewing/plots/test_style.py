"""Colours, axes and the style that all pictures share."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb2lab
from toy import SIZE, TOY

from denseseg.anatomy import CHEST, WRIST
from denseseg.viewing import plots


def test_uv_colours_are_visible_exactly_where_valid(toy):
    colours = plots.uv_colours(toy.uv[0], toy.valid[0])
    assert colours.shape == (*SIZE, 4)
    assert np.array_equal(colours[..., 3], toy.valid[0].astype(float))


@given(arrays(float, (5, 2), elements=st.floats(-1, 1)), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
def test_uv_colours_change_little_over_a_small_step(uv, du, dv):
    moved = np.abs(plots.uv_colours(uv) - plots.uv_colours(uv + np.array([du, dv])))
    assert moved.max() < 0.04


def test_uv_colours_read_points_and_images_alike_and_clip():
    uv = np.random.default_rng(0).uniform(-1, 1, (2, 4, 7))
    assert np.allclose(plots.uv_colours(uv), plots.uv_colours(np.moveaxis(uv, 0, -1)))
    assert np.allclose(plots.uv_colours(np.array([5.0, -9.0])), plots.uv_colours(np.array([1.0, -1.0])))


def test_uv_corners_stay_apart_for_deuteranopes():
    corners = plots.uv_colours(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]))[:, :3]
    # Vienot, Brettel and Mollon 1999, applied to linear RGB: what is left of a colour without the middle-wave cones.
    left = np.array([[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]])
    seen = np.clip(corners**2.2 @ left.T, 0, 1) ** (1 / 2.2)
    assert min(np.linalg.norm(rgb2lab(a) - rgb2lab(b)) for a, b in combinations(seen, 2)) > 25


@pytest.mark.parametrize(("anatomy", "least"), [(CHEST, 30), (WRIST, 12)])
def test_structure_colours_are_distinct_and_show_on_black_and_white(anatomy, least):
    lab = [rgb2lab(colour) for colour in plots.structure_colours(anatomy).values()]
    assert len(lab) == len(anatomy)
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > least
    assert all(35 < colour[0] < 82 for colour in lab)


def test_pictures_leave_the_callers_style_alone(toy):
    before = dict(plt.rcParams)
    plots.show_case(toy.case)
    assert dict(plt.rcParams) == before


def test_image_ticks_are_millimetres_where_they_are_known(toy):
    ax = plots.show_case(toy.case)
    ax.figure.canvas.draw()
    ticks = {label.get_position()[0]: float(label.get_text()) for label in ax.get_xticklabels()}
    assert ax.get_xlabel() == "x (mm)"
    assert all(value == pytest.approx(0.5 * place) for place, value in ticks.items())
    assert plots.show_uv(toy.case.image, toy.uv, toy.valid, TOY).get_xlabel() == "x (pixels)"
