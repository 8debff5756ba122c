"""Smooth maps of the plane that are invertible by construction.

A phantom places its anatomy by a chain of maps, each with a closed-form inverse:

* `Affine`: p' = A (p - centre) + centre + shift;
* `Coupling`: one coordinate is scaled and shifted by amounts that depend smoothly on the *other* coordinate only,
  x' = pivot + (x - pivot) exp(s(y)) + t(y), y' = y (or the same with x and y exchanged);
* `Polar`: a coupling in polar coordinates, r' = r exp(s(angle)), which turns round bones into discs and back;
* `Stretch`: one coordinate is stretched beyond a knee, as along the shaft of a long bone.

A coupling has the Jacobian determinant exp(s) > 0 whatever s and t are, so a chain of them never folds: it is the affine
coupling layer of normalising flows (Dinh et al., Density estimation using Real NVP, ICLR 2017, Eq. 4) put to use as anatomy.
Coordinates travel as two arrays x and y of one shape, in units of the caller's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Points = tuple[np.ndarray, np.ndarray]
Pair = tuple[float, float]


class Warp(Protocol):
    """An invertible map of the plane."""

    def forward(self, x: np.ndarray, y: np.ndarray) -> Points: ...

    def inverse(self, x: np.ndarray, y: np.ndarray) -> Points: ...


@dataclass(frozen=True)
class Wave:
    """A smooth function of one variable: constant + sum a sin(2 pi f z + phase) + sum b exp(-((z - m) / w)^2 / 2).

    sines: rows (amplitude, frequency, phase); bumps: rows (amplitude, middle, width).
    """

    constant: float = 0.0
    sines: tuple[tuple[float, float, float], ...] = ()
    bumps: tuple[tuple[float, float, float], ...] = ()

    def __call__(self, z: np.ndarray) -> np.ndarray | float:
        total: np.ndarray | float = self.constant
        for amplitude, frequency, phase in self.sines:
            total = total + amplitude * np.sin(2 * np.pi * frequency * z + phase)
        for amplitude, middle, width in self.bumps:
            total = total + amplitude * np.exp(-0.5 * ((z - middle) / width) ** 2)
        return total

    @classmethod
    def random(cls, rng: np.random.Generator, amplitude: float, period: float) -> Wave:
        """A random smooth wave of two sines; `period` is that of the slower one, the other is weaker and faster."""
        sines = []
        for k in (0, 1):
            strength = amplitude * float(np.clip(rng.normal(), -2, 2)) / (k + 1) ** 1.5
            sines.append((strength, (k + rng.uniform(0.6, 1.2)) / period, rng.uniform(0, 2 * np.pi)))
        return cls(sines=tuple(sines))


@dataclass(frozen=True)
class Table:
    """A function of one variable, known at `places` (n,), rising, by its `values` (n,): linear in between, constant beyond."""

    places: np.ndarray
    values: np.ndarray

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return np.interp(z, self.places, self.values)


@dataclass(frozen=True)
class Coupling:
    """Scale (about `pivot`) and shift one coordinate, `axis` (0: x, 1: y), as functions of the other one."""

    axis: int
    log_scale: Wave | Table = Wave()
    shift: Wave | Table = Wave()
    pivot: float = 0.0

    def forward(self, x: np.ndarray, y: np.ndarray) -> Points:
        moved, other = (x, y) if self.axis == 0 else (y, x)
        moved = self.pivot + (moved - self.pivot) * np.exp(self.log_scale(other)) + self.shift(other)
        return (moved, other) if self.axis == 0 else (other, moved)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> Points:
        moved, other = (x, y) if self.axis == 0 else (y, x)
        moved = self.pivot + (moved - self.pivot - self.shift(other)) * np.exp(-self.log_scale(other))
        return (moved, other) if self.axis == 0 else (other, moved)


@dataclass(frozen=True)
class Affine:
    """p' = matrix (p - centre) + centre + shift, with an invertible 2 x 2 matrix ((a, b), (c, d))."""

    matrix: tuple[Pair, Pair]
    centre: Pair = (0.0, 0.0)
    shift: Pair = (0.0, 0.0)

    @classmethod
    def of(cls, scale: Pair = (1.0, 1.0), degrees: float = 0.0, centre: Pair = (0.0, 0.0), shift: Pair = (0.0, 0.0)) -> Affine:
        """First scale along x and y, then turn by `degrees` (clockwise on the screen, where y points down)."""
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        return cls(((c * scale[0], -s * scale[1]), (s * scale[0], c * scale[1])), centre, shift)

    def forward(self, x: np.ndarray, y: np.ndarray) -> Points:
        (a, b), (c, d) = self.matrix
        x, y = x - self.centre[0], y - self.centre[1]
        return a * x + b * y + (self.centre[0] + self.shift[0]), c * x + d * y + (self.centre[1] + self.shift[1])

    def inverse(self, x: np.ndarray, y: np.ndarray) -> Points:
        (a, b), (c, d) = self.matrix
        determinant = a * d - b * c
        x, y = x - (self.centre[0] + self.shift[0]), y - (self.centre[1] + self.shift[1])
        return (d * x - b * y) / determinant + self.centre[0], (a * y - c * x) / determinant + self.centre[1]


