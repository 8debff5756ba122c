"""The film of a training: what is unpacked and measured in the browser is what Python had, and it answers to hands."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from browser import needs_browser
from touch import both_kinds, evaluated, touched

from denseseg.errors import DataError
from denseseg.prediction import Prediction
from denseseg.viewing.training_film import LIMIT, TrainingFilm


def film(toy, **changes) -> TrainingFilm:
    """Two cases, the second without spacing, and three stages that come nearer to the truth; a landmark is not found at first."""
    cases, uv, masks = [toy.case, replace(toy.case, id="other", spacing=None)], np.stack([toy.uv] * 2), np.stack([toy.valid] * 2)
    stages = {}
    for epoch, off in ((1, 4.0), (3, 2.0), (9, 0.5)):
        points = toy.case.landmarks + [off, 0]
        points[0] = points[0] if epoch > 1 else np.nan
        spread = np.tile(off * np.array([[2.0, 0.5], [0.5, 1.0]]), (len(points), 1, 1))
        one = Prediction(toy.template.anatomy, points, toy.valid, uv=np.nan_to_num(toy.uv) + 0.05 * off, covariance=spread)
        stages[f"epoch {epoch}"] = [one, one]
    return TrainingFilm(**{"cases": cases, "uv": uv, "masks": masks, "stages": stages, "template": toy.template} | changes)


@needs_browser
def test_maps_errors_and_ellipses_are_those_of_python(toy, tmp_path):
    widget = film(toy)
    covariances = [[2, 0.5, 1], [1, 0, 3], [0.2, -0.3, 0.9]]
    call = f"""(() => {{ const data = {json.dumps(widget.data)}, one = data.cases[0];
      const [mine, truth] = [one.stages[0], one.truth].map((maps) => m.unpack(maps, data));
      return [mine.map(({{ valid, u, v }}) => [[...valid], [...u], [...v]]),
        mine.map((map, c) => [...m.mapError(map, truth[c], data.extent[c])].filter((value) => !Number.isNaN(value))),
        {json.dumps(covariances)}.map(m.ellipse)]; }})()"""
    maps, errors, ellipses = evaluated(TrainingFilm, call, tmp_path)
    rounded = 0.51 * LIMIT / 127
    for c, (valid, u, v) in enumerate(maps):
        mask = toy.valid[c]
        assert np.array_equal(np.reshape(valid, mask.shape) == 1, mask)
        for found, true in zip((u, v), np.nan_to_num(toy.uv[c]) + 0.2, strict=True):
            assert np.abs(np.reshape(found, mask.shape) - np.clip(true, -LIMIT, LIMIT))[mask].max() <= rounded
        shift, extent = 0.2, toy.template.half_extent[c]
        assert len(errors[c]) == mask.sum()
        assert np.median(errors[c]) == pytest.approx(shift * np.hypot(*extent), abs=2 * rounded * extent.max())
    for (xx, xy, yy), found in zip(covariances, ellipses, strict=True):
        turn = np.deg2rad(found["turn"])
        axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        again = axes @ np.diag([found["rx"] ** 2, found["ry"] ** 2]) @ axes.T / 4
        assert np.allclose(again, [[xx, xy], [xy, yy]])


@needs_browser
@both_kinds
def test_the_film_is_turned_played_and_its_cases_chosen(toy, kind, tmp_path):
    with touched(film(toy), kind, tmp_path, 390, 844) as page:
        many, unit = len(toy.case.landmarks), "mm" if toy.case.spacing else "px"

        def text() -> str:
            return page.text(".dsw-caption")

        assert text().startswith("epoch 9, ") and page.count("ellipse") == 0
        last = page.attribute("path.iso", 0, "d")
        page.click("input[type=checkbox]")
        assert page.count("ellipse") == many
        page.press("input[type=range]", 0, "Home")
        assert page.text("output") == "epoch 1" and page.attribute("path.iso", 0, "d") != last
        assert page.count("ellipse") == many - 1 and "1 landmarks not found" in text()
        off = f"Landmarks off by {4 * (toy.case.spacing or 1):.1f} {unit}"
        assert off in text()
        page.drag("input[type=range]", 0, (100, 0), finger=True)
        assert page.text("output") == "epoch 9"
        page.click("[aria-label=case] button", 1)
        assert ", other: map off" in text() and "Landmarks off by 0.5 px" in text()
        page.click("button")  # plays from the beginning
        assert page.text("button") == "pause" and page.text("output") == "epoch 1"
        until = time.monotonic() + 20
        while page.text("button") == "pause" and time.monotonic() < until:
            page.page.evaluate("new Promise((ready) => setTimeout(ready, 100))")
        assert page.text("button") == "play" and page.text("output") == "epoch 9"
        if kind == "live":
            assert (page.saved("stage"), page.saved("case"), page.saved("landmarks")) == (2, 1, True)
            page.write("stage", 1)
            assert page.text("output") == "epoch 3"
        rights = [page.page.evaluate(f"document.querySelectorAll('.dsw-stage')[{i}].getBoundingClientRect().right") for i in (0, 1)]
        assert rights[0] < rights[1] < 390  # both maps side by side on a phone


def test_what_does_not_fit_is_named(toy):
    with pytest.raises(DataError, match=r"uv \(1, .*do not fit 2 cases; give \(2, "):
        film(toy, uv=toy.uv[None])
    bare = Prediction(toy.template.anatomy, toy.case.landmarks, toy.valid)
    with pytest.raises(DataError, match="epoch 1: 2 predictions for 2 cases; give one each, with masks and uv"):
        film(toy, stages={"epoch 1": [bare, bare]})
    with pytest.raises(DataError, match="stage 3 of 3"):
        film(toy).stage = 3
    with pytest.raises(DataError, match="case 2 of 2"):
        film(toy).case = 2
