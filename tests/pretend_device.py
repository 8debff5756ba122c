"""A device that is only pretended, on a CPU: it counts what is launched on it and how often the program waits for it.

A tensor on it is a shell that says it lives on the device "meta" (a name that torch has and nobody computes on) round a tensor on
the CPU. Every aten operation on a shell comes by here, with these rules:

- A launch is an operation that is no view. A view is one whose schema says that its result shares an argument's memory and that
  it writes to none.
- A wait is an operation that must know values before the program can go on: reading one (`item`, also hidden in `bool` and `if`), a
  copy to the host (`cpu`, `tolist`), a result whose size depends on values (`nonzero`, `unique`, a bool mask as index), a check
  for errors (`torch.linalg.solve`, unlike `solve_ex`), and a copy from the host that is not `non_blocking`.
- Devices may not be mixed: a tensor of the host that is no scalar may not meet one of the device, not even as an index, which a
  real device would take after waiting for its copy. The same goes for a tensor made of Python values on the device (`new_tensor`,
  `torch.tensor(..., device=...)`), which is such a copy in disguise.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from denseseg.methods.network_method import NetworkMethod

DEVICE = torch.device("meta")
WAITS = {"_local_scalar_dense", "nonzero", "_unique", "_unique2", "unique_dim", "masked_select", "equal", "_linalg_check_errors"}


class Shell(Tensor):
    """A tensor on the pretended device; its values are those of `inner`, on the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Shell:
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        shell = Tensor._make_wrapper_subclass(cls, inner.shape, device=DEVICE, requires_grad=inner.requires_grad, **layout)
        shell.inner = inner
        return shell

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {}, None)


class PretendDevice(TorchDispatchMode):
    """Inside `with PretendDevice() as device:`, `device.put(tensor)` moves a tensor there, and what follows is counted.

    launches: names of the launched operations, counted. waits: the same for those that waited.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {}, self)

    @staticmethod
    def put(tensor: Tensor) -> Shell:
        return Shell(tensor)


def keep_trained_networks_there() -> None:
    """From now on, in this process, `fit` trains on the CPU and then leaves the network on the pretended device."""
    fit = NetworkMethod.fit

    def fit_and_put(self: NetworkMethod, *args: Any, **kwargs: Any) -> pd.DataFrame:
        with _disable_current_modes():
            history = fit(self, *args, **kwargs)
        for module in self.network.modules():
            for name, value in module._parameters.items():
                if value is not None:
                    module._parameters[name] = Parameter(Shell(value.detach()), requires_grad=False)
            for name, value in module._buffers.items():
                if value is not None:
                    module._buffers[name] = Shell(value)
        return history

    NetworkMethod.fit = fit_and_put  # type: ignore[method-assign]
    PretendDevice().__enter__()


def run(function: Any, args: Any, kwargs: dict[str, Any], counter: PretendDevice | None) -> Any:
    """Carry an operation out on the CPU, refuse mixed devices, count."""
    name = function._schema.name.removeprefix("aten::")
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    shells = [t for t in tensors if isinstance(t, Shell)]
    asked = kwargs.get("device")
    there = asked == DEVICE or (asked is None and bool(shells))  # where the result is to be
    if shells and name not in ("_to_copy", "copy_"):
        mixed = [tuple(t.shape) for t in tensors if not isinstance(t, Shell) and t.dim()]
        assert not mixed, f"{name}: a tensor of shape {mixed[0]} on the host meets tensors on the device"
    if asked == DEVICE:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if counter is not None and (shells or there):
        _count(counter, name, function, args, kwargs, shells, there)
    result = function(*_opened(args), **_opened(kwargs))
    if not there:
        return result
    known = {id(shell.inner): shell for shell in shells}  # an operation in place gives its own argument back
    return tree_map(lambda t: (known[id(t)] if id(t) in known else Shell(t)) if isinstance(t, Tensor) else t, result)


def _opened(values: Any) -> Any:
    return tree_map(lambda t: t.inner if isinstance(t, Shell) else t, values)


def _count(counter: PretendDevice, name: str, function: Any, args: Any, kwargs: Any, shells: list[Shell], there: bool) -> None:
    aliases = [a.alias_info for a in function._schema.arguments if a.alias_info is not None]
    if not aliases or any(alias.is_write for alias in aliases):
        counter.launches[name] += 1
    crosses = name in ("_to_copy", "copy_") and (bool(shells) != there or (name == "copy_" and len(shells) == 1))
    blocking = not (kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,))) or not there
    picks = name in ("index", "index_put", "index_put_") and any(
        t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1]
    )
    if name in WAITS or picks or (crosses and blocking):
        counter.waits[name] += 1
