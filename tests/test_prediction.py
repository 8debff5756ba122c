"""What a method says of one image: absent, failed or there, as a table, and in the original pixels."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from denseseg.anatomy import CHEST, Anatomy, Kind, Structure
from denseseg.errors import DataError
from denseseg.geometry.frame import Frame, Turn
from denseseg.prediction import Prediction, stacked_landmarks


def points() -> np.ndarray:
    return np.arange(332.0).reshape(166, 2)


def test_a_prediction_is_a_table(tmp_path):
    found = points()
    found[CHEST.slices["heart"].start] = np.nan
    prediction = Prediction(CHEST, found)
    table = pd.read_csv(prediction.to_csv(tmp_path / "landmarks.csv"))
    assert list(table.columns) == ["structure", "index", "x", "y", "absent", "refusal", "ood_score"]
    assert table.iloc[45].tolist()[:5] == ["left lung", 1, 90, 91, False] and table["ood_score"].isna().all()
    assert table.groupby("structure")["refusal"].first().dropna().to_dict() == {"heart": "not found"}
    assert table[["x", "y"]].isna().any(axis=1).sum() == 1
    path = prediction.to_csv(tmp_path / "new" / "folder" / "landmarks")
    assert pd.read_csv(path).equals(table)
    with pytest.raises(DataError, match=r"could not be written .*; free space or choose another folder"):
        prediction.to_csv(path / "landmarks.csv")


def test_labels_stand_in_the_table_where_the_anatomy_has_some():
    ceph = Anatomy("ceph", (Structure("points", 2, "points", Kind.POINTS, ("sella", "nasion")),))
    table = Prediction(ceph, np.array([[1.0, 2], [3, 4]])).table()
    assert table["label"].tolist() == ["sella", "nasion"]


def test_absent_is_knowledge_and_not_found_is_failure():
    found, heart, lung = points(), CHEST.slices["heart"], CHEST.slices["left lung"]
    found[heart], found[lung.start] = np.nan, np.nan
    assert Prediction(CHEST, found).failed == ("left lung", "heart")
    knows = Prediction(CHEST, found, presence=np.array([1, 0.9, 0.1, 1, 1]))
    assert knows.failed == ("left lung",)
    assert knows.absent.tolist() == [False, False, True, False, False]


def test_a_prediction_of_masks_alone():
    masks = np.ones((5, 8, 8), bool)
    masks[3] = False
    prediction = Prediction(CHEST, None, masks)
    assert prediction.failed == ("right clavicle",)
    with pytest.raises(DataError, match="no landmarks to list"):
        prediction.table()
    with pytest.raises(DataError, match="no landmarks to compare"):
        stacked_landmarks([Prediction(CHEST, points()), prediction])
    with pytest.raises(DataError, match="no predictions"):
        stacked_landmarks([])
    with pytest.raises(DataError, match="needs landmarks or masks"):
        Prediction(CHEST, None)


def test_everything_comes_back_into_the_original_pixels():
    """An image of 40 x 96 pixels, seen at a third of its size in one of 32 x 32."""
    frame = Frame.fit((40, 96), (32, 32))
    mask = np.zeros((5, 32, 32), bool)
    top = int(frame.offset[1])
    mask[:, top + 3 : top + 9, 6:20] = True
    square = np.tile(np.eye(2), (166, 1, 1))
    seen = Prediction(
        CHEST, frame.to_fitted(points()), mask, mask.astype(np.float32), uv=np.zeros((5, 2, 32, 32)), covariance=square
    )
    whole = seen.restored(frame)
    np.testing.assert_allclose(whole.landmarks, points(), atol=1e-9)
    assert whole.masks.shape == (5, 40, 96)
    assert whole.uv.shape == (5, 2, 40, 96)
    assert whole.masks[0].sum() == pytest.approx(mask[0].sum() * 9, rel=0.05)
    np.testing.assert_allclose(whole.covariance, 9 * square)


def test_maps_of_a_large_original_take_memory_only_when_they_are_asked_for():
    maps = np.random.default_rng(1).random((5, 32, 32), dtype=np.float32)
    seen, frame = Prediction(CHEST, points(), maps > 0.5, maps, np.stack([maps, maps], 1)), Frame.fit((1200, 1000), (32, 32))
    tracemalloc.start()
    whole = seen.restored(frame)
    assert whole.landmarks is not None and whole.failed == () and not whole.absent.any()
    assert tracemalloc.get_traced_memory()[1] < 1200 * 1000  # not even one mask of that size
    masks = whole.masks
    assert tracemalloc.get_traced_memory()[1] < 4 * 5 * 1200 * 1000  # not all of them as numbers
    tracemalloc.stop()
    np.testing.assert_array_equal(masks, [frame.maps_to_original(m) >= 0.5 for m in (maps > 0.5).astype(float)])
    np.testing.assert_array_equal(whole.uv[:, 1], whole.probabilities)
    assert pickle.loads(pickle.dumps(whole)).masks.shape == replace(whole, landmarks=None).masks.shape == (5, 1200, 1000)


def test_a_prediction_of_a_turned_image_comes_back_with_all_its_maps():
    turn, maps = Turn((30, 20), 1, mirrored=True), np.random.default_rng(2).random((5, 30, 20), dtype=np.float32)
    laid, wide = turn.maps_to_fitted(maps), np.tile(np.diag([4.0, 1.0]), (166, 1, 1))
    back = Prediction(CHEST, points(), laid > 0.5, laid, np.stack([laid, laid], 1), covariance=wide).restored(turn)
    np.testing.assert_array_equal(back.masks, maps > 0.5)
    np.testing.assert_array_equal(back.probabilities, maps)
    np.testing.assert_array_equal(back.uv[:, 1], maps)
    np.testing.assert_allclose(back.landmarks, turn.to_original(points()))
    np.testing.assert_allclose(back.covariance, np.tile(np.diag([1.0, 4.0]), (166, 1, 1)), atol=1e-9)


def test_a_frame_that_changes_nothing_changes_nothing():
    prediction = Prediction(CHEST, points())
    assert prediction.restored(Frame.fit((32, 32), (32, 32))) is prediction
