"""GRAZPEDWRI-DX wrist radiographs with the published masks and landmarks of 17 bones -> a data-set folder.

    python data_scripts/prepare_graz.py --images DIR --segmentations FILE --landmarks FILE --table FILE OUT

Where the files come from:
- images: GRAZPEDWRI-DX (Nagy et al., Scientific Data 2022, doi 10.1038/s41597-022-01328-z), the four archives of 16-bit PNG
  images, about 16 GB, free to download under CC BY 4.0: cite Nagy et al. wherever you show or use them. Unpack them into one
  folder, or into several below one folder.
- raw_segmentations_no_cast.h5, lms_dsc_900.pth and dataset_with_cv_split.csv: the annotations of Keuth et al. (DenseSeg), which
  the README of their code repository MDL-UzL/DenseSeg links to. Cite their paper, and see there for their terms.

One case is in memory at a time. A run that was stopped goes on where it was: finished images are not converted again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from denseseg.anatomy import WRIST
from denseseg.cases.folder import write_cases
from denseseg.errors import exit_status
from denseseg.readers.files import Report, preparing
from denseseg.readers.graz import FRAME, INFO, NAME, find_images, graz_cases


def prepare(arguments: argparse.Namespace) -> None:
    files = [arguments.table, *find_images(arguments.images).values()]  # the table says which images are mirrored
    with preparing(arguments.out, f"size {FRAME[0]} x {FRAME[1]}", files):
        report = Report()
        cases = graz_cases(
            arguments.images,
            arguments.segmentations,
            arguments.landmarks,
            arguments.table,
            report,
            absent=arguments.absent,
            checksums=arguments.checksums,
            converted=arguments.out / "images",
            progress=True,
        )
        write_cases(arguments.out, cases, name=NAME, anatomy=WRIST, info=INFO)
        report.close(arguments.out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of the 16-bit PNG images, at any depth")
    parser.add_argument("--segmentations", type=Path, required=True, help="raw_segmentations_no_cast.h5")
    parser.add_argument("--landmarks", type=Path, required=True, help="lms_dsc_900.pth")
    parser.add_argument("--table", type=Path, required=True, help="dataset_with_cv_split.csv; dataset.csv has no published split")
    parser.add_argument(
        "--absent",
        choices=("nan", "keep"),
        default="nan",
        help="landmarks of a bone with an empty mask: none, since it is absent, or those of the file (default: %(default)s)",
    )
    parser.add_argument("--checksums", type=Path, help="file of sha256sum, names relative to --images")
    parser.add_argument("out", type=Path, metavar="OUT", help="the data-set folder to write")
    options = parser.parse_args(arguments)
    return exit_status(lambda: prepare(options))


if __name__ == "__main__":
    sys.exit(main())
