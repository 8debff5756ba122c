"""The explorer says in the browser what the geometry says in Python."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from browser import command, needs_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from touch import both_kinds, touched
from toy import SHIFT, SIZE, TURN

from denseseg.errors import DataError
from denseseg.geometry.uvmap import uv_maps
from denseseg.viewing import explorer, plots

# ---- the explorer: data -----------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(arrays(float, (2, 6, 5), elements=st.floats(-1.7, 1.7)), arrays(bool, (6, 5)))
def test_packed_charts_come_back_to_quantisation(uv, valid):
    chart = explorer.pack_chart(uv, valid)
    if not valid.any():
        assert chart is None
        return
    steps = np.frombuffer(base64.b64decode(chart["uv"]), "<i2").reshape(2, chart["height"], chart["width"])
    where = steps[0] != explorer.INVALID
    values = np.where(where, steps * chart["limit"] / 32767, 0.0)
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
    ids = [re.search(r'div id="(dsw-\w+)"', b["text/html"])[1] for b in (bundle, again)]
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
const caption = () => document.querySelector(".dsw-caption").textContent;
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
    all(".dsw-controls button").find((button) => button.textContent === "reset landmarks").click();
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
@both_kinds
def test_a_finger_drags_a_landmark_and_does_not_scroll_the_page(toy, kind, tmp_path):
    with touched(toy_explorer(toy), kind, tmp_path, 390, 400) as page:

        def height(index: int) -> float:
            return float(page.attribute(".landmark", index, "cy"))

        before, pixel = [height(4), height(20)], 60 / page.page.evaluate("document.querySelector('.dsw-stage').clientWidth")
        page.drag(".landmark", 20, (-6, -30), finger=True)  # of the template; 4 is the same one in the image
        assert height(20) == pytest.approx(before[1] - 30 * pixel, abs=0.1)
        assert height(4) < before[0] - 5
        if kind == "live":
            assert [mark["name"] for mark in page.saved("landmarks")] == ["landmark 4"]


@needs_browser
def test_live_module_reads_its_model_and_reports_new_landmarks(toy, tmp_path):
    widget = toy_explorer(toy)
    model = {"source": str(widget._esm), "data": widget.data, **widget.state()}
    page = '<!doctype html><html><head><meta charset="utf-8"></head><body><div id="output"></div></body></html>'
    script = (
        f"const state = {json.dumps(model)};"
        + """
    const url = URL.createObjectURL(new Blob([state.source], { type: "text/javascript" }));
    const { default: widget } = await import(url);
    const set = (name, value) => (state[name] = value);
    const on = (_, heard) => (state.heard = heard);
    const model = { get: (name) => state[name], set, on, save_changes: () => (report.saved = true) };
    widget.render({ model, el: document.getElementById("output") });
    fire("pointerdown", 1, [28, 38]); fire("pointerup", 1, [28, 38]);
    report.landmarks = state.landmarks;
    state.landmarks = [{ name: "landmark 0", structure: "disc", u: 0, v: 0 }, { name: "mine", structure: "disc", u: 0.1, v: 0 }];
    state.heard();
    report.written = [marks(1, ".landmark"), marks(1, ".new")];
    """
    )
    report = in_browser(page, script, tmp_path)
    u, v = toy.template.to_uv(0, np.array([28, 38]))
    assert report["errors"] == []
    assert report["saved"]
    assert report["landmarks"] == [
        {"name": "new 1", "structure": "disc", "u": pytest.approx(u, abs=1e-3), "v": pytest.approx(v, abs=1e-3)}
    ]
    trained, new = report["written"]  # by Python
    assert trained[0] == pytest.approx(toy.template.from_uv(0, np.zeros(2)), abs=0.02)
    assert new == [pytest.approx(toy.template.from_uv(0, np.array([0.1, 0.0])), abs=0.02)]
