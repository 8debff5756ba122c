"""The reader of cephalograms and its preparation script, on synthetic files in the published layout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hand_files import write_lists, write_table
from PIL import Image

from denseseg import create
from denseseg.cases.folder import read_cases
from denseseg.errors import DataError
from denseseg.readers import read_cephalograms
from denseseg.readers.cephalograms import CEPHALOGRAM, FRAME, Truth

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "prepare_cephalograms.py"
NAMES = ("001", "002", "151", "301", "302")
LISTS = {"train.txt": ["001", "002"], "test1.txt": ["151"], "test2.txt": ["301"]}  # 302 is in none


def millimetres(number: int, observer: int = 0) -> np.ndarray:
    """(19, 2) landmarks in mm, tenths of them, within an image."""
    rng = np.random.default_rng(number)
    return np.round(rng.uniform((20, 20), (170, 220), (19, 2)), 1) + 0.5 * observer


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of five images with a bright spot at each landmark, and of the setup."""
    images, setup = tmp_path / "images", tmp_path / "setup"
    (images / "TrainingData").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        pixels = np.full(FRAME, 40, np.uint8)
        for x, y in np.round(10 * millimetres(number)).astype(int):
            pixels[y - 8 : y + 9, x - 8 : x + 9] = 200
        Image.fromarray(pixels).save((images / "TrainingData" if number < 2 else images) / f"{name}.bmp")
    write_lists(setup, LISTS)
    for observer, truth in enumerate(Truth):
        write_table(setup / f"all_{truth}.csv", {name: millimetres(n, observer) for n, name in enumerate(NAMES)})
    return images, setup


def test_landmarks_in_mm_become_pixels_of_a_tenth(files):
    cases, report = read_cephalograms(*files, longest=None)
    assert cases.ids == ["001", "002", "151", "301"] == report.kept
    assert report.left_out == {"302": "in none of the lists"} and not report.notes
    for number, case in enumerate(cases):
        assert case.size == FRAME and case.spacing == 0.1
        np.testing.assert_allclose(case.landmarks, 10 * millimetres(number), atol=1e-9)
        x, y = np.round(case.landmarks).astype(int).T
        assert (case.image[y, x] > 0.7).all() and np.median(case.image) < 0.2


def test_parts_are_those_of_the_lists(files):
    cases, _ = read_cephalograms(*files)
    assert [case.metadata["part"] for case in cases] == ["train", "train", "test1", "test2"]
    assert [case.metadata["split"] for case in cases] == ["train", "train", "test", "test"]


@pytest.mark.parametrize("truth", Truth)
def test_each_observer_may_be_the_truth(files, truth):
    cases, _ = read_cephalograms(*files, truth=truth.value)
    found = (cases[0].landmarks + 0.5) * cases[0].spacing  # from the corner of the image, in mm
    np.testing.assert_allclose(found, millimetres(0, list(Truth).index(truth)) + 0.05, atol=1e-9)
    assert cases[0].size == (512, 413)


def test_dense_maps_may_be_learnt_on_the_hull(files):
    assert CEPHALOGRAM.n_landmarks == 19 and CEPHALOGRAM.structures[0].labels[0] == "sella"
    assert create("denseseg", CEPHALOGRAM, (64, 56)).anatomy is CEPHALOGRAM


def test_missing_images_are_told_and_landmarks_outside_refused(files):
    images, setup = files
    (images / "151.bmp").unlink()
    _, report = read_cephalograms(images, setup)
    assert "images that the lists name but that are not here: 151" in str(report)
    write_table(setup / "all_challenge.csv", {name: 10 * millimetres(n) for n, name in enumerate(NAMES)})
    with pytest.raises(DataError, match="landmarks of 001 lie outside the image; they must be in mm"):
        read_cephalograms(images, setup)
    write_table(setup / "all_challenge.csv", {"002": millimetres(1)})
    assert read_cephalograms(images, setup)[1].left_out["001"] == "no landmarks"


def test_another_size_another_truth_and_no_image_are_refused(files):
    images, setup = files
    with pytest.raises(DataError, match="truth='mean': give one of challenge, senior, junior"):
        read_cephalograms(images, setup, truth="mean")
    Image.fromarray(np.eye(240, 193, dtype=np.uint8) * 200).save(images / "151.bmp")
    with pytest.raises(DataError, match=r"151.bmp has 193 x 240 pixels; give the original of 1935 x 2400"):
        read_cephalograms(images, setup)
    write_lists(setup, {name: ["777"] for name in LISTS})
    with pytest.raises(DataError, match="none of its 5 images is in the lists"):
        read_cephalograms(images, setup)


def test_the_script_writes_a_folder_that_describes_the_19_points(files):
    images, setup = files
    out = images.parent / "out"
    command = [sys.executable, str(SCRIPT), "--images", str(images), "--setup", str(setup), "--truth", "junior", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = read_cases(out)
    assert written.anatomy == CEPHALOGRAM
    assert written.fingerprint() == read_cephalograms(images, setup, truth="junior")[0].fingerprint()
