"""What all widgets share: one module of two files, a state of traits, HTML that stands alone."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import traitlets
from browser import needs_browser
from hypothesis import given
from hypothesis import strategies as st
from touch import evaluated

from denseseg.viewing.correction_tool import CorrectionTool
from denseseg.viewing.decoder_microscope import DecoderMicroscope
from denseseg.viewing.explorer import Explorer
from denseseg.viewing.live import Live
from denseseg.viewing.loss_mixer import LossMixer
from denseseg.viewing.marking_tool import MarkingTool
from denseseg.viewing.outline_metrics import OutlineMetrics
from denseseg.viewing.spatial_product import SpatialProduct
from denseseg.viewing.template_steps import TemplateSteps
from denseseg.viewing.training_film import TrainingFilm
from denseseg.viewing.widget import FOLDER, Widget, grey, packed, pairs
from denseseg.viewing.wrist_age import WristAge

WIDGETS = (
    Explorer,
    Live,
    OutlineMetrics,
    DecoderMicroscope,
    SpatialProduct,
    TemplateSteps,
    WristAge,
    LossMixer,
    TrainingFilm,
    MarkingTool,
    CorrectionTool,
)


class Counter(OutlineMetrics):
    """A widget of a subclass, with one more trait."""

    count = traitlets.Int(3).tag(sync=True)
    private = traitlets.Int(4)


def counter() -> Counter:
    return Counter(np.eye(3)[:, :2], {"as it is": np.eye(3)[:, :2]}, (4, 4))


@pytest.mark.parametrize("widget", WIDGETS)
def test_the_joined_module_imports_nothing_and_defines_no_name_twice(widget):
    names = re.findall(r"^(?:export )?(?:const|function|class) (\w+)", widget._esm, re.MULTILINE)
    assert len(names) == len(set(names))
    assert {"make", "mount"} <= set(names)
    assert not re.search(r"^import|import\(|fetch\(|https?://(?!www\.w3\.org)", widget._esm + widget._css, re.MULTILINE)


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_module_imports_only_what_it_uses(widget):
    source = (FOLDER / f"{widget.module}.js").read_text("utf-8")
    names = re.search(r'^import \{([^}]*)\} from "\./widget\.js";', source, re.MULTILINE)[1]
    assert all(len(re.findall(rf"\b{name.strip()}\b", source)) > 1 for name in names.split(","))


def test_the_state_is_the_traits_that_a_widget_adds():
    assert set(counter().state()) == {"points", "radius", "lit", "count"}


def test_html_holds_data_and_state_and_cannot_be_ended_by_them():
    truth = np.eye(3)[:, :2]
    html = OutlineMetrics(truth, {"</script><b>": truth}, (4, 4)).html()
    assert html.count("</script>") == 1
    assert '"radius":4.0' in html


def test_a_saved_page_holds_no_markup_of_a_title_or_of_data(tmp_path):
    widget = OutlineMetrics(np.eye(3)[:, :2], {"<!--<script>alert(1)//": np.eye(3)[:, :2]}, (4, 4))
    page = widget.save(tmp_path / "new" / "page.html", "</title><script>alert(1)</script>").read_text("utf-8")
    assert "alert(1)</script>" not in page and "<!--<script>" not in page
    assert "&lt;/title&gt;&lt;script&gt;" in page and r'"\u003c!--\u003cscript>alert(1)//"' in page


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=8))
def test_an_image_is_clipped_and_rounded(values):
    assert np.array_equal(grey(values), np.rint(255 * np.clip(values, 0, 1)).astype(int))


@needs_browser
def test_packed_arrays_come_back_in_the_page(tmp_path):
    steps = np.array([[-32768, 0], [1, 32767]], "<i2")
    call = f"[...m.decode({json.dumps(packed(steps))}, Int16Array), ...m.decode({json.dumps(packed(grey([0.5, 2])))}, Uint8Array)]"
    assert evaluated(OutlineMetrics, call, tmp_path) == [-32768, 0, 1, 32767, 128, 255]


def test_points_are_lists_for_json():
    assert json.dumps(pairs(np.array([[1, 2.00049]]))) == "[[1.0, 2.0]]"
    assert issubclass(OutlineMetrics, Widget)
