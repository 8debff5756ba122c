"""What the hand phantom adds to the canonical hand of the wrist phantom: the last phalanges, and which places are landmarks."""

from __future__ import annotations

import numpy as np

from denseseg.phantom.warps import Pair
from denseseg.phantom.wrist.shapes import (
    METACARPALS,
    ORIGIN,
    PHALANGES,
    RADIUS_CAP,
    RADIUS_PLATE,
    ULNA_CAP,
    ULNA_PLATE,
    Tube,
)

Mark = tuple[str, Pair]  # a bone's name, and a place in the canonical hand
CARPAL_ENDS: dict[str, Pair] = {  # the proximal end of each, a control point of its outline, about ORIGIN
    "triquetrum": (-16.4, 18.0),
    "lunate": (-0.6, 22.4),
    "scaphoid": (9.8, 18.6),
    "hamate": (-8.6, 9.4),
    "capitate": (0.6, 12.0),
    "trapezoid": (13.6, -2.8),
    "trapezium": (22.8, -1.6),
}


def _last(middle: Tube, length: float) -> Tube:
    """The last phalanx of a finger: a broad base, a thin waist and a small head, in line with the middle one."""
    base, foot = 0.3 * length, middle.in_hand(np.array([[0.0, -middle.length - 1.6]]))[0] - ORIGIN
    joint = ((0.75 * base, 0.1), (0.2 * base, -0.3), (-0.2 * base, -0.3), (-0.75 * base, 0.1))
    return Tube((float(foot[0]), float(foot[1])), middle.degrees, length, base, 0.62 * base, 0.74 * base, joint, 3.4)


LAST = tuple(_last(finger[-1], length) for finger, length in zip(PHALANGES[1:], (17, 18, 18, 16), strict=True))
FINGERS = (PHALANGES[0], *((*finger, last) for finger, last in zip(PHALANGES[1:], LAST, strict=True)))  # from the thumb on


def phalanx(finger: int, number: int) -> str:
    """The name of a phalanx; both numbers from 0 on, as in `FINGERS`."""
    return f"phalanx {finger + 1}.{number + 1}"


def _in_hand(tube: Tube, place: Pair) -> Pair:
    x, y = tube.in_hand(np.array(place))
    return float(x), float(y)


def _marks() -> tuple[Mark, ...]:
    about_origin = [
        ("ulna", ULNA_PLATE[0]),
        ("epiphysis of ulna", ULNA_CAP[1][3]),
        ("ulna", ULNA_PLATE[-1]),
        ("radius", RADIUS_PLATE[0]),
        ("radius", RADIUS_PLATE[-1]),
        ("epiphysis of radius", RADIUS_CAP[0][0]),
        *CARPAL_ENDS.items(),
    ]
    marks: list[Mark] = [(bone, (x + ORIGIN[0], y + ORIGIN[1])) for bone, (x, y) in about_origin]
    marks += [(f"metacarpal {n}", _in_hand(METACARPALS[n - 1], METACARPALS[n - 1].joint[2])) for n in range(5, 0, -1)]
    for finger, bones in enumerate(FINGERS):
        for number, bone in enumerate(bones):
            marks.append((phalanx(finger, number), _in_hand(bone, (0.0, -0.3))))
        marks.append((phalanx(finger, len(bones) - 1), _in_hand(bones[-1], (0.0, -bones[-1].length))))
    return tuple(marks)


MARKS = _marks()  # in the order of HAND
