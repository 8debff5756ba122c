"""JSRT chest radiographs and their public landmark files -> a data-set folder.

    python data_scripts/prepare_jsrt.py --images DIR --landmarks DIR [--masks DIR] [--size 256] [--checksums FILE] OUT

Where the files come from:
- images: the JSRT database of the Japanese Society of Radiological Technology (Shiraishi et al., AJR 2000), which gives them to
  registered users. Its terms bind you, and forbid passing the images on: keep what this script writes to yourself.
  Both the original .IMG files and converted square PNG files will do.
- landmarks: the Chest-xray-landmark-dataset of Gaggion et al. (HybridGNet), folders RL, LL, H, RCLA and LCLA.
- masks (optional): the SCR database of van Ginneken et al., folders fold1 and fold2.

A run that was stopped goes on where it was: images that are converted already are not converted again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from denseseg.cases.folder import write_cases
from denseseg.errors import exit_status
from denseseg.readers.files import preparing
from denseseg.readers.jsrt import find_images, read_jsrt


def prepare(arguments: argparse.Namespace) -> None:
    with preparing(arguments.out, f"size {arguments.size}", find_images(arguments.images).values()):
        cases, report = read_jsrt(
            arguments.images,
            arguments.landmarks,
            arguments.masks,
            arguments.size,
            checksums=arguments.checksums,
            converted=arguments.out / "images",
            progress=True,
        )
        write_cases(arguments.out, cases)
        report.close(arguments.out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of JPCLN001.IMG (or .png), ...")
    parser.add_argument("--landmarks", type=Path, required=True, help="folder that holds RL, LL, H, RCLA and LCLA")
    parser.add_argument("--masks", type=Path, help="folder that holds fold1 and fold2 of the SCR database")
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels (default: %(default)s)")
    parser.add_argument("--checksums", type=Path, help="file of sha256sum, names relative to --images")
    parser.add_argument("out", type=Path, metavar="OUT", help="the data-set folder to write")
    options = parser.parse_args(arguments)
    return exit_status(lambda: prepare(options))


if __name__ == "__main__":
    sys.exit(main())
