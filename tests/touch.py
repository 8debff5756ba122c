"""A widget opened in a browser from a file address, as a static page or live, and touched there as a reader would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, tab

from denseseg.viewing.widget import Widget

KINDS = ("static", "live")
# the model that a live notebook hands to `render`: traits, of whose changes its listeners hear
LIVE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>live</title></head><body><div id="output"></div>
<script type="module">
const { source, ...traits } = JSON.parse(document.getElementById("model").textContent), listeners = [];
const set = (name, value) => { traits[name] = value; listeners.forEach((heard) => heard()); };
const on = (event, heard) => { if (event === "change") listeners.push(heard); };
window.model = { get: (name) => traits[name], set, on, off: () => {}, save_changes: () => { window.saved = { ...traits }; } };
const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
widget.render({ model, el: document.getElementById("output") });
</script>"""
DRAWN = """new Promise((ready) => {
  const look = () => (document.querySelector(".dsw-caption") ? ready() : setTimeout(look, 20));
  look();
})"""
PLACE = """(() => { const box = [...document.querySelectorAll(%s)][%d].getBoundingClientRect();
return [box.left + box.width / 2, box.top + box.height / 2]; })()"""


class Touched:
    """A page with a widget, and hands for it. A selector and an index tell an element."""

    def __init__(self, page: Tab) -> None:
        self.page = page

    def place(self, selector: str, index: int = 0) -> tuple[float, float]:
        """Centre of an element in the window, after it was scrolled there."""
        self.page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})][{index}].scrollIntoView({{block: 'center'}})")
        x, y = self.page.evaluate(PLACE % (json.dumps(selector), index))
        return x, y

    def hover(self, selector: str, index: int = 0) -> None:
        x, y = self.place(selector, index)
        self.page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def drag(self, selector: str, index: int, by: tuple[float, float], finger: bool = False) -> None:
        """Press on an element, move by so many window pixels in three steps, and let go."""
        x, y = self.place(selector, index)
        for kind, share in (("down", 0.0), ("move", 0.3), ("move", 0.7), ("move", 1.0), ("up", 1.0)):
            at = {"x": x + share * by[0], "y": y + share * by[1]}
            if finger:
                names = {"down": "touchStart", "move": "touchMove", "up": "touchEnd"}
                self.page.call("Input.dispatchTouchEvent", type=names[kind], touchPoints=[] if kind == "up" else [at])
            else:
                names = {"down": "mousePressed", "move": "mouseMoved", "up": "mouseReleased"}
                self.page.call("Input.dispatchMouseEvent", type=names[kind], button="left", buttons=1, clickCount=1, **at)

    def click(self, selector: str, index: int = 0) -> None:
        self.drag(selector, index, (0, 0))

    def press(self, selector: str, index: int, *keys: str) -> None:
        """Focus an element and press keys."""
        self.page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})][{index}].focus()")
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}
        for key in keys:
            for kind in ("rawKeyDown", "keyUp"):
                self.page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def text(self, selector: str, index: int = 0) -> str:
        return self.page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})][{index}].textContent")

    def attribute(self, selector: str, index: int, name: str) -> str:
        return self.page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})][{index}].getAttribute('{name}')")

    def count(self, selector: str) -> int:
        return self.page.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")

    def saved(self, name: str) -> Any:
        """Of a live widget: a trait as Python would read it."""
        return self.page.evaluate(f"saved.{name}")

    def write(self, name: str, value: Any) -> None:
        """Of a live widget: Python sets a trait."""
        self.page.evaluate(f"model.set({json.dumps(name)}, {json.dumps(value)})")


@contextmanager
def touched(widget: Widget, kind: str, folder: Path, width: int = 900, height: int = 900) -> Iterator[Touched]:
    """The widget in a browser window; in the end nothing may have gone wrong there, and the page may not scroll sideways."""
    path = folder / f"{kind}.html"
    if kind == "static":
        widget.save(path)
    else:
        model = json.dumps({"source": str(widget._esm), "data": widget.data, **widget.state()}).replace("</", "<\\/")
        look = f"<style>{widget._css}</style>"
        path.write_text(f'{LIVE}{look}<script id="model" type="application/json">{model}</script></body></html>', "utf-8")
    with tab(folder / f"profile-{kind}", width, height) as page:
        page.call("Emulation.setTouchEmulationEnabled", enabled=True)
        page.open(path.as_uri())
        page.evaluate(DRAWN)
        yield Touched(page)
        assert page.errors() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert nameless(page) == []


def nameless(page: Tab) -> list[str]:
    """What can be reached by the Tab key but tells a screen reader no role or no name."""
    page.call("Accessibility.enable")
    found = []
    for node in page.call("Accessibility.getFullAXTree")["nodes"]:
        focusable = any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", []))
        role, name = (node.get(key, {}).get("value", "") for key in ("role", "name"))
        if focusable and role != "RootWebArea" and (not name or role in ("generic", "none", "")):
            found.append(f"{role}: {name}")
    return found


def evaluated(widget: type[Widget], calls: str, folder: Path) -> Any:
    """The value of a JavaScript expression in which `m` is the widget's module."""
    source = json.dumps(str(widget._esm)).replace("</", "<\\/")
    (folder / "empty.html").write_text("<!doctype html><title>empty</title>", "utf-8")
    with tab(folder / "profile", 400) as page:
        page.open((folder / "empty.html").as_uri())
        return page.evaluate(f"import(URL.createObjectURL(new Blob([{source}], {{type: 'text/javascript'}}))).then((m) => {calls})")


both_kinds = pytest.mark.parametrize("kind", KINDS)


def soon(page: Touched, condition: Callable[[], bool]) -> bool:
    """Whether something of which the page tells nothing comes true, such as a saved file."""
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        page.page.evaluate("new Promise((ready) => setTimeout(ready, 50))")
    return condition()
