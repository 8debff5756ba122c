"""The metrics' widget says in the browser what evaluation/metrics.py says, and answers to hands and to Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
from browser import needs_browser
from touch import both_kinds, evaluated, touched

from denseseg.errors import DataError
from denseseg.evaluation import metrics
from denseseg.geometry.contour import polygon_mask
from denseseg.viewing.outline_metrics import OutlineMetrics

SIZE = (108, 70)


def ellipse(angle: np.ndarray) -> np.ndarray:
    return np.stack([35 + 22 * np.cos(angle), 64 + 36 * np.sin(angle)], -1)


ANGLE = np.linspace(0, 2 * np.pi, 12, endpoint=False)
TRUTH = ellipse(ANGLE)


def shown() -> OutlineMetrics:
    return OutlineMetrics(TRUTH, {"shifted": TRUTH + [4, 0], "slid": ellipse(ANGLE + 0.25)}, SIZE)


def in_python(points: np.ndarray, truth: np.ndarray, size: tuple[int, int], radius: float, spacing: float) -> dict[str, float]:
    errors, parts = metrics.landmark_errors(points, truth, spacing), metrics.along_and_across(points, truth, spacing)
    distances = metrics.surface_distances([points], [truth])
    return {
        "tre": metrics.target_registration_error(points, truth, spacing), "along": parts[:, 0].mean(), "across": parts[:, 1].mean(),
        "sdr": 100 * metrics.success_rate(errors, radius), "asd_one_way": metrics.asd_one_way(points, [truth], spacing),
        "assd": metrics.assd(distances, spacing), "hd95": metrics.hd95(distances, spacing),
        "dsc": 100 * metrics.dice(polygon_mask(points, size), polygon_mask(truth, size)),
    }  # fmt: skip


@needs_browser
def test_numbers_in_the_page_are_those_of_the_package(tmp_path):
    """Random outlines: smooth, star-shaped, crossing themselves, beyond the image, with corners that coincide."""
    rng, cases = np.random.default_rng(3), []
    for n in (3, 5, 12, 20, 20, 31):
        angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
        truth = ellipse(angle) * rng.uniform(0.5, 0.9) + rng.normal(0, 1.5, (n, 2))
        cases += [
            (truth + rng.normal(0, sd, (n, 2)), truth, sd + 0.5, spacing) for sd, spacing in ((0.5, 1.0), (8.0, 0.7), (25.0, 2.0))
        ]
    cases.append((TRUTH[[0, 0, 2, 3, 4, 5, 6, 6, 8, 9, 10, 11]], TRUTH, 4.0, 1.0))
    cases.append((TRUTH, TRUTH, 1.0, 1.0))
    given = [[p.tolist(), t.tolist(), {"width": SIZE[1], "height": SIZE[0], "radius": r, "spacing": s}] for p, t, r, s in cases]
    answers = evaluated(OutlineMetrics, f"{json.dumps(given)}.map((one) => m.measure(...one).values)", tmp_path)
    for (points, truth, radius, spacing), answer in zip(cases, answers, strict=True):
        assert answer == pytest.approx(in_python(points, truth, SIZE, radius, spacing), rel=1e-9, abs=1e-9)


@needs_browser
@both_kinds
def test_a_dragged_point_changes_the_numbers_by_mouse_finger_and_keys(kind, tmp_path):
    with touched(shown(), kind, tmp_path, 390, 844) as page:
        scale = page.page.evaluate("document.querySelector('.dsw-stage').clientWidth") / SIZE[1]
        points = TRUTH + [4, 0]

        def tre() -> float:
            return float(page.text(".metrics b").split()[0])

        def now() -> float:
            return pytest.approx(metrics.target_registration_error(points, TRUTH), abs=0.02)

        assert tre() == now()
        page.drag(".dsw-handle", 3, (-15, -24))
        points[3] += np.array([-15, -24]) / scale
        assert tre() == now()
        page.drag(".dsw-handle", 7, (12, -18), finger=True)
        points[7] += np.array([12, -18]) / scale
        assert tre() == now()
        page.press(".dsw-handle", 0, "ArrowRight", "ArrowUp")
        points[0] += [1, -1]
        assert tre() == now()
        assert page.attribute(".dsw-handle", 0, "aria-valuetext") == f"x {points[0, 0]:.1f}, y {points[0, 1]:.1f}"
        if kind == "live":
            assert np.allclose(page.saved("points"), points, atol=0.2)
            page.write("points", TRUTH.tolist())
            assert tre() == 0
        page.click(".dsw-controls [aria-label='start from'] button", 1)
        points = ellipse(ANGLE + 0.25)
        assert tre() == now()


@needs_browser
@both_kinds
def test_a_metric_lights_up_what_it_sees_when_it_is_focused_or_hovered(kind, tmp_path):
    with touched(shown(), kind, tmp_path) as page:
        seen = {}
        for index, name in enumerate(("tre", "along", "across", "sdr", "asd_one_way", "assd", "hd95", "dsc")):
            (page.hover if index % 2 else lambda *one: page.press(*one))(".metrics button", index)
            assert page.page.evaluate("[...document.querySelectorAll('.metrics [aria-pressed=true]')].length") == 1
            seen[name] = page.attribute(".lit", 0, "d")
            circles = page.count(".hit-circle"), page.count(".miss-circle")
            assert circles == ((12, 0) if name == "sdr" else (0, 0))
        assert seen["tre"].count("M") == seen["asd_one_way"].count("M") == 12
        assert seen["assd"].count("M") > seen["hd95"].count("M") > 5
        assert len({*seen.values()}) == 7  # circles and pixels are not lines
        inside = page.page.evaluate("[...document.querySelector('canvas').getContext('2d').getImageData(35, 64, 1, 1).data]")
        assert inside[3] > 0 and "DSC" in page.text("[role=status]")
        page.press("input[type=range]", 0, "Home")
        page.hover(".metrics button", 3)
        assert page.count(".miss-circle") == 12  # of 1 pixel; all are four off
        assert "SDR 0.0 %" in page.text("[role=status]")


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match=r"shape \(11, 2\) for 12 true ones"):
        OutlineMetrics(TRUTH, {"short": TRUTH[1:]}, SIZE)
    with pytest.raises(DataError, match="0 predictions"):
        OutlineMetrics(TRUTH, {}, SIZE)
    widget = shown()
    with pytest.raises(DataError, match="finite"):
        widget.points = (TRUTH * np.nan).tolist()
