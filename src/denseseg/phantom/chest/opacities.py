"""What makes a lung denser than air: consolidation, effusion and nodules. Its outline, and so the truth, stays where it is."""

from __future__ import annotations

import numpy as np

from denseseg.phantom.canvas import Canvas, bump, rise
from denseseg.phantom.chest.randomisation import Randomisation
from denseseg.phantom.looks import Streams
from denseseg.phantom.outlines import ShapeOutline
from denseseg.phantom.warps import Chain


def add_opacities(canvas: Canvas, chain: Chain, outline: ShapeOutline, side: int, settings: Randomisation, random: Streams) -> None:
    """Add to one lung what the settings' chances bring; side 0 is the right one, 1 the left."""
    drawn = {}
    for name, draw in (("consolidation", _consolidation), ("effusion", _effusion), ("nodules", _nodules)):
        rng = random(f"{name} {side}")
        if rng.random() < getattr(settings, name):
            drawn[draw] = rng
    if not drawn:
        return
    window = canvas.window(chain, outline.dense, 3)
    x, y = canvas.frame(chain, window)
    inside = rise(outline.depth(x, y), 1.5)
    for draw, rng in drawn.items():
        canvas.attenuation[window] += inside * draw(x, y, side, rng)


def _somewhere(side: int, rng: np.random.Generator) -> tuple[float, float]:
    """A position in the lung, in its canonical frame."""
    x, y = rng.uniform(17, 42), rng.uniform(14, 78)
    return (x if side == 0 else 100 - x), y


def _consolidation(x: np.ndarray, y: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A patchy cloud about one place, or all over the lung."""
    centre, radius = _somewhere(side, rng), rng.uniform(5, 25)
    cloud = np.zeros_like(x)
    for _ in range(8):
        direction = rng.normal(size=2)
        wave = 2 * np.pi / np.exp(rng.uniform(1.3, 3.2)) * direction / np.linalg.norm(direction)
        cloud += np.sin(x * np.float32(wave[0]) + y * np.float32(wave[1]) + np.float32(rng.uniform(0, 2 * np.pi)))
    patches = 0.65 + 0.35 * np.tanh(cloud / 2)
    return rng.uniform(0.08, 0.4) * bump(np.hypot(x - centre[0], y - centre[1]), radius) * patches


def _effusion(x: np.ndarray, y: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Fluid at the bottom of the lung, higher at the chest wall: from a blunt costophrenic angle to a white half of the lung."""
    lateral = np.abs(x - 50)
    level = rng.uniform(50, 80) - rng.uniform(4, 16) * rise(lateral - 30, 12)
    return rng.uniform(0.2, 0.5) * rise(y - level, rng.uniform(2, 10))


def _nodules(x: np.ndarray, y: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    total = np.zeros_like(x)
    for _ in range(rng.integers(1, 5)):
        centre, radius = _somewhere(side, rng), rng.uniform(0.8, 4.5)
        away = np.hypot(x - centre[0], y - centre[1])
        total += rng.uniform(0.04, 0.25) * rise(radius - away, rng.uniform(0.4, 2))
    return total
