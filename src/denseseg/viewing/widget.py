"""What all widgets share: figures that answer to touch, live in a notebook and without kernel or network in a built page.

A widget is a small class here and one JavaScript module beside it. `widget.js` and what else it imports are put in front of it;
an output then holds the live widget, which anywidget draws, and HTML with the same module and its data written into it.
"""

from __future__ import annotations

import base64
import json
import re
from html import escape
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import anywidget
import numpy as np
import traitlets
from matplotlib import colormaps

from denseseg.errors import DataError
from denseseg.files import atomic_file

FOLDER = Path(__file__).parent
IMPORT = re.compile(r'^import [^;]* from "\./(\w+)\.js";\n', re.MULTILINE)


def counted(proposal: Any, count: int, what: str = "") -> int:
    """What a trait's validator returns for a place among `count` things. Raises DataError where it is none of them."""
    value = proposal["value"]
    if not 0 <= value < count:
        raise DataError(f"{what or proposal['trait'].name} {value} of {count}; they are counted from 0")
    return value


class Widget(anywidget.AnyWidget):
    """A figure that answers to touch. A subclass says `module`, the name of its .js file and, if it has one, its .css file.

    data: what the module draws, as JSON; it does not change. All other traits of a subclass that are tagged `sync=True` are its
    state: what the reader changes, and Python reads and writes. The module exports `mount(el, data, state)`, see widget.js.
    """

    module: ClassVar[str]
    title: ClassVar[str] = "figure"  # of a page of its own
    data = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "module" in cls.__dict__:
            cls._esm, cls._css = _joined(cls.module, "js"), _joined(cls.module, "css")
        super().__init_subclass__(**kwargs)

    def state(self) -> dict[str, Any]:
        """The traits that the reader changes, by name."""
        shared = set(self.trait_names(sync=True)) - set(Widget.class_trait_names())
        return {name: getattr(self, name) for name in sorted(shared) if not name.startswith("_")}

    def html(self) -> str:
        """The widget as a piece of HTML that needs no kernel and no network. Each call gives it a new element id."""
        name = f"dsw-{uuid4().hex}"
        data, state = (json.dumps(part, separators=(",", ":")).replace("<", "\\u003c") for part in (self.data, self.state()))
        return (
            f'<style>\n{self._css}</style>\n<div id="{name}">This figure is interactive: it needs JavaScript.</div>\n'
            f'<script type="module">\n{self._esm}\nmount(document.getElementById("{name}"), {data}, alone({state}));\n</script>'
        )

    def save(self, path: str | Path, title: str | None = None) -> Path:
        """Write a page of its own, to open from disk or to send to someone."""
        path = Path(path)
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        look = "<style>html { color-scheme: light dark; background: Canvas; } body { margin: 1rem; }</style>"
        start = f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title or self.title)}</title>{look}</head>'
        with atomic_file(path) as temporary:
            temporary.write_text(f"{start}<body>\n{self.html()}\n</body></html>\n", "utf-8")
        return path

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        return bundle and ({**bundle[0], "text/html": self.html()}, bundle[1])


def _joined(module: str, kind: str) -> str:
    """The widget's own file behind those that it imports: one JavaScript module, in which nothing is left to be imported."""
    files = [FOLDER / f"{name}.{kind}" for name in _imported(module)]
    return "\n".join(IMPORT.sub("", file.read_text("utf-8")) for file in files if file.exists())


def _imported(module: str) -> list[str]:
    """Names of the modules that one needs, in order, itself the last."""
    own = IMPORT.findall((FOLDER / f"{module}.js").read_text("utf-8"))
    return list(dict.fromkeys([*(name for one in own for name in _imported(one)), module]))


def packed(array: np.ndarray) -> str:
    """The bytes of an array as base64, row by row, for `decode` in widget.js."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def grey(image: Any) -> np.ndarray:
    """An image in [0, 1] as 8 bit."""
    return np.round(np.clip(np.asarray(image, float), 0, 1) * 255).astype(np.uint8)


def in_unit(spacing: float | None) -> dict[str, Any]:
    """For the data of a widget: what a pixel measures and in which unit, mm where the spacing is known."""
    return {"spacing": spacing or 1.0, "unit": "mm" if spacing else "px"}


def heat_colours() -> list[list[int]]:
    """Red, green and blue (0 to 255) from dark to bright, for pictures of one number a pixel: matplotlib's inferno in 17 steps."""
    return np.round(255 * colormaps["inferno"](np.linspace(0, 1, 17))[:, :3]).astype(int).tolist()


def pairs(points: Any, digits: int = 3) -> list[list[float]]:
    """(n, 2) points as lists, for JSON."""
    return [[round(x, digits), round(y, digits)] for x, y in np.asarray(points, float).tolist()]


def rows(values: np.ndarray, digits: int) -> list[list[float] | None]:
    """(n, k) numbers as lists, for JSON; None for a row that is not finite, such as a landmark that is not there."""
    return [[round(x, digits) for x in row] if np.isfinite(row).all() else None for row in values.astype(float).tolist()]


def ellipses(covariance: np.ndarray) -> list[list[float] | None]:
    """(n, 2, 2) covariances as lists (xx, xy, yy), for JSON; None where one is not known."""
    return rows(covariance.reshape(-1, 4)[:, [0, 1, 3]], 4)


def require_places(places: list[Any], what: str, count: int, of: str) -> None:
    """Raise DataError unless there is a place (x, y), or None, for each of `count` points."""
    if len(places) != count or any(place is not None and not np.isfinite(place).all() for place in places):
        raise DataError(f"{len(places)} {what} for {count} {of}; give (x, y), or None, for each")
