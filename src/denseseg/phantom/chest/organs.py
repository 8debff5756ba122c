"""Soft tissues of the chest: body wall, lungs with their vessels, heart and great vessels, airways, stomach."""

from __future__ import annotations

import numpy as np

from denseseg.phantom.canvas import Canvas, Grid, bump, ellipse, path_distance, rise
from denseseg.phantom.chest.bones import ribs
from denseseg.phantom.chest.population import Physiology
from denseseg.phantom.chest.randomisation import Tissues
from denseseg.phantom.chest.shapes import body_outline
from denseseg.phantom.outlines import ShapeOutline
from denseseg.phantom.warps import Chain


def body_wall(x: np.ndarray, y: np.ndarray, skin: Grid, who: Physiology, tissues: Tissues, rng: np.random.Generator) -> np.ndarray:
    """Soft tissue of trunk, neck, shoulders and breasts on the grid of body positions; the silhouette is looked up at `skin`."""
    depth = np.maximum(body_outline().depth(*skin), 0)
    off = np.abs(x - 50)
    thick = 0.79 + 0.03 * who.tissue + 0.07 * rise(20 - off, 26) * rise(y - 30, 40) + 0.22 * rise(y - 88, 40)
    thick = thick - 0.10 * rise(4 - y, 18) + 0.18 * bump(y - 7, 6.5) * bump(off - 17, 10)  # neck; muscles above the apex
    thick = thick + _planes(x, y, rng) + tissues.abdomen * rise(y - 74, 24)
    total = thick * (0.12 * rise(depth - 0.3, 0.6) + 0.88 * (1 - np.exp(-depth / 3.2)))
    return total + tissues.breasts * _breasts(off, y, who, tissues.breast_size, rng)


