"""The command: quick help, and the way from a folder to weights, predictions, a judgement, a tool and back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from denseseg import cli
from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases import Case, CaseSet, read_cases, write_cases
from denseseg.errors import DataError
from denseseg.exchange import TOOLS, read_annotations, write_annotations
from denseseg.methods import create, load_method, save_method
from denseseg.methods.method import NOISES
from denseseg.phantom import wrist_phantom
from denseseg.pictures import write_png
from denseseg.readers import image as reading

LABELS = tuple(f"point {i + 1}" for i in range(19))
HEADS = Anatomy("head", (Structure("landmarks", 19, "landmarks", Kind.POINTS, LABELS, "hull"),))
SIZE = (2400 // 10, 1940 // 10)


def drawn(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> CaseSet:
    """19 bright spots on each image, of which the places vary together."""
    rng, (height, width) = np.random.default_rng(seed), size
    places = np.random.default_rng(7).uniform([0.25, 0.25], [0.75, 0.75], (19, 2)) * (width, height)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    cases = []
    for i in range(count):
        points = (places - places.mean(0)) * rng.normal(1, 0.04) + places.mean(0) + rng.normal(0, 0.02 * width, 2)
        image = 0.05 * rng.random(size, np.float32)
        for n, (px, py) in enumerate(points):
            image += 0.9 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (0.015 * width * (1 + n % 3)) ** 2)).astype(np.float32)
        split = {"split": "train" if i % 3 else "test"}
        cases.append(Case(f"c{i:02d}", np.clip(image, 0, 1), points, HEADS, spacing=0.5, metadata=split))
    return CaseSet("heads", HEADS, cases, {"kind": "phantom"})


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with a data set, and a trained mean shape."""
    folder = tmp_path_factory.mktemp("work")
    write_cases(folder / "heads", drawn(12))
    run(folder, "train", folder / "heads", "--method", "mean_shape", "--profile", "smoke", *where(folder))
    return folder


def where(folder: Path) -> list:
    return ["--runs", folder / "runs", "--results", folder / "results"]


def run(folder: Path, *words: object) -> None:
    """As `denseseg` runs it, in this process. Raises SystemExit where a command says so."""
    cli.app([str(word) for word in words], result_action="return_value")


def weights(folder: Path) -> Path:
    (path,) = (folder / "runs").rglob("weights.safetensors")
    return path


