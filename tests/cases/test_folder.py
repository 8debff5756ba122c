"""The data-set folder: what goes in comes out, and every defect is named."""

from __future__ import annotations

import gc
import os
import signal
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import full_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_cases import SIZE, make_case, make_set, of_patients

from denseseg.anatomy import HAND, WRIST, Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases, write_cases
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError
from denseseg.pictures import write_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cases(tmp_path / "toy", make_set(3))


def edit(path: Path, change) -> None:
    """Rewrite a CSV table after `change(table)`."""
    table = pd.read_csv(path, dtype=object)
    table = change(table)
    table.to_csv(path, index=False)


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
    assert files == {"dataset.toml", "cases.csv", "landmarks.csv", "checksums.txt", "images", *images}


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
    assert len(read_cases(folder, check=False)) == 3


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
    assert files[0] == files[1] and len(files[0]) == 9
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


def test_a_patients_name_stays_text_in_the_folder(tmp_path):
    found = read_cases(write_cases(tmp_path, of_patients(["007", "8", None])))
    assert [case.metadata.get("patient") for case in found] == ["007", "8", None]


@pytest.mark.parametrize("name", ["NA", "None", "nan", "null", "N/A", "007", "1e5", "True", "-", "a,b", 'the "first"', "患者"])
def test_any_word_may_be_a_patient_and_keeps_its_cases_together(tmp_path, name):
    found = read_cases(write_cases(tmp_path, of_patients([name] * 6 + [f"other {i}" for i in range(14)] + [None])))
    assert [case.metadata.get("patient") for case in found] == [name] * 6 + [f"other {i}" for i in range(14)] + [None]
    for seed in range(20):
        split = found.split("patients", seed=seed)
        parts = [{case.id for case in part} for part in (split.train, split.validation, split.test)]
        own = {case.id for case in found[:6]}
        assert sum(bool(own & part) for part in parts) == 1


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2.5", ""], [1, 2.5, None]),
        (["1", "NA", "3"], [1, None, 3]),  # as R writes what is missing
        (["1e-3", "-2", "+4."], [0.001, -2, 4]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["1_000", "2", "3"], ["1_000", "2", "3"]),
        (["True", "", "false"], [True, None, False]),
        (["NA", "left", "None"], ["NA", "left", "None"]),
        (["12345678901234567890", "1", "2"], [12345678901234567890, 1, 2]),
    ],
)
def test_a_further_column_is_numbers_only_where_it_holds_nothing_else(folder, cells, expected):
    edit(folder / "cases.csv", lambda table: table.assign(more=cells))
    assert [case.metadata.get("more") for case in read_cases(folder)] == expected


def test_a_column_v_and_empty_coordinates_say_what_is_missing(folder):
    rows = [line.split(",") for line in (folder / "landmarks.csv").read_text().splitlines()]
    whole = read_cases(folder)[0].landmarks
    rows[1][3:], rows[2][3:] = ["0", "0"], ["", ""]
    seen = ["v", "0", *(["2", "1"] * len(rows))]
    (folder / "landmarks.csv").write_text("\n".join(",".join([*row, v]) for row, v in zip(rows, seen, strict=False)))
    points = read_cases(folder)[0].landmarks
    assert np.isnan(points[:2]).all()
    np.testing.assert_array_equal(points[2:], whole[2:])


def test_a_blank_makes_no_other_patient_and_no_other_part(tmp_path):
    found = read_cases(write_cases(tmp_path, of_patients(["7", "7 ", " 7"] * 3 + [f"{i}" for i in range(20, 31)])))
    for seed in range(5):
        split = found.split("patients", seed=seed)
        own = {case.id for case in found[:9]}
        assert sum(bool(own & set(part.ids)) for part in (split.train, split.validation, split.test)) == 1
    for number, case in enumerate(found):
        case.metadata["split"] = "train " if number % 2 else "test\t"
    assert len(found.split("paper").test) == 10


