"""The data-set folder, which a person can read:

    dataset.toml      name, anatomy, source, licence, and any further text; kind = "phantom" marks a synthetic set
    cases.csv         case, spacing, split, and any other column (patient, age, stratum, laterality, ...)
    landmarks.csv     case, structure, index, x, y      (pixels; a missing landmark has no row, no x and y, or 0 in a column v as in
                      COCO, where 1 is hidden and 2 visible; no such file in a set of masks only)
    images/ID.png     8 or 16 bit, one channel
    masks/ID.npz      optional: bool array `masks` of shape (C, H, W)
    checksums.txt     only where `write_cases` wrote the folder: what it wrote, in the form of sha256sum

Tables are read as UTF-8, or UTF-16 with its mark, with commas, or else with semicolons or tabs, and then with decimal commas, too.
Cells are read as they stand: a patient may be called NA or 007. Only in a further column that holds nothing but numbers are they
numbers, and words such as NA stand for none.

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

import re
import tomllib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
import tomli_w
from pydantic import BaseModel, ConfigDict

from denseseg.anatomy import ANATOMIES, Anatomy, Structure, get_anatomy
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet, distinct
from denseseg.errors import DataError, OddDataWarning, explained, validated
from denseseg.files import MARK, atomic_folder, changed, exists, held, read_bytes, read_csv, read_text, settle
from denseseg.names import MISSING, Name, name_fault, one_line
from denseseg.pictures import read_picture, write_png

TABLES = ("dataset.toml", "cases.csv", "landmarks.csv")
LANDMARK, NUMBERS = ["case", "structure", "index"], ["index", "x", "y"]  # columns of landmarks.csv
VISIBILITY = ("v", "visibility")  # a column of landmarks.csv as in COCO: 0 missing, 1 hidden, 2 visible
OWN = ("case", "spacing")  # columns of cases.csv that are no metadata
TEXT = ("split", "stratum", "patient")  # further columns that are never numbers
MASKS = (".npz", ".npy")
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".nii", ".gz", ".mha", ".nrrd", ".dcm")
NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?")  # and so no 007, which is a name


def read_cases(folder: str | Path, check: bool = True) -> CaseSet:
    """Read a data-set folder. Raises DataError that names the file, the case and how to fix it.

    check: also look for what is odd in it (see `health.check_cases`), and warn where anything is. Images take the memory of their
    bits (`Case.packed`), and can't be written into.
    """
    folder = Path(folder)
    name, anatomy, info = read_description(folder)
    rows = _case_rows(folder / "cases.csv")
    points = _landmark_arrays(folder / "landmarks.csv", anatomy, {row["case"] for row in rows})
    _require_masks_of(folder / "masks", points)
    cases = CaseSet(name, anatomy, [_read_case(folder, row, points, anatomy) for row in rows], info)
    if check:
        _warn_of_what_is_odd(cases, folder)
    return cases


def _warn_of_what_is_odd(cases: CaseSet, folder: Path) -> None:
    from denseseg.cases.health.card import check_cases  # scipy's filters take a while to load

    if findings := check_cases(cases):
        found = "1 thing is odd" if len(findings) == 1 else f"{len(findings)} things are odd"
        warn(f"{folder}: {found}, first {findings[0]}; all of it shows: denseseg check {folder}", OddDataWarning, stacklevel=3)


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
    what was in the folder is left as it was, and a program that is killed leaves the old set or the new one. Files of a set that
    was written here before go, unless somebody changed them. What is written can be read again. Raises DataError.
    """
    if isinstance(cases, CaseSet):
        name, anatomy, info = name or cases.name, anatomy or cases.anatomy, cases.info if info is None else info
    if name is None or anatomy is None:
        raise DataError("write_cases needs the name and the anatomy of cases that are no CaseSet; give both")
    if bits not in (8, 16):
        raise DataError(f"bits={bits}: PNG images are written with 8 or 16 bit")
    folder = Path(folder)
    description = _description_text(folder / "dataset.toml", name, anatomy, info or {})
    with atomic_folder(folder) as staging:
        rows = [_write_case(staging, case, bits) for case in distinct(name, anatomy, cases)]
        if not rows:
            raise DataError(f"{name} has no cases to write; check how it was selected")
        pd.DataFrame(rows).to_csv(staging / "cases.csv", index=False)
        (staging / "dataset.toml").write_text(description, encoding="utf-8")
        for file in changed(folder, [f"masks/*{ending}" for ending in (*MASKS, *IMAGES)]):
            if not (staging / file).exists():
                raise DataError(f"{folder / file} would be taken for the masks of a new case; move it away")
    return folder


