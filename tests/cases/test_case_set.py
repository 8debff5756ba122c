"""Sets of cases: their fingerprint, and how they are divided."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_cases import IMAGE, LANDMARKS, SIZE, make_case, make_set, of_patients, with_value

from denseseg.anatomy import CHEST, HAND, Anatomy
from denseseg.cases.case_set import CaseSet, Split, patients_in_both, require_disjoint
from denseseg.errors import DataError
from denseseg.phantom import chest_phantom


def test_a_set_is_a_sequence():
    cases = make_set(5)
    assert len(cases) == 5
    assert cases.ids == [case.id for case in cases]
    assert cases[1:3].ids == ["case001", "case002"]
    assert cases[-1] is cases.cases[4]
    assert cases.images.shape == (5, *SIZE) and cases.landmarks.shape == (5, 37, 2)
    assert cases.resized((12, 16)).images.shape == (5, 12, 16)
    mixed = CaseSet("toy", HAND, [make_case(0), make_case(1, size=(32, 32))], {"kind": "phantom"})
    assert mixed.fitted((20, 20)).images.shape == (2, 20, 20) and mixed.fitted((20, 20)).info == mixed.info


def test_a_set_refuses_two_anatomies_one_id_twice_and_stacking_different_sizes():
    with pytest.raises(DataError, match="is a hand, the set a chest"):
        CaseSet("toy", CHEST, [make_case()])
    with pytest.raises(DataError, match="two cases are called case000"):
        CaseSet("toy", HAND, [make_case(), make_case()])
    with pytest.raises(DataError, match="2 different sizes"):
        _ = CaseSet("toy", HAND, [make_case(0), make_case(1, size=(32, 32))]).images


def test_images_of_several_aspect_ratios_are_not_squeezed_in_silence():
    mixed = CaseSet("toy", HAND, [make_case(0, spacing=None), make_case(1, size=(32, 48), spacing=None)])
    with pytest.raises(DataError, match=r"aspect ratios from 0\.67 to .*; use fitted"):
        mixed.resized((20, 20))
    assert mixed.fitted((20, 20)).images.shape == (2, 20, 20)


CHANGES = {
    "id": {"id": "other"},
    "a landmark": {"landmarks": with_value(LANDMARKS, 1.0)},
    "a landmark that is missing": {"landmarks": np.where(np.arange(len(LANDMARKS))[:, None] == 2, np.nan, LANDMARKS)},
    "a grey value": {"image": with_value(IMAGE, 0.0)},
    "the shape of the image": {"image": IMAGE.reshape(32, 24)},
    "spacing": {"spacing": 0.5 + 1e-12},
    "unknown spacing": {"spacing": None},
    "empty masks": {"masks": np.zeros((1, *SIZE))},
    "masks": {"masks": with_value(np.zeros((1, *SIZE)), 1)},
}


def test_fingerprint_ignores_order_and_sees_every_change():
    cases = make_set(3)
    prints = {
        name: CaseSet("toy", HAND, [make_case(0, **change), *cases.cases[1:]]).fingerprint() for name, change in CHANGES.items()
    }
    prints["none"] = cases.fingerprint()
    assert len(set(prints.values())) == len(CHANGES) + 1, prints
    assert cases.subset([2, 0, 1]).fingerprint() == cases.fingerprint()
    assert CaseSet("another name", HAND, cases, {"source": "elsewhere"}).fingerprint() == cases.fingerprint()


def test_fingerprint_sees_the_anatomy_and_is_never_out_of_date():
    fingers = Anatomy("hand", (replace(HAND.structures[0], name="fingers"),))
    cases = make_set(2)
    named = CaseSet("toy", fingers, [replace(case, anatomy=fingers) for case in cases])
    before = cases.fingerprint()
    assert named.fingerprint() != before
    cases[1].landmarks[3] += 1
    assert cases.fingerprint() not in (before, named.fingerprint())


# ---- splits -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 40), st.floats(0.3, 0.7), st.floats(0.15, 0.4), st.integers(0, 5))
def test_stratified_split_is_disjoint_complete_exact_and_deterministic(n, train, validation, seed):
    cases = make_set(n, size=(8, 8))
    parts = cases.split("stratified", train=train, validation=validation, seed=seed)
    ids = [part.ids for part in (parts.train, parts.validation, parts.test)]
    assert sorted(itertools.chain(*ids)) == cases.ids  # complete, and nothing twice
    n_learning = round(train * n)
    assert len(ids[2]) == n - n_learning
    assert len(ids[1]) == round(validation * n_learning)
    again = cases.split("stratified", train=train, validation=validation, seed=seed)
    assert ids == [part.ids for part in (again.train, again.validation, again.test)]


def test_stratified_split_divides_each_stratum_alike_and_depends_on_the_seed():
    cases = make_set(40, size=(8, 8))
    parts = cases.split("stratified", train=0.5, validation=0.2)
    for part, count in ((parts.train, 8), (parts.validation, 2), (parts.test, 10)):
        assert sorted(case.metadata["stratum"] for case in part) == ["a"] * count + ["b"] * count
    assert parts.test.ids != cases.split("stratified", train=0.5, validation=0.2, seed=1).test.ids


def test_paper_split_follows_the_column_and_takes_validation_from_training():
    cases = make_set(30, size=(8, 8))
    parts = cases.split("paper", validation=0.25)
    assert parts.test.ids == [case.id for case in cases if case.metadata["split"] == "test"]
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (15, 5, 10)
    assert not len(cases.split("paper", validation=0).validation)


def patients(part: CaseSet) -> set[str]:
    return {str(case.metadata["patient"]) for case in part if "patient" in case.metadata}


def ids(split: Split) -> list[str]:
    return sorted(split.train.ids + split.validation.ids + split.test.ids)


@st.composite
def crowd(draw) -> list[str | None]:
    """Patients of one to four cases each, in any order, and a few cases that name none."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=25, max_size=30))
    people = [str(number) for number, size in enumerate(sizes) for _ in range(size)] + [None] * draw(st.integers(0, 5))
    return draw(st.permutations(people))


