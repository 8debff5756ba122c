"""The JSRT reader and its preparation script, on synthetic files in the public layouts."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jsrt_files import NAMES, contour, radiograph, save_png, write_img, write_landmarks
from PIL import Image
from skimage.draw import polygon2mask

from denseseg.anatomy import CHEST
from denseseg.cases.folder import read_cases
from denseseg.errors import DataError
from denseseg.readers import jsrt, read_jsrt

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "prepare_jsrt.py"


@pytest.fixture
def copy(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of five PNG images of 64 pixels, and of their landmarks."""
    images, landmarks = tmp_path / "images", tmp_path / "landmarks"
    images.mkdir()
    for number, name in enumerate(NAMES):
        save_png(images / f"{name}.png", radiograph(64, number))
        write_landmarks(landmarks, name, number)
    return images, landmarks


# ---- what is right --------------------------------------------------------------------------------------------


def test_an_original_img_file_is_big_endian_and_inverted(tmp_path):
    image = np.linspace(0, 1, 2048 * 2048).reshape(2048, 2048)
    image[0, :2] = 1, 0
    write_img(tmp_path / "JPCLN001.IMG", image)
    assert (tmp_path / "JPCLN001.IMG").read_bytes()[:4] == b"\x00\x00\x0f\xff"
    found = jsrt.read_img_file(tmp_path / "JPCLN001.IMG")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, image, atol=0.51 / 4095)


def test_img_files_become_cases_of_the_wanted_size(tmp_path):
    write_img(tmp_path / "JPCNN001.IMG", radiograph(2048))
    write_landmarks(tmp_path, "JPCNN001")
    cases, report = read_jsrt(tmp_path, tmp_path, size=128)
    case = cases[0]
    assert case.size == (128, 128) and case.spacing == pytest.approx(2.8)
    assert report.kept == ["JPCNN001"] and not report.left_out
    inside = np.abs(radiograph(128) - case.image) < 0.05
    assert inside.mean() > 0.9  # all but the blurred outlines
    np.testing.assert_allclose(case.points("heart"), (contour("heart") + 0.5) / 8 - 0.5)


@pytest.mark.parametrize(("size", "bits"), [(64, 8), (64, 16), (224, 16), (1024, 8)])
def test_png_copies_of_any_size_and_depth(tmp_path, size, bits):
    save_png(tmp_path / "JPCLN001.png", radiograph(size), bits)
    write_landmarks(tmp_path, "JPCLN001")
    case = read_jsrt(tmp_path, tmp_path)[0][0]
    np.testing.assert_allclose(case.image, radiograph(size), atol=0.51 / (2**bits - 1))
    assert case.spacing == pytest.approx(358.4 / size)
    for structure in CHEST.names:
        expected = (contour(structure) + 0.5) * size / 1024 - 0.5
        np.testing.assert_allclose(case.points(structure), expected)
    millimetres = np.ptp(case.points("heart") * case.spacing, axis=0)
    np.testing.assert_allclose(millimetres, np.ptp(contour("heart") * 0.35, axis=0))


def test_reading_at_a_size_equals_reading_and_resizing(copy):
    for a, b in zip(read_jsrt(*copy, size=32)[0], read_jsrt(*copy)[0].resized((32, 32)), strict=True):
        np.testing.assert_allclose(a.image, b.image, atol=1e-6)
        np.testing.assert_allclose(a.landmarks, b.landmarks)
        assert a.spacing == pytest.approx(b.spacing)


def test_cases_come_in_file_name_order_with_stratum_and_the_split_of_the_paper(copy):
    cases, report = read_jsrt(*copy)
    assert cases.ids == list(NAMES) == report.kept
    assert [case.metadata["stratum"] for case in cases] == ["nodule"] * 2 + ["normal"] * 3
    assert [case.metadata["split"] for case in cases] == ["train"] * 3 + ["test"] * 2  # by name, however few there are
    assert "5 of 247 cases: of the paper's 160 training images 3, of its 87 test images 2" in str(report)


def test_without_a_training_image_the_test_part_is_the_papers_all_the_same(tmp_path):
    names = [f"JPCLN{n:03d}" for n in range(1, 155) if n != 16] + [f"JPCNN{n:03d}" for n in range(1, 94)]
    for name in names:
        save_png(tmp_path / f"{name}.png", np.pad(np.full((6, 6), 0.5), 1))
        write_landmarks(tmp_path, name)
    cases, report = read_jsrt(tmp_path, tmp_path)
    assert [case.metadata["split"] for case in cases] == ["train"] * 159 + ["test"] * 87
    assert cases[159].id == "JPCNN007"
    assert report.notes == ["246 of 247 cases: of the paper's 160 training images 159, of its 87 test images 87"]


