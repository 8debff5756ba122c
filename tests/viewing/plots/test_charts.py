"""Charts of training and evaluation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from charted import INTERVALS, error_table

from denseseg.errors import DataError
from denseseg.viewing import plots


def test_cumulative_error_counts_a_failure_as_never_found():
    ax = plots.plot_cumulative_error({"half lost": np.array([1.0, 2.0, np.nan, np.nan])})
    assert ax.lines[0].get_ydata().max() == 50


def test_a_method_that_found_nothing_lies_on_the_axis():
    ax = plots.plot_cumulative_error({"lost": np.full(5, np.nan), "found": np.arange(1.0, 4)})
    assert [line.get_ydata().max() for line in ax.lines[:2]] == [0, 100]


def test_cumulative_error_says_what_it_is_a_share_of():
    labels = [plots.plot_cumulative_error({"a": np.arange(1.0, 4)}, of=of).get_ylabel() for of in ("landmarks", "images")]
    assert labels == ["landmarks with at most this error (%)", "images with at most this error (%)"]


def test_one_axis_shows_one_unit():
    assert plots.plot_error_by_structure(error_table(), "dsc").get_ylabel() == "DSC (%)"
    with pytest.raises(DataError, match="units mm, px"):
        plots.plot_intervals(INTERVALS.assign(unit=["mm", "px"]))
    with pytest.raises(DataError, match="no rows"):
        plots.plot_error_by_structure(error_table(), "hd95")


def test_history_of_an_untrained_method_is_explained():
    with pytest.raises(DataError, match="nothing to train"):
        plots.plot_history(pd.DataFrame())


def test_dots_say_what_they_are():
    table = error_table().assign(structure="bone")
    titles = [plots.plot_error_by_structure(table, by=by).get_title(loc="left") for by in ("group", "structure")]
    assert titles[0].endswith("each dot a structure of a case") and titles[1].endswith("each dot a case")
    single = error_table().assign(landmark=0)
    assert plots.plot_error_by_structure(single).get_title(loc="left").endswith("each dot a landmark of a case")


def test_radii_and_parts_of_the_error_have_titles():
    table = error_table()
    table["metric"] = table["metric"].replace({"dsc": "sdr_2.5", "tre": "along"})
    assert plots.plot_error_by_structure(table, "sdr_2.5").get_ylabel() == "SDR 2.5 (%)"
    assert plots.plot_error_by_structure(table, "along").get_ylabel() == "error along (mm)"
