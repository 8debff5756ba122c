"""Files of a data set that are spoilt: tables, description, images, masks."""

from __future__ import annotations

import io

import numpy as np
from attacks.common import FIRST, Attack, cut, edited, holding, instead, unreadable

from denseseg.cases.folder import read_cases


def read(folder):
    return read_cases(folder / "data")


def column(number: int, name: str):
    return lambda rows: rows[0].__setitem__(number, name)


def cell(row: int, number: int, text: str):
    return lambda rows: rows[row].__setitem__(number, text)


def landmarks(change):
    return edited("data/landmarks.csv", change)


def cases(change):
    return edited("data/cases.csv", change)


def packed(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


ROW = f"{FIRST},heart,0,1.5,2.5"
HEADER = "case,structure,index,x,y"
IMAGE, MASKS = f"data/images/{FIRST}.png", f"data/masks/{FIRST}.npz"
FILES = {"dataset.toml": "data/dataset.toml", "cases.csv": "data/cases.csv", "landmarks.csv": "data/landmarks.csv", "png": IMAGE}

TABLES = {
    "decimal commas": Attack(
        holding("data/landmarks.csv", f"{HEADER}\n{FIRST},heart,0,1,5,2,5\n"),
        read,
        r"landmarks\.csv has more cells .*; write numbers",
    ),
    "one line too long": Attack(
        holding("data/landmarks.csv", f"{HEADER}\n{ROW}\n{ROW},7\n"),
        read,
        r"landmarks\.csv is not a readable CSV .*; write it again",
    ),
    "two columns of one name": Attack(cases(column(2, "case")), read, r"cases\.csv has two columns 'case'; give each"),
    "no column of cases": Attack(cases(column(0, "id")), read, r"cases\.csv lacks the column\(s\) case; add"),
    "no column of x": Attack(landmarks(column(3, "col")), read, r"landmarks\.csv lacks the column\(s\) x; add"),
    "no line": Attack(holding("data/cases.csv", "case,spacing\n"), read, r"cases\.csv lists no case; give each a line"),
    "an empty file": Attack(holding("data/cases.csv", b""), read, r"cases\.csv is not a readable CSV table .*; write it again"),
    "Latin-1": Attack(
        holding("data/cases.csv", b"case\nM\xfcller\n"), read, r"cases\.csv is no text in UTF-8 .*; save it as UTF-8"
    ),
    "an image for a table": Attack(holding("data/cases.csv", b"\x89PNG\r\n\x1a\n\x00\x00"), read, r"cases\.csv .*; "),
    "a structure called NA": Attack(landmarks(cell(1, 1, "NA")), read, r"landmarks\.csv: unknown structure 'NA' \(line 2"),
    "no structure": Attack(landmarks(cell(1, 1, "")), read, r"landmarks\.csv: unknown structure '' \(line 2"),
    "NA for a coordinate": Attack(landmarks(cell(1, 3, "NA")), read, r"landmarks\.csv: line 2 .*; leave missing landmarks out"),
    "a hexadecimal coordinate": Attack(landmarks(cell(1, 3, "1,5")), read, r"landmarks\.csv: line 2 .*; leave missing landmarks"),
    "endless spacing": Attack(cases(cell(1, 1, "inf")), read, r"case .*: spacing inf is not a positive number of mm; leave it"),
    "spacing with a unit": Attack(
        cases(cell(1, 1, "0.1mm")), read, r"spacing '0.1mm' in cases.csv is not a number of mm .*; leave"
    ),
    "a line of nobody": Attack(landmarks(cell(1, 0, "who")), read, r"unknown case 'who' \(line 2\); cases.csv lists"),
    "an image cut off": Attack(cut(IMAGE), read, r"png cannot be read .*; copy it again"),
    "an empty image": Attack(holding(IMAGE, b""), read, r"png cannot be read .*; copy it again"),
    "a text for an image": Attack(holding(IMAGE, "an image"), read, r"png cannot be read .*; copy it again"),
    "masks cut off": Attack(cut(MASKS), read, r"npz cannot be read .*; write it again"),
    "masks of another name": Attack(holding(MASKS, packed(mask=np.zeros(3))), read, r"npz cannot be read .*; write it again"),
    "masks of another size": Attack(holding(MASKS, packed(masks=np.zeros((5, 8, 8)))), read, r"masks have shape .*; give one"),
    "masks that hold a program": Attack(
        holding(MASKS, packed(masks=np.array([{}], dtype=object))), read, r"npz cannot be read .*; write it again"
    ),
    "masks of words": Attack(
        holding(MASKS, packed(masks=np.full((5, 64, 64), "a"))), read, r"npz holds <U1 instead of true and false"
    ),
    "no TOML": Attack(holding("data/dataset.toml", "name: chest"), read, r"dataset\.toml is not valid TOML .*; correct that line"),
    "TOML in Latin-1": Attack(
        holding("data/dataset.toml", b'anatomy = "M\xfc"'), read, r"dataset\.toml is no text in UTF-8 .*; save it as UTF-8"
    ),
    "a name of two lines": Attack(
        holding("data/dataset.toml", 'name = "a\\nb"\nanatomy = "chest"'),
        read,
        r"dataset\.toml: name holds a control character.*; re",
    ),
    **{
        f"a folder in place of {what}": Attack(instead(file, "folder"), read, r"is no file; move it away")
        for what, file in FILES.items()
    },
    **{
        f"a pipe in place of {what}": Attack(instead(file, "pipe"), read, r"is no file; move it away")
        for what, file in FILES.items()
    },
    **{f"no {what}": Attack(instead(file, "nothing"), read, r"is missing[;:] ") for what, file in FILES.items()},
    **{
        f"{what} that may not be read": Attack(
            lambda f: None, unreadable(file, read), r"may not be read \(PermissionError.*; nothing is wrong with it: give yourself"
        )
        for what, file in FILES.items()
    },
}
