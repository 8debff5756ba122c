"""The canonical hand: 17 outlines with 710 landmarks, of a mature left hand, and the phalanges.

Units are mm, which are also hundredths of the canonical field; x to the right, y down. The hand lies on its palm with the fingers
up, so the thumb is on the right, the radius below it. Shapes are authored about the centre of the capitate, which lies at ORIGIN.
All outlines run clockwise on the screen. The shapes are constructed: smooth curves through a few round numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from denseseg.anatomy import WRIST
from denseseg.phantom.outlines import Points, ShapeOutline, even

ORIGIN = (44.0, 50.0)
PHYSIS = 32.0  # level of the growth plates of radius and ulna
SHAFT_END = 122.0
TABLE = {"reach": 3.0, "cells": 120}  # what drawing a bone needs to know about the depth below its surface

# Control points, clockwise from the landmark 0: the corner or tip that the comment names.
CARPALS: dict[str, Points] = {
    # radial corner of the joint with the middle metacarpal
    "capitate": [(7.6, -11.6), (7.9, -7.5), (6.6, -2.5), (6.4, 2.5), (6.6, 7.0), (4.4, 10.8), (0.6, 12.0), (-3.2, 10.6),
                 (-5.2, 6.5), (-5.0, 1.5), (-5.6, -3.5), (-7.0, -8.0), (-6.6, -11.4), (-1.0, -12.4), (4.0, -12.2)],
    # radial corner of the joint with the fourth metacarpal
    "hamate": [(-8.6, -11.6), (-7.7, -7.0), (-6.5, -1.0), (-6.2, 4.5), (-6.8, 8.8), (-8.6, 9.4), (-12.4, 5.6), (-17.0, 1.2),
               (-21.6, -2.5), (-22.6, -6.5), (-20.6, -9.8), (-15.5, -11.2), (-11.5, -12.2)],
    # distal radial horn
    "lunate": [(5.6, 12.4), (7.0, 14.4), (6.8, 18.0), (4.2, 21.2), (-0.6, 22.4), (-5.6, 21.6), (-9.0, 18.6), (-9.6, 14.6),
               (-8.0, 11.8), (-5.0, 11.9), (-1.8, 13.6), (1.8, 13.6)],
    # distal pole
    "pisiform": [(-19.2, 5.6), (-15.8, 7.2), (-14.6, 11.0), (-16.2, 14.8), (-19.8, 15.8), (-23.0, 13.6), (-23.8, 9.6),
                 (-22.4, 6.6)],
    # distal pole, beside the trapezoid
    "scaphoid": [(18.6, -0.6), (23.2, -0.2), (25.6, 3.4), (24.0, 8.2), (21.2, 11.6), (19.2, 15.4), (14.6, 18.6), (9.8, 18.6),
                 (7.6, 15.4), (8.4, 11.6), (10.6, 8.0), (12.6, 4.6), (14.6, 1.2)],
    # radial corner of the joint with the thumb
    "trapezium": [(29.4, -7.2), (27.6, -3.0), (22.8, -1.6), (18.0, -1.8), (15.6, -4.4), (16.4, -9.0), (18.0, -13.4),
                  (21.6, -14.8), (24.6, -12.6), (26.8, -9.8)],
    # radial corner of the joint with the index metacarpal
    "trapezoid": [(17.6, -14.0), (18.0, -9.6), (16.4, -4.6), (13.6, -2.8), (10.4, -3.8), (8.8, -7.6), (8.8, -12.4),
                  (10.6, -15.2), (14.0, -16.0)],
    # distal tip, between hamate and ulnar border
    "triquetrum": [(-21.2, 0.0), (-17.6, 3.4), (-13.6, 7.0), (-10.4, 10.2), (-10.6, 14.6), (-12.6, 18.2), (-16.4, 18.0),
                   (-20.4, 14.8), (-23.6, 9.8), (-24.4, 4.0), (-23.4, 0.6)],
}  # fmt: skip


@dataclass(frozen=True)
class Tube:
    """A metacarpal bone or a phalanx: a straight axis with a base, a waist and a round head.

    foot: where its axis begins, in the canonical hand; degrees: of the axis, clockwise from straight up; length;
    base, waist, head: half widths; joint: the base's surface from its radial to its ulnar corner, about the foot;
    plate: distance of the growth plate from the foot.
    """

    foot: tuple[float, float]
    degrees: float
    length: float
    base: float
    waist: float
    head: float
    joint: tuple[tuple[float, float], ...]
    plate: float

    @property
    def contour(self) -> Points:
        """Control points in the upright frame (foot at the origin, head up), from the tip of the head clockwise."""
        n, b, w, h = -self.length, self.base, self.waist, self.head
        neck = n + min(2.6 * h, 0.35 * self.length)
        right = [(0.62 * h, n + 0.16 * h), (0.98 * h, n + 0.72 * h), (0.93 * h, n + 1.3 * h), (1.18 * w, neck)]
        right += [(w, 0.52 * n), (1.1 * w, 0.26 * n - 0.65 * b), (0.84 * b, -1.3 * b), (b, -0.62 * b)]
        left = [(-x, y) for x, y in reversed(right)]
        return [(0.0, n), *right, *self.joint, *left]

    def upright(self, points: np.ndarray) -> np.ndarray:
        """Points of the canonical hand in the upright frame."""
        return self._turned(np.asarray(points) - np.array(self.root), -self.degrees)

    def in_hand(self, points: np.ndarray) -> np.ndarray:
        """Points of the upright frame in the canonical hand."""
        return self._turned(np.asarray(points, dtype=float), self.degrees) + np.array(self.root)

    @property
    def root(self) -> tuple[float, float]:
        """The foot in the canonical hand."""
        return self.foot[0] + ORIGIN[0], self.foot[1] + ORIGIN[1]

    @staticmethod
    def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        return points @ np.array([[c, s], [-s, c]])


METACARPALS = (
    Tube((28.8, -10.8), 33, 43, 7.4, 4.9, 7.2, ((5.6, -0.6), (2.4, 0.9), (-1.4, 0.2), (-5.0, 1.2)), 8),
    Tube((13.8, -15.8), 9, 65, 7.6, 4.4, 7.2, ((6.4, 0.8), (3.2, 1.2), (0.0, -0.2), (-4.6, 2.0)), 54.5),
    Tube((1.0, -13.6), 0, 63, 7.0, 4.4, 7.2, ((6.0, -1.2), (2.6, 0.2), (-1.6, 0.4), (-5.2, 0.0)), 52.5),
    Tube((-11.4, -12.8), -8, 55, 5.9, 3.7, 6.5, ((4.4, -0.2), (1.4, 0.2), (-2.0, 0.2), (-4.6, -0.4)), 45.5),
    Tube((-20.6, -9.8), -19, 51, 6.1, 3.8, 6.4, ((4.6, -0.8), (2.0, 0.4), (-1.8, 0.6), (-5.2, -1.4)), 42),
)


def _phalanges() -> tuple[tuple[Tube, ...], ...]:
    """For each finger its phalanges from proximal to distal, in line with the metacarpal bone; the last ones are left out."""
    lengths = ((30, 21), (39, 22), (43, 26), (40, 25), (32, 18))
    fingers = []
    for metacarpal, finger in zip(METACARPALS, lengths, strict=True):
        bones, reach = [], metacarpal.length + 1.8
        for length in finger:
            base, foot = 0.175 * length + 0.6 if length > 28 else 6.0, metacarpal.in_hand(np.array([[0.0, -reach]]))[0] - ORIGIN
            joint = ((0.75 * base, 0.1), (0.2 * base, -0.3), (-0.2 * base, -0.3), (-0.75 * base, 0.1))
            place = (float(foot[0]), float(foot[1]))
            bones.append(Tube(place, metacarpal.degrees, length, base, 0.62 * base, 0.78 * base, joint, 4.2))
            reach += length + 1.6
        fingers.append(tuple(bones))
    return tuple(fingers)


PHALANGES = _phalanges()


# Radius and ulna end distally in their growth plates, and proximally where the label ends, beyond the image.
RADIUS_PLATE: Points = [(-5.0, PHYSIS - 0.6), (2.0, PHYSIS + 0.8), (10.0, PHYSIS + 1.2), (18.0, PHYSIS + 0.2), (25.0, PHYSIS - 1.6)]
ULNA_PLATE: Points = [(-24.6, PHYSIS + 1.2), (-20.5, PHYSIS + 2.0), (-16.0, PHYSIS + 2.0), (-11.4, PHYSIS + 1.0)]


def _radius() -> list[Points]:
    lateral = [(25.2, 33.6), (24.6, 37.0), (22.0, 43.0), (18.2, 51.0), (15.6, 61.0), (14.4, 75.0), (14.2, 95.0), (14.0, 112.0)]
    medial = [(-1.2, 108.0), (-0.4, 92.0), (0.8, 76.0), (1.2, 62.0), (-0.8, 51.0), (-3.8, 43.0), (-5.4, 36.5)]
    return [RADIUS_PLATE[:-1], [RADIUS_PLATE[-1], *lateral], [(14.0, SHAFT_END)], [(-1.4, SHAFT_END), *medial]]


def _ulna() -> list[Points]:
    lateral = [(-11.0, 35.0), (-11.2, 39.0), (-13.0, 46.0), (-13.4, 56.0), (-12.6, 72.0), (-11.8, 95.0), (-11.4, 112.0)]
    medial = [(-23.8, 110.0), (-23.8, 92.0), (-24.0, 72.0), (-24.2, 54.0), (-24.8, 44.0), (-25.4, 37.0)]
    return [ULNA_PLATE[:-1], [ULNA_PLATE[-1], *lateral], [(-11.4, SHAFT_END)], [(-23.8, SHAFT_END), *medial]]


# From the tip of the styloid process down the outer side; back along the growth plate; then up again and along the joint surface.
RADIUS_CAP: list[Points] = [
    [(24.6, 17.2), (27.0, 19.8), (27.4, 24.5), (26.6, 28.0)],
    RADIUS_PLATE[:0:-1],
    [(-5.0, PHYSIS - 0.6), (-6.2, 29.4), (-5.6, 26.8), (-3.0, 25.4), (1.0, 24.9), (5.0, 23.9), (9.4, 22.2), (14.0, 20.8),
     (18.4, 19.0), (21.6, 17.0)],
]  # fmt: skip
ULNA_CAP: list[Points] = [
    ULNA_PLATE[:0:-1],
    [(-24.6, PHYSIS + 1.2), (-26.0, 29.8), (-26.0, 26.6), (-24.6, 24.8), (-22.2, 26.0), (-19.6, 27.2), (-16.8, 26.8), (-14.0, 26.6),
     (-11.6, 27.8), (-10.8, 30.2)],
]  # fmt: skip


def _placed(pieces: list[Points], count: int, start: tuple[float, float]) -> ShapeOutline:
    moved = [[(x + ORIGIN[0], y + ORIGIN[1]) for x, y in piece] for piece in pieces]
    return even(moved, count, (start[0] + ORIGIN[0], start[1] + ORIGIN[1]), **TABLE)


def tube_outline(tube: Tube, count: int) -> ShapeOutline:
    """A metacarpal bone or phalanx in the canonical hand, landmark 0 at the tip of the head."""
    points = tube.in_hand(np.array(tube.contour))
    return even([[(float(x), float(y)) for x, y in points]], count, tuple(points[0]), **TABLE)


def _outline(name: str, count: int) -> ShapeOutline:
    if name in CARPALS:
        return _placed([CARPALS[name]], count, CARPALS[name][0])
    if name.startswith("metacarpal"):
        return tube_outline(METACARPALS[int(name[-1]) - 1], count)
    pieces, start = {
        "epiphysis of radius": (RADIUS_CAP, RADIUS_CAP[0][0]),
        "epiphysis of ulna": (ULNA_CAP, (-24.6, 24.8)),
        "radius": (_radius(), RADIUS_PLATE[-1]),
        "ulna": (_ulna(), ULNA_PLATE[0]),
    }[name]
    return _placed(pieces, count, start)


@cache
def wrist_outlines() -> tuple[ShapeOutline, ...]:
    """The canonical outlines in the order of `WRIST`. Landmark 0 is

    the tip of the styloid process (epiphyses), the corner or pole that `CARPALS` names (carpals), the tip of the head
    (metacarpals), the radial corner of the growth plate (radius), its ulnar corner (ulna); all run clockwise on the screen.
    """
    return tuple(_outline(structure.name, structure.count) for structure in WRIST.structures)


@cache
def phalanx_outlines(fingers: tuple[tuple[Tube, ...], ...] = PHALANGES) -> tuple[tuple[ShapeOutline, ...], ...]:
    """Outlines of the phalanges of each finger."""
    return tuple(tuple(tube_outline(bone, 40) for bone in finger) for finger in fingers)
