"""The canonical chest: five outlines with 166 landmarks, and the silhouette of the body.

Units are hundredths of the field of view (one unit is 3.584 mm), x to the right and y down, the spine at x = 50.
The patient's right is on the left. All shapes are drawn by hand from general anatomy; none is traced from a patient.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from denseseg.phantom.outlines import Outline, from_pieces

RIGHT_LUNG = [
    # costophrenic angle -> base -> cardiophrenic angle, then up the mediastinum, over the apex and down the ribs
    ([(11.9, 83.6), (14.6, 78.2), (19.0, 74.2), (24.5, 71.2), (30.0, 69.8), (35.0, 69.6)], 9),
    (
        [(39.6, 71.4), (38.9, 65.5), (38.8, 59.0), (40.6, 51.5), (42.2, 44.5), (43.4, 36.5), (44.7, 27.5), (45.1, 18.5),
         (43.2, 11.2), (38.3, 7.6), (31.8, 9.4), (25.2, 14.6), (20.2, 22.8), (17.1, 33.0), (15.2, 45.0), (13.6, 58.5),
         (12.2, 71.5)],
        35,
    ),
]  # fmt: skip
LEFT_LUNG = [
    # cardiophrenic angle -> heart border, aortic knob, over the apex and down the ribs, then the base
    (
        [(74.9, 74.6), (75.4, 70.6), (74.6, 65.6), (72.2, 59.4), (68.4, 53.4), (64.2, 47.5), (61.6, 41.5), (60.4, 35.5),
         (61.0, 31.0), (60.3, 26.2), (56.9, 22.6), (56.0, 17.0), (58.0, 11.0), (62.6, 7.7), (69.0, 9.5), (75.6, 15.0),
         (80.6, 23.4), (83.5, 34.0), (85.5, 46.5), (87.2, 60.0), (88.6, 72.5)],
        43,
    ),
    ([(88.7, 84.2), (86.4, 80.3), (83.4, 77.0), (79.6, 75.0)], 7),
]  # fmt: skip
HEART = [
    ([(40.6, 71.0), (39.1, 65.5), (38.9, 59.0), (40.7, 52.4), (44.0, 47.4), (49.0, 45.2), (55.0, 44.6), (60.8, 45.4),
      (65.0, 49.0), (69.2, 54.6), (72.8, 60.4), (75.0, 66.4), (74.8, 72.0), (70.6, 75.4), (63.0, 76.4), (54.5, 76.0),
      (46.5, 74.0)], 26),
]  # fmt: skip
# Centre line (x, y) and half thickness of the right clavicle, from its lateral end to the sternal end; it continues
# as an unlabelled acromial end. The left one is its mirror image.
CLAVICLE = [(23.4, 13.1, 1.55), (27.0, 13.7, 1.6), (31.0, 15.1, 1.75), (35.0, 16.4, 1.95), (39.0, 17.1, 2.25),
            (42.2, 17.6, 2.95), (44.2, 18.3, 3.0)]  # fmt: skip
ACROMIAL_END = [(23.5, 13.1, 1.45), (19.0, 12.4, 1.3), (13.0, 11.6, 1.15), (8.0, 11.4, 1.25), (5.0, 11.9, 1.2), (4.2, 12.2, 0.5)]
SHOULDER_BLADE = [(20.5, 17.0), (18.8, 25.0), (16.2, 34.0), (13.2, 44.0), (11.2, 49.5), (9.0, 47.0), (7.6, 38.0), (5.6, 29.0),
                  (4.0, 24.0), (3.4, 18.6), (7.0, 17.5), (12.5, 17.2), (17.0, 15.4)]  # fmt: skip
BODY = [
    (43.0, -30.0), (42.6, -8.0), (41.4, -1.0), (36.5, 4.5), (27.0, 7.5), (15.0, 8.6), (4.0, 10.2), (-5.0, 16.0),
    (-12.0, 35.0), (-20.0, 70.0), (-26.0, 100.0), (-16.0, 104.0), (-8.0, 80.0), (-0.5, 58.0), (3.6, 50.5), (6.0, 56.0), (7.0, 66.0),
    (7.3, 82.0), (8.0, 110.0),
]  # fmt: skip


def _rod(line: list[tuple[float, float, float]]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Upper edge of a rod with the centre line (x, y, half thickness), and its lower edge on the way back."""
    x, y, half = np.array(line).T
    centre = np.stack([x, y], 1)
    along = np.gradient(centre, axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    normal *= np.sign(-normal[:, 1:])
    upper, lower = centre + normal * half[:, None], centre - normal * half[:, None]
    return [(float(a), float(b)) for a, b in upper], [(float(a), float(b)) for a, b in lower[::-1]]


def _clavicle() -> Outline:
    """23 landmarks: along the upper edge from lateral to medial, round the sternal end, back along the lower edge."""
    upper, lower = _rod(CLAVICLE)
    tip = (CLAVICLE[-1][0] + 0.9, CLAVICLE[-1][1] + 0.9)
    return from_pieces([(upper[:-1], 9), ([upper[-1], tip], 3), (lower[:-1], 10), ([lower[-1]], 1)])


@cache
def clavicle_outer_end(side: int) -> Outline:
    """The clavicle beyond its label, in the canonical frame of the clavicle; side 0 is the right one, 1 the left."""
    upper, lower = _rod(ACROMIAL_END)
    outline = from_pieces([(upper[:-1], 20), ([upper[-1]], 4), (lower[:-1], 20), ([lower[-1]], 4)])
    return mirrored(outline) if side else outline


@cache
def shoulder_blade(side: int) -> Outline:
    """Shoulder blade in the canonical frame of the shoulder; side 0 is the right one, 1 the left."""
    outline = from_pieces([(SHOULDER_BLADE, 60)])
    return mirrored(outline) if side else outline


def mirrored(outline: Outline) -> Outline:
    """The same outline on the other side of the spine, in the same anatomical order."""
    flip = np.array([-1.0, 1.0])
    return Outline(outline.landmarks * flip + [100.0, 0.0], outline.dense * flip + [100.0, 0.0])


def _from_apex(outline: Outline) -> Outline:
    """Let the landmarks start at the one nearest to the lung's highest point."""
    first = int(outline.landmarks[:, 1].argmin())
    per = len(outline.dense) // len(outline.landmarks)
    return Outline(np.roll(outline.landmarks, -first, 0), np.roll(outline.dense, -first * per, 0))


@cache
def chest_outlines() -> tuple[Outline, ...]:
    """The canonical outlines in the order of `CHEST`: right lung, left lung, heart, right clavicle, left clavicle.

    Lungs start at the apex and run down the chest wall first; the heart starts at its lower right corner and goes up;
    clavicles start at the lateral end and run along the upper edge first.
    """
    right, left = (_from_apex(from_pieces(pieces)) for pieces in (RIGHT_LUNG, LEFT_LUNG))
    return right, left, from_pieces(HEART), _clavicle(), mirrored(_clavicle())


@cache
def body_outline() -> Outline:
    """Silhouette of neck, shoulders, arms and trunk, symmetric about the spine, open far below the field."""
    half = from_pieces([(BODY, 60), ([(8.0, 140.0), (50.0, 140.0), (50.0, -30.0)], 20)])
    right = half.dense[: len(half.dense) * 3 // 4]
    left = (right * [-1, 1] + [100, 0])[::-1]
    return Outline(np.concatenate([right, left])[::10], np.concatenate([right, left]))
