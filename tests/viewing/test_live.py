"""A page with a network in it, opened from a file: it says what Python says of phantoms and of a file that a reader drops."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from axe import serious_faults
from browser import REQUIRED, needs_browser, tab
from conftest import BUILD, ROOT, in_turn
from scipy.ndimage import affine_transform
from small_chest import small_chest, small_graph
from touch import Touched, evaluated, touched

from denseseg import chest_phantom
from denseseg.cases.case import Case
from denseseg.course.live_scripts import write_scripts
from denseseg.errors import DataError
from denseseg.geometry.decode import affine_inversion
from denseseg.geometry.frame import Frame
from denseseg.methods.onnx_export import graph_choices
from denseseg.pictures import write_png
from denseseg.viewing.live import Live
from denseseg.viewing.widget import packed

COUNT = int(os.environ.get("DENSESEG_LIVE_IMAGES", "5"))  # phantoms on which page and Python are compared
PLAIN = {"turn": 0, "contrast": 1, "brightness": 0, "noise": 0, "plate": 0, "plate_at": [20, 20]}


@cache
def cases(count: int = 3) -> Sequence[Case]:
    return list(chest_phantom(count, small_chest().size, seed=7))


def live() -> Live:
    return Live(graph_choices(small_chest()), cases())


@pytest.fixture(scope="module")
def scripts() -> Path:
    """Folder with the runtime and the small network. Without npm, tests of the page are skipped unless a browser is required."""
    graph = small_graph()
    try:
        with in_turn("live"):
            return write_scripts(ROOT / "build" / "vendor", BUILD / "small_chest" / "live", {"chest": graph})
    except (OSError, subprocess.SubprocessError) as error:
        if REQUIRED:
            raise
        pytest.skip(f"ONNX Runtime Web could not be fetched: npm and a network are needed once ({error})")


@pytest.fixture
def beside(scripts: Path, tmp_path: Path) -> Path:
    """A folder for pages, with the scripts in it."""
    (tmp_path / "live").symlink_to(scripts)
    return tmp_path


def until(page: Touched, start: str, seconds: float = 60) -> str:
    """The text of the status, as soon as it starts so."""
    end = time.monotonic() + seconds
    while not (text := page.text(".status")).startswith(start):
        assert time.monotonic() < end, f"the page says: {text}"
        time.sleep(0.05)
    return text


def numbers(page: Touched) -> np.ndarray:
    """(N, 2) landmarks that the page lists, NaN where there is none."""
    rows = [line.split(",")[2:] for line in page.text("pre").splitlines()[1:]]
    return np.array([[float(x or "nan") for x in row] for row in rows])


# ---- the picture ------------------------------------------------------------------------------------------------------


@needs_browser
def test_a_picture_is_fitted_as_python_fits_it(tmp_path):
    sizes = [(64, 64), (50, 64), (200, 131), (37, 300), (31, 20)]
    pictures = [np.random.default_rng(k).random(size).astype(np.float32) for k, size in enumerate(sizes)]
    call = f"""{json.dumps([[packed(one), *one.shape] for one in pictures])}.map(([values, height, width]) => {{
      const whole = {{ values: m.decode(values, Float32Array), width, height }}, size = {{ width: 64, height: 64 }};
      return [m.fit(whole, size), [...m.fitted(whole, m.fit(whole, size), size)]]; }})"""
    for picture, (frame, values) in zip(pictures, evaluated(Live, call, tmp_path), strict=True):
        wanted = Frame.fit(picture.shape, (64, 64))
        assert frame == {"scale": pytest.approx(wanted.scale), "offset": list(wanted.offset)}
        assert np.allclose(np.reshape(values, (64, 64)), wanted.maps_to_fitted(picture), atol=1e-5)


@needs_browser
def test_a_picture_is_altered_as_it_says(tmp_path):
    picture, field = (np.random.default_rng(k).random((40, 50)).astype(np.float32) for k in (0, 1))
    ways = [{}, {"turn": 20}, {"contrast": 0.5, "brightness": 0.1}, {"noise": 0.2}, {"plate": 6, "turn": -35}]
    call = f"""((values, field) => {json.dumps([PLAIN | way for way in ways])}.map((way) =>
      [...m.altered(values, {{ width: 50, height: 40 }}, way, field)]))
      (...{json.dumps([packed(picture), packed(field)])}.map((one) => m.decode(one, Float32Array)))"""
    answers = [np.reshape(answer, (40, 50)) for answer in evaluated(Live, call, tmp_path)]

    def turned(degrees: float) -> np.ndarray:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        back, centre = np.array([[c, -s], [s, c]]), np.array([19.5, 24.5])  # rows, columns: from a pixel to where it came from
        padded = np.pad(picture, 2)
        return affine_transform(padded, back, centre - back @ centre + 2, (40, 50), order=1)

    rows, columns = np.mgrid[:40, :50]
    plate = np.hypot(rows - 20, columns - 20) < 6
    wanted = [picture, turned(20), (picture - 0.5) / 2 + 0.6, picture + 0.2 * field, np.where(plate, 0.5, turned(-35))]
    for answer, expected in zip(answers, wanted, strict=True):
        assert np.abs(answer - np.clip(expected, 0, 1)).max() < 1e-5


# ---- the page says what Python says ----------------------------------------------------------------------------------


def trials(count: int) -> list[tuple[np.ndarray, dict]]:
    """Phantoms with what is done to them: nothing, turned, covered, the upper half missing, with little contrast and noise."""
    side = small_chest().size[0]
    ways = [
        {},
        {"turn": 17},
        {"plate": side / 6, "plate_at": [side / 3, side / 2]},
        {},
        {"contrast": 0.6, "noise": 0.05, "turn": -9},
    ]
    found = []
    for k, case in enumerate(cases(count)):
        image = case.image.copy()
        if k % 5 == 3:
            image[: side // 2] = 0.5
        found.append((image, PLAIN | ways[k % 5]))
    return found


@needs_browser
def test_the_page_reads_pictures_as_python_does(beside):
    """Masks, landmarks to 0.1 pixels, ellipses, and a point that nobody trained. Less than 2 s a picture."""
    method, given = graph_choices(small_chest()), trials(COUNT)
    height, width = method.size
    data = live().data
    point = [0.2, -0.3]  # uv
    call = f"""(async () => {{
      const data = {json.dumps({key: data[key] for key in ("width", "height", "extent")})}, answers = [];
      const field = Float32Array.from({{ length: data.width * data.height }}, m.normal(1));
      await m.bring("sizes");
      const ask = m.pageAnswers(await m.begin("chest", async () => {{}}), data);
      for (const [values, way] of {json.dumps([[packed(image), way] for image, way in given])}) {{
        const picture = m.altered(m.decode(values, Float32Array), data, way, field);
        const {{ charts, ...answer }} = await ask(picture), of = (look) => charts.map((chart) => (chart ? look(chart) : null));
        const place = of((chart) => chart.find(...{point}, Infinity)), pixels = of(({{ valid }}) => valid.reduce((a, b) => a + b));
        answers.push({{ ...answer, place, pixels, picture: [...picture] }});
      }}
      return answers;
    }})()"""
    seconds, missing = [], 0
    for answer in evaluated(Live, call, beside):
        picture = torch.tensor(answer["picture"]).view(1, 1, height, width)
        (wanted,) = method.predict(picture)
        found = np.array([one or [np.nan, np.nan] for one in answer["points"]])
        assert np.allclose(found, wanted.landmarks, rtol=0, atol=0.1, equal_nan=True)
        assert np.abs(np.array([count or 0 for count in answer["pixels"]]) - wanted.masks.sum((1, 2))).max() <= 1
        spread = np.array([one or [np.nan] * 3 for one in answer["covariance"]])
        assert np.allclose(spread, wanted.covariance.reshape(-1, 4)[:, [0, 1, 3]], rtol=0.05, atol=0.05, equal_nan=True)
        assert answer["absent"] == wanted.absent.tolist()
        for c, place in enumerate(answer["place"]):
            maps = torch.as_tensor(wanted.uv[c])[None], torch.as_tensor(wanted.masks[c])[None]
            decoded = affine_inversion(*maps, torch.tensor([point]), half_extent=data["extent"][c]).points[0, 0].numpy()
            assert np.allclose(place or [np.nan, np.nan], decoded, rtol=0, atol=0.1, equal_nan=True)
        seconds.append(answer["seconds"])
        missing += bool(np.isnan(found).any() and np.isfinite(found).any())
    print(f"seconds a picture: median {np.median(seconds):.2f}, most {max(seconds):.2f}; {missing} with a structure missing")
    assert missing or COUNT < 4
    assert np.median(seconds) < 2


@needs_browser
def test_a_reader_starts_the_network_drops_a_file_and_reads_its_landmarks(beside):
    """The file has another size than the network's pictures; its landmarks are listed in its own pixels."""
    picture = np.pad(chest_phantom(1, (150, 150), seed=9)[0].image, ((0, 0), (12, 13)))
    write_png(beside / "radiograph.png", picture, bits=8)
    with touched(live(), "static", beside, 900, 1000) as page:
        assert "it loads" in until(page, "Start the network") and page.text(".start").endswith("MB)")
        assert np.isfinite(numbers(page)).any()  # what Python said when the page was made
        page.click(".start")
        until(page, "Read by this page")
        drop(page, beside / "radiograph.png")
        until(page, "Read by this page")
        wanted = graph_choices(small_chest()).predict_image(np.round(picture * 255).astype(np.float32) / 255).landmarks
        difference = np.abs(numbers(page) - wanted)
        assert np.array_equal(np.isnan(numbers(page)), np.isnan(wanted))
        assert np.nanmax(difference) < 0.1
        page.press("input[type=range]", 0, "ArrowRight")  # turned by 1 degree; listed in the pixels of the file all the same
        until(page, "Reading")
        until(page, "Read by this page")
        assert 0 < np.nanmedian(np.abs(numbers(page) - wanted)) < 2
        assert page.page.evaluate("performance.getEntriesByType('resource').every(({ name }) => name.startsWith('file:'))")


