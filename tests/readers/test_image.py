"""The reader of single images, on synthetic files of every kind it knows."""

from __future__ import annotations

import sys
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import RAMP, look_up_table, write_dicom, write_itk, write_nifti
from jsrt_files import radiograph, save_png, write_img

from denseseg.errors import DataError
from denseseg.pictures import read_picture
from denseseg.readers import jsrt, read_image
from denseseg.readers.image import window


def test_a_png_is_read_as_in_a_data_set_folder(tmp_path):
    save_png(tmp_path / "a.png", radiograph(64), bits=16)
    found = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(found.image, read_picture(tmp_path / "a.png"))
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
    sparse = np.full((100, 100), 3)
    sparse[3, :5] = 7
    assert window(sparse)[3, :5].all()
    sparse[3, 1:] = 3  # a dead pixel in a flat image
    with pytest.raises(DataError, match=r"no contrast, .* all pixels have the value 3"):
        window(sparse)
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
        ({"NumberOfFrames": 3}, "a.dcm has 3 pictures .*; export the one"),
        ({"PhotometricInterpretation": "RGB"}, r"is in colour \(RGB\)"),
        ({"PixelSpacing": [0.2, 0.3]}, "has pixels of 0.3 x 0.2 mm; resample it to square pixels"),
        ({"PixelSpacing": [0, 0]}, "has pixels of 0 x 0 mm"),
        ({"PixelData": b"\0\0"}, "a.dcm cannot be read"),
        ({"PixelData": b"\0" * RAMP.nbytes}, "a.dcm: no contrast, .* the value 0"),
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


# ---- as it is shown -------------------------------------------------------------------------------------------------


PADDED = np.where(np.arange(32) < 10, 65535, RAMP).astype(np.uint16)  # 30 % of each row
INSIDE = window(RAMP[:, 10:])


def seen(path: Path) -> np.ndarray:
    return read_image(path).image


@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        (PADDED, {"PixelPaddingValue": 65535}),
        (PADDED, {"PixelPaddingValue": 65535, "PhotometricInterpretation": "MONOCHROME1"}),
        (PADDED, {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": 65535}),
        (PADDED, {}),  # said by nobody, but far from all others
        (PADDED, {"PixelPaddingValue": 60000, "PixelPaddingRangeLimit": 65535}),
        (PADDED, {"PixelPaddingValue": 65535, "PixelPaddingRangeLimit": 60000}),
        (np.where(PADDED == 65535, -2000, PADDED).astype(np.int16), {"PixelPaddingValue": -2000}),
        (np.where(PADDED == 65535, -20000, PADDED).astype(np.int16), {}),
        (np.where(PADDED == 65535, 2000, PADDED).astype(np.uint16), {"PixelPaddingValue": 2000}),
        (PADDED, {"PixelPaddingValue": 65535, "RescaleSlope": 2, "RescaleIntercept": -1000}),
    ],
)
def test_padding_is_black_and_takes_no_part_of_the_grey_range(tmp_path, pixels, tags):
    image = seen(write_dicom(tmp_path / "a.dcm", pixels, **{"BitsStored": 16, "HighBit": 15, **tags}))
    assert not image[:, :10].any()
    expected = 1 - INSIDE if "PhotometricInterpretation" in tags else INSIDE
    np.testing.assert_allclose(image[:, 10:], expected, atol=2e-3)


