"""Drawing the whole hand, with the wrist phantom's pencil and soft tissue."""

from __future__ import annotations

from functools import cache

import numpy as np

from denseseg.geometry.frame import Size
from denseseg.phantom.canvas import Canvas
from denseseg.phantom.hand.population import HandMaps
from denseseg.phantom.hand.shapes import FINGERS
from denseseg.phantom.looks import Looks, Streams
from denseseg.phantom.wrist.drawing import FINGER_RADII, Capsule, Pencil, developed, draw_structures, soft_tissue
from denseseg.phantom.wrist.population import Child
from denseseg.phantom.wrist.shapes import METACARPALS, ORIGIN, phalanx_outlines


def draw(
    maps: HandMaps, child: Child, size: Size, texture: np.random.Generator, film: np.random.Generator, looks: Looks, random: Streams
) -> np.ndarray:
    """The radiograph: (H, W) float32 in [0, 1]. The anatomy's texture, the film and each look have their own random numbers."""
    canvas = Canvas.blank(size)
    parts = [(chain, (palm_capsule(number),)) for number, chain in enumerate(maps.bones.fingers)]
    for number, chains in enumerate(maps.phalanges):
        parts += [(chain, (capsule,)) for chain, capsule in zip(chains, phalanx_capsules(number), strict=True)]
    canvas.attenuation += soft_tissue(canvas, maps.bones.hand, parts, child, texture)
    pencil = Pencil(canvas, child, maps.bones, texture)
    for chains, tubes, outlines in zip(maps.phalanges, FINGERS, phalanx_outlines(FINGERS), strict=True):
        for chain, tube, outline in zip(chains, tubes, outlines, strict=True):
            pencil.tube(outline, chain.then(maps.bones.hand), tube)
    draw_structures(pencil, maps.bones, child)
    return developed(canvas, film, looks, random)


@cache
def palm_capsule(number: int) -> Capsule:
    """The soft tissue of the palm about metacarpal `number` (0: thumb), in the canonical hand."""
    x, y = METACARPALS[number].in_hand(np.array([0.0, -METACARPALS[number].length]))
    return (ORIGIN[0] + (10.0 if number == 0 else 0.0), ORIGIN[1] + 4.0), (float(x), float(y)), 20.0, FINGER_RADII[number]


@cache
def phalanx_capsules(number: int) -> tuple[Capsule, ...]:
    """The soft tissue about each phalanx of finger `number` (0: thumb), in the canonical hand; it ends just beyond the last one."""
    radii = FINGER_RADII[number] * np.array([1.0, 0.82, 0.72, 0.5])
    if number == 0:
        radii = FINGER_RADII[0] * np.array([1.0, 0.86, 0.6])
    capsules = []
    for bone, near, far in zip(FINGERS[number], radii[:-1], radii[1:], strict=True):
        x, y = bone.in_hand(np.array([0.0, -bone.length]))
        capsules.append((bone.root, (float(x), float(y)), float(near), float(far)))
    return tuple(capsules)
