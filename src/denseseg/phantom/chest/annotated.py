"""The canonical chest as people outline it, after the rules of the SCR annotation of JSRT.

The rules (B. van Ginneken et al., Medical Image Analysis 10, 2006, 19-40, and the data description of the SCR database): a lung is
what radiation passes without passing mediastinum, heart, aorta or what lies below the diaphragm, so its inner border *is* the
border of the heart and of the aortic arch; the top and the bottom of the heart, which nobody sees, are drawn from knowledge of
anatomy, between the places where its sides end; of a clavicle only what is seen upon lung and rib cage counts. A few distinguished
points are marked by hand, and the others lie at equal distances between them, counted in pixels of the contour. Their numbers:

lungs: 0 the highest point; 21 the costophrenic angle; 29 (right), 27 (left) the cardiophrenic corner; of the left one also 40 and
44, the lower and the upper end of the aortic arch. heart: 0 the cardiophrenic corner on the right; 5 and 12 the ends of its top; 18
the left corner. clavicles: 0 and 22 the lateral end; 9 and 13 the sternal end; 2 and 20 a short step from the lateral end.

Units, axes and the place of the shapes are those of `chest/shapes.py`. The shapes are drawn by hand on half units (1.8 mm), nothing
is fitted; the right border of the heart and that of the lung are the same points here, and so are the left ones.
"""

from __future__ import annotations

from functools import cache

from denseseg.phantom.chest.shapes import mirrored
from denseseg.phantom.outlines import Pair, Points, ShapeOutline, between

# (distance from the spine, y), from the corner at the diaphragm upwards
RIGHT_CORNER: Pair = (10.5, 69.0)
RIGHT_BORDER: Points = [(11.5, 64.5), (11.5, 59.5), (10.5, 54.0), (8.5, 48.5)]
LEFT_CORNER: Pair = (23.5, 73.0)
LEFT_BORDER: Points = [(25.0, 70.0), (25.0, 65.5), (23.0, 60.0), (19.0, 54.5), (15.0, 49.5), (12.0, 45.5)]
KNOB: Points = [(11.0, 41.0), (10.5, 37.0), (10.0, 33.5), (11.0, 30.5), (10.5, 27.0), (8.5, 24.5)]  # and what is below it
ARCH_TOP: Pair = (5.5, 23.5)
TOP: Points = [(-4.0, 45.5), (1.0, 44.5), (7.0, 44.5)]  # of the heart, from the right to the left, as x - 50
BOTTOM: Points = [(17.0, 74.5), (8.5, 74.5), (-1.0, 73.0)]

RIGHT_APEX, LEFT_APEX = (12.5, 8.5), (15.0, 8.5)
RIGHT_TOP: Points = [(5.5, 14.0), (8.0, 10.5), RIGHT_APEX, (18.5, 9.5), (24.5, 13.0)]
LEFT_TOP: Points = [(6.0, 14.0), (9.0, 10.5), LEFT_APEX, (20.5, 9.5), (25.5, 13.0)]
# rounder above than `chest_wall`, and wider and wider down to the diaphragm
WALL: Points = [(28.5, 18.0), (32.0, 25.0), (34.5, 34.0), (36.0, 45.0), (37.0, 57.0), (38.0, 69.0), (38.5, 78.0)]
RIGHT_ANGLE: Pair = (38.0, 85.0)
RIGHT_DOME: Points = [(36.0, 81.0), (33.0, 77.0), (28.0, 72.5), (22.0, 69.5), (16.0, 69.0)]  # from the angle inwards
LEFT_ANGLE: Pair = (38.0, 86.0)
LEFT_DOME: Points = [(36.0, 81.5), (33.0, 78.0), (29.0, 75.5)]


def _right(points: Points) -> Points:
    return [(50 - off, y) for off, y in points]


def _left(points: Points) -> Points:
    return [(50 + off, y) for off, y in points]


def _right_lung() -> ShapeOutline:
    mediastinum: Points = [(7.0, 42.0), (6.0, 34.0), (5.0, 25.0), (5.0, 18.0)]
    inner = [RIGHT_CORNER, *RIGHT_BORDER, *mediastinum, *RIGHT_TOP, *WALL]
    marks = [(RIGHT_APEX, 21), (RIGHT_ANGLE, 8), (RIGHT_CORNER, 15)]
    pieces = [_right([RIGHT_ANGLE, *RIGHT_DOME]), _right(inner)]
    return between(pieces, [(_right([mark])[0], n) for mark, n in marks])


def _left_lung() -> ShapeOutline:
    above = [ARCH_TOP, (5.5, 18.5), *LEFT_TOP, *WALL]
    inner = [LEFT_CORNER, *LEFT_BORDER, *KNOB]
    marks = [(LEFT_APEX, 21), (LEFT_ANGLE, 6), (LEFT_CORNER, 13), (KNOB[2], 4), (ARCH_TOP, 6)]
    pieces = [_left([LEFT_ANGLE, *LEFT_DOME]), _left(inner), _left(above)]
    return between(pieces, [(_left([mark])[0], n) for mark, n in marks])


def _heart() -> ShapeOutline:
    right, left = _right([RIGHT_CORNER, *RIGHT_BORDER]), _left([LEFT_CORNER, *LEFT_BORDER])
    pieces = [right[:-1], [right[-1], *_left(TOP)], left[::-1][:-1], [left[0], *_left(BOTTOM)]]
    return between(pieces, [(right[0], 5), (right[-1], 7), (left[-1], 6), (left[0], 8)])


def _clavicle() -> ShapeOutline:
    """The right one; the lateral end is cut where the bone leaves the rib cage, aslant."""
    upper: Points = [(25.0, 11.0), (28.5, 12.0), (33.0, 13.0), (38.0, 13.5)]
    sternal: Points = [(43.5, 13.0), (44.5, 14.5), (44.5, 17.5)]
    lower: Points = [(43.0, 20.0), (39.5, 18.5), (34.5, 17.0), (29.0, 15.5)]
    cut: Points = [(23.0, 13.5)]
    marks = [(upper[0], 2), ((27.5, 12.0), 7), (sternal[0], 4), (lower[0], 7), ((25.0, 14.5), 2), (cut[0], 1)]
    return between([upper, sternal, lower, cut], marks)


@cache
def annotated_outlines() -> tuple[ShapeOutline, ...]:
    """The canonical outlines in the order of `CHEST`, as `chest_outlines`, but drawn and numbered as in the SCR annotation."""
    return _right_lung(), _left_lung(), _heart(), _clavicle(), mirrored(_clavicle())
