"""What several test files share and pytest need not know."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_disk() -> Iterator[None]:
    """Inside, no file may grow beyond 1 KiB: the system then refuses to write, as it does on a full disk.

    A context, not a fixture that ends after the test: pytest's own report may go to a file, and would fail with it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