def require_own(folder: Path, resumed: bool = False) -> None:
    """Raise DataError where the set in `folder` was written by somebody else, or corrected since `write_cases` wrote it.

    resumed: images alone are those of a script that was stopped before it had written the set.
    """
    images = [] if resumed and not (folder / MARK).exists() else ["images/*"]
    if found := changed(folder, [*TABLES, "masks/*", *images]):
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        fault = f"{folder / found[0]}{more} was not written by this program, or corrected since, and would be replaced"
        raise DataError(f"{fault}; choose another folder, or move it away")


def _description_text(path: Path, name: str, anatomy: Anatomy, info: dict[str, str]) -> str:
    """The text of dataset.toml. Raises DataError where it would not be read as what it was made from."""
    content: dict[str, Any] = {"name": name, "anatomy": anatomy.name, **info}
    if ANATOMIES.get(anatomy.name) != anatomy:  # a built-in one is known by its name, any other is written out
        content["structures"] = anatomy.to_dict()["structures"]
    with explained(f"{path} cannot hold this name and info", "give plain text", (TypeError, ValueError, AttributeError)):
        text = tomli_w.dumps(content)
        text.encode()
    if _description(path, text) != (name, anatomy, {key: str(value) for key, value in info.items()}):
        raise DataError(f"{path} cannot hold this name and info as they are; give plain text, and no key of the description's own")
    return text


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
    for key, value in case.metadata.items():
        if not isinstance(key, str) or key in OWN or key != key.strip() or not key:
            raise DataError(f"case {case.id}: its metadata {key!r} cannot be a column of cases.csv; give it another name")
        with explained(f"case {case.id}: its metadata {key!r} cannot be written to cases.csv", "write it otherwise", ValueError):
            one_line(key + re.sub(r"[\n\t]", " ", value) if isinstance(value, str) else key)
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
    settle(folder)
    path = folder / "dataset.toml"
    if not exists(path):
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; give a data-set folder, which holds a dataset.toml")
        raise DataError(f"{path} is missing: not a finished data-set folder; run the script that prepares it (again)")
    return _description(path, read_text(path).replace("\r\n", "\n").replace("\r", "\n"))


def _description(path: Path, text: str) -> tuple[str, Anatomy, dict[str, str]]:
    """The same from the text of a file."""
    with explained(f"{path} is not valid TOML", "correct that line", (tomllib.TOMLDecodeError, RecursionError)):
        content = tomllib.loads(text)
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


def _read_table(path: Path, columns: list[str], text: list[str] | None = None) -> pd.DataFrame:
    table = read_csv(path, text, "run the script that prepares the data set (again)")
    if missing := [column for column in columns if column not in table]:
        has = ", ".join(map(repr, list(table)[:8]))
        raise DataError(f"{path} lacks the column(s) {', '.join(missing)}; add them to its first line, which has {has}")
    return table


