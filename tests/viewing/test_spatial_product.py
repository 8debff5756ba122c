"""The product of two maps in the browser is that of the package's heatmaps, and answers to hands and to Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from browser import needs_browser
from touch import both_kinds, evaluated, touched

from denseseg.errors import DataError
from denseseg.heatmaps import argmax_landmarks, gaussian_heatmaps
from denseseg.viewing.spatial_product import SpatialProduct

SIZE = (40, 30)
PLACES = np.array([[5.0, 12.0], [14.3, 8.0], [24.0, 11.6]])


def product() -> SpatialProduct:
    return SpatialProduct(np.zeros(SIZE), PLACES, ["left", "middle", "right"], distractor=(15, 30), spacing=2.0)


@needs_browser
def test_maps_and_brightest_places_are_those_of_the_package(tmp_path):
    rng, settings = np.random.default_rng(5), []
    for number in range(12):
        widths = {"appearance": rng.uniform(0.5, 4), "configuration": rng.uniform(1, 20), "brightness": rng.uniform(0, 3)}
        places = {"distractor": rng.uniform(0, 30, 2).tolist(), "offset": rng.normal(0, 4, 2).tolist()}
        settings.append({"which": number % 3, "added": number % 2 == 1} | widths | places)
    each = f"m.maps({json.dumps(product().data)}, one).map((map) => [[...map.values], map.place])"
    call = f"{json.dumps(settings)}.map((one) => {each})"
    for one, answer in zip(settings, evaluated(SpatialProduct, call, tmp_path), strict=True):
        points = torch.as_tensor(np.concatenate([PLACES, [one["distractor"]]]))[None]
        amplitude = torch.tensor([1, 1, 1, one["brightness"]], dtype=torch.float64)
        sharp = gaussian_heatmaps(points, SIZE, one["appearance"], amplitude).sum(1)
        wide = gaussian_heatmaps(points[:, [one["which"]]] + torch.tensor(one["offset"]), SIZE, one["configuration"])[:, 0]
        for values, (found, place) in zip((sharp, wide, sharp + wide if one["added"] else sharp * wide), answer, strict=True):
            assert np.allclose(np.reshape(found, SIZE), values[0], atol=1e-6)
            assert place == argmax_landmarks(values[None])[0, 0].tolist()


@needs_browser
@both_kinds
def test_a_distractor_is_dragged_and_widths_are_turned(kind, tmp_path):
    with touched(product(), kind, tmp_path, 390, 844) as page:
        scale = page.page.evaluate("document.querySelector('.dsw-stage').clientWidth") / SIZE[1]

        def text() -> str:
            return page.text(".dsw-caption")

        assert "Product: brightest 0.0 mm from the true left" in text() and "local appearance alone 41.2 mm" in text()
        page.click("[aria-label=landmark] button", 2)
        assert "true right, peak 0.88" in text()
        off = text()
        page.drag(".dsw-handle", 0, (round(10 * scale), round(-16 * scale)), finger=True)  # beside the right one, and brighter
        assert text() != off
        page.press(".dsw-handle", 0, "ArrowRight", "ArrowDown")
        x, y = (float(word.split()[1]) for word in page.attribute(".dsw-handle", 0, "aria-valuetext").split(", "))
        assert (x, y) == pytest.approx((26, 15), abs=0.4)
        assert "peak 1.4" in text()  # the distractor won
        page.drag(".dsw-handle", 1, (0, round(-8 * scale)))  # expected higher up
        assert "peak 1.4" not in text()
        page.press("input[type=range]", 1, "End")
        before = text()
        page.click("input[type=checkbox]")
        assert text().startswith("Sum") and text() != before
        if kind == "live":
            assert page.saved("added") and page.saved("configuration") == 40
            assert page.saved("distractor") == pytest.approx([x, y], abs=0.06)
            page.write("distractor", [3, 37])
            assert page.attribute(".dsw-handle", 0, "aria-valuetext") == "x 3.0, y 37.0"
        rights = [
            page.page.evaluate(f"document.querySelectorAll('.dsw-stage')[{i}].getBoundingClientRect().right") for i in range(3)
        ]
        assert rights == sorted(rights) and rights[-1] < 390  # one row on a phone


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match="3 names do not fit"):
        SpatialProduct(np.zeros(SIZE), PLACES[:2], ["a", "b", "c"])
    with pytest.raises(DataError, match="landmark 3 of 3"):
        product().which = 3
