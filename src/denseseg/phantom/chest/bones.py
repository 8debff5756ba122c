"""Bones of the chest: ribs, spine, clavicles, shoulder blades and arms."""

from __future__ import annotations

from functools import cache

import numpy as np

from denseseg.phantom.canvas import Canvas, bump, ellipse, path_distance, rise, rod
from denseseg.phantom.chest.shapes import chest_wall, clavicle_outer_end, shoulder_blade
from denseseg.phantom.outlines import ShapeOutline
from denseseg.phantom.warps import Chain


@cache
def _ribs() -> list[tuple[float, float, float]]:
    """(level of the lateral tip, lateral reach, drop of the posterior half) of eleven ribs, in the lungs' canonical frame."""
    ribs = []
    for k in range(11):
        drop = 4.2 + 9.5 * (1 - np.exp(-k / 3.2))
        level = 6.3 + 6.0 * k + drop
        ribs.append((level, float(chest_wall(level)) + 1.0, drop))
    return ribs


def ribs(x: np.ndarray, y: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Attenuation of one side's ribs on a grid of canonical lung positions.

    A rib is a hoop that falls towards the front, so it projects to an ellipse: from the spine outwards and down (posterior),
    round the chest wall, then inwards and further down (anterior), until it ends in cartilage, which casts no shadow.
    """
    lateral = 50 - x if side == 0 else x - 50
    total = np.zeros_like(x)
    strength = rng.uniform(0.8, 1.25)
    for level, reach, drop in _ribs():
        level, breadth, tip = level + rng.normal(0, 0.25), rng.uniform(0.9, 1.1), rng.uniform(0.5, 0.64)
        near = np.any(np.abs(y - level) < 1.4 * drop + 3, axis=1)
        if not near.any():
            continue
        rows = slice(int(near.argmax()), len(near) - int(near[::-1].argmax()))
        u, v = lateral[rows] / reach, (y[rows] - level) / drop
        front = rise(v, 0.4)
        v = v / (1 + 0.35 * front)
        radius = np.sqrt(u * u + v * v) + 1e-3
        distance = (radius - 1) * radius / (np.sqrt((u / reach) ** 2 + (v / drop) ** 2) + 1e-6)
        half = breadth * (1.15 + 0.35 * front)
        shown = (1 - front) * rise(u - 0.12, 0.1) + 0.75 * front * rise(u - tip, 0.12)
        cortex = bump(np.abs(distance) - half + 0.25, 0.28) * (1.0 - 0.4 * (distance < 0))
        total[rows] += shown * rise(86 - y[rows], 8) * (0.06 * rod(distance, half) + 0.03 * cortex)
    return strength * total


def spine(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vertebral bodies with end plates, pedicles and spinous processes, on a grid of body positions near the midline."""
    phase = rng.uniform(0, 1)
    number = y * (1 - 0.0008 * y) / 5.9 + phase  # vertebrae grow downwards
    t = number - np.floor(number)
    body = rise(4.3 + 0.012 * y + 0.5 * (2 * t - 1) ** 2 - np.abs(x - 50), 1.1)
    disc = bump(np.minimum(t, 1 - t), 0.07)
    plate = bump(np.minimum(np.abs(t - 0.13), np.abs(t - 0.87)), 0.035)
    pedicles = bump(ellipse(np.abs(x - 50), t * 6, (2.9, 2.3), (0.75, 1.1)), 0.3)
    process = rise(ellipse(x, t * 6, (50, 4.6), (0.8, 1.6)), 0.5)
    return body * (0.115 - 0.03 * rise(y - 36, 14) - 0.03 * disc + 0.018 * plate + 0.022 * pedicles + 0.03 * process)


def clavicle(canvas: Canvas, chain: Chain, outline: ShapeOutline, side: int, contrast: float) -> None:
    """The labelled clavicle and, thinner, its acromial end beyond the label."""
    outer = clavicle_outer_end(side)
    window = canvas.window(chain, np.concatenate([outline.dense, outer.dense]), 2)
    x, y = canvas.frame(chain, window)
    open_end = rise((x if side == 0 else 100 - x) - 24.6, 1.2)  # no cortex where the label ends but the bone goes on
    for part, strength, edge in ((outline, 1.0, open_end), (outer, 0.6, 1 - open_end)):
        depth = part.depth(x, y)
        marrow, cortex = 0.07 * rise(depth, 0.5) + 0.04 * rise(depth - 0.8, 1.6), 0.07 * edge * bump(depth - 0.4, 0.3)
        canvas.attenuation[window] += contrast * strength * (marrow + cortex)


def shoulder(canvas: Canvas, chain: Chain, side: int, contrast: float) -> None:
    """Shoulder blade with its spine and coracoid process, and the upper arm, in the frame of the shoulder."""
    blade = shoulder_blade(side)
    window = canvas.window(chain, np.concatenate([blade.dense, [[-16 if side == 0 else 116, 80]]]), 3)
    x, y = canvas.frame(chain, window)
    out = x if side == 0 else 100 - x
    depth = blade.depth(x, y)
    total = 0.035 * rise(depth, 0.6) + 0.035 * bump(depth - 0.45, 0.35)
    ridge = path_distance(out, y, np.array([(17.5, 23.5), (10.0, 18.5), (4.5, 13.6), (2.0, 12.6)]))
    total += 0.05 * rod(ridge, 1.4)
    total += 0.05 * rise(ellipse(out, y, (8.3, 18.6), (2.0, 1.2), 30), 0.5)
    head = ellipse(out, y, (-1.2, 20.5), (5.6, 6.0))
    shaft = 3.1 - path_distance(out, y, np.array([(-3.0, 22.0), (-8.0, 45.0), (-14.0, 80.0)]))
    arm = np.maximum(head, shaft)
    total += 0.09 * rise(arm, 1.2) + 0.05 * bump(arm - 0.6, 0.45)
    canvas.attenuation[window] += contrast * total
