"""Pictures have axes, units and readable type; the explorer says in the browser what the geometry says in Python."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from types import SimpleNamespace
from urllib.parse import unquote

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from browser import command, needs_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from skimage.color import rgb2lab
from skimage.io import imread

from denseseg.anatomy import CHEST, WRIST, Anatomy, Structure
from denseseg.cases.case import Case
from denseseg.errors import DataError
from denseseg.geometry.template import Template
from denseseg.geometry.uvmap import uv_maps
from denseseg.prediction import Prediction
from denseseg.viewing import explorer, plots

matplotlib.use("Agg")
SIZE = (72, 60)
TOY = Anatomy("toy", (Structure("disc", 16, "round"), Structure("bar", 12, "long")))
TURN = np.array([[0.95, -0.2], [0.2, 0.95]]) * 0.9
SHIFT = np.array([9.0, -1.0])


def toy_template() -> Template:
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    disc = np.stack([30 + 18 * np.cos(angle), 30 + 20 * np.sin(angle)], -1)
    top, side = np.linspace(12, 48, 5), np.array([58.0, 61.0])
    bar = [(x, 56) for x in top] + [(48, y) for y in side[:1]] + [(x, 62) for x in top[::-1]] + [(12, side[0])]
    return Template(TOY, np.concatenate([disc, np.array(bar, float)]), SIZE)


@pytest.fixture(scope="module")
def toy() -> SimpleNamespace:
    """One case whose landmarks are a known affine image of the template's, so that its uv map is known in closed form."""
    template = toy_template()
    landmarks = template.points @ TURN.T + SHIFT
    maps = uv_maps(torch.as_tensor(landmarks[None], dtype=torch.float32), template, SIZE)
    image = np.random.default_rng(0).uniform(0, 1, SIZE).astype(np.float32)
    uv, valid = maps.uv[0].numpy(), maps.valid[0].numpy()
    case = Case("toy-1", image, landmarks, TOY, masks=valid, spacing=0.5)
    covariance = np.tile(np.array([[2.0, 0.5], [0.5, 1.0]]), (len(landmarks), 1, 1))
    prediction = Prediction(TOY, landmarks + 1, valid, uv=uv, covariance=covariance)
    return SimpleNamespace(template=template, case=case, uv=uv, valid=valid, prediction=prediction)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# ---- colours ----------------------------------------------------------------------------------------------------------


def test_uv_colours_are_visible_exactly_where_valid(toy):
    colours = plots.uv_colours(toy.uv[0], toy.valid[0])
    assert colours.shape == (*SIZE, 4)
    assert np.array_equal(colours[..., 3], toy.valid[0].astype(float))


@given(arrays(float, (5, 2), elements=st.floats(-1, 1)), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
def test_uv_colours_change_little_over_a_small_step(uv, du, dv):
    moved = np.abs(plots.uv_colours(uv) - plots.uv_colours(uv + np.array([du, dv])))
    assert moved.max() < 0.04


def test_uv_colours_read_points_and_images_alike_and_clip():
    uv = np.random.default_rng(0).uniform(-1, 1, (2, 4, 7))
    assert np.allclose(plots.uv_colours(uv), plots.uv_colours(np.moveaxis(uv, 0, -1)))
    assert np.allclose(plots.uv_colours(np.array([5.0, -9.0])), plots.uv_colours(np.array([1.0, -1.0])))


def test_uv_corners_stay_apart_for_deuteranopes():
    corners = plots.uv_colours(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]))[:, :3]
    # Vienot, Brettel and Mollon 1999, applied to linear RGB: what is left of a colour without the middle-wave cones.
    left = np.array([[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]])
    seen = np.clip(corners**2.2 @ left.T, 0, 1) ** (1 / 2.2)
    assert min(np.linalg.norm(rgb2lab(a) - rgb2lab(b)) for a, b in combinations(seen, 2)) > 25


