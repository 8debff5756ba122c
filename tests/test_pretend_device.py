"""The pretended device sees what a real one would: launches, waits, and mixed devices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pretend_device import DEVICE, PretendDevice, Shell
from torch import Tensor


@pytest.mark.parametrize(
    ("work", "launches"),
    [
        (lambda x: x.view(6)[1:].unflatten(0, (5, 1)).mT.expand(3, 1, 5), 0),
        (lambda x: x + 1, 1),
        (lambda x: x.mul_(2).add_(1), 2),
        (lambda x: torch.zeros(3, device=x.device) + x.new_ones(3), 3),
        (lambda x: torch.as_tensor([1.0, 2.0, 3.0]).to(x.device, non_blocking=True) * x, 2),
    ],
)
def test_launches(work: Callable[[Tensor], Tensor], launches: int) -> None:
    with PretendDevice() as device:
        result = work(device.put(torch.ones(2, 3)))
    assert isinstance(result, Shell) and result.device == DEVICE
    assert device.launches.total() == launches
    assert not device.waits


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.masked_select(x > 0),
        lambda x: torch.linalg.solve(x[:, :2], x),
        lambda x: torch.ones(2, 3).to(x.device) + x,
        lambda x: x.clone().copy_(torch.ones(2, 3)),
    ],
)
def test_waits(work: Callable[[Tensor], object]) -> None:
    with PretendDevice() as device:
        work(device.put(torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]])))
    assert device.waits.total() == 1


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x + torch.ones(2, 3),
        lambda x: x[torch.tensor([1, 0])],
        lambda x: torch.cat([x, torch.ones(2, 3)]),
        lambda x: x * torch.tensor([1.0, 2.0, 3.0], device=x.device),  # made of Python values: no value ever gets there
    ],
)
def test_mixed_devices_are_refused(work: Callable[[Tensor], object]) -> None:
    with PretendDevice() as device, pytest.raises(AssertionError, match="on the host"):
        work(device.put(torch.ones(2, 3)))
