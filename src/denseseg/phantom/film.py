"""From attenuation to a radiograph: scatter, exposure, noise, and what else lies on the film."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, zoom


def rise(depth: np.ndarray, width: float) -> np.ndarray:
    """0 to 1 across a border: a smooth step of about `width` units, one half at depth 0."""
    return 0.5 * (1 + np.tanh(depth * (2 / width)))


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of large `sigma` (pixels), computed on a coarser grid to keep its cost proportional to the pixels."""
    step = max(1, int(sigma / 4))
    if step == 1:
        return gaussian_filter(image, sigma, mode="nearest")
    rows, columns = (s - s % step for s in image.shape)
    small = image[:rows, :columns].reshape(rows // step, step, columns // step, step).mean((1, 3))
    small = gaussian_filter(small, sigma / step, mode="nearest")
    factors = (image.shape[0] / small.shape[0], image.shape[1] / small.shape[1])
    return zoom(small, factors, order=1, mode="nearest", grid_mode=True)


def splat(points: np.ndarray, weights: np.ndarray, sigma: float, size: tuple[int, int]) -> np.ndarray:
    """(H, W) sum of Gaussian blobs of `sigma` pixels at (P, 2) points (x, y), each with the integral `weights` (P,)."""
    height, width = size
    x0, y0 = np.floor(points[:, 0]).astype(int), np.floor(points[:, 1]).astype(int)
    fx, fy = points[:, 0] - x0, points[:, 1] - y0
    image = np.zeros(height * width)
    for dx, dy, share in ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)):
        x, y = x0 + dx, y0 + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        image += np.bincount((y * width + x)[inside], (weights * share)[inside], minlength=height * width)
    return gaussian_filter(image.reshape(height, width), sigma, mode="constant", truncate=3)


def expose(
    attenuation: np.ndarray,
    rng: np.random.Generator,
    *,
    scatter: float,
    dose: float,
    centre: float,
    gain: float,
) -> np.ndarray:
    """Attenuation (H, W) -> grey values in [0, 1], bone bright.

    Beer-Lambert transmission exp(-a); a share `scatter` of it spread widely; Poisson-like noise for `dose` quanta a pixel
    (normal approximation); and a film curve, the logistic function of log exposure with its middle at `centre`.
    """
    transmission = np.exp(-2.5 * attenuation)
    shorter = min(attenuation.shape)
    transmission = (1 - scatter) * transmission + scatter * blurred(transmission, 0.07 * shorter)
    transmission += np.sqrt(transmission / dose) * rng.standard_normal(attenuation.shape)
    log_exposure = -np.log(np.maximum(transmission, 1e-3)) / 2.5
    return 1 / (1 + np.exp(-gain * (log_exposure - centre)))
