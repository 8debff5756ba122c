"""Chest phantoms made for transfer: every switch changes something, and nothing that is known about them is lost."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import self_intersects
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from denseseg.anatomy import CHEST
from denseseg.phantom import ChestPhantom, chest_phantom
from denseseg.phantom.chest.annotated import annotated_outlines
from denseseg.phantom.chest.randomisation import NO_RANDOMISATION, TRANSFER, Randomisation
from denseseg.phantom.looks import NO_LOOKS, WIDE_LOOKS
from denseseg.phantom.warps import Coupling, Table

SMALL = (64, 64)
SEEDS = st.integers(0, 2**31)
ANATOMY = {
    "annotated": True, "population": 1.0, "lungs": 1.0, "heart": 1.0, "diaphragm": 1.0, "clavicles": 1.0, "shoulders": 1.0,
    "size": 0.1, "rotation": 10.0, "shift": 5.0, "turn": 3.0, "tilt": 3.0, "child": 1.0, "framed": 1.0,
}  # fmt: skip
TISSUES = {
    "girth": 1.0, "neck": 1.0, "breasts": 2.0, "tissues": 0.3, "ribs": 1.0, "hidden": 1.0,
    "consolidation": 1.0, "effusion": 1.0, "nodules": 1.0,
}  # fmt: skip

DEFAULT = {  # seed and number -> mean, standard deviation and one pixel of the image; mean landmark
    (0, 0): (0.50227, 0.29976, 0.20105, (32.9398, 25.7099)),
    (5, 2): (0.68688, 0.27114, 0.49226, (33.4242, 21.5148)),
    (3, 12): (0.50388, 0.30267, 0.24571, (32.9132, 25.2079)),
}


def randomised(seed: int, index: int = 0, size: tuple[int, int] = SMALL) -> ChestPhantom:
    return ChestPhantom(seed, index, size, TRANSFER, WIDE_LOOKS)


def area(points: np.ndarray) -> float:
    """Signed area of a closed polygon (n, 2)."""
    after = np.roll(points, -1, axis=0)
    return float((points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1]).sum() / 2)


def polygons(phantom: ChestPhantom) -> np.ndarray:
    return np.stack([polygon2mask(phantom.size, phantom.landmarks[where][:, ::-1]) for where in CHEST.slices.values()])


# ---- the default phantom -----------------------------------------------------------------------------------------------


def test_the_default_phantom_is_what_it_was():
    """Books and records rest on it. The numbers were read before there was any randomisation."""
    for (seed, index), (mean, spread, pixel, place) in DEFAULT.items():
        phantom = ChestPhantom(seed, index, SMALL)
        image = phantom.case.image
        np.testing.assert_allclose([image.mean(), image.std(), image[30, 20]], [mean, spread, pixel], atol=2e-5)
        np.testing.assert_allclose(phantom.landmarks.mean(0), place, atol=1e-4)


def test_with_everything_off_it_is_the_default_phantom_to_the_last_bit():
    for index in range(3):
        off, default = ChestPhantom(0, index, SMALL, NO_RANDOMISATION, NO_LOOKS), ChestPhantom(0, index, SMALL)
        np.testing.assert_array_equal(off.case.image, default.case.image)
        np.testing.assert_array_equal(off.landmarks, default.landmarks)


# ---- the same seed, the same phantom -------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_phantom_again_and_another_seed_another_one():
    one, again, other = randomised(4).case, randomised(4).case, randomised(5).case
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.landmarks, again.landmarks)
    assert np.abs(one.image - other.image).mean() > 0.02 and np.abs(one.landmarks - other.landmarks).max() > 1
    many = chest_phantom(2, SMALL, 4, TRANSFER, WIDE_LOOKS)
    np.testing.assert_array_equal(many[0].image, one.image)
    assert many.name == "randomised chest phantom" and many.info["kind"] == "phantom"


def test_the_anatomy_does_not_depend_on_the_size():
    small, large = randomised(1), randomised(1, size=(128, 128))
    np.testing.assert_allclose((large.landmarks + 0.5) / 2, small.landmarks + 0.5, atol=1e-9)


# ---- each switch -------------------------------------------------------------------------------------------------------


def test_every_switch_is_tried_here():
    assert {field.name for field in fields(Randomisation)} == {*ANATOMY, *TISSUES}
    assert all(getattr(TRANSFER, name) for name in (*ANATOMY, *TISSUES))


@pytest.mark.parametrize("name", ANATOMY)
def test_a_switch_of_the_anatomy_moves_landmarks(name):
    changed = [ChestPhantom(0, i, SMALL, Randomisation(**{name: ANATOMY[name]})) for i in (1, 6)]
    default = [ChestPhantom(0, i, SMALL) for i in (1, 6)]
    apart = [np.abs(a.landmarks - b.landmarks).max() for a, b in zip(changed, default, strict=True)]
    assert max(apart) > 0.3
    assert np.abs(changed[0].case.image - default[0].case.image).max() > 0.01


@pytest.mark.parametrize("name", TISSUES)
def test_a_switch_of_the_tissues_changes_the_picture_alone(name):
    changed, default = ChestPhantom(0, 8, SMALL, Randomisation(**{name: TISSUES[name]})), ChestPhantom(0, 8, SMALL)
    np.testing.assert_allclose(changed.landmarks, default.landmarks, atol=1e-9)
    assert np.abs(changed.case.image - default.case.image).max() > 0.01


def test_switching_one_off_leaves_the_others_as_they_are():
    both, one = Randomisation(heart=1.0, clavicles=1.0, size=0.1), Randomisation(clavicles=1.0, size=0.1)
    a, b = (ChestPhantom(0, 3, SMALL, chosen) for chosen in (both, one))
    for name, same in (("heart", False), ("right clavicle", True), ("left clavicle", True), ("right lung", True)):
        where = CHEST.slices[name]
        assert np.allclose(a.landmarks[where], b.landmarks[where]) == same, name


@pytest.mark.parametrize("bad", [{"heart": -1.0}, {"child": 1.5}, {"lugns": 1.0}, {"size": float("nan")}])
def test_a_value_out_of_bounds_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Randomisation(**bad)


# ---- truth --------------------------------------------------------------------------------------------------------------


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_outlines_stay_simple_and_keep_their_orientation(seed):
    phantom = randomised(seed)
    for outline, where in zip(phantom.outlines, CHEST.slices.values(), strict=True):
        placed = phantom.landmarks[where]
        assert not self_intersects(placed)
        assert area(placed) * area(outline.landmarks) > 0


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_correspondence_is_exact_and_never_folds(seed):
    phantom, h = randomised(seed, size=(96, 96)), 1e-4
    right, down = np.array([h, 0]), np.array([0, h])
    for i, (mask, where) in enumerate(zip(polygons(phantom), CHEST.slices.values(), strict=True)):
        inside = np.argwhere(mask)[:, ::-1].astype(float)
        if not len(inside):
            continue
        np.testing.assert_allclose(phantom.place(i, phantom.material(i, inside)), inside, atol=1e-6)
        np.testing.assert_allclose(phantom.material(i, phantom.landmarks[where]), phantom.canonical[where], atol=1e-6)
        dx = (phantom.material(i, inside + right) - phantom.material(i, inside - right)) / (2 * h)
        dy = (phantom.material(i, inside + down) - phantom.material(i, inside - down)) / (2 * h)
        assert (dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]).min() > 0.05


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_what_is_drawn_lies_where_the_landmarks_say(seed):
    """A pixel is in the polygon of the landmarks where the drawing, which asks the depth in the canonical shape, has it inside."""
    phantom = randomised(seed, size=(96, 96))
    for i, mask in enumerate(polygons(phantom)):
        pixels = np.argwhere(np.ones_like(mask))[:, ::-1].astype(float)
        canonical = (phantom.material(i, pixels) - 47.5) * phantom.pixel + 50
        drawn = phantom.outlines[i].depth(*canonical.T).reshape(mask.shape) > 0
        assert (drawn != mask).sum() <= 3 + 0.06 * mask.sum()  # chords between landmarks, and pixels cut by the border


def test_no_lung_sticks_out_of_the_skin():
    """Just beyond the chest wall there is tissue, however wide the lungs and narrow the trunk; outside the skin it is black."""
    chosen = Randomisation(annotated=True, lungs=2.5, girth=2.0)
    for index in range(4):
        phantom = ChestPhantom(2, index, (128, 128), chosen)
        for name, side in (("right lung", -1), ("left lung", 1)):
            beyond = phantom.landmarks[CHEST.slices[name]][6:16] + [2 * side, 0]
            x, y = np.rint(beyond).astype(int).T
            shown = (x >= 3) & (x < 125)
            assert (phantom.image[y[shown], x[shown]] > 0.3).all()


# ---- as people annotate ---------------------------------------------------------------------------------------------------


def test_annotated_outlines_are_numbered_as_in_the_files():
    right, left, heart, clavicle, mirrored = (outline.landmarks for outline in annotated_outlines())
    assert [len(part) for part in (right, left, heart, clavicle, mirrored)] == CHEST.counts
    for lung in (right, left):
        assert lung[:, 1].argmin() == 0 and lung[:, 1].argmax() == 21  # apex, costophrenic angle
    np.testing.assert_allclose(heart[0], right[29], atol=0.1)  # the corners at the diaphragm
    np.testing.assert_allclose(heart[18], left[27], atol=0.1)
    assert heart[5:13, 1].max() < heart[[4, 13], 1].min()  # the top
    assert clavicle[[0, 22], 0].max() < clavicle[2:21, 0].min() and clavicle[9:14, 0].min() > clavicle[:9, 0].max()
    np.testing.assert_allclose(mirrored, clavicle * [-1, 1] + [100, 0])


def test_annotated_landmarks_are_evenly_spaced_in_pixels_of_the_contour():
    """Between marks each step is as many columns or rows, whichever is more; a step aslant is so a longer one."""
    stops = ((0, 21, 29, 44), (0, 21, 27, 40, 44, 50), (0, 5, 12, 18, 26), (2, 9), (13, 20))
    for outline, marks in zip((*annotated_outlines()[:4], annotated_outlines()[3]), stops, strict=True):
        steps = np.abs(np.roll(outline.landmarks, -1, axis=0) - outline.landmarks).max(1)
        for start, stop in pairwise(marks):
            assert np.ptp(steps[start:stop]) < 0.15 * steps[start:stop].mean(), (start, stop)


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_annotated_lungs_lie_against_the_heart(first):
    """Fixed seeds, since it is not so in all drawings: of the seeds below 6000 six leave a gap of 1 to 2 pixels beside the heart's
    lower left end, where a border that turns back on itself has two places at one level."""
    chosen = Randomisation(annotated=True, heart=1.0, lungs=1.0, diaphragm=1.0, turn=3.0)
    for seed in range(first, first + 50):
        phantom = ChestPhantom(seed, 0, (96, 96), chosen)
        right, left, heart, *_ = polygons(phantom)
        assert (heart & (right | left)).sum() <= 0.03 * heart.sum()
        points = {name: phantom.landmarks[where] for name, where in CHEST.slices.items()}
        placed = {side: phantom.place(*dense(phantom, f"{side} lung")) for side in ("right", "left")}
        for side, part in (("right", slice(1, 5)), ("left", slice(13, 18))):
            gaps = np.linalg.norm(points["heart"][part, None] - placed[side], axis=2).min(1)
            assert gaps.max() < 1  # pixel, of 3.7 mm
        assert np.linalg.norm(points["heart"][0] - points["right lung"][29]) < 1
        assert np.linalg.norm(points["heart"][18] - points["left lung"][27]) < 1


def test_annotated_clavicles_end_at_the_rib_cage():
    """The middle of the lateral end lies 2 to 5 hundredths of the field beyond the lung, whatever the bone's own length."""
    gaps = []
    for index in range(12):
        phantom = ChestPhantom(0, index, (100, 100), Randomisation(annotated=True, clavicles=2.0))
        for side in ("right", "left"):
            end = phantom.landmarks[CHEST.slices[f"{side} clavicle"]][[0, 22]].mean(0)
            gaps.append(np.linalg.norm(phantom.place(*dense(phantom, f"{side} lung")) - end, axis=1).min())
    assert 1.5 < np.mean(gaps) < 4


def dense(phantom: ChestPhantom, name: str) -> tuple[int, np.ndarray]:
    """What `ChestPhantom.place` needs to put a structure's dense outline in place."""
    i = CHEST.names.index(name)
    return i, (phantom.outlines[i].dense - 50) / phantom.pixel + (np.array(phantom.size[::-1]) - 1) / 2


def test_framed_patients_have_their_lungs_in_the_picture():
    far = replace(TRANSFER, size=0.3, shift=20.0, rotation=0.0, framed=1.0)
    for index in range(5):
        lungs = ChestPhantom(0, index, SMALL, far).landmarks[: CHEST.slices["left lung"].stop]
        assert lungs.min() > -0.5 and lungs.max() < 63.5


def test_a_table_is_a_function_of_one_coordinate_that_can_be_undone():
    warp = Coupling(0, Table(np.arange(5.0), np.array([0.0, 0.4, -0.3, 0.2, 0.0])), pivot=2.0)
    points = np.random.default_rng(0).uniform(-2, 8, (2, 40))
    np.testing.assert_allclose(warp.inverse(*warp.forward(*points)), points, atol=1e-12)
