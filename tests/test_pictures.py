"""Pictures in files are read as they are shown, or refused."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import DEEP, PICTURE, chunk, orientation, png, write_tiff, write_with_exif
from image_files import write_png as write_any_png
from PIL import Image
from skimage.io import imsave

from denseseg.errors import DataError
from denseseg.pictures import EXIF_TURNS, MOST_PIXELS, Display, Orientation, read_picture, require_size, shown, write_png

GREY = PICTURE / 255
TURNS = {  # by their definition in EXIF 2.3, written out: what is stored where PICTURE is to be seen
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, -1),
}


# ---- grey values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_png_levels_are_exact(tmp_path, bits, kind):
    top = np.iinfo(kind).max
    levels = np.linspace(0, top, 64).astype(kind).reshape(8, 8)
    imsave(tmp_path / "a.png", levels, check_contrast=False)
    image = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(np.round(image * float(top)), levels)
    write_png(tmp_path / "b.png", image, bits)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png"), image)


def palette(path):
    Image.fromarray(PICTURE).convert("P").save(path)


WHITE = "miniswhite"
LIKE_PICTURE = {
    "grey": lambda p: write_any_png(p, PICTURE),
    "grey of 16 bit": lambda p: write_any_png(p, DEEP),
    "colour": lambda p: write_any_png(p, np.dstack([PICTURE] * 3)),
    "colour of 16 bit": lambda p: write_any_png(p, np.dstack([DEEP] * 3)),
    "colour of 16 bit, opaque": lambda p: write_any_png(p, np.dstack([DEEP] * 3 + [np.full_like(DEEP, 65535)])),
    "opaque": lambda p: write_any_png(p, np.dstack([PICTURE, np.full_like(PICTURE, 255)])),
    "palette": palette,
    "white is zero": lambda p: write_tiff(p, 255 - PICTURE, WHITE),
    "white is zero, 16 bit": lambda p: write_tiff(p, 65535 - DEEP, WHITE),
    "white is zero, zipped": lambda p: write_tiff(p, 65535 - DEEP, WHITE, compression="zlib"),
    "TIFF, most significant byte first": lambda p: write_tiff(p, DEEP, byteorder=">"),
    "TIFF in colour of 16 bit": lambda p: write_tiff(p, np.dstack([DEEP] * 3), "rgb"),
    "TIFF in colour of 16 bit, channels apart": lambda p: write_tiff(p, np.stack([DEEP] * 3), "rgb", planarconfig="separate"),
    "TIFF by LZW": lambda p: Image.fromarray(PICTURE).save(p, "TIFF", compression="tiff_lzw"),
    "CMYK with the picture in K": lambda p: write_tiff(p, np.dstack([0 * PICTURE] * 3 + [255 - PICTURE]), "separated"),
    "BMP": lambda p: Image.fromarray(PICTURE).save(p, "BMP"),
}


@pytest.mark.parametrize("kind", LIKE_PICTURE)
def test_the_same_picture_in_files_of_many_kinds(tmp_path, kind):
    LIKE_PICTURE[kind](tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, GREY, atol=1e-6)


def test_levels_of_16_bit_in_colour_are_all_kept(tmp_path):
    levels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for path in (
        write_any_png(tmp_path / "a.png", np.dstack([levels] * 3)),
        write_tiff(tmp_path / "a.tif", np.dstack([levels] * 3), "rgb"),
    ):
        assert len(np.unique(read_picture(path))) == 64 * 64


def test_padding_that_a_tiff_names_is_black(tmp_path):
    padded = np.where(np.arange(32) < 8, 255, PICTURE).astype(np.uint8)
    for photometric, stored, value in (("minisblack", padded, "255"), (WHITE, 255 - padded, "0")):
        found = read_picture(write_tiff(tmp_path / "a.tif", stored, photometric, tags=[(42113, "s", 0, value, True)]))
        np.testing.assert_allclose(found[:, 8:], GREY[:, 8:], atol=1e-6)
        assert not found[:, :8].any()


# ---- rotation, aspect -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", TURNS)
@pytest.mark.parametrize("kind", ["a.png", "a.tif", "deep.tif"])
def test_every_orientation_is_undone(tmp_path, code, kind):
    stored, path = np.ascontiguousarray(TURNS[code](PICTURE)), tmp_path / kind
    if kind == "a.png":
        write_with_exif(path, {274: code}, stored)
    elif kind == "a.tif":
        write_tiff(path, stored, tags=orientation(code))
    else:
        write_tiff(path, np.dstack([stored.astype(np.uint16) * 257] * 3), "rgb", tags=orientation(code))
    np.testing.assert_allclose(read_picture(path), GREY, atol=1e-6)


def test_an_orientation_that_means_nothing_turns_nothing_as_in_viewers(tmp_path):
    for code in (0, 9, 60000):
        np.testing.assert_allclose(read_picture(write_with_exif(tmp_path / "a.png", {274: code})), GREY, atol=1e-6)


@given(st.sampled_from([Orientation(), *EXIF_TURNS.values()]), st.booleans())
def test_what_is_shown_is_a_turn_of_what_is_stored(turn, inverted):
    found = shown(GREY, Display(inverted, turn), None)
    if turn.rows:
        found = found[::-1]
    if turn.columns:
        found = found[:, ::-1]
    found = found.T if turn.transposed else found
    np.testing.assert_allclose(1 - found if inverted else found, GREY, atol=1e-6)


@pytest.mark.parametrize("ratio", [1.0, 1.005])
def test_square_pixels_of_any_size_are_read(tmp_path, ratio):
    x, y = 3000, round(3000 * ratio)
    for content in (png(PICTURE, chunk(b"pHYs", struct.pack(">IIB", x, y, unit))) for unit in (0, 1)):
        (tmp_path / "a.png").write_bytes(content)
        assert read_picture(tmp_path / "a.png").shape == PICTURE.shape


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_the_limit_is_read_from_the_header():
    require_size(8000, 10_000, "a.png")
    for width, height in ((8001, 10_000), (MOST_PIXELS + 1, 1), (0, 7), (2**31, 2**31)):
        with pytest.raises(DataError, match="at most 80 million"):
            require_size(width, height, "a.png")


def saved(kind: str) -> bytes:
    file = BytesIO()
    Image.fromarray(PICTURE).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_file_is_a_picture_or_one_clear_error(tmp_path, kind, data):
    content = bytearray(saved(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.png"
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    try:
        found = read_picture(path)
    except DataError as error:
        assert str(path) in str(error) and ("; " in str(error)) and "\n" not in str(error)
    else:
        assert found.ndim == 2 and found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
