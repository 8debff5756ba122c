"""What is odd about a case, and how much."""

from __future__ import annotations

from dataclasses import dataclass

SURE = 100.0  # the score of what is no matter of degree


@dataclass(frozen=True)
class Finding:
    """One thing that is odd.

    score: how odd, in units of what is just tolerated: 1 is the limit. case: its id, or that of the data set.
    what: what is odd, in words; mend: how to mend it, in words. example: the id of a case that shows it, where many do.
    """

    score: float
    case: str
    what: str
    mend: str
    example: str = ""

    def __str__(self) -> str:
        return f"{self.case}: {self.what}; {self.mend}"
