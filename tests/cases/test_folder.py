"""Cases, splits and the data-set folder: what goes in comes out, and every defect is named."""

from __future__ import annotations

import gc
import itertools
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import full_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.io import imsave

from denseseg.anatomy import CHEST, HAND, WRIST, get_anatomy
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet, Split, patients_in_both
from denseseg.cases.folder import read_cases, write_cases
from denseseg.errors import DataError
from denseseg.files import read_png, staged, write_png
from denseseg.geometry.frame import scale_points

SIZE = (24, 32)


def make_case(number: int = 0, size: tuple[int, int] = SIZE, **changes) -> Case:
    """A case of the hand anatomy (37 landmarks), small and random but reproducible."""
    rng = np.random.default_rng(number)
    values = {
        "id": f"case{number:03d}",
        "image": rng.random(size, dtype=np.float32),
        "landmarks": rng.random((37, 2)) * (size[1], size[0]),
        "anatomy": HAND,
        "spacing": 0.5,
        "metadata": {"split": "train" if number % 3 else "test", "stratum": "ab"[number % 2], "age": 10.5 + number},
    }
    return Case(**(values | changes))


def make_set(n: int = 6, **changes) -> CaseSet:
    return CaseSet("toy", HAND, [make_case(i, **changes) for i in range(n)], {"source": 'a "quoted"\nname', "licence": "none"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cases(tmp_path / "toy", make_set(3))


def edit(path: Path, change) -> None:
    """Rewrite a CSV table after `change(table)`."""
    table = pd.read_csv(path, dtype=object)
    table = change(table)
    table.to_csv(path, index=False)


# ---- anatomy ----------------------------------------------------------------------------------------------------


def test_anatomies_have_the_published_counts():
    assert (CHEST.n_landmarks, WRIST.n_landmarks, HAND.n_landmarks) == (166, 710, 37)
    assert CHEST.counts == [44, 50, 26, 23, 23]
    assert CHEST.slices["heart"] == slice(94, 120)
    assert np.bincount(WRIST.membership).tolist() == WRIST.counts
    assert CHEST.groups == {"lungs": [0, 1], "heart": [2], "clavicles": [3, 4]}


def test_unknown_names_list_the_known_ones():
    with pytest.raises(DataError, match="built in are: chest, wrist, hand"):
        get_anatomy("knee")
    with pytest.raises(KeyError, match="left clavicle"):
        CHEST.index("spleen")


# ---- points and sizes -------------------------------------------------------------------------------------------

sides = st.integers(8, 3000)


@given(sides, sides, sides, sides, st.lists(st.tuples(*[st.floats(-500, 3500)] * 2), min_size=1, max_size=5))
def test_scaling_points_there_and_back_is_the_identity(h1, w1, h2, w2, points):
    points = np.array(points)
    np.testing.assert_allclose(scale_points(scale_points(points, (h1, w1), (h2, w2)), (h2, w2), (h1, w1)), points, atol=1e-6)


@given(sides, sides)
def test_scaling_keeps_the_corners_of_the_image(old, new):
    """The image spans -0.5 .. size - 0.5: pixel centres are whole numbers."""
    corners = np.array([[-0.5, -0.5], [old - 0.5, old - 0.5]])
    expected = [[-0.5, -0.5], [new - 0.5, new - 0.5]]
    np.testing.assert_allclose(scale_points(corners, (old, old), (new, new)), expected, atol=1e-9)


@pytest.mark.parametrize("side", [32, 64, 96, 256])
def test_resized_moves_image_landmarks_masks_and_spacing_together(side):
    y, x = np.mgrid[:128, :128]
    centre = np.array([70.0, 45.0])
    blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 12**2))
    case = make_case(size=(128, 128), image=blob, landmarks=np.tile(centre, (37, 1)), masks=(blob > 0.5)[None]).resized(
        (side, side)
    )
    rows, columns = np.mgrid[:side, :side]
    for weights in (case.image, case.masks[0]):
        found = [np.average(columns, weights=weights), np.average(rows, weights=weights)]
        np.testing.assert_allclose(found, case.landmarks[0], atol=0.15)
    assert case.spacing == pytest.approx(0.5 * 128 / side)
    assert case.masks.shape == (1, side, side)


