"""The masks of a case, from whatever it has; class weights; fewer landmarks with the same masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from skimage.draw import polygon2mask

from denseseg.anatomy import CHEST, Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases, write_cases
from denseseg.cases.masks import polygon_masks, positive_weights, reduce_landmarks, true_masks, true_outlines
from denseseg.geometry.template import Template
from denseseg.phantom import chest_phantom

MIXED = Anatomy(
    "mixed",
    (
        Structure("box", 4, "a"),
        Structure("line", 4, "a", Kind.CURVE),
        Structure("dots", 4, "b", Kind.POINTS),
        Structure("cloud", 5, "b", Kind.POINTS, region="hull"),
    ),
)
BOX = np.array([[4.2, 3.2], [14.2, 3.2], [14.2, 9.2], [4.2, 9.2]])  # 10 x 6 pixel centres
CLOUD = np.array([[20.5, 20.5], [24, 24], [28.5, 20.5], [20.5, 28.5], [28.5, 28.5]])  # the second is inside
SIZE = (32, 40)


def mixed(**changes: Any) -> Case:
    landmarks = np.concatenate([BOX, BOX + 20, BOX + 10, CLOUD])
    return Case(**({"id": "a", "image": np.zeros(SIZE), "landmarks": landmarks, "anatomy": MIXED} | changes))


def area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def test_structures_that_cover_no_region_have_no_mask():
    masks, outlines = true_masks(mixed()), true_outlines(mixed())
    assert masks.shape == (4, *SIZE) and masks.dtype == bool
    assert masks[:3].sum((1, 2)).tolist() == [60, 0, 0] and 64 <= masks[3].sum() <= 100  # a margin of up to a tenth
    assert [len(outline) for outline in outlines] == [1, 0, 0, 1]
    assert area(outlines[0][0]) == pytest.approx(60) and area(outlines[3][0]) == pytest.approx(masks[3].sum(), rel=0.1)
    np.testing.assert_array_equal(masks[0], polygon2mask(SIZE, BOX[:, ::-1]))
    assert masks[3, 21:29, 21:29].all()  # from corner to corner, also where no point is


def test_a_cases_own_masks_win_over_its_landmarks():
    own = np.zeros((4, *SIZE), bool)
    own[1, 2:6, 3:9] = True
    case = mixed(masks=own)
    assert true_masks(case) is case.masks
    outlines = true_outlines(case)
    assert [len(outline) for outline in outlines] == [0, 1, 0, 0]
    assert area(outlines[1][0]) == pytest.approx(24 - 0.5)  # the outline cuts each corner of the pixels
    np.testing.assert_array_equal(polygon_masks(case.landmarks, case), true_masks(mixed()))


def test_missing_landmarks_are_skipped_and_absent_structures_have_no_mask():
    landmarks = mixed().landmarks.copy()
    landmarks[[1, 13]] = np.nan
    case = mixed(landmarks=landmarks)
    assert true_masks(case)[0].sum() == pytest.approx(30, abs=6)  # half of the box
    assert (true_masks(case)[3] == true_masks(mixed())[3]).all()  # the one inside the hull
    landmarks[:2] = landmarks[12:] = np.nan
    assert true_masks(mixed(landmarks=landmarks)).sum() == 0
    assert true_outlines(mixed(landmarks=landmarks)) == [[], [], [], []]


def test_the_hull_of_points_on_one_line_is_empty():
    landmarks = mixed().landmarks.copy()
    landmarks[12:] = np.column_stack([np.arange(5.0), np.arange(5.0)])
    assert true_outlines(mixed(landmarks=landmarks))[3] == [] and true_masks(mixed(landmarks=landmarks))[3].sum() == 0


def test_class_weights_count_each_cases_own_masks_and_need_no_common_size():
    own = np.zeros((4, 20, 20), bool)
    own[0, :5] = True
    cases = [mixed(), mixed(id="b", image=np.zeros((20, 20)), landmarks=mixed().landmarks / 2, masks=own)]
    pixels, hull = 32 * 40 + 400, true_masks(mixed())[3].sum()
    expected = [(pixels - 160) / 160, pixels, pixels, (pixels - hull) / hull]
    np.testing.assert_allclose(positive_weights(cases), expected)


def test_class_weights_of_one_size_are_those_of_all_masks_at_once():
    cases = chest_phantom(4, (64, 64))
    share = np.stack([true_masks(case) for case in cases]).mean((0, 2, 3))
    np.testing.assert_allclose(positive_weights(cases), (1 - share) / share)


# ---- fewer landmarks ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    return chest_phantom(6, (64, 64))


@pytest.fixture(scope="module")
def few(cases: CaseSet) -> CaseSet:
    return reduce_landmarks(cases, 25, Template.from_landmarks(cases.landmarks, CHEST, (64, 64)).points)


def test_landmarks_keep_their_order_and_images_and_masks_stay(cases: CaseSet, few: CaseSet) -> None:
    for old, new in zip(cases, few, strict=True):
        assert new.image is old.image and new.anatomy == few.anatomy and new.metadata == old.metadata
        for name in CHEST.names:
            place = [int(np.flatnonzero((old.points(name) == p).all(1))[0]) for p in new.points(name)]
            assert place == sorted(place) and len(place) == new.points(name).shape[0]
        assert new.masks is not None and (new.masks == true_masks(old)).all() and new.masks.any((1, 2)).all()
        own = reduce_landmarks(CaseSet("s", CHEST, [replace(old, masks=~new.masks)]), 25, old.landmarks)
        assert (own[0].masks == ~new.masks).all()


def test_a_reduced_set_is_written_and_read_like_any_other(few: CaseSet, tmp_path) -> None:
    again = read_cases(write_cases(tmp_path / "set", few))
    assert again.anatomy == few.anatomy and again.fingerprint() == few.fingerprint()
