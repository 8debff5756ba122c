"""The paper's places: its numbers beside ours. (What is read where is tested with the new landmarks.)"""

from __future__ import annotations

import numpy as np
import pytest

from denseseg.anatomy import CHEST
from denseseg.geometry.template import Template
from denseseg.phantom import chest_phantom
from denseseg.studies.lung_points import PLACES, Readings, table


def test_each_place_knows_what_was_published():
    assert [place.published() for place in PLACES] == [(20.5, 5.1), (8.3, 4.2), (7.3, 5.9), (7.0, 5.4)]
    assert [place.published("Mean shape") for place in PLACES] == [(15.0, 7.1), (17.5, 9.1), (19.5, 10.0), (29.3, 15.4)]


def test_a_lost_lung_costs_what_a_failure_does_so_that_readers_stay_comparable():
    landmarks = chest_phantom(4, (64, 48)).landmarks
    readings = Readings((), landmarks, landmarks, Template.from_landmarks(landmarks, CHEST, (64, 48)), spacing=2.0)
    found = PLACES[0].points(landmarks, CHEST)
    found[1] = np.nan
    assert readings.errors(found, PLACES[0]) == pytest.approx([0, 80, 0, 0])  # half of the diagonal of 80 px, each of 2 mm
    found[0] += 1000.0  # no answer is worse
    assert readings.errors(found, PLACES[0])[0] == pytest.approx(80)


def test_the_table_of_its_results():
    numbers = {"mean": 6.93, "sd": 1.0, "low": 6.2, "high": 7.7}
    place = PLACES[0]
    published = {"map": place.published(), "mean shape": place.published("Mean shape")}
    entry = {"mm": dict.fromkeys(("ours", "mean shape", "true maps"), numbers), "published_mm": published}
    *_, row = table({"places": {place.name: entry}}).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["clavicle", *["6.9 [6.2, 7.7]"] * 3, "20.5 ± 5.1", "15.0 ± 7.1"]
