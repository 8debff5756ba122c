"""A method that is trained by another program: it writes a data set, runs a script, and reads back what the script wrote."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from denseseg.cases.folder import write_cases
from denseseg.errors import STRICT
from denseseg.methods import Method, Recipe, register
from denseseg.pictures import write_png
from denseseg.prediction import Prediction
from denseseg.training.settings import Run

PROGRAM = '''
"""Ridge regression of landmarks on a small version of each image; knows nothing of the package that calls it."""
import csv, pathlib, sys
import numpy as np
from skimage.io import imread
from skimage.transform import resize

def features(folder, side):
    files = sorted(pathlib.Path(folder).glob("*.png"))
    small = [resize(imread(file) / 65535, (side, side), anti_aliasing=True).ravel() for file in files]
    return np.array(small), [file.stem for file in files]

task, folder, model, side = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
x, names = features(folder / "images", side)
if task == "train":
    rows = list(csv.DictReader(open(folder / "landmarks.csv")))
    y = np.array([[float(r[k]) for r in rows if r["case"] == name for k in ("x", "y")] for name in names])
    centred, mean = x - x.mean(0), y.mean(0)
    weights = centred.T @ np.linalg.solve(centred @ centred.T + 1.0 * np.eye(len(x)), y - mean)
    np.savez(model, weights=weights, x=x.mean(0), y=mean)
else:
    kept = np.load(model)
    np.save(folder / "predictions.npy", kept["y"] + (x - kept["x"]) @ kept["weights"])
'''


@dataclass(frozen=True, config=STRICT)
class ProgramRecipe(Recipe):
    """side: of the small images that the program looks at, pixels."""

    side: PositiveInt = 16


@register
class ByProgram(Method):
    """Whatever the program learns; it needs all landmarks of all training cases."""

    name, title, recipes = "by_program", "Another program", {"default": ProgramRecipe()}

    def fit(self, train, validation=None, run: Run = Run()):
        self.prepare(train)
        with tempfile.TemporaryDirectory() as folder:
            write_cases(Path(folder) / "data", train)
            self._call("train", Path(folder) / "data", Path(folder) / "model.npz")
            self.model = {key: torch.as_tensor(value) for key, value in np.load(Path(folder) / "model.npz").items()}
        return pd.DataFrame()

    def predict(self, images):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "images").mkdir()
            for i, image in enumerate(images[:, 0].cpu().numpy()):
                write_png(Path(folder) / "images" / f"{i:05d}.png", image)
            np.savez(Path(folder) / "model.npz", **{key: value.numpy() for key, value in self.model.items()})
            self._call("predict", Path(folder), Path(folder) / "model.npz")
            points = np.load(Path(folder) / "predictions.npy").reshape(len(images), -1, 2)
        return [Prediction(self.anatomy, one) for one in points]

    def _call(self, task: str, folder: Path, model: Path) -> None:
        command = [sys.executable, "-c", PROGRAM, task, str(folder), str(model), str(self.recipe.side)]
        subprocess.run(command, check=True, capture_output=True)

    def state(self):
        return super().state() | {f"model.{key}": value for key, value in self.model.items()}

    def set_state(self, state):
        super().set_state(state)
        self.model = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
