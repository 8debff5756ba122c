"""Two processes train as one does: the same augmentation, the same loss, the same weights; an error in one ends both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from denseseg.training.loop import CHECKPOINT

TRAIN = """
import sys, torch
from torch import nn
from denseseg.batch import Batch
from denseseg.training.loop import _Loop, train
from denseseg.training.settings import Adam, Epochs, Run, TrainingSettings

torch.set_num_threads(1)
folder, what = sys.argv[1:]

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(392, 6))
        self.unused = nn.Linear(3, 3)  # a head whose loss has no weight

    def forward(self, images):
        return self.layers(images)

class Corners:
    loss_weights = {"square": 1.0}

    def __init__(self):
        torch.manual_seed(0)
        self.network = Net()

    def inputs(self, batch, rng):
        return (batch.images,)

    def targets(self, batch):
        return {"points": batch.landmarks.flatten(1)}

    def losses(self, outputs, targets):
        return {"square": (outputs.float() - targets["points"]).square().mean()}

def full(self, folder):
    raise RuntimeError("the disk is full")

if what == "fails":
    _Loop._save = full
rng = torch.Generator().manual_seed(0)
data = Batch(torch.rand(8, 1, 16, 16, generator=rng), 16 * torch.rand(8, 3, 2, generator=rng))
settings = TrainingSettings(length=Epochs(3), batch_size=3 if what == "uneven" else 4, optimiser=Adam(1e-2))
trainable = Corners()
history = train(trainable, data, settings, Run(folder=folder, progress=False, device="cpu", precision="32-true"))
torch.save({"weights": trainable.network.state_dict(), "loss": history["loss"].tolist()}, f"{folder}/result.pt")
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


def test_two_processes_train_as_one_does(tmp_path):
    found = {}
    for world in (1, 2):
        for process in start(tmp_path / str(world), world):
            assert process.wait(120) == 0, process.stderr.read()
        found[world] = torch.load(tmp_path / str(world) / "result.pt", weights_only=True)
        assert (tmp_path / str(world) / CHECKPOINT).exists()  # written by one of them
    np.testing.assert_allclose(found[1]["loss"], found[2]["loss"], rtol=1e-5)
    for name, value in found[1]["weights"].items():
        torch.testing.assert_close(found[2]["weights"][name], value, atol=1e-5, rtol=1e-4)


def test_an_error_in_one_process_ends_both(tmp_path):
    processes = start(tmp_path / "run", 2, "fails")
    codes = [process.wait(120) for process in processes]
    assert all(code != 0 for code in codes)
    assert "the disk is full" in processes[0].stderr.read()


def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path):
    for process in start(tmp_path / "run", 2, "uneven"):
        assert process.wait(120) != 0
        assert "a batch of 3 cases cannot be shared evenly by 2 processes; start 1, or change batch_size" in process.stderr.read()