@settings(deadline=None, max_examples=40)
@given(crowd(), st.floats(0.3, 0.7), st.floats(0.15, 0.4), st.integers(0, 5))
def test_split_by_patients_keeps_each_in_one_part_and_meets_the_shares_to_one_patient(people, train, validation, seed):
    cases = of_patients(people, seed)
    split = cases.split("patients", train=train, validation=validation, seed=seed)
    assert ids(split) == cases.ids  # complete, and nothing twice
    assert not patients(split.train) & patients(split.validation)
    assert patients_in_both(split) == []
    largest = max(people.count(person) for person in people if person)
    n_learning = len(split.train) + len(split.validation)
    assert round(train * len(cases)) <= n_learning < round(train * len(cases)) + largest
    assert round(validation * n_learning) <= len(split.validation) < round(validation * n_learning) + largest
    again = cases.split("patients", train=train, validation=validation, seed=seed)
    assert split.train.ids == again.train.ids and split.test.ids == again.test.ids


@settings(deadline=None, max_examples=30)
@given(crowd(), st.sampled_from(["paper", "stratified"]), st.integers(0, 5))
def test_validation_never_shares_a_patient_with_training(people, scheme, seed):
    cases = of_patients(people, seed)
    split = cases.split(scheme, validation=0.2, seed=seed)
    assert ids(split) == cases.ids
    assert not patients(split.train) & patients(split.validation)
    learning = patients(split.train) | patients(split.validation)
    assert patients_in_both(split) == sorted(learning & patients(split.test))  # the test part is as published, or as drawn


@settings(deadline=None, max_examples=20)
@given(st.integers(20, 40), st.integers(0, 5))
def test_where_each_patient_has_one_case_nothing_changes(n, seed):
    alone, unknown = of_patients([str(i) for i in range(n)], seed), of_patients([None] * n, seed)
    for scheme in ("paper", "stratified"):
        a, b = alone.split(scheme, validation=0.3, seed=seed), unknown.split(scheme, validation=0.3, seed=seed)
        assert (a.train.ids, a.validation.ids, a.test.ids) == (b.train.ids, b.validation.ids, b.test.ids)
    by_patient, by_case = alone.split("patients", seed=seed, validation=0.3), alone.split("stratified", seed=seed, validation=0.3)
    assert by_patient.test.ids == by_case.test.ids and by_patient.train.ids == by_case.train.ids


def test_the_split_of_a_set_without_patients_is_the_one_of_earlier_versions():
    split = make_set(20, size=(8, 8)).split("stratified", train=0.5, validation=0.2, seed=3)
    numbers = [[int(name[4:]) for name in part.ids] for part in (split.train, split.validation, split.test)]
    assert numbers == [[2, 4, 7, 9, 11, 12, 15, 18], [0, 1], [3, 5, 6, 8, 10, 13, 14, 16, 17, 19]]


