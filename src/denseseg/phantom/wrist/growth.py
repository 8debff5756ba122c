"""How a child's hand matures: what has ossified, how large it is, how wide the growth plates are, all by bone age.

The ossification ages are means that textbooks give, rounded, girls and boys pooled (Garn, Rohmann and Silverman 1967; Greulich
and Pyle, Radiographic Atlas of Skeletal Development of the Hand and Wrist, 1959); the smooth laws between them are ours.
Ages are in years unless a name says months.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri

from denseseg.anatomy import WRIST

AGES = (24.0, 204.0)  # months: 2 to 17 years
TEMPO_SD, TEMPO_LIMIT = 9.0, 2.5  # months, standard deviations: bone age minus age
ONSET = {
    "epiphysis of radius": 1.0, "epiphysis of ulna": 6.0, "capitate": 0.2, "hamate": 0.3, "triquetrum": 2.5, "lunate": 4.0,
    "scaphoid": 5.0, "trapezium": 5.0, "trapezoid": 6.0, "pisiform": 10.0,
}  # fmt: skip
FIRST_YEAR = {"epiphysis of radius", "capitate", "hamate"}  # there from 2 years on, however late the child
ONSET_SD = 0.12  # of the mean age at onset, from child to child
CARPALS_MATURE, CLOSED, GROWN = 14.5, 16.0, 18.0
YOUNGEST = 2  # years
BANDS = ("2 to 5 years", "6 to 9 years", "10 to 13 years", "14 to 17 years", "18 years or more")


def onsets(rng: np.random.Generator) -> np.ndarray:
    """(C,) bone age at which each structure of `WRIST` begins to ossify in one child; -inf for those there at birth."""
    means = np.array([ONSET.get(name, -np.inf) for name in WRIST.names])
    return means * (1 + ONSET_SD * truncated_normal(rng, len(means)))


def age_band(age: float) -> str:
    """The one of `BANDS` that an age in years lies in."""
    return BANDS[min(int((age - YOUNGEST) // 4), len(BANDS) - 1)]


def truncated_normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n,) independent normal numbers, truncated (not clipped) at 2.5 standard deviations."""
    tail = ndtr(-TEMPO_LIMIT)
    return ndtri(tail + (1 - 2 * tail) * rng.random(n))


def ease(t: np.ndarray | float) -> float:
    """0 up to t = 0, 1 from t = 1 on, smooth between: 3 t^2 - 2 t^3."""
    t = np.clip(t, 0, 1)
    return float(t * t * (3 - 2 * t))


def body_scale(age: float) -> float:
    """Length of the hand over its mature length: 0.49 at 2 years, 0.80 at 10, 1 from 18 on."""
    return float(1 - 0.6 * np.clip(1 - age / GROWN, 0, 1) ** 1.35)


def nucleus_scale(age: float, onset: float) -> float:
    """Size of a carpal bone over its mature size: 0.35 when it appears, 1 from 14.5 years on."""
    return float(0.35 + 0.65 * np.clip((age - onset) / (CARPALS_MATURE - onset), 0, 1) ** 1.1)


def form(age: float, onset: float) -> float:
    """From 0, a disc, to 1, the mature shape."""
    return ease(0.1 + 0.9 * (age - onset) / (CARPALS_MATURE - onset))


def plate_gap(age: float) -> float:
    """Width of the growth plates of radius and ulna in mm: 2.7 at 2 years, 0.65 at 11, closed to a thin line from 16 on."""
    return 2.8 * (1 - ease(age / CLOSED))


def epiphysis_width(age: float, onset: float) -> float:
    """Width of an epiphysis over that of its metaphysis: 0.42 when it appears, 1 (a cap) from 12 years on."""
    return float(0.42 + 0.58 * np.clip((age - onset) / (12 - onset), 0, 1) ** 0.8)


@cache
def irreducible_error() -> float:
    """Mean absolute error in months of the best possible prediction of the chronological age.

    The age is uniform on 24..204 months. The bone age b is the age plus a normal number of SD 9 months, truncated at 2.5 SD, and
    everything in a phantom depends on b alone. Given b, the age is a normal variable of mean b, truncated to [b - 22.5, b + 22.5]
    and [24, 204]; its median is the prediction of least absolute error. With the limits l, h and the median m in SD from b, that
    error is SD (2 phi(m) - phi(l) - phi(h)) / (Phi(h) - Phi(l)). The mean over b, whose density is proportional to
    Phi(h) - Phi(l), is a sum over a grid.
    """
    bone = np.linspace(AGES[0] - TEMPO_LIMIT * TEMPO_SD, AGES[1] + TEMPO_LIMIT * TEMPO_SD, 20_001)
    low, high = (np.clip((age - bone) / TEMPO_SD, -TEMPO_LIMIT, TEMPO_LIMIT) for age in AGES)
    median = ndtri((ndtr(low) + ndtr(high)) / 2)
    density = [np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) for z in (low, median, high)]
    error = TEMPO_SD * (2 * density[1] - density[0] - density[2])
    return float(error.sum() / (ndtr(high) - ndtr(low)).sum())
