"""What holds for every picture: units, readable type, a panel of one's own."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from charted import INTERVALS, error_table, history
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from toy import SIZE, TOY

from denseseg.viewing import plots

PICTURES = {
    "case": lambda t: plots.show_case(t.case, masks=True),
    "template": lambda t: plots.show_template(t.template),
    "shapes": lambda t: plots.show_shapes(np.stack([t.case.landmarks, t.template.points]), t.template),
    "key": lambda t: plots.uv_key(),
    "uv": lambda t: plots.show_uv(t.case.image, t.uv, t.valid, TOY, spacing=0.5),
    "prediction": lambda t: plots.show_prediction(t.case.image, t.prediction, t.case, ellipses=True),
    "history": lambda t: plots.plot_history(history()),
    "cumulative": lambda t: plots.plot_cumulative_error({"a": np.arange(10.0), "b": np.arange(5.0)}),
    "by structure": lambda t: plots.plot_error_by_structure({"a": error_table(), "b": error_table(1)}),
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


def test_pictures_draw_into_a_given_panel(toy):
    ax = plt.figure().add_subplot()
    assert plots.show_case(toy.case, ax=ax) is ax
    assert plots.show_uv(toy.case.image, toy.uv, toy.valid, TOY, ["bar"], ax=ax) is ax
    assert len(ax.figure.axes) == 1
