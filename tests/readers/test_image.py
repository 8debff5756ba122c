"""The reader of single images, on synthetic files of every kind it knows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from jsrt_files import radiograph, save_png, write_img
from pydicom.dataset import FileDataset, FileMetaDataset

from denseseg.errors import DataError
from denseseg.files import read_png
from denseseg.readers import jsrt, read_image
from denseseg.readers.image import window

RAMP = np.linspace(0, 4000, 24 * 32).reshape(24, 32).astype(np.uint16)


def write_dicom(path: Path, pixels: np.ndarray = RAMP, **tags) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = pixels.astype("<u2").tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path)
    return path


def test_a_png_is_read_as_in_a_data_set_folder(tmp_path):
    save_png(tmp_path / "a.png", radiograph(64), bits=16)
    found = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(found.image, read_png(tmp_path / "a.png"))
    assert found.spacing is None and found.path == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("name", "tolerance"), [("a.jpg", 0.15), ("a.JPEG", 0.15), ("a.tif", 0.003), ("a.tiff", 0.003), ("a.bmp", 0.003)]
)
def test_jpeg_tiff_and_bmp(tmp_path, name, tolerance):
    save_png(tmp_path / name, radiograph(64))
    image = read_image(tmp_path / name).image
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, radiograph(64), atol=tolerance)


def test_an_original_jsrt_file_brings_its_spacing(tmp_path):
    write_img(tmp_path / "JPCLN001.IMG", radiograph(2048))
    found = read_image(tmp_path / "JPCLN001.IMG")
    assert found.spacing == pytest.approx(0.175)
    np.testing.assert_array_equal(found.image, jsrt.read_img_file(tmp_path / "JPCLN001.IMG"))


def test_windowing_ignores_a_few_outliers_and_keeps_the_order():
    values = np.linspace(100, 200, 10_000).reshape(100, 100)
    values[0, :5] = 1e6
    image = window(values)
    assert image.min() == 0 and image.max() == 1
    assert np.ptp(image[50]) == pytest.approx(100 / 99 * 0.01 * 0.99, rel=0.05)  # a row spans 1 % of the range
    sparse = np.zeros((100, 100))
    sparse[3, 3] = 7
    assert window(sparse)[3, 3] == 1
    with pytest.raises(DataError, match="all pixels have the value 3"):
        window(np.full((8, 8), 3))
    with pytest.raises(DataError, match="NaN or infinite"):
        window(np.array([[0, np.nan]]))


def test_dicom_grey_values_and_spacing(tmp_path):
    found = read_image(write_dicom(tmp_path / "a.dcm", PixelSpacing=[0.2, 0.2], ImagerPixelSpacing=[0.3, 0.3]))
    np.testing.assert_allclose(found.image, window(RAMP))
    assert found.spacing == 0.2  # calibrated to the body, so before the detector's
    assert read_image(write_dicom(tmp_path / "b.dcm", ImagerPixelSpacing=[0.3, 0.3])).spacing == 0.3
    assert read_image(write_dicom(tmp_path / "without_extension")).spacing is None


def test_dicom_monochrome1_and_a_negative_rescale_slope_are_inverted(tmp_path):
    for tags in ({"PhotometricInterpretation": "MONOCHROME1"}, {"RescaleSlope": -2, "RescaleIntercept": 100}):
        found = read_image(write_dicom(tmp_path / "a.dcm", **tags))
        np.testing.assert_allclose(found.image, 1 - window(RAMP), atol=1e-6)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"NumberOfFrames": 3}, "a.dcm has 3 frames; export the one"),
        ({"PhotometricInterpretation": "RGB"}, r"is in colour \(RGB\)"),
        ({"PixelSpacing": [0.2, 0.3]}, "has pixels of 0.2 x 0.3 mm; resample it to square pixels"),
        ({"PixelSpacing": [0, 0]}, "has pixels of 0 x 0 mm"),
        ({"PixelData": b"\0\0"}, "a.dcm cannot be read"),
        ({"PixelData": b"\0" * RAMP.nbytes}, "a.dcm: all pixels have the value 0"),
    ],
)
def test_dicom_that_cannot_be_used_is_refused(tmp_path, tags, message):
    path = write_dicom(tmp_path / "a.dcm", **tags)
    with pytest.raises(DataError, match=message):
        read_image(path)


def test_dicom_without_pixels_is_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    with pytest.raises(DataError, match="DICOM without an image"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("as_slice", [False, True])
def test_itk_formats(tmp_path, name, as_slice):
    content = sitk.GetImageFromArray(RAMP[None] if as_slice else RAMP)
    content.SetSpacing((0.25, 0.25, 1.0)[: content.GetDimension()])
    sitk.WriteImage(content, str(tmp_path / name))
    found = read_image(tmp_path / name)
    np.testing.assert_allclose(found.image, window(RAMP))
    assert found.spacing == pytest.approx(0.25)


def test_itk_volumes_colour_and_long_pixels_are_refused(tmp_path):
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([RAMP] * 3)), str(path))
    with pytest.raises(DataError, match=r"has shape \(3, 24, 32\); export one slice"):
        read_image(path)
    sitk.WriteImage(sitk.GetImageFromArray(np.dstack([RAMP] * 3), isVector=True), str(path))
    with pytest.raises(DataError, match="is in colour"):
        read_image(path)
    content = sitk.GetImageFromArray(RAMP)
    content.SetSpacing((0.2, 0.4))
    sitk.WriteImage(content, str(path))
    with pytest.raises(DataError, match=r"pixels of 0.2 x 0.4 mm"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.dcm", "a.mha", "a.nii.gz", "a.img"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"nonsense" * 50)
    with pytest.raises(DataError, match=f"{name} (cannot be read|has 400 bytes)"):
        read_image(tmp_path / name)


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(DataError, match="not a file"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.docx").write_bytes(b"x" * 200)
    with pytest.raises(DataError, match="this kind of file is not known; convert it to PNG"):
        read_image(tmp_path / "a.docx")


@pytest.mark.parametrize(("name", "library"), [("a.dcm", "pydicom"), ("a.mha", "SimpleITK")])
def test_a_missing_library_says_how_to_install_it(tmp_path, monkeypatch, name, library):
    (tmp_path / name).write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DataError, match=rf"reading .*{name} needs {library}: pip install denseseg\[medical\]"):
        read_image(tmp_path / name)
