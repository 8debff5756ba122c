"""The template: its charts, and what it is the mean of."""

from __future__ import annotations

import numpy as np
import pytest
from blob import ONE, SIZE, blob

from denseseg.anatomy import CHEST
from denseseg.geometry.template import Template
from denseseg.phantom.chest.phantom import chest_phantom


def test_template_charts_are_bounding_boxes_and_invert():
    shapes = chest_phantom(6, (64, 64)).landmarks
    template = Template.from_landmarks(shapes, CHEST, (64, 64))
    np.testing.assert_allclose(template.points, shapes.mean(0))
    for c, where in enumerate(CHEST.slices.values()):
        uv = template.uv[where]
        np.testing.assert_allclose([uv.min(0), uv.max(0)], [[-1, -1], [1, 1]], atol=1e-9)
        np.testing.assert_allclose(template.from_uv(c, uv), template.points[where])
    rows, columns = 20, 30
    np.testing.assert_allclose(template.identity_map(2)[:, rows, columns], template.to_uv(2, [columns, rows]))


def test_template_takes_each_landmark_from_the_cases_that_have_it():
    shapes = np.stack([blob(0), blob(0) + 2])
    shapes[0, 5] = np.nan
    template = Template.from_landmarks(shapes, ONE, SIZE)
    np.testing.assert_allclose(template.points[5], shapes[1, 5])
    shapes[1, 5] = np.nan
    with pytest.raises(ValueError, match="at least one training case"):
        Template.from_landmarks(shapes, ONE, SIZE)
