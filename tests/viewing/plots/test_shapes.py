"""Pictures of cases: outlines are closed, curves open, single landmarks dots."""

from __future__ import annotations

import numpy as np
import pytest

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.case import Case
from denseseg.geometry.template import Template
from denseseg.viewing import plots

MIXED = Anatomy(
    "mixed",
    (
        Structure("ring", 5, "ring"),
        Structure("spine", 4, "spine", Kind.CURVE),
        Structure("marks", 3, "marks", Kind.POINTS, ("sella", "nasion", "orbitale")),
    ),
)


@pytest.fixture
def case() -> Case:
    return Case("mixed-1", np.zeros((60, 60)), np.random.default_rng(0).uniform(5, 55, (12, 2)), MIXED)


def test_kinds_are_drawn_as_what_they_are(case):
    ax = plots.show_case(case)
    assert [len(line.get_xdata()) for line in ax.lines] == [6, 4, 0]
    assert np.allclose(ax.lines[0].get_xydata()[[0, -1]], case.landmarks[0])
    assert [len(dots.get_offsets()) for dots in ax.collections] == [5, 4, 3]
    assert not ax.texts


def test_labels_stand_beside_their_landmarks_and_missing_ones_have_none(case):
    case.landmarks[10] = np.nan
    ax = plots.show_case(case, labels=True)
    assert [(text.get_text(), *text.xy) for text in ax.texts] == [("sella", *case.landmarks[9]), ("orbitale", *case.landmarks[11])]


def test_single_landmarks_stay_visible_on_a_contact_sheet(case):
    (ax,) = plots.show_cases([case], columns=1).axes
    areas = [float(dots.get_sizes()[0]) for dots in ax.collections]
    assert areas == [0, 0, 20]


def test_shapes_and_error_maps_of_all_kinds(case):
    template = Template(MIXED, case.landmarks, (60, 60))
    ax = plots.show_shapes(np.stack([case.landmarks, case.landmarks + 1]), template)
    assert [len(path.vertices) for lines in ax.collections[:2] for path in lines.get_paths()] == [6, 6, 4, 4]
    assert [line.get_linestyle() for line in ax.lines] == ["-", "-", "None"]
    ax = plots.plot_error_map(template, np.arange(12.0))
    assert [len(line.get_xdata()) for line in ax.lines] == [6, 4, 0]
    assert len(ax.collections[0].get_offsets()) == 12


@pytest.mark.filterwarnings("error")
def test_an_error_map_leaves_out_landmarks_that_were_never_found(case):
    template = Template(MIXED, case.landmarks, (60, 60))
    errors = np.stack([np.arange(12.0), np.arange(12.0) + 2])
    errors[:, 3], errors[0, 4] = np.nan, np.nan
    shown = plots.plot_error_map(template, errors).collections[0]
    assert np.ma.getmaskarray(shown.get_array()).tolist() == [i == 3 for i in range(12)]
    assert shown.get_array()[4] == 6.0 and shown.get_array()[5] == 6.0
    assert shown.get_clim() == (0.0, 12.0)
