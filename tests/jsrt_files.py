"""Small synthetic files in the public layouts of JSRT and its landmarks: ellipses for organs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.draw import polygon2mask

from denseseg.anatomy import CHEST
from denseseg.readers import jsrt

CENTRES = {  # (x, y), radii in the 1024-pixel frame: the patient's right is on the left of the image
    "right lung": ((280, 480), (150, 340)),
    "left lung": ((760, 470), (140, 330)),
    "heart": ((570, 640), (120, 110)),
    "right clavicle": ((350, 160), (120, 30)),
    "left clavicle": ((680, 155), (120, 30)),
}
GREY = dict(zip(CHEST.names, (0.2, 0.2, 0.8, 0.9, 0.9), strict=True))  # air dark, bone bright


def contour(structure: str, number: int = 0) -> np.ndarray:
    """An ellipse with the structure's number of landmarks, whole pixels of the 1024 frame, a little different in each case."""
    centre, radii = CENTRES[structure]
    count = CHEST.counts[CHEST.index(structure)]
    angle = 2 * np.pi * np.arange(count) / count
    points = np.array(centre) + number + np.column_stack([np.cos(angle), np.sin(angle)]) * radii
    return np.round(points)


def radiograph(size: int, number: int = 0) -> np.ndarray:
    """(size, size) in [0, 1] that shows the contours in the right grey."""
    image = np.full((size, size), 0.6)
    for structure, grey in GREY.items():
        points = (contour(structure, number) + 0.5) * size / 1024 - 0.5
        image[polygon2mask(image.shape, points[:, ::-1])] = grey
    return image


def write_img(path: Path, image: np.ndarray) -> None:
    """As JSRT does: density, so bone dark; big-endian; 12 of 16 bit."""
    np.round((1 - image) * 4095).astype(">u2").tofile(path)


def save_png(path: Path, image: np.ndarray, bits: int = 8) -> None:
    top, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    Image.fromarray(np.round(image * top).astype(kind)).save(path)


def write_landmarks(folder: Path, name: str, number: int = 0, skip: tuple[str, ...] = ()) -> None:
    for structure, part in jsrt.FOLDERS.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        if structure not in skip:
            np.save(folder / part / f"{name}.npy", contour(structure, number))


NAMES = ("JPCLN001", "JPCLN002", "JPCNN006", "JPCNN007", "JPCNN093")  # the last two are test images of the paper
