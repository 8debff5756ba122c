"""Images that are nothing like the training images; each is predicted, and the prediction says so.

The method has been trained for seconds: what is tested is what the image says, which needs no good network.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

LOOKS, WAY, DETAIL = "does not look like the training images", "mirrored, turned or inverted", "noisier, smoother or smaller"
RNG = np.random.default_rng(0)


def ramp(image):
    return np.tile(np.linspace(0, 1, image.shape[1]), (len(image), 1))


# name -> how a sound image is changed, and which reasons may be given
UNUSUAL = {
    "black": (np.zeros_like, f"{LOOKS}|{DETAIL}"),
    "white": (np.ones_like, f"{LOOKS}|{DETAIL}"),
    "grey": (lambda image: np.full_like(image, 0.5), f"{LOOKS}|{DETAIL}"),
    "noise alone": (lambda image: RNG.random(image.shape), f"{LOOKS}|{DETAIL}|{WAY}"),
    "very noisy": (lambda image: np.clip(image + RNG.normal(0, 0.3, image.shape), 0, 1), f"{LOOKS}|{DETAIL}|{WAY}"),
    "blurred away": (lambda image: gaussian_filter(image, 4), f"{LOOKS}|{DETAIL}|{WAY}"),
    "upside down": (lambda image: image[::-1], f"{LOOKS}|{WAY}"),
    "turned over": (lambda image: image[::-1, ::-1], f"{LOOKS}|{WAY}"),
    "turned by a quarter": (np.rot90, f"{LOOKS}|{WAY}"),
    "inverted": (lambda image: 1 - image, f"{LOOKS}|{WAY}"),
    "of one pixel": (lambda image: image[30:31, 30:31], f"{LOOKS}|{DETAIL}"),
    "of one row": (lambda image: image[30:31], f"{LOOKS}|{DETAIL}|{WAY}"),
    "of four pixels": (lambda image: image[20:52:16, 20:52:16][:2, :2], f"{LOOKS}|{DETAIL}|{WAY}"),
    "of 8 x 8 pixels": (lambda image: image.reshape(8, 8, 8, 8).mean((1, 3)), f"{LOOKS}|{DETAIL}"),
    "a checker-board": (lambda image: np.indices(image.shape).sum(0) % 2 * 1.0, f"{LOOKS}|{DETAIL}|{WAY}"),
    "a ramp": (ramp, f"{LOOKS}|{DETAIL}|{WAY}"),
    "one bright pixel": (lambda image: (np.arange(image.size).reshape(image.shape) == 2000) * 1.0, f"{LOOKS}|{DETAIL}"),
    "half of it black": (lambda image: np.where(np.arange(len(image))[:, None] < 32, 0, image), f"{LOOKS}|{WAY}"),
    "a corner of it": (lambda image: image[:20, :20], f"{LOOKS}|{DETAIL}|{WAY}"),
    "moved by half": (lambda image: np.roll(image, 32, axis=1), f"{LOOKS}|{WAY}"),
    "tiled": (lambda image: np.tile(image[::2, ::2], (2, 2)), f"{LOOKS}|{DETAIL}|{WAY}"),
    "stretched thin": (lambda image: image[:, ::8], f"{LOOKS}|{DETAIL}|{WAY}"),
    "columns shuffled": (lambda image: image[:, RNG.permutation(image.shape[1])], f"{LOOKS}|{DETAIL}|{WAY}"),
    "in a wide frame": (lambda image: np.pad(image, 48), f"{LOOKS}|{DETAIL}|{WAY}"),
}
