"""Other ways to make a uv map, kept to be compared with the thin-plate spline: linear, polar, and the paper's own chain.

Each is a function of one structure of one case:

    points           (n, 2) landmarks of the case, (x, y) pixels, finite and not all in one line
    template_points  (n, 2) the template's landmarks, pixels
    box              the structure's chart: (lower, upper), (2,) template pixels each; uv runs from -1 to 1 between them
    mask             (H, W) bool
    returns          uv (2, H, W) float32, u first, zero outside `valid`; and valid (H, W) bool, a part of the mask
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import map_coordinates
from scipy.spatial import Delaunay

from denseseg.geometry.similarity import umeyama

Box = tuple[np.ndarray, np.ndarray]
Map = tuple[np.ndarray, np.ndarray]


def chart_uv(template_points: np.ndarray, box: Box) -> np.ndarray:
    """(n, 2) places of template points in the chart that spans the box from -1 to 1."""
    lower, upper = box
    return 2 * (template_points - lower) / (upper - lower) - 1


def polar_uv(template_points: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
    """(n, 2) places of the template's landmarks in the polar chart.

    Each offset from the centre (default: the landmark mean) is divided by its own larger component: the centre is (0, 0) and
    every landmark lies on the border of the square [-1, 1]^2, in its direction. Unlike in the box chart, uv keeps the direction
    but not the distance.
    """
    offsets = template_points - (template_points.mean(0) if centre is None else centre)
    return offsets / np.abs(offsets).max(1, keepdims=True)


def linear_map(points: np.ndarray, template_points: np.ndarray, box: Box, mask: np.ndarray) -> Map:
    """Barycentric interpolation of the template's uv over the Delaunay triangles of the case's own landmarks.

    Exact at the landmarks, continuous, with a kink at every triangle edge. Valid in the mask as far as the landmarks' convex
    hull reaches; beyond it nothing is extrapolated.
    """
    rows, columns = np.nonzero(mask)
    interpolate = LinearNDInterpolator(Delaunay(points), chart_uv(template_points, box))
    return _paint(mask, interpolate(np.stack([columns, rows], -1)))


def polar_map(points: np.ndarray, template_points: np.ndarray, box: Box, mask: np.ndarray) -> Map:
    """The contour shrunk towards the landmark mean, ring by ring, its polar uv shrunk alike; linear in between.

    Uses the chart of `polar_uv`, not `box`, which is taken for the common signature only. It presumes that the mean sees every
    landmark (a star-shaped outline) in the case and in the template; where it does not, rings cross and the map folds. The
    authors use it for the wrist without saying so in the paper; as in their code there are as many rings as the larger half
    side of the bounding box has pixels.
    """
    rows, columns = np.nonzero(mask)
    count = max(1, round(np.ptp(points, axis=0).max() / 2))
    triangles = Delaunay(_rings(points, count))
    interpolate = LinearNDInterpolator(triangles, _rings(polar_uv(template_points), count, centre=np.zeros(2)))
    return _paint(mask, interpolate(np.stack([columns, rows], -1)))


def polar_to_template(uv: np.ndarray, template_points: np.ndarray) -> np.ndarray:
    """(P, 2) polar uv -> template pixels, the way back through the chart of `polar_uv`; NaN outside the square."""
    count = max(1, round(np.ptp(template_points, axis=0).max() / 2))
    places = _rings(polar_uv(template_points), count, centre=np.zeros(2))
    return LinearNDInterpolator(places, _rings(template_points, count))(uv)


def _rings(contour: np.ndarray, count: int, centre: np.ndarray | None = None) -> np.ndarray:
    """The centre (default: the points' mean) and `count` copies of the (n, 2) contour that grow from it: (1 + count * n, 2)."""
    centre = contour.mean(0) if centre is None else centre
    growth = np.arange(1, count + 1)[:, None, None] / count
    return np.concatenate([centre[None], (centre + growth * (contour - centre)).reshape(-1, 2)])


def published_map(points: np.ndarray, template_points: np.ndarray, box: Box, mask: np.ndarray, bug: bool = True) -> Map:
    """The chain of the paper (Section 2.1.1): align, displace, warp the template's identity map, undo the alignment, mask.

    bug: True keeps the error of the released code. It scales its sampling grid by the longer side of the frame, but samples as
        if both sides ran from -1 to 1, so that the shorter axis is squeezed: with the case equal to the template, uv there
        spans only +-(short side / long side). False divides each axis by its own side.

    Even without the error the chain loses accuracy and mask pixels by resampling three times on whole-pixel frames; in theory
    it equals `linear_map`, for a displacement that is linear per triangle leaves an affine chart linear per triangle.
    """
    align = umeyama(points, template_points)
    aligned = align.apply(points)
    both = np.concatenate([template_points, aligned])
    low, sides = both.min(0), np.ptp(both, axis=0)
    shape = np.maximum(np.floor(sides), 2).astype(int)  # one node a pixel, nearly
    axes = [np.linspace(low[i], low[i] + sides[i], shape[i]) for i in (0, 1)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), -1)  # indexed [x, y]

    to_template = LinearNDInterpolator(aligned, template_points - aligned, rescale=True)
    source = nodes + to_template(nodes)
    half = sides / 2
    normalised = (source - low - half) / (half.max() if bug else half)  # what the sampler takes for -1..1 on both axes
    index = (normalised + 1) / 2 * (shape - 1)
    warped = _sample(_identity(template_points, box, axes), index)

    rows, columns = np.nonzero(mask)
    back = align.apply(np.stack([columns, rows], -1)) - np.round(low)  # the frame lies at whole pixels of the image
    return _paint(mask, _sample(warped, back, slack=0.0))


