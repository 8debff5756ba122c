"""What may name a case, and its files; names of files for any text."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from denseseg.names import LONGEST, Name, file_name, name_fault, same_file

REAL = (
    "JPCLN001", "0001_1297860395_01_WRI-L1_M014", "3209", "007", "chest000", "IM-0001-0001", "patient 12 left",
    "1.2.840.113619.2.5",
    "Müller_3", "患者1", "a,b", "scan (2)", "x=1&y=2", "50%", "it's", "[1]", "a..b", "_", "-p", "#7", "~a",
)  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_ids_of_real_data_sets_are_names(name):
    assert name_fault(name) is None


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60))  # signs that can be seen
def test_a_name_is_one_file_in_its_folder(tmp_path_factory, name):
    assume(name_fault(name) is None)
    folder = tmp_path_factory.getbasetemp()
    path = folder / f"{name}.png"
    assert path.parent == folder and path.name == f"{name}.png" and len(path.name.encode()) <= LONGEST + 4


def test_names_that_disks_do_not_tell_apart_are_found():
    for one, other in (("A", "a"), ("é", "e\u0301"), ("É", "e\u0301"), ("straße", "STRASSE"), ("ﬁ", "FI")):
        assert same_file(one) == same_file(other)
    assert same_file("a1") != same_file("a2")


@given(st.text(max_size=300), st.text(max_size=300))
def test_other_texts_have_other_names_of_files(one, other):
    found = file_name(one), file_name(other)
    assert (found[0] == found[1]) == (one == other)
    assert all(name_fault(name) is None for name in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chest phantom", "chest-phantom"),
        ("GRAZPEDWRI-DX", "GRAZPEDWRI--DX"),
        ("denseseg_default_full_paper_0_7e20e0d5", "denseseg_default_full_paper_0_7e20e0d5"),
        ("wrist phantom 25 %", "wrist-phantom-25_aeea48b2"),
        ("数据一", "24ad223c"),
        ("a" * 300, "a" * 100 + "_" + "98cfab4e"),
    ],
)
def test_plain_words_are_kept_and_the_rest_gets_a_digest(text, expected):
    assert file_name(text)[:100] == expected[:100]


def test_names_that_look_alike_without_their_signs_stay_apart():
    alike = [
        "a b",
        "a-b",
        "a--b",
        "a  b",
        "a/b",
        "a_b",
        "a.b",
        "a b ",
        " a b",
        "a (b)",
        "a [b]",
        "数",
        "据",
        "..",
        "../..",
        "",
        "é",
    ]
    assert len({file_name(text) for text in alike}) == len(alike)


def test_a_name_for_people_is_one_line_of_any_script():
    name = TypeAdapter(Name)
    for text in ("ulna/radius", "Größe", "ぶんせき 3", "L \u200c R"):
        assert name.validate_python(f" {text} ") == text
    for text in ("", "  ", "a\nb", "a\x00b", "a\u2028b", "a\ud800"):
        with pytest.raises(ValidationError):
            name.validate_python(text)