def test_patients_in_both_parts_are_named():
    cases = of_patients(["7", "7", "8", "9", None, None])
    for case, part in zip(cases, ["train", "test", "train", "test", "train", "test"], strict=True):
        case.metadata["split"] = part
    assert patients_in_both(cases.split("paper", validation=0)) == ["7"]


def test_a_split_by_patients_needs_patients_and_more_than_one():
    with pytest.raises(DataError, match=r"toy: no case names its patient; add a column patient to cases\.csv"):
        make_set(9).split("patients")
    with pytest.raises(DataError, match=r"toy: the test part of split 'patients' is empty with 9 cases"):
        of_patients(["1"] * 9).split("patients", validation=0)


def test_bad_splits_are_refused():
    cases = make_set(6)
    with pytest.raises(DataError, match="unknown split 'random'; known: paper, stratified, patients, folds"):
        cases.split("random")
    with pytest.raises(DataError, match="validation=1"):
        cases.split("stratified", validation=1)
    with pytest.raises(DataError, match=r"the test part .* is empty"):
        cases.split("stratified", train=1.0, validation=0.2)
    cases[2].metadata["split"] = "trian"
    with pytest.raises(DataError, match="holds trian"):
        cases.split("paper")


@pytest.mark.parametrize("scheme", ["paper", "stratified"])
def test_of_few_cases_one_is_for_validation(scheme):
    for validation in (0.01, 0.1):
        split = make_set(6).split(scheme, validation=validation)
        assert len(split.validation) == 1 and len(split.train) >= 2
    assert not make_set(6).split(scheme, validation=0).validation.cases


# ---- folds ----------------------------------------------------------------------------------------------------------


def with_column(cases: CaseSet, column: str, cells: list) -> CaseSet:
    for case, cell in zip(cases, cells, strict=True):
        case.metadata |= {} if cell is None else {column: cell}
    return cases


@settings(deadline=None, max_examples=30)
@given(crowd(), st.integers(2, 4), st.integers(0, 3))
def test_drawn_folds_test_each_case_once_and_no_patient_in_two(people, k, seed):
    cases = of_patients(people)
    splits = [cases.split("folds", fold=fold, folds=k, seed=seed, validation=0.2) for fold in range(k)]
    assert sorted(itertools.chain(*(split.test.ids for split in splits))) == cases.ids
    largest = max(people.count(person) for person in people if person)
    for split in splits:
        assert ids(split) == cases.ids
        assert patients_in_both(split) == [] and not patients(split.train) & patients(split.validation)
        assert abs(len(split.test) - len(cases) / k) <= 1 + largest


def test_drawn_folds_hold_each_stratum_alike():
    cases = make_set(24, size=(8, 8))
    for fold in range(3):
        test = cases.split("folds", fold=fold, folds=3, validation=0.2).test
        assert sorted(case.metadata["stratum"] for case in test) == ["a"] * 4 + ["b"] * 4


@pytest.mark.parametrize("kind", [int, float, str])  # as pandas may read the column
def test_the_column_fold_says_where_a_case_is_tested(kind):
    cases = with_column(make_set(12), "fold", [kind(i % 3) for i in range(12)])
    parts = cases.split("folds", fold=2, validation=0.25)
    assert parts.test.ids == [case.id for i, case in enumerate(cases) if i % 3 == 2]
    assert ids(parts) == cases.ids and len(parts.validation) == 2
    assert cases.split("folds", fold=2, folds=3, validation=0.25).test.ids == parts.test.ids
    assert cases.split("folds", fold=2, validation=0.25, seed=1).test.ids == parts.test.ids


def test_bad_folds_are_refused():
    with pytest.raises(DataError, match=r"toy: cases\.csv has no column fold; say how many folds shall be drawn, at least 2"):
        make_set(9).split("folds", fold=0)
    with pytest.raises(DataError, match="there is no fold 3; give a fold from 0 to 2"):
        make_set(9).split("folds", fold=3, folds=3)
    with pytest.raises(DataError, match="there is no fold None"):
        make_set(9).split("folds", folds=3)
    with pytest.raises(DataError, match=r"case case002 has None in the column fold of cases\.csv; give every case"):
        with_column(make_set(3), "fold", [0, 1, None]).split("folds", fold=0)
    with pytest.raises(DataError, match=r"names \[0, 2\], not all folds from 0"):
        with_column(make_set(4), "fold", [0, 2, 0, 2]).split("folds", fold=0)
    with pytest.raises(DataError, match=r"names \[0, 1\], not 3 folds"):
        with_column(make_set(4), "fold", [0, 1, 0, 1]).split("folds", fold=0, folds=3)


