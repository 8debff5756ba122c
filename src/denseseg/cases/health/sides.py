"""Left and right: a hand that was mirrored together with its landmarks looks like the other hand; only a table can tell.

Where a column says which side a case is of, and the set shows one side as the mirror image of the other, all cases are compared as
of one side, and those that look like the other side are named. Without such a column a set of both sides cannot be judged so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.health.finding import Finding
from denseseg.cases.health.norm import LEAST, aligned_to, distinct, misfit

COLUMNS = ("laterality", "side")  # of cases.csv
SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
OTHER = {"left": "right", "right": "left"}
AGREE = 0.8  # sides can be told apart where left and right hands differ so much in the share that resembles a reference case
UPRIGHT = 60  # degrees by which two hands may be turned against each other


def one_sided(cases: CaseSet) -> tuple[CaseSet, list[Finding]]:
    """All cases as of one side, in the order given, and those that look like another side than their table says.

    The set is left alone where no column tells sides, where one side was mirrored already so that all look alike, or where shapes
    look like their mirror images.
    """
    sides = {case.id: side for case in cases if (side := _side(case)) and distinct(case.landmarks) >= 3}
    if len(sides) < LEAST or len(set(sides.values())) < 2:
        return cases, []
    first = max((case for case in cases if case.id in sides), key=lambda case: np.isfinite(case.landmarks).sum())
    alike = {case.id: _looks_like(case, first) for case in cases if case.id in sides}
    left, right = (np.mean([alike[name] is True for name, told in sides.items() if told == side]) for side in OTHER)
    if abs(left - right) < AGREE:
        return cases, []
    expected = {name: (side == "left") == bool(left > right) for name, side in sides.items()}  # to look like the first
    wrong = [name for name, looks in alike.items() if looks is (not expected[name])]
    findings = [
        Finding(
            9.0,
            name,
            f"its landmarks look like a {OTHER[sides[name]]} {cases.anatomy.name}'s, and its table says {sides[name]}",
            "mirror them, and its image where that shows the same, or correct the table",
        )
        for name in wrong
    ]
    as_first = [case if expected.get(case.id, True) != (case.id in wrong) else mirrored(case) for case in cases]
    return CaseSet(cases.name, cases.anatomy, as_first, cases.info), findings


def mirrored(case: Case) -> Case:
    """Image, landmarks and masks mirrored left to right."""
    points = case.landmarks * (-1, 1) + (case.size[1] - 1, 0)
    return replace(case, image=case.image[:, ::-1], landmarks=points, masks=None if case.masks is None else case.masks[..., ::-1])


def _looks_like(case: Case, other: Case) -> bool | None:
    """Whether its landmarks are more like the other's than their mirror image is; None where that cannot be said.

    So it is where they would have to be turned, too: such are of no other hand, but wrong in another way, such as upside down.
    """
    if distinct(np.where(np.isfinite(other.landmarks), case.landmarks, np.nan)) < 3:
        return None
    mirror = case.landmarks * (-1, 1)
    alike = misfit(case.landmarks, other.landmarks) <= misfit(mirror, other.landmarks)
    turn = aligned_to(other.landmarks, case.landmarks if alike else mirror)[1].angle
    return alike if abs(turn) < np.radians(UPRIGHT) else None


def _side(case: Case) -> str | None:
    return next((SIDES[word] for name in COLUMNS if (word := str(case.metadata.get(name)).strip().lower()) in SIDES), None)
