"""Numbers that are no pixels, tables in other dialects, masks that would be lost: refused, or noticed when the set is read."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from attacks.common import CASES, FIRST, Attack, cut, edited, holding
from attacks.tables import HEADER, IMAGE, MASKS, cell, packed, read

from denseseg.cases.masks import polygon_masks
from denseseg.errors import DataError, OddDataWarning
from denseseg.pictures import read_picture, write_png

LANDMARKS, TABLE, TOML = "data/landmarks.csv", "data/cases.csv", "data/dataset.toml"
TRUE = polygon_masks(CASES[0].landmarks, CASES[0])
SIDE = 64


class Noticed(DataError):
    """What a warning said, so that it can be looked at like an error."""


def noticed(folder: Path) -> None:
    """Reads the set, which must give exactly one warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(folder)
    odd = [warning for warning in caught if warning.category is OddDataWarning]
    assert len(odd) == 1
    raise Noticed(str(odd[0].message))


def without_masks(spoil: Callable[[Path], object]) -> Callable[[Path], None]:
    def both(folder: Path) -> None:
        shutil.rmtree(folder / "data/masks")
        spoil(folder)

    return both


def rows(change: Callable[[list[str]], object], structure: str = "", every: bool = False) -> Callable[[Path], None]:
    """Changes the rows of landmarks of the first case, or of all cases, of one structure or of all."""

    def spoil(table: list[list[str]]) -> None:
        for row in table[1:]:
            if (every or row[0] == FIRST) and structure in row[1]:
                change(row)

    return edited(LANDMARKS, spoil)


def placed(x: str, y: str, structure: str = "", every: bool = False) -> Callable[[Path], None]:
    """Moves landmarks: two expressions in x and y, which are numbers."""

    def change(row: list[str]) -> None:
        own = {"x": float(row[3]), "y": float(row[4])}
        row[3], row[4] = str(eval(x, {}, own)), str(eval(y, {}, own))

    return rows(change, structure, every)


def put(column: int, text: str) -> Callable[[list[str]], None]:
    return lambda row: row.__setitem__(column, text)


def further(name: str, cells: Callable[[int], str]) -> Callable[[list[list[str]]], None]:
    """Adds a column."""

    def change(table: list[list[str]]) -> None:
        for number, row in enumerate(table):
            row.append(cells(number) if number else name)

    return change


