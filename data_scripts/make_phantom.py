"""Write a phantom data set as a folder that a person can read.

python data_scripts/make_phantom.py --anatomy chest --n 300 --size 256 --seed 0 OUT
python data_scripts/make_phantom.py --anatomy wrist --n 300 --size 384x224 OUT
python data_scripts/make_phantom.py --anatomy wrist --n 40 --key ages.csv OUT
python data_scripts/make_phantom.py --anatomy chest --n 300 --randomised OUT

With --key, OUT does not tell how old a child is, or anything else that the phantom knows: that goes to the key, for the teacher.
With --randomised, anatomy and looks vary far beyond what is usual, for networks that are to work on real radiographs.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import require_own, write_cases
from denseseg.errors import DataError, exit_status
from denseseg.files import MARK, atomic_file, held, settle
from denseseg.phantom import PHANTOMS, RANDOMISED

CONTENTS = {"dataset.toml", "cases.csv", "landmarks.csv", "images", "masks", MARK}
KEY = "case,drawn_as,seed"  # how the first line of a key begins


def size(text: str) -> tuple[int, int]:
    """The text 256 or 256x320 as (height, width)."""
    try:
        numbers = [int(part) for part in text.lower().split("x")]
        height, width = numbers if len(numbers) == 2 else numbers * 2
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of pixels nor HEIGHTxWIDTH") from None
    return height, width


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write a phantom data set: images, landmarks.csv, cases.csv, dataset.toml.")
    parser.add_argument("folder", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--anatomy", choices=sorted(PHANTOMS), default="chest")
    parser.add_argument("--n", type=int, default=300, help="number of cases (default 300)")
    parser.add_argument("--size", type=size, help="pixels: 256, or HEIGHTxWIDTH (default: chest 256, wrist 384x224, hand 320x240)")
    parser.add_argument("--seed", type=int, help="population; another seed gives other cases (default 0, with --key a random one)")
    parser.add_argument("--key", type=Path, metavar="CSV", help="write here, and not into OUT, what is known of each case")
    parser.add_argument("--randomised", action="store_true", help="vary anatomy and looks widely")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=16, help="bits per pixel of the PNG images (default 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace what OUT holds")
    options = parser.parse_args(arguments)
    if options.n < 1:
        parser.error(f"--n {options.n}: give at least one case")
    if options.seed is None:
        options.seed = secrets.randbits(32) if options.key else 0
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: give a number from 0 up")
    return options


def make(options: argparse.Namespace) -> Path:
    """Write the data set. Raises DataError where the folder is in use, and replaces only what this script has written."""
    folder, key = options.folder, options.key
    if key and folder.resolve() in key.resolve().parents:
        raise DataError(f"{key} lies in {folder}, which is handed out; keep the key somewhere else")
    if key and key.exists():
        if not options.overwrite:
            raise DataError(f"{key} exists; name another file, or add --overwrite to replace it")
        if not key.is_file() or not key.read_bytes().startswith(KEY.encode()):
            raise DataError(f"{key} is no key of phantoms, and would be replaced; name another file")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder")
    settle(folder)
    if names := {path.name for path in held(folder)}:
        if not options.overwrite:
            raise DataError(f"{folder} is not empty; name another folder, or add --overwrite to replace what it holds")
        if strange := sorted(names - CONTENTS):
            raise DataError(f"{folder} holds something else than a data set ({strange[0]}); empty it yourself or name another")
        require_own(folder)
    more = {"size": options.size} if options.size else {}
    more |= RANDOMISED[options.anatomy] if options.randomised else {}
    cases = PHANTOMS[options.anatomy](options.n, seed=options.seed, **more)
    if not key:
        return write_cases(folder, cases, bits=options.bits)
    cases, known = without_key(cases, options.seed)
    with atomic_file(key) as temporary:
        known.to_csv(temporary, index=False)
        return write_cases(folder, cases, bits=options.bits)


def without_key(cases: CaseSet, seed: int) -> tuple[CaseSet, pd.DataFrame]:
    """The cases in another order, under other names and with nothing but the laterality known of them; and a table of all the rest.

    The seed is left out, too: with it the package would draw the same children again, with their ages.
    """
    order = np.random.default_rng(seed).permutation(len(cases))
    names = [f"{cases.anatomy.name}{number:03d}" for number in range(len(cases))]
    known = [
        {"case": name, "drawn_as": cases[i].id, "seed": seed, **cases[i].metadata} for name, i in zip(names, order, strict=True)
    ]
    shown = [
        replace(cases[i], id=name, metadata={key: value for key, value in cases[i].metadata.items() if key == "laterality"})
        for name, i in zip(names, order, strict=True)
    ]
    info = {"kind": "phantom", "source": "made up by data_scripts/make_phantom.py", "licence": cases.info["licence"]}
    return CaseSet(cases.name, cases.anatomy, shown, info), pd.DataFrame(known)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)

    def work() -> None:
        print(f"{options.n} cases of the {options.anatomy} phantom written to {make(options)}")

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
