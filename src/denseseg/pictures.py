"""Grey pictures in files, as viewers and annotation tools show them.

A file may say how its pixels are to be shown: large values dark, rows turned, pixels that are not square, values that are no part
of the picture. One rule for every kind of file: its reader puts what it says into a `Display`, and `shown` obeys it, or refuses
what a picture of square pixels cannot obey. Landmarks thus are in the pixels that people see.

| | PNG, JPEG, TIFF, BMP (here) | DICOM, MHA, NRRD, NIfTI (`readers.image`) |
|---|---|---|
| polarity | TIFF white is zero, CMYK | MONOCHROME1, PresentationLUTShape, a falling look-up table |
| rotation | EXIF and TIFF orientation | direction of the axes in the patient |
| aspect | PNG pHYs, JPEG and BMP density, TIFF and EXIF resolution | spacing, PixelAspectRatio |
| padding | transparent pixels are refused; TIFF GDAL_NODATA | PixelPaddingValue and its range, values far from all others |

Padding is black. Resolutions are often a printer's or a screen's, so they only tell whether pixels are square.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from imageio.v3 import imwrite
from PIL import Image, UnidentifiedImageError

from denseseg.errors import DataError, explained
from denseseg.files import read_bytes

MOST_PIXELS = 80_000_000  # seven times a large film; a picture of that size takes 320 MB as float32
TOO_LARGE = f"at most {MOST_PIXELS // 1_000_000} million can be read; export the radiograph again, smaller"
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")  # no format that starts another program, as PostScript does
BITS, PHOTOMETRIC, ORIENTATION, RESOLUTION, NODATA = 258, 262, 274, (282, 283), 42113  # TIFF tags, and EXIF's
WHITE_IS_ZERO = 0
PNG_CHANNELS = {2: 3, 4: 2, 6: 4}  # by colour type; the others have one
KINDS = "PNG, JPEG, TIFF or BMP of 8 or 16 bit"


class Orientation(NamedTuple):
    """Rows and columns are exchanged first, then the columns and the rows reversed."""

    transposed: bool = False
    columns: bool = False
    rows: bool = False


AS_STORED = Orientation()
EXIF_TURNS = {
    2: Orientation(columns=True), 3: Orientation(columns=True, rows=True), 4: Orientation(rows=True),
    5: Orientation(True), 6: Orientation(True, columns=True), 7: Orientation(True, True, True), 8: Orientation(True, rows=True),
}  # fmt: skip


@dataclass(frozen=True)
class Display:
    """How a file says that its pixels are to be shown.

    inverted: large values are dark. turn: from the stored rows and columns to the shown ones. pixel: width and height of a pixel,
    in any unit. padding: (H, W) bool, stored pixels that are no part of the picture, or None.
    """

    inverted: bool = False
    turn: Orientation = AS_STORED
    pixel: tuple[float, float] = (1.0, 1.0)
    padding: np.ndarray | None = None


def shown(image: np.ndarray, display: Display, path: Path) -> np.ndarray:
    """(H, W) float32 in [0, 1] as it is shown, from the stored (H, W) grey values in [0, 1].

    Raises DataError where pixels are not square to within 1 %.
    """
    require_square(display.pixel, path)
    if display.inverted:
        image = 1 - image
    if display.padding is not None:
        image = np.where(display.padding, 0, image)
    if display.turn.transposed:
        image = image.T
    return np.ascontiguousarray(image[:: -1 if display.turn.rows else 1, :: -1 if display.turn.columns else 1], np.float32)


def require_square(pixel: tuple[float, float], path: Path, unit: str = "") -> None:
    """Raise DataError where the sides of a pixel differ by more than 1 %."""
    width, height = pixel
    if not (width > 0 and abs(width - height) <= 0.01 * width):
        raise DataError(f"{path} has pixels of {width:g} x {height:g}{unit}; resample it to square pixels")


def require_size(width: int, height: int, path: Path, pages: int = 1) -> None:
    """Raise DataError for more than one page, and for more pixels than a radiograph has: before memory is taken for them."""
    if pages > 1:
        raise DataError(f"{path} has {pages} pictures (frames, pages or slices); export the one to be read as a file of its own")
    if not 0 < width * height <= MOST_PIXELS:
        raise DataError(f"{path} has {width} x {height} pixels: {TOO_LARGE}")


def require_library(name: str, path: Path) -> Any:
    """An optional library. Raises DataError that says what to install."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"reading {path} needs {name}: pip install denseseg[medical]") from None


# ---- PNG, JPEG, TIFF, BMP ---------------------------------------------------------------------------------------


