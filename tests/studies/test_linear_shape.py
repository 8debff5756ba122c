"""Structures predicted from the true others: exact where they are a linear function of these, and blind to their own truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from denseseg.anatomy import CHEST, Anatomy, Structure
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.evaluation import evaluate
from denseseg.geometry.shape_model import fit_shape_model
from denseseg.methods import create
from denseseg.phantom import chest_phantom
from denseseg.prediction import stacked_landmarks
from denseseg.studies.linear_shape import from_others, predict_from_others

SIZE = (48, 48)
TWO = Anatomy("two", (Structure("a", 4, "a"), Structure("b", 5, "b")))


def linear_cases(count: int = 30) -> CaseSet:
    """Structure b is a linear function of structure a, which moves in two ways."""
    rng = np.random.default_rng(0)
    base, modes = rng.uniform(10, 40, (9, 2)), rng.normal(size=(2, 9, 2))
    shapes = base + np.tensordot(rng.normal(size=(count, 2)), modes, 1)
    image = np.zeros(SIZE, np.float32)
    return CaseSet("linear", TWO, [Case(f"l{i}", image, shape, TWO) for i, shape in enumerate(shapes)])


def test_a_linear_relation_is_found_exactly():
    cases = linear_cases()
    found = stacked_landmarks(predict_from_others(cases[:20], cases[20:]))
    np.testing.assert_allclose(found, cases[20:].landmarks, atol=1e-3)


def test_a_structures_own_landmarks_are_not_looked_at():
    cases = chest_phantom(20, SIZE, seed=2)
    model, case = fit_shape_model(cases[:16].landmarks), cases[17]
    heart = CHEST.slices["heart"]
    moved, unknown = case.landmarks.copy(), case.landmarks.copy()
    moved[heart] += 9.0
    unknown[heart] = np.nan
    expected, *others = (from_others(points, model, CHEST)[heart] for points in (case.landmarks, moved, unknown))
    for other in others:
        np.testing.assert_array_equal(other, expected)


def test_with_no_other_at_hand_a_structure_is_where_the_mean_shape_has_it():
    cases = linear_cases()
    model, landmarks = fit_shape_model(cases.landmarks), cases[0].landmarks.copy()
    landmarks[TWO.slices["a"]] = np.nan
    b = TWO.slices["b"]
    np.testing.assert_allclose(from_others(landmarks, model, TWO)[b], cases.landmarks.mean(0)[b])


def test_on_phantoms_the_others_tell_more_than_the_mean_shape():
    cases = chest_phantom(60, SIZE, seed=2)
    train, test = cases[:48], cases[48:]
    mean = create("mean_shape", CHEST, SIZE)
    mean.fit(train)
    tables = (evaluate(predictions, test) for predictions in (predict_from_others(train, test), mean.predict_cases(test)))
    linear, baseline = (table[table["metric"] == "tre"]["value"].mean() for table in tables)
    assert 0 < linear < 0.8 * baseline


def test_sets_that_do_not_belong_together_are_refused():
    cases = linear_cases(4)
    large = CaseSet("large", TWO, [replace(case, image=np.zeros((64, 64), np.float32)) for case in cases])
    with pytest.raises(DataError, match="differ in anatomy or size; take both from one split"):
        predict_from_others(cases, large)
