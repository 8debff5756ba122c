"""Nobody's name in what is written or told, from the header of a file, or with --names from that of a file or folder.

Files are planted with names that occur nowhere else, and then searched for in every byte and every message.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from image_files import write_dicom
from PIL import Image, PngImagePlugin
from test_cli import drawn, run, weights, where

from denseseg.cases import CaseSet, read_cases, write_cases
from denseseg.errors import DataError
from denseseg.exchange import TOOLS
from denseseg.readers.image import read_image

HEADER, FILE, FOLDER, TABLE, PATIENT = "Zqxheader", "Zqxfile", "Zqxfolder", "Zqxtable", "Zqxpatient"
TEXTS = ("PatientID", "InstitutionName", "PatientComments", "StudyDescription", "AccessionNumber", "ImageComments", "RescaleType")
PEOPLE = ("PatientName", "OtherPatientNames", "ReferringPhysicianName", "RequestingPhysician", "PerformingPhysicianName")
NAMED = dict.fromkeys(TEXTS, HEADER) | dict.fromkeys(PEOPLE, f"{HEADER}^Jane")


def named_dicom(path: Path, image: np.ndarray, **tags) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a birth date that is none
        return write_dicom(path, (4000 * image).astype(np.uint16), **NAMED, PatientBirthDate=HEADER, **tags)


def said_in(folder: Path) -> set[str]:
    """Which of the planted names stand in a file of the folder, in its name or in a text that a picture carries."""
    everything = b""
    for path in folder.rglob("*"):
        everything += path.relative_to(folder).as_posix().encode() + b"\n"
        everything += path.read_bytes() if path.is_file() else b""
        if path.suffix == ".png":
            with Image.open(path) as picture:
                everything += str(picture.info).encode()
    return {name for name in (HEADER, FILE, FOLDER, TABLE, PATIENT) if name.encode() in everything}


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A data set whose own tables name patients, and the mean shape of it."""
    folder = tmp_path_factory.mktemp("work")
    cases = [replace(case, id=f"{TABLE}{case.id}", metadata={"patient": f"{PATIENT} {i}"}) for i, case in enumerate(drawn(12))]
    write_cases(folder / "heads", CaseSet("heads", cases[0].anatomy, cases))
    run(folder, "train", folder / "heads", "--method", "mean_shape", "--profile", "smoke", *where(folder))
    return folder


@pytest.fixture
def images(tmp_path) -> Path:
    """Two DICOM files, one of them broken, and a PNG, whose names, folders and headers name people."""
    folder, cases = tmp_path / FOLDER, drawn(2, seed=1)
    named_dicom(folder / f"{FILE}a.dcm", cases[0].image)
    broken = named_dicom(folder / f"{FILE}b.dcm", cases[0].image)
    broken.write_bytes(broken.read_bytes()[:-500])
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", HEADER)
    Image.fromarray((255 * cases[1].image).astype(np.uint8)).save(folder / f"{FILE}c.png", pnginfo=texts)
    return folder


def test_the_planted_names_are_found_where_they_are(work, images):
    assert said_in(images.parent) == {HEADER, FILE, FOLDER} and said_in(work / "heads") == {TABLE, PATIENT}


def test_weights_name_no_case_and_records_cases_as_the_users_own_table_does(work):
    assert weights(work).exists() and not said_in(work / "runs")
    assert said_in(work / "results") == {TABLE}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_prediction_says_what_its_file_is_called_and_nothing_of_its_header(work, images, tmp_path, capfd, tool):
    out = tmp_path / "out"
    words = [images, "--weights", weights(work), "--out", out, "--overlays", "--masks", "--annotations", tool]
    with pytest.raises(DataError) as error, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(work, "predict", *words)
    told = "".join(map(str, [error.value, *capfd.readouterr(), *(warning.message for warning in warned)]))
    assert HEADER not in told and f"{FILE}b.dcm cannot be read" in told
    assert said_in(out) == {FILE}
    run(work, "import", out / tool, tmp_path / "set", "--images", out / tool, "--anatomy", work / "heads")
    assert said_in(tmp_path / "set") == {FILE} and len(read_cases(tmp_path / "set", check=False)) == 2


