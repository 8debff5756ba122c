"""The data-set folder, which a person can read:

    dataset.toml      name, anatomy, source, licence, and any further text; kind = "phantom" marks a synthetic set
    cases.csv         case, spacing, split, and any other column (patient, age, stratum, ...)
    landmarks.csv     case, structure, index, x, y      (pixels; a missing landmark has no row; no such file in a set of masks only)
    images/ID.png     8 or 16 bit, one channel
    masks/ID.npz      optional: bool array `masks` of shape (C, H, W)

The anatomy is a built-in name ("chest", "wrist", "hand"), or any name with a table for each structure:

    anatomy = "skull"

    [[structures]]
    name = "landmarks"
    count = 2
    group = "landmarks"
    kind = "points"                  # or "outline" (a closed one, the default) or "curve" (an open one)
    labels = ["sella", "nasion"]     # optional, a name for each landmark
    region = "hull"                  # optional, of points only: their convex hull counts as the region they cover

Points are (x, y) in pixels with (0, 0) the centre of the top-left pixel; arrays are [row, column].
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
from pydantic import BaseModel, ConfigDict

from denseseg.anatomy import ANATOMIES, Anatomy, Name, Structure, get_anatomy
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet, distinct
from denseseg.errors import DataError, explained, validated
from denseseg.files import atomic_folder, read_png, write_png

LANDMARK, NUMBERS = ["case", "structure", "index"], ["index", "x", "y"]  # columns of landmarks.csv
# columns that are read as text: 007 is no number, and Python reads a number (the spacing) exactly, pandas not always
TEXT = ("case", "structure", "split", "stratum", "patient", "spacing")


def read_cases(folder: str | Path) -> CaseSet:
    """Read a data-set folder. Raises DataError that names the file, the case and how to fix it."""
    folder = Path(folder)
    name, anatomy, info = read_description(folder)
    table = _read_table(folder / "cases.csv", ["case"])
    if table["case"].isna().any():
        raise DataError(f"{folder / 'cases.csv'}: line {table['case'].isna().argmax() + 2} names no case; fill it in or remove it")
    points = _landmark_arrays(folder / "landmarks.csv", anatomy, set(table["case"]))
    cases = [_read_case(folder, row, points, anatomy) for row in table.to_dict("records")]
    return CaseSet(name, anatomy, cases, info)


def write_cases(
    folder: str | Path,
    cases: CaseSet | Iterable[Case],
    *,
    name: str | None = None,
    anatomy: Anatomy | None = None,
    info: dict[str, str] | None = None,
    bits: int = 16,
) -> Path:
    """Write the data-set folder described at the top of this module, and return it.

    cases: a set, which knows its name, anatomy and info; or any iterable, such as a generator, for which they are given. Each case
        is written and forgotten before the next is asked for, so that a set need not fit into memory.
    bits: 8 or 16, of the images.
    All or nothing: files that are already there are replaced only after every new one is whole; where a generator raises an error,
    what was in the folder is left as it was. Raises DataError.
    """
    if isinstance(cases, CaseSet):
        name, anatomy, info = name or cases.name, anatomy or cases.anatomy, cases.info if info is None else info
    if name is None or anatomy is None:
        raise DataError("write_cases needs the name and the anatomy of cases that are no CaseSet; give both")
    if bits not in (8, 16):
        raise DataError(f"bits={bits}: PNG images are written with 8 or 16 bit")
    folder = Path(folder)
    with atomic_folder(folder) as staging:
        rows = [_write_case(staging, case, bits) for case in distinct(name, anatomy, cases)]
        if not rows:
            raise DataError(f"{name} has no cases to write; check how it was selected")
        pd.DataFrame(rows).to_csv(staging / "cases.csv", index=False)
        description: dict[str, Any] = {"name": name, "anatomy": anatomy.name, **(info or {})}
        if ANATOMIES.get(anatomy.name) != anatomy:  # a built-in one is known by its name, any other is written out
            description["structures"] = anatomy.to_dict()["structures"]
        (staging / "dataset.toml").write_text(tomli_w.dumps(description), encoding="utf-8")
        new_masks = {path.name for path in staging.glob("masks/*.npz")}
    for file in {f"{row['case']}.npz" for row in rows} - new_masks:  # those of an earlier set would be read back as this one's
        (folder / "masks" / file).unlink(missing_ok=True)
    return folder


def _write_case(folder: Path, case: Case, bits: int) -> dict[str, Any]:
    """Write the image and masks of a case, append its landmarks to landmarks.csv, and return its row of cases.csv."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(exist_ok=True)
    write_png(folder / "images" / f"{case.id}.png", case.image, bits)
    if case.masks is not None:
        np.savez_compressed(folder / "masks" / f"{case.id}.npz", masks=case.masks)
    table = folder / "landmarks.csv"
    rows = pd.DataFrame([(case.id, name, i) for name, i, _ in case.anatomy.landmark_names], columns=LANDMARK)
    rows[["x", "y"]] = case.landmarks.round(4)  # as in fingerprint(), which then survives writing and reading
    rows.dropna().to_csv(table, mode="a", header=not table.exists(), index=False, float_format="%.4f")
    return {"case": case.id, "spacing": case.spacing, **case.metadata}