def image(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        write_png(folder / IMAGE, np.ascontiguousarray(change(read_picture(folder / IMAGE))))

    return without_masks(spoil)


def masks(array: np.ndarray, name: str = MASKS) -> Callable[[Path], None]:
    return holding(name, packed(masks=array))


def kept(keep: Callable[[int, list[str]], bool]) -> Callable[[Path], None]:
    """Keeps some rows of landmarks.csv."""

    def change(table: list[list[str]]) -> None:
        table[1:] = [row for number, row in enumerate(table[1:]) if keep(number, row)]

    return without_masks(edited(LANDMARKS, change))


def text(name: str, change: Callable[[str], str | bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        holding(name, change((folder / name).read_text(encoding="utf-8")))(folder)

    return spoil


def split_by(scheme: str) -> Callable[[Path], object]:
    return lambda folder: read(folder).split(scheme)


FAR = r"landmark \d+ at .* lies far outside the 64 x 64 image; check the axis order \(x, y\) and the pixel frame"
NUMBER = r"landmarks\.csv: line \d+ \(case .*\) needs a whole index and numbers x and y, with a point; leave missing"
SHOWN = r".*; all of it shows: denseseg check .*data"

REFUSED = {
    "a structure at (0, 0)": Attack(
        rows(lambda row: row.__setitem__(slice(3, 5), ["0", "0"]), "heart"), read, r"all 26 landmarks of the heart are in one place"
    ),
    "a structure at (-1, -1)": Attack(
        placed("-1", "-1", "left clavicle"), read, r"all 23 .*left clavicle .*\[-1.0, -1.0\]; leave missing landmarks out"
    ),
    "two landmarks of a structure, in one place": Attack(
        lambda f: [
            spoil(f)
            for spoil in (
                kept(lambda n, row: row[0] != FIRST or row[1] != "heart" or int(row[2]) < 2),
                placed("5", "6", "heart"),
            )
        ],
        read,
        r"all 2 landmarks of the heart are in one place, \[5.0, 6.0\]; leave",
    ),
    "a visibility of 3": Attack(
        edited(LANDMARKS, further("v", lambda n: "3" if n == 5 else "2")),
        read,
        r"landmarks\.csv: line 6 needs 0 \(missing\), 1 .*column v",
    ),
    "a word for a visibility": Attack(
        edited(LANDMARKS, further("visibility", lambda n: "seen")),
        read,
        r"landmarks\.csv: line 2 needs 0 .*column visibility; correct",
    ),
    "no visibility": Attack(edited(LANDMARKS, further("v", lambda n: "1" * (n != 9))), read, r"csv: line 10 needs 0 \(missing\)"),
    "indices that count from 1": Attack(
        rows(lambda row: row.__setitem__(2, str(int(row[2]) + 1)), every=True), read, r"has landmark 44 of the right lung.*; check"
    ),
    "an index below 0": Attack(rows(put(2, "-1"), "heart"), read, r"landmarks\.csv: case .* has landmark -1 of the heart"),
    "half an index": Attack(edited(LANDMARKS, cell(3, 2, "0.5")), read, NUMBER),
    "inches": Attack(edited(LANDMARKS, cell(4, 3, "1.5in")), read, NUMBER),
    "a comma for thousands": Attack(edited(LANDMARKS, cell(5, 4, "1.234,5")), read, NUMBER),
    "half a pair of coordinates": Attack(edited(LANDMARKS, cell(6, 4, "")), read, NUMBER),
    "an endless coordinate": Attack(edited(LANDMARKS, cell(7, 3, "inf")), read, r"a landmark is infinite; mark missing ones"),
    "pixels of an image four times as large": Attack(placed("4 * x", "4 * y", every=True), read, FAR),
    "micrometres": Attack(placed("x * 5600", "y * 5600"), read, FAR),
    "y above the image": Attack(placed("x", "y - 200"), read, FAR),
    "two tables, one behind the other": Attack(
        text(LANDMARKS, lambda t: t + t), read, r"landmarks\.csv: unknown structure 'structure' \(line \d+, case case\)"
    ),
    "all rows twice": Attack(
        text(LANDMARKS, lambda t: t + t.split("\n", 1)[1]),
        read,
        r"landmarks\.csv: line \d+ gives a landmark of case .* twice; keep",
    ),
    "a structure with a capital": Attack(
        rows(put(1, "Heart"), "heart"), read, r"unknown structure 'Heart' \(line .*known are right lung"
    ),
    "a table that ends with the first case": Attack(
        kept(lambda n, row: row[0] == FIRST), read, r"every landmark is missing; remove the case or add its rows"
    ),
    "column names in capitals": Attack(
        text(LANDMARKS, lambda t: t.replace(HEADER, HEADER.upper())), read, r"lacks the column\(s\) case, .*which has 'CASE'"
    ),
    "semicolons, and a column too few": Attack(
        text(LANDMARKS, lambda t: "\n".join(";".join(line.split(",")[:4]) for line in t.split("\n"))),
        read,
        r"lacks the column\(s\) y; add",
    ),
    "numbers under no name": Attack(
        edited(LANDMARKS, further("", lambda n: "7")), read, r"more cells in a line .*column 6 without a name.*or name that column"
    ),
    "a quote without end": Attack(
        text(TABLE, lambda t: t + '"'), read, r"cases\.csv is not a readable CSV table .*; write it again"
    ),
    "UTF-16 without its mark": Attack(
        text(TABLE, lambda t: t.encode("utf-16-le")), read, r"cases\.csv is no text in UTF-8 .*zero bytes\); save it as UTF-8"
    ),
    "spacing with a decimal comma": Attack(
        edited(TABLE, cell(1, 1, "0,5")), read, r"spacing '0,5' in cases\.csv is not a number of mm"
    ),
    "no spacing": Attack(edited(TABLE, cell(1, 1, "0")), read, r"spacing 0.0 is not a positive number of mm; leave it empty"),
    "spacing backwards": Attack(edited(TABLE, cell(2, 1, "-0.2")), read, r"spacing -0.2 is not a positive number of mm; leave"),
    "a part in capitals": Attack(
        edited(TABLE, lambda t: [row.__setitem__(t[0].index("split"), "TRAIN") for row in t[1:]]),
        split_by("paper"),
        r"split column of cases\.csv holds TRAIN; give every case train or test",
    ),
    "fancy quotes in the description": Attack(
        text(TOML, lambda t: t.replace('"', "\u201c")), read, r"dataset\.toml is not valid TOML .*line 1.*; correct that line"
    ),
    "a colon in the description": Attack(
        text(TOML, lambda t: t.replace(" =", ":")), read, r"dataset\.toml is not valid TOML .*; correct"
    ),
    "a description below a heading": Attack(
        text(TOML, lambda t: "[data]\n" + t), read, r"dataset\.toml does not name an anatomy; add a line such as: anatomy"
    ),
    "a key twice": Attack(
        text(TOML, lambda t: t + '\n"anatomy" = "chest"\n'), read, r"dataset\.toml is not valid TOML .*; correct"
    ),
    "the anatomy as a number": Attack(
        text(TOML, lambda t: t.replace('"chest"', "5")),
        read,
        r"dataset\.toml: anatomy must be a valid string, got 5|anatomy .*valid string",
    ),
    "masks as an image": Attack(
        lambda f: shutil.copy(f / IMAGE, f / f"data/masks/{FIRST}.png"),
        read,
        r"png is an image, and masks are not read .*; save all of",
    ),
    "masks under another name": Attack(
        masks(TRUE, f"data/masks/{FIRST.upper()}.npz"), read, r"npz is the mask of no case in cases\.csv; call it ID\.npz"
    ),
    "masks as a plain array": Attack(
        holding(f"data/masks/{FIRST}.npy", b"\x93NUMPY"), read, r"npy is the mask of no case .*; call it"
    ),
    "probabilities for masks": Attack(
        masks(0.2 + 0.5 * TRUE), read, r"npz holds probabilities instead of true and false; save one"
    ),
    "numbers of structures for masks": Attack(
        masks(TRUE * np.arange(1, 6)[:, None, None]),
        read,
        r"npz holds numbers of structures instead of .*; save one mask a structure",
    ),
    "masks with the structures last": Attack(
        masks(TRUE.transpose(1, 2, 0)), read, r"masks have shape \(64, 64, 5\); give one \(H, W\)"
    ),
    "four masks of five": Attack(masks(TRUE[:4]), read, r"masks have shape \(4, 64, 64\); give one \(H, W\) mask per structure"),
    "one mask for all": Attack(masks(TRUE.any(0)), read, r"masks have shape \(64, 64\); give one \(H, W\) mask per structure"),
}
ODD = {
    "one landmark at (0, 0)": Attack(
        without_masks(edited(LANDMARKS, lambda t: t[9].__setitem__(slice(3, 5), ["0", "0"]))),
        noticed,
        rf"1 of its .*at \(0, 0\).*v = 0{SHOWN}",
    ),
    "three landmarks at (-1, -1)": Attack(
        without_masks(edited(LANDMARKS, lambda t: [r.__setitem__(slice(3, 5), ["-1", "-1"]) for r in t[60:63]])),
        noticed,
        r"3 of its landmarks are at \(-1, -1\)",
    ),
    "x and y swapped": Attack(
        without_masks(placed("y", "x")), noticed, rf"{FIRST}: x and y of its landmarks are swapped; exchange{SHOWN}"
    ),
    "x and y swapped everywhere": Attack(
        without_masks(placed("y", "x", every=True)),
        noticed,
        r"all of .*4 of 4 cases.* x and y of its landmarks are swapped|x and y",
    ),
    "mirrored": Attack(
        without_masks(placed("63 - x", "y")), noticed, rf"{FIRST}: its landmarks are mirrored left to right .*; mirror"
    ),
    "upside down": Attack(without_masks(placed("x", "63 - y")), noticed, rf"{FIRST}: its landmarks are upside down .*; count y"),
    "turned": Attack(without_masks(placed("63 - x", "63 - y")), noticed, rf"{FIRST}: its landmarks are turned by 180 degrees"),
    "shares of the image": Attack(
        without_masks(placed("x / 64", "y / 64")),
        noticed,
        rf"{FIRST}: its landmarks fill .* % of the image; are they shares .*give pixels",
    ),
    "pixels of half the image, everywhere": Attack(
        without_masks(placed("x / 2", "y / 2", every=True)),
        noticed,
        r"all of .*: 4 of 4 cases.*upper left .* smaller image\? give its",
    ),
    "a frame beside the image": Attack(
        without_masks(placed("x + 30", "y")), noticed, rf"{FIRST}: \d+ of its 166 landmarks lie outside"
    ),
    "a table cut in a case": Attack(
        kept(lambda n, row: row[0] != CASES[3].id or row[1] in ("right lung", "left lung")),
        noticed,
        r"its landmarks end with 49 of the left lung, .*; was landmarks\.csv cut off\? add its rows",
    ),
    "a table cut in the middle of a line": Attack(
        without_masks(cut(LANDMARKS, 0.93)),
        noticed,
        r"its landmarks end with 2 of the right clavicle.*; was landmarks\.csv cut off",
    ),
    "gaps in an outline": Attack(
        kept(lambda n, row: row[0] != FIRST or row[1] != "heart" or int(row[2]) % 3 > 0),
        noticed,
        r"its heart lacks 9 of 26 landmarks",
    ),
    "names of the clavicles exchanged": Attack(
        without_masks(
            rows(lambda row: row.__setitem__(1, {"right": "left", "left": "right"}[row[1].split()[0]] + " clavicle"), "clavicle")
        ),
        noticed,
        rf"{FIRST}: its right clavicle is not left of its left clavicle .*; exchange their names",
    ),
    "an image mirrored": Attack(
        image(lambda a: a[:, ::-1]), noticed, rf"{FIRST}: .* mirrored left to right against its image; mirror"
    ),
    "an image upside down": Attack(image(lambda a: a[::-1]), noticed, rf"{FIRST}: .* upside down against its image"),
    "an image transposed": Attack(image(lambda a: a.T), noticed, rf"{FIRST}: x and y of its landmarks are swapped; .*transpose"),
    "an image inverted": Attack(image(lambda a: 1 - a), noticed, rf"{FIRST}: its image is inverted; bone shall be bright"),
    "an image without contrast": Attack(
        image(lambda a: 0 * a + 0.3), noticed, rf"{FIRST}: its image has no contrast.*; export it again"
    ),
    "spacing in micrometres": Attack(
        without_masks(edited(TABLE, lambda t: [row.__setitem__(1, "5600") for row in t[1:]])),
        noticed,
        r"spacings make the images .* mm long",
    ),
    "one spacing in metres": Attack(
        without_masks(edited(TABLE, cell(1, 1, "0.0056"))), noticed, rf"{FIRST}: its spacing makes the image"
    ),
    "an image twice": Attack(
        without_masks(lambda f: shutil.copy(f / IMAGE, f / f"data/images/{CASES[1].id}.png")),
        noticed,
        r"same pixels as that of .*; remove one",
    ),
    "masks transposed": Attack(masks(TRUE.swapaxes(1, 2)), noticed, rf"{FIRST}: its masks are transposed; save them as"),
    "masks in another order": Attack(
        masks(TRUE[[3, 0, 1, 2, 4]]), noticed, rf"{FIRST}: its masks are in another order .*dataset\.toml"
    ),
    "a mask without a pixel": Attack(
        masks(TRUE & (np.arange(5) < 4)[:, None, None]), noticed, r"mask of its left clavicle is empty"
    ),
    "masks of what is outside": Attack(masks(~TRUE), noticed, rf"{FIRST}: its masks are inverted; a mask is true inside"),
}
