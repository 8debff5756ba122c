"""The template's widget says in the browser what geometry says of alignment, means and maps, and answers to hands and to Python."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import torch
from browser import needs_browser
from touch import Touched, both_kinds, evaluated, touched

from denseseg.anatomy import Anatomy, Structure
from denseseg.errors import DataError
from denseseg.geometry.contour import perimeter, pixel_grid, polygon_mask
from denseseg.geometry.similarity import Similarity, procrustes_mean, umeyama
from denseseg.geometry.spline import fit_spline
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import fold_over_share
from denseseg.viewing.template_steps import TemplateSteps, films_askew

COUNT, N, SIZE = 5, 16, (90, 70)
ANGLE = np.linspace(0, 2 * np.pi, N, endpoint=False)
EGG = np.stack([36 + 18 * np.cos(ANGLE), 45 + (24 + 6 * np.sin(ANGLE)) * np.sin(ANGLE)], -1)
SHAPES = EGG + np.random.default_rng(1).normal(0, 0.8, (COUNT, N, 2)) + np.arange(COUNT)[:, None, None]
STEPS = ("none", "translation", "rotation", "scale")


def shown() -> TemplateSteps:
    return TemplateSteps(np.full(SIZE, 0.5), SHAPES, spacing=2.0)


def carried(shape: np.ndarray, target: np.ndarray, steps: int) -> np.ndarray:
    """The shape aligned to the target by umeyama, of which fewer steps than three leave out the scale, then the rotation."""
    found = umeyama(shape, target)
    scale, rotation = found.scale if steps > 2 else 1.0, found.rotation if steps > 1 else np.eye(2)
    return Similarity(scale, rotation, target.mean(0) - scale * rotation @ shape.mean(0)).apply(shape) if steps else shape


def area(shape: np.ndarray) -> float:
    (x, y), (after_x, after_y) = shape.T, np.roll(shape, -1, axis=0).T
    return abs((x * after_y - after_x * y).sum()) / 2


@needs_browser
def test_means_are_those_of_the_package(tmp_path):
    """With and without alignment, of tidy films and of films askew, one of them numbered backwards."""
    films = np.stack([pose.apply(shape) for pose, shape in zip(films_askew(COUNT, EGG.mean(0), 80, 3), SHAPES, strict=True)])
    backwards = np.stack([films[0], films[1][::-1], *films[2:]])
    sets = [SHAPES, films, films[:2], backwards]
    call = f"{json.dumps([s.tolist() for s in sets])}.map((shapes) => [0, 1, 2, 3].map((steps) => m.construct(shapes, steps)))"
    for shapes, answers in zip(sets, evaluated(TemplateSteps, call, tmp_path), strict=True):
        for steps, answer in enumerate(answers):
            mean = np.array(answer["mean"])
            on = np.stack([carried(shape, mean, steps) for shape in shapes])
            assert np.allclose(answer["shapes"], on, atol=1e-9)
            assert answer["spread"] == pytest.approx(np.sqrt(((on - mean) ** 2).sum(-1).mean()))
            assert answer["size"] == pytest.approx(area(mean) / np.mean([area(one) for one in on]))
        plain, moved, _, scaled = (np.array(answer["mean"]) for answer in answers)
        assert np.allclose(plain, shapes.mean(0))
        assert np.allclose(moved, (shapes - shapes.mean(1, keepdims=True)).mean(0) + shapes[0].mean(0))
        assert np.allclose(scaled, procrustes_mean(shapes))


@needs_browser
def test_a_map_and_its_folds_are_those_of_the_package(tmp_path):
    order = np.arange(N)
    swapped = np.where(order == 4, 8, np.where(order == 8, 4, order))
    pulled = EGG.copy()
    pulled[3] = EGG[2]  # two landmarks in one place
    pulled[10] += [30, 20]  # and one far beyond the others
    cases = [EGG, pulled, *(EGG[one] for one in (swapped, np.roll(order, -1), order[::-1]))]
    box = {"x": 3, "y": 5, "width": 64, "height": 80}
    call = f"""{json.dumps([case.tolist() for case in cases])}.map((points) => {{
      const map = m.uvMap(points, {json.dumps(SHAPES.mean(0).tolist())}, {json.dumps(box)});
      return {{ ...map, u: [...map.u], v: [...map.v], valid: [...map.valid] }}; }})"""
    template, size = Template(Anatomy("egg", (Structure("egg", N, "egg"),)), SHAPES.mean(0), SIZE), (box["height"], box["width"])
    grid = pixel_grid(size, dtype=torch.float64)[None] + torch.tensor([3.0, 5.0])
    shares = []
    for case, answer in zip(cases, evaluated(TemplateSteps, call, tmp_path), strict=True):
        valid = polygon_mask(case - [3, 5], size)
        uv = fit_spline(torch.as_tensor(case[None]), torch.as_tensor(template.uv), 1e-6)(grid).mT.unflatten(2, size)
        assert np.array_equal(np.reshape(answer["valid"], size), valid)
        assert np.allclose([np.reshape(answer[k], size)[valid] for k in "uv"], uv[0][:, valid], atol=1e-5)
        assert answer["share"] == pytest.approx(fold_over_share(uv, torch.as_tensor(valid)[None]).item())
        shares.append(answer["share"])
    assert shares[0] == shares[3] == 0 and shares[1] > 0 and shares[2] > 0 and shares[4] == 1


@needs_browser
def test_films_lie_as_askew_as_one_says(tmp_path):
    widget = shown()
    call = f"[0, 0.5, 1].map((askew) => m.laid({json.dumps(widget.data)}, {json.dumps(widget.points)}, askew, {COUNT}))"
    tidy, half, askew = np.array(evaluated(TemplateSteps, call, tmp_path))
    low, high = SHAPES.min((0, 1)), SHAPES.max((0, 1))
    poses = films_askew(COUNT, (low + high) / 2, widget.data["width"], 0)
    assert np.allclose(tidy, SHAPES, atol=1e-3) and np.allclose(half, (tidy + askew) / 2)
    assert np.allclose(askew, [pose.apply(shape) for pose, shape in zip(poses, SHAPES, strict=True)], atol=2e-3)
    assert np.allclose(askew[0], tidy[0]) and perimeter(askew[1]) != pytest.approx(perimeter(tidy[1]), rel=0.01)


def told(page: Touched) -> list[float]:
    """The numbers below the panels."""
    return [float(one) for one in re.findall(r"\d+\.\d|\d+(?= %)", page.text(".dsw-caption"))]


@needs_browser
@both_kinds
def test_an_outlier_drags_the_mean_by_its_share(kind, tmp_path):
    with touched(shown(), kind, tmp_path, 390, 844) as page:
        spread = told(page)[0]
        assert spread == pytest.approx(2 * np.sqrt(((SHAPES - SHAPES.mean(0)) ** 2).sum(-1).mean()), abs=0.06)
        assert page.count(".before") == page.count(".mean") == 1 and "Drag a point" in page.text(".moved")
        page.press(".dsw-handle", 3, *["ArrowRight"] * 10)
        assert page.text(".moved") == "Landmark 3 of your case is off by 20.0 mm, that of the mean by 4.0 mm."
        page.drag(".dsw-handle", 6, (40, 0), finger=True)
        _, _, off, follows, _ = told(page)
        assert off > 21 and follows == pytest.approx(off / COUNT, abs=0.06) and told(page)[0] > spread
        page.press("input[type=range]", 1, "Home")
        assert told(page)[3] == pytest.approx(off / 2, abs=0.06) and page.count(".shape") == 2
        if kind == "live":
            points = np.array(page.saved("points"))
            assert page.saved("count") == 2 and np.allclose(points[3], SHAPES[1, 3] + [10, 0], atol=1e-3)
            page.write("points", (SHAPES[1] + [3, 4]).tolist())
            assert "off by 10.0 mm" in page.text(".moved")
        page.click(".template-steps > .dsw-controls > button")
        assert "Drag a point" in page.text(".moved")
        both = [page.page.evaluate(f"document.querySelectorAll('.dsw-stage')[{i}].getBoundingClientRect().right") for i in (0, 1)]
        assert both[0] < both[1] < 390  # side by side on a phone


@needs_browser
@both_kinds
def test_alignment_and_numbers_by_mouse_and_keys(kind, tmp_path):
    with touched(shown(), kind, tmp_path, 390, 844) as page:
        page.press("input[type=range]", 0, "End")
        spreads = []
        for step in range(4):
            page.click("[aria-label=alignment] button", step)
            spreads.append(told(page)[0])
        assert spreads == sorted(spreads, reverse=True) and spreads[0] > 3 * spreads[3]
        folds, changed = [], []
        for numbering in range(4):
            page.click("[aria-label='numbering of your case'] button", numbering)
            folds.append(told(page)[-1])
            changed.append(page.attribute(".mean", 0, "d") != page.attribute(".before", 0, "d"))
            assert ("(red)" in page.text(".folds")) == (folds[-1] > 0)
        assert folds[0] == folds[2] == 0 and folds[1] > 2 and folds[3] == 100
        assert changed == [False, True, True, True]
        red = "[...document.querySelectorAll('canvas')[1].getContext('2d').getImageData(0, 0, 200, 200).data].some(Boolean)"
        assert page.page.evaluate(red)
        if kind == "live":
            assert (page.saved("alignment"), page.saved("numbering"), page.saved("askew")) == ("scale", "reversed", 1)
            page.write("numbering", "right")
            assert told(page)[-1] == 0 and not page.page.evaluate(red)
            assert page.attribute("[aria-label='numbering of your case'] button", 0, "aria-pressed") == "true"


def test_what_does_not_fit_is_named():
    for shapes in (SHAPES[0], SHAPES[:1], SHAPES[:, :6], np.where(SHAPES > 60, np.nan, SHAPES)):
        with pytest.raises(DataError, match="finite"):
            TemplateSteps(np.zeros(SIZE), shapes)
    widget = shown()
    with pytest.raises(DataError, match=r"shape \(15, 2\); give \(16, 2\)"):
        widget.points = widget.points[1:]
    with pytest.raises(DataError, match="6 of 5 shapes"):
        widget.count = 6


def test_the_panel_shows_the_image_where_the_landmarks_lie():
    image = np.zeros(SIZE)
    image[45, 36] = 1
    data = TemplateSteps(image, SHAPES).data
    panel = np.frombuffer(base64.b64decode(data["image"]), np.uint8).reshape(data["height"], data["width"])
    assert panel[45 - data["y"], 36 - data["x"]] == 255
    assert data["x"] >= 0 and data["x"] + data["width"] <= SIZE[1] and data["y"] + data["height"] <= SIZE[0]
