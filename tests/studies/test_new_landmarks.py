"""New landmarks: placed, carried and looked up exactly where geometry allows it, and a score that knows where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.anatomy import CHEST
from denseseg.cases.case_set import CaseSet, Split
from denseseg.geometry.template import Template
from denseseg.methods import create
from denseseg.phantom import ChestPhantom, chest_phantom
from denseseg.prediction import Prediction
from denseseg.studies.lung_points import PLACES, VARIANTS, lung_points_study
from denseseg.studies.new_landmarks import (
    NewLandmark,
    locate,
    places_in_template,
    read_maps,
    read_splines,
    transfer_score,
    true_maps,
)

SIZE = (96, 96)
LUNG, HEART = ("left lung",), ("heart",)


@pytest.fixture(scope="module")
def phantoms() -> list[ChestPhantom]:
    return [ChestPhantom(0, i, SIZE) for i in range(12)]


@pytest.fixture(scope="module")
def landmarks(phantoms: list[ChestPhantom]) -> np.ndarray:
    return np.stack([p.landmarks for p in phantoms])


@pytest.fixture(scope="module")
def template(landmarks: np.ndarray) -> Template:
    return Template.from_landmarks(landmarks, CHEST, SIZE)


@pytest.fixture(scope="module")
def centres(phantoms: list[ChestPhantom]) -> np.ndarray:
    """(12, 1, 2): where each phantom has the centre of its canonical left lung."""
    lung = CHEST.index("left lung")
    return np.stack([p.place(lung, p.canonical[CHEST.slices["left lung"]].mean(0)[None]) for p in phantoms])


def similar(landmarks: np.ndarray, angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return landmarks @ np.array([[c, s], [-s, c]]) + shift


@settings(max_examples=20)
@given(st.floats(-0.6, 0.6), st.floats(0.7, 1.3), st.tuples(st.floats(-9, 9), st.floats(-9, 9)), st.sampled_from([0.0, 1.0, 10.0]))
def test_an_affine_case_carries_every_place_exactly(template, angle, scale, shift, smoothing) -> None:
    case = similar(template.points, angle, scale, shift)
    new = [NewLandmark("inside", (60.0, 50.0), LUNG), NewLandmark("far", (20.0, 80.0), ("heart", "left lung"))]
    expected = similar(np.array([n.position for n in new]), angle, scale, shift)
    assert read_splines(case[None], template, new, smoothing)[0] == pytest.approx(expected, abs=1e-6)
    assert places_in_template(expected[None], case[None], template, LUNG, smoothing)[0, 0] == pytest.approx((60, 50), abs=1e-6)


def test_a_trained_landmark_is_found_at_its_place(landmarks: np.ndarray, template: Template) -> None:
    own = CHEST.slices["left lung"]
    new = [NewLandmark(str(i), tuple(p), LUNG) for i, p in enumerate(template.points[own])]
    assert read_splines(landmarks, template, new, smoothing=0) == pytest.approx(landmarks[:, own], abs=1e-5)
    by_map = np.linalg.norm(read_maps(*true_maps(landmarks, template), template, new) - landmarks[:, own], axis=-1)
    assert by_map.mean() < 0.1 and np.quantile(by_map, 0.99) < 0.5  # in the sharp lower corner the map is read from afar


@pytest.mark.parametrize("reader", ["map", "spline"])
def test_the_middle_of_a_lung_is_found_from_one_example(landmarks, template, centres, reader: str) -> None:
    new = NewLandmark.from_examples("centre", centres[:1, 0], landmarks[:1], template, LUNG)
    uv, masks = true_maps(landmarks, template)
    found = [
        locate(Prediction(CHEST, points, masks=m, uv=u), template, [new], reader)[0]
        for points, u, m in zip(landmarks, uv, masks, strict=True)
    ]
    mean_shape = np.linalg.norm(centres[1:, 0] - centres[0, 0], axis=-1).mean()
    assert np.linalg.norm(found - centres[:, 0], axis=-1).mean() < 0.35 * mean_shape


def test_both_readers_agree_inside_a_true_map(landmarks, template) -> None:
    new = [NewLandmark("middle", tuple(template.points[CHEST.slices["left lung"]].mean(0)), LUNG)]
    by_map = read_maps(*true_maps(landmarks, template), template, new)
    assert by_map == pytest.approx(read_splines(landmarks, template, new, smoothing=0), abs=1.0)


def test_two_maps_are_averaged(landmarks, template) -> None:
    maps, where = true_maps(landmarks[:2], template), tuple(template.points[CHEST.slices["heart"]].mean(0))
    both = read_maps(*maps, template, [NewLandmark("x", where, ("left lung", "heart"))])
    each = [read_maps(*maps, template, [NewLandmark("x", where, (name,))]) for name in ("left lung", "heart")]
    assert both == pytest.approx((each[0] + each[1]) / 2)


def test_missing_landmarks_take_no_part_and_a_missing_carrier_gives_nan(landmarks, template) -> None:
    some = landmarks[:1].copy()
    own = CHEST.slices["left lung"]
    some[0, own.start : own.start + 9] = np.nan
    new = [NewLandmark("x", tuple(template.points[own].mean(0)), LUNG)]
    assert read_splines(some, template, new) == pytest.approx(read_splines(landmarks[:1], template, new), abs=1.0)
    some[0, own] = np.nan
    assert np.isnan(read_splines(some, template, new)).all()
    uv, masks = true_maps(some, template)
    assert np.isnan(read_maps(uv, masks, template, new)).all()
    with pytest.raises(ValueError, match="no example shows x"):
        NewLandmark.from_examples("x", np.zeros((1, 2)), some, template, LUNG)


def test_a_place_is_the_mean_over_the_cases_that_have_it(landmarks, template, centres) -> None:
    gappy = centres[:, 0].copy()
    gappy[3] = np.nan
    rest = np.arange(12) != 3
    whole = NewLandmark.from_examples("x", centres[rest, 0], landmarks[rest], template, LUNG)
    assert NewLandmark.from_examples("x", gappy, landmarks, template, LUNG).position == pytest.approx(whole.position)


def test_readers_without_their_input_are_an_error(landmarks, template) -> None:
    new = [NewLandmark("x", (50.0, 50.0), LUNG)]
    with pytest.raises(ValueError, match="no uv maps"):
        locate(Prediction(CHEST, landmarks[0]), template, new, "map")
    with pytest.raises(ValueError, match="unknown reader"):
        locate(Prediction(CHEST, landmarks[0]), template, new, "guess")
    with pytest.raises(KeyError, match="no structure"):
        read_splines(landmarks, template, [NewLandmark("x", (50.0, 50.0), ("spleen",))])


# ---- the score ------------------------------------------------------------------------------------------------------


def test_the_score_is_zero_where_the_carrier_explains_all(template) -> None:
    rng = np.random.default_rng(0)
    motions = [(rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.2), tuple(rng.uniform(-5, 5, 2))) for _ in range(6)]
    cases = np.stack([similar(template.points, *m) for m in motions])
    points = np.stack([similar(np.array([[60.0, 50.0]]), *m) for m in motions])
    (row,) = transfer_score(points, cases, template, LUNG, spacing=2.0).to_dict("records")
    assert row["transfer"] == pytest.approx(0, abs=1e-6) and row["spread"] == pytest.approx(0, abs=1e-6)
    others = [np.linalg.norm(np.delete(points, i, 0).mean(0) - points[i]) for i in range(6)]
    assert row["mean_shape"] == pytest.approx(2 * np.mean(others)) and row["gain"] == pytest.approx(1)


def test_a_point_that_does_not_move_with_its_carrier_has_no_gain(landmarks, template) -> None:
    points = np.random.default_rng(0).normal((60, 50), 0.1, (12, 1, 2))
    (row,) = transfer_score(points, landmarks, template, LUNG).to_dict("records")
    assert row["gain"] < 0 < row["spread"]


def test_the_left_out_case_does_not_help_itself(landmarks, template, centres) -> None:
    """With two cases, each is judged by the place that the other one gives."""
    (row,) = transfer_score(centres[:2], landmarks[:2], template, LUNG).to_dict("records")
    errors = []
    for own, other in ((0, 1), (1, 0)):
        new = NewLandmark.from_examples("x", centres[[other], 0], landmarks[[other]], template, LUNG)
        errors.append(np.linalg.norm(read_splines(landmarks[[own]], template, [new])[0, 0] - centres[own, 0]))
    assert row["transfer"] == pytest.approx(np.mean(errors))


def test_outside_is_a_signed_distance_to_the_nearest_carrier(landmarks, template) -> None:
    heart = template.points[CHEST.slices["heart"]].mean(0)
    points = np.repeat(heart[None, None], 12, 0)
    by = {c: transfer_score(points, landmarks, template, c)["outside"][0] for c in (LUNG, HEART, LUNG + HEART)}
    assert by[HEART] < 0 < by[LUNG] and by[LUNG + HEART] < 0


# ---- the paper's experiment -----------------------------------------------------------------------------------------


def test_the_papers_places_are_those_of_the_authors_code() -> None:
    """Their indices count all 166 landmarks: 158..161, all of the left lung (44..93), 54 and 55, 63 and 67."""
    found = [place.indices(CHEST) for place in PLACES]
    assert found == [[[158], [159], [160], [161]], [list(range(44, 94))], [[54, 55]], [[63, 67]]]
    assert not any("clavicle" in reference for variant in VARIANTS for reference in variant.references)


def test_the_study_runs_and_chooses_on_validation_alone() -> None:
    cases = chest_phantom(11, (64, 64))
    parts = Split(cases[:6], cases[6:8], cases[8:])
    method = create("denseseg", CHEST, (64, 64), channels=(4, 8), test_time_views=1)
    torch.manual_seed(0)
    method.prepare(parts.train)
    landmarks = {id(part): part.landmarks for part in (parts.validation, parts.test)}

    def perfect(images: torch.Tensor) -> list[Prediction]:
        part = parts.validation if len(images) == 2 else parts.test
        uv, masks = true_maps(landmarks[id(part)], method.template)
        return [Prediction(CHEST, p, masks=m, uv=u) for p, m, u in zip(part.landmarks, masks, uv, strict=True)]

    method.predict = perfect  # type: ignore[method-assign]
    result = lung_points_study(method, parts, draws=2)
    means = {name: np.mean(list(errors.values())) for name, errors in result["validation_mm"].items()}
    assert result["chosen"] == min(means, key=means.get)
    contour = result["places"]["outer contour"]["mm"]
    assert contour["map"]["mean"] == pytest.approx(contour["true maps"]["mean"])
    assert contour["ours"]["mean"] < contour["mean shape"]["mean"]
    assert contour["true maps"]["mean"] < contour["true maps, published chain and Eq. 3"]["mean"]
    assert set(result["places"]["clavicle"]["mm"]) >= {"ours", "map", "mean shape", "true maps"}
    assert -1 <= result["candidates"]["spearman_low"] <= result["candidates"]["spearman"] <= 1


def test_a_set_without_spacing_is_refused() -> None:
    cases = chest_phantom(4, (64, 64))
    for case in cases:
        case.spacing = None
    method = create("mean_shape", CHEST, (64, 64))
    method.prepare(cases)
    with pytest.raises(ValueError, match="needs one spacing in mm for all cases"):
        lung_points_study(method, Split(cases[:2], cases[2:3], CaseSet(cases.name, CHEST, [cases[3]])))
