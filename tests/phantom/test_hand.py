from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from denseseg.anatomy import HAND, WRIST, wrist_spacing
from denseseg.cases.folder import read_cases, write_cases
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError
from denseseg.geometry.frame import inside_image, scale_points
from denseseg.phantom import HandPhantom, hand_phantom
from denseseg.phantom.hand.shapes import CARPAL_ENDS, FINGERS, MARKS
from denseseg.phantom.wrist.shapes import CARPALS, phalanx_outlines, wrist_outlines

FULL, COURSE, SMOKE = (320, 240), (112, 80), (72, 56)
SEEDS = st.integers(0, 2**31)
TIPS, WRIST_POINTS = [20, 24, 28, 32, 36], range(6)


@pytest.fixture(scope="module")
def children() -> list[HandPhantom]:
    """A hundred phantoms, drawn only where a test asks for an image."""
    return [HandPhantom(0, index, COURSE) for index in range(100)]


def number(label: str) -> int:
    return HAND.structures[0].labels.index(label)


# ---- the landmarks --------------------------------------------------------------------------------------------------


def test_there_are_37_named_landmarks_on_the_bones_that_their_names_say():
    assert len(MARKS) == HAND.n_landmarks == len(HAND.structures[0].labels) == 37
    bones = [bone for bone, _ in MARKS]
    for label, bone in (
        ("ulnar styloid process", "epiphysis of ulna"),
        ("radial styloid process", "epiphysis of radius"),
        ("proximal end of the hamate", "hamate"),
        ("base of metacarpal 5", "metacarpal 5"),
        ("base of proximal phalanx 1", "phalanx 1.1"),
        ("base of distal phalanx 1", "phalanx 1.2"),
        ("base of middle phalanx 3", "phalanx 3.2"),
        ("tip of finger 5", "phalanx 5.3"),
    ):
        assert bones[number(label)] == bone
    assert number("ulnar styloid process") == 1 and number("radial styloid process") == 5  # as in the atlas: the wrist's width
    assert [number(f"tip of finger {n}") for n in range(1, 6)] == TIPS


def test_landmarks_lie_on_the_outlines_of_their_bones():
    outlines = dict(zip(WRIST.names, wrist_outlines(), strict=True))
    for f, finger in enumerate(phalanx_outlines(FINGERS)):
        outlines |= {f"phalanx {f + 1}.{n + 1}": outline for n, outline in enumerate(finger)}
    for (bone, place), label in zip(MARKS, HAND.structures[0].labels, strict=True):
        assert np.linalg.norm(outlines[bone].dense - place, axis=1).min() < 0.7, label  # mm


def test_the_proximal_ends_of_carpals_are_their_lowest_points():
    for bone, (_, y) in CARPAL_ENDS.items():
        outline = wrist_outlines()[WRIST.index(bone)].dense
        assert outline[:, 1].max() - 50 - y < 1.5, bone
        assert CARPAL_ENDS[bone] in CARPALS[bone]


def test_the_hand_is_a_left_one_with_the_fingers_up(children):
    for phantom in children:
        points = phantom.landmarks
        assert (np.diff(points[TIPS, 0]) < 0).all()  # from the thumb, on the right, to the little finger
        assert points[WRIST_POINTS, 1].min() > points[18:, 1].max()
        for finger in (range(21, 25), range(25, 29), range(29, 33), range(33, 37)):
            assert (np.diff(points[finger, 1]) < 0).all()


# ---- maps -----------------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_material_and_place_are_inverse(seed, index):
    phantom = HandPhantom(seed, index, FULL)
    points = np.random.default_rng(seed).uniform(-30, 350, (20, 2))
    for i in range(37):
        np.testing.assert_allclose(phantom.place(i, phantom.material(i, points)), points, atol=1e-8)
        np.testing.assert_allclose(phantom.material(i, phantom.landmarks[i]), phantom.canonical[i], atol=1e-8)


def test_the_bones_of_a_finger_stay_in_line_at_their_joints(children):
    """A phalanx turns about its own foot, so that the head of the one before it keeps its distance."""
    for phantom in children[:20]:
        for finger, tubes in zip(phantom.maps.phalanges, FINGERS, strict=True):
            for one, other, tube, following in zip(finger, finger[1:], tubes, tubes[1:], strict=False):
                head, foot = (tube.in_hand(np.array([0.0, -tube.length])), np.array(following.root))
                gap = np.linalg.norm(np.subtract(one.forward(*head), other.forward(*foot)))
                assert gap == pytest.approx(1.6, rel=0.12)


def test_fingers_bend_each_on_its_own(children):
    def angles(phantom: HandPhantom, finger: int) -> np.ndarray:
        bones = np.diff(phantom.landmarks[TIPS[finger] - 3 : TIPS[finger] + 1], axis=0)
        return np.rad2deg(np.diff(np.unwrap(np.arctan2(*bones.T))))

    bends = np.stack([[angles(phantom, finger) for finger in range(1, 5)] for phantom in children])  # (100, 4, 2)
    assert 1.5 < bends.std(0).mean() < 5
    apart = np.corrcoef(bends.reshape(len(bends), -1), rowvar=False) - np.eye(8)
    assert np.abs(apart).max() < 0.45