def write_png(path: Path, image: np.ndarray, bits: int = 16) -> None:
    """Write (H, W) in [0, 1] as a PNG of 8 or 16 bit; `read_picture` reads it back."""
    kind, top = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    path.write_bytes(imwrite("<bytes>", np.round(image * top).astype(kind), extension=".png"))


def read_picture(path: Path) -> np.ndarray:
    """A PNG, JPEG, TIFF or BMP as (H, W) float32: the range of its 8, 12 or 16 bit becomes [0, 1].

    Colours that are all grey count as grey. Raises DataError that names the file, what is wrong and how to fix it.
    """
    content = read_bytes(path, "add the image or remove its line from cases.csv")
    if not content:
        raise DataError(f"{path} cannot be read (it is empty); copy it again")
    with explained(f"{path} cannot be read", "copy it again"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged tags
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(BytesIO(content), formats=FORMATS) as picture:
                require_size(*picture.size, path, getattr(picture, "n_frames", 1))
                return _grey(picture, content, path)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DataError(f"{path} is too large: {TOO_LARGE}") from None
        except UnidentifiedImageError:
            raise DataError(f"{path} cannot be read as {KINDS}: damaged, or another kind; copy it again, or save it so") from None


def _grey(picture: Image.Image, content: bytes, path: Path) -> np.ndarray:
    """The open picture as it is shown."""
    tags = dict(getattr(picture, "tag_v2", {}))  # of a TIFF
    bits = tuple(np.atleast_1d(tags.get(BITS, 8))) if tags else _png_bits(content)
    deep = len(bits) > 1 and max(bits) > 8
    if picture.mode not in ("L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B") or max(bits) > 16:
        raise DataError(f"{path} has pixels of type {picture.mode} ({max(bits)} bit); save it with 8 or 16 bit")
    if deep and not picture.mode.startswith("RGB"):
        raise DataError(f"{path} has {len(bits)} channels of 16 bit; convert it to one grey channel")
    picture.load()  # which turns a TIFF, and drops its tag
    if picture.has_transparency_data and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
        raise DataError(f"{path} is transparent in parts; save it without transparency, in one grey channel")
    orientation = (tags if deep else picture.getexif()).get(ORIENTATION, 1)
    if deep:
        values = _deep_colour(picture, content, path)
    else:
        values = np.asarray(picture if picture.mode[0] in "LI" else picture.convert("RGB"))
    if values.ndim == 3:
        if (values[..., :3] != values[..., :1]).any() and picture.mode != "LA":
            raise DataError(f"{path} is in colour; convert it to one grey channel")
        values = values[..., 0]
    top = 255 if values.dtype.itemsize == 1 else 2 ** max(bits) - 1
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if inverted and picture.mode == "L":
        values = 255 - values  # as it is stored: Pillow has inverted it, but does not with 16 bit
    padding = values == _number(tags[NODATA]) if NODATA in tags else None
    display = Display(inverted, EXIF_TURNS.get(orientation, AS_STORED), _pixel(picture), padding)
    return shown(values.astype(np.float32) / top, display, path)


def _png_bits(content: bytes) -> tuple[int, ...]:
    """Bits of each channel; of a file that is no PNG always 8."""
    return (content[24],) * PNG_CHANNELS.get(content[25], 1) if content.startswith(b"\x89PNG") else (8,)


def _deep_colour(picture: Image.Image, content: bytes, path: Path) -> np.ndarray:
    """(H, W, 3 or 4) uint16 of a PNG or TIFF with several channels of 16 bit, of which Pillow would keep 8."""
    if picture.format == "PNG":
        sitk = require_library("SimpleITK", path)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="PNGImageIO"))
    with explained(f"{path} cannot be read with its 16 bit and three channels", "convert it to one grey channel"):
        values = tifffile.imread(BytesIO(content), key=0)
    return np.moveaxis(values, 0, -1) if len(values) < 5 else values  # channels are stored apart


def _pixel(picture: Image.Image) -> tuple[float, float]:
    """Width and height of a pixel, in no known unit, by whatever says that it is not square; else (1, 1)."""
    said: list[Any] = [picture.info.get(key) for key in ("aspect", "jfif_density", "dpi")]
    said.append(tuple(picture.getexif().get(tag) for tag in RESOLUTION))
    for x, y in [(float(pair[0] or 0), float(pair[1] or 0)) for pair in said if pair]:  # pixels per unit
        if x > 0 and y > 0 and abs(x - y) > 0.01 * y:
            return y / x, 1.0
    return 1.0, 1.0


def _number(text: object) -> float:
    """The number in a tag; NaN, which no pixel equals, where there is none."""
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return np.nan
