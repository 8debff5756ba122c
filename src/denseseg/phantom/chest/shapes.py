"""The canonical chest: five outlines with 166 landmarks, and the silhouette of the body.

Units are hundredths of the field of view (one unit is 3.584 mm), x to the right and y down, the spine at x = 50.
The patient's right is on the left. The shapes are constructed: the chest wall is one exponential curve on both sides, the
heart a sheared egg, the left lung makes room for that egg, the clavicle is a sine wave; the rest are round numbers.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from denseseg.phantom.outlines import Points, ShapeOutline, from_pieces

APEX: Points = [(7.3, 10.8), (12.5, 7.2), (18.5, 9.4)]  # (distance from the spine, y)


def chest_wall(y: np.ndarray | float) -> np.ndarray:
    """Distance of the lungs' lateral border from the spine at the height y: quickly wide, then almost straight."""
    return 10 + 28 * (1 - np.exp(-(np.asarray(y) - 6) / 13))


def _wall() -> Points:
    """The chest wall from the apex down, as (distance from the spine, y)."""
    return [(float(chest_wall(y)), y) for y in (14.5, 22.0, 31.0, 42.0, 55.0, 69.0)]


def _heart_border(degrees: np.ndarray | float) -> np.ndarray:
    """(..., 2) points of the heart's outline: an ellipse, sheared towards the apex and wider below; 0 degrees is the apex."""
    phi = np.deg2rad(degrees)
    c, s = np.cos(phi), np.sin(phi)
    corner = np.where((c < 0) & (s > 0), 0.62, 1.0)  # fuller where it meets the right diaphragm
    across, down = np.sign(c) * np.abs(c) ** corner, np.sign(s) * np.abs(s) ** corner
    return np.stack([56.5 + 17.5 * across + 1.5 * down, 59.5 + 14 * down + 4 * c], axis=-1)


def _right_lung() -> ShapeOutline:
    beside_heart = [(50 - x, y) for x, y in _heart_border(np.array([164.0, 180.0, 200.0]))]
    mediastinum = [(5.5 + 3.5 * ((y - 16) / 30) ** 2, y) for y in (43.0, 34.0, 25.0, 16.0)]
    corner = (10.4, 70.0)
    dome = [(corner[0] + 27.5 * t, corner[1] - 4 * np.sin(np.pi * t) + 12 * t**2) for t in (0.8, 0.6, 0.4, 0.2)]
    angle = (float(chest_wall(82.0)), 82.0)
    pieces = [([angle, *dome], 8), ([corner, *beside_heart, *mediastinum, *APEX, *_wall()], 36)]
    return _from_apex(from_pieces([([(50 - off, y) for off, y in piece], n) for piece, n in pieces]))


def _left_lung() -> ShapeOutline:
    beside_heart = [(x - 50, y) for x, y in _heart_border(np.array([10.0, -5.0, -20.0, -35.0, -48.0]))]
    hilum = [(11.0, 41.0)]
    knob = [(6 + 4.5 * float(np.exp(-(((y - 29) / 5.5) ** 2))), y) for y in (34.0, 29.0, 25.0, 20.0, 15.5)]
    angle, corner = (float(chest_wall(83.0)), 83.0), (24.5, 73.0)
    dome = [(corner[0] + 13.5 * t, corner[1] - 1.0 * np.sin(np.pi * t) + 10 * t**2) for t in (0.75, 0.5, 0.25)]
    pieces = [([corner, *beside_heart, *hilum, *knob, *APEX, *_wall()], 44), ([angle, *dome], 6)]
    return _from_apex(from_pieces([([(50 + off, y) for off, y in piece], n) for piece, n in pieces]))


def _heart() -> ShapeOutline:
    return from_pieces([(_heart_border(np.arange(140, 500, 20)).tolist(), 26)])


def _clavicle_line() -> np.ndarray:
    """(7, 3) centre line (x, y) and half thickness of the right clavicle from its lateral end to the sternal end."""
    t = np.linspace(0, 1, 7)
    return np.stack([23 + 21 * t, 13 + 5 * t - 0.8 * np.sin(2 * np.pi * t), 1.7 + 1.2 * t**2], axis=1)