def test_resizing_to_the_same_size_returns_the_same_case():
    case = make_case()
    assert case.resized(SIZE) is case


def test_resizing_refuses_another_aspect_ratio_unless_spacing_is_unknown():
    with pytest.raises(DataError, match="aspect ratio"):
        make_case().resized((24, 24))
    assert make_case(spacing=None).resized((24, 24)).size == (24, 24)


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array.flat[5] = value
    return array


LANDMARKS = make_case().landmarks
IMAGE = make_case().image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((24, 32, 3))}, "one grey channel"),
        ({"image": np.zeros((7, 32))}, "at least 8 x 8"),
        ({"image": with_value(IMAGE, np.nan)}, "NaN or infinite"),
        ({"image": IMAGE * 255}, r"scale grey values to 0\.\.1"),
        ({"image": IMAGE - 0.5}, r"scale grey values to 0\.\.1"),
        ({"landmarks": LANDMARKS[:-1]}, r"hand needs \(37, 2\)"),
        ({"landmarks": with_value(LANDMARKS, np.inf)}, "infinite"),
        ({"landmarks": LANDMARKS * np.nan}, "every landmark is missing"),
        ({"landmarks": with_value(LANDMARKS, 80)}, "landmark 2 at .* far outside the 32 x 24 image"),
        ({"masks": np.zeros((2, *SIZE))}, "one .* mask per structure"),
        ({"spacing": 0.0}, "not a positive number"),
        ({"spacing": float("nan")}, "not a positive number"),
    ],
)
def test_a_bad_case_is_refused_and_named(changes, message):
    with pytest.raises(DataError, match=f"case case000.*{message}"):
        make_case(**changes)


def test_a_missing_landmark_and_one_just_outside_the_image_are_fine():
    case = make_case(landmarks=with_value(with_value(LANDMARKS, -3), np.nan))
    assert np.isnan(case.landmarks).sum() == 1


# ---- sets -------------------------------------------------------------------------------------------------------


def test_a_set_is_a_sequence():
    cases = make_set(5)
    assert len(cases) == 5
    assert cases.ids == [case.id for case in cases]
    assert cases[1:3].ids == ["case001", "case002"]
    assert cases[-1] is cases.cases[4]
    assert cases.images.shape == (5, *SIZE) and cases.landmarks.shape == (5, 37, 2)
    assert cases.resized((12, 16)).images.shape == (5, 12, 16)


def test_a_set_refuses_two_anatomies_one_id_twice_and_stacking_different_sizes():
    with pytest.raises(DataError, match="is a hand, the set a chest"):
        CaseSet("toy", CHEST, [make_case()])
    with pytest.raises(DataError, match="two cases are called case000"):
        CaseSet("toy", HAND, [make_case(), make_case()])
    with pytest.raises(DataError, match="2 different sizes"):
        _ = CaseSet("toy", HAND, [make_case(0), make_case(1, size=(32, 32))]).images


def test_fingerprint_ignores_order_and_sees_every_change():
    cases = make_set(3)
    original = cases.fingerprint()
    assert cases.subset([2, 0, 1]).fingerprint() == original
    changed = [
        make_case(0, id="other"),
        make_case(0, landmarks=with_value(cases[0].landmarks, 1.0)),
        make_case(0, image=with_value(cases[0].image, 0.0)),
    ]
    prints = {CaseSet("toy", HAND, [first, *cases.cases[1:]]).fingerprint() for first in changed}
    assert len(prints | {original}) == 4


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


