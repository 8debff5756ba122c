"""Images named by number, tables of landmarks, lists of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hand_files import write_table

from denseseg.errors import DataError
from denseseg.readers.numbered import find_images, read_landmarks, read_list

POINTS = {"007": np.array([[1.0, 2.5], [3.0, 4.0]]), "12": np.array([[5.0, 6.0], [7.25, 8.0]])}


def test_landmarks_keep_their_numbers_as_text(tmp_path):
    write_table(tmp_path / "all.csv", POINTS)
    found = read_landmarks(tmp_path / "all.csv", 2)
    assert list(found) == ["007", "12"]
    for name, points in POINTS.items():
        np.testing.assert_array_equal(found[name], points)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n2,4,5\n", "has 2 columns after the number instead of 4"),
        ("1,2,3,4,5\n1,2,3,4,6\n", "holds 1 twice"),
        ("1,2,3,4,5\n2,2,3,,6\n", "the line of 2 holds something that is no finite number"),
        ("1,2,3,4,five\n", "the line of 1 holds something that is no finite number"),
        ("", r"cannot be read as a table \(EmptyDataError"),
    ],
)
def test_broken_tables_are_named(tmp_path, text, message):
    path = tmp_path / "all.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_landmarks(path, 2)


def test_lists(tmp_path: Path):
    (tmp_path / "good.txt").write_text("007\n12\r\n")
    assert read_list(tmp_path / "good.txt") == {"007", "12"}
    for content in ("", "12\nthirteen\n"):
        (tmp_path / "bad.txt").write_text(content)
        with pytest.raises(DataError, match=r"bad.txt must hold numbers of images"):
            read_list(tmp_path / "bad.txt")
    with pytest.raises(DataError, match=r"none.txt cannot be read .*; give the whole published setup folder"):
        read_list(tmp_path / "none.txt")


def test_two_files_of_one_number_or_none_at_all(tmp_path: Path):
    with pytest.raises(DataError, match=r"holds no image that is named by a number, such as 001.bmp"):
        find_images(tmp_path, "001.bmp")
    (tmp_path / "more").mkdir()
    for name in ("001.bmp", "more/001.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"001.bmp and more/001.png are the same case; keep one of them"):
        find_images(tmp_path, "001.bmp")