def test_what_is_no_padding_stays(tmp_path):
    for value in (4000, 0):  # a bright field and a dark one, as far as the others reach
        field = np.where(np.arange(32) < 10, value, RAMP).astype(np.uint16)
        image = seen(write_dicom(tmp_path / "a.dcm", field))
        np.testing.assert_allclose(image, window(field))


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({"ImagerPixelSpacing": [0.26, 0.26], "EstimatedRadiographicMagnificationFactor": 1.3}, 0.2),
        ({"NominalScannedPixelSpacing": [0.26, 0.26], "EstimatedRadiographicMagnificationFactor": 1.3}, 0.2),
        ({"PixelSpacing": [0.26, 0.26], "ImagerPixelSpacing": [0.26, 0.26], "EstimatedRadiographicMagnificationFactor": 1.3}, 0.2),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.26, 0.26], "EstimatedRadiographicMagnificationFactor": 1.3}, 0.2),
        ({"PixelSpacing": [0.2, 0.2], "PixelAspectRatio": [1, 1]}, 0.2),
        ({"PixelSpacing": None, "PixelAspectRatio": [3, 3]}, None),
    ],
)
def test_dicom_spacing_is_that_in_the_patient(tmp_path, tags, spacing):
    tags = {name: value for name, value in tags.items() if value is not None}
    assert read_image(write_dicom(tmp_path / "a.dcm", **tags)).spacing == (spacing and pytest.approx(spacing))


def test_a_falling_look_up_table_inverts(tmp_path):
    falling = look_up_table(*range(4000, -1, -1))
    np.testing.assert_allclose(seen(write_dicom(tmp_path / "a.dcm", VOILUTSequence=falling)), 1 - window(RAMP), atol=1e-6)
    rising = look_up_table(*range(4001))
    np.testing.assert_allclose(seen(write_dicom(tmp_path / "a.dcm", VOILUTSequence=rising)), window(RAMP), atol=1e-6)


DIRECTIONS = [(order, *signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=2)]


@pytest.mark.parametrize(("order", "first", "second"), DIRECTIONS)
def test_a_slice_is_shown_upright_however_it_is_stored(tmp_path, order, first, second):
    """The reference is ITK's own reorientation, and the plane's usual view: left or back to the right, back or feet down."""
    direction = np.zeros((3, 3))
    for axis, (patient, sign) in enumerate(zip(order, (first, second, 1), strict=True)):
        direction[patient, axis] = sign
    path = write_itk(tmp_path / "a.mha", RAMP[None], (0.2, 0.2, 1.0), tuple(direction.ravel()))
    plane = {frozenset({0, 1}): "LPS", frozenset({0, 2}): "LIP", frozenset({1, 2}): "PIL"}[frozenset(order[:2])]
    upright = sitk.DICOMOrient(sitk.ReadImage(str(path)), plane)
    expected = sitk.GetArrayFromImage(upright).squeeze()
    np.testing.assert_allclose(seen(path), window(expected))


def test_nifti_that_says_nothing_has_its_first_row_at_the_bottom(tmp_path):
    """As dcm2niix writes a radiograph, which has no place in the patient; NIfTI 1.1, method 1: y grows to the front."""
    found = read_image(write_nifti(tmp_path / "a.nii", code=0))
    np.testing.assert_allclose(found.image, window(RAMP))
    assert found.spacing is None  # 1 mm is what stands there when nothing is known
    assert read_image(write_nifti(tmp_path / "a.nii", code=0, dx=0.2, dy=0.2)).spacing == pytest.approx(0.2)
    placed = read_image(write_nifti(tmp_path / "a.nii", code=1))
    np.testing.assert_allclose(placed.image, window(RAMP))
    assert placed.spacing == 1.0


HEADER_LINES = {"a.mha": b"ElementSpacing = 0.25 0.25\n", "a.nrrd": b"space directions: (0.25,0) (0,0.25)\n"}


@pytest.mark.parametrize(("name", "line"), HEADER_LINES.items())
def test_no_spacing_in_a_header_is_none(tmp_path, name, line):
    path = write_itk(tmp_path / name, RAMP, (0.25, 0.25))
    assert read_image(path).spacing == 0.25
    content = path.read_bytes()
    assert line in content
    path.write_bytes(content.replace(line, b"").replace(b"space dimension: 2\n", b"").replace(b"space origin: (0,0)\n", b""))
    assert read_image(path).spacing is None