def test_names_in_lower_case_and_other_files_are_no_obstacle(copy):
    images, landmarks = copy
    (images / "JPCLN001.png").rename(images / "jpcln001.PNG")
    (images / "readme.txt").write_text("not an image")
    (images / "overview.png").write_bytes(b"not a case")
    write_landmarks(landmarks, "chest_of_another_data_set")
    assert read_jsrt(images, landmarks)[0].ids == list(NAMES)


# ---- what is missing ------------------------------------------------------------------------------------------


def test_a_case_without_landmarks_is_left_out_and_reported(copy):
    images, landmarks = copy
    save_png(images / "JPCLN016.png", radiograph(64))
    cases, report = read_jsrt(images, landmarks)
    assert "JPCLN016" not in cases.ids
    assert report.left_out == {"JPCLN016": "no landmarks in any of the five folders"}
    assert "left out JPCLN016: no landmarks" in str(report)


def test_a_missing_structure_is_nan_and_reported(copy):
    images, landmarks = copy
    (landmarks / "H" / "JPCLN002.npy").unlink()
    cases, report = read_jsrt(images, landmarks)
    case = cases[1]
    assert np.isnan(case.points("heart")).all() and np.isnan(case.landmarks).sum() == 2 * 26
    assert "no landmarks of the heart, which counts as missing, in JPCLN002" in str(report)


def test_a_structure_that_is_missing_everywhere_takes_one_line_of_the_report(copy):
    images, landmarks = copy
    for path in (landmarks / "LCLA").iterdir():
        path.unlink()
    (landmarks / "LCLA").rmdir()
    save_png(images / "JPCNN004.png", radiograph(64))
    write_landmarks(landmarks, "JPCNN004", skip=("left clavicle",))
    for path in (landmarks / "LCLA").iterdir():
        path.unlink()
    notes = [note for note in read_jsrt(images, landmarks)[1].notes if "left clavicle" in note]
    assert len(notes) == 1 and "6 cases (JPCLN001, " in notes[0] and notes[0].endswith("...)")


def test_landmarks_without_an_image_are_reported(copy):
    images, landmarks = copy
    (images / "JPCNN007.png").unlink()
    cases, report = read_jsrt(images, landmarks)
    assert len(cases) == 4 and "landmarks without an image, not used: JPCNN007" in str(report)


# ---- what is wrong --------------------------------------------------------------------------------------------


def refused(images: Path, landmarks: Path, message: str, **options) -> None:
    with pytest.raises(DataError, match=message):
        read_jsrt(images, landmarks, **options)


def test_folders_that_hold_nothing_are_named(copy, tmp_path):
    images, landmarks = copy
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "nowhere", landmarks, "nowhere is not a folder")
    refused(tmp_path / "empty", landmarks, "empty holds no JSRT image; expected names are JPCLN001.IMG")
    refused(images, tmp_path / "empty", "empty holds none of the folders RL, LL, H, RCLA, LCLA")
    write_landmarks(tmp_path / "others", "JPCNN099")
    refused(images, tmp_path / "others", "none of the 1 cases of .*others is among the 5 images")
    refused(images, landmarks, "size=0: give at least 8", size=0)


@pytest.mark.parametrize("n_bytes", [0, 1001, 2 * 2048 * 2048 - 2])
def test_a_truncated_img_file_says_how_many_bytes(tmp_path, n_bytes):
    (tmp_path / "JPCLN001.IMG").write_bytes(b"\x00" * n_bytes)
    write_landmarks(tmp_path, "JPCLN001")
    refused(tmp_path, tmp_path, f"JPCLN001.IMG has {n_bytes} bytes instead of 8388608")


def test_swapped_bytes_and_other_depths_of_an_img_file_are_told_apart(tmp_path):
    path = tmp_path / "JPCLN001.IMG"
    np.full((2048, 2048), 1000, dtype="<u2").tofile(path)
    with pytest.raises(DataError, match="its bytes are in little-endian order"):
        jsrt.read_img_file(path)
    np.full((2048, 2048), 0x7F7F, dtype=">u2").tofile(path)
    with pytest.raises(DataError, match=r"values up to 32639, .*it is not a JSRT original"):
        jsrt.read_img_file(path)
    with pytest.raises(DataError, match="is missing; correct"):
        jsrt.read_img_file(tmp_path / "none.IMG")


def test_an_image_that_is_not_square_is_refused(copy):
    images, landmarks = copy
    save_png(images / "JPCLN002.png", radiograph(64)[:60])
    refused(images, landmarks, "JPCLN002.png has 64 x 60 pixels; JSRT is square")


def test_a_damaged_png_is_named(copy):
    images, landmarks = copy
    (images / "JPCLN002.png").write_bytes((images / "JPCLN002.png").read_bytes()[:70])
    refused(images, landmarks, "JPCLN002.png cannot be read")


