"""The lines that README shows to users run as they stand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from helpers import readme_python
from skimage.io import imread

from denseseg.anatomy import CHEST
from denseseg.methods import create, save_method
from denseseg.phantom.chest.phantom import chest_phantom
from denseseg.pictures import write_png


def test_the_lines_for_users_run_as_they_stand(tmp_path: Path, monkeypatch):
    cases = chest_phantom(3, (96, 96))
    torch.manual_seed(0)
    method = create("denseseg", CHEST, (64, 64), channels=(4, 8))
    method.prepare(cases.resized((64, 64)))
    monkeypatch.chdir(tmp_path)
    save_method(method, "weights.safetensors")
    write_png(Path("chest.png"), cases[0].image, 8)
    exec(compile(readme_python(), "README.md", "exec"), {})
    table = pd.read_csv("landmarks.csv")
    assert list(table["structure"].unique()) == CHEST.names
    assert len(table) == 166
    assert imread("overlay.png").std() > 10
