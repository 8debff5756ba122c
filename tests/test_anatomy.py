"""Anatomies: counts, names, and the plain values that they are written as."""

from __future__ import annotations

import numpy as np
import pytest

from denseseg.anatomy import CHEST, HAND, WRIST, get_anatomy
from denseseg.errors import DataError


def test_anatomies_have_the_published_counts():
    assert (CHEST.n_landmarks, WRIST.n_landmarks, HAND.n_landmarks) == (166, 710, 37)
    assert CHEST.counts == [44, 50, 26, 23, 23]
    assert CHEST.slices["heart"] == slice(94, 120)
    assert np.bincount(WRIST.membership).tolist() == WRIST.counts
    assert CHEST.groups == {"lungs": [0, 1], "heart": [2], "clavicles": [3, 4]}


def test_unknown_names_list_the_known_ones():
    with pytest.raises(DataError, match="built in are: chest, wrist, hand"):
        get_anatomy("knee")
    with pytest.raises(KeyError, match="left clavicle"):
        CHEST.index("spleen")
