"""Landmarks go to each tool's files and come back; what a file says is believed, what it should not say is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from denseseg.anatomy import CHEST, HAND, Anatomy, Kind, Structure
from denseseg.errors import DataError
from denseseg.exchange import TOOLS, Annotation, read_annotations, write_annotations
from denseseg.exchange.annotation import landmark_ids

SKULL = Anatomy(
    "skull",
    (
        Structure("mandible", 5, "bones"),
        Structure("profile", 4, "soft", Kind.CURVE),
        Structure("base", 3, "points", Kind.POINTS, ("sella", "nasion", "porion")),
        Structure("tip", 1, "points", Kind.POINTS),
    ),
)
SIZE = (60, 50)
POINTS = arrays(float, (13, 2), elements=st.floats(-20, 70))
MISSING = arrays(bool, 13)


def annotation(points: np.ndarray, missing=(), hidden=None, name: str = "a.png", spacing: float | None = 0.5) -> Annotation:
    points = np.array(points, float)
    points[np.asarray(missing, int)] = np.nan
    hidden = np.zeros(len(points), bool) if hidden is None else hidden
    return Annotation(name, SIZE, points, hidden & np.isfinite(points).all(1), spacing)


def there_and_back(tmp_path_factory, tool: str, *annotations: Annotation, anatomy: Anatomy = SKULL) -> dict[str, Annotation]:
    folder = write_annotations(tmp_path_factory.mktemp("x") / "out", annotations, anatomy, tool)
    return read_annotations(folder, anatomy, spacing={"a": 0.5, "b": None}.get)


@pytest.mark.parametrize("tool", TOOLS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=POINTS, missing=MISSING, hidden=arrays(bool, 13))
def test_landmarks_come_back_from_every_tool(tmp_path_factory, tool, points, missing, hidden):
    missing[0] = False  # a file of Slicer is only there where there is a landmark
    sent = annotation(points, np.flatnonzero(missing), hidden), annotation(points[::-1], [], None, "b.png", None)
    back = there_and_back(tmp_path_factory, tool, *sent)
    assert list(back) == ["a", "b"]
    for one, found in zip(sent, back.values(), strict=True):
        np.testing.assert_allclose(found.landmarks, one.landmarks, atol=2e-4)
        assert (found.size == SIZE) or tool == "slicer"
        np.testing.assert_array_equal(found.hidden, one.hidden & (tool != "slicer"))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("anatomy", [CHEST, HAND], ids=lambda a: a.name)
def test_the_built_in_anatomies_go_to_every_tool(tmp_path_factory, tool, anatomy):
    points = np.random.default_rng(0).uniform(0, 40, (anatomy.n_landmarks, 2))
    sent = Annotation("sub/a.png", SIZE, points, np.zeros(len(points), bool), 0.5)
    np.testing.assert_allclose(there_and_back(tmp_path_factory, tool, sent, anatomy=anatomy)["a"].landmarks, points, atol=1e-4)


def test_where_each_tool_has_the_centre_of_the_first_pixel(tmp_path):
    """LabelMe and CVAT count from the pixel's corner, COCO's keypoints and Slicer from its centre; Slicer in millimetres."""
    points = np.zeros((13, 2))
    points[0] = [10, 20]
    for tool in TOOLS:
        write_annotations(tmp_path / tool, [annotation(points)], SKULL, tool)
    labelme = json.loads((tmp_path / "labelme" / "a.json").read_text())
    assert labelme["shapes"][0]["points"][:2] == [[10.5, 20.5], [0.5, 0.5]]
    coco = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert coco["annotations"][0]["keypoints"][:6] == [10, 20, 2, 0, 0, 2]
    assert coco["annotations"][0]["bbox"] == [0.5, 0.5, 10, 20]  # boxes and polygons count from the corner there, too
    assert 'points="10.5000,20.5000;0.5000,0.5000;' in (tmp_path / "cvat" / "annotations.xml").read_text()
    slicer = json.loads((tmp_path / "slicer" / "a" / "mandible.mrk.json").read_text())
    assert slicer["markups"][0]["controlPoints"][0]["position"] == [5, 10, 0]


def test_another_origin_can_be_given(tmp_path):
    folder = write_annotations(tmp_path / "out", [annotation(np.ones((13, 2)))], SKULL, "coco")
    np.testing.assert_allclose(read_annotations(folder, SKULL, origin=0.5)["a"].landmarks, 0.5)


def test_nobody_s_annotations_are_written_over(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(DataError, match=r"holds annotations already \(mine.json\); name another folder"):
        write_annotations(tmp_path, [annotation(np.ones((13, 2)))], SKULL, "labelme")
    assert (tmp_path / "mine.json").read_text() == "{}"


@given(st.lists(st.sampled_from(["a", "b", "a 0", "a: 1", "a 0: 0"]), min_size=4, max_size=4))
def test_every_landmark_has_a_name_of_its_own(labels):
    anatomy = Anatomy(
        "x", tuple(Structure(n, 2, "g", Kind.POINTS, tuple(own)) for n, own in (("a", labels[:2]), ("a 0", labels[2:])))
    )
    ids = landmark_ids(anatomy)
    assert len(set(ids)) == 4 and not set(ids) & {"a", "a 0"}


# ---- what a file may say otherwise ----------------------------------------------------------------------------------


def labelme(*shapes: dict, **changes) -> dict:
    blank = {"shape_type": "point", "flags": {}, "group_id": None, "description": "", "mask": None}
    image = {"imagePath": "a.png", "imageData": None, "imageHeight": 60, "imageWidth": 50}
    return {"version": "6.3.1", "flags": {}, "shapes": [blank | shape for shape in shapes], **image} | changes


def coco(keypoints: list, names: list[str], category: str = "base", **changes) -> dict:
    image = {"id": 7, "file_name": "sub\\a.png", "width": 50, "height": 60}
    one = {"id": 1, "image_id": 7, "category_id": 3, "keypoints": keypoints, "iscrowd": 0, "bbox": [0, 0, 1, 1], "area": 1.5}
    return {"images": [image], "categories": [{"id": 3, "name": category, "keypoints": names}], "annotations": [one | changes]}


def markups(points: list[dict], **changes) -> dict:
    return {"@schema": "x", "markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points} | changes]}


def cvat(inside: str) -> str:
    image = f'<image id="0" name="a.png" width="50" height="60">{inside}</image>'
    return f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{image}</annotations>'


def put(folder: Path, content: dict | str, name: str = "a.json") -> Path:
    path = folder / (name if isinstance(content, dict) else "a.xml")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def base(found: dict[str, Annotation]) -> list[list[float]]:
    return found["a"].landmarks[9:12].tolist()


def test_coco_points_are_found_by_their_names_in_any_order_or_else_by_their_order(tmp_path):
    numbers = [1, 2, 2, 3, 4, 1, 5, 6, 2]
    by_name = read_annotations(put(tmp_path, coco(numbers, ["porion", "sella", "nasion"])), SKULL)
    assert base(by_name) == [[3, 4], [5, 6], [1, 2]]
    assert by_name["a"].hidden[9:12].tolist() == [True, False, False]
    by_order = read_annotations(put(tmp_path, coco(numbers, ["1", "2", "3"])), SKULL)
    assert base(by_order) == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(DataError, match="has no landmark 'orbitale'"):
        read_annotations(put(tmp_path, coco(numbers, ["porion", "orbitale", "nasion"])), SKULL)


def test_coco_visibility_0_is_no_landmark_and_1_one_that_is_hidden(tmp_path):
    found = read_annotations(put(tmp_path, coco([0, 0, 0, 3, 4, 1, 5, 6, 2], ["sella", "nasion", "porion"])), SKULL)["a"]
    assert np.isnan(found.landmarks[9]).all() and found.landmarks[10].tolist() == [3, 4]
    assert found.hidden[9:12].tolist() == [False, True, False]


def test_two_images_of_one_name_are_not_made_one(tmp_path):
    content = coco([1, 2, 2, 3, 4, 2, 5, 6, 2], ["sella", "nasion", "porion"])
    (first,) = content["images"]
    content["images"] = [first | {"file_name": "train/a.png"}, first | {"id": 9, "file_name": "test/a.png"}]
    content["annotations"] += [content["annotations"][0] | {"id": 9, "image_id": 9}]
    with pytest.raises(DataError, match=r"train/a\.png and .*test/a\.png would both be case a; give the images names of their own"):
        read_annotations(put(tmp_path, content), SKULL)


def test_structures_that_would_share_a_slicer_file_are_refused(tmp_path):
    anatomy = Anatomy("knee", tuple(Structure(name, 3, "bone") for name in ("a/b", "a:b")))
    with pytest.raises(DataError, match=r"two structures of a\.mha would share the file a_b\.mrk\.json; rename one"):
        write_annotations(tmp_path / "out", [Annotation("a.mha", (9, 9), np.ones((6, 2)), np.zeros(6, bool))], anatomy, "slicer")
    assert not list(tmp_path.rglob("*.json"))


def test_one_coco_category_may_hold_the_whole_anatomy(tmp_path):
    numbers = np.column_stack([np.arange(26).reshape(13, 2), np.full(13, 2)]).ravel().tolist()
    found = read_annotations(put(tmp_path, coco(numbers, [f"p{i}" for i in range(13)], "person")), SKULL)["a"]
    np.testing.assert_array_equal(found.landmarks, np.arange(26).reshape(13, 2))


def test_slicer_positions_in_ras_are_turned_and_undefined_ones_left_out(tmp_path):
    points = [
        {"label": "nasion", "position": [-2.0, -3.0, 0.0], "positionStatus": "defined"},
        {"label": "sella", "position": [0.0, 0.0, 0.0], "positionStatus": "undefined"},
    ]
    path = put(tmp_path, markups(points, name="base", coordinateSystem="RAS"), "a.mrk.json")
    found = read_annotations(path, SKULL, spacing={"a": 0.5}.get)["a"].landmarks
    assert found[10].tolist() == [4, 6] and np.isnan(found[9]).all()


def test_slicer_saves_each_structure_on_its_own_without_its_name(tmp_path):
    (tmp_path / "a").mkdir()
    put(tmp_path / "a", markups([{"label": f"base-{i}", "position": [i, i, 0]} for i in range(3)]), "base.mrk.json")
    put(tmp_path / "a", markups([{"label": "tip-1", "position": [9, 9, 0]}]), "tip.mrk.json")
    found = read_annotations(tmp_path, SKULL)["a"].landmarks
    assert found[9:].tolist() == [[0, 0], [1, 1], [2, 2], [9, 9]] and np.isnan(found[:9]).all()


def test_labelme_passes_over_what_is_no_landmark_and_reads_names_of_windows(tmp_path):
    rectangle = {"label": "whatever", "shape_type": "rectangle", "points": [[0, 0], [4, 4]]}
    point = {"label": "sella", "points": [[3.5, 4.5]], "flags": {"hidden": True}}
    found = read_annotations(put(tmp_path, labelme(rectangle, point, imagePath="..\\images\\x.y.png")), SKULL)
    assert found["x.y"].landmarks[9].tolist() == [3, 4] and found["x.y"].hidden[9]


def test_cvat_as_its_documentation_shows_it(tmp_path):
    inside = """
      <box label="plate" xtl="797.33" ytl="870.92" xbr="965.52" ybr="928.94" occluded="0" z_order="4"></box>
      <polyline label="profile" points="1.50,0.50;2.50,1.50;3.50,2.50;4.50,3.50" occluded="1" z_order="3"></polyline>
      <skeleton label="base" source="manual" z_order="0">
        <points label="nasion" source="manual" outside="0" occluded="0" points="8.50,9.50"></points>
        <points label="sella" source="manual" outside="1" occluded="0" points="1.00,1.00"></points>
      </skeleton>
      <tag label="good_frame" source="manual"></tag>"""
    found = read_annotations(put(tmp_path, cvat(inside)), SKULL)["a"]
    assert found.size == (60, 50)
    assert found.landmarks[5:9].tolist() == [[1, 0], [2, 1], [3, 2], [4, 3]] and found.hidden[5:9].all()
    assert found.landmarks[10].tolist() == [8, 9] and np.isnan(found.landmarks[9]).all()


# ---- what is told ---------------------------------------------------------------------------------------------------

POINT = {"label": "sella", "points": [[1, 2]]}
THREE = [1, 2, 2, 3, 4, 2, 5, 6, 2]
NAMES = ["sella", "nasion", "porion"]
SHORT = {"label": "mandible", "shape_type": "polygon", "points": [[1, 2]] * 4}
VIDEO = "<annotations><track id='0' label='base'></track></annotations>"
FAULTS = {
    "unknown label": (labelme({"label": "molar", "points": [[1, 2]]}), "'molar' with 1 points is no part of the skull; rename it"),
    "one vertex less": (labelme(SHORT), "'mandible' has 4 points instead of 5"),
    "twice": (labelme(POINT, POINT), "'sella' is marked twice"),
    "no image": ({"shapes": []}, "no file of LabelMe, COCO, CVAT"),
    "text for a number": (labelme({"label": "sella", "points": [["1", "2"]]}), "shapes.0.points.0.0 must be a valid number"),
    "NaN": (labelme({"label": "sella", "points": [[float("nan"), 2]]}), "shapes.0.points.0.0 must be a finite number"),
    "two numbers a keypoint": (coco(THREE[:6], NAMES), "has 6 numbers for the 3 keypoints of 'base'"),
    "visibility 3": (coco([*THREE[:8], 3], NAMES), "visibility other than 0, 1 and 2"),
    "an image that is not listed": (coco(THREE, NAMES, image_id=8), "is of image 8 and category 3, which are not both listed"),
    "two names alike": (coco(THREE, ["sella", "sella", "porion"]), "two points of 'base' have the same name"),
    "micrometres": (markups([], name="base", coordinateUnits="um"), "coordinateUnits is 'um'; save the markups in millimetres"),
    "another system": (markups([], name="base", coordinateSystem="IJK"), "coordinateSystem must be 'LPS' or 'RAS'"),
    "two numbers a position": (markups([{"position": [1, 2]}], name="base"), "controlPoints.0.position"),
    "video": (VIDEO, "is CVAT for video; export the task as CVAT for images"),
    "half a pair": (cvat('<points label="tip" points="1.0"/>'), "image 0.shapes.0"),
    "no number": (cvat('<polygon label="mandible" points="a,b"/>'), "image 0.shapes.0"),
    "a document type": ("<!DOCTYPE x><annotations/>", "has a document type"),
    "cut off": ("<annotations><image", "cannot be read"),
    "another XML": ("<html/>", "no file of LabelMe, COCO, CVAT"),
    "no JSON": ({}, "no file of LabelMe, COCO, CVAT"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path, fault):
    content, told = FAULTS[fault]
    path = put(tmp_path, content)
    with pytest.raises(DataError) as error:
        read_annotations(path, SKULL)
    assert told in str(error.value) and str(path) in str(error.value)


def test_no_file_no_folder_no_annotation(tmp_path):
    for path, told in ((tmp_path / "x", "is neither a file nor a folder"), (tmp_path, "holds no .json or .xml file")):
        with pytest.raises(DataError, match=told):
            read_annotations(path, SKULL)


KEYS = ["shapes", "imagePath", "version", "points", "label", "markups", "images", "categories", "annotations", "keypoints"]
LEAVES = st.none() | st.booleans() | st.floats() | st.text(max_size=5)


@given(st.recursive(LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(KEYS), x), max_leaves=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_read_or_told(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    try:
        read_annotations(path, SKULL)
    except DataError as error:
        assert str(path) in str(error)
