"""Drawing the chest: attenuation added up structure by structure, as a projection does, then the film.

Each part is drawn in the frame that moves with it, so its texture follows the deformation. Positions are in hundredths of the
field; attenuation is in units of about the trunk's full soft tissue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from denseseg.geometry.frame import Size
from denseseg.phantom.canvas import Canvas, Grid, bump, ellipse, path_distance, rise
from denseseg.phantom.chest import bones, organs
from denseseg.phantom.chest.population import Maps, Physiology
from denseseg.phantom.chest.randomisation import Tissues
from denseseg.phantom.film import collimate, draw_letter, expose
from denseseg.phantom.looks import Looks, Streams, exposure, finish
from denseseg.phantom.outlines import ShapeOutline, spline
from denseseg.phantom.warps import Chain

TRUNK, NECK = 43.0, 4.5  # half width of the silhouette's trunk, and the level of its skin above a lung's apex


def draw(
    maps: Maps, outlines: Sequence[ShapeOutline], who: Physiology, tissues: Tissues, size: Size, texture: np.random.Generator
) -> Canvas:
    """The attenuation of the patient, with the devices on him. outlines: of the structures, in the order of `CHEST`."""
    canvas = Canvas.blank(size)
    body_x, body_y = canvas.frame(maps.body)
    skin = _skin(body_x, body_y, maps, outlines, tissues)
    canvas.attenuation += organs.body_wall(body_x, body_y, skin, who, tissues, texture)
    for side in (0, 1):
        organs.lung(canvas, maps.structures[side], outlines[side], side, tissues, texture)
    organs.heart(canvas, maps.structures[2], outlines[2], maps.body, tissues)
    organs.airways(canvas, maps.body, tissues.airways, texture)
    midline = canvas.window(maps.body, np.array([(50.0, level) for level in (-60, 0, 50, 100, 160)]), 12)
    canvas.attenuation[midline] += tissues.spine * bones.spine(*canvas.frame(maps.body, midline), texture)
    for side in (0, 1):
        bones.shoulder(canvas, maps.shoulders[side], side, tissues.shoulders)
        bones.clavicle(canvas, maps.structures[3 + side], outlines[3 + side], side, tissues.clavicles)
    _devices(canvas, maps.body, texture)
    return canvas


def develop(canvas: Canvas, who: Physiology, looks: Looks, film: np.random.Generator, random: Streams) -> np.ndarray:
    """The radiograph: (H, W) float32 in [0, 1]. The film has random numbers of its own, and so has each of the looks."""
    _marker(canvas, film)
    centre, gain = 0.61 + 0.03 * who.tissue + 0.04 * film.normal(), 5.6 * np.exp(0.1 * film.normal())
    scatter, noise = film.uniform(0.03, 0.09), film.uniform(0.003, 0.011)
    how = exposure(looks, random, scatter=scatter, noise=noise, centre=centre, gain=gain)
    image = expose(canvas.attenuation, film, **how)
    if film.random() < 0.4:
        margins = np.maximum(0, film.normal(0, 1.5, size=4))
        image = collimate(canvas, image, margins, film.normal(0, 0.7))
    return finish(canvas, np.clip(image, 0, 1).astype(np.float32), looks, random)


def _skin(x: np.ndarray, y: np.ndarray, maps: Maps, outlines: Sequence[ShapeOutline], tissues: Tissues) -> Grid:
    """Where the silhouette is looked up for positions of the body: the shoulders' skin follows the bones; beside the neck it is
    raised by `tissues.neck`."""
    lift = _lift(x, y, maps)
    skin_x, skin_y = x, y - lift + tissues.neck * rise(38 - y, 22)
    if tissues.girth is None:
        return skin_x, skin_y
    skin_y = skin_y - tissues.axilla * rise(np.abs(x - 50) - 43, 4) * rise(y - 30, 20)
    for side in (0, 1):  # of each lung, nothing sticks out of the trunk, nor its apex out of the neck
        lung_x, lung_y = maps.body.inverse(*maps.structures[side].forward(*outlines[side].landmarks.T))
        wide = max(tissues.girth, (float(np.abs(lung_x - 50).max()) + 4) / TRUNK)
        beside = x < 50 if side == 0 else x >= 50
        skin_x = np.where(beside, skin_x + (x - 50) * (1 / wide - 1) * rise(y - 16, 16), skin_x)
        apex = lung_y.argmin()
        missing = max(0.0, NECK + float(_lift(lung_x[apex], lung_y[apex], maps)) + 5 - float(lung_y[apex]))
        skin_y = skin_y + missing * bump(x - float(lung_x[apex]), 10.0) * rise(38 - y, 22)
    return skin_x, skin_y


def _lift(x: np.ndarray, y: np.ndarray, maps: Maps) -> np.ndarray:
    """How far down the skin of the shoulders is moved at positions of the body."""
    off, level, share = np.array([16.0, 30.0, 50.0]), np.array([14.0, 13.0, 14.0]), np.array([0.0, 0.8, 1.0])
    moved = [shoulder.forward(50 + sign * off, level)[1] for shoulder, sign in zip(maps.girdle, (-1, 1), strict=True)]
    right, left = (share * (lower - level) for lower in moved)
    amount = np.interp(x, np.concatenate([50 - off[::-1], 50 + off]), np.concatenate([right[::-1], left]))
    return (amount * rise(38 - y, 22)).astype(np.float32)


def _marker(canvas: Canvas, rng: np.random.Generator) -> None:
    """A lead letter on the film: R or L, at the top, on the side it names."""
    letter, shown = rng.choice(["R", "L"]), rng.random() < 0.75
    x = rng.uniform(3, 9) if letter == "R" else rng.uniform(88, 94)
    y, height, slant = rng.uniform(3, 9), rng.uniform(3, 4.2), rng.normal(0, 0.1)
    if shown:
        draw_letter(canvas, letter, (x, y), height, slant)


def _devices(canvas: Canvas, body: Chain, rng: np.random.Generator) -> None:
    """Now and then an electrode with its lead, a feeding tube, a central line or a pacemaker, drawn on the body."""
    kind = rng.random()
    if kind > 0.20:
        return
    x, y = canvas.frame(body)
    start = np.array([rng.uniform(20, 80), rng.uniform(30, 60)])
    bend = start + np.array([rng.normal(0, 7), -14.0])
    if kind < 0.10:
        disc = rise(1.1 - np.hypot(x - start[0], y - start[1]), 0.3)
        lead = path_distance(x, y, spline([tuple(start), tuple(bend), (bend[0] + rng.normal(0, 12), -20.0)], 16))
        canvas.attenuation += 0.35 * disc + 0.16 * rise(0.28 - lead, 0.25)
    elif kind < 0.14:
        tube = path_distance(x, y, spline([(51, -20), (51.2, 20), (52.5, 50), (54, 74), (60, 83), (68, 82)], 24))
        canvas.attenuation += 0.10 * rise(0.5 - np.abs(tube), 0.3) + 0.10 * rise(0.16 - np.abs(tube - 0.42), 0.2)
    elif kind < 0.18:
        line = path_distance(x, y, spline([(38, -5), (40.5, 8), (44, 16), (45, 28), (45.5, 44)], 16))
        canvas.attenuation += 0.16 * rise(0.3 - line, 0.25)
    else:
        can = ellipse(x, y, (77, 25), (3.7, 4.8), 25)
        lead = path_distance(x, y, spline([(74, 22), (66, 17), (56, 18), (46.5, 26), (44.5, 50), (52, 68), (62, 71)], 24))
        canvas.attenuation += 0.75 * rise(can, 0.4) + 0.2 * rise(0.35 - lead, 0.25)
