"""Looks: each switch changes the picture, none of them moves anything, and one draws nothing from another."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from denseseg.phantom import ChestPhantom, HandPhantom, WristPhantom, hand_phantom, wrist_phantom
from denseseg.phantom.canvas import Canvas
from denseseg.phantom.looks import NO_LOOKS, PICTURE, WIDE_LOOKS, Looks, exposure, finish, lay_on, streams

NAMES = [field.name for field in fields(Looks)]
CHANCES = ("wires", "tubes", "plates", "letters", "boxes", "frame", "corner", "inverted", "jpeg")
OBJECTS, EXPOSURE = NAMES[:4], NAMES[4:8]
SIZE = (48, 64)


def only(name: str) -> Looks:
    """One look alone, surely and strongly."""
    return Looks(**{name: 1.0 if name in CHANCES else 2 * getattr(WIDE_LOOKS, name)})


def picture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.random((8, 16)), np.ones((6, 4))).astype(np.float32)


def test_every_look_is_listed_once():
    assert [*OBJECTS, *EXPOSURE, *sorted(PICTURE)] == [*NAMES[:8], *sorted(NAMES[8:])]
    assert all(getattr(WIDE_LOOKS, name) > 0 for name in NAMES)


@pytest.mark.parametrize("name", PICTURE)
def test_a_look_of_the_picture_changes_it_and_its_seed_decides_how(name):
    image = picture()
    one, again, other = (finish(Canvas.blank(SIZE), image, only(name), streams(seed)) for seed in (1, 1, 2))
    assert one.shape == SIZE and one.dtype == np.float32 and one.min() >= 0 and one.max() <= 1
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - image).max() > 0.01 or np.abs(other - image).max() > 0.01
    assert np.abs(one - other).max() > 0 or name == "inverted"
    np.testing.assert_array_equal(image, picture())  # the given one is left alone


@pytest.mark.parametrize("name", OBJECTS)
def test_what_lies_on_the_film_only_adds_attenuation(name):
    canvas, nothing = Canvas.blank(SIZE), Canvas.blank(SIZE)
    lay_on(canvas, only(name), streams(3))
    lay_on(nothing, NO_LOOKS, streams(3))
    assert canvas.attenuation.min() >= 0 and canvas.attenuation.max() > 0.02
    assert nothing.attenuation.max() == 0


@pytest.mark.parametrize("name", EXPOSURE)
def test_a_look_of_the_exposure_changes_one_of_its_numbers(name):
    usual = {"scatter": 0.05, "noise": 0.01, "centre": 0.6, "gain": 5.6}
    assert exposure(NO_LOOKS, streams(1), **usual) == usual
    changed = exposure(only(name), streams(1), **usual)
    assert sum(changed[key] != usual[key] for key in usual) == 1


def test_random_numbers_go_by_name_and_key():
    numbers = [streams(*key)(name).random() for key, name in (((1, 2), "a"), ((1, 2), "a"), ((1, 2), "b"), ((1, 3), "a"))]
    assert numbers[0] == numbers[1] and len(set(numbers)) == 3


def test_one_look_draws_nothing_from_another():
    """The boxes lie where they lay, whatever noise there is; and an off switch leaves the picture bit by bit."""
    image, boxes = picture(), replace(NO_LOOKS, boxes=1.0)
    alone = finish(Canvas.blank(SIZE), image, boxes, streams(5))
    noisy = finish(Canvas.blank(SIZE), image, replace(boxes, grain=0.1), streams(5))
    covered = alone != image
    np.testing.assert_array_equal(alone[covered], noisy[covered])
    np.testing.assert_array_equal(finish(Canvas.blank(SIZE), image, NO_LOOKS, streams(5)), image)


@pytest.mark.parametrize("phantom, size", [(ChestPhantom, (64, 64)), (WristPhantom, (96, 56)), (HandPhantom, (64, 48))])
def test_all_phantoms_share_them_and_no_landmark_moves(phantom, size):
    plain, wild = phantom(0, 1, size), phantom(0, 1, size, looks=WIDE_LOOKS)
    np.testing.assert_array_equal(plain.landmarks, wild.landmarks)
    assert np.abs(plain.case.image - wild.case.image).mean() > 0.02
    np.testing.assert_array_equal(phantom(0, 1, size, looks=NO_LOOKS).case.image, plain.case.image)


@pytest.mark.parametrize("make, size", [(wrist_phantom, (96, 56)), (hand_phantom, (64, 48))])
def test_a_set_takes_looks(make, size):
    plain, wild = make(1, size), make(1, size, looks=WIDE_LOOKS)
    assert np.abs(plain[0].image - wild[0].image).mean() > 0.02
    assert wild.name == f"randomised {plain.name}"


@pytest.mark.parametrize("bad", [{"wires": 1.5}, {"grain": -0.1}, {"contrast": 0.2}, {"blur": float("inf")}])
def test_a_value_out_of_bounds_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Looks(**bad)
