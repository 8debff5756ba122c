"""Image files of every kind, with whatever their headers may say, for tests of what reads them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

# no symmetry of the square keeps it, neither side up nor inverted
PICTURE = (np.add.outer(np.linspace(0, 150, 24) ** 1.05, np.linspace(0, 60, 32))).astype(np.uint8)
DEEP = PICTURE.astype(np.uint16) * 257
RAMP = np.linspace(0, 4000, 24 * 32).reshape(24, 32).astype(np.uint16)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: np.ndarray, *more: bytes, colour: int | None = None, size: tuple[int, int] | None = None) -> bytes:
    """A PNG of 8 or 16 bit with these further chunks; colour: its type, by default by the channels; size: (H, W) that it claims."""
    pixels = np.asarray(pixels)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if pixels.ndim == 2 else pixels.shape[2]] if colour is None else colour
    height, width = size or pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.dtype.itemsize, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def write_png(path: Path, *given: Any, **options: Any) -> Path:
    path.write_bytes(png(*given, **options))
    return path


def write_tiff(path: Path, pixels: np.ndarray = PICTURE, photometric: str = "minisblack", **options: Any) -> Path:
    """tags: [(number, type, count, value, once)]."""
    tifffile.imwrite(path, pixels, photometric=photometric, extratags=options.pop("tags", ()), **options)
    return path


def orientation(code: int) -> list[tuple]:
    return [(274, "H", 1, code, True)]


def write_with_exif(path: Path, tags: dict[int, Any], pixels: np.ndarray = PICTURE) -> Path:
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif.update(tags)
    picture.save(path, exif=exif)
    return path


def write_dicom(path: Path, pixels: np.ndarray = RAMP, syntax: str = pydicom.uid.ExplicitVRLittleEndian, **tags: Any) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, int(pixels.dtype.kind == "i")
    if meta.TransferSyntaxUID.is_compressed:
        data.PixelData = pydicom.encaps.encapsulate([pixels.astype("<u2").tobytes()])
    else:
        data.PixelData = pixels.astype("<u2").tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path)
    return path


def look_up_table(*values: int) -> list[Dataset]:
    """A VOI LUT of these values for the stored 0, 1, ..."""
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [len(values), 0, 16], np.array(values, "<u2").tobytes()
    return [table]


def write_itk(
    path: Path, pixels: np.ndarray = RAMP, spacing: tuple[float, ...] | None = None, direction: tuple[float, ...] | None = None
) -> Path:
    content = sitk.GetImageFromArray(pixels)
    if spacing:
        content.SetSpacing(spacing)
    if direction:
        content.SetDirection(direction)
    sitk.WriteImage(content, str(path))
    return path


def write_nifti(path: Path, pixels: np.ndarray = RAMP, units: int = 2, code: int = 0, **header: float) -> Path:
    """An image of one slice, as dcm2niix writes a radiograph: rows from the bottom, and (code 0) no word on how it lies."""
    head = bytearray(352)
    rows, columns = pixels.shape
    pixdim = [1.0, header.get("dx", 1.0), header.get("dy", 1.0), 1.0, 0, 0, 0, 0]
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, columns, rows, 1, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 512, 16)
    struct.pack_into("<8f", head, 76, *pixdim)
    struct.pack_into("<fff", head, 108, 352.0, 1.0, 0.0)
    head[123] = units
    struct.pack_into("<hh", head, 252, code, code)
    struct.pack_into("<12f", head, 280, -pixdim[1], 0, 0, 0, 0, pixdim[2], 0, 0, 0, 0, 1, 0)
    struct.pack_into("<6f", head, 256, 0, 0, 1, 0, 0, 0)  # half a turn about z: x to the right becomes x to the left...
    head[344:348] = b"n+1\0"
    path.write_bytes(bytes(head) + pixels[::-1].astype("<u2").tobytes())
    return path