@dataclass(frozen=True)
class Circle:
    """A continuous function of an angle: (n,) values at the angles -pi + 2 pi k / n, linear in between."""

    values: np.ndarray

    @staticmethod
    def angles(n: int) -> np.ndarray:
        """(n,) radians, where the values belong."""
        return -np.pi + 2 * np.pi * np.arange(n) / n

    def __call__(self, angle: np.ndarray) -> np.ndarray:
        """At angles in [-pi, pi], as from arctan2."""
        closed = np.append(self.values, self.values[0])
        return np.interp(angle, np.linspace(-np.pi, np.pi, len(closed)), closed)


@dataclass(frozen=True)
class Polar:
    """Scale the distance from `centre` by exp(log_scale(angle)); angles in radians, clockwise on the screen from x.

    The determinant is exp(2 log_scale) > 0, so it never folds; at the centre, which stays where it is, the map is continuous but
    has no derivative.
    """

    centre: Pair
    log_scale: Circle

    def _scaled(self, x: np.ndarray, y: np.ndarray, sign: int) -> Points:
        x, y = x - self.centre[0], y - self.centre[1]
        factor = np.exp(sign * self.log_scale(np.arctan2(y, x)))
        return self.centre[0] + factor * x, self.centre[1] + factor * y

    def forward(self, x: np.ndarray, y: np.ndarray) -> Points:
        return self._scaled(x, y, 1)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> Points:
        return self._scaled(x, y, -1)


@dataclass(frozen=True)
class Stretch:
    """Stretch y beyond `knee` by `factor` > 0 and leave it alone before; the slope changes over the length `bend`.

    With t = y - knee, t' = a t + b sqrt(t^2 + bend^2), a = (factor + 1) / 2 and b = (factor - 1) / 2: a hyperbola whose
    slope runs from 1 to `factor`. Its inverse is t = (a t' - b sqrt(t'^2 + factor bend^2)) / factor.
    """

    knee: float
    factor: float
    bend: float

    def forward(self, x: np.ndarray, y: np.ndarray) -> Points:
        t = y - self.knee
        a, b = (self.factor + 1) / 2, (self.factor - 1) / 2
        return x, self.knee + a * t + b * np.sqrt(t * t + self.bend**2)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> Points:
        t = y - self.knee
        a, b = (self.factor + 1) / 2, (self.factor - 1) / 2
        return x, self.knee + (a * t - b * np.sqrt(t * t + self.factor * self.bend**2)) / self.factor


@dataclass(frozen=True)
class Chain:
    """Maps applied one after the other, the first one first."""

    warps: tuple[Warp, ...]

    def then(self, rest: Chain) -> Chain:
        """This one, and after it another."""
        return Chain(self.warps + rest.warps)

    def forward(self, x: np.ndarray, y: np.ndarray) -> Points:
        for warp in self.warps:
            x, y = warp.forward(x, y)
        return x, y

    def inverse(self, x: np.ndarray, y: np.ndarray) -> Points:
        for warp in reversed(self.warps):
            x, y = warp.inverse(x, y)
        return x, y


def smooth_variation(rng: np.random.Generator, pivot: Pair, stretch: float, shift: float, period: float) -> Chain:
    """A random gentle deformation: two couplings, one along each axis.

    stretch: scale of the local relative stretch; shift: scale of the displacement; period: length over which they vary.
    """
    axes = [Coupling(axis, Wave.random(rng, stretch, period), Wave.random(rng, shift, period), pivot[axis]) for axis in (0, 1)]
    return Chain(tuple(axes))
