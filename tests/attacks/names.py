"""Ids of cases that are paths, or no names at all: refused when a set is read, when it is written, and when a case is made."""

from __future__ import annotations

from pathlib import Path

from attacks.common import CASES, FIRST, Attack, cases, copied, edited, nothing

from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases, write_cases

NO_NAMES = {
    "climbs out": "../secret", "climbs out twice": "../../etc/passwd", "absolute": "/etc/hosts", "a folder below": "train/001",
    "a folder of Windows": "train\\001", "a drive": "C:001", "this folder": ".", "the folder above": "..", "hidden": ".case",
    "an end that Windows drops": "case.", "a device": "nul", "a device with an ending": "COM1.old", "a pattern": "case*",
    "a question": "case?", "markup": "<b>case</b>", "a pipe": "a|b", "a quote": 'a"b', "a tab": "a\tb", "a bell": "a\x07b",
    "text turned round": "a\u202eb", "a sign without width": "a\u200bb", "a line's end of Unicode": "a\u2028b",
    "a blank before": " case", "a blank after": "case ", "R's nothing": "NA", "Python's nothing": "None", "no number": "nan",
    "a database's nothing": "NULL", "a spreadsheet's nothing": "n/a", "too long": "x" * 201, "too long in bytes": "患" * 70,
}  # fmt: skip
LIKE = {"in capitals": FIRST.upper(), "in a mixture": FIRST.title()}
ACCENTS = ("caf\u00e9", "cafe\u0301")  # one letter, and two that look like it


def in_tables(name: str):
    """Calls the first case so in both tables."""

    def change(rows: list[list[str]]) -> None:
        for row in rows[1:]:
            row[0] = name if row[0] == FIRST else row[0]

    def spoil(folder: Path) -> None:
        for table in ("data/cases.csv", "data/landmarks.csv"):
            edited(table, change)(folder)

    return spoil


def second_called(name: str):
    def change(rows: list[list[str]]) -> None:
        rows[2][0] = name

    return edited("data/cases.csv", change)


def called(*names: object):
    """Cases that get their ids after they were made."""

    def ask(folder: Path) -> Path:
        changed = cases()
        for case, name in zip(changed, names, strict=False):
            case.id = name
        return write_cases(folder / "data", changed)

    return ask


READING = {
    **{
        f"{what}, read": Attack(in_tables(name), lambda f: read_cases(f / "data"), r"cases\.csv: line 2: the id .*rename the case")
        for what, name in NO_NAMES.items()
    },
    "nothing, read": Attack(in_tables(""), lambda f: read_cases(f / "data"), r"cases\.csv: line 2 names no case; fill it in"),
    **{
        f"the first id {what}, read": Attack(
            second_called(name), lambda f: read_cases(f / "data"), r"(unknown case|name one file on some disks)"
        )
        for what, name in LIKE.items()
    },
}
WRITING = {
    **{
        f"{what}, written": Attack(nothing, called(name), r"chest phantom: the id .*; give that case another")
        for what, name in NO_NAMES.items()
    },
    **{
        f"{type(name).__name__}, written": Attack(nothing, called(name), "the id .* is no text; give that case another")
        for name in (None, 7, 1.5, b"case", Path("case"), ["case"])
    },
    "nothing, written": Attack(nothing, called(""), "the id '' is how tables say that there is nothing; give"),
    "in capitals, written": Attack(nothing, called("Case", "case"), "the ids Case and case name one file on some disks; make"),
    "one accent written twice": Attack(nothing, called(*ACCENTS), "the ids .* name one file on some disks; make"),
    "sharp s": Attack(nothing, called("straße", "STRASSE"), "the ids straße and STRASSE name one file on some disks; make"),
    "twice the same": Attack(nothing, called("a", "a"), "two cases are called a; give each its own id"),
}
MAKING = {
    **{
        f"{what}, made": Attack(nothing, lambda f, name=name: copied(CASES[1], id=name), "case .*: its id .*; give it another")
        for what, name in NO_NAMES.items()
    },
    "a set of capitals": Attack(
        nothing,
        lambda f: CaseSet("s", CASES.anatomy, [copied(CASES[1], id=name) for name in ("P1", "p1")]),
        "s: the ids P1 and p1 name one file on some disks; make them differ",
    ),
}
