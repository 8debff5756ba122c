"""Synthetic radiographs whose landmarks and dense correspondence are known exactly."""

from denseseg.phantom.chest import ChestPhantom, chest_phantom

__all__ = ["ChestPhantom", "chest_phantom"]
