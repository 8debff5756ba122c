"""What the notebooks do with a network after its training, as if that had left it on a GPU. The GPU is only pretended."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import BUILD, ROOT
from helpers import write_notebook

from denseseg.course.notebooks import find_notebooks, run_notebooks

START = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from pretend_device import keep_trained_networks_there
keep_trained_networks_there()
"""
TRAIN = """
import torch
from denseseg.methods import create, get_recipe
from denseseg.phantom import chest_phantom
from denseseg.training import Run
cases = chest_phantom(4, (64, 64))
recipe = get_recipe("denseseg", "default").scaled(length=0.01, width=0.25, largest_batch=4)
method = create("denseseg", cases.anatomy, cases[0].size, recipe)
method.fit(cases, run=Run(seed=0, progress=False))
"""
TRAINING = [name for name, book in find_notebooks(ROOT).items() if "run_experiment(" in book.source or ".fit(" in book.source]

pytestmark = pytest.mark.notebook


@pytest.fixture(autouse=True)
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels leave each trained network on the pretended device: IPython runs this file before the first cell."""
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00_device.py").write_text(START)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def test_a_cell_that_forgets_the_device_is_found(root: Path) -> None:
    write_notebook(root, "01_careful", TRAIN, "method.network(torch.zeros(1, 1, 64, 64, device=method.device))")
    write_notebook(root, "02_careless", TRAIN, "method.network(torch.zeros(1, 1, 64, 64))")
    careful, careless = run_notebooks("smoke", root=root)
    assert careful.status == "passed", careful.error
    assert "on the host meets tensors on the device" in careless.error


def test_no_cell_of_the_book_forgets_the_device() -> None:
    ended = run_notebooks("smoke", TRAINING, root=ROOT, build=BUILD / "on_a_device")
    assert not {status.notebook: status.error for status in ended if status.status != "passed"}
