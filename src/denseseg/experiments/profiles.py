"""Profiles: how large a run is. The code is the same in all of them; only sizes differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from denseseg.cases.case_set import CaseSet
from denseseg.cases.folder import read_cases
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.phantom import PHANTOMS


@dataclass(frozen=True)
class Profile:
    """Sizes of a run.

    square, tall: (H, W) of the images, for those about as wide as high and for those clearly higher. n_cases: phantom cases to
    draw (ignored for a data-set folder). channels: features of the network's levels. epochs, batch_size: of training.
    purpose: one line for people.
    """

    name: str
    square: Size
    tall: Size
    n_cases: int
    channels: tuple[int, ...]
    epochs: int
    batch_size: int
    purpose: str

    def size_like(self, size: Size) -> Size:
        """The size of this profile whose aspect ratio is nearest that of an image of this (H, W)."""
        return min((self.square, self.tall), key=lambda own: abs(own[0] / own[1] - size[0] / size[1]))


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", (64, 64), (96, 56), 12, (8, 16, 32), 2, 4, "proves that everything runs; its numbers mean nothing"),
        Profile("course", (96, 96), (136, 80), 160, (16, 32, 64, 128), 25, 4, "results that teach, on a laptop, in minutes"),
        Profile("compact", (128, 128), (192, 112), 246, (32, 64, 128, 256), 60, 4, "real data without a GPU, in about an hour"),
        Profile("full", (256, 256), (384, 224), 246, (64, 128, 256, 512), 100, 8, "the paper's sizes; meant for a GPU"),
    )
}


def get_profile(name: str) -> Profile:
    """The profile called `name`. Raises DataError that lists the known ones."""
    if name not in PROFILES:
        raise DataError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]


def load_cases(profile: Profile, data: str = "phantom", seed: int = 0) -> CaseSet:
    """The cases of a run at the profile's size.

    data: "phantom" (the chest), "wrist phantom" or another of `PHANTOMS`, or the path of a data-set folder.
    """
    phantoms = {"phantom": "chest"} | {f"{name} phantom": name for name in PHANTOMS}
    if data in phantoms:
        size = profile.tall if phantoms[data] == "wrist" else profile.square
        return PHANTOMS[phantoms[data]](profile.n_cases, size, seed)
    if not Path(data).is_dir():
        known = ", ".join(f'"{name}"' for name in phantoms)
        raise DataError(f"data = {data!r} is no folder; give {known} or the path of a data-set folder (see data_scripts/)")
    cases = read_cases(data)
    return cases.resized(profile.size_like(cases[0].size))
