"""The reader of the Digital Hand Atlas and its preparation script, on phantoms in the published layout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hand_files import NAMES, SIZE, HandFiles, hand
from scipy.ndimage import gaussian_filter

from denseseg.anatomy import HAND
from denseseg.cases.folder import read_cases
from denseseg.errors import DataError
from denseseg.geometry.frame import scale_points
from denseseg.readers import read_hand_atlas
from denseseg.readers.hand_atlas import hand_mask, matched

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "prepare_hand.py"


@pytest.fixture
def files(tmp_path: Path) -> HandFiles:
    return HandFiles(tmp_path)


# ---- what is right --------------------------------------------------------------------------------------------------


def test_images_become_cases_with_the_published_landmarks_and_a_wrist_of_50_mm(files):
    cases, report = read_hand_atlas(*files.write(), longest=None)
    assert cases.anatomy is HAND and cases.ids == list(NAMES[:9]) == report.kept
    for number, case in enumerate(cases):
        np.testing.assert_allclose(case.image, hand(number).image, atol=0.51 / 255)
        np.testing.assert_array_equal(case.landmarks, hand(number).landmarks)
        assert np.linalg.norm(case.landmarks[1] - case.landmarks[5]) * case.spacing == pytest.approx(50)


def test_a_case_is_tested_in_its_fold_and_the_papers_split_is_the_first_fold(files):
    cases, report = read_hand_atlas(*files.write())
    assert [case.metadata["fold"] for case in cases] == 3 * [0, 1, 2]
    assert [case.metadata["split"] for case in cases] == 3 * ["test", "train", "train"]
    assert report.left_out == {NAMES[9]: "in none of the three folds"}
    assert "landmarks of 10 images; the folds test [3, 3, 3], of which [3, 3, 3] are here" in str(report)


def test_published_subsets_and_one_more_name_the_folds_that_train_on_a_case(files):
    cases, report = read_hand_atlas(*files.write())
    found = {case.id: case.metadata.get("subset_2_0") for case in cases}
    assert found["3143"] == "fold 0, fold 2" and found["3142"] == "fold 1" and found["3145"] is None
    assert {case.id for case in cases if "fold 2" in case.metadata.get("subset_2_1", "")} == {"3142", "3145"}
    for fold in range(3):  # the third draw is our own, always the same
        own = [case for case in cases if f"fold {fold}" in case.metadata.get("subset_2_2", "")]
        assert len(own) == 2 and all(case.metadata["fold"] != fold for case in own)
    assert "subset_2_3" not in {column for case in cases for column in case.metadata}
    assert "left out: subset" not in str(report)


def test_without_all_images_of_a_subset_its_column_is_left_out(files):
    del files.images["3148"]  # of the second draw
    cases, report = read_hand_atlas(*files.write())
    assert report.left_out["3148"] == "no image"
    columns = {column for case in cases for column in case.metadata if column.startswith("subset")}
    assert "subset_2_0" in columns and "subset_2_1" not in columns
    assert "subset_2_1" in next(note for note in report.notes if "few-shot" in note)


def test_images_are_shrunk_at_their_own_aspect_ratio(files):
    images, setup = files.write()
    for small, large in zip(
        read_hand_atlas(images, setup, longest=80)[0], read_hand_atlas(images, setup, longest=None)[0], strict=True
    ):
        assert small.size == (80, 60)
        np.testing.assert_allclose(small.landmarks, scale_points(large.landmarks, SIZE, (80, 60)))
        assert small.spacing == pytest.approx(2 * large.spacing)
    assert read_hand_atlas(images, setup, longest=1000)[0][0].size == SIZE  # nothing is enlarged


def test_mha_files_as_published_jpeg_and_folders_below(files):
    images, setup = files.write()
    (images / "below").mkdir()
    (images / "3142.png").rename(images / "below" / "3142.png")
    (images / "3143.png").unlink()
    pixels = np.round(hand(1).image * 255).astype(np.uint8)[None]
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(images / "3143.mha"))
    (images / "readme.txt").write_text("no image")
    (images / "overview.png").write_bytes(b"named by no number")
    cases, _ = read_hand_atlas(images, setup, longest=None)
    assert cases.ids == list(NAMES[:9])
    assert np.corrcoef(cases[1].image.ravel(), hand(1).image.ravel())[0, 1] > 0.99


# ---- the histogram of the hand --------------------------------------------------------------------------------------


def bright_disc(grey: float, spread: float, seed: int) -> np.ndarray:
    """A disc with a dark hole on dark ground, and a small bright spot beside it."""
    y, x = np.mgrid[:80, :60]
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((80, 60)), 1.0)
    image = np.where(np.hypot(x - 30, y - 40) < 20, grey + spread * noise, 0.05)
    image[38:41, 29:32] = 0.05
    image[2:5, 2:5] = 0.9
    return np.clip(image, 0, 1).astype(np.float32)


def test_the_mask_of_the_hand_is_its_largest_bright_part_without_holes():
    y, x = np.mgrid[:80, :60]
    np.testing.assert_array_equal(hand_mask(bright_disc(0.6, 0.05, 0)), np.hypot(x - 30, y - 40) < 20)


def test_matching_gives_the_hand_the_greys_of_the_reference_and_leaves_the_rest():
    image, reference = bright_disc(0.5, 0.02, 0), bright_disc(0.7, 0.2, 1)
    found, hand_of = matched(image, reference), hand_mask(image)
    np.testing.assert_array_equal(found[~hand_of], image[~hand_of])
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(
        np.quantile(found[hand_of], quantiles), np.quantile(reference[hand_mask(reference)], quantiles), atol=0.01
    )
    order = np.argsort(image[hand_of], kind="stable")
    assert (np.diff(found[hand_of][order]) >= 0).all()  # darker pixels stay darker


def test_a_reference_is_matched_on_demand(files):
    images, setup = files.write()
    plain, like = read_hand_atlas(images, setup)[0], read_hand_atlas(images, setup, reference="3145")[0]
    assert np.abs(plain[3].image - like[3].image).max() < 0.01  # the reference itself
    means = [[case.image[hand_mask(plain[i].image)].mean() for i, case in enumerate(cases)] for cases in (plain, like)]
    assert np.std(means[1]) < 0.2 * np.std(means[0])
    np.testing.assert_array_equal(plain.landmarks, like.landmarks)
    with pytest.raises(DataError, match="there is no reference image 999 with landmarks"):
        read_hand_atlas(images, setup, reference="999")


# ---- what is wrong --------------------------------------------------------------------------------------------------


def test_a_resized_image_is_refused(files):
    for size, change in (((80, 60), lambda image: image[::2, ::2]), ((320, 240), lambda image: np.kron(image, np.ones((2, 2))))):
        files.images["3144"], files.folder = change(hand(2).image), files.folder / str(size[0])
        with pytest.raises(
            DataError, match=rf"3144.png has {size[1]} x {size[0]} pixels, .* was resized or cropped; give the image"
        ):
            read_hand_atlas(*files.write())


def test_an_inverted_or_flat_image_is_refused(files):
    told = {"dark": "bones are not brighter than the rest; invert", "flat": "no contrast, .*; export"}
    for name, image in (("dark", 1 - hand(4).image), ("flat", np.full(SIZE, 0.4))):
        files.images["3146"], files.folder = image, files.folder / name
        with pytest.raises(DataError, match=rf"3146.png: {told[name]}"):
            read_hand_atlas(*files.write())


def test_an_image_in_two_folds_is_refused(files):
    files.folds[2].append("3142")
    with pytest.raises(DataError, match="3142 is tested in set1 and set3"):
        read_hand_atlas(*files.write())


def test_a_subset_with_a_tested_image_is_refused(files):
    files.subsets["2", "2", 1] = ("3143", "3144")  # fold 1 tests 3143
    with pytest.raises(DataError, match="set2: 3143 trains and is tested"):
        read_hand_atlas(*files.write())


def test_what_else_lies_among_the_subsets_is_left_alone_and_too_large_ones_are_told(files):
    images, setup = files.write()
    (setup / "cv_rand" / ".DS_Store").mkdir()
    (setup / "cv_rand" / "2" / ".DS_Store").write_bytes(b"")
    read_hand_atlas(images, setup)
    (setup / "cv_rand" / "2").rename(setup / "cv_rand" / "99")
    with pytest.raises(DataError, match="images to choose 99 from; give the published files"):
        read_hand_atlas(images, setup)


def test_images_that_nobody_listed_are_told(files):
    images, setup = files.write()
    (images / "3142.png").rename(images / "9999.png")
    _, report = read_hand_atlas(images, setup)
    assert "images without landmarks, not used: 9999" in str(report) and report.left_out["3142"] == "no image"
    for path in images.glob("*.png"):
        path.rename(images / f"1{path.name}")
    with pytest.raises(DataError, match=r"none of its 10 images is in .*all.csv and a fold"):
        read_hand_atlas(images, setup)


# ---- the script -----------------------------------------------------------------------------------------------------


def test_the_script_writes_a_folder_that_equals_what_the_reader_gives(files):
    images, setup = files.write()
    out = files.folder / "out"
    command = [sys.executable, str(SCRIPT), "--images", str(images), "--setup", str(setup), "--longest", "80", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written, direct = read_cases(out), read_hand_atlas(images, setup, longest=80)[0]
    assert written.anatomy == HAND and written.fingerprint() == direct.fingerprint()
    assert [case.metadata for case in written] == [case.metadata for case in direct]
    assert "kept 9 cases" in (out / "report.txt").read_text()
    (images / "3150.png").unlink()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1 and again.stderr.startswith("error: ") and "holds something else" in again.stderr
