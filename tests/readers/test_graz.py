"""The GRAZPEDWRI-DX reader and its preparation script, on synthetic files in the published layout."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from graz_files import ABSENT, CENTRES, NAMES, RADII, GrazFiles, bone_masks, contours, radiograph, save_landmarks
from helpers import load_script
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from denseseg.anatomy import WRIST
from denseseg.cases.case_set import patients_in_both
from denseseg.cases.folder import read_cases, write_cases
from denseseg.errors import DataError
from denseseg.readers import graz, read_graz
from denseseg.readers.files import Report

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "prepare_graz.py"


@pytest.fixture
def files(tmp_path: Path) -> GrazFiles:
    return GrazFiles(tmp_path / "graz")


@pytest.fixture(autouse=True)
def folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "graz").mkdir()


def refused(paths: dict[str, Path], message: str, **options) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_graz(**paths, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


# ---- what is right --------------------------------------------------------------------------------------------------


def test_every_hand_is_a_left_one_in_the_frame_of_the_annotations(files):
    cases, report = read_graz(**files.write())
    assert cases.ids == list(NAMES) == report.kept
    assert (cases.name, cases.anatomy, cases[0].spacing) == ("GRAZPEDWRI-DX", WRIST, None)
    for number, case in enumerate(cases):
        assert case.size == (384, 224)
        np.testing.assert_allclose(case.landmarks, contours(number), atol=1e-4)  # stored as float32
        assert (case.masks == bone_masks(number)).all()
        assert ((case.image > 0.5) == bone_masks(number).any(axis=0)).mean() > 0.98


@pytest.mark.parametrize("mirror", [False, True])
def test_landmarks_lie_on_the_bones_of_the_image_not_a_third_of_a_pixel_beside_them(tmp_path, mirror):
    """Resizing and mirroring move pixel centres as they move landmarks: bones keep their centre of mass."""
    image = radiograph(size=(3 * 384, 3 * 224))
    Image.fromarray(image[:, ::-1] if mirror else image).save(tmp_path / "a.png", compress_level=1)
    found = graz.read_wrist(tmp_path / "a.png", mirror)
    y, x = np.mgrid[:384, :224]
    for cx, cy in CENTRES:
        near = (abs(x - cx) < 20) & (abs(y - cy) < 26)
        weights = np.clip(found[near] - 0.2, 0, None)
        middle = np.average(x[near], weights=weights), np.average(y[near], weights=weights)
        np.testing.assert_allclose(middle, (cx, cy), atol=0.05)


def test_grey_values_run_from_each_images_smallest_to_its_largest(tmp_path):
    values = np.random.default_rng(0).integers(500, 9000, (384, 224)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = (values - values.min()) / np.ptp(values)
    np.testing.assert_allclose(graz.read_wrist(tmp_path / "a.png", mirror=False), expected, atol=1e-6)
    np.testing.assert_allclose(graz.read_wrist(tmp_path / "a.png", mirror=True), expected[:, ::-1], atol=1e-6)


def test_large_images_are_smoothed_before_they_are_made_small(tmp_path):
    stripes = np.indices((1152, 672)).sum(axis=0) % 2 * 60000
    Image.fromarray(stripes.astype(np.uint16)).save(tmp_path / "a.png")
    inner = graz.read_wrist(tmp_path / "a.png", mirror=False)[5:-5, 5:-5]
    assert abs(inner - 0.5).max() < 0.06


def test_metadata_say_who_and_which_part(files):
    cases, report = read_graz(**files.write())
    assert cases[0].metadata == {
        "split": "train",
        "fold": 0,
        "stratum": "12 to 15 years",
        "age_months": 170.4,
        "patient": "1",
        "sex": "male",
        "laterality": "L",
        "cast": 0,
        "metal": 0,
    }
    assert [case.metadata["fold"] for case in cases] == [0, 2, -1, 1, 0]
    assert [case.metadata["split"] for case in cases] == ["train", "train", "test", "test", "train"]
    assert [case.metadata["cast"] for case in cases] == [0, 0, 1, 0, 0]
    assert cases[1].metadata["metal"] == 1 and cases[1].metadata["laterality"] == "R"
    assert "1 patients are in both parts of the published split, with 1 of the 2 test cases; split('patients')" in str(report)
    assert patients_in_both(cases.split("paper", validation=0)) == ["2"]
    assert patients_in_both(cases.split("patients", validation=0, train=0.6)) == []


@pytest.mark.parametrize("absent", ["nan", "keep"])
def test_a_bone_with_an_empty_mask_is_absent_or_keeps_its_landmarks(files, absent):
    files.masks[NAMES[3]][ABSENT] = False
    cases, report = read_graz(**files.write(), absent=absent)
    assert not cases[3].masks[ABSENT].any()
    gone = np.isnan(cases[3].landmarks).all(axis=1)
    assert (gone == ((WRIST.membership == ABSENT) & (absent == "nan"))).all()
    words = "absent from the image, without landmarks" if absent == "nan" else "landmarks kept all the same"
    assert f"empty masks ({words}): pisiform in 1 cases" in str(report)
    assert not np.isnan(np.delete(cases.landmarks, 3, axis=0)).any()


def test_the_plain_table_of_the_distribution_will_do_without_a_published_split(files):
    files.table = files.table[["filestem", "laterality", "projection"]]
    cases, report = read_graz(**files.write())
    assert cases[0].metadata == {"laterality": "L", "stratum": "age unknown"}
    assert "no column cv_test_idx, so there is no published split" in str(report)
    with pytest.raises(DataError, match="use scheme='stratified'"):
        cases.split("paper")


def test_without_patients_the_report_does_not_claim_to_know(files):
    files.table = files.table.drop(columns="patient_id")
    assert "nobody can tell whether patients are in both parts" in str(read_graz(**files.write())[1])


def test_cases_come_one_at_a_time(files, monkeypatch):
    """An image is converted when its case is asked for, not before, apart from the sample that is looked at first."""
    monkeypatch.setattr(graz, "SAMPLE", 1)
    opened = []
    read = graz.read_wrist
    monkeypatch.setattr(graz, "read_wrist", lambda path, mirror: opened.append(path.stem) or read(path, mirror))
    report = Report()
    cases = graz.graz_cases(**files.write(), report=report)
    assert opened == []
    assert next(cases).id == NAMES[0] and set(opened) == {NAMES[0]} and report.kept == [NAMES[0]]
    assert next(cases).id == NAMES[1] and set(opened) == set(NAMES[:2])


def test_memory_does_not_grow_with_the_number_of_cases(files):
    def peak(n: int) -> int:
        names = [f"{i:04d}" for i in range(n)]
        table = files.table.iloc[[0] * n].assign(filestem=names, patient_id=names)
        few = GrazFiles(
            files.folder / str(n),
            table,
            dict.fromkeys(names, bone_masks()),
            dict.fromkeys(names, contours()),
            dict.fromkeys(names, radiograph(size=(40, 30))),
        )
        few.folder.mkdir()
        paths = few.write()
        tracemalloc.start()
        write_cases(files.folder / f"out{n}", graz.graz_cases(**paths, report=Report()), name="g", anatomy=WRIST)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(1)  # what is imported at first use
    assert peak(10) < peak(2) + 3e6  # 8 cases more would take 14 MB


# ---- what is missing ------------------------------------------------------------------------------------------------


def test_cases_that_lack_something_are_left_out_and_the_reason_is_said_once(files):
    files.table.loc[1, "projection"] = 3
    files.table.loc[2, "cv_test_idx"] = None
    del files.images[NAMES[3]], files.masks[NAMES[4]]
    files.points["nobody"] = contours()
    files.masks["0007"] = files.masks["0008"] = bone_masks()
    files.images["9999"] = radiograph()
    cases, report = read_graz(**files.write())
    assert cases.ids == [NAMES[0]]
    assert report.left_out == {
        "nobody": "the table has no such filestem",
        NAMES[1]: "projection 3 is not frontal (1)",
        NAMES[2]: "the table gives no cv_test_idx",
        NAMES[3]: "no image",
        NAMES[4]: "no masks",
    }
    assert "images without landmarks, not used: 1" in str(report) and "masks without landmarks, not used: 2" in str(report)
    assert f"kept 1 cases, left out 5\nleft out {NAMES[1]}: projection 3" in str(report)


def test_many_cases_left_out_for_one_reason_take_one_line(files):
    report = Report(left_out={f"{i:04d}": "no image" for i in range(3600)})
    assert str(report) == "kept 0 cases, left out 3600\nleft out 3600 cases (0000, 0001, 0002, 0003, 0004, ...): no image"


def test_where_nothing_is_left_the_commonest_reason_is_told(files):
    for name in NAMES:
        del files.images[name]
    files.images["another"] = radiograph()
    refused(files.write(), "lms_dsc_900.pth: none of its 5 cases can be used; for most of them: no image")


def test_a_single_case_whose_landmarks_are_elsewhere_or_whose_masks_are_empty_is_left_out(files):
    files.points[NAMES[0]] = contours() + 60
    files.masks[NAMES[2]][:] = False
    files.points[NAMES[4]][700] = (-250, 10)
    cases, report = read_graz(**files.write())
    assert cases.ids == [NAMES[1], NAMES[3]]
    assert report.left_out.pop(NAMES[4]).startswith("landmark 700 at [-250.0, 10.0] lies far outside the 224 x 384 image")
    assert report.left_out == {
        NAMES[0]: "most of its bones have their landmarks away from their masks",
        NAMES[2]: "all its masks are empty",
    }


def test_a_single_odd_bone_and_a_single_inverted_image_are_noted(files):
    files.points[NAMES[0]][WRIST.slices["hamate"]] += 60
    files.images[NAMES[4]] = 20000 - files.images[NAMES[4]]
    cases, report = read_graz(**files.write())
    assert len(cases) == 5
    assert f"a bone's landmarks lie more than 10 pixels off its mask, please look at {NAMES[0]}" in report.notes
    assert f"bones darker than the rest, please look at {NAMES[4]}" in report.notes


# ---- what is wrong: all of it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        (lambda p: p[:, ::-1], r"x and y are swapped: each row must be \(y, x\)"),
        (lambda p: p - 32, "they must be in the frame with 32 pixels of padding"),
        (lambda p: (223, 0) + p * (-1, 1), "they are mirrored: all hands must be shown as left ones"),
        (lambda p: p[::-1], "check that the two files belong together"),
        (lambda p: p * 1.6, "check that the two files belong together"),
    ],
)
def test_landmarks_in_another_frame_are_recognised_before_the_work_begins(files, tmp_path, change, mend):
    for name in NAMES:
        files.points[name] = change(files.points[name])
    refused(
        files.write(),
        f"lms_dsc_900.pth: landmarks lie away from the masks in 5 of 5 cases looked at; {mend}",
        converted=tmp_path / "k",
    )
    assert not (tmp_path / "k").exists()


@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(0.95, 1.05))
@settings(max_examples=20, deadline=None)
def test_landmarks_that_are_a_few_pixels_off_are_not_accused(dx, dy, scale):
    centre = np.array([112.0, 192.0])
    moved = (contours() - centre) * (1 + (scale - 1) / 5) + centre + (dx * 0.9, dy * 0.9)
    assert graz.misplaced(moved, bone_masks()) is None


@given(st.integers(0, 16), st.floats(15, 208), st.floats(21, 362))
@settings(max_examples=20, deadline=None)
def test_a_bone_is_astray_when_its_middle_is_ten_pixels_off_the_box_of_its_mask(bone, x, y):
    points = contours()
    middle = CENTRES[bone]
    beyond = (np.abs((x, y) - middle) - RADII).max()
    assume(abs(beyond - 10) > 1.5)  # a mask is whole pixels, its ellipse is not
    points[WRIST.membership == bone] += (x, y) - middle
    assert graz.astray(points, bone_masks()).tolist() == [i == bone and beyond > 10 for i in range(17)]


def test_a_bone_that_the_border_cuts_off_is_not_astray():
    points, masks = contours(), bone_masks()
    for bone in range(17):  # a shaft that goes on 150 pixels beyond the lower border, of which the mask shows the last 20
        points[WRIST.membership == bone] = np.linspace((100, 364), (110, 530), WRIST.counts[bone])
        masks[bone] = False
        masks[bone, 364:, 95:115] = True
    assert not graz.astray(points, masks).any()


def test_inverted_images_are_refused(files):
    files.images = {name: 20000 - image for name, image in files.images.items()}
    refused(files.write(), "images: bones are darker than the rest in 5 of 5 images; invert them")


def test_images_of_right_hands_that_are_mirrored_already_are_refused(files):
    files.images = {name: image[:, ::-1] if "-R1" in name else image for name, image in files.images.items()}
    refused(files.write(), "right hands fit their masks without mirroring; give the images as they were published")


# ---- what is wrong: a file ------------------------------------------------------------------------------------------


def test_the_folder_of_images(files, tmp_path):
    paths = files.write()
    refused(paths | {"images": tmp_path / "nowhere"}, "nowhere is not a folder")
    (tmp_path / "empty").mkdir()
    refused(paths | {"images": tmp_path / "empty"}, "empty holds no PNG image, nor does a folder below it; unpack")
    Image.fromarray(radiograph()).save(paths["images"] / f"{NAMES[0]}.png")
    refused(paths, f"images/{NAMES[0]}.png and .*part1/{NAMES[0]}.png are the same case")


def test_an_image_that_cannot_be_used_is_named(files):
    paths = files.write()
    path = paths["images"] / "images_part1" / f"{NAMES[2]}.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    refused(paths, f"{NAMES[2]}.png cannot be read .*; copy it again")
    Image.fromarray(np.full((50, 40), 7, np.uint16)).save(path)
    refused(paths, f"{NAMES[2]}.png: all pixels have the same value")


def row(number: int, column: str, value):
    return lambda table: table.astype(object).where(~((table.index.values[:, None] == number) & (table.columns == column)), value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["laterality"]), "csv lacks the column\\(s\\) laterality; give dataset_with_cv_split.csv"),
        (
            lambda t: t.iloc[[0, 1, 2, 2, 3, 4]],
            f"csv: line 5 .{NAMES[2]}. has filestem '{NAMES[2]}'; it must be a name that is there once",
        ),
        (row(1, "laterality", "rechts"), f"csv: line 3 .{NAMES[1]}. has laterality 'rechts'; it must be L or R: mend"),
        (row(1, "laterality", None), f"csv: line 3 .{NAMES[1]}. has laterality .empty.; it must be L or R"),
        (row(2, "projection", "pa"), f"line 4 .{NAMES[2]}. has projection 'pa'; it must be a number"),
        (row(2, "projection", None), f"line 4 .{NAMES[2]}. has projection .empty.; it must be a number, 1 for frontal"),
        (row(0, "age", -3), f"line 2 .{NAMES[0]}. has age -3; it must be years"),
        (row(0, "age", "14,2"), f"line 2 .{NAMES[0]}. has age '14,2'; it must be a number"),
        (row(0, "cv_test_idx", 7), f"line 2 .{NAMES[0]}. has cv_test_idx 7; it must be -1, 0, 1 or 2"),
    ],
)
def test_a_bad_table(files, change, message):
    files.table = change(files.table)
    refused(files.write(), message)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n"1,2\n'])
def test_a_file_that_is_no_table(files, content):
    paths = files.write()
    paths["table"].write_bytes(content)
    refused(paths, "dataset_with_cv_split.csv is (not a readable CSV table|no text in UTF-8)")
    paths["table"].unlink()
    refused(paths, "dataset_with_cv_split.csv is missing; give dataset_with_cv_split.csv")


def test_the_file_of_masks(files, tmp_path):
    paths = files.write()
    path = paths["segmentations"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(paths, "no_cast.h5 cannot be read as HDF5 .*; get raw_segmentations_no_cast.h5")
    path.unlink()
    refused(paths, "no_cast.h5 is missing; get raw_segmentations_no_cast.h5 from the authors")
    with h5py.File(path, "w") as file:
        file["masks"] = 1
    refused(paths, "no_cast.h5 has no group 'segmentation_mask'")
    path.write_bytes(damaged(whole))
    refused(paths, f"no_cast.h5: the masks of {NAMES[0]} cannot be read")


def damaged(whole: bytes) -> bytes:
    """The first compressed block spoilt, the table of contents whole."""
    start = whole.index(b"\x78\x01")  # how zlib's fastest level begins
    return whole[:start] + b"\x00" * 40 + whole[start + 40 :]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((16, 384, 224)), r"the masks of 0002.* have shape \(16, 384, 224\) instead of \(17, 384, 224\)"),
        (np.zeros((17, 224, 384)), r"have shape \(17, 224, 384\)"),
        (np.full((17, 384, 224), np.nan), "masks of 0002.* are not finite numbers"),
    ],
)
def test_bad_masks(files, masks, message):
    paths = files.write()
    with h5py.File(paths["segmentations"], "a") as file:
        del file["segmentation_mask"][NAMES[1]]
        file["segmentation_mask"][NAMES[1]] = masks
    refused(paths, message)


def test_a_group_in_the_place_of_masks(files):
    paths = files.write()
    with h5py.File(paths["segmentations"], "a") as file:
        del file["segmentation_mask"][NAMES[1]]
        file["segmentation_mask"].create_group(NAMES[1])
    refused(paths, "masks of 0002.* have shape None instead of")


class Malicious:
    """Its unpickling would leave a file behind."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_program_in_the_landmark_file_is_not_run(files, tmp_path, zipped):
    paths = files.write()
    content = torch.load(paths["landmarks"], weights_only=True)
    torch.save(content | {"more": Malicious(tmp_path / "was here")}, paths["landmarks"], _use_new_zipfile_serialization=zipped)
    refused(
        paths, "lms_dsc_900.pth is damaged, or holds more than tensors, lists and text .UnpicklingError.; nothing in it was run"
    )
    assert not (tmp_path / "was here").exists()
    torch.load(paths["landmarks"], weights_only=False)
    assert (tmp_path / "was here").exists()  # so the file would indeed have done it