def _identity(template_points: np.ndarray, box: Box, axes: list[np.ndarray]) -> np.ndarray:
    """uv on the nodes of the frame: -1 to 1 over the template's extent, NaN elsewhere; indexed [x, y].

    It begins at the node nearest to the template's corner and counts whole pixels, as the published chain does.
    """
    frame = np.full((len(axes[0]), len(axes[1]), 2), np.nan)
    low, high = template_points.min(0), template_points.max(0)
    corners = chart_uv(np.stack([low, high]), box)  # -1 and 1, unless the box belongs to more landmarks than these
    counts = np.maximum(np.floor(high - low), 2).astype(int)
    start = [int(np.abs(axis - low[i]).argmin()) for i, axis in enumerate(axes)]
    ramps = [np.linspace(corners[0, i], corners[1, i], counts[i])[: len(axes[i]) - start[i]] for i in (0, 1)]
    where = tuple(slice(start[i], start[i] + len(ramps[i])) for i in (0, 1))
    frame[where] = np.stack(np.meshgrid(*ramps, indexing="ij"), -1)
    return frame


def _sample(image: np.ndarray, index: np.ndarray, slack: float = 1e-6) -> np.ndarray:
    """Bilinear values of an (A, B, 2) image at (..., 2) indices; NaN where outside by more than `slack` or beside a NaN."""
    top = np.array(image.shape[:2]) - 1
    inside = np.all((index >= -slack) & (index <= top + slack), axis=-1, keepdims=True)
    place = np.moveaxis(np.where(inside, np.clip(index, 0, top), 0), -1, 0)
    values = np.stack([map_coordinates(image[..., channel], place, order=1) for channel in (0, 1)], -1)
    return np.where(inside, values, np.nan)


def _paint(mask: np.ndarray, values: np.ndarray) -> Map:
    """Values (P, 2) of the mask's pixels, row by row, as a map; a pixel with NaN is not valid."""
    uv = np.zeros((2, *mask.shape), dtype=np.float32)
    known = np.isfinite(values).all(-1)
    uv[:, mask] = np.where(known[:, None], values, 0).T
    valid = np.zeros(mask.shape, dtype=bool)
    valid[mask] = known
    return uv, valid
