"""Files that must not lose data, and images in PNG files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.io import imsave

from denseseg.errors import DataError
from denseseg.files import read_png, staged, write_png


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
