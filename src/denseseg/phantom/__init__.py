"""Synthetic radiographs whose landmarks and dense correspondence are known exactly."""

from denseseg.phantom.chest.phantom import ChestPhantom, chest_phantom
from denseseg.phantom.wrist.phantom import WristPhantom, wrist_phantom

__all__ = ["PHANTOMS", "ChestPhantom", "WristPhantom", "chest_phantom", "wrist_phantom"]

PHANTOMS = {"chest": chest_phantom, "wrist": wrist_phantom}  # anatomy -> function(n, size, seed) that draws a set
