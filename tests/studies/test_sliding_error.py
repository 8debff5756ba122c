"""Errors along and across outlines, with known answers: circles that are turned slide, all alike; grown ones do not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from circles import LANDMARKS, TWO, circle, make_case, make_prediction

from denseseg.anatomy import Anatomy, Structure
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.evaluation import evaluate, sliding
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import study_record
from denseseg.geometry.template import Template
from denseseg.studies.linear_shape import predict_from_others
from denseseg.studies.sliding_error import KEYS, record, slide_errors, table

CENTRES = np.concatenate([np.zeros_like(LANDMARKS[where]) + LANDMARKS[where].mean(0) for where in TWO.slices.values()])
RADII = np.linalg.norm(LANDMARKS - CENTRES, axis=1)
NORMALS = (LANDMARKS - CENTRES) / RADII[:, None]
TANGENTS = np.column_stack([-NORMALS[:, 1], NORMALS[:, 0]])  # in the order of the landmarks
CHEST = Anatomy("chest", (Structure("heart", 26, "heart"), Structure("lung", 30, "lung")))
SLIDES = (1.0, -2.0, 1.5)


def turned(arc: float) -> np.ndarray:
    """The landmarks, each moved round its circle by an arc of so many pixels."""
    angle = arc / RADII[:, None]
    return CENTRES + RADII[:, None] * (np.cos(angle) * NORMALS + np.sin(angle) * TANGENTS)


def test_circles_that_are_turned_slide_all_alike_and_nothing_is_left():
    spacings = (0.5, 1.0, 2.0)
    cases = [make_case(f"c{i}", spacing=spacing) for i, spacing in enumerate(spacings)]
    found = slide_errors([make_prediction(turned(arc)) for arc in SLIDES], cases)
    assert list(found) == list(TWO.names)
    slides = np.multiply(SLIDES, spacings)  # mm
    for name, radius in zip(TWO.names, (20, 20, 12), strict=True):
        bend = max(2 * arc**2 / (2 * radius) for arc in SLIDES)  # mm at most between a circle and its tangent
        assert tuple(found[name]) == KEYS
        assert found[name]["along"] == pytest.approx(abs(slides).mean(), rel=0.01)
        assert found[name]["slide_sd"] == pytest.approx(slides.std(ddof=1), rel=0.01)
        assert found[name]["common_percent"] == pytest.approx(100)
        assert 0 <= found[name]["across"] < bend and found[name]["tre_without_common"] == pytest.approx(found[name]["across"])


def test_circles_that_grow_or_shrink_do_not_slide():
    found = slide_errors([make_prediction(LANDMARKS + grown * NORMALS) for grown in SLIDES], [make_case(f"c{i}") for i in range(3)])
    for numbers in found.values():
        assert numbers["along"] == pytest.approx(0, abs=1e-9) and numbers["slide_sd"] == pytest.approx(0, abs=1e-9)
        for key in ("tre", "across", "tre_without_common"):
            assert numbers[key] == pytest.approx(np.abs(SLIDES).mean())


def test_what_is_left_is_what_landmarks_slide_to_and_fro_and_err_across():
    to_and_fro = np.where(np.arange(len(LANDMARKS)) % 2, 3.0, -3.0)  # every structure has as many of either
    points = LANDMARKS + (1.0 + to_and_fro)[:, None] * TANGENTS + 4.0 * NORMALS
    for numbers in slide_errors([make_prediction(points)], [make_case()]).values():
        assert numbers["tre"] == pytest.approx((np.hypot(4, 4) + np.hypot(2, 4)) / 2)
        assert numbers["tre_without_common"] == pytest.approx(5)
        assert numbers["common_percent"] == pytest.approx(100 * 1 / 10)


def test_without_a_slide_in_common_what_is_left_is_the_tre_and_failures_keep_their_price():
    points, true = LANDMARKS + 2.0 * NORMALS, LANDMARKS.copy()
    points[:10], points[45], true[80:90] = np.nan, LANDMARKS[45] + 1e6, np.nan
    predictions, cases = [make_prediction(points)], [make_case(landmarks=true, spacing=0.5)]
    found, tre = (
        slide_errors(predictions, cases),
        evaluate(predictions, cases).query("metric == 'tre'").set_index("structure")["value"],
    )
    for name, numbers in found.items():
        assert numbers["tre"] == pytest.approx(tre[name])
    assert found["left"]["tre_without_common"] == pytest.approx(tre["left"]) and found["single"][
        "tre_without_common"
    ] == pytest.approx(1)
    assert found["left"]["across"] == pytest.approx((10 * 0.5 * np.hypot(96, 128) / 2 + 30 * 1.0) / 40)
    gone = slide_errors(predictions, [make_case(landmarks=np.where(np.arange(110)[:, None] < 80, LANDMARKS, np.nan))])["single"]
    assert np.isnan(list(gone.values())).all()  # nobody annotated it


def test_the_heart_has_an_upper_border_and_a_rest():
    true = np.concatenate([circle((40, 40), 20, 26), circle((90, 40), 20, 30)])
    moved = true.copy()
    moved[6:12] += 0.1 * (true[6:12] - 40)  # outwards by a tenth of the radius
    moved[12:26] += 0.05 * (true[12:26] - 40)
    to_and_fro = (np.roll(true[:26], -1, axis=0) - np.roll(true[:26], 1, axis=0)) * np.where(np.arange(26) % 2, 0.1, -0.1)[:, None]
    moved[:26] += to_and_fro  # along the outline, which is no error across
    case = Case("a", np.zeros((96, 128)), true, CHEST, spacing=0.5)
    found = slide_errors([SimpleNamespace(landmarks=moved, masks=None)], [case])
    assert found["heart parts"] == pytest.approx({"upper border": 1.0, "rest": 0.5 * 14 / 20})
    assert found["heart"]["across"] == pytest.approx((6 * 1.0 + 14 * 0.5) / 26)
    few = Anatomy("few", (Structure("heart", 12, "heart"),))
    small = Case("a", np.zeros((96, 128)), circle((40, 40), 20, 12), few)
    assert list(slide_errors([SimpleNamespace(landmarks=small.landmarks + 1, masks=None)], [small])) == ["heart"]


def test_the_record_has_every_structure_of_the_test_part_and_a_table(tmp_path):
    made = record("phantom", "smoke", ["mean_shape", "mean_shape:default:1"], str(tmp_path))
    assert list(made.results) == ["mean_shape", "mean_shape:default:1", "linear prediction"]
    assert [len([*tmp_path.glob(f"*_paper_{seed}_*")]) for seed in (0, 1)] == [1, 1]  # each has a seed of its own
    assert made.study == "sliding error" and made.settings == {"unit": "mm"}
    cases = load_cases(get_profile("smoke"), "phantom")
    parts = cases.split("paper", seed=0)
    mean = Template.from_landmarks(parts.train.landmarks, cases.anatomy, cases[0].size).points
    found = made.results["mean_shape"]
    shared = sliding([make_prediction(mean)] * len(parts.test), parts.test).set_index("structure")
    assert list(found) == [*cases.anatomy.names, "heart parts"] and found == made.results["mean_shape:default:1"]
    for name, where in cases.anatomy.slices.items():
        errors = [np.linalg.norm(mean[where] - case.points(name), axis=1) * case.spacing for case in parts.test]
        assert found[name]["tre"] == pytest.approx(np.mean(errors), rel=1e-6)
        assert found[name]["common_percent"] == pytest.approx(shared.loc[name, "common"])
    linear = made.results["linear prediction"]
    tre = evaluate(predict_from_others(parts.train, parts.test), parts.test).query("metric == 'tre'")
    assert list(linear) == [*cases.anatomy.names, "average"]
    assert linear["heart"] == pytest.approx(tre.query("structure == 'heart'")["value"].mean())
    assert linear["average"] == pytest.approx(np.mean([rows["value"].mean() for _, rows in tre.groupby("group")]))
    text = table(made.results)
    assert text.count("| mean_shape ") == len(cases.anatomy) + 1 and "upper border" in text and text.count("| average ") == 1


def test_what_is_not_known_is_a_dash_in_the_table():
    case = make_case(landmarks=np.where(np.arange(110)[:, None] < 80, LANDMARKS, np.nan))
    cases = load_cases(get_profile("smoke"), "phantom")
    results = {"a": slide_errors([make_prediction()], [case]), "linear prediction": {"left": 1.0, "single": np.nan}}
    made = study_record("sliding error", cases, results, profile="smoke", seed=0, n={"test": 1})
    assert table(made.results).count("–") == 6 + 2 * 2 + 1 and "upper border" not in table(made.results)


def test_what_cannot_be_studied_is_said_before_anything_is_trained(tmp_path):
    with pytest.raises(DataError, match="no closed outline to slide along"):
        record("hand phantom", "smoke", ["mean_shape"], str(tmp_path))
    for wrong in ("mean_shape:default:one", "", "mean_shape::1"):
        with pytest.raises(DataError, match=r"is no method; write method:recipe or method:recipe:seed"):
            record("phantom", "smoke", ["mean_shape", wrong], str(tmp_path))
    assert not [*tmp_path.iterdir()]
