from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import self_intersects
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.stats import truncnorm
from skimage.draw import polygon2mask

from denseseg.anatomy import WRIST
from denseseg.cases.folder import read_cases, write_cases
from denseseg.errors import DataError
from denseseg.geometry.frame import scale_points
from denseseg.phantom import WristPhantom, wrist_phantom
from denseseg.phantom.warps import Circle, Polar, Stretch
from denseseg.phantom.wrist import growth as growth
from denseseg.phantom.wrist.population import Child, Maps
from denseseg.phantom.wrist.shapes import METACARPALS, wrist_outlines

FULL, COURSE, SMOKE = (384, 224), (192, 112), (96, 56)
SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def children() -> list[WristPhantom]:
    """Two hundred phantoms of two populations, drawn only where a test asks for an image."""
    return [WristPhantom(seed, index, COURSE) for seed in (0, 11) for index in range(100)]


def outlines(phantom: WristPhantom) -> dict[str, np.ndarray]:
    """Landmarks of the structures that are present."""
    return {
        name: phantom.landmarks[where] for (name, where), here in zip(WRIST.slices.items(), phantom.present, strict=True) if here
    }


def mask(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return polygon2mask(size, polygon[:, ::-1])


def area(polygon: np.ndarray) -> float:
    """Positive where it runs clockwise on the screen."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return ((points >= -0.5) & (points <= np.array(size[::-1]) - 0.5)).all(axis=1)


def at_age(years: float, seed: int = 3) -> dict[str, np.ndarray]:
    """Every outline in mm of one child at a bone age: the same physiology and individual variation at every age."""
    child = replace(Child.random(np.random.default_rng(seed)), bone_age=years)
    maps = Maps.random(child, np.random.default_rng(seed + 1))
    mm = [
        np.stack(chain.forward(*o.landmarks.T), 1) / maps.zoom for chain, o in zip(maps.structures, wrist_outlines(), strict=True)
    ]
    return dict(zip(WRIST.names, mm, strict=True))


# ---- maps -----------------------------------------------------------------------------------------------------------


@given(SEEDS, st.floats(0.3, 3))
@settings(max_examples=20, deadline=None)
def test_polar_and_stretch_are_undone_by_their_inverse_and_do_not_fold(seed, factor):
    rng = np.random.default_rng(seed)
    points, h = rng.uniform(-30, 60, (2, 80)), 1e-5
    for warp in (Polar((10.0, 12.0), Circle(rng.normal(0, 0.5, 24))), Stretch(20.0, factor, 4.0)):
        np.testing.assert_allclose(warp.inverse(*warp.forward(*points)), points, atol=1e-11)
        np.testing.assert_allclose(warp.forward(*warp.inverse(*points)), points, atol=1e-11)
        (ax, ay), (bx, by) = (np.subtract(warp.forward(points[0] + e, points[1] + h - e), warp.forward(*points)) for e in (h, 0))
        assert (ax * by - ay * bx > 0).all()


def test_a_stretch_leaves_one_side_alone_and_scales_the_other():
    _, y = Stretch(0.0, 2.0, 1.0).forward(np.zeros(4), np.array([-200.0, -199.0, 199.0, 200.0]))
    np.testing.assert_allclose(np.diff(y)[[0, 2]], [1, 2], atol=1e-3)


def test_a_circle_is_continuous_and_known_at_its_angles():
    circle = Circle(np.array([1.0, 3.0, 5.0, 2.0]))
    np.testing.assert_allclose(circle(Circle.angles(4)), [1, 3, 5, 2])
    np.testing.assert_allclose(circle(np.array([np.pi, 0.75 * np.pi, -0.75 * np.pi])), [1, 1.5, 2])


@given(SEEDS, st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_material_and_place_are_inverse(seed, index):
    phantom = WristPhantom(seed, index, FULL)
    points = np.random.default_rng(seed).uniform(-30, 400, (50, 2))
    for i in range(len(WRIST)):  # also for bones that have not ossified
        np.testing.assert_allclose(phantom.place(i, phantom.material(i, points)), points, atol=1e-9)
        np.testing.assert_allclose(phantom.material(i, phantom.place(i, points)), points, atol=1e-9)


def test_landmarks_are_the_placed_canonical_ones_or_nan(children):
    for phantom in children[:40]:
        canonical = phantom.canonical
        for i, (where, present) in enumerate(zip(WRIST.slices.values(), phantom.present, strict=True)):
            placed = phantom.place(i, canonical[where])
            np.testing.assert_array_equal(phantom.landmarks[where], placed if present else np.full_like(placed, np.nan))


def test_the_maps_never_fold(children):
    right, down = np.array([1e-4, 0]), np.array([0, 1e-4])
    for phantom in children[:25]:
        for name, polygon in outlines(phantom).items():
            i = WRIST.index(name)
            points = np.argwhere(mask(polygon, COURSE))[:, ::-1] + 0.03  # not just the centre of a polar map
            dx, dy = ((phantom.material(i, points + e) - phantom.material(i, points - e)) / 2e-4 for e in (right, down))
            determinant = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
            assert determinant.min() > 0.04 * np.median(determinant) > 0, name


# ---- shapes ---------------------------------------------------------------------------------------------------------


def test_canonical_landmarks_run_clockwise_and_are_evenly_spaced():
    for structure, outline in zip(WRIST.structures, wrist_outlines(), strict=True):
        assert outline.landmarks.shape == (structure.count, 2)
        gaps = np.linalg.norm(outline.landmarks - np.roll(outline.landmarks, -1, axis=0), axis=1)
        assert gaps.max() < 1.5 * gaps.min(), structure.name  # equal along the curve, so shorter across a corner
        assert area(outline.landmarks) > 0, structure.name


def test_the_canonical_hand_is_a_left_one_with_the_fingers_up():
    centre = {name: outline.landmarks.mean(0) for name, outline in zip(WRIST.names, wrist_outlines(), strict=True)}
    row = [centre[name][0] for name in ("triquetrum", "lunate", "scaphoid")]
    assert row == sorted(row)
    distal = [centre[name][0] for name in ("hamate", "capitate", "trapezoid", "trapezium")]
    assert distal == sorted(distal)
    assert [n for n, _ in sorted(centre.items(), key=lambda c: -c[1][0]) if n.startswith("metac")] == [
        f"metacarpal {n}" for n in range(1, 6)
    ]  # the thumb is on the right
    assert centre["ulna"][0] < centre["radius"][0]
    column = [centre[name][1] for name in ("metacarpal 3", "capitate", "lunate", "epiphysis of radius", "radius")]
    assert column == sorted(column)
    for number, tube in enumerate(METACARPALS, 1):  # the tip of the head comes first
        level = tube.upright(wrist_outlines()[WRIST.index(f"metacarpal {number}")].landmarks)[:, 1]
        assert level[0] == pytest.approx(-tube.length) and level.min() > -tube.length - 0.3


def test_outlines_are_simple_polygons_with_something_in_the_image(children):
    for phantom in children:
        for name, polygon in outlines(phantom).items():
            assert area(polygon) > 4, name
            assert not self_intersects(polygon), (name, phantom.index)
            assert mask(polygon, COURSE).sum() >= 4, (name, phantom.index)


def test_shafts_go_on_beyond_the_lower_border_and_nothing_lies_far_outside(children):
    scale = 384 / COURSE[0]
    for phantom in children:
        below = [scale * (outlines(phantom)[name][:, 1].max() - COURSE[0] + 0.5) for name in ("radius", "ulna")]
        assert min(below) > 3 and max(below) < 33, below
        assert inside(outlines(phantom)["radius"], COURSE).mean() > 0.6
        assert (np.nan_to_num(phantom.landmarks) > -0.5 * COURSE[0]).all()
    cut = [not inside(outlines(phantom)[f"metacarpal {n}"], COURSE).all() for phantom in children for n in range(1, 6)]
    assert 0.03 < np.mean(cut) < 0.4
    assert all(inside(outlines(phantom)[f"metacarpal {n}"], COURSE).any() for phantom in children for n in range(1, 6))


def test_overlaps_are_those_of_a_hand():
    bones = {name: mask(outline.landmarks * 4, (480, 480)) for name, outline in zip(WRIST.names, wrist_outlines(), strict=True)}
    assert (bones["pisiform"] & bones["triquetrum"]).sum() > 0.6 * bones["pisiform"].sum()
    for one, other in (("trapezium", "trapezoid"), ("trapezoid", "metacarpal 2"), ("metacarpal 4", "metacarpal 5")):
        assert 0 < (bones[one] & bones[other]).sum() < 0.35 * bones[one].sum(), (one, other)
    for one, other in (("scaphoid", "lunate"), ("capitate", "lunate"), ("capitate", "hamate"), ("radius", "ulna")):
        assert not (bones[one] & bones[other]).any(), (one, other)


# ---- growth ---------------------------------------------------------------------------------------------------------


def test_a_bone_is_there_once_it_has_ossified(children):
    for phantom in children:
        for name, onset, present in zip(WRIST.names, phantom.child.onsets, phantom.present, strict=True):
            assert present == (phantom.child.bone_age > onset or name in growth.FIRST_YEAR), name
        shown = set(outlines(phantom))
        assert {"capitate", "hamate", "epiphysis of radius", "radius", "ulna", "metacarpal 1", "metacarpal 5"} <= shown
        if "pisiform" in shown:
            assert {"triquetrum", "lunate", "scaphoid", "trapezium"} <= shown
    old, young = children_between(children, 15, 19), children_between(children, 1, 2.2)
    assert all(all(phantom.present) for phantom in old) and len(old) > 5
    assert all(sum(phantom.present) <= 11 for phantom in young) and len(young) > 0
    assert len({phantom.present for phantom in children_between(children, 4, 7)}) > 3  # from child to child


def children_between(children: list[WristPhantom], low: float, high: float) -> list[WristPhantom]:
    return [phantom for phantom in children if low < phantom.bone_age_months / 12 < high]


def test_the_means_of_the_onset_are_in_the_order_of_the_textbooks():
    order = sorted(growth.ONSET, key=lambda name: growth.ONSET[name])
    assert order == ["capitate", "hamate", "epiphysis of radius", "triquetrum", "lunate", "scaphoid", "trapezium",
                     "epiphysis of ulna", "trapezoid", "pisiform"]  # fmt: skip
    drawn = np.array([growth.onsets(np.random.default_rng(i)) for i in range(2000)])
    for name, mean in growth.ONSET.items():
        assert drawn[:, WRIST.index(name)].mean() == pytest.approx(mean, rel=0.02)
        assert drawn[:, WRIST.index(name)].std() == pytest.approx(growth.ONSET_SD * mean, rel=0.06)


def test_bones_grow_with_bone_age():
    ages = (2, 4, 6, 8, 10, 12, 14, 16)
    hands = [at_age(age) for age in ages]
    for name in WRIST.names:
        sizes = [area(hand[name]) for hand in hands]
        if name not in ("radius", "ulna"):  # their labelled length is that which the image shows
            assert (np.diff(sizes) > -1e-3).all(), (name, sizes)
        assert sizes[-1] > 1.5 * sizes[0]
    early, late = area(at_age(5.2)["scaphoid"]), area(hands[-1]["scaphoid"])
    assert 0.3 < np.sqrt(early / late) < 0.5  # a small disc when it appears


def test_epiphyses_become_caps_and_the_growth_plate_closes():
    def plate(hand, name):
        epiphysis, shaft = hand[f"epiphysis of {name}"], hand[name]
        width = np.ptp(epiphysis[:, 0]) / np.ptp(shaft[shaft[:, 1] < shaft[:, 1].min() + 8, 0])
        return width, np.min(np.linalg.norm(epiphysis[:, None] - shaft, axis=2))

    (narrow, wide), (cap, closed) = plate(at_age(2.5), "radius"), plate(at_age(16.5), "radius")
    assert narrow < 0.65 and 0.9 < cap < 1.15
    assert wide > 1.5 and closed < 0.3
    assert growth.plate_gap(2) > 2.5 and growth.plate_gap(16) == 0


def test_age_shows_in_the_size_and_in_pixels_too(children):
    age = np.array([phantom.bone_age_months for phantom in children])
    length = np.array([np.ptp(phantom.landmarks[WRIST.slices["metacarpal 3"]][:, 1]) for phantom in children])
    mm = length * [phantom.mm_per_pixel for phantom in children]
    assert np.corrcoef(age, mm)[0, 1] > 0.95
    assert np.corrcoef(age, length)[0, 1] > 0.5
    assert 28 < mm[age < 40].mean() < 40 and 55 < mm[age > 190].mean() < 70


def test_everything_depends_on_the_bone_age_not_on_the_age():
    child = Child.random(np.random.default_rng(4))
    older = replace(child, age=child.age + 1)
    for a, b in zip(*(Maps.random(c, np.random.default_rng(1)).structures for c in (child, older)), strict=True):
        np.testing.assert_array_equal(a.forward(np.array([40.0]), np.array([50.0])), b.forward(np.array([40.0]), np.array([50.0])))


def test_the_irreducible_error_is_that_of_the_posterior_median():
    children = [Child.random(np.random.default_rng([9, i])) for i in range(1500)]
    age, bone = (12 * np.array([getattr(child, name) for child in children]) for name in ("age", "bone_age"))
    assert age.min() >= 24 and age.max() <= 204
    assert np.std(bone - age) == pytest.approx(9, rel=0.08) and np.abs(bone - age).max() <= 22.5 + 1e-9
    rng = np.random.default_rng(0)
    age = rng.uniform(24, 204, 200_000)
    bone = age + 9 * truncnorm.ppf(rng.random(len(age)), -2.5, 2.5)
    low, high = np.maximum(24 - bone, -22.5) / 9, np.minimum(204 - bone, 22.5) / 9
    best = np.abs(age - bone - 9 * truncnorm.ppf(0.5, low, high)).mean()
    assert growth.irreducible_error() == pytest.approx(best, abs=0.05)
    assert growth.irreducible_error() < np.abs(age - bone).mean()  # it knows the range of ages, too


# ---- images and data sets -------------------------------------------------------------------------------------------


def test_bones_are_brighter_than_the_soft_tissue_around_them(children):
    for phantom in children[::10]:
        image, masks = phantom.case.image, {name: mask(polygon, COURSE) for name, polygon in outlines(phantom).items()}
        assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1
        bone = np.any(list(masks.values()), axis=0)
        for name, here in masks.items():
            around = binary_dilation(here, iterations=4) & ~binary_dilation(bone, iterations=1)
            core = binary_erosion(here) if here.sum() > 40 else here
            if around.sum() >= 5 and core.any():  # the pisiform lies within another bone
                assert image[core].mean() > image[around].mean() + 0.06, (name, phantom.index)
        pisiform, below = masks.get("pisiform"), masks.get("triquetrum")
        if pisiform is not None and (pisiform & below).sum() > 8:
            assert image[pisiform & below].mean() > image[below & ~pisiform].mean() + 0.05  # shadows add up


def test_the_same_number_gives_the_same_phantom_and_another_another():
    one, again, other, elsewhere = (WristPhantom(seed, i, SMOKE).case for seed, i in ((5, 2), (5, 2), (5, 3), (6, 2)))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.landmarks, again.landmarks)
    assert one.metadata == again.metadata
    for case in (other, elsewhere):
        assert np.nanmax(np.abs(case.landmarks - one.landmarks)) > 1
        assert np.abs(case.image - one.image).mean() > 0.01


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_anatomy_does_not_depend_on_the_size(index):
    small, large = WristPhantom(0, index, COURSE), WristPhantom(0, index, FULL)
    np.testing.assert_allclose(large.landmarks, scale_points(small.landmarks, COURSE, FULL), atol=1e-9)
    assert small.mm_per_pixel == pytest.approx(2 * large.mm_per_pixel)
    drop = "mm_per_pixel"
    assert {**small.case.metadata, drop: 0} == {**large.case.metadata, drop: 0}
    averaged = large.case.image.reshape(192, 2, 112, 2).mean((1, 3))
    assert np.corrcoef(averaged.ravel(), small.case.image.ravel())[0, 1] > 0.98


def test_phantoms_are_those_that_records_speak_of():
    """Records name the wrist phantom's cases by their data hash, and the hand phantom borrows its bones: no change here."""
    phantom = WristPhantom(0, 0, SMOKE)
    known = [[35.3216879102, 53.3729394828], [2.468357893, 27.1175988274], [15.011037389, 74.6237194642]]
    np.testing.assert_allclose(phantom.landmarks[[0, 500, 700]], known, atol=1e-9)
    grey = phantom.case.image.astype(float)
    assert (grey.mean(), grey.std()) == pytest.approx((0.25056800091, 0.2118751142), abs=1e-7)


def test_a_data_set_is_split_60_to_40_and_grows_without_changing(tmp_path):
    few, many = wrist_phantom(5, SMOKE, seed=3), wrist_phantom(20, SMOKE, seed=3)
    assert many.name == "wrist phantom" and many[7].id == "wrist0007" and many[7].spacing is None
    assert [case.metadata["split"] for case in many].count("train") == 12
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a.image, b.image)
    bands = [case.metadata["stratum"] for case in many]
    assert all(
        int(band.split()[0]) <= c.metadata["age_months"] / 12 <= int(band.split()[2]) + 1
        for band, c in zip(bands, many, strict=True)
    )
    expected = {"age_months", "bone_age_months", "laterality", "mm_per_pixel", "patient", "tempo", "stature", "deviation"}
    assert expected <= set(many[0].metadata)
    assert {case.metadata["laterality"] for case in many} == {"L", "R"}
    assert many.split("stratified", train=0.6, validation=0.2).test
    assert read_cases(write_cases(tmp_path / "wrist", many)).fingerprint() == many.fingerprint()


