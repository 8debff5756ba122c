"""One radiograph from a file, for prediction, as viewers show it: see `pictures` for what files say about that.

| file | read with | grey values to [0, 1] | spacing |
|---|---|---|---|
| PNG, JPEG, TIFF, BMP | Pillow | the range of the file's 8, 12 or 16 bit, as in a data-set folder | unknown |
| DICOM | pydicom | rescale, percentiles 0.5 to 99.5 | PixelSpacing, else that of the detector or film / magnification |
| MHA, MHD, NRRD, NIfTI | SimpleITK | percentiles 0.5 to 99.5 | the file's, where it says one |
| JSRT .IMG | `readers.jsrt` | 12 bits, inverted | 0.175 mm |

Bone must be bright. A PixelSpacing that equals ImagerPixelSpacing is not calibrated: both are measured at the detector, where the
body appears magnified, so they are divided by EstimatedRadiographicMagnificationFactor where that is given. PatientOrientation
turns nothing: viewers show DICOM as it is stored. Volumes of one slice are shown with the patient's left on the right, feet or back
down. A NIfTI file that does not say how it lies has its first row at the bottom, as dcm2niix writes radiographs and viewers show
them. What a header says of the patient is neither kept nor told. pydicom and SimpleITK are optional:
pip install denseseg[medical].
"""

from __future__ import annotations

import gzip
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from denseseg.errors import DataError, explained
from denseseg.files import require_file
from denseseg.pictures import AS_STORED, Display, Orientation, read_picture, require_library, require_size, require_square, shown
from denseseg.readers.jsrt import FIELD_OF_VIEW, read_img_file

PERCENTILES = (0.5, 99.5)
SMALLEST = 8  # pixels along a side, as of a case
WIDER = (0.01, 99.99)  # where few pixels differ from all others: single dead ones are no picture
LEAST_CONTRAST = 0.02  # of the grey range, between these
PADDED = 0.005  # of the pixels, all of one value far from all others: more are no marker that the percentiles leave out
ALIGNED = 0.95  # cosine of an axis with the patient's nearest
PLAIN = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ITK = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO", ".nii": "NiftiImageIO", ".nii.gz": "NiftiImageIO"}
HEADER = 1 << 16  # bytes in which a text header ends
SPACINGS = ("elementspacing", "elementsize", "spacings", "space directions")  # fields of such headers
COUNTS = ("ndims", "elementnumberofchannels")
DATA_FILES = ("elementdatafile", "data file", "datafile")


@dataclass(frozen=True)
class Radiograph:
    """image: (H, W) float32 in [0, 1], bone bright. spacing: millimetres per pixel, or None where unknown.

    placed: the file gives it an origin or a direction in the patient, so that a position there is not a pixel times the spacing.
    """

    image: np.ndarray
    spacing: float | None
    path: Path
    placed: bool = False


def read_image(path: str | Path) -> Radiograph:
    """Read one radiograph; the table at the top of this module says how.

    Raises DataError for what is no readable, whole file, several frames or slices, colour, pixels that are not square, an image
    without contrast, too small or absurdly large, a file that contradicts itself on how to show it, and a missing optional library.
    """
    path = Path(path)
    require_file(path)
    if not path.stat().st_size:
        raise DataError(f"{path} cannot be read (it is empty); copy it again")
    name, placed = path.name.lower(), False
    with explained(f"{path} cannot be read", "copy or export it again"):
        if name.endswith(PLAIN):
            image, spacing = read_picture(path), None  # the same steps as for a case of a data set
        elif name.endswith(tuple(ITK)):
            image, spacing, placed = _read_itk(path)
        elif name.endswith(".img"):
            image, spacing = read_img_file(path), FIELD_OF_VIEW / 2048
        elif name.endswith((".dcm", ".dicom")) or _is_dicom(path):
            with _unquoted(path):
                image, spacing, placed = _read_dicom(path)
        else:
            raise DataError(f"{path}: this kind of file is not known; convert it to PNG, TIFF, DICOM or MHA")
    if min(image.shape) < SMALLEST:
        raise DataError(f"{path} has {image.shape[1]} x {image.shape[0]} pixels; give a radiograph of at least 8 x 8")
    low, high = np.percentile(image, WIDER, method="nearest")
    if high - low < LEAST_CONTRAST:
        fault = f"{path}: no contrast, the grey values span {high - low:.2g} of their range"
        raise DataError(f"{fault}; export the radiograph again, in one channel over its whole range")
    return Radiograph(image, spacing, path, placed)