def _case_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of cases.csv; what is empty is left out. Raises DataError that names a line without a good id."""
    table = _read_table(path, ["case"])
    if not len(table):
        raise DataError(f"{path} lists no case; give each a line")
    for line, name in zip(table.index + 2, table["case"], strict=True):
        if not name:
            raise DataError(f"{path}: line {line} names no case; fill it in or remove it")
        if fault := name_fault(name):
            raise DataError(f"{path}: line {line}: the id {name!r:.80} {fault}; rename the case in all tables, and its files")
    columns = {str(name): table[name].tolist() if name in OWN else _values(name, table[name].tolist()) for name in table}
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return [{name: cell for name, cell in row.items() if cell not in ("", None)} for row in rows]


def _values(name: str, cells: list[str]) -> list[Any]:
    """The cells of a further column: numbers or truths where it holds nothing else, or else the text as it stands."""
    plain = [cell.strip().lower() for cell in cells]
    known = set(plain) - set(MISSING)
    if name not in TEXT and all(map(NUMBER.fullmatch, known)):
        return [(float(cell) if set(cell) & set(".e") else int(cell)) if cell in known else None for cell in plain]
    if name not in TEXT and known <= {"true", "false"}:
        return [cell == "true" if cell in known else None for cell in plain]
    return cells


def _landmark_arrays(path: Path, anatomy: Anatomy, cases: set[str]) -> dict[str, np.ndarray]:
    """landmarks.csv as case -> (N, 2) array with NaN where a row is absent."""
    arrays = {case: np.full((anatomy.n_landmarks, 2), np.nan) for case in cases}
    if not exists(path) and any((path.parent / "masks").glob("*.npz")):
        return arrays  # a set of masks only, for `landmarks_from_masks`
    table = _placed(_read_table(path, [*LANDMARK, "x", "y"], ["case", "structure"]), path)
    table["count"] = table["structure"].map(dict(zip(anatomy.names, anatomy.counts, strict=True)))
    broken = table[NUMBERS].isna().any(axis=1) | (table["index"] % 1 != 0)
    outside = (table["index"] < 0) | (table["index"] >= table["count"])
    for wrong, fault in (
        (table["count"].isna(), "unknown structure {structure!r} (line {line}, case {case}); known are {structures}"),
        (~table["case"].isin(cases), "unknown case {case!r} (line {line}); cases.csv lists {cases}"),
        (
            broken,
            "line {line} (case {case}) needs a whole index and numbers x and y, with a point; leave missing landmarks out",
        ),
        (
            outside,
            "case {case} has landmark {index:.0f} of the {structure}, which has only {count:.0f} (0-based, so subtract 1 from "
            "indices that count from 1); check the anatomy",
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


def _placed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows of landmarks that were placed, their numbers as such, and the `line` of each: without those whose x and y are empty,
    or whose column v is 0."""
    table = table.assign(structure=table["structure"].str.strip(), line=table.index + 2)
    given = table[["x", "y"]]
    table[NUMBERS] = table[NUMBERS].apply(pd.to_numeric, errors="coerce")
    nothing = table[["x", "y"]].isna().all(axis=1)
    if nothing.any():
        words = given[nothing].astype(str).apply(lambda cells: cells.str.strip().str.lower())
        nothing[nothing] = words.isin(MISSING).all(axis=1)
    if (column := next((name for name in VISIBILITY if name in table), None)) is not None:
        visibility = pd.to_numeric(table[column], errors="coerce")
        if (wrong := ~visibility.isin((0, 1, 2))).any():
            line = table["line"][wrong].iloc[0]
            raise DataError(f"{path}: line {line} needs 0 (missing), 1 (hidden) or 2 (visible) in the column {column}; correct it")
        nothing |= visibility == 0
    return table[~nothing].copy()


def _first(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _read_case(folder: Path, row: dict[str, Any], points: dict[str, np.ndarray], anatomy: Anatomy) -> Case:
    name, spacing = row.pop("case"), row.pop("spacing", "")
    try:
        with explained(f"spacing {spacing!r} in cases.csv is not a number of mm", "leave it empty if unknown"):
            spacing = None if spacing.strip().lower() in MISSING else float(spacing.replace("_", "?"))  # no 1_000
        image, masks = read_picture(folder / "images" / f"{name}.png"), _read_masks(folder / "masks" / f"{name}.npz")
        return Case(name, image, points[name], anatomy, masks, spacing, row).packed()
    except DataError as error:
        raise DataError(f"{folder}: {error}") from None


def unlisted_images(folder: str | Path, cases: CaseSet) -> list[Path]:
    """Images in the data-set folder that no case in cases.csv has: left out, or forgotten."""
    listed = set(cases.ids)
    return [path for path in held(Path(folder) / "images") if path.suffix.lower() in IMAGES and path.stem not in listed]


def _require_masks_of(folder: Path, cases: Iterable[str]) -> None:
    """Raise DataError where a file in the folder of masks is of no case, so that no mask is lost in silence."""
    names = {f"{name}.npz" for name in cases}
    for path in held(folder):
        if path.suffix.lower() in IMAGES:
            fix = "save all of a case as one: np.savez_compressed('masks/ID.npz', masks=bool array (structures, rows, columns))"
            raise DataError(f"{path} is an image, and masks are not read from images; {fix}")
        if path.suffix.lower() in MASKS and path.name not in names:
            raise DataError(f"{path} is the mask of no case in cases.csv; call it ID.npz, as its case, or move it away")


def _read_masks(path: Path) -> np.ndarray | None:
    if not exists(path):
        return None
    content = BytesIO(read_bytes(path))
    with explained(f"{path} cannot be read", "write it again or remove it"), np.load(content, allow_pickle=False) as arrays:
        masks = arrays["masks"]
    if masks.dtype.kind not in "buif":
        raise DataError(f"{path} holds {masks.dtype} instead of true and false; save bool arrays")
    if masks.dtype != bool and not np.isin(masks, (0, masks.max(initial=1))).all():
        found = "numbers of structures" if np.isin(masks, np.arange(256)).all() else "probabilities"
        raise DataError(f"{path} holds {found} instead of true and false; save one mask a structure, such as masks > 0.5")
    return masks
