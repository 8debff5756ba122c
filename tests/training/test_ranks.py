"""Two processes train as one does: the same augmentation, the same loss, the same weights; an error in one ends both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

TRAIN = """
import sys
import torch
from denseseg.methods import create, save_method
from denseseg.phantom import chest_phantom
from denseseg.training import Adam, Epochs, Run, TrainingSettings

torch.set_num_threads(1)
folder, fails = sys.argv[1], sys.argv[2] == "fails"
cases = chest_phantom(4, (32, 32), seed=1)
training = TrainingSettings(length=Epochs(2), batch_size=4, optimiser=Adam(1e-3))
method = create("denseseg", cases.anatomy, (32, 32), "default", training=training, channels=(4, 8))
run = Run(folder=folder + "/run", progress=False, device="cpu", precision="32-true")
if fails:
    import denseseg.training.loop as loop
    def full(self, folder):
        raise RuntimeError("the disk is full")
    loop._Loop._save = full
history = method.fit(cases, None, run)
import os
if os.environ.get("RANK", "0") == "0":
    save_method(method, folder + "/weights.safetensors")
    history.to_csv(folder + "/losses.csv")
"""


def start(folder: Path, world: int, what: str = "trains") -> list[subprocess.Popen]:
    """The processes as torchrun would start them."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    processes = []
    for rank in range(world):
        own = (
            {}
            if world == 1
            else shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "a"}
        )
        command = [sys.executable, "-c", TRAIN, str(folder), what]
        processes.append(subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True))
    return processes


@pytest.mark.parametrize("part", ["losses and weights"])
def test_two_processes_train_as_one_does(tmp_path, part):
    from denseseg.methods import load_method

    found = {}
    for world in (1, 2):
        for process in start(tmp_path / str(world), world):
            assert process.wait(120) == 0, process.stderr.read()
        losses = np.loadtxt(tmp_path / str(world) / "losses.csv", delimiter=",", skiprows=1, usecols=3)
        method = load_method(tmp_path / str(world) / "weights.safetensors")
        found[world] = losses, torch.cat([p.detach().flatten() for p in method.network.parameters()])
    np.testing.assert_allclose(found[1][0], found[2][0], rtol=2e-3)
    assert (found[1][1] - found[2][1]).abs().max() < 5e-3
    assert (tmp_path / "2" / "run" / "checkpoint.safetensors").exists()


def test_an_error_in_one_process_ends_both(tmp_path):
    processes = start(tmp_path / "run", 2, "fails")
    codes = [process.wait(120) for process in processes]
    assert all(code != 0 for code in codes)
    assert "the disk is full" in processes[0].stderr.read()
