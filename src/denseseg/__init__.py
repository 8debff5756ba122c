"""Dense landmark detection in radiographs: a mask and a uv map for each anatomical structure, from one network."""

from importlib.metadata import version

__version__ = version("denseseg")
