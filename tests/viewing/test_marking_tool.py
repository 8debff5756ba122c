"""Marks of one reader and of a class: files that travel, a scatter that is NumPy's, and hands that mark."""

from __future__ import annotations

import json

import numpy as np
import pytest
from browser import needs_browser
from touch import Touched, both_kinds, evaluated, soon, touched

from denseseg.errors import DataError
from denseseg.viewing.marking_tool import MarkingTool

SIZE = (120, 100)
NAMES = ["top of the lung", "tip of the heart", "outer end of the clavicle"]
TRUTH = np.array([[30.0, 20.0], [60.0, 70.0], [80.0, 30.0]])


def tool() -> MarkingTool:
    return MarkingTool(np.zeros(SIZE), "chest 7", NAMES, TRUTH, spacing=2.0)


def content(reader: str, points: np.ndarray, **changes) -> str:
    named = {
        name: point if np.isfinite(point).all() else None for name, point in zip(NAMES, np.asarray(points).tolist(), strict=True)
    }
    return json.dumps({"kind": "denseseg marks 1", "image": "chest 7", "reader": reader, "points": named} | changes)


def class_of(count: int) -> np.ndarray:
    """(count, 3, 2) marks: off by 3 px in x on average, with scatter."""
    return np.round(TRUTH + [3, 0] + np.random.default_rng(2).normal(0, 2, (count, 3, 2)), 2)


@needs_browser
def test_scatter_is_numpys_and_files_come_back(tmp_path):
    points = class_of(7)
    wrong = [
        "{",
        "[]",
        content("a", TRUTH, kind="other"),
        content("a", TRUTH, image="chest 8"),
        content("a", TRUTH).replace("30.0", '"x"'),
    ]
    call = f"""(() => {{ const data = {json.dumps(tool().data)}, marks = [[1.5, 2], null, [3, 4]];
      const told = (text) => {{ try {{ return m.read(text, data); }} catch (error) {{ return error.message; }} }};
      return [{json.dumps(points.transpose(1, 0, 2).tolist())}.map(m.scatter), m.read(m.write(data, "Ada", marks), data),
        {json.dumps(wrong)}.map(told),
        m.merge([{{ reader: "a", marks: 1 }}, {{ reader: "b" }}], [{{ reader: "a", marks: 2 }}])]; }})()"""
    found, again, messages, merged = evaluated(MarkingTool, call, tmp_path)
    for k, one in enumerate(found):
        own, (xx, xy, yy) = points[:, k], one["covariance"]
        assert np.allclose(one["mean"], own.mean(0))
        assert np.allclose([[xx, xy], [xy, yy]], np.cov(own.T))
        assert one["spread"] == pytest.approx(np.sqrt(((own - own.mean(0)) ** 2).sum() / 6))
    assert again == {"reader": "Ada", "marks": [[1.5, 2], None, [3, 4]]}
    for message, part in zip(
        messages, ("no JSON", "no marks", "no marks", "chest 8, not of chest 7", "not two numbers"), strict=True
    ):
        assert part in message
    assert merged == [{"reader": "a", "marks": 2}, {"reader": "b"}]


def choose_files(page: Touched, *paths) -> None:
    node = page.page.call("Runtime.evaluate", expression="document.querySelector('input[type=file]')")["result"]["objectId"]
    page.page.call("DOM.setFileInputFiles", files=[str(path) for path in paths], objectId=node)


@needs_browser
@both_kinds
def test_a_reader_marks_saves_and_meets_the_class(kind, tmp_path):
    points = class_of(4)
    files = [tmp_path / f"reader {n}.json" for n in range(4)]
    for n, file in enumerate(files):
        file.write_text(content(f"reader {n}", points[n]), "utf-8")
    other = tmp_path / "other.json"
    other.write_text(content("x", TRUTH, image="a hand"), "utf-8")
    with touched(tool(), kind, tmp_path, 390, 844) as page:
        scale = page.page.evaluate("document.querySelector('.dsw-stage').clientWidth") / SIZE[1]

        def row(k: int) -> list[str]:
            return page.page.evaluate(f"[...document.querySelectorAll('tr')[{k + 1}].cells].map((cell) => cell.textContent)")

        assert page.text(".dsw-caption").startswith("0 of 3 points marked, 0 files")
        page.click(".dsw-stage > svg")  # the middle of the image: the first point
        assert page.attribute("[aria-label='point to mark next'] button", 1, "aria-pressed") == "true"
        page.press(".dsw-handle", 1, "ArrowRight")  # from where it waited
        page.drag(".dsw-handle", 2, (40 * scale, -20 * scale), finger=True)
        assert page.text(".dsw-caption").startswith("3 of 3 points marked") and "Say your name" in page.text(".dsw-caption")
        x, y = (float(word.split()[1]) for word in page.attribute(".dsw-handle", 0, "aria-valuetext").split(", "))
        assert (x, y) == pytest.approx((49.5, 59.5), abs=0.6)
        page.page.evaluate("document.querySelector('input[type=text]').focus()")
        page.page.call("Input.insertText", text="Ada L.")
        page.page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
        page.click("[data-lm-suppress-shortcuts] button")
        saved = tmp_path / "saved" / "marks_chest_7_Ada_L_.json"
        assert soon(page, saved.exists)
        marks = json.loads(saved.read_text("utf-8"))
        assert marks["reader"] == "Ada L." and marks["points"][NAMES[0]] == pytest.approx([x, y], abs=0.06)

        choose_files(page, *files, saved, other)
        assert soon(page, lambda: "5 files" in page.text(".dsw-caption"))
        assert page.text(".problems") == "other.json: marks of the image a hand, not of chest 7"
        everyone = np.array([*points[:, 0], marks["points"][NAMES[0]]])
        spread = 2 * np.sqrt(((everyone - everyone.mean(0)) ** 2).sum() / 4)
        assert row(0) == ["1", NAMES[0], "5", f"{spread:.1f}"]  # my own file and my own marks are one reader
        page.click("input[type=checkbox]")
        assert float(row(0)[4]) == pytest.approx(2 * np.linalg.norm(everyone.mean(0) - TRUTH[0]), abs=0.051)
        assert page.count(".reader") == 15 and page.count(".spread") == 3
        if kind == "live":
            assert page.saved("reader") == "Ada L." and len(page.saved("files")) == 5
            page.write("marks", [None, None, [5, 6]])
            assert page.text(".dsw-caption").startswith("1 of 3 points") and row(0)[2] == "4"
        rights = [page.page.evaluate(f"document.querySelectorAll('.dsw-stage')[{i}].getBoundingClientRect().right") for i in (0, 1)]
        assert rights[0] < rights[1] < 390  # both panels side by side on a phone


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match=r"3 names and truth \(2, 2\) do not fit"):
        MarkingTool(np.zeros(SIZE), "chest 7", NAMES, TRUTH[:2])
    with pytest.raises(DataError, match="2 marks for 3 points"):
        tool().marks = [None, [1, 2]]
