"""What readers share: reports in words, checksums, images converted once, and a claim on a folder."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from helpers import full_disk
from toy_cases import make_case

from denseseg.errors import DataError
from denseseg.pictures import read_picture, write_png
from denseseg.readers.files import Report, cached_image, few, preparing, shrunk, verify_checksums

IMAGE = (np.arange(80).reshape(8, 10) / 79).astype(np.float32)


def test_a_report_tells_each_reason_once():
    report = Report(["a", "b"], {"c": "no image", "d": "no masks", "e": "no image"}, ["look at a"])
    lines = ["kept 2 cases, left out 3", "left out c, e: no image", "left out d: no masks", "note: look at a"]
    assert str(report).splitlines() == lines


def test_many_names_are_counted():
    assert few(list("abc")) == "a, b, c"
    assert few(list("abcdefg")) == "7 cases (a, b, c, d, e, ...)"


def never() -> np.ndarray:
    raise AssertionError("converted again")


def test_an_image_is_converted_once(tmp_path):
    path = tmp_path / "new" / "a.png"
    assert cached_image(path, (8, 10), lambda: IMAGE) is IMAGE
    np.testing.assert_allclose(cached_image(path, (8, 10), never), IMAGE, atol=1e-5)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    assert cached_image(None, (8, 10), lambda: IMAGE) is IMAGE


@pytest.mark.parametrize("spoil", [lambda p: p.write_bytes(b"half"), lambda p: write_png(p, np.zeros((9, 9)))])
def test_a_damaged_image_or_one_of_another_size_is_converted_again(tmp_path, spoil):
    path = tmp_path / "a.png"
    spoil(path)
    cached_image(path, (8, 10), lambda: IMAGE)
    np.testing.assert_allclose(read_picture(path), IMAGE, atol=1e-5)


def test_a_full_disk_leaves_no_half_image(tmp_path):
    noise = np.random.default_rng(0).random((60, 60), dtype=np.float32)
    with full_disk(), pytest.raises(DataError, match=r"a\.png could not be written .*; free space or choose another folder"):
        cached_image(tmp_path / "a.png", (60, 60), lambda: noise)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_belongs_to_the_files_and_settings_that_it_was_begun_with(tmp_path):
    source, out = tmp_path / "source.csv", tmp_path / "out"
    source.write_text("1")
    for _ in range(2):  # the second goes on
        with preparing(out, "size 64", [source]):
            assert (out / ".lock").exists()
    with preparing(out, "size 48", [source]):  # nothing was made yet, so other settings may begin
        (out / "images").mkdir()
    with preparing(out, "size 48", [source]):
        pass
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(DataError, match="out holds something else"), preparing(out, "size 32", [source]):
        pass
    source.write_text("22")
    with pytest.raises(DataError, match=r"out holds something else .*give a new folder"), preparing(out, "size 48", [source]):
        pass
    with pytest.raises(DataError, match=r"none\.csv is not a file"), preparing(out, "size 64", [tmp_path / "none.csv"]):
        pass
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_checksums_tell_missing_different_and_unlisted_files(tmp_path):
    images = {name: tmp_path / f"{name}.png" for name in "ab"}
    for name, path in images.items():
        path.write_text(name)
    sums = tmp_path / "SHA256SUMS"
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}.png" for name in "ab"]
    sums.write_text("\n".join(lines))
    assert verify_checksums(tmp_path, sums, images) == []
    sums.write_text(lines[0].upper().replace("A.PNG", "a.png"))
    assert verify_checksums(tmp_path, sums, images) == ["no checksum for b"]
    for text, message in (
        ("\n".join(lines).replace("b.png", "c.png"), r"c\.png is missing, but .*SHA256SUMS lists it; copy it, or remove line 2"),
        (lines[0].replace("a.png", "b.png"), r"b\.png differs from its checksum"),
        ("sums", r"SHA256SUMS, line 1: expected 64 hexadecimal digits"),
    ):
        sums.write_text(text)
        with pytest.raises(DataError, match=message):
            verify_checksums(tmp_path, sums, images)
    with pytest.raises(DataError, match="nowhere cannot be read"):
        verify_checksums(tmp_path, tmp_path / "nowhere", images)


@pytest.mark.parametrize(("size", "longest", "expected"), [((160, 120), 80, (80, 60)), ((240, 193), 50, (50, 41))])
def test_cases_are_shrunk_alike_in_both_directions(size, longest, expected):
    case = make_case(size=size)
    small = shrunk(case, longest)
    assert small.size == expected and small.spacing == pytest.approx(case.spacing * max(size) / longest)
    between = [np.linalg.norm(c.landmarks - c.landmarks[0], axis=1) * c.spacing for c in (case, small)]
    np.testing.assert_allclose(*between, rtol=1e-9)


def test_small_cases_are_left_as_they_are_and_a_tiny_size_is_refused():
    case = make_case()
    assert shrunk(case, None) is shrunk(case, 32) is case
    with pytest.raises(DataError, match="longest=4: give at least 8 pixels"):
        shrunk(case, 4)
