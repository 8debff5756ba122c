"""Wrist phantoms made for transfer: every switch changes something, and nothing that is known about them is lost."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import WRIST
from denseseg.phantom import WIDE_LOOKS, WRIST_TRANSFER, WristPhantom, wrist_phantom
from denseseg.phantom.wrist.randomisation import NO_WRIST_RANDOMISATION, WristRandomisation

SIZE = (96, 56)
MOVES = {
    "population": 1.0, "adult": 1.0, "forms": 1.0, "size": 0.2, "rotation": 30.0, "shift": 8.0, "oblique": 60.0,
}  # fmt: skip


def only(**switch: float) -> WristPhantom:
    return WristPhantom(0, 3, SIZE, randomisation=WristRandomisation(**switch))


def test_with_everything_off_it_is_the_default_phantom_to_the_last_bit():
    off, default = only(), WristPhantom(0, 3, SIZE)
    np.testing.assert_array_equal(off.case.image, default.case.image)
    np.testing.assert_array_equal(off.landmarks, default.landmarks)


def test_a_seed_gives_the_same_phantom_again():
    one, many = WristPhantom(4, 0, SIZE, None, WIDE_LOOKS, WRIST_TRANSFER), wrist_phantom(2, SIZE, 4, WIDE_LOOKS, WRIST_TRANSFER)
    np.testing.assert_array_equal(many[0].image, one.case.image)
    np.testing.assert_array_equal(many[0].landmarks, one.landmarks)
    assert many.name == "randomised wrist phantom" and many.info["kind"] == "phantom"


def test_every_switch_is_tried_here():
    assert {field.name for field in fields(WristRandomisation)} == {*MOVES, "cast"}
    assert all(getattr(WRIST_TRANSFER, name) for name in (*MOVES, "cast"))


@pytest.mark.parametrize("name", MOVES)
def test_a_switch_of_the_anatomy_moves_landmarks(name):
    apart = np.abs(only(**{name: MOVES[name]}).landmarks - WristPhantom(0, 3, SIZE).landmarks)
    assert np.nanmax(apart) > 0.3


def test_a_cast_changes_the_picture_alone():
    cast, default = only(cast=1.0), WristPhantom(0, 3, SIZE)
    np.testing.assert_allclose(cast.landmarks, default.landmarks, atol=1e-9)
    assert np.abs(cast.case.image - default.case.image).max() > 0.05


def test_a_grown_hand_has_all_bones():
    grown = only(adult=1.0)
    assert all(grown.present) and grown.age_months > 12 * 18


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_place_and_material_stay_inverse_and_the_whole_hand_lies_near_the_image(seed):
    phantom = WristPhantom(seed, 0, SIZE, randomisation=WRIST_TRANSFER)
    for i, where in enumerate(WRIST.slices.values()):
        canonical = phantom.canonical[where]
        np.testing.assert_allclose(phantom.material(i, phantom.place(i, canonical)), canonical, atol=1e-3)
    for bone in ("radius", "ulna"):
        assert phantom.landmarks[WRIST.slices[bone]][:, 1].max() > SIZE[0] - 0.5, "the arm leaves by the lower border"
    assert np.nanmin(phantom.landmarks[:, 1]) > -0.25 * SIZE[0]


@pytest.mark.parametrize("name", [field.name for field in fields(WristRandomisation)])
def test_a_negative_spread_is_refused(name):
    with pytest.raises(ValueError, match=name):
        WristRandomisation(**{name: -0.1})


def test_nothing_is_varied_by_default():
    assert WristRandomisation() == NO_WRIST_RANDOMISATION
