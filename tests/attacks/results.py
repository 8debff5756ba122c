"""Records of other runs, copies of records, and files that are no records."""

from __future__ import annotations

from pathlib import Path

from attacks.common import Attack, copied_to, cut, holding, instead, json_edited, nothing, unreadable
from records import box_record, boxes

from denseseg.cases.case_set import Split
from denseseg.experiments.record import study_record
from denseseg.experiments.store import find_record, read_records, read_studies, write_record, write_study

RECORD = "results/toy-boxes/mean_shape_default_smoke_paper_3.json"
OTHER = "results/toy-boxes/mean_shape_default_smoke_paper_4.json"
FIFTH = "results/toy-boxes/mean_shape_default_smoke_paper_5.json"


def read(folder: Path):
    return read_records(folder / "results")


def written(split: Split | None = None, **changes):
    """Writes a record of the same spec that is not of the same run."""
    given = {} if split is None else {"split": split}
    return lambda folder: write_record(box_record(seed=3, **given).model_copy(update=changes), folder / "results")


def renumbered(seed: int):
    """A copy of a record that says of itself that it has another seed."""

    def spoil(folder: Path) -> None:
        copied_to(RECORD, FIFTH)(folder)
        json_edited(FIFTH, lambda content: content["spec"].__setitem__("seed", seed))(folder)

    return spoil


def study(**changes):
    return study_record("sizes", boxes(), {"mm": 1.0}, **{"n": {"test": 4}, "profile": "smoke", "seed": 0} | changes)


def other_split() -> Split:
    data = boxes()
    return Split(data[:5], data[5:7], data[7:])


def same_counts() -> Split:
    parts = boxes().split("paper", validation=0.2)
    return Split(boxes().subset([0, 1, 2, 3, 4]), boxes().subset([5]), parts.test)


def studied(folder: Path) -> None:
    write_study(study(), folder / "results")


def put(name: str, value):
    return json_edited(RECORD, lambda content: content.__setitem__(name, value))


STUDY = "results/studies/toy-boxes-sizes.json"
REPLACED = r"paper_3\.json holds another run: its {} is .*; move that file away"

RECORDS = {
    "another split": Attack(nothing, written(split=other_split()), REPLACED.format("n_validation")),
    "another split of the same sizes": Attack(nothing, written(split=same_counts()), REPLACED.format("parts_sha256")),
    "fewer cases": Attack(nothing, written(n_cases=9), REPLACED.format("n_cases")),
    "other data": Attack(nothing, written(data_sha256="b" * 64), REPLACED.format("data_sha256")),
    "fewer tested": Attack(nothing, written(n_test=3), REPLACED.format("n_test")),
    "another size": Attack(nothing, written(size=(16, 16)), REPLACED.format("size")),
    "a copy": Attack(
        copied_to(RECORD, "results/toy-boxes/copy.json"), read, r"copy\.json is renamed, or a copy: .*; call it so, or move"
    ),
    "a copy as another seed": Attack(
        copied_to(RECORD, FIFTH), read, r"paper_5\.json is renamed, or a copy: .*; call it so, or move"
    ),
    "a copy in another folder": Attack(
        copied_to(RECORD, "results/old/mean_shape_default_smoke_paper_3.json"), read, r"paper_3\.json is a copy of .*; move one"
    ),
    "a copy for another data set": Attack(
        lambda f: (f / RECORD).rename(f / OTHER), read, r"paper_4\.json is renamed, or a copy: it holds .*paper_3.json; call it so"
    ),
    "a copy with its seed changed": Attack(
        renumbered(5), read, r"paper_5\.json is a copy of .*paper_3\.json, and would count .*; move"
    ),
    "a copy found": Attack(
        copied_to(RECORD, OTHER),
        lambda f: find_record(box_record(seed=4).spec, f / "results"),
        r"paper_4\.json is renamed, .*; call it so",
    ),
    "a record of nobody": Attack(
        lambda f: (f / "results/toy-boxes").rename(f / "results/other"),
        lambda f: find_record(box_record(data=boxes(name="other"), seed=3).spec, f / "results"),
        r"paper_3\.json holds another run, of toy boxes; move it away",
    ),
    "a copied study": Attack(
        lambda f: (studied(f), copied_to(STUDY, "results/studies/again.json")(f)),
        lambda f: read_studies(f / "results"),
        r"again\.json is renamed, or a copy: it holds toy-boxes-sizes\.json; call it so, or move it away",
    ),
    "a study of another profile": Attack(
        studied,
        lambda f: write_study(study(profile="full"), f / "results"),
        r"toy-boxes-sizes\.json holds another run: its profile .*; move",
    ),
    "a study of other data": Attack(
        studied,
        lambda f: write_study(study(data_sha256="c" * 64), f / "results"),
        r"toy-boxes-sizes\.json holds another run: its data_sha256 .*; move",
    ),
    "a record cut off": Attack(cut(RECORD), read, r"paper_3\.json is not readable JSON .*; move it away, and run that again"),
    "an empty record": Attack(holding(RECORD, b""), read, r"paper_3\.json is not readable JSON .*; move it away, and run"),
    "a record in UTF-16": Attack(
        holding(RECORD, "{}".encode("utf-16")), read, r"paper_3\.json (is not readable JSON|is no whole).*; move it away"
    ),
    "a list": Attack(holding(RECORD, "[]"), read, r"paper_3\.json holds no JSON object; move it away, and run"),
    "brackets without end": Attack(
        holding(RECORD, "[" * 100_000), read, r"paper_3\.json is not readable JSON .*; move it away, and run"
    ),
    "a folder for a record": Attack(instead(RECORD, "folder"), read, r"paper_3\.json is no file; move it away"),
    "a record that may not be read": Attack(
        nothing, unreadable(RECORD, read), r"paper_3\.json may not be read .*; nothing is wrong"
    ),
    "a later version": Attack(
        put("version", 9), read, r"paper_3\.json: version is 9; this program reads up to 3: install a newer one"
    ),
    "a version of text": Attack(put("version", "new"), read, r"paper_3\.json: version is 'new'; .*install"),
    "a checksum of data that is none": Attack(put("data_sha256", "abc"), read, r"paper_3\.json: data_sha256 "),
    "cases below zero": Attack(put("n_cases", -1), read, r"paper_3\.json: n_cases must be greater than or equal to 0"),
    "an unknown field": Attack(put("mood", "good"), read, r"paper_3\.json: mood is unknown; correct the name or remove it"),
    "no metrics": Attack(put("metrics", {}), read, r"paper_3\.json: .*no group 'average'; take them from summarise"),
    "a data set of two lines": Attack(
        json_edited(RECORD, lambda c: c["spec"].__setitem__("dataset", "a\nb")),
        read,
        r"paper_3\.json: spec\.dataset holds a control .*; re",
    ),
}
