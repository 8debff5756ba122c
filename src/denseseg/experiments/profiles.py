"""Profiles: how much smaller than at full size a run is. The code is the same in all of them; only sizes differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases, read_description
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.phantom import FULL_SIZES, PHANTOMS


@dataclass(frozen=True)
class Profile:
    """Sizes of a run; a recipe says what full size is.

    square, tall: (H, W) of images as wide as high, and of wrists (12 to 7). n_cases: phantom cases to draw (ignored for a data-set
    folder). length, width: shares of a recipe's epochs or steps, and of its network's features. batch_size: the largest allowed.
    purpose: one line for people.
    """

    name: str
    square: Size
    tall: Size
    n_cases: int
    length: float
    width: float
    batch_size: int
    purpose: str

    def size_like(self, size: Size) -> Size:
        """The size of images in this profile for originals of this (H, W).

        `square` or `tall` for their aspect ratios, to within 5 %; for others about as many pixels as `square` has, both sides
        multiples of 8.
        """
        aspect = size[0] / size[1]
        for own in (self.square, self.tall):
            if abs(math.log(aspect * own[1] / own[0])) < 0.05:
                return own
        side = math.sqrt(self.square[0] * self.square[1])
        return 8 * max(1, round(side * math.sqrt(aspect) / 8)), 8 * max(1, round(side / math.sqrt(aspect) / 8))


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", (64, 64), (96, 56), 12, 0.02, 1 / 8, 4, "proves that everything runs; its numbers mean nothing"),
        Profile("course", (96, 96), (136, 80), 160, 0.25, 1 / 4, 4, "results that teach, on a laptop, in minutes"),
        Profile("compact", (128, 128), (192, 112), 246, 0.6, 1 / 2, 4, "real data without a GPU, in about an hour"),
        Profile("large", (224, 224), (288, 168), 246, 0.6, 1 / 2, 4, "real data without a GPU, three times as long as compact"),
        Profile("full", (256, 256), (384, 224), 246, 1.0, 1.0, 8, "the paper's sizes; meant for a GPU"),
    )
}


def get_profile(name: str) -> Profile:
    """The profile called `name`. Raises DataError that lists the known ones."""
    if name not in PROFILES:
        raise DataError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]


def dataset_name(data: str) -> str:
    """The name of what `load_cases` loads, without loading it."""
    phantom = _phantom(data)
    return f"{phantom} phantom" if phantom else read_description(Path(data))[0]


def _phantom(data: str) -> str | None:
    """Which phantom these words mean, None where they are the path of a folder."""
    name = "chest" if data == "phantom" else data.removesuffix(" phantom")
    return name if name in PHANTOMS and data.endswith("phantom") else None


def load_cases(profile: Profile, data: str = "phantom", seed: int = 0, size: Size | None = None) -> CaseSet:
    """The cases of a run at the profile's size, or at another (H, W).

    data: "phantom" (the chest), another phantom such as "hand phantom", or the path of a data-set folder.
    Raises DataError where that is no folder, or `read_cases` does.
    """
    if name := _phantom(data):
        return PHANTOMS[name](profile.n_cases, size or profile.size_like(FULL_SIZES[name]), seed)
    if not Path(data).is_dir():
        known = ", ".join(f'"{phantom} phantom"' for phantom in PHANTOMS)
        where = f"is no folder, seen from {Path.cwd()}"
        raise DataError(f'data = {data!r} {where}; give "phantom", {known} or the path of a folder (see data_scripts/)')
    cases = read_cases(data)
    return cases.fitted(size or profile.size_like(cases[0].size))
