"""The lines that README shows to users run as they stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from helpers import readme_python
from skimage.io import imread

from denseseg.anatomy import CHEST
from denseseg.phantom import TRANSFER, WIDE_LOOKS, chest_phantom
from denseseg.pictures import write_png


def test_the_lines_for_users_run_as_they_stand_and_find_the_landmarks(tmp_path: Path, monkeypatch):
    size = (300, 260)  # a reader's image has a size of its own
    (case,) = chest_phantom(1, size, 977, TRANSFER, WIDE_LOOKS)
    monkeypatch.chdir(tmp_path)
    write_png(Path("chest.png"), case.image, 8)
    exec(compile(readme_python(), "README.md", "exec"), {})
    table = pd.read_csv("landmarks.csv")
    assert list(table["structure"].unique()) == CHEST.names
    assert len(table) == 166
    error = np.linalg.norm(table[["x", "y"]].to_numpy() - case.landmarks, axis=1)
    assert np.nanmean(error) < 0.03 * max(size)
    assert imread("overlay.png").std() > 10
