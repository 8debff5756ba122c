"""One file for students: the learner edition, the package, the network of chapter 10, how to start, a test of the installation.

    python -m denseseg.course.handout

It holds no data: the notebooks' own profile is `course`, whose images are phantoms.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from denseseg.course.folders import find_root
from denseseg.course.learner import write_learner_edition
from denseseg.errors import DataError, exit_status
from denseseg.experiments.experiment import run_name
from denseseg.experiments.profiles import get_profile, load_cases
from denseseg.experiments.record import Spec

NAME = "denseseg-course"
PACKAGE = ("pyproject.toml", "README.md", "LICENSE", "src")
BESIDE = ("constraints.txt", "_toc.yml", "results", "LICENSE-text")  # notebooks read records; _toc.yml tells them where the root is


def write_handout(root: Path, profile: str = "course") -> Path:
    """Write `denseseg-course.zip` to the repository's root. Raises DataError where chapter 10 has not been run."""
    run = trained_run(root, profile)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / NAME
        shutil.copytree(root / "book" / "handout", folder, ignore=shutil.ignore_patterns("__pycache__"))
        for names, target in ((PACKAGE, folder / "package"), (BESIDE, folder)):
            target.mkdir(exist_ok=True)
            for name in names:
                copy(root / name, target / name)
        write_learner_edition(root, folder / "learner")
        copy(run, folder / "learner" / "runs" / run.name)
        return Path(shutil.make_archive(str(root / NAME), "zip", temporary, NAME))


def trained_run(root: Path, profile: str) -> Path:
    """The folder of the run that chapter 10 trains, as the chapters look for it."""
    spec = Spec(dataset="chest phantom", method="denseseg", recipe="default", profile=profile, split="paper", seed=0)
    run = root / "notebooks" / "runs" / run_name(load_cases(get_profile(profile)).fingerprint(), spec)
    if not (run / "weights.safetensors").is_file():
        raise DataError(
            f"chapter 10 has not been run with this version of the book: there is no {run.relative_to(root)}; run it, some "
            f"minutes: python -m denseseg.course.notebooks --profile {profile} --only 10"
        )
    return run


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy2(source, target)


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    return exit_status(lambda: print(f"for students: {write_handout(find_root())}"))


if __name__ == "__main__":
    sys.exit(main())
