"""The spine phantom: its truth is what is drawn, and only its ends tell vertebrae apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from denseseg.phantom.spine import PITCH, RIBS, SIZE, SpineVolume, spine_phantom


@pytest.fixture(scope="module")
def spines() -> list[SpineVolume]:
    return spine_phantom(20, seed=3)


def test_a_landmark_is_the_centroid_of_its_drawn_body(spines):
    compared = 0
    for spine in spines:
        for number, landmark in enumerate(spine.landmarks):
            body = spine.labels == number + 1
            if body.any() and not body[[0, -1]].any():  # not cut off
                assert np.abs(np.array(center_of_mass(body))[::-1] - landmark).max() < 0.35
                compared += 1
    assert compared > 100


def test_what_the_field_of_view_cuts_off_is_missing(spines):
    known = np.array([np.isfinite(spine.landmarks) for spine in spines])
    assert (known.all(-1) == known.any(-1)).all()
    assert known.all(-1).sum(1).min() >= 3
    assert not known[:, 0].all()
    assert not known[:, -1].all()
    for spine in spines:
        present = np.isfinite(spine.landmarks[:, 2])
        gaps = np.diff(spine.landmarks[present, 2])
        assert (np.diff(np.flatnonzero(present)) == 1).all()  # a column has no holes
        assert ((gaps > 0.75 * PITCH) & (gaps < 1.3 * PITCH)).all()
        whole = set(np.unique(spine.labels[1:-1])) - {0}
        assert {number + 1 for number in np.flatnonzero(present)} <= whole | {spine.labels[0].max(), spine.labels[-1].max()}


def test_a_volume_depends_on_the_seed_and_its_number_alone(spines):
    again = spine_phantom(1, seed=3, first=4)[0]
    np.testing.assert_array_equal(again.image, spines[4].image)
    np.testing.assert_array_equal(again.landmarks, spines[4].landmarks)
    assert not np.array_equal(spine_phantom(1, seed=4, first=4)[0].image, again.image)
    assert (again.image.shape, again.image.dtype) == (SIZE, np.float32)
    assert 0 <= again.image.min() < again.image.max() <= 1


def test_ribs_tell_the_upper_vertebrae_from_the_lower_ones(spines):
    """Beside a body it is bright where there are ribs; the bodies themselves are equally bright."""
    beside, inside = [[], []], [[], []]
    for spine in spines:
        for number in np.flatnonzero(np.isfinite(spine.landmarks[:, 0])):
            x, y, z = np.round(spine.landmarks[number]).astype(int)
            kind = int(number >= len(RIBS))
            beside[kind].append(spine.image[z, y + 2, [x - 5, min(x + 5, SIZE[2] - 1)]].mean())
            inside[kind].append(spine.image[z, y, x])
    assert np.mean(beside[0]) > np.mean(beside[1]) + 0.2
    assert np.mean(inside[0]) == pytest.approx(np.mean(inside[1]), abs=0.05)
