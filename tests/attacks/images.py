"""Image files that cannot be read as what they show, for one or another reason."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk
from attacks.common import FIRST, Attack, holding, nothing, unreadable
from image_files import (
    DEEP,
    PICTURE,
    RAMP,
    chunk,
    png,
    write_dicom,
    write_itk,
    write_nifti,
    write_tiff,
    write_with_exif,
)
from PIL import Image

from denseseg.cases.folder import read_cases
from denseseg.readers.image import read_image
from denseseg.readers.image_files import image_files

FLAT = np.full_like(PICTURE, 77)
PADDING = np.full_like(RAMP, 4000)
MAGNIFIED = {"ImagerPixelSpacing": [1, 1], "EstimatedRadiographicMagnificationFactor": 0.5}
JPEG_LS, JPEG_2000, MPEG_4 = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.102"
FAR = "export the radiograph again, smaller"
OBLIQUE = (np.cos(0.6), -np.sin(0.6), np.sin(0.6), np.cos(0.6))


def read(name: str) -> Callable[[Path], object]:
    return lambda folder: read_image(folder / name)


def made(write: Callable, name: str, *given, **options) -> Callable[[Path], object]:
    return lambda folder: write(folder / name, *given, **options)


def of_png(message: str, *given, **options) -> Attack:
    return Attack(holding("a.png", png(*given, **options)), read("a.png"), r"a\.png" + message)


def of_tiff(message: str, *given, **options) -> Attack:
    return Attack(made(write_tiff, "a.tif", *given, **options), read("a.tif"), r"a\.tif" + message)


def of_dicom(message: str, *given, **tags) -> Attack:
    return Attack(made(write_dicom, "a.dcm", *given, **tags), read("a.dcm"), r"a\.dcm" + message)


def of_mha(message: str, *given) -> Attack:
    return Attack(made(write_itk, "a.mha", *given), read("a.mha"), r"a\.mha" + message)


def cut_off(write: Callable, name: str, kept: float = 0.6) -> Attack:
    def spoil(folder: Path) -> None:
        write(folder / name)
        (folder / name).write_bytes((folder / name).read_bytes()[: int(kept * (folder / name).stat().st_size)])

    return Attack(spoil, read(name), rf"{name}.*(cannot be read|is cut off|is damaged).*; copy")


def saved(**options) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(PICTURE).save(path, **options)


def without(library: str) -> Callable[[str], Callable[[Path], object]]:
    def ask(name: str) -> Callable[[Path], object]:
        def asked(folder: Path) -> object:
            with patch.dict(sys.modules, {library: None}):
                return read_image(folder / name)

        return asked

    return ask


def header(path: Path, change: Callable[[bytes], bytes]) -> None:
    write_itk(path)
    path.write_bytes(change(path.read_bytes()))


def mhd(data: str) -> Callable[[Path], None]:
    """A header that keeps its pixels in this file, which is a pipe."""

    def spoil(folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        fields = {"ObjectType": "Image", "NDims": 2, "DimSize": "32 24", "ElementType": "MET_USHORT", "ElementDataFile": data}
        (folder / "a.mhd").write_text("".join(f"{key} = {value}\n" for key, value in fields.items()))

    return spoil


def zipped_nifti(path: Path) -> None:
    content = write_nifti(path.with_suffix("")).read_bytes()
    path.write_bytes(gzip.compress(content))
    path.with_suffix("").unlink()


def put(kind: str, name: str) -> Callable[[Path], object]:
    ways = {
        "folder": Path.mkdir,
        "pipe": os.mkfifo,
        "empty file": Path.touch,
        "link to itself": lambda path: path.symlink_to(path),
        "link to nowhere": lambda path: path.symlink_to(path.with_name("nowhere")),
    }
    return lambda folder: ways[kind](folder / name)


def jpeg_density(path: Path) -> None:
    Image.fromarray(PICTURE).save(path)
    content = bytearray(path.read_bytes())
    place = content.find(b"JFIF\0") + 7
    content[place : place + 5] = struct.pack(">BHH", 0, 2, 1)
    path.write_bytes(content)


def physical(x: int, y: int, unit: int = 0) -> bytes:
    return chunk(b"pHYs", struct.pack(">IIB", x, y, unit))


CARVED = np.where(np.arange(32) < 8, 0, 255).astype(np.uint8) * np.ones((24, 1), np.uint8)
IMAGES = {
    # no such picture, or not in one grey channel
    "picture in alpha alone": of_png(" is transparent in parts; save it", np.dstack([FLAT] * 3 + [PICTURE])),
    "carved out by alpha": of_png(" is transparent in parts; save it", np.dstack([PICTURE, CARVED])),
    "one grey value is transparent": of_png(" is transparent", PICTURE, chunk(b"tRNS", struct.pack(">H", int(PICTURE[3, 3])))),
    "flat": of_png(": no contrast, .*; export", FLAT),
    "flat in 16 bit": of_png(": no contrast, .*; export", np.full_like(DEEP, 65535)),
    "8 bits of values in 16 bit": of_png(": no contrast, the grey values span 0.00.*; export", PICTURE.astype(np.uint16)),
    "flat CMYK": of_tiff(": no contrast, .*; export", np.dstack([FLAT] * 4), "separated"),
    "CMYK in cyan": of_tiff(" is in colour; convert", np.dstack([PICTURE] + [0 * FLAT] * 3), "separated"),
    "CMYK of 16 bit": of_tiff(" has 4 channels of 16 bit; convert", np.dstack([DEEP] * 4), "separated"),
    "red": of_png(" is in colour; convert", np.dstack([PICTURE, FLAT, FLAT])),
    "red in 16 bit": of_png(" is in colour; convert", np.dstack([DEEP, DEEP, DEEP // 2])),
    "1 bit": Attack(
        made(lambda path: Image.fromarray(PICTURE > 99).save(path), "a.png"), read("a.png"), r"a\.png has pixels of type 1 .*; save"
    ),
    "NaN in a TIFF": of_tiff(r" has pixels of type F \(32 bit\); save", np.where(PICTURE > 9, PICTURE, np.nan).astype("f4")),
    "doubles": of_tiff(" cannot be read as .*; copy it again, or save", PICTURE.astype(float)),
    "32 bit": of_tiff(r" has pixels of type I \(32 bit\); save", PICTURE.astype(np.uint32)),
    "three pages": of_tiff(r" has 3 pictures \(frames, pages or slices\); export", np.stack([PICTURE] * 3)),
    "animated PNG": Attack(
        made(saved(save_all=True, append_images=[Image.fromarray(FLAT)]), "a.png"),
        read("a.png"),
        r"a\.png has 2 pictures .*; export",
    ),
    "GIF under another name": Attack(made(saved(format="GIF"), "a.png"), read("a.png"), r"a\.png cannot be read as PNG.*; copy"),
    # another shape of pixels
    "PNG that is to be stretched": of_png(" has pixels of 0.5 x 1; resample", PICTURE, physical(2, 1)),
    "PNG of 100 by 200 to the metre": of_png(" has pixels of 2 x 1; resample", PICTURE, physical(100, 200, 1)),
    "JPEG that is to be stretched": Attack(made(jpeg_density, "a.jpg"), read("a.jpg"), r"a\.jpg has pixels of 0.5 x 1; resample"),
    "BMP that is to be stretched": Attack(
        made(saved(dpi=(100, 200)), "a.bmp"), read("a.bmp"), r"a\.bmp has pixels of 2.* x 1; resample"
    ),
    "EXIF resolution": Attack(
        made(write_with_exif, "a.png", {282: 50.0, 283: 100.0}), read("a.png"), r"a\.png has pixels of 2 x 1; resample"
    ),
    "facsimile": of_tiff(" has pixels of 0.48.* x 1; resample", resolution=(204, 98), resolutionunit=2),
    "DICOM aspect": of_dicom(" has pixels of 1 x 2; resample", PixelAspectRatio=[2, 1]),
    "detector of oblong pixels": of_dicom(" has pixels of 0.1 x 0.2 mm; resample", ImagerPixelSpacing=[0.2, 0.1]),
    "film of oblong pixels": of_dicom(
        " has pixels of 0.1 x 0.2 mm; res", PixelSpacing=[1, 1], NominalScannedPixelSpacing=[0.2, 0.1]
    ),
    "MHA of oblong pixels": of_mha(" has pixels of 0.2 x 0.4 mm; resample", RAMP, (0.2, 0.4)),
    "magnified to less": of_dicom(
        ".*Factor is 0.5, .*; correct", ImagerPixelSpacing=[1, 1], EstimatedRadiographicMagnificationFactor=0.5
    ),
    # polarity and place
    "polarity twice": of_dicom(".* INVERSE contradict each other; correct", PresentationLUTShape="INVERSE"),
    "polarity undone": of_dicom(
        ".* IDENTITY contradict each other; correct", PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="IDENTITY"
    ),
    "DICOM upside down in the patient": of_dicom(
        " is stored turned .* ImageOrientationPatient.*; export it upright", ImageOrientationPatient=[1, 0, 0, 0, -1, 0]
    ),
    "DICOM on its side": of_dicom(" is stored turned .*; export it upright", ImageOrientationPatient=[0, 0, 1, 1, 0, 0]),
    "an orientation of four numbers": of_dicom(".* is no six numbers.*; correct", ImageOrientationPatient=[1, 0, 0, 1]),
    "oblique": of_mha(" lies obliquely .*; export it as PNG", RAMP, (1.0, 1.0), OBLIQUE),
    "padding all over": of_dicom(": no contrast, .*; export", PADDING, PixelPaddingValue=4000),
    "two values, one far from the other": of_dicom(": no contrast, .*; export", np.where(RAMP > 2000, 4000, 3).astype(np.uint16)),
    "colour table": of_dicom(r" is in colour \(PALETTE COLOR\); export", PhotometricInterpretation="PALETTE COLOR"),
    "all values rescaled to one": of_dicom(": no contrast, .* the value 5; export", RescaleSlope=0, RescaleIntercept=5),
    # absurd sizes, told before memory is taken
    "PNG of 60000 x 60000": of_png(f" is too large: at most 80 million .*; {FAR}", PICTURE, size=(60_000, 60_000)),
    "PNG just too large": of_png(f" has 9000 x 8900 pixels: at most 80 million .*; {FAR}", PICTURE, size=(8900, 9000)),
    "DICOM of 65535 x 65535": of_dicom(f" has 65535 x 65535 pixels: .*; {FAR}", Rows=65535, Columns=65535),
    "DICOM of no rows": of_dicom(f" has 32 x 0 pixels: .*; {FAR}", Rows=0),
    "MHA of 200000 x 200000": Attack(
        made(header, "a.mha", lambda c: c.replace(b"DimSize = 32 24", b"DimSize = 200000 200000")),
        read("a.mha"),
        rf"a\.mha has 200000 x 200000 pixels: .*; {FAR}",
    ),
    "a hundred slices": of_mha(r" has 100 pictures .*; export the one", np.stack([RAMP] * 100)),
    "a line": of_mha(" has 32 x 1 pixels; give a radiograph", RAMP[:1]),
    "one pixel": of_png(" has 1 x 1 pixels; give a radiograph of at least", PICTURE[:1, :1]),
    "a ribbon": of_png(" has 32 x 5 pixels; give a radiograph of at least", PICTURE[:5]),
    # no whole file
    "PNG cut off": cut_off(saved(), "a.png"),
    "JPEG cut off": cut_off(saved(), "a.jpg", 0.8),
    "TIFF cut off": cut_off(write_tiff, "a.tif", 0.9),
    "BMP cut off": cut_off(saved(), "a.bmp", 0.9),
    "DICOM cut off": cut_off(write_dicom, "a.dcm"),
    "MHA cut off": cut_off(write_itk, "a.mha"),
    "NRRD cut off": cut_off(write_itk, "a.nrrd"),
    "NIfTI cut off": cut_off(write_nifti, "a.nii"),
    "NIfTI cut off, zipped": cut_off(zipped_nifti, "a.nii.gz", 0.9),
    "JSRT cut off": Attack(holding("a.img", bytes(1000)), read("a.img"), r"a\.img has 1000 bytes instead of .*; copy"),
    "NIfTI that is no gzip": Attack(made(write_nifti, "a.nii.gz"), read("a.nii.gz"), r"a\.nii\.gz .*; copy"),
    "DICOM without pixels": of_dicom(" is DICOM without an image; give", PixelData=None),
    "a text": Attack(holding("a.jpg", "an image"), read("a.jpg"), r"a\.jpg cannot be read as PNG.*; copy"),
    "a text for a DICOM": Attack(holding("a.dcm", "an image"), read("a.dcm"), r"a\.dcm cannot be read .*; copy"),
    "a film": Attack(holding("a.mp4", bytes(300)), read("a.mp4"), r"a\.mp4: this kind of file is not known; convert"),
    # no file at all
    **{
        f"a {kind} for an image": Attack(put(kind, "a.png"), read("a.png"), rf"a\.png {told}")
        for kind, told in {
            "folder": "is no file; move it away",
            "pipe": "is no file; move it away",
            "empty file": r"cannot be read \(it is empty\); copy",
            "link to nowhere": "is missing; correct",
        }.items()
    },
    "a pipe for a JSRT file": Attack(put("pipe", "a.img"), read("a.img"), r"a\.img is no file; move"),
    "a pipe among the images of a data set": Attack(
        lambda f: ((f / f"data/images/{FIRST}.png").unlink(), os.mkfifo(f / f"data/images/{FIRST}.png")),
        lambda f: read_cases(f / "data"),
        r"png is no file; move it away",
    ),
    "a pipe for the pixels of a header": Attack(mhd("pipe"), read("a.mhd"), "pipe is no file; move"),
    "pixels elsewhere": Attack(mhd("/dev/zero"), read("a.mhd"), r"a\.mhd keeps its pixels in another folder; put"),
    "pixels a folder up": Attack(mhd("../a.raw"), read("a.mhd"), r"a\.mhd keeps its pixels in another folder; put"),
    "a list of slices": Attack(mhd("LIST"), read("a.mhd"), "LIST is missing; put"),
    "an image that may not be read": Attack(
        holding("a.png", png(PICTURE)), unreadable("a.png", read("a.png")), r"a\.png may not be read .*; nothing is wrong with it"
    ),
    "DICOM that may not be read": Attack(
        made(write_dicom, "a.dcm"), unreadable("a.dcm", read("a.dcm")), r"a\.dcm may not be read .*; nothing is wrong with it"
    ),
    "a folder without images": Attack(
        lambda f: (f / "empty").mkdir(), lambda f: image_files([f / "empty"]), "there is no image in .*empty; give files or folders"
    ),
    # no decoder, no library
    "JPEG-LS": of_dicom(r" is compressed as JPEG-LS .* needs a decoder: pip install .pylibjpeg", syntax=JPEG_LS),
    "JPEG 2000, damaged": of_dicom(r", compressed as JPEG 2000 .* cannot be decompressed .*; copy it again, pip", syntax=JPEG_2000),
    "film in DICOM": of_dicom(" is compressed as MPEG-4 .*; copy it again, or export", syntax=MPEG_4),
    "no pydicom": Attack(made(write_dicom, "a.dcm"), without("pydicom")("a.dcm"), r"a\.dcm needs pydicom: pip install"),
    "no SimpleITK": Attack(made(write_itk, "a.mha"), without("SimpleITK")("a.mha"), r"a\.mha needs SimpleITK: pip install"),
    "no SimpleITK for colour of 16 bit": Attack(
        holding("a.png", png(np.dstack([DEEP] * 3))), without("SimpleITK")("a.png"), r"a\.png needs SimpleITK: pip install"
    ),
    # pixels that are no grey values
    "NaN in an MHA": of_mha(": the image holds NaN or infinite values; export", np.where(RAMP > 9, RAMP, np.nan).astype("f4")),
    "a header that would end the library": Attack(
        made(header, "a.mha", lambda c: c.replace(b"NDims = 2", b"NDims = -1")), read("a.mha"), r"a\.mha is damaged .*; copy"
    ),
    "complex numbers": of_mha(" is in colour, or its pixels are no plain numbers; convert", RAMP.astype(np.complex64)),
    "MHA in colour": Attack(
        lambda f: sitk.WriteImage(sitk.GetImageFromArray(np.dstack([RAMP] * 3), isVector=True), str(f / "a.mha")),
        read("a.mha"),
        r"a\.mha is in colour.*; convert",
    ),
    "of nothing": Attack(nothing, read("a.png"), r"a\.png is missing; correct"),
}