def test_what_has_a_place_of_its_own_says_so(tmp_path):
    """Positions in millimetres are then not its pixels times the spacing."""
    assert not read_image(write_itk(tmp_path / "a.mha", RAMP, (0.2, 0.2))).placed
    assert read_image(write_itk(tmp_path / "a.mha", RAMP, (0.2, 0.2), (1, 0, 0, -1))).placed
    assert read_image(write_nifti(tmp_path / "a.nii")).placed
    assert not read_image(write_dicom(tmp_path / "a.dcm")).placed
    assert read_image(write_dicom(tmp_path / "a.dcm", ImagePositionPatient=[0, 0, 9])).placed


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
    with pytest.raises(DataError, match=r"has 3 pictures .*; export the one"):
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
    with pytest.raises(DataError, match=r"a\.png is missing; correct the path"):
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


# ---- whatever a header says -----------------------------------------------------------------------------------------

WRITERS = {"a.dcm": write_dicom, "a.nii": write_nifti, "a.mha": write_itk, "a.mhd": write_itk, "a.nrrd": write_itk}
WORDS = st.sampled_from(["-1", "0", "99999999", "nan", "1e309", "", "32 24 3", "True", "MET_FLOAT", "LOCAL", "1 1", "LIST", "%d"])


def read_or_told(path: Path) -> None:
    try:
        found = read_image(path)
    except DataError as error:
        assert path.name.split(".")[0] in str(error) and "; " in str(error) and "\n" not in str(error).strip()
    else:
        assert found.image.ndim == 2 and found.image.min() >= 0 and found.image.max() <= 1
        assert found.spacing is None or found.spacing > 0


FEW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WRITERS)
@FEW
@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=4), st.floats(0, 1.5))
def test_any_bytes_of_a_header_are_an_image_or_one_clear_error(tmp_path, name, changes, kept):
    path = WRITERS[name](tmp_path / name)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content[: round(kept * len(content))])
    read_or_told(path)


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd"])
@FEW
@given(st.data())
def test_any_value_of_a_field_is_an_image_or_one_clear_error(tmp_path, name, data):
    path = write_itk(tmp_path / name)
    header, mark, pixels = path.read_bytes().partition(b"\n\n" if name == "a.nrrd" else b"ElementDataFile = ")
    lines, sign = header.decode().split("\n"), ": " if name == "a.nrrd" else " = "
    chosen = data.draw(st.sampled_from([n for n, line in enumerate(lines) if sign in line]))
    lines[chosen] = lines[chosen].split(sign)[0] + sign + data.draw(WORDS)
    if data.draw(st.booleans()):
        lines.pop(data.draw(st.integers(0, len(lines) - 1)))
    path.write_bytes("\n".join(lines).encode() + mark + pixels)
    read_or_told(path)


TAGS = {
    "PixelSpacing": st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), max_size=3),
    "PixelPaddingValue": st.integers(0, 65535),
    "PixelPaddingRangeLimit": st.integers(0, 65535),
    "EstimatedRadiographicMagnificationFactor": st.floats(-2, 2).map(lambda x: round(x, 3)),
    "PixelAspectRatio": st.lists(st.integers(-3, 3), max_size=3),
    "ImageOrientationPatient": st.lists(st.integers(-1, 1), max_size=7),
    "PhotometricInterpretation": st.sampled_from(["MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", ""]),
    "PresentationLUTShape": st.sampled_from(["IDENTITY", "INVERSE", "", "OTHER"]),
    "RescaleSlope": st.integers(-2, 2),
    "NumberOfFrames": st.integers(-1, 3),
    "SamplesPerPixel": st.integers(0, 4),
    "BitsStored": st.integers(0, 20),
    "Rows": st.integers(0, 65535),
    "VOILUTSequence": st.lists(st.integers(0, 9), max_size=3).map(lambda values: look_up_table(*values)),
}


@pytest.mark.filterwarnings("ignore")
@FEW
@given(st.fixed_dictionaries({}, optional=TAGS))
def test_any_dicom_tags_are_an_image_or_one_clear_error(tmp_path, tags):
    read_or_told(write_dicom(tmp_path / "a.dcm", **tags))