# The clavicle beyond its label, the shoulder blade, and half of the body's silhouette.
ACROMIAL_END = [(23.1, 13.0, 1.5), (19.0, 12.2, 1.3), (13.0, 11.6, 1.15), (8.0, 11.4, 1.25), (5.0, 11.9, 1.2), (4.2, 12.2, 0.5)]
SHOULDER_BLADE = [(20.5, 17.0), (18.8, 25.0), (16.2, 34.0), (13.2, 44.0), (11.2, 49.5), (9.0, 47.0), (7.6, 38.0), (5.6, 29.0),
                  (4.0, 24.0), (3.4, 18.6), (7.0, 17.5), (12.5, 17.2), (17.0, 15.4)]  # fmt: skip
BODY = [
    (43.0, -30.0), (42.6, -8.0), (41.4, -1.0), (36.5, 4.5), (27.0, 7.5), (15.0, 8.6), (4.0, 10.2), (-5.0, 16.0),
    (-12.0, 35.0), (-20.0, 70.0), (-26.0, 100.0), (-16.0, 104.0), (-8.0, 80.0), (-0.5, 58.0), (3.6, 50.5), (6.0, 56.0), (7.0, 66.0),
    (7.3, 82.0), (8.0, 110.0),
]  # fmt: skip


def _rod(line: np.ndarray) -> tuple[Points, Points]:
    """Upper edge of a rod with the centre line (n, 3) of x, y, half thickness, and its lower edge on the way back."""
    centre, half = line[:, :2], line[:, 2:]
    along = np.gradient(centre, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    normal *= np.sign(-normal[:, 1:])
    return (centre + normal * half).tolist(), (centre - normal * half)[::-1].tolist()


def _clavicle() -> ShapeOutline:
    """23 landmarks: along the upper edge from lateral to medial, round the sternal end, back along the lower edge."""
    line = _clavicle_line()
    upper, lower = _rod(line)
    tip = (line[-1][0] + 0.9, line[-1][1] + 0.9)
    return from_pieces([(upper[:-1], 9), ([upper[-1], tip], 3), (lower[:-1], 10), ([lower[-1]], 1)])


@cache
def clavicle_outer_end(side: int) -> ShapeOutline:
    """The clavicle beyond its label, in the canonical frame of the clavicle; side 0 is the right one, 1 the left."""
    upper, lower = _rod(np.array(ACROMIAL_END))
    outline = from_pieces([(upper[:-1], 20), ([upper[-1]], 4), (lower[:-1], 20), ([lower[-1]], 4)])
    return mirrored(outline) if side else outline


@cache
def shoulder_blade(side: int) -> ShapeOutline:
    """Shoulder blade in the canonical frame of the shoulder; side 0 is the right one, 1 the left."""
    outline = from_pieces([(SHOULDER_BLADE, 60)])
    return mirrored(outline) if side else outline


def mirrored(outline: ShapeOutline) -> ShapeOutline:
    """The same outline on the other side of the spine, in the same anatomical order."""
    flip = np.array([-1.0, 1.0])
    return ShapeOutline(outline.landmarks * flip + [100.0, 0.0], outline.dense * flip + [100.0, 0.0])


def _from_apex(outline: ShapeOutline) -> ShapeOutline:
    """Let the landmarks start at the one nearest to the lung's highest point."""
    first = int(outline.landmarks[:, 1].argmin())
    per = len(outline.dense) // len(outline.landmarks)
    return ShapeOutline(np.roll(outline.landmarks, -first, 0), np.roll(outline.dense, -first * per, 0))


@cache
def chest_outlines() -> tuple[ShapeOutline, ...]:
    """The canonical outlines in the order of `CHEST`: right lung, left lung, heart, right clavicle, left clavicle.

    Lungs start at the apex and run down the chest wall first; the heart starts at its lower right corner and goes up;
    clavicles start at the lateral end and run along the upper edge first.
    """
    return _right_lung(), _left_lung(), _heart(), _clavicle(), mirrored(_clavicle())


@cache
def body_outline() -> ShapeOutline:
    """Silhouette of neck, shoulders, arms and trunk, symmetric about the spine, open far below the field."""
    half = from_pieces([(BODY, 60), ([(8.0, 140.0), (50.0, 140.0), (50.0, -30.0)], 20)])
    right = half.dense[: len(half.dense) * 3 // 4]
    left = (right * [-1, 1] + [100, 0])[::-1]
    return ShapeOutline(np.concatenate([right, left])[::10], np.concatenate([right, left]))
