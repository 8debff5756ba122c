"""Predicted landmarks that are put right: the page computes what Python does, hands drag, and the saved file comes back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from browser import needs_browser
from touch import both_kinds, evaluated, soon, touched

from denseseg.errors import DataError
from denseseg.exchange import read_annotations
from denseseg.geometry.shape_model import fit_shape_model
from denseseg.phantom.chest.phantom import chest_phantom
from denseseg.viewing.correction_tool import CorrectionTool

CASES = chest_phantom(24, (64, 64), seed=5)
MODEL = fit_shape_model(CASES.landmarks[:20])
SHOWN = CASES[21]


def tool(gone: int = 0) -> CorrectionTool:
    points = SHOWN.landmarks + np.random.default_rng(0).normal(0, 0.5, (166, 2))
    points[len(points) - gone :] = np.nan
    return CorrectionTool(SHOWN.image, "chest 21", points, CASES.anatomy, MODEL.errors(2.0), spacing=2.0)


@needs_browser
def test_the_page_corrects_as_python_does_and_its_file_is_read_back(tmp_path):
    one, rng = tool(gone=6), np.random.default_rng(1)
    known = [None] * 166
    for n in rng.choice(160, 12, replace=False):
        known[n] = (one.predicted[n] + rng.normal(0, 3, 2)).round(2).tolist()
    call = f"""(() => {{ const data = {json.dumps(one.data)}, known = {json.dumps(known)};
      const factors = new Float32Array(Uint8Array.from(atob(data.factors), (c) => c.charCodeAt(0)).buffer);
      const after = (some) => m.corrected(data.points, some, factors, data.rest, data.hand);
      return [after(known), after(known.map(() => null)), m.labelme(data, after(known))]; }})()"""
    found, untouched, text = evaluated(CorrectionTool, call, tmp_path)
    one.known = known
    ours = [None if np.isnan(point).any() else pytest.approx(point.tolist(), abs=2e-3) for point in one.corrected]
    assert found == ours and untouched == one.data["points"]
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "chest 21.json").write_text(text, "utf-8")
    (annotation,) = read_annotations(tmp_path / "labels", CASES.anatomy).values()
    np.testing.assert_allclose(annotation.landmarks, one.corrected, atol=2e-3)


@needs_browser
@both_kinds
def test_a_landmark_that_is_dragged_takes_its_neighbours_along(kind, tmp_path):
    with touched(tool(), kind, tmp_path, 600, 900) as page:

        def places() -> np.ndarray:
            words = page.page.evaluate("[...document.querySelectorAll('.dsw-handle')].map((h) => h.getAttribute('aria-valuetext'))")
            return np.array([[float(part.split()[1].replace("−", "-")) for part in word.split(", ")] for word in words])

        assert page.text(".dsw-caption").startswith("0 of 166 landmarks put right; the others moved by up to 0.0 mm")
        before = places()
        scale = page.page.evaluate("document.querySelector('.dsw-stage').clientWidth") / 64
        page.drag(".dsw-handle", 10, (-4 * scale, 0), finger=True)
        moved = np.linalg.norm(places() - before, axis=1)
        near = np.linalg.norm(before - before[10], axis=1).argsort()
        assert moved[10] == pytest.approx(4, abs=0.3) and moved[near[1:6]].mean() > 3 * moved[near[-60:]].mean() > 0
        assert page.text(".dsw-caption").startswith("1 of 166") and page.count(".known") == 1
        page.page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
        page.click(".dsw-controls button", 1)
        saved = tmp_path / "saved" / "chest 21.json"
        assert soon(page, saved.exists)
        (annotation,) = read_annotations(saved, CASES.anatomy).values()
        np.testing.assert_allclose(annotation.landmarks, places(), atol=0.06)
        if kind == "live":
            one = tool()
            one.known = page.saved("known")
            np.testing.assert_allclose(one.corrected, places(), atol=0.06)
        page.click(".dsw-controls button", 0)
        assert (places() == before).all() and page.count(".known") == 0


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match=r"errors of 166 points do not fit"):
        CorrectionTool(SHOWN.image, "a", SHOWN.landmarks[:4], CASES.anatomy, MODEL.errors(1.0))
    with pytest.raises(DataError, match="1 places for 166 landmarks"):
        tool().known = [None]
