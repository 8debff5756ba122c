"""Files that must not lose data, and images in PNG files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import full_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from skimage.io import imsave

from denseseg.errors import DataError
from denseseg.files import atomic_file, atomic_folder, read_png, read_tensors, write_json, write_png, write_tensors


def test_staged_moves_files_only_when_the_block_ends_well(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.txt").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "sub" / "a.txt").read_text() == "old"
    with atomic_folder(tmp_path) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "a.txt").write_text("new")
    assert (tmp_path / "sub" / "a.txt").read_text() == "new"
    assert not (tmp_path / ".unfinished").exists()


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


# ---- one file in one step -------------------------------------------------------------------------------------------


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_takes_its_place_when_it_is_whole_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists() and temporary.parent == path.parent
    assert content(path.parent) == {"a.txt": b"first"} and path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("bad")])
def test_an_error_leaves_the_older_file_whole_and_nothing_beside_it(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(type(error)), atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert content(tmp_path) == {"a.txt": b"old"}


WRITERS = {
    "json": lambda path: write_json(path, {"a": "x" * 5000}),
    "tensors": lambda path: write_tensors(path, {"a": torch.rand(50, 50)}, {"method": "a"}),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_told_in_one_line_and_leaves_the_older_file_whole(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("old")
    with full_disk(), pytest.raises(DataError, match=r"file could not be written \(.*\); free space or choose another folder"):
        write(path)
    assert content(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_place_that_cannot_be_written_to_is_told_in_one_line(tmp_path, write):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DataError, match=r"folder/file could not be written .*; free space or choose another folder"):
        write(tmp_path / "folder" / "file")


# ---- tensors --------------------------------------------------------------------------------------------------------

HEADER = {"method": "denseseg", "size": [64, 96], "anatomy": {"name": "ä"}, "recipe": {"weight": 0.1, "none": None}}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weights": torch.randn(3, 4, generator=generator),
        "transposed": torch.randn(3, 4, generator=generator).T,
        "double": torch.randn(2, generator=generator, dtype=torch.float64),
        "half": torch.randn(5, generator=generator).bfloat16(),
        "scalar": torch.tensor(0.5),
        "flags": torch.tensor([True, False]),
        "steps": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "infinite": torch.tensor([torch.inf]),
    }


def test_tensors_and_header_come_back_as_they_were(tmp_path):
    path = write_tensors(tmp_path / "new" / "a.safetensors", tensors(), HEADER)
    found, header = read_tensors(path)
    assert header == HEADER and found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    parameter = torch.nn.Parameter(torch.ones(2))
    assert torch.equal(read_tensors(write_tensors(path, {"p": parameter}, {}))[0]["p"], torch.ones(2))


def test_not_a_number_is_never_written(tmp_path):
    path = write_tensors(tmp_path / "a.safetensors", tensors(), HEADER)
    before = content(tmp_path)
    spoilt = tensors()
    spoilt["double"][1] = torch.nan
    with pytest.raises(DataError, match=r"a\.safetensors: the tensor double holds NaN, so nothing was written; train again"):
        write_tensors(path, spoilt, HEADER)
    for value in (float("nan"), torch.ones(1), {1, 2}):
        with pytest.raises(DataError, match=r"a\.safetensors: the header holds something that JSON has not"):
            write_tensors(path, tensors(), {"x": value})
    assert content(tmp_path) == before


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31))
def test_any_flipped_bit_of_the_tensors_is_noticed(tmp_path, seed):
    path = write_tensors(tmp_path / "a.safetensors", tensors(), HEADER)
    raw = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    raw[start + seed % (len(raw) - start)] ^= 1 << seed % 8
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.safetensors (is damaged|holds no tensors or is damaged).*; copy it again"):
        read_tensors(path)


def test_every_truncation_is_noticed(tmp_path):
    whole = write_tensors(tmp_path / "a.safetensors", tensors(), HEADER).read_bytes()
    for length in (0, 4, 8, 50, len(whole) // 2, len(whole) - 1):
        (tmp_path / "b.safetensors").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"b\.safetensors holds no tensors or is damaged \(.*\); copy it again") as caught:
            read_tensors(tmp_path / "b.safetensors")
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_those_of_other_programs_are_told(tmp_path):
    with pytest.raises(DataError, match=r"a\.safetensors is missing; correct the path"):
        read_tensors(tmp_path / "a.safetensors")
    foreign = tmp_path / "b.safetensors"
    for metadata in (None, {"format": "pt"}, {"denseseg": "[1]"}, {"denseseg": "{}"}):
        save_file({"a": torch.ones(1)}, foreign, metadata=metadata)
        with pytest.raises(DataError, match=r"b\.safetensors was written by another program; give a file that denseseg wrote"):
            read_tensors(foreign)
    save_file({"a": torch.ones(1)}, foreign, metadata={"denseseg": "{not json"})
    with pytest.raises(DataError, match=r"b\.safetensors holds no tensors or is damaged"):
        read_tensors(foreign)


def test_files_of_before_the_checksum_are_read(tmp_path):
    """As version 1 wrote them: method, anatomy, size and recipe, and no checksum."""
    header = {"method": "mean_shape", "anatomy": "wrist 25 %", "size": [96, 56], "recipe": {}}
    save_file({"state.template": torch.rand(4, 2)}, tmp_path / "old.safetensors", metadata={"denseseg": json.dumps(header)})
    found, read = read_tensors(tmp_path / "old.safetensors")
    assert read == header and found["state.template"].shape == (4, 2)