def test_the_same_case_twice_is_refused(copy):
    images, landmarks = copy
    (images / "JPCLN001.IMG").write_bytes(b"")
    refused(images, landmarks, "JPCLN001.IMG and JPCLN001.png are the same case; keep one")


def test_inverted_copies_are_refused_and_a_single_one_is_noted(copy):
    images, landmarks = copy
    for number, name in enumerate(NAMES):
        if number == 1:
            note = f"lungs brighter than the heart, please look at {NAMES[0]}"
            assert note in str(read_jsrt(images, landmarks)[1])
        save_png(images / f"{name}.png", 1 - radiograph(64, number))
    refused(images, landmarks, "lungs are brighter than the heart in 5 of 5 images; invert them")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((50, 2)), r"H/JPCLN002.npy has shape \(50, 2\) instead of \(26, 2\); check that it lies in the right folder"),
        (np.zeros(52), "has shape"),
        (np.full((26, 2), np.nan), "not finite numbers"),
        (np.full((26, 2), "a"), "not finite numbers|cannot be read"),
        (np.array([[{}, {}]] * 26), "H/JPCLN002.npy cannot be read"),  # would have to be unpickled
        (contour("heart") * 2, r"landmarks of JPCLN002 span .*; they must be in the frame of 1024 x 1024"),
        (contour("heart") - (0, 515), "the heart above a clavicle"),
        (contour("heart") - 600, "must be in the frame"),
    ],
)
def test_bad_landmarks_are_refused(copy, points, message):
    images, landmarks = copy
    np.save(landmarks / "H" / "JPCLN002.npy", points, allow_pickle=True)
    refused(images, landmarks, message)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00 half a header", b"text"])
def test_a_damaged_landmark_file_is_named(copy, content):
    images, landmarks = copy
    (landmarks / "RL" / "JPCNN006.npy").write_bytes(content)
    refused(images, landmarks, "RL/JPCNN006.npy cannot be read .*; copy it again")


def test_swapped_axes_are_recognised(copy):
    images, landmarks = copy
    for structure, part in jsrt.FOLDERS.items():
        np.save(landmarks / part / "JPCLN002.npy", contour(structure)[:, ::-1])
    refused(images, landmarks, "landmarks of JPCLN002 .*; x and y are swapped")


def test_mirrored_landmarks_are_recognised(copy):
    images, landmarks = copy
    for structure, part in jsrt.FOLDERS.items():
        np.save(landmarks / part / "JPCLN002.npy", (1023, 0) + contour(structure) * (-1, 1))
    refused(images, landmarks, "right side right of the left.*; check that the folders are not mixed up")


# ---- masks and checksums --------------------------------------------------------------------------------------


def write_masks(folder: Path, name: str, fold: str = "fold1", skip: tuple[str, ...] = ()) -> None:
    for structure in CHEST.names:
        if structure not in skip:
            path = folder / fold / "masks" / structure / f"{name}.gif"
            path.parent.mkdir(parents=True, exist_ok=True)
            mask = polygon2mask((1024, 1024), contour(structure)[:, ::-1])
            Image.fromarray((mask * 255).astype(np.uint8)).save(path)


def test_scr_masks_of_both_folds_are_read_in_the_anatomys_order(copy, tmp_path):
    images, landmarks = copy
    write_masks(tmp_path / "scr", "JPCLN001", "fold1")
    write_masks(tmp_path / "scr", "JPCNN006", "fold2")
    write_masks(tmp_path / "scr", "JPCNN007", "fold2", skip=("heart",))
    cases, report = read_jsrt(images, landmarks, tmp_path / "scr")
    assert [case.masks is not None for case in cases] == [True, False, True, False, False]
    assert "landmarks' contours stand in for them: JPCLN002, JPCNN007, JPCNN093" in str(report)
    assert cases[0].masks.shape == (5, 64, 64)
    for structure, mask in zip(CHEST.names, cases[0].masks, strict=True):
        points = (contour(structure) + 0.5) / 16 - 0.5
        expected = polygon2mask((64, 64), points[:, ::-1])
        assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.9
    assert not read_jsrt(images, landmarks)[1].notes[0].startswith("not all SCR")


def test_a_damaged_mask_is_named(copy, tmp_path):
    write_masks(tmp_path / "scr", "JPCLN001")
    path = tmp_path / "scr" / "fold1" / "masks" / "heart" / "JPCLN001.gif"
    path.write_bytes(b"GIF89a")
    refused(*copy, "heart/JPCLN001.gif cannot be read", masks=tmp_path / "scr")
    Image.fromarray(np.zeros((1024, 1000), np.uint8)).save(path)
    refused(*copy, r"heart/JPCLN001.gif has shape \(1024, 1000\); an SCR mask is one square image", masks=tmp_path / "scr")