def ended(monkeypatch, *words: object) -> int:
    """The exit status of the whole command."""
    monkeypatch.setattr(sys, "argv", ["denseseg", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"], ["--version"]])
def test_help_loads_none_of_the_libraries_that_take_time(words):
    """So that it answers at once."""
    code = (
        "import sys; from denseseg.cli import main; main()\n"
        "heavy = {'numpy', 'pandas', 'torch', 'pydantic', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    )
    told = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout, told.stderr
    if words == ["--help"]:
        assert all(name in told.stdout for name in ("check", "train", "predict", "evaluate", "import", "export"))


def test_bad_input_ends_in_one_line_and_status_1(monkeypatch, tmp_path, capsys):
    assert ended(monkeypatch, "check", tmp_path / "nothing") == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and "nothing is no folder; give" in told.err and told.err.count("\n") == 1


def test_the_tools_named_are_those_that_there_are():
    assert get_args(cli.Tool) == tuple(TOOLS)


def test_check_tells_what_there_is_and_lists_what_is_odd(work, tmp_path, capsys):
    run(work, "check", work / "heads", "--sheet", tmp_path / "sheet.png")
    assert "12 cases of the head" in (told := capsys.readouterr().out) and "nothing odd was found" in told
    cases = list(drawn(12))
    cases[4] = replace(cases[4], image=np.ascontiguousarray(cases[4].image[::-1]))
    write_cases(tmp_path / "odd", CaseSet("odd", HEADS, cases))
    with pytest.raises(SystemExit) as end:
        run(work, "check", tmp_path / "odd", "--sheet", tmp_path / "sheet.png")
    assert end.value.code == 1
    assert "odd, worst first (1):\nc04: its image is upside down; turn it over" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_check_tells_of_images_that_no_case_has(work, tmp_path, capsys):
    folder = write_cases(tmp_path / "more", CaseSet("more", HEADS, list(drawn(12))))
    (folder / "images" / "forgotten.png").write_bytes((folder / "images" / "c04.png").read_bytes())
    run(work, "check", folder)
    assert "no case:  1 in images that cases.csv does not list, such as forgotten.png" in capsys.readouterr().out


def test_train_leaves_weights_and_a_record_and_the_same_command_again_the_same(work, capsys):
    (record,) = (work / "results").rglob("*.json")
    content = json.loads(record.read_text())
    assert content["spec"]["method"] == "mean_shape" and content["spec"]["split"] == "paper"
    run(work, "train", work / "heads", "--method", "mean_shape", "--profile", "smoke", *where(work))
    told = capsys.readouterr().out
    assert "done already" not in told  # a mean shape has none
    assert f"record:  {record}" in told and f"weights: {weights(work)}" in told and "tre" in told


@pytest.mark.parametrize(
    ("own", "prior"), [([], 0.0), (["--shape-prior", "0.25"], 0.25), (["--shape-prior", "validation"], "validation")]
)
def test_train_takes_the_noise_of_the_shape_prior(work, tmp_path, own, prior):
    recipe = ["--method", "heatmap_regression", "--recipe", "paper", "--profile", "smoke", "--budget", "2 steps"]
    run(work, "train", work / "heads", *recipe, *own, *where(tmp_path))
    method = load_method(weights(tmp_path))
    assert method.recipe.shape_prior == prior
    assert method.landmark_noise / method.size[0] in (NOISES if prior == "validation" else [prior])


@pytest.mark.parametrize("prior", ["-0.1", "nan", "test"])
def test_a_noise_that_is_none_is_told_before_anything_is_trained(work, tmp_path, prior, monkeypatch, capsys):
    words = ["--method", "heatmap_regression", "--profile", "smoke", "--shape-prior", prior, *where(tmp_path)]
    assert ended(monkeypatch, "train", work / "heads", *words)
    said = capsys.readouterr()
    assert "shape" in said.err + said.out and "prior" in said.err + said.out and not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("metadata", "scheme"), [({"split": "test"}, "paper"), ({"patient": "a"}, "patients"), ({"age": 3}, "stratified")]
)
def test_cases_are_divided_as_their_table_allows(metadata, scheme):
    assert cli.default_scheme([replace(case, metadata=metadata) for case in drawn(2)]) == scheme


@pytest.mark.parametrize("parts", [("Train", "test"), ("train", "val"), ("train", "")])
def test_a_slip_in_the_column_of_parts_is_told_and_no_other_division_taken(work, tmp_path, parts, capsys):
    cases = [replace(case, metadata={"split": parts[i % 2]}) for i, case in enumerate(drawn(4))]
    write_cases(tmp_path / "heads", CaseSet("heads", HEADS, cases))
    with pytest.raises(SystemExit):
        run(work, "check", tmp_path / "heads", "--sheet", tmp_path / "sheet.png")
    assert "2 of 4 cases are for neither train nor test" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"the split column of cases.csv holds .*; give every case train or test"):
        run(work, "train", tmp_path / "heads", "--method", "mean_shape", "--profile", "smoke", *where(tmp_path))


def test_what_could_not_be_recorded_is_not_trained(work, tmp_path):
    """A record of other data has the name, or errors of the test part would be in mm and in pixels."""
    moved = [replace(case, landmarks=case.landmarks + 1) for case in drawn(12)]
    write_cases(tmp_path / "moved", CaseSet("heads", HEADS, moved))
    words = ["--method", "mean_shape", "--profile", "smoke", "--runs", tmp_path / "runs"]
    with pytest.raises(DataError, match=r"json is the record of such a run on other data.*name another folder for results"):
        run(work, "train", tmp_path / "moved", *words, "--results", work / "results")
    bare = [replace(case, spacing=None if case.id == "c03" else 0.5) for case in drawn(12)]
    write_cases(tmp_path / "bare", CaseSet("heads", HEADS, bare))
    with pytest.raises(DataError, match=r"to test on have no spacing, such as c03, .* fill it in"):
        run(work, "train", tmp_path / "bare", *words, "--results", tmp_path / "results")
    assert not (tmp_path / "runs").exists()


def test_predict_goes_on_after_a_broken_image_and_lists_it(work, tmp_path, capsys):
    images = tmp_path / "images"
    (images / "deeper").mkdir(parents=True)
    cases = drawn(3, seed=1)
    write_png(images / "a.png", cases[0].image)
    write_png(images / "deeper" / "c.png", cases[2].image, 8)
    (images / "b.png").write_bytes(b"no image")
    (images / "notes.txt").write_text("not an image, and not meant as one")
    out = tmp_path / "out"
    words = ["predict", images, "--weights", weights(work), "--out", out, "--overlays", "--masks", "--annotations", "coco"]
    with pytest.raises(DataError, match=r"(?s)1 of 3 images were left out:\n.*b.png cannot be read"):
        run(work, *words)
    told = capsys.readouterr().out
    assert "predicted: 2 of 3 images" in told and "not to be believed" not in told
    table = pd.read_csv(out / "landmarks.csv")
    assert table.columns.tolist() == ["case", "structure", "index", "label", "x", "y", "absent", "refusal", "ood_score"]
    assert table["case"].value_counts().to_dict() == {"a": 19, "c": 19}
    assert sorted(path.name for path in (out / "overlays").iterdir()) == ["a.png", "c.png"]
    with np.load(out / "masks" / "a.npz") as kept:  # of the hull, since a mean shape has landmarks only
        assert kept["masks"].shape == (1, *SIZE) and 0.1 < kept["masks"].mean() < 0.9
    content = json.loads((out / "coco" / "annotations.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "c.png"] and (out / "coco" / "c.png").exists()
    with pytest.raises(DataError, match="is not empty; name a new folder"):
        run(work, *words)


def test_predicting_masks_alone_needs_a_place_to_write_them(work, tmp_path):
    method = create("plain_unet", HEADS, SIZE, "default", channels=(4, 8), test_time_views=1)
    method.prepare(drawn(4))
    path = save_method(method, tmp_path / "masks.safetensors")
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "a.png", drawn(1)[0].image)
    words = ["predict", tmp_path / "images", "--weights", path, "--out"]
    with pytest.raises(DataError, match=r"masks.safetensors predicts masks alone, no landmarks; add --masks or --overlays"):
        run(work, *words, tmp_path / "nothing")
    run(work, *words, tmp_path / "out", "--masks")
    assert (tmp_path / "out" / "masks" / "a.npz").exists()


@pytest.mark.parametrize(("stop", "told"), [(KeyboardInterrupt, "stopped; what was predicted so far is in"), (MemoryError, None)])
def test_what_was_predicted_before_a_stop_is_kept(work, tmp_path, monkeypatch, capsys, stop, told):
    for name, case in zip("abc", drawn(3, seed=1), strict=True):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_png(tmp_path / "images" / f"{name}.png", case.image)
    read, out = reading.read_image, tmp_path / "out"

    def stopping(path):
        if path.name == "c.png":
            raise stop
        return read(path)

    monkeypatch.setattr(reading, "read_image", stopping)
    words = ["predict", tmp_path / "images", "--weights", weights(work), "--out", out, "--annotations", "labelme"]
    if told is None:
        with pytest.raises(stop):
            run(work, *words)
    else:
        assert ended(monkeypatch, *words) == 130 and told in capsys.readouterr().err
    assert pd.read_csv(out / "landmarks.csv")["case"].value_counts().to_dict() == {"a": 19, "b": 19}
    assert set(read_annotations(out / "labelme", HEADS)) == {"a", "b"}


def test_check_writes_over_no_file_that_is_no_picture(work, tmp_path):
    (tmp_path / "check.png").write_text("my notes")
    with pytest.raises(DataError, match=r"check\.png exists and is no PNG picture; name another file with --sheet"):
        run(work, "check", work / "heads", "--sheet", tmp_path / "check.png")


def test_predict_lists_images_that_are_unlike_the_training_images(work, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    write_png(tmp_path / "images" / "sound.png", drawn(3, seed=1)[0].image)
    write_png(tmp_path / "images" / "noise.png", np.random.default_rng(0).random(SIZE))
    out, method = tmp_path / "out", create("mean_shape", HEADS, SIZE)
    method.fit(drawn(40, seed=2), drawn(12, seed=3))
    known = save_method(method, tmp_path / "known.safetensors")
    run(work, "predict", tmp_path / "images", "--weights", known, "--out", out, "--annotations", "coco")
    told = capsys.readouterr().out
    assert "not to be believed, 1 of them" in told and "noise (score" in told and "sound (score" not in told
    table = pd.read_csv(out / "landmarks.csv").groupby("case").first()
    assert table["ood_score"]["noise"] > 1 > table["ood_score"]["sound"] and pd.isna(table["refusal"]["sound"])
    shown = {
        one["image_id"]: set(one["keypoints"][2::3])
        for one in json.loads((out / "coco" / "annotations.json").read_text())["annotations"]
    }
    assert sorted(map(sorted, shown.values())) == [[1], [2]]


def test_predict_finds_out_how_an_image_lies(work, tmp_path, capsys):
    (drawing,) = wrist_phantom(1, (192, 112), 977)
    write_png(tmp_path / "turned.png", np.rot90(drawing.image))
    run(work, "predict", tmp_path / "turned.png", "--weights", "wrist", "--out", tmp_path / "out", "--any-way")
    assert "1 of them:\nturned: 270° anticlockwise" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "out" / "landmarks.csv")[["x", "y"]].to_numpy()
    true = np.stack([drawing.landmarks[:, 1], 111 - drawing.landmarks[:, 0]], axis=1)
    assert np.nanmedian(np.linalg.norm(found - true, axis=1)) < 4
    with pytest.raises(DataError, match="--any-way: these weights do not know"):
        run(work, "predict", tmp_path / "turned.png", "--weights", weights(work), "--out", tmp_path / "other", "--any-way")


def test_an_image_that_was_left_out_shows_in_the_exit_status(monkeypatch, work, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"")
    assert ended(monkeypatch, "predict", tmp_path / "a.png", "--weights", weights(work), "--out", tmp_path / "out") == 1
    told = capsys.readouterr()
    assert "predicted: 0 of 1 images" in told.out and "a.png cannot be read" in told.err


def test_evaluate_judges_the_test_part_in_millimetres(work, tmp_path, capsys):
    run(work, "evaluate", work / "heads", "--weights", weights(work), "--csv", tmp_path / "values.csv")
    told = capsys.readouterr().out
    assert "Mean shape on 4 cases of heads" in told and "mm" in told
    assert set(pd.read_csv(tmp_path / "values.csv")["case"]) == {"c00", "c03", "c06", "c09"}
    landmarks = work / "heads" / "landmarks.csv"
    before = landmarks.read_bytes()
    with pytest.raises(DataError, match="holds something else than such a table"):
        run(work, "evaluate", work / "heads", "--weights", weights(work), "--csv", landmarks)
    assert landmarks.read_bytes() == before
    run(work, "evaluate", work / "heads", "--weights", weights(work), "--part", "all")
    assert "on 12 cases" in capsys.readouterr().out


@pytest.mark.parametrize("tool", TOOLS)
def test_a_data_set_goes_to_each_tool_and_comes_back(work, tmp_path, tool, capsys):
    run(work, "export", work / "heads", tmp_path / "out", "--to", tool)
    run(work, "import", tmp_path / "out", tmp_path / "back", "--images", work / "heads")
    with pytest.raises(DataError, match="exists and is not empty"):  # nothing is lost, neither annotations nor the data set itself
        run(work, "export", work / "heads", work / "heads", "--to", tool)
    before, back = read_cases(work / "heads"), read_cases(tmp_path / "back")
    assert back.ids == before.ids and back.anatomy == before.anatomy and back[0].metadata == before[0].metadata
    np.testing.assert_allclose(back.landmarks, before.landmarks, atol=2e-4)
    run(work, "import", tmp_path / "out", tmp_path / "new", "--images", tmp_path / "out", "--anatomy", work / "heads")
    new = read_cases(tmp_path / "new")
    np.testing.assert_allclose(new.landmarks, before.landmarks, atol=2e-4)
    assert new[0].spacing == (0.5 if tool == "slicer" else None)
    assert (new.name, back.name, list(new.info)) == ("new", "back", ["source"])
    assert np.corrcoef(new[0].image.ravel(), before[0].image.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("tool", TOOLS)
def test_predictions_that_a_person_corrected_join_the_data_set(work, tmp_path, tool):
    """Predict three images, change a landmark of one: it alone is truth, and it is for training."""
    for i, case in enumerate(drawn(3, seed=1)):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_png(tmp_path / "images" / f"new{i}.png", case.image)
    out = tmp_path / "out"
    run(work, "predict", tmp_path / "images", "--weights", weights(work), "--out", out, "--annotations", tool)
    words = ["--images", out / tool, "--predicted", out / "landmarks.csv", "--also", work / "heads"]
    with pytest.raises(DataError, match="in none of the 3 annotated images has a landmark been changed"):
        run(work, "import", out / tool, tmp_path / "none", *words)
    assert not (tmp_path / "none").exists()
    answer = read_annotations(out / tool, HEADS)
    moved = {name: replace(one, landmarks=one.landmarks + (5.0 if name == "new1" else 0.0)) for name, one in answer.items()}
    for file in [*(out / tool).rglob("*.json"), *(out / tool).rglob("*.xml")]:
        file.unlink()
    write_annotations(out / tool, [replace(one, size=SIZE) for one in moved.values()], HEADS, tool)
    run(work, "import", out / tool, tmp_path / "more", *words)
    more = read_cases(tmp_path / "more")
    assert more.name == "more" and "kind" not in more.info  # that of the drawings
    assert more.ids == [*read_cases(work / "heads").ids, "new1"] and more[12].metadata["split"] == "train"
    np.testing.assert_allclose(more[12].landmarks, moved["new1"].landmarks, atol=1e-3)
    (tmp_path / "other.csv").write_text("case,x,y\na,left,3\n")
    with pytest.raises(DataError, match=r"other.csv cannot be read .* give the landmarks.csv"):
        run(work, "import", out / tool, tmp_path / "no", "--images", out / tool, "--predicted", tmp_path / "other.csv", *words[-2:])


def test_a_folder_of_images_does_not_say_what_the_landmarks_are(work, tmp_path):
    write_png(tmp_path / "a.png", drawn(1)[0].image)
    with pytest.raises(DataError, match="name the anatomy as well"):
        run(work, "import", tmp_path, tmp_path / "new", "--images", tmp_path)


def test_a_set_of_large_images_goes_through_every_command(tmp_path, capsys):
    """600 x 485 pixels with 19 single points, described in its own dataset.toml."""
    folder, drawings = tmp_path / "heads", drawn(8, (600, 485))
    drawings[3].metadata["split"] = drawings[6].metadata["split"] = "train"
    write_cases(folder, drawings, bits=8)
    run(tmp_path, "check", folder, "--sheet", tmp_path / "sheet.png")
    method = ["--method", "heatmap_regression", "--profile", "smoke", "--budget", "4 steps"]
    run(tmp_path, "train", folder, *method, *where(tmp_path))
    run(
        tmp_path,
        "predict",
        folder / "images",
        "--weights",
        weights(tmp_path),
        "--out",
        tmp_path / "out",
        "--annotations",
        "labelme",
    )
    run(tmp_path, "evaluate", folder, "--weights", weights(tmp_path))
    run(tmp_path, "import", tmp_path / "out" / "labelme", tmp_path / "back", "--images", folder)
    back = read_cases(tmp_path / "back")
    table = pd.read_csv(tmp_path / "out" / "landmarks.csv")
    np.testing.assert_allclose(back.landmarks, table[["x", "y"]].to_numpy().reshape(8, 19, 2), atol=1e-3)
