"""Hand radiographs of the Digital Hand Atlas with 37 published landmarks and three folds -> a data-set folder.

    python data_scripts/prepare_hand.py --images DIR --setup DIR [--longest 512] [--reference 3209] OUT

Where the files come from:
- images: the Digital Hand Atlas of the University of Southern California (Gertych et al., 2007), which gives them to those who
  ask; see there for its terms. JPEG, PNG, TIFF or MHA files named by their number, in their original size, at any depth.
- setup: the folder hand_xray/hand_xray_dataset/setup of the code that Payer et al. published with SpatialConfiguration-Net
  (MedicalDataAugmentationTool-HeatmapRegression). Cite their paper.

A part of the images will do; the report says how many are in each fold. With --reference, grey values within the outline of each
hand are matched to the histogram of that image, as in the paper.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from denseseg.anatomy import HAND
from denseseg.cases.folder import write_cases
from denseseg.errors import exit_status
from denseseg.readers.files import Report, preparing
from denseseg.readers.hand_atlas import EXAMPLE, INFO, NAME, hand_atlas_cases
from denseseg.readers.numbered import find_images


def prepare(arguments: argparse.Namespace) -> None:
    settings = f"longest {arguments.longest}, reference {arguments.reference}"
    with preparing(arguments.out, settings, [arguments.setup / "all.csv", *find_images(arguments.images, EXAMPLE).values()]):
        report = Report()
        cases = hand_atlas_cases(
            arguments.images,
            arguments.setup,
            report,
            longest=arguments.longest,
            reference=arguments.reference,
            progress=True,
        )
        write_cases(arguments.out, cases, name=NAME, anatomy=HAND, info=INFO)
        report.close(arguments.out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of the images, at any depth")
    parser.add_argument("--setup", type=Path, required=True, help="folder that holds all.csv, cv and cv_rand")
    parser.add_argument("--longest", type=int, default=512, help="pixels of the longer side (default: %(default)s)")
    parser.add_argument("--reference", help="number of the image to whose histogram the hands are matched (default: none)")
    parser.add_argument("out", type=Path, metavar="OUT", help="the data-set folder to write")
    options = parser.parse_args(arguments)
    return exit_status(lambda: prepare(options))


if __name__ == "__main__":
    sys.exit(main())
