"""Lateral cephalograms of the ISBI 2015 challenge with 19 published landmarks -> a data-set folder.

    python data_scripts/prepare_cephalograms.py --images DIR --setup DIR [--truth challenge] [--longest 512] OUT

Where the files come from:
- images: the 400 BMP images of the challenge (Wang et al., Medical Image Analysis 2016), whose organisers and authors say where
  to get them and what their terms are. Put 001.bmp to 400.bmp into one folder, or into several below one folder.
- setup: the folder cep/setup of the code that Payer et al. published with SpatialConfiguration-Net
  (MedicalDataAugmentationTool-HeatmapRegression). Cite their paper, and Lindner et al. 2016 for the observers' landmarks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from denseseg.cases.folder import write_cases
from denseseg.errors import exit_status
from denseseg.readers.cephalograms import EXAMPLE, Truth, read_cephalograms
from denseseg.readers.files import preparing
from denseseg.readers.numbered import find_images


def prepare(arguments: argparse.Namespace) -> None:
    settings = f"longest {arguments.longest}, truth {arguments.truth}"
    with preparing(arguments.out, settings, find_images(arguments.images, EXAMPLE).values()):
        cases, report = read_cephalograms(
            arguments.images, arguments.setup, truth=arguments.truth, longest=arguments.longest, progress=True
        )
        write_cases(arguments.out, cases)
        report.close(arguments.out)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of the images, at any depth")
    parser.add_argument("--setup", type=Path, required=True, help="folder that holds all_challenge.csv, train.txt, ...")
    parser.add_argument("--truth", choices=list(Truth), default=Truth.CHALLENGE, help="whose landmarks (default: the paper's)")
    parser.add_argument("--longest", type=int, default=512, help="pixels of the longer side (default: %(default)s)")
    parser.add_argument("out", type=Path, metavar="OUT", help="the data-set folder to write")
    options = parser.parse_args(arguments)
    return exit_status(lambda: prepare(options))


if __name__ == "__main__":
    sys.exit(main())
