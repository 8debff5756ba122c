"""Where and with what a number was made: commit, versions, device."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("denseseg", "torch", "monai", "numpy")


def current_commit() -> str:
    """The commit of this package's source, with "+changes" where tracked files differ; "unknown" outside its repository."""
    here = Path(__file__).resolve()
    if _git("ls-files", "--error-unmatch", here.name, folder=here.parent) is None:
        return "unknown"  # installed elsewhere, perhaps inside a repository that is not ours
    commit = _git("rev-parse", "HEAD", folder=here.parent)
    changed = _git("status", "--porcelain", "--untracked-files=no", folder=here.parent)
    return "unknown" if commit is None else commit + ("+changes" if changed else "")


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def describe_device(device: torch.device | str = "cpu") -> str:
    """The device in words: the GPU's name, or the processor's and the number of threads."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads != 1 else ''}" if device.type == "cpu" else device.type


def processor_seconds() -> float:
    """Processor time of this process, all threads together, and of the programs that it called and that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def peak_memory(device: torch.device | str = "cpu") -> float | None:
    """The most memory in MiB that this process has held since `forget_peak_memory`: on a GPU its tensors there, else all that was
    resident. None on systems that do not tell; where they cannot forget, which Linux can, since the process began.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return _resident("RUSAGE_SELF")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def peak_memory_of_programs() -> float | None:
    """The most memory in MiB that any one program called by this process has held, of those that have ended."""
    return _resident("RUSAGE_CHILDREN")


def _resident(whose: str) -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(getattr(resource, whose)).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def forget_peak_memory() -> None:
    """Let the measurement of `peak_memory` begin anew."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine() or "unknown processor"
