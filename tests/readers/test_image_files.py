"""Which files count as images, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from denseseg.errors import DataError
from denseseg.readers.image_files import image_files, image_name


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_images_are_found_below_a_folder_by_their_endings_and_without_one(tmp_path):
    made(
        tmp_path, "b.png", "a/C.JPG", "a/IM0001", "scan.nii.gz", "x.dcm", "notes.txt", ".hidden.png", ".cache/d.png", "labels.json"
    )
    assert list(image_files([tmp_path])) == ["C", "IM0001", "b", "scan", "x"]


def test_a_file_that_is_named_counts_whatever_its_ending_is(tmp_path):
    made(tmp_path, "case.1", "a.png")
    assert image_files([tmp_path / "case.1", tmp_path / "a.png", tmp_path]) == {
        "case.1": tmp_path / "case.1",
        "a": tmp_path / "a.png",
    }


@pytest.mark.parametrize(
    ("names", "told"), [(["a.png", "deep/a.dcm"], "have one name; rename one"), (["a.txt"], "there is no image in")]
)
def test_two_of_one_name_and_none_at_all_are_told(tmp_path, names, told):
    with pytest.raises(DataError, match=told):
        image_files([made(tmp_path, *names)])
    with pytest.raises(DataError, match="is neither a file nor a folder"):
        image_files([tmp_path / "missing"])


def test_a_pipe_and_a_link_to_nowhere_are_no_secret(tmp_path):
    """They are listed, so that whoever reads them is told; a folder is looked into, whatever its name is."""
    made(tmp_path, "a.png", "folder.png/b.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    assert list(image_files([tmp_path])) == ["a", "b", "link", "pipe"]


@pytest.mark.parametrize(
    ("file", "name"), [("a.b.png", "a.b"), ("x.nii.gz", "x"), ("IM1", "IM1"), (".png", ".png"), ("y.MHA", "y")]
)
def test_the_name_of_a_case_is_its_file_s_without_the_ending(file, name):
    assert image_name(Path(file)) == name