DROP = """(async () => {
  const bytes = Uint8Array.from(atob("%s"), (character) => character.charCodeAt(0)), dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "%s"));
  document.querySelector(".dsw").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  document.querySelector(".status").textContent = "dropped";
})()"""


def drop(page: Touched, path: Path) -> None:
    """Let a file fall on the figure."""
    page.page.evaluate(DROP % (base64.b64encode(path.read_bytes()).decode(), path.name))


@needs_browser
def test_hands_and_keys_change_what_is_seen(beside):
    """On a phone's width: the point in the template, the plate, what is drawn, the next radiograph."""
    with touched(live(), "static", beside, 390, 844) as page:
        until(page, "Start the network")
        assert page.count(".landmark") > 100 and page.count(".edge") > 5 and page.count(".iso") > 10 and page.count(".spread") == 0
        page.press("input[type=range]", 1, "ArrowRight")  # nobody answers yet
        assert page.count(".landmark") == 0 and "not in this radiograph" in page.text(".point")
        page.click(".start")
        until(page, "Read by this page")
        assert page.count(".start") == 0
        for index, kind in enumerate((".edge", ".iso", ".landmark", ".spread")):
            before = page.count(kind)
            page.page.evaluate(f"document.querySelectorAll('input[type=checkbox]')[{index}].click()")
            assert page.count(kind) != before
        before = page.text(".point")
        page.drag(".dsw-handle.mine", 0, (0, 20), finger=True)
        assert page.text(".point") != before and "px of the radiograph" in page.text(".point")
        page.press(".dsw-handle.mine", 0, *["ArrowUp"] * 70)
        assert "outside of every structure" in page.text(".point")
        assert page.page.evaluate("getComputedStyle(document.querySelector('.plate')).display") == "none"
        page.press("input[type=range]", 4, *["ArrowRight"] * 9)
        page.drag(".plate", 0, (-30, 20), finger=True)
        until(page, "Read by this page")
        drop(page, Path(__file__))
        assert "cannot be opened" in until(page, "test_live.py cannot")
        page.click("[aria-label=radiograph] button", 1)
        until(page, "Read by this page")