# ---- few cases to learn from ----------------------------------------------------------------------------------------


def learned(cases: CaseSet, size: int, draw: int = 0, **more) -> set[str]:
    parts = cases.split(**{"scheme": "paper", "validation": 0.2} | more, train_size=size, draw=draw)
    return set(parts.train.ids) | set(parts.validation.ids)


@settings(deadline=None, max_examples=20)
@given(st.integers(5, 9), st.integers(10, 20), st.integers(0, 9))
def test_few_cases_are_part_of_the_training_part_and_nested(few, more, draw):
    cases = make_set(30, size=(8, 8))
    whole = cases.split("paper", validation=0.2)
    small, large = learned(cases, few, draw), learned(cases, more, draw)
    assert (len(small), len(large)) == (few, more)
    assert small < large <= set(whole.train.ids + whole.validation.ids)
    assert cases.split("paper", validation=0.2, train_size=few, draw=draw).test.ids == whole.test.ids


def test_a_draw_decides_which_and_the_seed_does_not():
    cases = make_set(30, size=(8, 8))
    assert len({frozenset(learned(cases, 10, draw)) for draw in range(4)}) == 4
    assert learned(cases, 10, 1) == learned(cases, 10, 1, seed=5)


def test_a_published_choice_is_taken_for_its_fold_and_draw():
    cases = with_column(make_set(12), "fold", [i % 3 for i in range(12)])
    marks = {
        0: "fold 1",
        1: "fold 0, fold 2",
        2: "fold 0",
        5: "fold 0",
        6: "fold 0, fold 1",
        8: "fold 1",
        9: "fold 1",
        11: "fold 11",
    }
    with_column(cases, "subset_4_1", [marks.get(i) for i in range(12)])
    assert learned(cases, 4, 1, scheme="folds", fold=1, validation=0.25) == {"case000", "case006", "case008", "case009"}
    with pytest.raises(DataError, match=r"subset_4_1 of cases\.csv names 3 of the cases to learn from in fold 0"):
        learned(cases, 4, 1, scheme="folds", fold=0)
    drawn = [learned(cases, size, draw, scheme="folds", fold=1, validation=0.25) for size, draw in ((4, 0), (5, 1))]
    assert [len(found) for found in drawn] == [4, 5]  # the column is of another draw, and of another size


@pytest.mark.parametrize("size", [0, 21])
def test_more_cases_than_there_are_cannot_be_drawn(size):
    with pytest.raises(DataError, match=rf"train_size={size}, but there are 20 cases to learn from"):
        make_set(30).split("paper", train_size=size)


# ---- parts share no case --------------------------------------------------------------------------------------------


def test_parts_that_share_a_case_by_any_name_are_refused():
    cases = make_set(6)
    copy = CaseSet("copy", HAND, [replace(cases[1], id="another", metadata={})])
    require_disjoint(training=cases[:3], validation=cases[3:5], test=cases[5:])
    for parts, message in (
        (
            {"training": cases[:3], "validation": cases[2:]},
            "case case002 of the validation part is case case002 of the training part",
        ),
        ({"training": cases[:3], "validation": copy}, "case another of the validation part is case case001 of the training part"),
    ):
        with pytest.raises(DataError, match=f"{message}: the same image and landmarks; leave it out of one of them"):
            require_disjoint(**parts)
    with pytest.raises(DataError, match="case case005 of the test part is case case005 of the validation part"):
        Split(cases[:3], cases[4:], cases[5:])


def test_the_same_id_in_another_data_set_is_another_case():
    require_disjoint(training=make_set(2), validation=CaseSet("other", HAND, [make_case(9, id="case000")]))


def test_landmarks_that_are_missing_or_beyond_the_border_are_not_shown():
    chests = chest_phantom(2, (64, 64))
    first = chests[0].landmarks.copy()
    first[0], first[1], first[2], first[3] = np.nan, (64, 30), (63.4, 63.4), (-0.6, 5)
    shown = CaseSet("two", chests.anatomy, [replace(chests[0], landmarks=first), chests[1]]).shown
    assert shown.shape == (2, chests.anatomy.n_landmarks)
    assert shown[0, :4].tolist() == [False, False, True, False]
