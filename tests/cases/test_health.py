"""Each fault, planted into a phantom set, is listed first, with the case and the mend; sound sets list nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_cases import make_set

from denseseg.anatomy import Anatomy
from denseseg.cases import Case, CaseSet
from denseseg.cases.health import check_cases, contents
from denseseg.cases.health.sides import mirrored as mirrored_case
from denseseg.cases.masks import true_masks
from denseseg.phantom import PHANTOMS
from denseseg.viewing.plots.sheet import draw_sheet

SIZES = {"chest": (96, 96), "wrist": (120, 70), "hand": (128, 96)}
SETS = {name: PHANTOMS[name](20, size, 1) for name, size in SIZES.items()}
ODD = 7  # the case that is spoilt


def spoilt(name: str, change: Callable[[Case], Case], size: tuple[int, int] | None = None) -> CaseSet:
    cases = SETS[name] if size is None else SETS[name].fitted(size)
    return CaseSet(cases.name, cases.anatomy, [change(case) if i == ODD else case for i, case in enumerate(cases)])


def moved(move: Callable[[np.ndarray, Case], np.ndarray]) -> Callable[[Case], Case]:
    return lambda case: replace(case, landmarks=move(case.landmarks, case))


def shown(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Case], Case]:
    return lambda case: replace(case, image=np.ascontiguousarray(change(case.image)))


def in_structure(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Case], Case]:
    def move(points: np.ndarray, case: Case) -> np.ndarray:
        points, own = points.copy(), case.anatomy.slices[name]
        points[own] = change(points[own])
        return points

    return moved(move)


def exchanged(one: str, other: str) -> Callable[[Case], Case]:
    def move(points: np.ndarray, case: Case) -> np.ndarray:
        a, b = case.anatomy.slices[one], case.anatomy.slices[other]
        points = points.copy()
        points[a], points[b] = points[b].copy(), points[a].copy()
        return points

    return moved(move)


def counted_from_one(points: np.ndarray, case: Case) -> np.ndarray:
    return np.concatenate([np.roll(points[own], 1, axis=0) for own in case.anatomy.slices.values()])


def mirrored(points: np.ndarray, case: Case) -> np.ndarray:
    return points * (-1, 1) + (case.size[1] - 1, 0)


def upside_down(points: np.ndarray, case: Case) -> np.ndarray:
    return points * (1, -1) + (0, case.size[0] - 1)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("seed", [1, 5])
def test_a_sound_set_lists_nothing(name, seed):
    cases = SETS[name] if seed == 1 else PHANTOMS[name](16, SIZES[name], seed)
    assert check_cases(cases) == []


LANDMARK_FAULTS = {
    "mirrored": (moved(mirrored), "mirrored left to right"),
    "upside down": (moved(upside_down), "upside down"),
    "turned": (moved(lambda points, case: upside_down(mirrored(points, case), case)), "turned by 180 degrees"),
    "counted from 1": (moved(counted_from_one), "shifted by one"),
    "half the frame": (moved(lambda points, case: points * 0.5), "as no others do: 0."),
    "another frame": (moved(lambda points, case: points - np.nanmean(points, axis=0)), "from their place"),
    "nearly in one place": (moved(lambda points, case: points * 0.01 + 5), "as no others do: 0.0"),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("fault", LANDMARK_FAULTS)
def test_landmarks_in_wrong_places_come_first(name, fault):
    change, told = LANDMARK_FAULTS[fault]
    first, *others = check_cases(spoilt(name, change))
    assert first.case == SETS[name].ids[ODD] and told in first.what and first.mend
    assert not others


@pytest.mark.parametrize("name", SETS)
def test_x_and_y_swapped_in_a_square_image(name):
    swapped = spoilt(name, moved(lambda points, case: points[:, ::-1]), size=(100, 100))
    (first,) = check_cases(swapped)
    assert first.case == SETS[name].ids[ODD] and first.what == "x and y of its landmarks are swapped"


@pytest.mark.parametrize("name", SETS)
def test_millimetres_for_pixels_come_first(name):
    cases = [replace(case, spacing=0.4) for case in SETS[name]]
    cases[ODD] = moved(lambda points, case: points * 0.4)(cases[ODD])
    (first,) = check_cases(CaseSet(name, SETS[name].anatomy, cases))
    assert (first.case, first.what) == (cases[ODD].id, "its landmarks are millimetres") and "divide x and y" in first.mend


def ended_after(points: np.ndarray, count: int) -> np.ndarray:
    return np.where(np.arange(len(points))[:, None] < count, points, np.nan)


EVERYWHERE = {
    "mirrored": (moved(mirrored), "mirrored left to right against its image"),
    "upside down": (moved(upside_down), "upside down against its image"),
    "half the frame": (moved(lambda points, case: points * 0.5), "upper left"),
    "millimetres": (lambda case: replace(case, spacing=0.5, landmarks=case.landmarks * 0.5), "are millimetres"),
    "shares of the image": (moved(lambda points, case: points / case.size[::-1]), "fill"),
    "images upside down": (shown(lambda image: image[::-1]), "upside down against its image"),
    "images mirrored": (shown(lambda image: image[:, ::-1]), "mirrored left to right"),
    "images inverted": (shown(lambda image: 1 - image), "image is inverted"),
    "images without contrast": (shown(lambda image: 0 * image + 0.5), "no contrast"),
    "the end of each missing": (
        moved(lambda points, case: np.where(np.arange(len(points))[:, None] < 31, points, np.nan)),
        "no case",
    ),
}


@pytest.mark.parametrize("name", ["chest", "wrist"])
@pytest.mark.parametrize("fault", EVERYWHERE)
def test_a_fault_that_all_cases_share_is_told_once_for_all_and_in_a_small_set_of_one(name, fault):
    change, told = EVERYWHERE[fault]
    cases = SETS[name]
    findings = check_cases(CaseSet(name, cases.anatomy, map(change, cases[:12])))
    assert any(finding.case == f"all of {name}" and told in finding.what for finding in findings)
    if fault not in ("the end of each missing", "millimetres"):
        few = CaseSet(name, cases.anatomy, [change(case) if i == 1 else case for i, case in enumerate(cases[:4])])
        (found,) = check_cases(few)
        assert found.case == cases.ids[1] and told in found.what


PARTS_OF_WRISTS = {
    "forearm": ("radius", "ulna"),
    "joint": ("lunate", "scaphoid", "radius", "ulna"),
    "wrist": ("metacarpal 3", "ulna"),
}


@pytest.mark.parametrize("name", PARTS_OF_WRISTS)
@pytest.mark.parametrize("seed", [1, 5])
def test_a_part_of_a_wrist_is_known_to_lie_in_air_so_that_inverted_images_are_noticed(name, seed):
    cases, parts = PHANTOMS["wrist"](12, SIZES["wrist"], seed), PARTS_OF_WRISTS[name]
    anatomy = Anatomy(name, tuple(s for s in cases.anatomy.structures if s.name in parts))
    points = [np.concatenate([case.points(part) for part in anatomy.names]) for case in cases]
    parted = [replace(c, anatomy=anatomy, landmarks=p) for c, p in zip(cases, points, strict=True) if np.isfinite(p).any()]
    assert not [finding for case in parted[:4] for finding in check_cases(CaseSet(name, anatomy, [case]))]
    (found,) = check_cases(CaseSet(name, anatomy, [shown(lambda image: 1 - image)(parted[0])]))
    assert "inverted" in found.what


def both_sides(name: str, seed: int, column: str = "laterality") -> list[Case]:
    """A set in which every third case is the other hand, as its table says."""
    cases = SETS[name] if seed == 1 else PHANTOMS[name](16, SIZES[name], seed)
    told = [mirrored_case(case) if i % 3 == 0 else case for i, case in enumerate(cases)]
    return [replace(case, metadata={column: "Right" if i % 3 == 0 else "L"}) for i, case in enumerate(told)]


@pytest.mark.parametrize("name", ["wrist", "hand"])
@pytest.mark.parametrize("seed", [1, 5])
@pytest.mark.parametrize("column", ["laterality", "side"])
def test_left_and_right_hands_in_one_set_are_compared_as_one_and_the_wrong_one_is_named(name, seed, column):
    cases = both_sides(name, seed, column)
    anatomy = cases[0].anatomy
    assert check_cases(CaseSet(name, anatomy, cases)) == []
    for odd, (other, side) in {6: ("left", "right"), 7: ("right", "left")}.items():
        spoilt = [mirrored_case(case) if i == odd else case for i, case in enumerate(cases)]
        (found,) = check_cases(CaseSet(name, anatomy, spoilt))
        assert found.case == cases[odd].id
        assert found.what == f"its landmarks look like a {other} {name}'s, and its table says {side}" and "mirror" in found.mend


@pytest.mark.parametrize("name", ["wrist", "hand"])
def test_a_fault_is_still_found_in_a_set_of_both_hands(name):
    mirrored_alone = (LANDMARK_FAULTS["mirrored"][0], "its landmarks look like a left")
    for change, told in (LANDMARK_FAULTS["upside down"], mirrored_alone, IMAGE_FAULTS["inverted"], IMAGE_FAULTS["mirrored"]):
        cases = [change(case) if i == 9 else case for i, case in enumerate(both_sides(name, 1))]
        first, *others = check_cases(CaseSet(name, cases[0].anatomy, cases))
        assert first.case == cases[9].id and told in first.what and not others


def test_sides_are_left_alone_where_all_were_mirrored_to_one_and_where_shapes_have_none():
    rng = np.random.default_rng(0)
    for name, cases in SETS.items():
        told = [replace(case, metadata={"side": "LR"[rng.integers(2)]}) for case in cases]
        assert check_cases(CaseSet(name, cases.anatomy, told)) == []


@pytest.mark.parametrize("order", [np.arange(26)[::-1], np.random.default_rng(1).permutation(26)])
def test_an_outline_in_another_order_is_named_in_a_small_set(order):
    few = list(SETS["chest"][:4])
    few[2] = in_structure("heart", lambda points: points[order])(few[2])
    (found,) = check_cases(CaseSet("few", SETS["chest"].anatomy, few))
    assert found.case == few[2].id and "the outline of its heart" in found.what


def test_a_table_that_ends_early_and_an_outline_with_gaps_are_named():
    gone = in_structure("heart", lambda points: np.where(np.arange(26)[:, None] < 9, points, np.nan))
    (gaps,) = check_cases(spoilt("chest", gone))
    assert gaps.what.startswith("its heart lacks 17 of 26 landmarks")
    (end,) = check_cases(spoilt("chest", moved(lambda points, case: ended_after(points, 60))))
    assert end.what.startswith("its landmarks end with 15 of the left lung") and "cut off" in end.mend


def two_exchanged(points: np.ndarray) -> np.ndarray:
    order = np.arange(37)
    order[[20, 24]] = 24, 20
    return points[order]


PART_FAULTS = {
    "two landmarks exchanged": ("hand", in_structure("hand", two_exchanged), "of its hand are exchanged"),
    "a lung the other way round": ("chest", in_structure("left lung", lambda p: p[::-1]), "left lung runs the other way round"),
    "a bone the other way round": ("wrist", in_structure("lunate", lambda p: np.roll(p[::-1], 9, 0)), "lunate runs the other way"),
    "clavicles exchanged": (
        "chest",
        exchanged("left clavicle", "right clavicle"),
        "right clavicle and left clavicle are exchanged",
    ),
    "bones exchanged": ("wrist", exchanged("metacarpal 2", "metacarpal 3"), "metacarpal 2 and metacarpal 3 are exchanged"),
    "another start": ("wrist", in_structure("metacarpal 3", lambda p: np.roll(p, 4, 0)), "starts 46 landmarks from"),
    "one structure elsewhere": ("chest", in_structure("heart", lambda p: p + (25, 0)), "shape of its heart"),
}


@pytest.mark.parametrize("fault", PART_FAULTS)
def test_a_structure_that_is_numbered_otherwise_comes_first(fault):
    name, change, told = PART_FAULTS[fault]
    first, *others = check_cases(spoilt(name, change))
    assert first.case == SETS[name].ids[ODD] and told in first.what, first
    assert not others


IMAGE_FAULTS = {
    "mirrored": (shown(lambda image: image[:, ::-1]), "image is mirrored"),
    "upside down": (shown(lambda image: image[::-1]), "image is upside down"),
    "turned": (shown(lambda image: image[::-1, ::-1]), "image is turned by 180"),
    "inverted": (shown(lambda image: 1 - image), "image is inverted"),
    "constant": (shown(lambda image: image * 0 + 0.5), "no contrast"),
    "noise": (shown(lambda image: np.random.default_rng(0).random(image.shape, np.float32)), "shows something else"),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("fault", IMAGE_FAULTS)
def test_an_image_unlike_the_others_comes_first(name, fault):
    change, told = IMAGE_FAULTS[fault]
    first, *others = check_cases(spoilt(name, change))
    assert first.case == SETS[name].ids[ODD] and told in first.what, first
    assert not others


def masked(change: Callable[[np.ndarray], np.ndarray]) -> CaseSet:
    cases = [replace(case, masks=true_masks(case)) for case in SETS["chest"]]
    cases[ODD] = replace(cases[ODD], masks=change(cases[ODD].masks))
    return CaseSet("chests", SETS["chest"].anatomy, cases)


MASK_FAULTS = {
    "transposed": (lambda masks: masks.swapaxes(1, 2), "transposed"),
    "in another order": (lambda masks: masks[[1, 2, 3, 4, 0]], "another order"),
    "one empty": (lambda masks: masks & (np.arange(5) != 2)[:, None, None], "heart is empty"),
    "all empty": (lambda masks: masks & False, "is empty"),
    "upside down": (lambda masks: masks[:, ::-1], "upside down"),
    "inverted": (lambda masks: ~masks, "inverted"),
    "one elsewhere": (lambda masks: np.stack([*masks[:3], np.roll(masks[3], 30, 0), masks[4]]), "right clavicle hardly overlap"),
}


@pytest.mark.parametrize("fault", MASK_FAULTS)
def test_masks_that_do_not_fit_their_outlines_come_first(fault):
    change, told = MASK_FAULTS[fault]
    assert check_cases(masked(lambda masks: masks)) == []
    (first,) = check_cases(masked(change))
    assert first.case == SETS["chest"].ids[ODD] and told in first.what


def with_metadata(**of_cases: dict[int, object]) -> CaseSet:
    cases = [
        replace(case, metadata={key: values.get(i) for key, values in of_cases.items()}) for i, case in enumerate(SETS["hand"])
    ]
    return CaseSet("hands", SETS["hand"].anatomy, cases)


def test_copies_come_first():
    cases = SETS["hand"]
    twin = replace(cases[3], id="twin")
    (first,) = check_cases(CaseSet("hands", cases.anatomy, [*cases, twin]))
    assert (first.case, first.what) == ("twin", f"its image has the same pixels as that of {cases[3].id}")


def test_a_patient_in_two_parts_comes_first():
    parts = {i: "train" if i < 15 else "test" for i in range(20)}
    patients = {i: f"p{i}" for i in range(20)} | {16: "p2"}
    (first,) = check_cases(with_metadata(split=parts, patient=patients))
    assert first.case == SETS["hand"].ids[2] and "its patient p2 is in train, and in test with" in first.what
    assert check_cases(with_metadata(split=parts)) == []


def test_a_blank_makes_no_other_patient_and_no_other_part():
    cases = with_metadata(
        split=dict.fromkeys(range(20), "train") | {16: "train "}, patient={i: f"p{i}" for i in range(20)} | {16: "p2 "}
    )
    assert not any("p2" in str(finding) for finding in check_cases(cases))
    assert "20 train" in contents(cases) and "19 patients" in contents(cases)


@pytest.mark.parametrize("size", [(8, 1100), (10, 1400), (100, 3000)])
def test_narrow_images_are_checked_too(size):
    check_cases(make_set(3, size=size))


def test_a_spacing_of_another_unit_comes_first():
    cases = [replace(case, spacing=0.5 if i != ODD else 500.0) for i, case in enumerate(SETS["hand"])]
    (first,) = check_cases(CaseSet("hands", SETS["hand"].anatomy, cases))
    assert first.case == SETS["hand"].ids[ODD] and "mm long" in first.what
    every = [replace(case, spacing=500.0) for case in SETS["hand"]]
    (first,) = check_cases(CaseSet("hands", SETS["hand"].anatomy, every))
    assert first.case == "all of hands"


def test_coordinates_from_0_to_1_all_over_the_set_come_first():
    cases = SETS["chest"]
    shares = [replace(case, landmarks=(case.landmarks + 0.5) / 96) for case in cases]
    first, *_ = check_cases(CaseSet("chests", cases.anatomy, shares))
    assert first.case == "all of chests" and "give pixels" in first.mend


def test_several_faults_come_worst_first_and_each_once():
    cases = list(SETS["chest"])
    cases[2] = moved(counted_from_one)(cases[2])
    cases[5] = moved(mirrored)(cases[5])
    cases[9] = shown(lambda image: image * 0)(cases[9])
    findings = check_cases(CaseSet("chests", SETS["chest"].anatomy, cases))
    assert [f.case for f in findings] == [SETS["chest"].ids[i] for i in (9, 5, 2)]
    assert [f.score for f in findings] == sorted((f.score for f in findings), reverse=True)


@given(st.integers(0, 10_000), st.floats(0, 1), st.booleans(), st.integers(1, 10))
@settings(max_examples=12, deadline=None)
def test_whatever_a_set_holds_the_check_goes_through(seed, missing, masks, count):
    rng = np.random.default_rng(seed)
    cases = list(make_set(count, size=(20, 20)))
    for case in cases:
        gone = rng.random(37) < missing * rng.random()
        case.landmarks[gone & (np.arange(37) > 0)] = np.nan
        case.landmarks[rng.random(37) < 0.1] = 5.0
        case.masks = rng.random((1, 20, 20)) < rng.random() if masks else None
        case.image[:] = rng.choice([0, 0.5, 1]) if rng.random() < 0.2 else case.image
        case.metadata["side"] = "LR"[rng.integers(2)]
    findings = check_cases(CaseSet("any", cases[0].anatomy, cases))
    assert all(finding.score > 0 and finding.what and finding.mend for finding in findings)


def test_a_few_cases_are_too_few_to_be_compared_and_no_error():
    assert check_cases(SETS["hand"][:3]) == []


def test_the_contents_say_what_there_is():
    text = contents(SETS["wrist"])
    assert "20 cases of the wrist, 17 structures, 710 landmarks" in text and "20 70 x 120 pixels" in text
    assert "pisiform: absent in" in text


def test_the_sheet_shows_the_cases_that_are_odd(tmp_path):
    cases = spoilt("wrist", moved(mirrored))
    path = draw_sheet(cases, check_cases(cases), tmp_path / "sheet.png")
    assert path is not None and path.stat().st_size > 10_000
    assert draw_sheet(SETS["wrist"], [], tmp_path / "none.png") is None
