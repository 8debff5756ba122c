"""Whatever a file of the user holds, reading it ends well or in a DataError that names the file: tables, description, records, and
the files of annotation tools."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import box_record
from toy_cases import make_set

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.cases.folder import read_cases, read_description, write_cases
from denseseg.errors import DataError
from denseseg.exchange.annotation import Annotation
from denseseg.exchange.data_set import touched
from denseseg.exchange.files import TOOLS, read_annotations, write_annotations
from denseseg.experiments.store import read_records, write_record
from denseseg.readers.numbered import read_landmarks

SLOW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.floats(), st.sampled_from([0, -1, 1, 2, 1e308]))
WORDS = st.one_of(st.text(max_size=6), st.sampled_from(["NA", "nan", "inf", "1,5", "1e999", "0x1", "TRUE", "", " ", "\u0663"]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
ANATOMY = Anatomy(
    "knee", (Structure("bone", 4, "bone"), Structure("line", 3, "line", Kind.CURVE), Structure("two", 2, "two", Kind.POINTS))
)


def ends_well_or_in_a_data_error(read: Callable[[], Any], *names: str) -> None:
    """names: an error must hold one of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read()
        except DataError as error:
            assert any(name in str(error) for name in names) and "\n" not in str(error)


def places(content: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where values stand in what JSON holds."""
    yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


def with_value(content: Any, path: tuple, value: Any) -> Any:
    """The content with another value in one place; without it, where that is `...`."""
    if not path:
        return {} if value is ... else value
    key, *rest = path
    copy = dict(content) if isinstance(content, dict) else list(content)
    if not rest and value is ...:
        del copy[key]
    else:
        copy[key] = with_value(copy[key], tuple(rest), value)
    return copy


def spoilt(data: st.DataObject, content: Any) -> Any:
    path = data.draw(st.sampled_from(list(places(content))))
    return with_value(content, path, data.draw(VALUES | st.just(...)))


@SLOW
@given(data=st.data())
@pytest.mark.parametrize("file", ["cases.csv", "landmarks.csv"])
def test_a_cell_of_a_table(tmp_path: Path, file: str, data: st.DataObject) -> None:
    folder = tmp_path / "set"
    if not folder.exists():
        write_cases(folder, make_set(2, size=(8, 8)))
        (folder / f"{file}.txt").write_bytes((folder / file).read_bytes())
    rows = [line.split(",") for line in (folder / f"{file}.txt").read_text().splitlines()]
    row = data.draw(st.integers(0, min(4, len(rows) - 1)))
    rows[row][data.draw(st.integers(0, len(rows[row]) - 1))] = data.draw(WORDS | NUMBERS.map(str))
    separator, ending = data.draw(st.sampled_from([",", ";", "\t"])), data.draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]))
    (folder / file).write_bytes(ending.join(map(separator.join, rows)).encode(encoding, "replace"))
    ends_well_or_in_a_data_error(lambda: read_cases(folder), file, "set: case case00")


@SLOW
@given(data=st.data())
def test_a_value_of_the_description(tmp_path: Path, data: st.DataObject) -> None:
    content = {"name": "a", "anatomy": "knee", "year": 2020, "structures": ANATOMY.to_dict()["structures"]}
    try:
        text = tomli_w.dumps(spoilt(data, content))
    except (TypeError, ValueError, AttributeError):
        return  # TOML has no null, and names are texts
    (tmp_path / "dataset.toml").write_bytes(text.encode("utf-8", "replace"))
    ends_well_or_in_a_data_error(lambda: read_description(tmp_path), "dataset.toml")


@SLOW
@given(data=st.data())
def test_a_value_of_a_record(tmp_path: Path, data: st.DataObject) -> None:
    kept = next(tmp_path.glob("sound/*/*.json"), None) or write_record(box_record(seed=3), tmp_path / "sound")
    path = tmp_path / "results" / kept.parent.name / kept.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(spoilt(data, json.loads(kept.read_text()))).encode("utf-8", "replace"))
    ends_well_or_in_a_data_error(lambda: read_records(tmp_path / "results"), kept.name)


@SLOW
@given(data=st.data())
@pytest.mark.parametrize("tool", ["labelme", "coco", "slicer"])
def test_a_value_of_an_annotation(tmp_path: Path, tool: str, data: st.DataObject) -> None:
    path = next(iter(sound(tmp_path / "sound", tool)))
    other = tmp_path / "copy" / path.parent.name / path.name
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(json.dumps(spoilt(data, json.loads(path.read_text()))).encode("utf-8", "replace"))
    ends_well_or_in_a_data_error(lambda: read_annotations(other, ANATOMY), path.name)


@SLOW
@given(at=st.floats(0, 1), text=WORDS, length=st.integers(0, 12))
@pytest.mark.parametrize("tool", list(TOOLS))
def test_what_somebody_types_over_an_annotation(tmp_path: Path, tool: str, at: float, text: str, length: int) -> None:
    path = next(iter(sound(tmp_path / "sound", tool)))
    content = path.read_bytes()
    place = int(at * len(content))
    other = tmp_path / path.name
    other.write_bytes(content[:place] + text.encode("utf-8", "replace") + content[place + length :])
    ends_well_or_in_a_data_error(lambda: read_annotations(other, ANATOMY), path.name)


@SLOW
@given(content=st.lists(st.lists(WORDS | NUMBERS.map(str), max_size=8), max_size=4))
def test_tables_of_predictions_and_of_published_landmarks(tmp_path: Path, content: list[list[str]]) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("\n".join(map(",".join, [["case", "x", "y"], *content])).encode("utf-8", "replace"))
    ends_well_or_in_a_data_error(lambda: touched({}, path), "table.csv")
    ends_well_or_in_a_data_error(lambda: read_landmarks(path, 2), "table.csv")


def sound(folder: Path, tool: str) -> list[Path]:
    if not folder.exists():
        points = np.arange(18.0).reshape(9, 2)
        write_annotations(folder, [Annotation("a.png", (20, 20), points, np.zeros(9, bool))], ANATOMY, tool)
    return [path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".xml")]
