"""How often making DenseSeg's targets launches something on a device, and waits for it. The rules: see `pretend_device`."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from pretend_device import PretendDevice, Shell

from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.geometry.decode import uv_targets
from denseseg.geometry.template import Template
from denseseg.losses import landmark_uv
from denseseg.methods import create
from denseseg.methods.method import Method
from denseseg.phantom import chest_phantom, wrist_phantom

LAUNCHES, WAITS = 300, 3


@cache
def cases(anatomy: str) -> CaseSet:
    return chest_phantom(12, (96, 96), seed=1) if anatomy == "chest" else wrist_phantom(12, (136, 80), seed=1)


def batch_of(anatomy: str, count: int, noise: float) -> tuple[Method, Batch]:
    """A method and `count` cases, the landmarks off by `noise` pixels, which makes maps fold."""
    data = cases(anatomy)
    method = create("denseseg", data.anatomy, data[0].size, channels=(4, 8))
    method.template = Template.from_landmarks(data.landmarks, data.anatomy, data[0].size)
    landmarks = data.landmarks[:count] + np.random.default_rng(0).normal(0, noise, data.landmarks[:count].shape)
    return method, Batch(torch.zeros(count, 1, *method.size), torch.as_tensor(landmarks, dtype=torch.float32))


@pytest.mark.parametrize("noise", [0.0, 1.3])
@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("anatomy", ["chest", "wrist"])
def test_targets_launch_little_and_hardly_wait(anatomy: str, count: int, noise: float) -> None:
    method, batch = batch_of(anatomy, count, noise)
    if anatomy == "wrist":
        beyond = batch.landmarks[..., 1] > method.size[0] - 1
        assert batch.landmarks.isnan().any() and beyond.any()  # absent bones, and shafts that the border cuts
    with PretendDevice() as device:
        there = method.targets(Batch(device.put(batch.images), device.put(batch.landmarks)))
    assert device.launches.total() <= LAUNCHES
    assert device.waits.total() <= WAITS
    assert bool(device.launches["cumprod"]) == bool(noise)  # folded maps were made again
    here = method.targets(batch)
    for name, value in here.items():
        assert isinstance(there[name], Shell)
        if not noise:
            torch.testing.assert_close(there[name].inner, value, atol=5e-3, rtol=0, equal_nan=True)


def test_the_landmark_loss_stays_on_the_device() -> None:
    method, batch = batch_of("wrist", 4, 0.0)
    uv = torch.rand(4, len(method.anatomy), 2, *method.size)
    with PretendDevice() as device:
        targets = device.put(uv_targets(method.template, uv))
        loss = landmark_uv(device.put(uv), device.put(batch.landmarks), targets, method.anatomy)
    assert device.launches.total() <= 60
    assert not device.waits
    expected = landmark_uv(uv, batch.landmarks, uv_targets(method.template, uv), method.anatomy)
    torch.testing.assert_close(loss.inner, expected)
