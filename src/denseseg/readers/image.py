"""One radiograph from a file, for prediction.

| file | read with | grey values to [0, 1] | spacing |
|---|---|---|---|
| PNG, JPEG, TIFF, BMP | scikit-image | the range of the file's 8 or 16 bit, as in a data-set folder | unknown |
| DICOM | pydicom | rescale, percentiles 0.5 to 99.5, MONOCHROME1 inverted | PixelSpacing, else ImagerPixelSpacing |
| MHA, MHD, NRRD, NIfTI | SimpleITK | percentiles 0.5 to 99.5 | the file's |
| JSRT .IMG | `readers.jsrt` | 12 bits, inverted | 0.175 mm |

Bone must be bright; only DICOM and .IMG say themselves where it is not. ImagerPixelSpacing is measured at the detector,
where the body appears magnified. pydicom and SimpleITK are optional: pip install denseseg[medical].
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from denseseg.errors import DataError, explained
from denseseg.files import read_png
from denseseg.readers.jsrt import FIELD_OF_VIEW, read_img_file

PERCENTILES = (0.5, 99.5)
PLAIN = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ITK = (".mha", ".mhd", ".nrrd", ".nii", ".nii.gz")


@dataclass(frozen=True)
class Radiograph:
    """image: (H, W) float32 in [0, 1], bone bright. spacing: millimetres per pixel, or None where unknown."""

    image: np.ndarray
    spacing: float | None
    path: Path


def read_image(path: str | Path) -> Radiograph:
    """Read one radiograph; the table at the top of this module says how.

    Raises DataError for a missing or damaged file, several frames or slices, colour, pixels that are not square, an image without
    contrast, and a missing optional library.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is not a file; check the path")
    name = path.name.lower()
    with explained(f"{path} cannot be read", "copy or export it again"):
        if name.endswith(PLAIN):
            image, spacing = read_png(path), None  # whatever the format: the same steps as for a case of a data set
        elif name.endswith(ITK):
            image, spacing = _read_itk(path)
        elif name.endswith(".img"):
            image, spacing = read_img_file(path), FIELD_OF_VIEW / 2048
        elif name.endswith((".dcm", ".dicom")) or _is_dicom(path):
            image, spacing = _read_dicom(path)
        else:
            raise DataError(f"{path}: this kind of file is not known; convert it to PNG, TIFF, DICOM or MHA")
    return Radiograph(image, spacing, path)


def window(values: np.ndarray) -> np.ndarray:
    """Grey values of any range, linearly to float32 [0, 1] between the `PERCENTILES`, and clipped there.

    A few burnt-in markers or dead pixels thus don't decide the contrast. Raises DataError where all values are equal.
    """
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError("the image holds NaN or infinite values; export it again")
    low, high = np.percentile(values, PERCENTILES)
    if low == high:  # nearly empty: only the few outliers differ
        low, high = values.min(), values.max()
    if low == high:
        raise DataError(f"all pixels have the value {low:g}; this is no radiograph")
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _read_dicom(path: Path) -> tuple[np.ndarray, float | None]:
    pydicom = _library("pydicom", path)
    data = pydicom.dcmread(path)
    if "PixelData" not in data:
        raise DataError(f"{path} is DICOM without an image; give the file that holds the radiograph")
    if int(data.get("NumberOfFrames", 1) or 1) > 1:
        raise DataError(f"{path} has {data.NumberOfFrames} frames; export the one to be read as a file of its own")
    interpretation = data.get("PhotometricInterpretation", "MONOCHROME2")
    if interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise DataError(f"{path} is in colour ({interpretation}); export it as a grey image")
    values = pydicom.pixels.apply_modality_lut(data.pixel_array, data)
    image = _windowed(values, path)
    spacing = data.get("PixelSpacing") or data.get("ImagerPixelSpacing")
    return 1 - image if interpretation == "MONOCHROME1" else image, _square(spacing, path) if spacing else None


def _is_dicom(path: Path) -> bool:
    """DICOM files often have no extension, but the letters DICM after 128 bytes."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_itk(path: Path) -> tuple[np.ndarray, float | None]:
    sitk = _library("SimpleITK", path)
    content = sitk.ReadImage(str(path))
    if content.GetNumberOfComponentsPerPixel() > 1:
        raise DataError(f"{path} is in colour; convert it to one grey channel")
    values = sitk.GetArrayFromImage(content)
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    return _windowed(values, path), _square(content.GetSpacing()[:2], path)


def _windowed(values: np.ndarray, path: Path) -> np.ndarray:
    if values.ndim != 2:
        raise DataError(f"{path} has shape {values.shape}; export one slice, in one grey channel")
    try:
        return window(values)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _square(spacing: Sequence[float], path: Path) -> float:
    """The side of a pixel in mm. Raises DataError where its two sides differ by more than 1 %."""
    first, second = (float(value) for value in spacing)
    if not (first > 0 and abs(first - second) <= 0.01 * first):
        raise DataError(f"{path} has pixels of {first:g} x {second:g} mm; resample it to square pixels")
    return first


def _library(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"reading {path} needs {name}: pip install denseseg[medical]") from None