# ---- the view -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 48), SMOKE, COURSE, FULL])
def test_the_whole_hand_is_in_view_and_fills_it(size):
    for index in range(60):
        points = HandPhantom(3, index, size).landmarks
        assert inside_image(points, size).all()
        share = np.ptp(points, axis=0) / (size[1], size[0])
        assert share.max() > 0.7 and share.min() > 0.4
        assert inside_image(points[TIPS] - [0, 0.02 * size[0]], size).all()  # the soft tissue of the tips, too


def test_radius_and_ulna_go_on_beyond_the_lower_border(children):
    for phantom in children:
        for bone in ("radius", "ulna"):
            i = WRIST.index(bone)
            _, y = phantom.maps.bones.structures[i].forward(*wrist_outlines()[i].dense.T)
            assert y.max() > 50 + 1.5 * 50 + 5  # the tallest image that is allowed ends there


def test_the_wrist_is_50_mm_wide(children):
    for phantom in children[:3]:
        assert np.linalg.norm(phantom.landmarks[1] - phantom.landmarks[5]) * phantom.case.spacing == pytest.approx(50)
    true = [np.linalg.norm(p.landmarks[1] - p.landmarks[5]) * p.mm_per_pixel for p in children]
    assert 25 < min(true) < 40 < max(true) < 60  # children's wrists are not all of one width: what the rule of the atlas ignores
    assert np.corrcoef(true, [p.bone_age_months for p in children])[0, 1] > 0.8


def test_the_spacing_of_a_missing_styloid_is_unknown():
    points = np.zeros((37, 2))
    assert wrist_spacing(points) == np.inf
    points[5] = 30, 40
    assert wrist_spacing(points) == 1
    points[1] = np.nan
    assert np.isnan(wrist_spacing(points))


# ---- images and data sets -------------------------------------------------------------------------------------------


def test_every_marked_bone_is_seen_at_every_age(children):
    for phantom in children:
        shown = {name for name, there in zip(WRIST.names, phantom.child.present, strict=True) if there}
        assert shown >= {bone for bone, _ in MARKS if not bone.startswith("phalanx")}
    ages = np.array([phantom.age_months for phantom in children]) / 12
    assert 4 < ages.min() < 8 and ages.max() > 15


def test_bones_are_drawn_where_their_landmarks_say():
    """Within the phalanges, as the landmarks place them, the film is brighter than beside them."""
    for index in range(4):
        phantom = HandPhantom(1, index, FULL)
        image = phantom.case.image
        for finger, outlines in zip(phantom.maps.phalanges, phalanx_outlines(FINGERS), strict=True):
            for chain, outline in zip(finger, outlines, strict=True):
                middle = outline.dense.mean(0)
                inner, outer = (
                    np.stack(chain.then(phantom.maps.bones.hand).forward(*(middle + f * (outline.dense - middle)).T), 1)
                    for f in (0.6, 1.6)
                )
                inside, around = (polygon2mask(FULL, phantom._to_pixels(*points.T)[:, ::-1]) for points in (inner, outer))
                assert image[inside].mean() > image[around & ~inside].mean() + 0.05


def test_the_same_number_gives_the_same_phantom_and_another_another():
    one, again, other, elsewhere = (HandPhantom(seed, i, SMOKE).case for seed, i in ((5, 2), (5, 2), (5, 3), (6, 2)))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.landmarks, again.landmarks)
    assert one.metadata == again.metadata
    for case in (other, elsewhere):
        assert np.abs(case.landmarks - one.landmarks).max() > 1
        assert np.abs(case.image - one.image).mean() > 0.01


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_anatomy_does_not_depend_on_the_size(index):
    small, large = HandPhantom(0, index, (112, 84)), HandPhantom(0, index, (224, 168))
    np.testing.assert_allclose(large.landmarks, scale_points(small.landmarks, (112, 84), (224, 168)), atol=1e-9)
    assert small.case.spacing == pytest.approx(2 * large.case.spacing)
    averaged = large.case.image.reshape(112, 2, 84, 2).mean((1, 3))
    assert np.corrcoef(averaged.ravel(), small.case.image.ravel())[0, 1] > 0.98


def test_a_data_set_has_three_folds_and_grows_without_changing(tmp_path):
    few, many = hand_phantom(3, SMOKE, seed=3), hand_phantom(12, SMOKE, seed=3)
    assert many.name == "hand phantom" and many[7].id == "hand0007"
    assert [case.metadata["fold"] for case in many] == 4 * [0, 1, 2]
    assert {case.metadata["fold"] for case in many.split("paper").test} == {0}
    assert all(case.metadata["stratum"].endswith("years") for case in many)
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a.image, b.image)
    assert read_cases(write_cases(tmp_path / "hand", many)).fingerprint() == many.fingerprint()


def test_the_hull_of_the_landmarks_is_a_region_for_dense_maps():
    case = HandPhantom(0, 0, COURSE).case
    mask = true_masks(case)[0]
    rows, columns = np.round(case.landmarks[:, ::-1]).astype(int).T
    assert mask[rows, columns].all() and 0.2 < mask.mean() < 0.9


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (96, 96), (48, 64), (136, 80)])
def test_a_small_or_square_image_is_refused(size):
    with pytest.raises(DataError, match=rf"{size[0]}, {size[1]}.*give (about|at least)"):
        HandPhantom(0, 0, size)
