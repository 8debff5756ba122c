"""Synthetic radiographs whose landmarks and dense correspondence are known exactly."""

from collections.abc import Callable

from denseseg.cases.case_set import CaseSet
from denseseg.phantom.chest.phantom import ChestPhantom, chest_phantom
from denseseg.phantom.hand.phantom import HandPhantom, hand_phantom
from denseseg.phantom.wrist.phantom import WristPhantom, wrist_phantom

__all__ = [
    "FULL_SIZES",
    "PHANTOMS",
    "ChestPhantom",
    "HandPhantom",
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