def sums(images: Path, file: Path) -> str:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(images.iterdir())]
    file.write_text("\n".join(lines) + "\n")
    return file.read_text()


def test_checksums_are_verified_before_anything_is_read(copy, tmp_path):
    images, landmarks = copy
    file = tmp_path / "SHA256SUMS"
    text = sums(images, file)
    assert "checksum" not in str(read_jsrt(images, landmarks, checksums=file)[1])
    file.write_text("\n".join(text.splitlines()[1:]))
    assert "no checksum for JPCLN001" in str(read_jsrt(images, landmarks, checksums=file)[1])
    file.write_text(text + "0" * 64 + " *JPCNN077.png\n")
    refused(images, landmarks, "JPCNN077.png is missing, but .*SHA256SUMS lists it; copy it, or remove line 6", checksums=file)
    file.write_text("MD5 of all files\n")
    refused(images, landmarks, "SHA256SUMS, line 1: expected 64 hexadecimal digits", checksums=file)
    refused(images, landmarks, "nothing cannot be read", checksums=tmp_path / "nothing")
    file.write_text(text)
    with (images / "JPCNN006.png").open("ab") as damaged:
        damaged.write(b"\x00")
    refused(images, landmarks, "JPCNN006.png differs from its checksum", checksums=file)


# ---- the script -----------------------------------------------------------------------------------------------


def prepare(copy: tuple[Path, Path], out: Path, *options: str) -> subprocess.CompletedProcess:
    arguments = ["--images", copy[0], "--landmarks", copy[1], "--size", "48", *options, out]
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_the_script_writes_a_folder_and_reports_in_words(copy, tmp_path):
    save_png(copy[0] / "JPCLN016.png", radiograph(64))
    done = prepare(copy, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "kept 5 cases, left out 1\nleft out JPCLN016: no landmarks" in done.stdout
    assert "5/5" in done.stderr  # the progress bar
    assert (tmp_path / "out" / "report.txt").read_text() in done.stdout
    found, expected = read_cases(tmp_path / "out"), read_jsrt(*copy, size=48)[0]
    assert found.fingerprint() == expected.fingerprint()
    assert [case.metadata for case in found] == [case.metadata for case in expected]
    assert found[0].spacing == pytest.approx(358.4 / 48)
    assert "forbid passing the images on" in found.info["licence"]


def test_an_error_of_the_script_is_one_line(copy, tmp_path):
    (copy[1] / "H" / "JPCNN093.npy").write_bytes(b"")
    done = prepare(copy, tmp_path / "out")
    assert done.returncode == 1
    errors = [line for line in done.stderr.replace("\r", "\n").splitlines() if line and not line.startswith("JSRT:")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and "JPCNN093.npy cannot be read" in errors[0]
    with pytest.raises(DataError, match=r"dataset.toml is missing: not a finished"):
        read_cases(tmp_path / "out")


def test_a_stopped_run_goes_on_where_it_was(copy, tmp_path):
    out = tmp_path / "out"
    broken = copy[1] / "H" / "JPCNN093.npy"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    assert "JPCNN093.npy cannot be read" in prepare(copy, out).stderr
    converted = out / "images"
    save_png(converted / "JPCLN001.png", np.full((48, 48), 0.5))  # stands for work done, so that it can be recognised
    (converted / "JPCLN002.png").write_bytes(b"half")
    save_png(converted / "JPCNN006.png", np.full((50, 50), 0.5))
    broken.write_bytes(whole)
    done = prepare(copy, out)
    assert done.returncode == 0, done.stderr
    found, expected = read_cases(out), read_jsrt(*copy, size=48)[0]
    kept = [np.allclose(a.image, b.image, atol=1e-4) for a, b in zip(found, expected, strict=True)]
    assert kept == [False, True, True, True, True] and np.ptp(found[0].image) == 0


def test_the_script_does_not_mix_two_sources_or_sizes(copy, tmp_path):
    out = tmp_path / "out"
    assert prepare(copy, out).returncode == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = prepare(copy, out, "--size", "64")
    assert done.returncode == 1 and "out holds something else" in done.stderr
    save_png(copy[0] / "JPCLN001.png", radiograph(64, 9))
    assert prepare(copy, out).returncode == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_converted_images_are_kept_whole_or_not_at_all(copy, tmp_path):
    folder = tmp_path / "kept"
    first = read_jsrt(*copy, size=48, converted=folder)[0]
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.png" for name in NAMES]
    assert read_jsrt(*copy, size=48, converted=folder)[0].fingerprint() == first.fingerprint()
