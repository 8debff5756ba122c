"""Landmarks for cases that have masks only: on the outlines, absent where there is no mask, refused where a mask is in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases, write_cases
from denseseg.cases.from_masks import landmarks_from_masks, mask_outline
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError
from denseseg.evaluation.correspondence import consistent_places
from denseseg.evaluation.metrics import landmark_errors
from denseseg.geometry.contour import distance_to_outline, resample
from denseseg.phantom import ChestPhantom, WristPhantom

PAIR = Anatomy("pair", (Structure("box", 12, "a"), Structure("bar", 8, "b")))
NOTHING = np.full((20, 2), np.nan)


def masks_only(case: Case) -> Case:
    return replace(case, landmarks=case.landmarks * np.nan, masks=true_masks(case))


def boxes(**changes) -> Case:
    masks = np.zeros((2, 40, 30), bool)
    masks[0, 5:20, 8:20] = True
    masks[1, 25:30, 3:27] = True
    return Case(**({"id": "a", "image": np.zeros((40, 30)), "landmarks": NOTHING, "anatomy": PAIR, "masks": masks} | changes))


def with_mask(index: int, rows: slice, columns: slice, value: bool, **changes) -> Case:
    case = boxes(**changes)
    case.masks[index, rows, columns] = value
    return case


def equal_distances(case: Case, structure: str, count: int) -> np.ndarray:
    """(count, 2) points evenly round the outline of a mask from its uppermost place."""
    outline = mask_outline(case, structure)[:-1]
    return resample(np.roll(outline, -outline[:, 1].argmin(), axis=0), count)


@pytest.fixture(scope="module")
def chests() -> list[ChestPhantom]:
    return [ChestPhantom(3, i, (96, 96)) for i in range(6)]


@pytest.fixture(scope="module")
def made(chests: list[ChestPhantom]) -> CaseSet:
    return landmarks_from_masks(CaseSet("masks", chests[0].anatomy, [masks_only(p.case) for p in chests], {"licence": "none"}))


def test_landmarks_lie_on_the_outlines_of_the_masks(made):
    assert np.isfinite(made.landmarks).all() and made.info == {"licence": "none", "landmarks": "made from the masks"}
    for case in made:
        for name in case.anatomy.names:
            assert distance_to_outline(case.points(name), [mask_outline(case, name)]).max() < 0.4  # corners of stairs are cut


def test_landmarks_correspond_better_than_those_at_equal_distances(chests, made):
    even = np.stack([np.concatenate([equal_distances(case, s.name, s.count) for s in made.anatomy.structures]) for case in made])
    slid, fixed = (landmark_errors(points, consistent_places(chests, points, made.anatomy)) for points in (made.landmarks, even))
    assert slid.mean() < 0.5 * fixed.mean()


def test_a_folder_of_masks_only_becomes_a_data_set_that_reads_back(made, tmp_path):
    bare = CaseSet(made.name, made.anatomy, [replace(case, landmarks=case.landmarks * np.nan) for case in made], made.info)
    folder = write_cases(tmp_path / "masks", bare)
    (folder / "landmarks.csv").unlink()
    again = landmarks_from_masks(read_cases(folder))
    np.testing.assert_allclose(again.landmarks, made.landmarks, atol=1e-9)
    assert read_cases(write_cases(tmp_path / "set", again)).fingerprint() == again.fingerprint()


def test_a_structure_without_a_mask_is_absent():
    lacking = with_mask(1, slice(None), slice(None), False, id="b")
    made = landmarks_from_masks(CaseSet("s", PAIR, [boxes(), lacking, with_mask(0, slice(None), slice(None), False, id="c")]))
    assert PAIR.absent(made.landmarks).tolist() == [[False, False], [False, True], [True, False]]


def test_absent_bones_of_young_children_stay_absent():
    phantoms = [WristPhantom(0, i, (96, 56)) for i in range(4)]
    cases = [masks_only(p.case) for p in phantoms]
    shown = np.stack([case.masks.any((1, 2)) for case in cases])
    made = landmarks_from_masks(CaseSet("s", cases[0].anatomy, cases))
    np.testing.assert_array_equal(~made.anatomy.absent(made.landmarks), shown)
    assert not shown.all()


def test_a_speck_and_a_hole_of_one_pixel_are_overlooked():
    spotted = with_mask(0, slice(2, 3), slice(2, 3), True, id="b")
    spotted.masks[0, 10, 12] = False
    made = landmarks_from_masks(CaseSet("s", PAIR, [boxes(), spotted]))
    np.testing.assert_allclose(made[0].landmarks, made[1].landmarks, atol=1e-9)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([boxes(), with_mask(0, slice(30, 38), slice(22, 29), True, id="b")], "case b: the mask of the box has several parts"),
        ([with_mask(0, slice(8, 16), slice(11, 17), False)], "case a: the mask of the box has several parts, or a hole"),
        ([with_mask(1, slice(None), slice(None), False)], "s: the mask of the bar is empty in every case"),
        ([boxes(), boxes(id="b", landmarks=np.arange(40.0).reshape(20, 2), masks=None)], "case b: has no masks"),
    ],
)
def test_masks_that_tell_no_landmarks_are_refused(cases, message):
    with pytest.raises(DataError, match=message):
        landmarks_from_masks(CaseSet("s", PAIR, cases))


def test_only_outlines_can_be_read_from_masks():
    anatomy = Anatomy("dots", (Structure("box", 12, "a"), Structure("dots", 8, "b", Kind.POINTS)))
    with pytest.raises(DataError, match="dots: kind = 'points' cannot be read from masks"):
        landmarks_from_masks(CaseSet("s", anatomy, [boxes(anatomy=anatomy)]))