class _Description(BaseModel):
    """What dataset.toml holds. Further keys are free text about the set."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | int | float | bool]

    name: Name
    anatomy: Name
    structures: tuple[Structure, ...] | None = None


def read_description(folder: Path) -> tuple[str, Anatomy, dict[str, str]]:
    """Name, anatomy and further information of a folder's dataset.toml. Raises DataError."""
    path = folder / "dataset.toml"
    if not path.exists():
        raise DataError(f"{path} is missing: not a finished data-set folder; run the script that prepares it (again)")
    with explained(f"{path} is not valid TOML", "correct that line", (tomllib.TOMLDecodeError, UnicodeDecodeError)):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    if "anatomy" not in content:
        raise DataError(f'{path} does not name an anatomy; add a line such as: anatomy = "chest"')
    found = validated(_Description, {"name": path.parent.name, **content}, str(path))
    if found.structures is not None:
        anatomy = Anatomy.from_dict({"name": found.anatomy, "structures": content["structures"]}, str(path))
    else:
        try:
            anatomy = get_anatomy(found.anatomy)
        except DataError as error:
            raise DataError(f"{path}: {error}; correct the line `anatomy = ...`, or describe each part in [[structures]]") from None
    return found.name, anatomy, {key: str(value) for key, value in (found.__pydantic_extra__ or {}).items()}


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.exists():
        raise DataError(f"{path} is missing; run the script that prepares the data set (again)")
    with explained(f"{path} is not a readable CSV table", "write it again", ValueError):
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))
    if missing := [column for column in columns if column not in table]:
        raise DataError(f"{path} lacks the column(s) {', '.join(missing)}; add them to its first line")
    return table


def _landmark_arrays(path: Path, anatomy: Anatomy, cases: set[str]) -> dict[str, np.ndarray]:
    """landmarks.csv as case -> (N, 2) array with NaN where a row is absent."""
    arrays = {case: np.full((anatomy.n_landmarks, 2), np.nan) for case in cases}
    if not path.exists() and any((path.parent / "masks").glob("*.npz")):
        return arrays  # a set of masks only, for `landmarks_from_masks`
    table = _read_table(path, [*LANDMARK, "x", "y"])
    table[NUMBERS] = table[NUMBERS].apply(pd.to_numeric, errors="coerce")
    table["count"] = table["structure"].map(dict(zip(anatomy.names, anatomy.counts, strict=True)))
    table["line"] = table.index + 2
    broken = table[NUMBERS].isna().any(axis=1) | (table["index"] % 1 != 0)
    outside = (table["index"] < 0) | (table["index"] >= table["count"])
    for wrong, fault in (
        (table["count"].isna(), "unknown structure {structure!r} (line {line}, case {case}); known are {structures}"),
        (~table["case"].isin(cases), "unknown case {case!r} (line {line}); known are {cases}"),
        (broken, "line {line} (case {case}) needs a whole index and numbers x and y; leave missing landmarks out"),
        (
            outside,
            "case {case} has landmark {index:.0f} of the {structure}, which has only {count:.0f} (0-based); check the anatomy",
        ),
        (table.duplicated(LANDMARK), "line {line} gives a landmark of case {case} twice; keep one"),
    ):
        if wrong.any():
            known = {"structures": _first(anatomy.names), "cases": _first(sorted(cases))}
            raise DataError(f"{path}: {fault.format(**table[wrong].iloc[0].to_dict() | known)}")
    starts = {name: where.start for name, where in anatomy.slices.items()}
    position = table["structure"].map(starts).to_numpy() + table["index"].to_numpy().astype(int)
    for case, rows in table.groupby("case").indices.items():
        arrays[case][position[rows]] = table[["x", "y"]].to_numpy()[rows]
    return arrays


def _first(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _read_case(folder: Path, row: dict[str, Any], points: dict[str, np.ndarray], anatomy: Anatomy) -> Case:
    name, spacing = row.pop("case"), row.pop("spacing", None)
    try:
        with explained(f"spacing {spacing!r} in cases.csv is not a number of mm", "leave it empty if unknown"):
            spacing = None if pd.isna(spacing) else float(spacing)
        image, masks = read_png(folder / "images" / f"{name}.png"), _read_masks(folder / "masks" / f"{name}.npz")
        metadata = {key: value for key, value in row.items() if not pd.isna(value)}
        return Case(name, image, points[name], anatomy, masks, spacing, metadata)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None


def _read_masks(path: Path) -> np.ndarray | None:
    if not path.exists():
        return None
    with explained(f"{path} cannot be read", "write it again or remove it"), np.load(path, allow_pickle=False) as content:
        return content["masks"]