def test_masks_of_somebody_else_are_not_taken_for_the_new_sets(folder):
    (folder / "masks").mkdir()
    np.savez(folder / "masks" / "case001.npz", masks=np.ones((1, *SIZE), bool))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r"masks/case001\.npz would be taken for the masks of a new case; move it away"):
        write_cases(folder, make_set(3))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_smaller_set_leaves_nothing_of_the_larger_one_and_what_is_not_ours_stays(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "images" / "mine.png").write_bytes(b"mine")
    write_cases(folder, make_set(1))
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    ours = {"dataset.toml", "cases.csv", "landmarks.csv", "checksums.txt", "images/case000.png"}
    assert files == ours | {"notes.txt", "images/mine.png"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
def test_a_set_that_is_killed_while_it_replaces_another_is_the_old_one_or_the_new_one(tmp_path):
    old, new = make_set(3), make_set(2, masks=np.ones((1, *SIZE), bool))
    known = {cases.fingerprint() for cases in (old, new)}
    for step in range(0, 60, 3):
        write_cases(tmp_path, old)
        if (child := os.fork()) == 0:
            left = iter(range(step, -1, -1))

            def count(event: str, _: object, left=left) -> None:
                if event in ("os.rename", "os.remove", "os.mkdir", "open") and next(left) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            write_cases(tmp_path, new)
            os._exit(0)
        os.waitpid(child, 0)
        assert read_cases(tmp_path).fingerprint() in known


TEXT = st.text(max_size=12)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(TEXT, min_size=1, max_size=3), key=TEXT, value=TEXT, name=TEXT, info=st.dictionaries(TEXT, TEXT, max_size=2))
def test_what_is_written_can_be_read_or_is_refused_and_leaves_the_folder_as_it_was(tmp_path, ids, key, value, name, info):
    case = make_case(size=(8, 8))
    write_cases(tmp_path / "a", CaseSet("old", HAND, [case]))
    try:
        cases = [replace(case, id=own, metadata={key: value, "patient": value}) for own in ids]
        written = CaseSet(name, HAND, cases, info)
        write_cases(tmp_path / "a", written)
    except DataError:
        assert read_cases(tmp_path / "a").name == "old"
        return
    found = read_cases(tmp_path / "a")
    assert (found.ids, found.name, found.info) == (ids, name, info)
    assert all(case.metadata.get("patient", "") == value for case in found)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(["dataset.toml", "cases.csv", "landmarks.csv"]), at=st.floats(0, 1), text=st.text(max_size=6))
def test_whatever_somebody_types_into_a_file_is_read_or_told(tmp_path, file, at, text):
    folder = tmp_path / "a"
    if not folder.exists():
        write_cases(folder, make_set(2, size=(8, 8)))
    whole = (folder / file).read_bytes()
    place = int(at * len(whole))
    (folder / file).write_bytes(whole[:place] + text.encode("utf-8", "surrogatepass") + whole[place:])
    try:
        read_cases(folder)
    except DataError as error:
        told = str(error)
        assert str(folder) in told and (file in told or "a: case case00" in told)
    finally:
        (folder / file).write_bytes(whole)


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


# ---- an anatomy of its own ------------------------------------------------------------------------------------------

SKULL = """
name = "three kinds"
anatomy = "skull"
kind = "phantom"
year = 2024
measured = true
source = "drawn by hand"

[[structures]]
name = "jaw"
count = 4
group = "bone"

[[structures]]
name = "profile"
count = 3
group = "soft tissue"
kind = "curve"

[[structures]]
name = "points"
count = 3
group = "points"
kind = "points"
labels = ["sella", "nasion", "gnathion"]
region = "hull"
"""


def described(folder: Path, text: str = SKULL) -> Path:
    """A data-set folder with this description and one case of ten landmarks."""
    (folder / "images").mkdir(parents=True)
    (folder / "dataset.toml").write_text(text)
    (folder / "cases.csv").write_text("case\na\n")
    rows = [(name, i) for name, count in (("jaw", 4), ("profile", 3), ("points", 3)) for i in range(count)]
    lines = [f"a,{name},{i},{n}.5,{2 * n}" for n, (name, i) in enumerate(rows)]
    (folder / "landmarks.csv").write_text("\n".join(["case,structure,index,x,y", *lines]))
    write_png(folder / "images" / "a.png", np.zeros(SIZE))
    return folder


def test_an_anatomy_may_be_described_and_further_keys_are_kept_as_text(tmp_path):
    cases = read_cases(described(tmp_path / "a"))
    jaw, profile, points = cases.anatomy.structures
    assert (cases.name, cases.anatomy.name, cases.anatomy.counts) == ("three kinds", "skull", [4, 3, 3])
    assert (jaw.kind, profile.kind, points.kind) == (Kind.OUTLINE, Kind.CURVE, Kind.POINTS)
    assert points.labels == ("sella", "nasion", "gnathion") and points.region == "hull" and profile.group == "soft tissue"
    assert cases.info == {"kind": "phantom", "year": "2024", "measured": "True", "source": "drawn by hand"}
    assert cases[0].points("points").tolist() == [[7.5, 14], [8.5, 16], [9.5, 18]]
    again = read_cases(write_cases(tmp_path / "b", cases))
    assert (again.anatomy, again.info, again.fingerprint()) == (cases.anatomy, cases.info, cases.fingerprint())