def of_patients(patients: list[str | None], seed: int = 0) -> CaseSet:
    """A case for each entry, of that patient, or of nobody known; strata and published parts at random."""
    rng = np.random.default_rng(seed)
    cases = make_set(len(patients), size=(8, 8))
    for case, patient in zip(cases, patients, strict=True):
        case.metadata |= {"stratum": str(rng.integers(3)), "split": ["train", "test"][rng.integers(2)]}
        if patient is not None:
            case.metadata["patient"] = patient
    return cases


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
    with pytest.raises(DataError, match=r"the (test|training) part of split 'patients' is empty with 9 cases"):
        of_patients(["1"] * 9).split("patients", validation=0)


def test_a_patients_name_stays_text_in_the_folder(tmp_path):
    found = read_cases(write_cases(tmp_path, of_patients(["007", "8", None])))
    assert [case.metadata.get("patient") for case in found] == ["007", "8", None]


def test_bad_splits_are_refused():
    cases = make_set(6)
    with pytest.raises(DataError, match="unknown split 'random'; known: paper, stratified"):
        cases.split("random")
    with pytest.raises(DataError, match="validation=1"):
        cases.split("stratified", validation=1)
    with pytest.raises(DataError, match=r"the test part .* is empty"):
        cases.split("stratified", train=1.0, validation=0.2)
    with pytest.raises(DataError, match=r"the validation part .* is empty with 6 cases"):
        cases.split("paper", validation=0.01)
    cases[2].metadata["split"] = "trian"
    with pytest.raises(DataError, match="holds trian"):
        cases.split("paper")


# ---- the folder -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
def test_the_folder_round_trip_keeps_everything(tmp_path, bits):
    cases = make_set(3, masks=np.arange(SIZE[0] * SIZE[1]).reshape(1, *SIZE) % 3 == 0)
    cases[1].landmarks[[4, 9]] = np.nan
    cases[1].masks = None
    cases[2].spacing = None
    del cases[2].metadata["age"]
    found = read_cases(write_cases(tmp_path / "deep" / "toy", cases, bits=bits))
    assert (found.name, found.anatomy, found.info, found.ids) == (cases.name, cases.anatomy, cases.info, cases.ids)
    for a, b in zip(cases, found, strict=True):
        np.testing.assert_allclose(a.image, b.image, atol=0.51 / (2**bits - 1))
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=5.1e-5)  # NaN equals NaN here
        assert (a.spacing, a.metadata) == (b.spacing, b.metadata)
        assert (a.masks is None) == (b.masks is None)
        assert a.masks is None or (a.masks == b.masks).all()
    if bits == 16:
        assert found.fingerprint() == cases.fingerprint()


def test_the_fingerprint_survives_landmarks_that_lie_between_two_decimals(tmp_path):
    """Text and numpy round 0.00005 to different sides; a record's data_sha256 must not depend on it."""
    landmarks = (np.arange(74) / 7).round(4).reshape(37, 2) + 0.00005
    cases = CaseSet("toy", HAND, [make_case(landmarks=landmarks)])
    assert read_cases(write_cases(tmp_path, cases)).fingerprint() == cases.fingerprint()


def test_writing_leaves_only_the_described_files(folder):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    images = {f"images/case00{i}.png" for i in range(3)}
    assert files == {"dataset.toml", "cases.csv", "landmarks.csv", "images", *images}


def test_writing_again_without_masks_does_not_keep_the_old_ones(tmp_path):
    masks = np.ones((1, *SIZE), bool)
    write_cases(tmp_path, make_set(2, masks=masks))
    assert read_cases(tmp_path)[0].masks is not None
    write_cases(tmp_path, make_set(2))
    assert read_cases(tmp_path)[0].masks is None


def test_writing_refuses_other_depths_an_empty_set_and_a_file_in_the_way(tmp_path):
    with pytest.raises(DataError, match="bits=12"):
        write_cases(tmp_path, make_set(1), bits=12)
    with pytest.raises(DataError, match="no cases to write"):
        write_cases(tmp_path, CaseSet("toy", HAND, []))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file cannot be written"):
        write_cases(tmp_path / "file", make_set(1))