@pytest.mark.parametrize("tool", TOOLS)
def test_numbers_instead_of_names_and_a_key_apart(work, images, tmp_path, capfd, tool):
    out, key = tmp_path / "out", tmp_path / "key.csv"
    words = [images, "--weights", weights(work), "--out", out, "--overlays", "--masks", "--annotations", tool, "--names", key]
    with pytest.raises(DataError, match=r"0002 cannot be read .*; copy or export it again") as error:
        run(work, "predict", *words)
    told = "".join(map(str, [error.value, *capfd.readouterr()]))
    assert not [name for name in (HEADER, FILE, FOLDER) if name in told] and not said_in(out)
    assert pd.read_csv(out / "landmarks.csv", dtype=str)["case"].unique().tolist() == ["0001", "0003"]
    assert pd.read_csv(key, dtype=str).to_numpy().tolist() == [
        [f"000{i + 1}", str(images / name)] for i, name in enumerate((f"{FILE}a.dcm", f"{FILE}b.dcm", f"{FILE}c.png"))
    ]
    with pytest.raises(DataError, match=r"key.csv exists; name a new file"):
        run(work, "predict", images, "--weights", weights(work), "--out", tmp_path / "other", "--names", key)


def test_files_of_one_name_in_several_folders_are_predicted_by_number(work, tmp_path):
    for patient in ("a", "b"):
        named_dicom(tmp_path / "export" / patient / "IM0001", drawn(1)[0].image)
    run(
        work, "predict", tmp_path / "export", "--weights", weights(work), "--out", tmp_path / "out", "--names", tmp_path / "key.csv"
    )
    assert pd.read_csv(tmp_path / "out" / "landmarks.csv", dtype=str)["case"].nunique() == 2


def test_the_images_of_a_data_set_go_out_without_what_their_headers_say(work, tmp_path):
    write_cases(tmp_path / "set", drawn(2))
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", HEADER)
    for path in (tmp_path / "set" / "images").iterdir():
        Image.open(path).save(path, pnginfo=texts)
    assert said_in(tmp_path / "set") == {HEADER}
    for tool in TOOLS:
        run(work, "export", tmp_path / "set", tmp_path / "out" / tool, "--to", tool)
    write_cases(tmp_path / "out" / "copy", read_cases(tmp_path / "set", check=False))
    assert not said_in(tmp_path / "out")


SPOILT = {
    "its spacing is no number": {"PixelSpacing": [HEADER, HEADER]},
    "its orientation is none": {"ImageOrientationPatient": [HEADER] * 6},
    "its place is none": {"ImagePositionPatient": [HEADER] * 3},
    "it magnifies by a name": {"EstimatedRadiographicMagnificationFactor": HEADER, "ImagerPixelSpacing": ["0.2", "0.2"]},
    "its number of frames is a name": {"NumberOfFrames": HEADER},
    "its encoding is unknown": {"SpecificCharacterSet": HEADER},
    "it is rescaled by a name": {"RescaleSlope": HEADER, "RescaleIntercept": "0"},
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_header_whose_fields_hold_names_is_not_quoted(tmp_path, caplog, capfd, kind):
    path = named_dicom(tmp_path / "a.dcm", drawn(1, (24, 32))[0].image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(path)
        for name, value in SPOILT[kind].items():
            vr = pydicom.datadict.dictionary_VR(name)
            data[name] = pydicom.DataElement(name, "LO" if vr in ("DS", "IS") else vr, value)  # of any length
        data.save_as(path)
    said = what_is_said(path, caplog) + "".join(capfd.readouterr())
    assert HEADER not in said and "Jane" not in said


def what_is_said(path: Path, caplog) -> str:
    """Every error, warning and line of a log while it is read."""
    caplog.clear()
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        try:
            read_image(path)
        except DataError as error:
            warned.append(error)
    return "\n".join([caplog.text, *map(str, warned)])


def test_a_header_that_was_damaged_anywhere_is_not_quoted(tmp_path, caplog, capfd):
    """With a wrong length a field holds what comes behind it, and libraries quote what a field holds."""
    path = named_dicom(tmp_path / "a.dcm", drawn(1, (8, 10))[0].image, PixelSpacing=[0.2, 0.2], ImagerPixelSpacing=[0.2, 0.2])
    whole, said = path.read_bytes(), []
    for place in range(132, whole.index(b"\xe0\x7f\x10\x00") + 8, 2):
        for value in (60, 255):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            said.append(what_is_said(path, caplog))
    assert sum("cannot be read" in one for one in said) > 50
    told = "\n".join([*said, *capfd.readouterr()])
    assert HEADER not in told and "Jane" not in told