def _planes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Faint unevenness of muscle and fat: a few random plane waves."""
    total = np.zeros_like(x)
    for angle, length, phase in zip(rng.uniform(0, np.pi, 5), rng.uniform(9, 30, 5), rng.uniform(0, 2 * np.pi, 5), strict=True):
        total += np.sin((x * np.cos(angle) + y * np.sin(angle)) * np.float32(2 * np.pi / length) + np.float32(phase))
    return 0.009 * total


def _breasts(off: np.ndarray, y: np.ndarray, who: Physiology, factor: float, rng: np.random.Generator) -> np.ndarray:
    size, sag = factor * (1 + 0.12 * who.tissue + 0.1 * rng.normal()), rng.normal()
    if who.sex == "male":  # pectoral muscles
        return 0.05 * rise(ellipse(off, y, (26, 36 + sag), (15, 15)), 12)
    depth = np.maximum(ellipse(off, y, (27.0, 61 + 4 * sag), (17 * size, 15 * size)), 0)
    return (0.14 + 0.03 * who.tissue) * (1 - np.exp(-depth / 4)) * rise(y - 44, 30) * rise(off - 19, 16)


def lung(canvas: Canvas, chain: Chain, outline: ShapeOutline, side: int, tissues: Tissues, rng: np.random.Generator) -> None:
    """Air in the lung, the rim of the chest wall, ribs, hilum, and lung behind the dome of the diaphragm."""
    window = canvas.window(chain, outline.dense, 6)
    x, y = canvas.frame(chain, window)
    depth = outline.depth(x, y)
    lateral = np.abs(x - 50)
    wall_side = rise(lateral - 27, 8) * rise(66 - y, 8)  # round, so the lung always thins out towards it
    slope = tissues.slope + (5 - tissues.slope) * wall_side
    seen = depth + tissues.overlap * (1 - 1.6 * np.maximum(wall_side, rise(14 - y, 6)))  # the apex is as the wall
    inner = 1 - np.exp(-np.maximum(seen, 0) / slope)
    medial = rise(24 - lateral, 10)
    width = 0.5 + 0.9 * rise(y - 60, 12) + 0.7 * medial  # diaphragm and heart move during the exposure, the apex does not
    air = rise(seen, tissues.softness * width) * (0.23 + 0.29 * inner * (1 - 0.55 * bump(y - 4, 10)) - 0.04 * rise(y - 50, 40))
    below = rise(-depth, 1.5) * np.exp(np.minimum(depth, 0) / 2.2) * rise(y - 62, 8) * rise(37 - lateral, 2)
    behind = 0.07 * below * rise(lateral - 12, 5)  # lung that reaches down behind the dome
    wall = 0.09 * bump(depth + 1.0, 0.9) * rise(lateral - 16, 8)
    bones = ribs(x, y + tissues.rib_slope * (lateral - 20), side, rng) * (1 - 0.5 * medial * rise(-depth, 3))
    dense = tissues.hila * _densities(x, y, side, rng)
    canvas.attenuation[window] += tissues.rim * wall + tissues.ribs * bones - tissues.air * air - tissues.air * behind + dense
    if side == 1:
        canvas.attenuation[window] -= _stomach(x, y, tissues, rng)
    _vessels(canvas, chain, outline, side, tissues.vessels, rng)


def _densities(x: np.ndarray, y: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """What is denser than lung: the hilum, the aortic knob, the horizontal fissure, now and then haze at a base."""
    if side == 0:
        hilum = bump(np.maximum(-ellipse(x, y, (40.5, 43.5), (1.6, 4.0), 12), 0), 1.2)
        line = np.abs(y - 50 + 0.06 * (x - 30)) + 10 * rise(14.5 - x, 1) + 10 * rise(x - 37, 3)
        extra = 0.03 * rng.integers(0, 2) * bump(line, 0.22)
    else:
        hilum = bump(np.maximum(-ellipse(x, y, (63.0, 40.0), (1.5, 3.6), -14), 0), 1.2)
        extra = 0.08 * rise(ellipse(x, y, (56.8, 28.2), (4.2, 4.6)), 1.5)
    total = 0.07 * rng.uniform(0.6, 1.3) * hilum + extra
    place, radius = rng.uniform(14, 36), rng.uniform(4, 9)
    if rng.random() < 0.25:
        centre = (place if side == 0 else 100 - place, rng.uniform(66, 78))
        total = total + rng.uniform(0.05, 0.16) * bump(np.hypot((x - centre[0]) / 1.3, y - centre[1]), radius)
    return total


def _stomach(x: np.ndarray, y: np.ndarray, tissues: Tissues, rng: np.random.Generator) -> np.ndarray:
    """The gas bubble below the left dome with its fluid level; sometimes gas in the bowel."""
    size, (right, down) = tissues.gas, tissues.gas_place
    centre = (72 + 5 * rng.random() + right, 80.5 + 1.5 * rng.random() + down)
    radii = (size * rng.uniform(2.5, 6.5), size * rng.uniform(1.8, 3.6))
    strength, fluid = rng.choice([0.0, 0.16, 0.3]), rng.uniform(-0.5, 2.5)
    gas = strength * rise(ellipse(x, y, centre, radii), 1.0) * rise(centre[1] + fluid - y, 0.5)
    for _ in range(rng.integers(0, 3)):
        place = (rng.uniform(66, 86), rng.uniform(86, 98))
        gas = gas + 0.12 * rise(ellipse(x, y, place, (rng.uniform(1.5, 3.5), 1.6), rng.uniform(-60, 60)), 1.5)
    return gas


def _vessels(canvas: Canvas, chain: Chain, outline: ShapeOutline, side: int, strength: float, rng: np.random.Generator) -> None:
    """Pulmonary vessels: trees that grow from the hilum towards the pleura, with the hilar shadow at their root."""
    segments = _tree(outline, side, rng)
    start, end, radius = segments[:, 0:2], segments[:, 2:4], segments[:, 4]
    for low, high in ((0, 0.22), (0.22, 0.42), (0.42, 0.75), (0.75, 3)):
        chosen = (radius >= low) & (radius < high)
        if not chosen.any():
            continue
        mean = float(radius[chosen].mean())
        step = min(0.5 * mean, 0.5) + 0.25 * canvas.pixel
        length = np.linalg.norm(end - start, axis=1)[chosen]
        counts = np.maximum(1, np.ceil(length / step)).astype(int)
        which = np.repeat(np.flatnonzero(chosen), counts)
        t = (np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / np.repeat(counts, counts)
        points = start[which] + t[:, None] * (end - start)[which]
        weight = 0.055 * np.pi * radius[which] ** 2 * np.repeat(length / counts, counts)
        canvas.splat(*chain.forward(*points.T), strength * weight, max(0.6 * mean, 0.3 * canvas.pixel))


def _tree(outline: ShapeOutline, side: int, rng: np.random.Generator) -> np.ndarray:
    """(S, 5) straight segments of the vessels in the lung's canonical frame: x, y at both ends, radius."""
    sign, hilum = (-1, np.array([41.5, 43.0])) if side == 0 else (1, np.array([62.5, 39.5]))
    angle = np.linspace(-78, 86, 12) + rng.normal(0, 8, 12)  # degrees from lateral, positive downwards
    radius = rng.uniform(0.45, 1.0, 12) * (1.0 + 0.3 * (angle > 20))
    away, down = rng.uniform(-0.5, 1.5, 12) + 2.0 * (angle > 45), 5.5 * np.sin(np.deg2rad(angle)) + rng.normal(0, 1.0, 12)
    point, segments = hilum + np.stack([sign * away, down], axis=1), []
    for _ in range(16):  # generations, all tips at once
        length = rng.uniform(1.0, 1.8, len(point))
        for _ in range(2):  # two straight pieces make a bend
            angle = angle + rng.normal(0, 7, len(point))
            heading = np.stack([sign * np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))], axis=1)
            end = point + heading * length[:, None]
            segments.append(np.column_stack([point, end, radius]))
            point, radius = end, radius * 0.955
        alive = (radius > 0.11) & (outline.depth(point[:, 0], point[:, 1]) > 1.2)
        point, angle, radius = point[alive], angle[alive], radius[alive]
        if not len(point):
            break
        split = rng.random(len(point)) < 0.5
        spread = rng.uniform(18, 40, len(point)) * rng.choice([-1, 1], len(point))
        thinner = radius * rng.uniform(0.55, 0.8, len(point))
        point = np.concatenate([point, point[split]])
        angle = np.concatenate([angle - 0.35 * spread * split, (angle + spread)[split]])
        radius = np.concatenate([radius * np.where(split, 0.88, 1), thinner[split]])
    return np.concatenate(segments)