def test_a_damaged_landmark_file(files):
    paths = files.write()
    whole = paths["landmarks"].read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2]):
        paths["landmarks"].write_bytes(content)
        refused(paths, "lms_dsc_900.pth is damaged, or holds more than .*: get it again")
    paths["landmarks"].unlink()
    refused(paths, "lms_dsc_900.pth is missing")


def bones(count: int = 17, **changes) -> list[torch.Tensor]:
    parts = list(torch.from_numpy(contours()[:, ::-1] + 32).float().split(WRIST.counts))
    parts[6] = changes.get("scaphoid", parts[6])
    return parts[:count]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "does not hold a list `keys` and a list `lms` of the same length"),
        ({"keys": [NAMES[0]]}, "does not hold a list `keys` and a list `lms`"),
        ({"keys": list(NAMES), "lms": [bones()] * 4}, "of the same length; give lms_dsc_900.pth"),
        ({"keys": 3, "lms": 3}, "does not hold a list"),
        ({"keys": [], "lms": []}, "does not hold a list"),
        ({"keys": [NAMES[0]] * 2, "lms": [bones()] * 2}, f"holds {NAMES[0]} twice"),
        ({"keys": [NAMES[0]], "lms": [bones(16)]}, f"lms_dsc_900.pth: {NAMES[0]} has 16 bones instead of 17"),
        ({"keys": [NAMES[0]], "lms": [[[1, 2]] * 17]}, f"{NAMES[0]} does not have a list of tensors"),
        (
            {"keys": [NAMES[0]], "lms": [bones(scaphoid=torch.zeros(29, 2))]},
            rf"{NAMES[0]} has landmarks of shape \(29, 2\) for the scaphoid instead of \(30, 2\)",
        ),
        (
            {"keys": [NAMES[0]], "lms": [bones(scaphoid=torch.full((30, 2), torch.nan))]},
            f"{NAMES[0]} has a landmark that is not finite",
        ),
    ],
)
def test_bad_landmarks(files, content, message):
    paths = files.write()
    torch.save(content, paths["landmarks"])
    refused(paths, message)