# ---- grey values ------------------------------------------------------------------------------------------------


def window(values: np.ndarray, padding: np.ndarray | None = None) -> np.ndarray:
    """Grey values of any range, linearly to float32 [0, 1] between the `PERCENTILES`, and clipped there.

    A few burnt-in markers or dead pixels thus don't decide the contrast. padding: (H, W) bool, pixels that have no say in it.
    Raises DataError where all values are equal.
    """
    values = np.asarray(values, np.float32 if np.asarray(values).dtype.itemsize <= 2 else np.float64)
    said = values if padding is None else values[~padding]
    if not np.isfinite(said).all():
        raise DataError("the image holds NaN or infinite values; export it again")
    low, high = np.percentile(said, PERCENTILES) if said.size else (0.0, 0.0)
    if low == high and said.size:
        low, high = np.percentile(said, WIDER, method="nearest")
    if low == high:
        raise DataError(f"no contrast, (nearly) all pixels have the value {low:g}; export the radiograph again")
    return np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1).astype(np.float32)


def padding_of(values: np.ndarray, stated: np.ndarray | None = None) -> np.ndarray | None:
    """(H, W) bool: pixels that are no part of the picture, or None where all are.

    Those that the file states; and many of the least or the largest value, where that lies farther from all others than these lie
    from each other, so that it would take more than half of the grey range.
    """
    padding = np.zeros(values.shape, bool) if stated is None else stated
    for extreme in (np.min, np.max):
        rest = values[~padding]
        if not rest.size:
            break
        value = extreme(rest)
        others = rest[rest != value]
        if 0 < others.size <= (1 - PADDED) * rest.size:
            least, most = float(others.min()), float(others.max())
            if most - least < max(least - float(value), float(value) - most):
                padding = padding | (values == value)
    return padding if padding.any() else None


def _shown(values: np.ndarray, path: Path, stated: np.ndarray | None, inverted: bool, turn: Orientation) -> np.ndarray:
    """The window of stored values of any range, as it is shown."""
    padding = padding_of(values, stated)
    try:
        image = window(values, padding)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return shown(image, Display(inverted, turn, padding=padding), path)


# ---- DICOM ------------------------------------------------------------------------------------------------------