def heart(canvas: Canvas, chain: Chain, outline: ShapeOutline, body: Chain, tissues: Tissues) -> None:
    """Heart, with borders blurred by its beat, and the great vessels above it."""
    window = canvas.window(chain, outline.dense, 3)
    x, y = canvas.frame(chain, window)
    depth = outline.depth(x, y)
    behind = 0.10 * rise(x - 60, 14) * rise(74 - y, 8)  # lung behind the heart
    blood = 0.04 + 0.08 * (1 - np.exp(-np.maximum(depth, 0) / 8))
    ends = 1 - (1 - tissues.heart_ends) * np.maximum(rise(51 - y, 7), rise(y - 71, 5))  # what lies above and below is as dense
    canvas.attenuation[window] += ends * rise(depth, 1.7) * (tissues.heart * blood - tissues.behind * behind)
    window = canvas.window(body, np.array([(34.0, 20.0), (70.0, 90.0)]), 0)
    x, y = canvas.frame(body, window)
    aorta = 0.05 * rise(57.2 - x, 1.0) * rise(x - 50, 3) * rise(y - 28, 3)
    cava = 0.035 * rise(x - 43.5, 1.5) * rise(50 - x, 3) * rise(y - 14, 6) * rise(52 - y, 8)
    trunk = 0.05 * rise(ellipse(x, y, (60.5, 39.0), (3.4, 4.2)), 2)
    canvas.attenuation[window] += tissues.heart * (aorta + cava + trunk)


def airways(canvas: Canvas, body: Chain, strength: float, rng: np.random.Generator) -> None:
    """Trachea, carina and main bronchi: air in the mediastinum."""
    window = canvas.window(body, np.array([(34.0, -25.0), (66.0, 42.0)]), 0)
    x, y = canvas.frame(body, window)
    bend = rng.normal(0, 0.6)
    carina = (50.2 - abs(bend), 32.0)
    trachea = np.array([(50.0, -25.0), (50.0, 4.0), (49.6 - abs(bend), 25.0), carina])
    bronchi = np.array([(44.0, 39.5), carina, (57.0, 38.5), (59.5, 40.0)])
    tube = 0.15 * rise(2.0 - path_distance(x, y, trachea), 0.9)
    branch = 0.09 * rise(1.35 - path_distance(x, y, bronchi), 1.0)
    canvas.attenuation[window] -= strength * np.maximum(tube, branch)
