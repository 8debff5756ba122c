"""Write a phantom data set as a folder that a person can read.

python data_scripts/make_phantom.py --anatomy chest --n 300 --size 256 --seed 0 OUT
python data_scripts/make_phantom.py --anatomy wrist --n 300 --size 384x224 OUT
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from denseseg.cases.folder import write_cases
from denseseg.errors import DataError
from denseseg.phantom import PHANTOMS

CONTENTS = {"dataset.toml", "cases.csv", "landmarks.csv", "images", "masks"}


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
    parser.add_argument("--seed", type=int, default=0, help="population; another seed gives other cases (default 0)")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=16, help="bits per pixel of the PNG images (default 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace what OUT holds")
    options = parser.parse_args(arguments)
    if options.n < 1:
        parser.error(f"--n {options.n}: give at least one case")
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: give a number from 0 up")
    return options


def make(options: argparse.Namespace) -> Path:
    """Write the data set. Raises DataError where the folder is in use."""
    folder = options.folder
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder")
    if folder.exists() and any(folder.iterdir()):
        if not options.overwrite:
            raise DataError(f"{folder} is not empty; name another folder, or add --overwrite to replace what it holds")
        strange = sorted(path.name for path in folder.iterdir() if path.name not in CONTENTS)
        if strange:
            raise DataError(f"{folder} holds something else than a data set ({strange[0]}); empty it yourself or name another")
        shutil.rmtree(folder)
    size = {"size": options.size} if options.size else {}
    cases = PHANTOMS[options.anatomy](options.n, seed=options.seed, **size)
    return write_cases(folder, cases, bits=options.bits)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        folder = make(options)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.n} cases of the {options.anatomy} phantom written to {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