def test_a_built_in_anatomy_is_written_by_its_name_and_any_other_in_full(tmp_path):
    write_cases(tmp_path / "hand", make_set(1))
    assert "structures" not in (tmp_path / "hand" / "dataset.toml").read_text()
    own = Anatomy("hand", (Structure("hand", 37, "hand", Kind.CURVE),))  # the name of a built-in one, but another anatomy
    write_cases(tmp_path / "own", CaseSet("own", own, [make_case(anatomy=own)]))
    assert "structures" in (tmp_path / "own" / "dataset.toml").read_text()
    assert read_cases(tmp_path / "own").anatomy == own != HAND


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "three kinds"', "name = 3", "name must be a valid string, got 3"),
        ('name = "three kinds"', 'name = " "', "name String should have at least 1 character"),
        ('anatomy = "skull"', "anatomy = 1.5", "anatomy must be a valid string"),
        ('anatomy = "skull"', "", "does not name an anatomy; add a line such as"),
        ("year = 2024", "year = [2024]", r"year\S* must be a valid string"),
        ("count = 4", 'count = "4"', "structures.0.count must be a valid integer, got '4'"),
        ("count = 4", "", "structures.0.count is missing; add it"),
        ("count = 3", "count = -3", "structures.1.count must be greater than or equal to 1"),
        ('kind = "curve"', 'kind = "line"', "structures.1.kind must be 'outline', 'curve' or 'points', got 'line'"),
        ('group = "bone"', 'group = "bone"\ncolor = "red"', "structures.0.color is unknown; correct the name or remove it"),
        ('"sella", ', "", "points has 3 landmarks but 2 labels"),
        ('"sella"', "7", "structures.2.labels.0 must be a valid string, got 7"),
        ('region = "hull"', 'region = "circle"', "structures.2.region must be 'hull', got 'circle'"),
        ('kind = "curve"', 'kind = "curve"\nregion = "hull"', "profile: region = 'hull' is for kind = 'points' only"),
        ('name = "profile"', 'name = "jaw"', "two structures are called 'jaw'"),
    ],
)
def test_a_wrong_field_of_the_description_is_named_in_one_line(tmp_path, old, new, message):
    assert old in SKULL
    folder = described(tmp_path / "a", SKULL.replace(old, new, 1))
    with pytest.raises(DataError, match=rf"dataset\.toml:? .*{message}") as caught:
        read_cases(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("structures", ["structures = 3", "structures = []", 'structures = "jaw"', "[structures]\nname = 'jaw'"])
def test_structures_of_another_form_are_refused(tmp_path, structures):
    folder = described(tmp_path / "a", f'anatomy = "skull"\n{structures}\n')
    with pytest.raises(DataError, match=r"dataset\.toml: structures (must be|Tuple should have)"):
        read_cases(folder)


def test_a_set_of_cephalometric_points_is_written_read_and_fitted(tmp_path):
    """19 single landmarks on radiographs of 2400 x 1935 pixels of 0.1 mm."""
    labels = tuple(f"L{number}" for number in range(1, 20))
    anatomy = Anatomy("ceph", (Structure("landmarks", 19, "landmarks", Kind.POINTS, labels),))
    rng = np.random.default_rng(0)
    image = np.zeros((2400, 1935), np.float32)
    landmarks = rng.uniform(200, 1700, (19, 2)).round(1)
    landmarks[3] = np.nan
    column, row = np.round(landmarks[7]).astype(int)
    image[row - 8 : row + 9, column - 8 : column + 9] = 1  # a mark round the eighth
    cases = CaseSet("skulls", anatomy, [Case("001", image, landmarks, anatomy, spacing=0.1)], {"licence": "CC0"})
    found = read_cases(write_cases(tmp_path, cases))
    assert found.anatomy == anatomy and found.fingerprint() == cases.fingerprint()
    np.testing.assert_array_equal(found[0].landmarks, landmarks)
    case, frame = found[0].fitted((512, 512))
    assert case.size == (512, 512) and case.spacing == pytest.approx(0.1 * 2400 / 512)
    assert frame.offset == (50, 0) and not case.image[:, :50].any() and not case.image[:, 463:].any()
    rows, columns = np.mgrid[:512, :512]
    mark = [np.average(columns, weights=case.image), np.average(rows, weights=case.image)]
    np.testing.assert_allclose(mark, case.landmarks[7], atol=0.15)
    np.testing.assert_allclose(frame.to_original(case.landmarks), landmarks, atol=1e-9)
    assert np.isnan(case.landmarks[3]).all() and true_masks(case).sum() == 0
    np.testing.assert_allclose(np.ptp(case.landmarks[4:] * case.spacing, axis=0), np.ptp(landmarks[4:] * 0.1, axis=0))


@pytest.mark.parametrize("spacing", [0.1, 1 / 3, 1.4, 358.4 / 177, np.float32(0.144), 1, 1e-7])
def test_the_fingerprint_survives_any_spacing_and_masks(tmp_path, spacing):
    masks = np.random.default_rng(0).random((1, *SIZE)) > 0.5
    cases = CaseSet("toy", HAND, [make_case(0, spacing=spacing), make_case(1, spacing=None, masks=masks), make_case(2)])
    assert read_cases(write_cases(tmp_path, cases)).fingerprint() == cases.fingerprint()