@pytest.mark.filterwarnings("error")  # "one error": no library may add a complaint of its own
@pytest.mark.parametrize("masks", [None, np.random.default_rng(7).random((1, 200, 300)) > 0.5])
def test_a_full_disk_gives_one_clear_error_and_leaves_the_old_folder_whole(folder, masks):
    if masks is None:
        cases = make_set(3, image=np.random.default_rng(9).random(SIZE))
    else:
        cases = make_set(3, image=np.zeros((200, 300)), masks=masks)  # the image compresses well, its masks don't
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with full_disk():
        with pytest.raises(DataError, match=r"toy cannot be written .*free space"):
            write_cases(folder, cases)
        gc.collect()
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before
    assert len(read_cases(folder)) == 3


def test_a_generator_of_cases_is_written_like_the_set_one_case_at_a_time(tmp_path):
    alive = []

    def one_after_the_other():
        for number in range(5):
            case = make_case(number)
            alive.append(weakref.ref(case))
            yield case
            del case
            assert sum(reference() is not None for reference in alive) <= 1

    cases = make_set(5)
    write_cases(tmp_path / "a", one_after_the_other(), name=cases.name, anatomy=HAND, info=cases.info)
    write_cases(tmp_path / "b", cases)
    files = [{path.relative_to(f): path.read_bytes() for path in f.rglob("*.*")} for f in (tmp_path / "a", tmp_path / "b")]
    assert files[0] == files[1] and len(files[0]) == 8
    assert read_cases(tmp_path / "a").fingerprint() == cases.fingerprint()


def test_a_generator_that_fails_leaves_the_old_folder_whole(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def failing(error):
        yield make_case(1)
        raise error

    for error in (DataError("bad file"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write_cases(folder, failing(error), name="toy", anatomy=HAND)
    with pytest.raises(DataError, match="two cases are called case001"):
        write_cases(folder, [make_case(1), make_case(1)], name="toy", anatomy=HAND)
    with pytest.raises(DataError, match="case case001 is a hand, the set a wrist"):
        write_cases(folder, [make_case(1)], name="toy", anatomy=WRIST)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_staged_moves_files_only_when_the_block_ends_well(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), staged(tmp_path) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "sub" / "a.txt").read_text() == "old"
    with staged(tmp_path) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.txt").write_text("new")
    assert (tmp_path / "sub" / "a.txt").read_text() == "new"
    assert not (tmp_path / ".unfinished").exists()


# ---- defects of a folder ----------------------------------------------------------------------------------------


def fails(folder: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_cases(folder)


@pytest.mark.parametrize("file", ["dataset.toml", "cases.csv", "landmarks.csv", "images/case001.png"])
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    fails(folder, f"{file} is missing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = toy", "not valid TOML"),
        ('name = "toy"', "does not name an anatomy"),
        ('anatomy = "knee"', "unknown anatomy 'knee'; built in are: chest, wrist, hand"),
    ],
)
def test_a_bad_description_is_explained(folder, text, message):
    (folder / "dataset.toml").write_text(text)
    fails(folder, f"dataset.toml.*{message}")


def test_the_name_may_be_left_out_of_the_description(folder):
    (folder / "dataset.toml").write_text('anatomy = "hand"')
    assert read_cases(folder).name == "toy"


@pytest.mark.parametrize("file", ["cases.csv", "landmarks.csv"])
@pytest.mark.parametrize("content", [b"", b'case,a\n"x,1\n', b"\xff\xfe\x00x", b"number,age\n1,2\n"])
def test_a_table_that_is_none_is_named(folder, file, content):
    (folder / file).write_bytes(content)
    fails(folder, rf"{file} (is not a readable CSV table|lacks the column)")


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("structure", 3, "foot", "unknown structure 'foot' .line 5, case case000.; known are hand"),
        ("case", 3, "case999", "unknown case 'case999' .line 5"),
        ("x", 3, "twelve", "line 5 .case case000. needs a whole index and numbers"),
        ("y", 3, "", "line 5 .case case000. needs a whole index and numbers"),
        ("index", 3, "2.5", "line 5 .case case000. needs a whole index"),
        ("index", 3, "37", "has landmark 37 of the hand, which has only 37"),
        ("index", 3, "-1", "has landmark -1"),
        ("index", 3, "2", "line 5 gives a landmark of case case000 twice"),
        ("x", 3, "4000", "case000: landmark 3 at .* far outside"),
        ("x", 3, "inf", "case000: a landmark is infinite"),
    ],
)
def test_a_bad_landmark_row_is_found(folder, column, row, value, message):
    def change(table):
        table.loc[row, column] = value
        return table

    edit(folder / "landmarks.csv", change)
    fails(folder, message)


