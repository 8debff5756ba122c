"""Small synthetic files in the published layout of the Digital Hand Atlas: hand phantoms."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from denseseg.cases.case import Case
from denseseg.phantom import HandPhantom

SIZE = (160, 120)
NAMES = tuple(str(3142 + i) for i in range(10))  # the last one is in no fold
SUBSETS = {  # draw, fold -> training images of that fold
    ("2", "1", 0): ("3143", "3144"),
    ("2", "1", 1): ("3142", "3147"),
    ("2", "1", 2): ("3143", "3146"),
    ("2", "2", 0): ("3146", "3147"),
    ("2", "2", 1): ("3144", "3148"),
    ("2", "2", 2): ("3142", "3145"),
}


@lru_cache
def hand(number: int) -> Case:
    """A hand phantom whose landmarks are whole pixels, as the published ones are."""
    case = HandPhantom(0, number, SIZE).case
    case.landmarks = np.round(case.landmarks)
    return case


@dataclass
class HandFiles:
    """Images, landmarks and folds of ten hands, which tests may change before they `write` them."""

    folder: Path
    images: dict[str, np.ndarray] = field(default_factory=lambda: {n: hand(i).image for i, n in enumerate(NAMES)})
    landmarks: dict[str, np.ndarray] = field(default_factory=lambda: {n: hand(i).landmarks for i, n in enumerate(NAMES)})
    folds: list[list[str]] = field(default_factory=lambda: [list(NAMES[fold:9:3]) for fold in range(3)])
    subsets: dict[tuple[str, str, int], tuple[str, ...]] = field(default_factory=lambda: dict(SUBSETS))
    kind: str = ".png"

    def write(self) -> tuple[Path, Path]:
        """The folders of images and of the setup."""
        images, setup = self.folder / "images", self.folder / "setup"
        images.mkdir(parents=True)
        for name, image in self.images.items():
            Image.fromarray(np.round(image * 255).astype(np.uint8)).save(images / f"{name}{self.kind}")
        write_lists(setup, {f"cv/set{k + 1}/test.txt": names for k, names in enumerate(self.folds)})
        chosen = {f"cv_rand/{n}/{draw}/set{fold + 1}/train.txt": names for (n, draw, fold), names in self.subsets.items()}
        write_lists(setup, chosen)
        write_table(setup / "all.csv", self.landmarks)
        return images, setup


def write_lists(folder: Path, lists: dict[str, list[str] | tuple[str, ...]]) -> None:
    for name, numbers in lists.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(numbers) + "\n")


def write_table(path: Path, landmarks: dict[str, np.ndarray]) -> None:
    path.write_text("\n".join(",".join([name, *(f"{v:g}" for v in points.ravel())]) for name, points in landmarks.items()))
