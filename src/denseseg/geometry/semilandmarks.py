"""Corresponding points on the closed outlines of many shapes: semilandmarks, which slide along them.

A point that nobody marked has no place of its own along an outline. So all points start evenly spaced, and slide along the outline
until the spline that carries a reference to them bends least (Bookstein 1997; Gunz, Mitteroecker and Bookstein 2005). The reference
is the mean of all shapes, made anew in each pass, so that no shape is preferred. Points stay on the outline and in their order.

A place on an outline is its share of the way round: 0 and 1 are its first point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from denseseg.geometry.contour import perimeter, resample
from denseseg.geometry.similarity import procrustes_mean, umeyama
from denseseg.geometry.spline import bending_energy

POINTS = 100  # that slide on each outline, however many are asked for
SMOOTHING = 0.5  # of the spline: outlines of masks have stairs, which no spline should follow
RIGIDITY = 0.01  # weight, beside the bending, of the squared distance from a similarity of the reference: no shear bends
PASSES = 3
STEPS = 10  # of the sliding in each pass
SPACING = 0.5  # pixels between the points that an outline is made of
CHORD = 2.0  # pixels on both sides of a point to the ends of the chord that is taken for its tangent: longer than a stair


@dataclass(frozen=True)
class EvenCurve:
    """A closed curve, evenly sampled: points (k, 2); length in pixels."""

    points: np.ndarray
    length: float

    @classmethod
    def of(cls, outline: np.ndarray) -> EvenCurve:
        """From the (k, 2) points of an outline, at any distances."""
        length = perimeter(outline)
        return cls(resample(outline, max(int(length / SPACING), POINTS)), length)

    def at(self, places: np.ndarray) -> np.ndarray:
        """(..., 2) points at places (...)."""
        knots = np.arange(len(self.points)) / len(self.points)
        return np.stack([np.interp(places, knots, self.points[:, axis], period=1) for axis in (0, 1)], axis=-1)

    def tangents(self, places: np.ndarray) -> np.ndarray:
        """(n, 2) unit vectors along the curve."""
        reach = min(CHORD / self.length, 0.1)
        chord = self.at(places + reach) - self.at(places - reach)
        return chord / np.maximum(np.linalg.norm(chord, axis=1, keepdims=True), 1e-12)


def corresponding_points(outlines: Sequence[np.ndarray], count: int) -> np.ndarray:
    """(M, count, 2) points on M closed outlines that correspond from each outline to the next, and are even on their mean.

    outlines: (k, 2) each, all in the same sense round; a last point that repeats the first does no harm. Shapes may differ in place
    and scale, and be turned by up to about 45 degrees against one another: a rounder one does not tell a larger turn.
    Point 0 is the uppermost of the first outline, and what corresponds to it in the others.
    """
    curves = [EvenCurve.of(np.asarray(outline, float)) for outline in outlines]
    top = curves[0].points[:, 1].argmin() / len(curves[0].points)
    reference = curves[0].at(top + np.arange(POINTS) / POINTS)
    for _ in range(2):  # the second time to the mean: the first outline may be an odd one
        places = [evenly_placed(curve, reference) for curve in curves]
        reference = _mean(curves, places)
    for _ in range(PASSES):
        energy = bending_energy(reference, SMOOTHING)
        places = [slide(curve, start, reference, energy) for curve, start in zip(curves, places, strict=True)]
        reference = _mean(curves, places)
    chosen = _even(reference, count)
    return np.stack([curve.at(_between(chosen, here)) for curve, here in zip(curves, places, strict=True)])


def evenly_placed(curve: EvenCurve, reference: np.ndarray, tries: int = 32) -> np.ndarray:
    """(n,) places at equal distances along the curve, begun where a similarity of the reference (n, 2) fits them best.

    A turn by the angle a counts cos(a / 2), so that a round shape is not turned for nothing, nor a long one upside down.
    tries: beginnings between one point and the next.
    """
    n = len(reference)
    first = np.arange(tries)[:, None] / (tries * n)
    shapes, target = (points - points.mean(-2, keepdims=True) for points in (curve.at(first + np.arange(n) / n), reference))
    spectra = [np.fft.fft(points @ [1, 1j]) for points in (shapes, target)]  # plane as complex numbers, all shifts at once
    fit = np.fft.ifft(spectra[0] * spectra[1].conj())
    at, shift = np.unravel_index((np.abs(fit) * np.cos(np.angle(fit) / 2)).argmax(), fit.shape)
    return first[at] + (np.arange(n) + shift) / n


def slide(curve: EvenCurve, places: np.ndarray, reference: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """(n,) places, moved along the curve until the map of the reference (n, 2) to them costs least; their order is kept.

    energy: (n, n), the reference's `bending_energy`. A similarity of the reference counts a little besides, by `RIGIDITY`.
    Each step goes to where the cost is least on the tangents (Gunz et al. 2005), but by less than half the way to the next point.
    """
    for _ in range(STEPS):
        points, tangents = curve.at(places), curve.tangents(places)
        force = energy @ points + RIGIDITY * (points - umeyama(reference, points).apply(reference))
        stiffness = tangents @ tangents.T * energy + RIGIDITY * np.eye(len(places))
        step = -np.linalg.solve(stiffness, (tangents * force).sum(1)) / curve.length
        ahead = np.diff(places, append=places[0] + 1)
        room = 0.45 * np.minimum(ahead, np.roll(ahead, 1))
        step = np.clip(step, -room, room)
        places = places + step
        if np.abs(step).max() * curve.length < 0.01:
            break
    return places


def _mean(curves: Sequence[EvenCurve], places: Sequence[np.ndarray]) -> np.ndarray:
    return procrustes_mean(np.stack([curve.at(here) for curve, here in zip(curves, places, strict=True)]))


def _even(polygon: np.ndarray, count: int) -> np.ndarray:
    """(count,) positions, in corners of a closed polygon (n, 2), that lie at equal distances along it from corner 0."""
    length = np.cumsum(np.linalg.norm(np.roll(polygon, -1, axis=0) - polygon, axis=1))
    return np.interp(np.arange(count) / count * length[-1], np.append(0, length), np.arange(len(polygon) + 1))


def _between(positions: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Places at fractional positions of n places, the first of which follows the last after one round."""
    return np.interp(positions, np.arange(len(places) + 1), np.append(places, places[0] + 1))
