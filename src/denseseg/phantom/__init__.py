"""Synthetic radiographs whose landmarks and dense correspondence are known exactly."""

from collections.abc import Callable
from typing import Any

from denseseg.cases.case_set import CaseSet
from denseseg.phantom.chest.phantom import ChestPhantom, chest_phantom
from denseseg.phantom.chest.randomisation import NO_RANDOMISATION, TRANSFER, Randomisation
from denseseg.phantom.hand.phantom import HandPhantom, hand_phantom
from denseseg.phantom.looks import NO_LOOKS, WIDE_LOOKS, Looks
from denseseg.phantom.wrist.phantom import WristPhantom, wrist_phantom
from denseseg.phantom.wrist.randomisation import WRIST_TRANSFER

__all__ = [
    "FULL_SIZES",
    "NO_LOOKS",
    "NO_RANDOMISATION",
    "PHANTOMS",
    "RANDOMISED",
    "TRANSFER",
    "WIDE_LOOKS",
    "WRIST_TRANSFER",
    "ChestPhantom",
    "HandPhantom",
    "Looks",
    "Randomisation",
    "WristPhantom",
    "chest_phantom",
    "hand_phantom",
    "wrist_phantom",
]

PHANTOMS: dict[str, Callable[..., CaseSet]] = {
    "chest": chest_phantom,
    "wrist": wrist_phantom,
    "hand": hand_phantom,
}  # anatomy -> draws a set of (n, size, seed)
FULL_SIZES = {"chest": (256, 256), "wrist": (384, 224), "hand": (320, 240)}  # (H, W) where none is asked for
RANDOMISED: dict[str, dict[str, Any]] = {  # anatomy -> arguments with which its phantoms are as different as can be
    "chest": {"randomisation": TRANSFER, "looks": WIDE_LOOKS},
    "wrist": {"randomisation": WRIST_TRANSFER, "looks": WIDE_LOOKS},
    "hand": {"looks": WIDE_LOOKS},
}