@pytest.mark.parametrize("size", [(95, 56), (96, 55), (192, 192), (112, 192)])
def test_a_small_or_square_image_is_refused(size):
    with pytest.raises(DataError, match=rf"{size[0]}, {size[1]}.*give (about|at least)"):
        WristPhantom(0, 0, size)


def test_a_child_at_its_own_age_is_itself_and_stays_as_late_at_another():
    own = WristPhantom(0, 4, SMOKE)
    again, older = (WristPhantom(0, 4, SMOKE, age) for age in (own.child.age, own.child.age + 1))
    assert np.array_equal(again.case.image, own.case.image)
    assert np.array_equal(again.landmarks, own.landmarks, equal_nan=True)
    assert older.age_months - own.age_months == pytest.approx(12, abs=0.11)
    assert older.bone_age_months - own.bone_age_months == pytest.approx(12, abs=0.11)
    assert older.physiology == own.physiology and older.child.onsets == own.child.onsets


@pytest.mark.parametrize("age", [1.9, -3.0, float("nan")])
def test_a_hand_younger_than_two_is_refused(age):
    with pytest.raises(DataError, match="children from 2 years on"):
        WristPhantom(0, 0, (96, 56), age=age)


def test_phantoms_are_counted_from_0():
    with pytest.raises(DataError, match="seed = -1, index = 0: phantoms are counted from 0"):
        WristPhantom(-1, 0)
