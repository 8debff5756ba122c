"""Annotations become cases: with the image of their name and size, or in place of the landmarks of a set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_cases import make_set

from denseseg.anatomy import HAND
from denseseg.errors import DataError
from denseseg.exchange import Annotation, annotated_cases, annotation_of, corrected_cases
from denseseg.exchange.data_set import touched
from denseseg.pictures import write_png

CASES = make_set(3)


def annotations(**changes):
    return {case.id: replace(annotation_of(f"{case.id}.png", case.size, case.landmarks + 1), **changes) for case in CASES}


def test_landmarks_beyond_the_border_are_hidden_and_missing_ones_are_not():
    points = np.array([[-1.0, 3.0], [3.0, 3.0], [np.nan, np.nan]])
    assert annotation_of("a.png", (8, 8), points).hidden.tolist() == [True, False, False]


def test_a_case_is_made_of_an_annotation_and_its_image(tmp_path):
    images = {case.id: tmp_path / f"{case.id}.png" for case in CASES}
    for case in CASES:
        write_png(images[case.id], case.image)
    found = list(annotated_cases(annotations(), images, HAND))
    assert [case.id for case in found] == CASES.ids
    np.testing.assert_allclose(found[1].landmarks, CASES[1].landmarks + 1)
    np.testing.assert_allclose(found[1].image, CASES[1].image, atol=1e-4)
    assert vars(found[1])["image"].nbytes == 2 * CASES[1].image.size  # as the file's 16 bit: many large images must fit
    assert not list(annotated_cases(annotations(landmarks=np.full((37, 2), np.nan)), images, HAND))
    with pytest.raises(DataError, match=r"case000.png was annotated at 32 x 25 pixels, the image has 32 x 24"):
        list(annotated_cases(annotations(size=(25, 32)), images, HAND))
    del images["case001"]
    with pytest.raises(DataError, match=r"there is no image for the annotation of case001.png"):
        list(annotated_cases(annotations(), images, HAND))


def test_corrected_landmarks_take_the_place_of_a_case_s_own_and_all_else_stays():
    some = {name: one for name, one in annotations().items() if name != "case001"}
    found = list(corrected_cases(CASES, some))
    assert [case.id for case in found] == ["case000", "case002"]
    np.testing.assert_allclose(found[1].landmarks, CASES[2].landmarks + 1)
    assert found[1].metadata == CASES[2].metadata and found[1].spacing == 0.5
    with pytest.raises(DataError, match="the data set has no case 'other'"):
        list(corrected_cases(CASES, {**some, "other": some["case000"]}))
    with pytest.raises(DataError, match="was annotated at"):
        list(corrected_cases(CASES, annotations(size=(9, 9))))


def test_a_case_called_na_is_a_case_and_what_is_empty_was_not_predicted(tmp_path):
    (tmp_path / "landmarks.csv").write_text("case,structure,index,x,y\nNA,tip,0,1.5,2.5\nb,tip,0,,\n")
    found = {name: Annotation(f"{name}.png", None, np.array([[1.5, 2.5]]), np.zeros(1, bool)) for name in ("NA", "b")}
    assert list(touched(found, tmp_path / "landmarks.csv")) == ["b"]
