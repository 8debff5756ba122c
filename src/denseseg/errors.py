"""What is told to people when something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable


class DataError(ValueError):
    """Bad input. The message names the file or case, what is wrong, and the mend."""


def exit_status(prepare: Callable[[], None]) -> int:
    """Run a script's work: 0, or 1 after an error told in one line, or 130 where the user stopped it."""
    try:
        prepare()
    except (DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0
