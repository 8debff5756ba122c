"""Images against the others of their set: what there is to see round the landmarks.

Each image is read on one grid that lies on the mean shape, moved there by the landmarks, and freed from slow changes of grey. The
median over the cases is what this set looks like; an image that fits it far better mirrored, turned or inverted is so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from denseseg.cases.case_set import CaseSet
from denseseg.cases.health.alone import reduced
from denseseg.cases.health.finding import SURE, Finding
from denseseg.cases.health.norm import Norm, aligned_to, distinct

GRID = 48  # points along each side
FINE, COARSE = 0.7, 4.0  # grid steps between which grey must change, to count
GAIN = 0.06  # in the correlation with the others' median, beyond which a change is believed
LONGEST = 192  # pixels of the images that are compared
FLAT = 1e-3  # standard deviation of an image without contrast

Change = Callable[[np.ndarray], np.ndarray]
CHANGES: dict[tuple[str, str], Change] = {
    ("its image is mirrored left to right", "mirror it back, or its landmarks"): lambda image: image[:, ::-1],
    ("its image is upside down", "turn it over, or its landmarks"): lambda image: image[::-1],
    ("its image is turned by 180 degrees", "turn it back, or its landmarks"): lambda image: image[::-1, ::-1],
    ("rows and columns of its image are exchanged", "transpose it, or its landmarks"): lambda image: image.T,
    ("its image is inverted", "bone shall be bright: save 1 - image"): lambda image: -image,
}


def flat_findings(cases: CaseSet) -> Iterator[Finding]:
    """Images without contrast."""
    for case in cases:
        if case.image.std() < FLAT:
            what = f"its image has no contrast: all pixels are about {case.image.mean():.2f}"
            yield Finding(SURE, case.id, what, "export it again")


def image_findings(cases: CaseSet, norm: Norm) -> Iterator[Finding]:
    """Images that are mirrored, turned or inverted against the others, or show something else; one for each case at most."""
    shown = [case for case in cases if distinct(case.landmarks) >= 2 and case.image.std() >= FLAT]
    if not shown:
        return
    small = [reduced(case.image, case.landmarks, LONGEST) for case in shown]
    grids = [grid(points, norm.mean) for _, points in small]
    greys = [freed(image, step) for (image, _), (_, step) in zip(small, grids, strict=True)]
    patches = np.stack([patch(grey, places) for grey, (places, _) in zip(greys, grids, strict=True)])
    usual = np.median(patches, axis=0)
    fits = np.array([_fit(one, usual) for one in patches])
    for case, grey, (places, _), fit in zip(shown, greys, grids, fits, strict=True):
        gains = {
            told: _fit(patch(changed, places), usual) - fit
            for told, change in CHANGES.items()
            if (changed := change(grey)).shape == grey.shape
        }
        (what, mend), gain = max(gains.items(), key=lambda item: item[1])
        if gain > GAIN:
            yield Finding(gain / GAIN, case.id, what, mend)
        elif fit < 0.1 < 0.5 < np.median(fits):
            what = "its image shows something else at its landmarks than the others' do"
            yield Finding(2.0, case.id, what, "is it the image of another case, or is another part of it shown?")


def freed(image: np.ndarray, step: float) -> np.ndarray:
    """(H, W) image freed from noise and from slow changes of grey; step: of its grid, pixels."""
    return gaussian_filter(image, FINE * step) - gaussian_filter(image, COARSE * step)


def patch(grey: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(GRID, GRID) of an image, read at the places of its grid: mean 0 and SD 1, 0 beyond the image."""
    values = map_coordinates(grey, places[..., ::-1].transpose(2, 0, 1), order=1, cval=np.nan)
    seen = np.isfinite(values)
    if not seen.any():
        return np.zeros_like(values)
    values = values - values[seen].mean()
    return np.where(seen, values / max(float(values[seen].std()), 1e-9), 0)


def grid(landmarks: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, float]:
    """(GRID, GRID, 2) places in the image of a grid over the mean shape and a tenth beyond, and its step in pixels."""
    low, high = np.nanmin(mean, axis=0), np.nanmax(mean, axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    upright = np.stack(np.meshgrid(*np.linspace(low, high, GRID).T), axis=-1)
    similarity = aligned_to(mean, landmarks)[1].inverse()
    return similarity.apply(upright), similarity.scale * float((high - low).max()) / GRID


def _fit(one: np.ndarray, usual: np.ndarray) -> float:
    """Correlation of two patches, 0 where one shows nothing."""
    length = np.linalg.norm(one) * np.linalg.norm(usual)
    return float((one * usual).sum() / length) if length else 0.0