def test_unknown_meaning_of_absent_bones(files):
    refused(files.write(), "absent='drop': give 'nan' .* or 'keep'", absent="drop")


# ---- the script -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script():
    return load_script(SCRIPT)


def arguments(paths: dict[str, Path], out: Path, *options: str) -> list[str]:
    return [*(text for name, path in paths.items() for text in (f"--{name}", str(path))), *options, str(out)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_script_writes_a_folder_and_reports_in_words(files, tmp_path):
    files.masks[NAMES[3]][ABSENT] = False
    paths = files.write()
    command = [sys.executable, str(SCRIPT), *arguments(paths, tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "kept 5 cases, left out 0\nnote: empty masks" in done.stdout and "patients are in both parts" in done.stdout
    assert "5/5" in done.stderr  # the progress bar
    assert (tmp_path / "out" / "report.txt").read_text() in done.stdout
    found, expected = read_cases(tmp_path / "out"), read_graz(**paths)[0]
    assert found.fingerprint() == expected.fingerprint()
    assert [case.metadata for case in found] == [case.metadata for case in expected]
    assert all((a.masks == b.masks).all() and a.spacing is None for a, b in zip(found, expected, strict=True))
    assert found[3].points("pisiform").shape == (30, 2) and np.isnan(found[3].points("pisiform")).all()
    assert "CC BY 4.0, cite Nagy et al." in found.info["licence"]


def test_the_script_can_keep_landmarks_of_absent_bones_and_verifies_checksums(files, tmp_path, script, capsys):
    files.masks[NAMES[3]][ABSENT] = False
    paths = files.write()
    images = sorted(paths["images"].rglob("*.png"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(paths['images'])}" for path in images]
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("\n".join(lines))
    assert script.main(arguments(paths, tmp_path / "out", "--absent", "keep", "--checksums", str(sums))) == 0
    assert not np.isnan(read_cases(tmp_path / "out").landmarks).any()
    assert "checksum" not in capsys.readouterr().out
    sums.write_text("\n".join(lines[1:]))
    assert script.main(arguments(paths, tmp_path / "out", "--checksums", str(sums))) == 0
    assert f"no checksum for {images[0].stem}" in capsys.readouterr().out
    sums.write_text("0" * 64 + lines[0][64:])
    assert script.main(arguments(paths, tmp_path / "out", "--checksums", str(sums))) == 1
    assert "differs from its checksum" in capsys.readouterr().err


def test_an_error_of_the_script_is_one_line_and_leaves_the_old_folder_whole(files, tmp_path, script, capsys):
    paths = files.write()
    out = tmp_path / "out"
    assert script.main(arguments(paths, out)) == 0
    before = contents(out)
    save_landmarks(paths["landmarks"], {name: points[:, ::-1] for name, points in files.points.items()})
    capsys.readouterr()
    assert script.main(arguments(paths, out)) == 1
    errors = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if not line.startswith("GRAZ")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and "x and y are swapped" in errors[0]
    assert contents(out) == before


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (OSError("disk on fire"), 1)])
def test_a_stopped_run_goes_on_where_it_was(files, tmp_path, script, monkeypatch, capsys, stop, code):
    paths, out = files.write(), tmp_path / "out"
    monkeypatch.setattr(graz, "SAMPLE", 1)
    opened: list[str] = []
    read = graz.read_wrist

    def read_three(path: Path, mirror: bool) -> np.ndarray:
        if len(opened) == 3:
            raise stop
        opened.append(path.stem)
        return read(path, mirror)

    monkeypatch.setattr(graz, "read_wrist", read_three)
    assert script.main(arguments(paths, out)) == code
    assert ("the same command goes on" in capsys.readouterr().err) == (code == 130)
    assert sorted(path.name for path in out.iterdir()) == ["images", "source.txt"]
    assert sorted(path.stem for path in (out / "images").iterdir()) == opened == list(NAMES[:3])
    with pytest.raises(DataError, match=r"dataset.toml is missing: not a finished"):
        read_cases(out)
    (out / "images" / f"{NAMES[1]}.png").write_bytes(b"half")
    opened.clear()
    assert script.main(arguments(paths, out)) == 0
    assert opened == [NAMES[1], *NAMES[3:]]
    monkeypatch.setattr(graz, "read_wrist", read)
    assert read_cases(out).fingerprint() == read_graz(**paths)[0].fingerprint()


def test_the_script_does_not_mix_two_sources(files, tmp_path, script, capsys):
    paths, out = files.write(), tmp_path / "out"
    assert script.main(arguments(paths, out)) == 0
    before = contents(out)
    Image.fromarray(radiograph(9)).save(paths["images"] / "images_part1" / f"{NAMES[0]}.png")
    capsys.readouterr()
    assert script.main(arguments(paths, out)) == 1
    assert "out holds something else" in capsys.readouterr().err and contents(out) == before


def test_help_says_where_the_files_come_from(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert all(word in text for word in ("Nagy et al.", "CC BY 4.0", "MDL-UzL/DenseSeg", "lms_dsc_900.pth", "--absent"))
