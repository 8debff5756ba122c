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
BODY = [
    (43.2, -30.0), (42.8, -8.0), (41.6, 0.0), (37.0, 5.0), (27.0, 8.0), (15.0, 10.5), (4.0, 14.5), (-5.0, 24.0),
    (-9.0, 45.0), (-11.0, 80.0), (-12.0, 120.0), (-1.0, 122.0), (2.0, 90.0), (4.4, 62.0), (6.6, 56.0), (7.6, 63.0),
    (7.2, 82.0), (8.0, 110.0),
]  # fmt: skip


def _clavicle(mirror: bool) -> Outline:
    """23 landmarks: 10 along the upper edge from lateral to medial, 3 round the sternal end, 10 back along the lower edge."""
    x, y, half = np.array(CLAVICLE).T
    along = np.gradient(np.stack([x, y], 1), axis=0)
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    centre = np.stack([x, y], 1)
    upper = [tuple(p) for p in centre + normal * half[:, None]]
    lower = [tuple(p) for p in (centre - normal * half[:, None])[::-1]]
    tip = tuple(centre[-1] + np.array([0.9, 0.9]))
    outline = from_pieces([(upper[:-1], 9), ([upper[-1], tip], 3), (lower[:-1], 10), ([lower[-1]], 1)])
    return mirrored(outline) if mirror else outline


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
    return right, left, from_pieces(HEART), _clavicle(False), _clavicle(True)


@cache
def body_outline() -> Outline:
    """Silhouette of neck, shoulders, arms and trunk, symmetric about the spine, open far below the field."""
    half = from_pieces([(BODY, 60), ([(8.0, 140.0), (50.0, 140.0), (50.0, -30.0)], 20)])
    right = half.dense[: len(half.dense) * 3 // 4]
    left = (right * [-1, 1] + [100, 0])[::-1]
    return Outline(np.concatenate([right, left])[::10], np.concatenate([right, left]))