@pytest.mark.parametrize(("anatomy", "least"), [(CHEST, 30), (WRIST, 12)])
def test_structure_colours_are_distinct_and_show_on_black_and_white(anatomy, least):
    lab = [rgb2lab(colour) for colour in plots.structure_colours(anatomy).values()]
    assert len(lab) == len(anatomy)
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > least
    assert all(35 < colour[0] < 82 for colour in lab)


# ---- pictures ---------------------------------------------------------------------------------------------------------


def error_frame(seed: int = 0) -> pd.DataFrame:
    """In the columns of benchmark.evaluate: two metrics with two units."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"c{i}", g, m, rng.gamma(4, 1), unit)
        for m, unit in (("tre", "mm"), ("dsc", "%"))
        for g in ("round", "long")
        for i in range(6)
    ]
    return pd.DataFrame(rows, columns=["case", "group", "metric", "value", "unit"])


def history() -> pd.DataFrame:
    epoch = np.arange(1, 6)
    return pd.DataFrame({"epoch": epoch, "loss": 2 / epoch, "uv": 0.5 / epoch, "validation_tre": [9, None, 5, None, 4.0]})


INTERVALS = pd.DataFrame({"method": ["a", "b"], "mean": [2.0, 4.0], "low": [1.0, 3.5], "high": [3.0, 5.0], "unit": "mm"})
PICTURES = {
    "case": lambda t: plots.show_case(t.case, masks=True),
    "template": lambda t: plots.show_template(t.template),
    "shapes": lambda t: plots.show_shapes(np.stack([t.case.landmarks, t.template.points]), t.template),
    "key": lambda t: plots.uv_key(),
    "uv": lambda t: plots.show_uv(t.case.image, t.uv, t.valid, TOY, spacing=0.5),
    "channels": lambda t: plots.show_uv_channels(t.uv[0], t.valid[0], "disc", 0.5),
    "prediction": lambda t: plots.show_prediction(t.case.image, t.prediction, t.case, ellipses=True),
    "history": lambda t: plots.plot_history(history()),
    "cumulative": lambda t: plots.plot_cumulative_error({"a": np.arange(10.0), "b": np.arange(5.0)}),
    "by structure": lambda t: plots.plot_error_by_structure({"a": error_frame(), "b": error_frame(1)}),
    "intervals": lambda t: plots.plot_intervals(INTERVALS),
    "error map": lambda t: plots.plot_error_map(t.template, np.arange(28.0)),
    "cases": lambda t: plots.show_cases([t.case] * 3, columns=2),
    "heatmaps": lambda t: plots.show_heatmaps(t.case.image, np.ones((3, *SIZE)), t.case.landmarks, spacing=0.5),
}
UNITS = re.compile(r"\b(mm|px|pixels|no unit|epoch|%)")


def picture(draw, toy) -> Figure:
    drawn = draw(toy)
    figure = drawn.figure if isinstance(drawn, Axes) else drawn
    figure.canvas.draw()
    return figure


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_carry_units_and_readable_type(name, toy):
    figure = picture(PICTURES[name], toy)
    assert figure.get_figwidth() <= 7
    shown = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert min(text.get_fontsize() for text in shown) >= 9
    for ax in figure.axes:
        if ax.axison and ax.has_data():
            words = " ".join([ax.get_xlabel(), ax.get_ylabel(), *(text.get_text() for text in ax.texts)])
            assert UNITS.search(words), f"{ax} says no unit: {words!r}"


def test_pictures_leave_the_callers_style_alone(toy):
    before = dict(plt.rcParams)
    plots.show_case(toy.case)
    assert dict(plt.rcParams) == before


def test_pictures_draw_into_a_given_panel(toy):
    ax = plt.figure().add_subplot()
    assert plots.show_case(toy.case, ax=ax) is ax
    assert plots.show_uv(toy.case.image, toy.uv, toy.valid, TOY, ["bar"], ax=ax) is ax
    assert len(ax.figure.axes) == 1


def test_image_ticks_are_millimetres_where_they_are_known(toy):
    ax = plots.show_case(toy.case)
    ax.figure.canvas.draw()
    ticks = {label.get_position()[0]: float(label.get_text()) for label in ax.get_xticklabels()}
    assert ax.get_xlabel() == "x (mm)"
    assert all(value == pytest.approx(0.5 * place) for place, value in ticks.items())
    assert plots.show_uv(toy.case.image, toy.uv, toy.valid, TOY).get_xlabel() == "x (pixels)"


def test_cumulative_error_counts_a_failure_as_never_found():
    ax = plots.plot_cumulative_error({"half lost": np.array([1.0, 2.0, np.nan, np.nan])})
    assert ax.lines[0].get_ydata().max() == 50


def test_overlay_writes_a_png_and_says_what_is_wrong(toy, tmp_path):
    path = plots.overlay(toy.case.image, toy.prediction, tmp_path / "overlay.png")
    assert imread(path).ndim == 3
    assert not plt.get_fignums()
    with pytest.raises(DataError, match="choose a folder"):
        plots.overlay(toy.case.image, toy.prediction, tmp_path / "none" / "overlay.png")


def test_prediction_names_what_was_not_found(toy):
    lost = toy.prediction.landmarks.copy()
    lost[20] = np.nan
    assert plots.show_prediction(toy.case.image, toy.prediction, toy.case).get_title(loc="left").endswith("case toy-1")
    ax = plots.show_prediction(toy.case.image, Prediction(TOY, lost), toy.case)
    assert ax.get_title(loc="left").endswith("not found: bar")


def test_one_axis_shows_one_unit():
    assert plots.plot_error_by_structure(error_frame(), "dsc").get_ylabel() == "DSC (%)"
    with pytest.raises(DataError, match="units mm, px"):
        plots.plot_intervals(INTERVALS.assign(unit=["mm", "px"]))
    with pytest.raises(DataError, match="no rows"):
        plots.plot_error_by_structure(error_frame(), "hd95")


def test_history_of_an_untrained_method_is_explained():
    with pytest.raises(DataError, match="nothing to train"):
        plots.plot_history(pd.DataFrame())


# ---- the explorer: data -----------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(arrays(float, (2, 6, 5), elements=st.floats(-1.7, 1.7)), arrays(bool, (6, 5)))
def test_packed_charts_come_back_to_quantisation(uv, valid):
    chart = explorer.pack_chart(uv, valid)
    if not valid.any():
        assert chart is None
        return
    values, where = explorer.unpack_chart(chart)
    back, mask = np.zeros_like(uv), np.zeros_like(valid)
    box = np.s_[chart["y"] : chart["y"] + chart["height"], chart["x"] : chart["x"] + chart["width"]]
    back[:, *box], mask[box] = values, where
    assert np.array_equal(mask, valid)
    assert np.abs(back - uv)[:, valid].max() <= chart["limit"] / 32767


def toy_explorer(toy) -> explorer.UVExplorer:
    return explorer.UVExplorer(toy.case.image, toy.uv, toy.valid, toy.template, title="toy image", spacing=0.5)


def test_output_holds_the_live_widget_and_static_html_with_its_own_id(toy):
    widget = toy_explorer(toy)
    bundle, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    again, _ = widget._repr_mimebundle_()
    ids = [re.search(r'div id="(uvx-\w+)"', b["text/html"])[1] for b in (bundle, again)]
    assert ids[0] != ids[1]
    assert all(b["text/html"].count(i) == 2 for b, i in zip((bundle, again), ids, strict=True))
    assert not re.search(r"(src|href)=|@import|import\(|fetch\(", bundle["text/html"])


def test_wrong_shapes_are_named(toy):
    with pytest.raises(DataError, match=r"toy image: .* do not fit together; give \(H, W\), \(2, 2, H, W\)"):
        explorer.UVExplorer(toy.case.image, toy.uv[:1], toy.valid, toy.template, title="toy image")


# ---- the explorer: browser --------------------------------------------------------------------------------------------

WATCH = """<script>
const errors = [];
window.addEventListener("error", (event) => errors.push(event.message));
Element.prototype.setPointerCapture = () => {}; // refuses pointers that no hand moves
console.error = (...words) => errors.push(words.join(" "));
const all = (name) => [...document.querySelectorAll(name)];
const fire = (kind, panel, [x, y], type = "mouse") => {
  const stage = all(".uvx-stage")[panel], box = stage.getBoundingClientRect(), [, , w, h] = view(panel);
  const at = { clientX: box.left + ((x + 0.5) / w) * box.width, clientY: box.top + ((y + 0.5) / h) * box.height };
  stage.dispatchEvent(new PointerEvent(kind, { ...at, bubbles: true, pointerType: type }));
};
const view = (panel) => all(".uvx-stage svg")[panel].getAttribute("viewBox").split(" ").map(Number);
const centre = (element) => element && ["cx", "cy"].map((name) => Number(element.getAttribute(name)));
const cursor = (panel) => centre(all(".uvx-stage")[panel].querySelector("circle.cursor"));
const marks = (panel, kind) => [...all(".uvx-stage")[panel].querySelectorAll(kind)].map(centre);
const caption = () => document.querySelector(".uvx-caption").textContent;
</script>"""


def in_browser(page: str, script: str, folder) -> dict:
    """Open the page, run the script in it, and return what the script put into `report`."""
    run = (
        f'<script type="module">const report = {{}};\n{script}\nreport.errors = errors;\nconst out = document.createElement("pre");'
    )
    run += 'out.id = "report"; out.textContent = encodeURIComponent(JSON.stringify(report)); document.body.append(out);</script>'
    path = folder / "page.html"
    path.write_text(page.replace("</head>", f"{WATCH}</head>").replace("</body>", f"{run}</body>"), "utf-8")
    flags = ("--virtual-time-budget=4000", "--window-size=900,700", "--dump-dom")
    start = command(folder / "profile", *flags, path.as_uri())
    dom = subprocess.run(start, capture_output=True, text=True, timeout=60, check=True).stdout
    found = re.search(r'<pre id="report">([^<]*)</pre>', dom)
    assert found, "the page's script did not run to its end"
    return json.loads(unquote(found[1]))


@needs_browser
def test_page_shows_corresponding_places_and_moves_landmarks(toy, tmp_path):
    page = toy_explorer(toy).save(tmp_path / "explorer.html").read_text("utf-8")
    script = """
    report.before = caption();
    fire("pointermove", 1, [25, 33]);
    report.hover = caption(); report.image = cursor(0);
    report.painted = [...all("canvas")[1].getContext("2d").getImageData(45, 30, 1, 1).data];
    fire("pointermove", 0, report.image);
    report.back = cursor(1);
    report.trained = marks(0, ".landmark");
    fire("pointerdown", 1, [48, 30]); fire("pointermove", 1, [40, 30]); fire("pointerup", 1, [40, 30]);
    report.dragged = marks(0, ".landmark");
    fire("pointerdown", 1, [28, 38]); fire("pointerup", 1, [28, 38]);
    report.placed = marks(0, ".landmark.new");
    all(".uvx-controls button").find((button) => button.textContent === "reset landmarks").click();
    report.reset = marks(0, ".landmark");
    document.querySelector("input[type=checkbox]").click();
    report.isolines = all("path.iso").map((path) => path.getAttribute("d").length);
    fire("pointerdown", 1, [30, 59]);
    report.chosen = document.querySelector("[aria-pressed=true]").textContent;
    fire("pointermove", 1, [2, 2]);
    report.outside = caption(); report.nowhere = cursor(0);
    report.overflow = document.documentElement.scrollWidth > innerWidth;
    """
    report = in_browser(page, script, tmp_path)

    def carried(*point: float) -> np.ndarray:
        return pytest.approx(TURN @ point + SHIFT, abs=0.02)

    assert report["errors"] == []
    assert "Point at the disc" in report["before"]
    u, v = toy.template.to_uv(0, np.array([25, 33]))
    assert f"u = {u:.2f}, v = {v:.2f}".replace("-", "\u2212") in report["hover"]
    assert report["image"] == carried(25, 33)
    assert report["painted"] == pytest.approx(255 * plots.uv_colours(toy.uv[0])[30, 45], abs=1)
    assert report["back"] == pytest.approx([25, 33], abs=0.02)
    assert np.allclose(report["trained"], toy.case.landmarks[:16], atol=0.02)
    assert report["dragged"][0] == carried(40, 30)
    assert np.allclose(report["dragged"][1:], toy.case.landmarks[1:16], atol=0.02)
    assert report["placed"] == [carried(28, 38)]
    assert report["reset"] == report["trained"]
    assert len(report["isolines"]) == 8
    assert min(report["isolines"]) > 100
    assert report["chosen"] == "bar"
    assert "outside the bar" in report["outside"]
    assert report["nowhere"] is None
    assert not report["overflow"]


@needs_browser
def test_two_explorers_share_a_page_and_pairs_correspond(toy, tmp_path):
    first = (toy.case.image, toy.uv, toy.valid)
    own = uv_maps(torch.as_tensor(toy.template.points[None], dtype=torch.float32), toy.template, SIZE)
    pair = explorer.PairExplorer(first, (toy.case.image, own.uv[0], own.valid[0]), toy.template, titles=("A", "B"))
    page = pair.save(tmp_path / "pair.html").read_text("utf-8").replace("</body>", toy_explorer(toy).html() + "</body>")
    script = """
    fire("pointermove", 1, [25, 33]); report.pair = cursor(0);
    fire("pointermove", 3, [31, 20]); report.second = cursor(2); report.count = all(".uvx").length;
    """
    report = in_browser(page, script, tmp_path)
    assert report["errors"] == []
    assert report["count"] == 2
    assert report["pair"] == pytest.approx(TURN @ (25, 33) + SHIFT, abs=0.02)
    assert report["second"] == pytest.approx(TURN @ (31, 20) + SHIFT, abs=0.02)


@needs_browser
def test_fingers_and_keys_place_landmarks_too(toy, tmp_path):
    page = toy_explorer(toy).save(tmp_path / "explorer.html").read_text("utf-8")
    script = """
    const press = (key) => all(".uvx-stage")[1].dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    fire("pointerdown", 1, [28, 38], "touch"); fire("pointercancel", 1, [28, 38], "touch");
    report.scrolled = marks(0, ".new").length;
    fire("pointerdown", 1, [28, 38], "touch"); fire("pointerup", 1, [28, 38], "touch"); fire("click", 1, [28, 38], "touch");
    report.tapped = marks(1, ".new");
    fire("pointermove", 1, [20, 30]);
    ["ArrowRight", "ArrowRight", "ArrowDown", "Enter"].forEach(press);
    report.pressed = marks(1, ".new");
    """
    report = in_browser(page, script, tmp_path)
    assert report["errors"] == []
    assert report["scrolled"] == 0
    assert report["tapped"] == [pytest.approx([28, 38], abs=0.1)]  # a click is told in whole screen pixels
    assert report["pressed"][1:] == [pytest.approx([22, 31], abs=0.02)]


@needs_browser
def test_live_module_reads_its_model_and_reports_new_landmarks(toy, tmp_path):
    widget = toy_explorer(toy)
    model = {"source": str(widget._esm), "data": widget.data}
    page = '<!doctype html><html><head><meta charset="utf-8"></head><body><div id="output"></div></body></html>'
    script = (
        f"const state = {json.dumps(model)};"
        + """
    const url = URL.createObjectURL(new Blob([state.source], { type: "text/javascript" }));
    const { default: widget } = await import(url);
    const set = (name, value) => (state[name] = value);
    const model = { get: (name) => state[name], set, save_changes: () => (report.saved = true) };
    widget.render({ model, el: document.getElementById("output") });
    fire("pointerdown", 1, [28, 38]); fire("pointerup", 1, [28, 38]);
    report.landmarks = state.landmarks;
    """
    )
    report = in_browser(page, script, tmp_path)
    u, v = toy.template.to_uv(0, np.array([28, 38]))
    assert report["errors"] == []
    assert report["saved"]
    assert report["landmarks"] == [
        {"name": "new 1", "structure": "disc", "u": pytest.approx(u, abs=1e-3), "v": pytest.approx(v, abs=1e-3)}
    ]
