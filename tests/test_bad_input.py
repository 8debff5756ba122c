"""The list of broken inputs: each gives one clear message that names the culprit and the mend, and leaves every file as it was."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from attacks import images, learning, names, results, runner, tables, training, writing
from attacks import landmarks as numbers
from attacks.common import CASES, QUICK, SIZE, make_sound, run_in, tiny_method
from graz_files import NAMES as WRISTS
from graz_files import GrazFiles
from helpers import full_disk
from safetensors.torch import save_file

from denseseg.anatomy import CHEST, Anatomy, Kind, Structure
from denseseg.augment import Augmentation
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases
from denseseg.course.notebooks import NotebookError, find_notebooks, validate
from denseseg.errors import DataError, validated
from denseseg.evaluation.scores import evaluate
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.store import read_records
from denseseg.files import read_tensors, write_tensors
from denseseg.methods import MeanShape, create, load_method, save_method
from denseseg.prediction import Prediction
from denseseg.readers.graz import read_graz
from denseseg.readers.image import read_image
from denseseg.readers.jsrt import read_img_file
from denseseg.training.settings import Epochs

JOINTS = Anatomy("joints", (Structure("joints", 37, "joints", Kind.POINTS),))
CASE = CASES[1]
# attacks by the door at which they come in
DOORS = {
    "ids of cases, read": names.READING,
    "ids of cases, written": names.WRITING,
    "ids of cases, made": names.MAKING,
    "files of a data set": tables.TABLES,
    "numbers that are no pixels": numbers.REFUSED,
    "what is odd in a set": numbers.ODD,
    "image files": images.IMAGES,
    "writing a data set": writing.WRITING,
    "writing phantoms": writing.PHANTOMS,
    "weights and checkpoints": learning.FILES,
    "settings": learning.SETTINGS,
    "training": training.TRAINING,
    "running notebooks": runner.REQUESTS,
    "records": results.RECORDS,
}
ATTACKS = {f"{door}: {name}": attack for door, attacks in DOORS.items() for name, attack in attacks.items()}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A folder with a data set, a trained method, its checkpoint and records, all sound."""
    return make_sound(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def on_a_full_disk(ask):
    with full_disk():
        ask()


def landmarks(change) -> np.ndarray:
    points = CASE.landmarks.copy()
    change(points)
    return points


# ---- the list: name, what spoils the folder (or nothing), what is then asked for, and what the message must say -------


def nothing(folder: Path) -> None:
    pass


def first_image(folder: Path) -> Path:
    return folder / "data" / "images" / f"{CASES[0].id}.png"


def graz(change=lambda files: None, spoil=lambda paths: None):
    """Breaks `GrazFiles` before or after they are written."""

    def break_it(folder: Path) -> None:
        files = GrazFiles(folder)
        change(files)
        spoil(files.write())

    return break_it


def ask_graz(folder: Path) -> CaseSet:
    return read_graz(
        folder / "images",
        folder / "raw_segmentations_no_cast.h5",
        folder / "lms_dsc_900.pth",
        folder / "dataset_with_cv_split.csv",
    )[0]


class Program:
    """What a pickle may hold: unpickling it would end the tests."""

    def __reduce__(self):
        return exit, (1,)


BROKEN = {
    "image with three axes": (nothing, lambda f: replace(CASE, image=np.zeros((64, 64, 3))), "case .* one grey channel"),
    "image with NaN": (nothing, lambda f: replace(CASE, image=np.full(SIZE, np.nan)), "case .* NaN"),
    "image of 0 to 255": (nothing, lambda f: replace(CASE, image=np.full(SIZE, 255.0)), "case .* scale grey values to 0..1"),
    "landmarks of another anatomy": (
        nothing,
        lambda f: replace(CASE, landmarks=CASE.landmarks[:37]),
        r"landmarks have shape \(37, 2\), chest needs \(166, 2\)",
    ),
    "landmarks far outside": (
        nothing,
        lambda f: replace(CASE, landmarks=landmarks(lambda p: p.__setitem__(3, [900, 10]))),
        "landmark 3 .* outside the 64 x 64 image; check the axis order",
    ),
    "axes swapped in a wide image": (
        nothing,
        lambda f: Case("wide", np.zeros((40, 400)), CASE.landmarks[:, ::-1] * [0.6, 6], CHEST),
        "case wide: .* check the axis order",
    ),
    "every landmark missing": (
        nothing,
        lambda f: replace(CASE, landmarks=np.full((166, 2), np.nan)),
        "every landmark is missing; remove the case",
    ),
    "masks of another size": (nothing, lambda f: replace(CASE, masks=np.zeros((5, 32, 32))), "masks have shape"),
    "two cases of one name": (nothing, lambda f: CaseSet("s", CHEST, [CASE, CASE]), "two cases are called"),
    "unknown split": (nothing, lambda f: CASES.split("random"), "unknown split 'random'; known: paper, stratified, patients"),
    "split by patients without any": (
        nothing,
        lambda f: CASES.split("patients"),
        "no case names its patient; add a column patient",
    ),
    "description missing": (
        lambda f: (f / "data/dataset.toml").unlink(),
        lambda f: read_cases(f / "data"),
        "dataset.toml is missing: .* run the script",
    ),
    "unknown anatomy": (
        lambda f: spoil(f / "data/dataset.toml", '"chest"', '"chesst"'),
        lambda f: read_cases(f / "data"),
        "dataset.toml: unknown anatomy 'chesst'; built in are: chest, wrist, hand",
    ),
    "unknown kind of structure": (
        lambda f: spoil(
            f / "data/dataset.toml",
            'anatomy = "chest"',
            'anatomy = "skull"\nstructures = [{name = "jaw", count = 4, group = "bones", kind = "closed"}]',
        ),
        lambda f: read_cases(f / "data"),
        r"dataset.toml: structures.0.kind must be 'outline', 'curve' or 'points', got 'closed'",
    ),
    "landmark file missing": (
        lambda f: ((f / "data/landmarks.csv").unlink(), shutil.rmtree(f / "data/masks")),
        lambda f: read_cases(f / "data"),
        "landmarks.csv is missing",
    ),
    "unknown structure": (
        lambda f: spoil(f / "data/landmarks.csv", "heart", "hart"),
        lambda f: read_cases(f / "data"),
        r"landmarks.csv: unknown structure 'hart' \(line \d+, case .*\)",
    ),
    "a word for a coordinate": (
        lambda f: (f / "data/landmarks.csv").write_text(f"case,structure,index,x,y\n{CASES[0].id},heart,0,left,3\n"),
        lambda f: read_cases(f / "data"),
        "landmarks.csv: line 2 .* needs a whole index and numbers",
    ),
    "image missing": (lambda f: first_image(f).unlink(), lambda f: read_cases(f / "data"), r"\.png is missing; add the image"),
    "image truncated": (
        lambda f: truncate(first_image(f)),
        lambda f: read_cases(f / "data"),
        r"\.png cannot be read .*; copy it again",
    ),
    "JSRT file truncated": (
        lambda f: (f / "JPCLN001.IMG").write_bytes(bytes(1000)),
        lambda f: read_img_file(f / "JPCLN001.IMG"),
        "JPCLN001.IMG .*1,?000.*8,?388,?608",
    ),
    "wrist landmarks that hold a program": (
        graz(spoil=lambda paths: torch.save({"keys": [], "lms": Program()}, paths["landmarks"])),
        ask_graz,
        "lms_dsc_900.pth is damaged, or holds more than tensors, .*nothing in it was run",
    ),
    "wrist landmarks as (x, y)": (
        graz(lambda files: files.points.update({name: points[:, ::-1] for name, points in files.points.items()})),
        ask_graz,
        "lms_dsc_900.pth: landmarks lie away from the masks in 5 of 5 .*; x and y are swapped",
    ),
    "wrist masks truncated": (
        graz(spoil=lambda paths: truncate(paths["segmentations"])),
        ask_graz,
        "no_cast.h5 cannot be read as HDF5 .*; get raw_segmentations_no_cast.h5",
    ),
    "wrist masks of another size": (
        graz(lambda files: files.masks.update({WRISTS[0]: files.masks[WRISTS[0]][:, ::2, ::2]})),
        ask_graz,
        rf"no_cast.h5: the masks of {WRISTS[0]} have shape \(17, 192, 112\) instead of \(17, 384, 224\)",
    ),
    "wrist of an unknown side": (
        graz(spoil=lambda paths: spoil(paths["table"], ",L,1,", ",left,1,")),
        ask_graz,
        rf"dataset_with_cv_split.csv: line 2 \({WRISTS[0]}\) has laterality 'left'; it must be L or R: mend that line",
    ),
    "wrist images mirrored already": (
        graz(lambda files: files.images.update({n: i[:, ::-1] for n, i in files.images.items() if "-R1" in n})),
        ask_graz,
        "images: right hands fit their masks without mirroring; give the images as they were published",
    ),
    "no such image": (nothing, lambda f: read_image(f / "chest.dcm"), "chest.dcm"),
    "augmentation out of its bounds": (
        nothing,
        lambda f: validated(Augmentation, {"scale": -0.1}, "recipe.toml"),
        r"recipe.toml: scale must be greater than or equal to 0, got -0.1",
    ),
    "unknown method": (nothing, lambda f: create("unet", CHEST, SIZE), "unknown method 'unet'; known: mean_shape, denseseg"),
    "unknown recipe": (
        nothing,
        lambda f: create("denseseg", CHEST, SIZE, "ours"),
        "no recipe 'ours'; it has: default, many_structures, paper",
    ),
    "unknown option": (
        nothing,
        lambda f: create("denseseg", CHEST, SIZE, chanels=(4, 8)),
        "no option 'chanels'; it has: .*channels, ",
    ),
    "profile typo": (nothing, lambda f: get_profile("cuorse"), "unknown profile 'cuorse'; known: smoke, course"),
    "data folder typo": (nothing, lambda f: load_cases(get_profile("smoke"), "data/jstr"), "data/jstr.* is no folder"),
    "notebook parameter typo": (
        nothing,
        lambda f: validate([find_notebooks(Path(__file__).parents[1])["01_radiographs"]], ["sede"]),
        "01_radiographs has no parameter 'sede'; it has: .*seed",
    ),
    "training on images of another size": (
        nothing,
        lambda f: tiny_method().fit(CASES.resized((32, 32))),
        r"is \(32, 32\), .* was made for \(64, 64\); call fitted",
    ),
    "training on nothing": (nothing, lambda f: tiny_method().fit(CASES[:0]), "no cases to work on"),
    "checkpoint damaged": (
        lambda f: truncate(f / "run/checkpoint.safetensors"),
        lambda f: tiny_method().fit(CASES, run=run_in(f / "run")),
        "checkpoint.safetensors holds no tensors or is damaged .*move .* away to train from the start",
    ),
    "checkpoint of another run": (
        nothing,
        lambda f: tiny_method().fit(CASES, run=run_in(f / "run", seed=7)),
        "checkpoint.safetensors belongs to a run with another recipe, data, settings, precision or",
    ),
    "weights damaged": (
        lambda f: truncate(f / "weights.safetensors"),
        lambda f: load_method(f / "weights.safetensors"),
        "weights.safetensors holds no tensors or is damaged",
    ),
    "weights that hold no numbers": (
        nothing,
        lambda f: write_tensors(f / "weights.safetensors", {"network.a": torch.tensor([torch.nan])}, {"method": "a"}),
        "weights.safetensors: the tensor network.a holds NaN, so nothing was written; train again",
    ),
    "a file of another program": (
        lambda f: save_file({"a": torch.ones(1)}, f / "weights.safetensors"),
        lambda f: read_tensors(f / "weights.safetensors"),
        "weights.safetensors was written by another program",
    ),
    "weights missing": (nothing, lambda f: load_method(f / "weight.safetensors"), "weight.safetensors is missing"),
    "full disk while saving weights": (
        nothing,
        lambda f: on_a_full_disk(lambda: save_method(load_method(f / "weights.safetensors"), f / "weights.safetensors")),
        "weights.safetensors could not be written .*; free space",
    ),
    "full disk while training": (
        nothing,
        lambda f: on_a_full_disk(lambda: tiny_method(QUICK.changed(length=Epochs(2))).fit(CASES, run=run_in(f / "new"))),
        "checkpoint.safetensors could not be written .*; free space .*resumes at the last checkpoint",
    ),
    "method without template": (
        nothing,
        lambda f: MeanShape(CHEST, SIZE, MeanShape.recipes["default"]).predict_image(CASE.image),
        "mean_shape has no template yet; train it or load",
    ),
    "prediction of an 8-bit image": (
        nothing,
        lambda f: load_method(f / "weights.safetensors").predict_image(CASE.image * 255),
        r"grey values in 0..1 .*; read it with denseseg.read_image",
    ),
    "a method for an anatomy that it cannot work on": (
        nothing,
        lambda f: create("denseseg", JOINTS, SIZE),
        'DenseSeg cannot work on the joints: joints covers no region, .*; single landmarks get one by region = "hull"',
    ),
    "an option of a wrong kind": (
        nothing,
        lambda f: create("denseseg", CHEST, SIZE, decoder="publishd"),
        "decoder must be 'affine' or 'published', got 'publishd'",
    ),
    "evaluation of too few predictions": (
        nothing,
        lambda f: evaluate([Prediction(CHEST, CASE.landmarks)], CASES),
        "1 predictions for 4 cases",
    ),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(ask, folder: Path) -> str:
    """What is said when something is asked for that cannot be. Whatever it is, every file stays as it was."""
    before = contents(folder)
    with pytest.raises((DataError, NotebookError)) as caught:
        ask(folder)
    assert contents(folder) == before
    text = str(caught.value)
    assert "\n" not in text.strip()
    assert len(text) < 600
    return text


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_gives_one_clear_message_and_loses_nothing(name, folder):
    break_it, ask, message = BROKEN[name]
    break_it(folder)
    text = said(ask, folder)
    assert re.search(message, text), text


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_in_one_message_that_names_the_cure_and_nothing_is_lost(name, folder):
    attack = ATTACKS[name]
    attack.spoil(folder)
    text = said(attack.ask, folder)
    assert re.search(attack.message, text), text


def test_the_list_is_long_enough_and_the_sound_folder_works(folder):
    assert len(ATTACKS) >= 300
    for door, attacks in DOORS.items():
        assert len(attacks) >= 20, door
    assert len(read_cases(folder / "data")) == 4
    assert len(read_records(folder / "results")) == 2
    shutil.rmtree(folder / "data")
    assert load_method(folder / "weights.safetensors").predict_image(CASE.image).landmarks.shape == (166, 2)