@needs_browser
def test_in_a_notebook_python_answers(tmp_path):
    """The test is the kernel: it hands the page's question to the widget, and its answer to the page."""
    widget = live()
    with touched(widget, "live", tmp_path, 900, 1000) as page:
        assert "Read by Python" in page.text(".status") and page.count(".start") == 0
        page.press("input[type=range]", 0, *["ArrowRight"] * 8)
        for _ in range(9):  # the page asks, and once it has its answer asks for what it shows by then
            until(page, "Read")
            if page.saved("seen") == widget.seen:
                break
            widget.seen = page.saved("seen")
            page.write("answer", widget.answer)
            page.page.evaluate("new Promise((done) => setTimeout(done, 60))")
        assert "Read by Python" in page.text(".status")
        picture = np.frombuffer(base64.b64decode(widget.seen["picture"]), "<f4").reshape(small_chest().size)
        (wanted,) = widget.method.predict(torch.tensor(picture)[None, None])
        drawn = page.page.evaluate(
            "[...document.querySelectorAll('.landmark')].map((one) => [one.cx, one.cy].map((k) => k.baseVal.value))"
        )
        assert np.allclose(drawn, wanted.landmarks[np.isfinite(wanted.landmarks).all(1)], atol=0.01)
        assert widget.answer["number"] == widget.seen["number"] and picture.std() > 0.05


@needs_browser
def test_a_page_without_its_network_says_so(tmp_path):
    page = live().save(tmp_path / "page.html")
    with tab(tmp_path / "profile", 800) as window:
        window.open(page.as_uri())
        opened = Touched(window)
        assert "not beside this page" in until(opened, "The network is not")
        assert opened.count(".start") == 0 and opened.count(".landmark") > 100
        assert all(re.search(r"ERR_FILE_NOT_FOUND.*sizes\.js", error) for error in window.errors())


@needs_browser
def test_pages_of_a_book_share_the_scripts_of_its_root(scripts, tmp_path):
    for folder in ("_static", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_static" / "live").symlink_to(scripts)
    page = tmp_path / "notebooks" / "22.html"
    page.write_text(f'<!doctype html><html lang="en" data-content_root="../"><title>22</title>{live().html()}', "utf-8")
    with tab(tmp_path / "profile", 800) as window:
        window.open(page.as_uri())
        until(Touched(window), "Start the network")
        assert window.errors() == []


@needs_browser
def test_axe_finds_no_serious_fault(beside):
    with touched(live(), "static", beside, 1280, 900) as page:
        until(page, "Start the network")
        assert "\n".join(serious_faults(page.page)) == ""


def test_a_case_of_another_size_is_named():
    with pytest.raises(DataError, match=r"chest0000 is no chest of \(64, 64\) pixels"):
        Live(graph_choices(small_chest()), chest_phantom(1, (96, 96)))
