"""The wrist's frames are those of one phantom child, and answer to hands and to Python."""

from __future__ import annotations

import base64

import imageio.v3 as imageio
import numpy as np
import pytest
from browser import needs_browser
from touch import both_kinds, touched

from denseseg.anatomy import WRIST
from denseseg.errors import DataError
from denseseg.phantom import WristPhantom
from denseseg.viewing.widget import grey
from denseseg.viewing.wrist_age import AGES, KEPT, WristAge

SIZE, SHORT = (120, 70), (2.0, 6.0, 10.0, 14.0)


@pytest.fixture(scope="module")
def widget() -> WristAge:
    return WristAge(0, 1, SHORT, SIZE)


def test_frames_are_the_child_at_these_ages(widget):
    for age, frame in zip(SHORT, widget.data["frames"], strict=True):
        child = WristPhantom(0, 1, SIZE, age)
        image = imageio.imread(base64.b64decode(frame["image"]), extension=".jpg")
        assert image.shape == SIZE
        assert np.abs(image.astype(int) - grey(child.case.image)).mean() < 3
        points = np.frombuffer(base64.b64decode(frame["outlines"]), "<i2").reshape(-1, 2) / 64
        parts = np.split(points, np.cumsum(widget.data["counts"])[:-1])
        for where, part, present in zip(WRIST.slices.values(), parts, frame["present"], strict=True):
            truth = child.landmarks[where][::KEPT]
            assert np.isfinite(truth).all() == present
            if present:
                assert np.allclose(part, truth, atol=1 / 128 + 1e-9)
        assert frame["bone_age"] == pytest.approx(child.bone_age_months / 12, abs=0.02)


def test_a_whole_childhood_is_a_small_part_of_a_page():
    assert len(WristAge(0, 1, AGES, SIZE).html()) < 0.3e6  # of 3 MB; at the full size twice as many bytes
    assert len(AGES) == 31


@needs_browser
@both_kinds
def test_age_is_slid_and_bones_are_named(widget, kind, tmp_path):
    order = [bone for bone in widget.data["bones"] if bone["onset"] is not None]
    order.sort(key=lambda bone: bone["onset"])
    widget.age, widget.lit = 2.0, ""
    with touched(widget, kind, tmp_path, 390, 844) as page:
        present = [sum(frame["present"]) for frame in widget.data["frames"]]

        def absent() -> int:
            return page.count(".bone.absent")

        assert absent() == 17 - present[0] and f"{present[0]} of 17" in page.text(".dsw-caption")
        assert page.text(".dsw-list button", 9).startswith(f"{order[9]['name']}at ")
        page.press("input[type=range]", 0, "ArrowRight")
        assert absent() == 17 - present[1] and "6.0 years" in page.text("output")
        first = page.attribute("image", 0, "href")
        page.press("input[type=range]", 0, "End")
        assert absent() == 0 and page.attribute("image", 0, "href") != first
        page.drag(".bone", WRIST.index("metacarpal 3"), (0, 0), finger=True)
        assert "metacarpal 3" in page.text(".dsw-caption") and page.count(".bone.lit") == 1
        page.press(".bone", WRIST.index("lunate"))
        assert "lunate (carpals): appeared" in page.text(".dsw-caption")
        page.hover(".dsw-list button", 10)
        assert page.count(".bone.lit") == 4 and "growth plates" in page.text(".dsw-caption")
        if kind == "live":
            assert (page.saved("age"), page.saved("lit")) == (14, "growth plates")
            page.write("age", 2.0)
            page.write("lit", "pisiform")
            assert page.count(".bone.absent.lit") == 1 and "appears" in page.text(".dsw-caption")


def test_ages_that_do_not_fit_are_named():
    with pytest.raises(DataError, match="evenly spaced"):
        WristAge(0, 0, (2.0, 3.0, 9.0), SIZE)
    with pytest.raises(DataError, match="at least two"):
        WristAge(0, 0, (2.0,), SIZE)