def _is_dicom(path: Path) -> bool:
    """DICOM files often have no extension, but the letters DICM after 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@contextmanager
def _unquoted(path: Path) -> Iterator[None]:
    """pydicom quotes the header, which names the patient, in its log, warnings and errors: of these only the kind is passed on."""
    log = logging.getLogger("pydicom")
    before = log.disabled
    try:
        log.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path} cannot be read (its header or pixels: {type(error).__name__}); copy or export it again") from None
    finally:
        log.disabled = before


def _read_dicom(path: Path) -> tuple[np.ndarray, float | None, bool]:
    pydicom = require_library("pydicom", path)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    require_size(header.get("Columns") or 0, header.get("Rows") or 0, path, int(header.get("NumberOfFrames", 1) or 1))
    data = pydicom.dcmread(path)
    if "PixelData" not in data:
        raise DataError(f"{path} is DICOM without an image; give the file that holds the radiograph")
    stored = _pixels(pydicom, data, path)
    if stored.ndim != 2:
        raise DataError(f"{path} has shape {stored.shape}; export one frame, in one grey channel")
    values = pydicom.pixels.apply_modality_lut(stored, data)
    inverted = _is_inverted(pydicom, data, values, path)
    _require_upright(data, path)
    image = _shown(values, path, _dicom_padding(data, stored), inverted, AS_STORED)
    return image, _dicom_spacing(data, path), any(data.get("ImagePositionPatient") or ())


def _pixels(pydicom: Any, data: Any, path: Path) -> np.ndarray:
    """The stored values. Raises DataError that names what brings a decoder where there is none."""
    syntax = data.file_meta.get("TransferSyntaxUID")
    if syntax is None or not syntax.is_compressed:
        return data.pixel_array
    again = "or export it again, not compressed"
    try:
        decoder = pydicom.pixels.get_decoder(syntax)
    except NotImplementedError:
        raise DataError(f"{path} is compressed as {syntax.name}, which no decoder here knows; copy it again, {again}") from None
    cure = 'pip install "pylibjpeg[all]"'
    if not decoder.is_available:
        raise DataError(f"{path} is compressed as {syntax.name}, which needs a decoder: {cure}, {again}")
    fix = f"copy it again, {cure}, {again}" if decoder.missing_dependencies else f"copy it again, {again}"
    with explained(f"{path}, compressed as {syntax.name}, cannot be decompressed", fix):
        return data.pixel_array


def _is_inverted(pydicom: Any, data: Any, values: np.ndarray, path: Path) -> bool:
    """Whether large values are dark. Raises DataError where the file contradicts itself: viewers then differ."""
    interpretation, shape = data.get("PhotometricInterpretation", "MONOCHROME2"), data.get("PresentationLUTShape")
    if interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise DataError(f"{path} is in colour ({interpretation:.16}); export it as a grey image")
    inverted = interpretation == "MONOCHROME1"
    if shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != inverted:
        fault = f"PhotometricInterpretation {interpretation} and PresentationLUTShape {shape} contradict each other"
        raise DataError(f"{path}: {fault}; correct the wrong one, or export it as PNG")
    if "VOILUTSequence" in data:
        ends = np.array([values.min(), values.max()]).astype(int)
        first, last = pydicom.pixels.apply_voi_lut(ends, data, prefer_lut=True)
        inverted ^= bool(first > last)
    return inverted


def _require_upright(data: Any, path: Path) -> None:
    """Raise DataError where a radiograph is placed in the patient otherwise than it is stored: only some viewers turn it."""
    if axes := data.get("ImageOrientationPatient"):
        try:
            turn = turn_of(*np.array(axes, float).reshape(2, 3))
        except (TypeError, ValueError):
            raise DataError(f"{path}: its ImageOrientationPatient is no six numbers; correct or remove it") from None
        if turn != AS_STORED:
            fault = f"{path} is stored turned or mirrored by its ImageOrientationPatient, which only some viewers undo"
            raise DataError(f"{fault}; export it upright, as PNG")


def _dicom_padding(data: Any, stored: np.ndarray) -> np.ndarray | None:
    if (value := data.get("PixelPaddingValue")) in (None, ""):
        return None
    limit = data.get("PixelPaddingRangeLimit")
    ends = np.array([value, value if limit in (None, "") else limit], np.int64)
    span, below = 1 << data.BitsStored, (1 << data.BitsStored - 1) * data.PixelRepresentation
    ends = (ends + below) % span - below  # signed, and without the bits that are not stored, as the pixels are
    return (stored >= ends.min()) & (stored <= ends.max())


def _dicom_spacing(data: Any, path: Path) -> float | None:
    """Millimetres per pixel, in the patient where the file allows to say so; see the top of this module."""
    found = {}
    for tag in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        if value := data.get(tag):
            try:
                rows, columns = (float(number) for number in value)  # how far apart rows are, and columns
            except (TypeError, ValueError):  # not told: with a wrong length it holds what comes behind it
                raise DataError(f"{path}: its {tag} is no two numbers; correct or remove it") from None
            require_square((columns, rows), path, "" if tag == "PixelAspectRatio" else " mm")
            found[tag] = rows
    calibrated, flat = found.get("PixelSpacing"), found.get("ImagerPixelSpacing", found.get("NominalScannedPixelSpacing"))
    if flat is None or (calibrated is not None and (calibrated != flat or data.get("PixelSpacingCalibrationType"))):
        return calibrated
    factor = float(data.get("EstimatedRadiographicMagnificationFactor") or 1)
    if not 0.99 < factor < 10:
        fault = f"{path}: its EstimatedRadiographicMagnificationFactor is {factor:g}, but radiographs magnify"
        raise DataError(f"{fault}; correct or remove it")
    return flat / factor


# ---- MHA, MHD, NRRD, NIfTI --------------------------------------------------------------------------------------


def turn_of(columns: np.ndarray, rows: np.ndarray) -> Orientation:
    """How to show an image whose columns and rows go along these (3,) unit vectors of the patient, LPS: left, back, head.

    The patient's left is on the right, or where the image does not go there the back; down are the feet, or the back.
    """
    across, down = int(np.abs(columns).argmax()), int(np.abs(rows).argmax())
    transposed = across > down
    if transposed:
        columns, rows, across, down = rows, columns, down, across
    downwards = rows[down] if down == 1 else -rows[down]
    return Orientation(transposed, bool(columns[across] < 0), bool(downwards < 0))


def _read_itk(path: Path) -> tuple[np.ndarray, float | None, bool]:
    sitk = require_library("SimpleITK", path)
    nifti = path.name.lower().endswith((".nii", ".nii.gz"))
    says_spacing = True if nifti else _says_spacing(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(next(io for ending, io in ITK.items() if path.name.lower().endswith(ending)))
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        axes = [axis for axis, length in enumerate(reader.GetSize()) if length > 1]
        lengths = [reader.GetSize()[axis] for axis in axes]
        if len(axes) < 2:
            raise DataError(f"{path} has {' x '.join(map(str, reader.GetSize()))} pixels; give a radiograph")
        require_size(lengths[0], lengths[1], path, int(np.prod(lengths[2:])))
        if nifti:
            _require_whole_nifti(path, reader)
        values = sitk.GetArrayFromImage(reader.Execute()).squeeze()
    except RuntimeError:
        raise DataError(f"{path} cannot be read: damaged, cut off, or another kind of file; copy or export it again") from None
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise DataError(f"{path} is in colour, or its pixels are no plain numbers; convert it to one grey channel")
    says_place = not nifti or any(reader.GetMetaData(f"{form}_code") != "0" for form in ("qform", "sform"))
    spacing = [reader.GetSpacing()[axis] for axis in axes]
    require_square((spacing[0], spacing[1]), path, " mm")
    if nifti and spacing == [1, 1]:
        says_spacing = says_place and int(reader.GetMetaData("xyzt_units")) & 7 != 0
    turn, identity = _turn(reader, axes, says_place, path), np.eye(reader.GetDimension()).ravel()
    placed = turn != AS_STORED or any(reader.GetOrigin()) or list(reader.GetDirection()) != list(identity)
    return _shown(values, path, None, False, turn), spacing[0] if says_spacing else None, placed


def _turn(reader: Any, axes: Sequence[int], says_place: bool, path: Path) -> Orientation:
    """The turn by the direction of both axes. Raises DataError where they are oblique in the patient."""
    if not says_place:
        return Orientation(rows=True)
    size = reader.GetDimension()
    direction = np.eye(3, max(size, 3))
    direction[:size, :size] = np.array(reader.GetDirection()).reshape(size, size)[:3]
    columns, rows = direction.T[list(axes)]
    if min(np.abs(columns).max(), np.abs(rows).max()) < ALIGNED:
        raise DataError(f"{path} lies obliquely in the patient, so that viewers resample it; export it as PNG, as it is shown")
    return turn_of(columns, rows)


def _says_spacing(path: Path) -> bool:
    """Whether a MetaImage or NRRD header gives a spacing: without one, it is read as 1 mm.

    Raises DataError where it keeps its pixels in something else than a file beside it, or counts what would end the program.
    """
    with path.open("rb") as file:
        lines = file.read(HEADER).decode("latin-1").splitlines()
    fields: dict[str, str] = {}
    for line in lines:
        if not line.strip() or "elementdatafile" in fields:
            break
        key, *value = re.split(r"\s*[:=]\s*", line.strip(), maxsplit=1)
        fields[key.lower()] = "".join(value)
    if found := [key for key in COUNTS if fields.get(key, "1") not in ("1", "2", "3", "4")]:  # the library would crash
        raise DataError(f"{path} is damaged ({found[0]} = {fields[found[0]]:.20}); copy or export it again")
    for key in DATA_FILES:
        if (name := fields.get(key, "LOCAL")) != "LOCAL":
            if Path(name).name != name:
                raise DataError(f"{path} keeps its pixels in another folder; put them into a file beside it, or export it as MHA")
            require_file(path.parent / name, "put the file with the pixels beside the header")
    return any("nan" not in fields.get(key, "nan").lower() for key in SPACINGS)


def _require_whole_nifti(path: Path, reader: Any) -> None:
    """Raise DataError where a NIfTI file ends before its pixels do, which the library would read as zeros."""
    expected = (
        int(float(reader.GetMetaData("vox_offset"))) + int(np.prod(reader.GetSize())) * int(reader.GetMetaData("bitpix")) // 8
    )
    with explained(f"{path} is damaged or cut off", "copy or export it again"):
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            left = expected
            while left and (block := file.read(min(left, 1 << 20))):
                left -= len(block)
        if left:
            raise DataError(f"{path} is cut off: {left} of {expected} bytes are missing; copy or export it again")
