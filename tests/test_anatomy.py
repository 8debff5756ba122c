"""Anatomies: counts, names, and the plain values that they are written as."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from denseseg.anatomy import CHEST, HAND, WRIST, Anatomy, Kind, Structure, get_anatomy
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


# ---- fewer landmarks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anatomy", [CHEST, WRIST, HAND], ids=lambda a: a.name)
def test_a_reduced_anatomy_is_written_out(anatomy) -> None:
    few = anatomy.reduced(1)
    assert Anatomy.from_dict(few.to_dict()) == few
    assert few.counts == [4] * len(anatomy) and few.names == anatomy.names


@pytest.mark.parametrize("name", ["wrist 25 %", "knee"])
def test_no_name_is_parsed(name: str) -> None:
    with pytest.raises(DataError, match="unknown anatomy"):
        get_anatomy(name)


@pytest.mark.parametrize("percent", [0, 100])
def test_a_share_beyond_its_range_is_an_error(percent: int) -> None:
    with pytest.raises(ValueError, match="1 to 99"):
        CHEST.reduced(percent)


# ---- as plain values ------------------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


@st.composite
def structures(draw, name: str) -> Structure:
    count, kind = draw(st.integers(1, 5)), draw(st.sampled_from(Kind))
    labels = draw(st.just(()) | st.lists(names, min_size=count, max_size=count).map(tuple))
    region = draw(st.sampled_from([None, "hull"])) if kind is Kind.POINTS and count > 2 else None
    return Structure(name, count, draw(names), kind, labels, region)


anatomies = st.builds(
    Anatomy, names, st.lists(names, min_size=1, max_size=4, unique=True).flatmap(lambda all: st.tuples(*map(structures, all)))
)


@given(anatomies)
def test_an_anatomy_survives_json_and_toml(anatomy: Anatomy) -> None:
    content = anatomy.to_dict()
    for again in (content, json.loads(json.dumps(content)), tomllib.loads(tomli_w.dumps(content))):
        assert Anatomy.from_dict(again) == anatomy


@given(anatomies)
def test_padded_slices_and_membership_tell_the_same(anatomy: Anatomy) -> None:
    for c, (row, where) in enumerate(zip(anatomy.padded, anatomy.slices.values(), strict=True)):
        places = list(range(where.start, where.stop))
        assert row.tolist() == places + [-1] * (max(anatomy.counts) - len(places))
        assert np.flatnonzero(anatomy.membership == c).tolist() == places
    assert sum(anatomy.counts) == anatomy.n_landmarks == len(anatomy.membership)


GOOD = {"name": "a", "count": 2, "group": "g"}


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ({"name": "a", "group": "g"}, r"structures.0.count is missing; add it"),
        (GOOD | {"count": "2"}, r"structures.0.count must be a valid integer, got '2'"),
        (GOOD | {"count": 0}, r"structures.0.count must be greater than or equal to 1, got 0"),
        (GOOD | {"count": 2.5}, r"structures.0.count must be a valid integer"),
        (GOOD | {"name": ""}, r"structures.0.name String should have at least 1 character"),
        (GOOD | {"group": 3}, r"structures.0.group must be a valid string, got 3"),
        (GOOD | {"kind": "contour"}, r"structures.0.kind must be 'outline', 'curve' or 'points', got 'contour'"),
        (GOOD | {"labels": ["one"]}, r"structures.0 a has 2 landmarks but 1 labels; give one a landmark, or none"),
        (GOOD | {"labels": "ab"}, r"structures.0.labels must be a valid"),
        (GOOD | {"region": "box", "kind": "points"}, r"structures.0.region must be 'hull', got 'box'"),
        (GOOD | {"region": "hull"}, r"structures.0 a: region = 'hull' is for kind = 'points' only"),
        (GOOD | {"region": "hull", "kind": "points"}, r"structures.0 a: a hull needs 3 landmarks or more, and it has 2"),
        (GOOD | {"colour": "red"}, r"structures.0.colour is unknown; correct the name or remove it"),
        ("a", r"structures.0 must be an object, got 'a'"),
    ],
)
def test_a_wrong_field_ends_in_one_line(structure: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"^file: {message}") as caught:
        Anatomy.from_dict({"name": "n", "structures": [structure]}, "file")
    assert "\n" not in str(caught.value)


def test_an_anatomy_needs_structures_of_different_names() -> None:
    with pytest.raises(DataError, match=r"file: structures .*at least 1 item"):
        Anatomy.from_dict({"name": "n", "structures": []}, "file")
    with pytest.raises(DataError, match="two structures are called 'a'; give each a name of its own"):
        Anatomy.from_dict({"name": "n", "structures": [GOOD, GOOD]}, "file")


@pytest.mark.parametrize("changes", [{"name": "average"}, {"group": "average"}])
def test_the_name_of_the_mean_over_groups_is_taken(changes):
    with pytest.raises(DataError, match="'average' is what results call the mean of all groups"):
        Structure(**{"name": "bone", "count": 4, "group": "bone"} | changes)
