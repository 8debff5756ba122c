"""From attenuation to a radiograph: scatter, quantum noise, film curve, and what else lies on the film."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from denseseg.phantom.canvas import Canvas, path_distance, rise
from denseseg.phantom.warps import Chain

# Letters as strokes in a box of one unit, y down.
LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "R": [[(0, 1), (0, 0), (0.45, 0), (0.6, 0.12), (0.6, 0.38), (0.45, 0.5), (0, 0.5)], [(0.3, 0.5), (0.62, 1)]],
    "L": [[(0, 0), (0, 1), (0.55, 1)]],
}


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of large `sigma` (pixels), on a coarser grid so that its cost stays proportional to the pixels."""
    step = max(1, int(sigma / 4))
    if step == 1:
        return gaussian_filter(image, sigma, mode="nearest")
    padded = np.pad(image, [(0, -s % step) for s in image.shape], mode="edge")
    rows, columns = (s // step for s in padded.shape)
    small = padded.reshape(rows, step, columns, step).mean((1, 3))
    small = gaussian_filter(small, sigma / step, mode="nearest")
    return zoom(small, step, order=1, mode="nearest", grid_mode=True)[: image.shape[0], : image.shape[1]]


def expose(
    attenuation: np.ndarray, rng: np.random.Generator, *, scatter: float, noise: float, centre: float, gain: float
) -> np.ndarray:
    """Attenuation (H, W) -> grey values in [0, 1], bone bright.

    Beer-Lambert transmission exp(-k a); a share `scatter` of it is spread widely; quantum noise whose variance is the
    transmission times noise^2 (the normal approximation of Poisson noise); and a film curve, the logistic function of the
    log exposure with its middle at the attenuation `centre` and the slope `gain`.
    """
    k = 2.5
    transmission = np.exp(-k * attenuation)
    transmission = (1 - scatter) * transmission + scatter * blurred(transmission, 0.08 * min(attenuation.shape))
    grain = gaussian_filter(rng.standard_normal(attenuation.shape, dtype=np.float32), 0.6) * 2.1  # detector blur; unit variance
    transmission = transmission + noise * np.sqrt(transmission) * grain
    log_exposure = -np.log(np.maximum(transmission, 1e-3)) / k
    return 1 / (1 + np.exp(-gain * (log_exposure - centre)))


def draw_letter(canvas: Canvas, letter: str, corner: tuple[float, float], height: float, slant: float) -> None:
    """Add a lead letter with its top left at `corner` (field units)."""
    for stroke in LETTERS[letter]:
        strokes = np.array(stroke, dtype=float) * height
        points = strokes @ np.array([[1, 0], [-slant, 1]]) + np.array(corner)
        window = canvas.window(Chain(()), points, 1.0)
        distance = path_distance(canvas.x[window], canvas.y[window], points)
        canvas.attenuation[window] += 1.2 * rise(0.12 * height - distance, 1.5 * canvas.pixel)


def collimate(canvas: Canvas, image: np.ndarray, margins: np.ndarray, degrees: float) -> np.ndarray:
    """Blacken what lies outside the collimator: `margins` left, top, right, bottom in field units, turned by `degrees`."""
    t = np.deg2rad(degrees)
    x = (canvas.x - 50) * np.cos(t) + (canvas.y - 50) * np.sin(t)
    y = (canvas.y - 50) * np.cos(t) - (canvas.x - 50) * np.sin(t)
    half_y, half_x = (50 * s / min(canvas.size) for s in canvas.size)
    inside = np.minimum.reduce([x + half_x - margins[0], y + half_y - margins[1], half_x - x - margins[2], half_y - y - margins[3]])
    return 0.02 + (image - 0.02) * rise(inside, 0.6)