def test_an_absent_landmark_row_means_a_missing_landmark(folder):
    edit(folder / "landmarks.csv", lambda table: table.drop(index=[5]))
    case = read_cases(folder)[0]
    assert np.isnan(case.landmarks[5]).all() and np.isnan(case.landmarks).sum() == 2


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("case", "case001", "unknown case 'case000' .line 2"),
        ("case", "", "cases.csv: line 2 names no case"),
        ("spacing", "0.5 mm", "spacing '0.5 mm' in cases.csv is not a number"),
        ("spacing", "-1", "not a positive number"),
    ],
)
def test_a_bad_row_of_cases_is_found(folder, column, value, message):
    def change(table):
        table.loc[0, column] = value
        return table

    edit(folder / "cases.csv", change)
    fails(folder, message)


def test_numbers_as_ids_stay_text(tmp_path):
    write_cases(tmp_path, CaseSet("toy", HAND, [make_case(id="007")]))
    assert read_cases(tmp_path).ids == ["007"]


def test_a_case_listed_twice_is_found(folder):
    edit(folder / "cases.csv", lambda table: pd.concat([table, table.iloc[:1]]))
    fails(folder, "two cases are called case000")


def test_a_damaged_image_and_damaged_masks_are_named(folder):
    image = folder / "images" / "case001.png"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    fails(folder, "case001.png cannot be read")
    image.write_bytes(whole)
    (folder / "masks").mkdir()
    (folder / "masks" / "case002.npz").write_bytes(b"PK not really")
    fails(folder, "case002.npz cannot be read")


def test_masks_are_never_unpickled(folder):
    (folder / "masks").mkdir()
    np.savez(folder / "masks" / "case000.npz", masks=np.array([{"a": 1}], dtype=object))
    fails(folder, "case000.npz cannot be read")


# ---- PNG --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_png_levels_are_exact(tmp_path, bits, kind):
    top = np.iinfo(kind).max
    levels = np.linspace(0, top, 64).astype(kind).reshape(8, 8)
    imsave(tmp_path / "a.png", levels, check_contrast=False)
    image = read_png(tmp_path / "a.png")
    np.testing.assert_array_equal(np.round(image * float(top)), levels)
    write_png(tmp_path / "b.png", image, bits)
    np.testing.assert_array_equal(read_png(tmp_path / "b.png"), image)


def test_grey_saved_as_colour_is_read_and_colour_refused(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    imsave(tmp_path / "grey.png", np.dstack([grey] * 3), check_contrast=False)
    np.testing.assert_allclose(read_png(tmp_path / "grey.png") * 255, grey, atol=1e-4)
    imsave(tmp_path / "colour.png", np.dstack([grey, grey, grey.T]), check_contrast=False)
    with pytest.raises(DataError, match=r"colour.png has shape .* one grey channel"):
        read_png(tmp_path / "colour.png")


def test_pixels_that_are_neither_8_nor_16_bit_are_refused(tmp_path):
    Image.fromarray(np.arange(64).reshape(8, 8) > 20).save(tmp_path / "bits.png")
    with pytest.raises(DataError, match=r"bits.png has pixels of type bool; save it with 8 or 16 bit"):
        read_png(tmp_path / "bits.png")
