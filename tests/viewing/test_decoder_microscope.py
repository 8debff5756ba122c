"""The microscope says in the browser what geometry/decode.py says, and answers to hands and to Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from browser import needs_browser
from touch import both_kinds, evaluated, touched

from denseseg.errors import DataError
from denseseg.geometry import decode
from denseseg.viewing.decoder_microscope import DecoderMicroscope

DISC, BAR = 0, 1


def microscope(toy, structure: int = DISC) -> DecoderMicroscope:
    where = toy.template.anatomy.slices[toy.template.anatomy.names[structure]]
    extent, targets = toy.template.half_extent[structure], toy.template.uv[where]
    return DecoderMicroscope(toy.uv[structure], toy.valid[structure], targets, toy.case.landmarks[where], extent, spacing=0.5)


@needs_browser
@pytest.mark.parametrize("structure", [DISC, BAR])
def test_both_decoders_are_those_of_the_package(toy, structure, tmp_path):
    """On clean and noisy maps, for every landmark of a round and of a long structure, several k and temperatures."""
    widget, settings = microscope(toy, structure), [(0.0, 5, 1.0), (0.3, 1, 1.0), (1.0, 25, 0.01), (2.0, 9, 0.3)]
    call = f"""(() => {{ const data = {json.dumps(widget.data)};
    return {json.dumps(settings)}.map(([noise, k, temperature]) => {{
      const map = m.pixels(data, noise, 7);
      return [map.map(({{ x, y, u, v }}) => [x, y, u, v]), data.targets.map((t) => m.published(map, t, k, temperature).point),
        data.targets.map((t) => m.affine(map, t, data.extent).point)];
    }}); }})()"""
    targets = torch.tensor(widget.data["targets"], dtype=torch.float64)
    for (noise, k, temperature), (pixels, published, affine) in zip(
        settings, evaluated(DecoderMicroscope, call, tmp_path), strict=True
    ):
        x, y, u, v = np.array(pixels).T
        at, uv, mask = (y.astype(int), x.astype(int)), np.zeros((2, *toy.case.size)), np.zeros(toy.case.size, bool)
        uv[0][at], uv[1][at], mask[at] = u, v, True
        assert np.array_equal(mask, toy.valid[structure])
        off = (uv - toy.uv[structure])[:, mask] * toy.template.half_extent[structure][:, None]
        assert off.std() == pytest.approx(noise, rel=0.1, abs=1e-5)
        maps, masks = torch.as_tensor(uv)[None], torch.as_tensor(mask)[None]
        eq3 = decode.published_inversion(maps / temperature, masks, targets / temperature, k)[0]  # scaled: a temperature
        assert np.allclose(published, eq3, atol=1e-6)
        fit = decode.affine_inversion(maps, masks, targets, half_extent=widget.data["extent"]).points[0]
        assert np.allclose(affine, fit, atol=1e-6)


@needs_browser
def test_noise_is_the_same_for_the_same_seed_only(toy, tmp_path):
    call = f"[1, 1, 2].map((seed) => m.pixels({json.dumps(microscope(toy).data)}, 1, seed)[0].u)"
    first, again, other = evaluated(DecoderMicroscope, call, tmp_path)
    assert first == again != other


@needs_browser
@both_kinds
def test_sliders_by_mouse_finger_and_keys(toy, kind, tmp_path):
    with touched(microscope(toy), kind, tmp_path, 390, 844) as page:
        sliders = {name: index for index, name in enumerate(("landmark", "k", "temperature", "noise"))}

        def text(name: str) -> str:
            return page.text(".dsw-slider output", sliders[name])

        assert page.count("rect.near") == page.count("circle.near") == 5
        assert "Equation 3" in page.text(".dsw-caption p", 0) and "off by 0.0" in page.text(".dsw-caption p", 1)
        page.press("input[type=range]", sliders["k"], "Home", "ArrowRight", "ArrowRight")
        assert (text("k"), page.count("circle.near")) == ("3", 3)
        page.press("input[type=range]", sliders["temperature"], "Home")
        assert text("temperature") == "0.001" and "weights 100, 0, 0 %" in page.text(".dsw-caption p", 0)
        before = page.attribute("path.affine", 0, "d")
        page.drag("input[type=range]", sliders["landmark"], (20, 0), finger=True)
        assert int(text("landmark")) > 7
        page.click("input[type=range]", sliders["noise"])
        assert 0.9 <= float(text("noise").split()[0]) <= 1.1
        noisy = page.attribute("path.affine", 0, "d")
        page.click(".dsw-controls > button")
        assert len({before, noisy, page.attribute("path.affine", 0, "d")}) == 3
        both = [page.page.evaluate(f"document.querySelectorAll('.dsw-stage')[{i}].getBoundingClientRect().right") for i in (0, 1)]
        assert both[0] < both[1] < 390  # side by side on a phone
        if kind == "live":
            assert (page.saved("k"), page.saved("temperature"), page.saved("seed")) == (3, 0.001, 1)
            page.write("k", 7)
            assert (text("k"), page.count("circle.near")) == ("7", 7)


def test_what_does_not_fit_is_named(toy):
    with pytest.raises(DataError, match=r"uv \(2, 72, 60\), mask \(72, 59\), .* do not fit"):
        DecoderMicroscope(toy.uv[0], toy.valid[0][:, 1:], np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(DataError, match="not empty"):
        DecoderMicroscope(toy.uv[0], toy.valid[0] & False, np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(DataError, match="landmark 16 of 16"):
        microscope(toy).landmark = 16
