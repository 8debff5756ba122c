"""A case judged by itself: its landmarks against its own image, and against what the names of its structures say of their places.

So a fault is noticed that all cases of a set share, and in sets that are too small to say what is normal. The outlines of a
structure lie where grey changes: where they do so far better once a usual mistake is undone, that mistake was made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from denseseg.anatomy import Anatomy, Kind
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.health.finding import Finding
from denseseg.geometry.contour import signed_area

LONGEST = 128  # pixels of the images in which grey is looked at
GAIN = 1.25  # in how much grey changes at the outlines, from which a mistake is believed
SMALL, LEAST = 0.14, 0.6  # share of the image's sides that landmarks fill or reach at least; 0.14 of both is 2 % of the image
OUTSIDE = 0.25  # share of landmarks that may lie beyond the image
STAND_INS = ((0.0, 0.0), (-1.0, -1.0))  # what some tools write for a missing landmark
OF_HANDS = {"hand", "wrist", "metacarpal", "metacarpals", "phalanx", "phalanges", "finger", "carpal", "carpals", "radius", "ulna"}
OF_HANDS |= {"capitate", "hamate", "lunate", "pisiform", "scaphoid", "trapezium", "trapezoid", "triquetrum"}
# a structure or a labelled landmark, another, and the axis along which the first comes before it: 0 from the left, 1 from the top
PLACES = (
    ("right clavicle", "heart", 1),
    ("metacarpal 3", "radius", 1),
    ("metacarpal 3", "ulna", 1),
    ("tip of finger 3", "ulnar styloid process", 1),
)

Points = np.ndarray  # (N, 2)
MOVES: dict[tuple[str, str], Callable[[Points, float, float], Points]] = {
    ("its landmarks are mirrored left to right against its image", "mirror them (x = width - 1 - x), or its image"): (
        lambda points, width, height: points * (-1, 1) + (width - 1, 0)
    ),
    ("its landmarks are upside down against its image", "count y from the top (y = height - 1 - y), or turn its image over"): (
        lambda points, width, height: points * (1, -1) + (0, height - 1)
    ),
    ("its landmarks are turned by 180 degrees against its image", "turn the one or the other"): (
        lambda points, width, height: points * -1 + (width - 1, height - 1)
    ),
    ("x and y of its landmarks are swapped", "exchange the columns x and y of its rows, or transpose its image"): (
        lambda points, width, height: points[:, ::-1]
    ),
}


def own_findings(cases: CaseSet) -> Iterator[Finding]:
    """The first fault that is found in each case, if any."""
    rules = list(place_rules(cases.anatomy))
    for case in cases:
        if np.isfinite(case.landmarks).any():
            finding = _stand_ins(case) or _extent(case) or _moved(case, rules) or _inverted(case)
            if finding is not None:
                yield finding


def order_findings(cases: CaseSet) -> Iterator[Finding]:
    """Outlines whose landmarks are in another order than the others': maps of them would fold over. For small sets."""
    areas = np.array([[_area(case.landmarks[own]) for own in cases.anatomy.slices.values()] for case in cases])
    for row, case in zip(areas, cases, strict=True):
        for c, structure in enumerate(cases.anatomy.structures):
            known = areas[np.isfinite(areas[:, c]), c]
            if not structure.outlined or len(known) < 3 or not np.isfinite(row[c]):
                continue
            usual = np.median(known)
            if row[c] * usual < 0:
                what = f"the outline of its {structure.name} runs the other way round"
            elif abs(row[c]) < 0.5 * abs(usual):
                what = f"the outline of its {structure.name} crosses itself"
            else:
                continue
            yield Finding(10.0, case.id, what, "number its landmarks as in the other cases, or its map folds over")
            break


def _area(points: Points) -> float:
    """Signed area of a closed outline, as a share of that of the box round it; NaN with gaps."""
    box = np.prod(np.ptp(points, axis=0))
    return signed_area(points) / box if box else np.nan


def reduced(image: np.ndarray, points: Points, longest: int) -> tuple[np.ndarray, Points]:
    """The means of blocks of pixels, so that no side is longer than `longest` or both are short, and the points in their pixels."""
    block = max(1, min(-(-max(image.shape) // longest), min(image.shape) // 2))
    height, width = (side // block for side in image.shape)
    means = image[: height * block, : width * block].reshape(height, block, width, block).mean((1, 3))
    return means, (points + 0.5) / block - 0.5


def place_rules(anatomy: Anatomy) -> Iterator[tuple[str, np.ndarray, str, np.ndarray, int]]:
    """What comes before what, and along which axis: the patient's right is on the left of the image, and see `PLACES`."""
    everything = np.arange(anatomy.n_landmarks)
    parts = {label: everything[[i]] for i, (*_, label) in enumerate(anatomy.landmark_names) if label}
    parts |= {name: everything[own] for name, own in anatomy.slices.items()}
    pairs = [(name, name.replace("right", "left"), 0) for name in parts if "right" in name.split()]
    for first, second, axis in [*pairs, *PLACES]:
        if first in parts and second in parts:
            yield first, parts[first], second, parts[second], axis


def _stand_ins(case: Case) -> Finding | None:
    at = [(case.landmarks == place).all(1) for place in STAND_INS]
    count, place = max((int(found.sum()), place) for found, place in zip(at, STAND_INS, strict=True))
    if not count:
        return None
    what = f"{count} of its landmarks are at ({place[0]:g}, {place[1]:g})"
    return Finding(20.0, case.id, what, "does that stand for missing ones? leave these out of landmarks.csv, or give them v = 0")


def _extent(case: Case) -> Finding | None:
    """Coordinates that are hardly the pixels of this image."""
    points = case.landmarks[np.isfinite(case.landmarks).all(1)]
    size = np.array(case.size[::-1])
    filled, reach = np.ptp(points, axis=0) / size, (points.max(0) + 0.5) / size
    if len(points) > 1 and filled.max() < SMALL:
        what = f"its landmarks fill {100 * filled.max() ** 2:.2g} % of the image"
        return Finding(15.0, case.id, what, "are they shares of the image (0 to 1), per cent or millimetres? give pixels")
    if len(points) > 2 and reach.max() < LEAST:
        what = f"its landmarks are all in the upper left {100 * reach.max():.0f} % of the image"
        if case.spacing is not None and 0.8 < reach.max() / case.spacing < 1.1:
            return Finding(12.0, case.id, "its landmarks are millimetres", f"divide x and y by its spacing ({case.spacing:g})")
        return Finding(12.0, case.id, what, "are they millimetres, per cent, or pixels of a smaller image? give its pixels")
    outside = ((points < -0.5) | (points > size - 0.5)).any(1)
    if outside.mean() > OUTSIDE:
        what = f"{outside.sum()} of its {len(points)} landmarks lie outside its image"
        return Finding(12.0, case.id, what, "are they pixels of another image, or of another size of it?")
    return None


def _moved(case: Case, rules: list[tuple[str, np.ndarray, str, np.ndarray, int]]) -> Finding | None:
    """A usual mistake that the image, or else the names of the structures, speak for."""
    height, width = case.size
    trials = {
        told: points
        for told, move in MOVES.items()
        if (points := move(case.landmarks, width, height)).shape == case.landmarks.shape and _inside(points, width, height)
    }
    here = _contrast(case, [case.landmarks, *trials.values()])
    broken = _broken(case.landmarks, rules)
    ranked = sorted(zip(here[1:], trials.items(), strict=True), key=lambda trial: -trial[0])
    for there, ((what, mend), points) in ranked:
        if there > GAIN * here[0]:
            return Finding(float(there / here[0]) * 8, case.id, what, mend)
        if broken and not _broken(points, rules) and not there < here[0] / GAIN:
            return Finding(10.0, case.id, what, mend)
    if broken:
        return Finding(9.0, case.id, broken, "exchange their names, or mirror or turn image and landmarks")
    return None


def _inside(points: Points, width: int, height: int) -> bool:
    return bool((np.nanmax(points, axis=0) < (1.5 * width, 1.5 * height)).all())


def _contrast(case: Case, trials: list[Points]) -> np.ndarray:
    """For each trial (N, 2) of landmarks, how much grey changes at its outlines and curves.

    Without any, the grey at the landmarks where these are known to be bright, or else zeros.
    """
    on_lines = np.array([structure.kind is not Kind.POINTS for structure in case.anatomy.structures])[case.anatomy.membership]
    on_lines &= np.isfinite(case.landmarks).all(1)
    image = gaussian_filter(reduced(case.image, trials[0], LONGEST)[0], 1.0)
    if on_lines.any():
        change = np.hypot(*np.gradient(image))
    elif _is_hand(case.anatomy):
        change, on_lines = image, np.isfinite(case.landmarks).all(1)
    else:
        return np.zeros(len(trials))
    places = [reduced(case.image, points[on_lines], LONGEST)[1] for points in trials]
    values = [map_coordinates(change, points[:, ::-1].T, order=1) for points in places]
    return np.mean(values, axis=1) + 1e-9


def _broken(points: Points, rules: list[tuple[str, np.ndarray, str, np.ndarray, int]]) -> str | None:
    """The first pair of structures whose places are not as their names say."""
    for first, own, second, other, axis in rules:
        one, two = points[own][np.isfinite(points[own]).all(1)], points[other][np.isfinite(points[other]).all(1)]
        if len(one) and len(two) and one[:, axis].mean() > two[:, axis].mean():
            return f"its {first} is not {('left of', 'above')[axis]} its {second} in the image"
    return None


def _inverted(case: Case) -> Finding | None:
    """Bone that is dark, where it is known what should be brighter: the heart than the lungs, a hand than the air."""
    image, points = reduced(case.image, case.landmarks, LONGEST)
    grey = gaussian_filter(image, 1.0)
    inner = {}
    for name, own in case.anatomy.slices.items():
        there = points[own][np.isfinite(points[own]).all(1)]
        if len(there):
            inner[name] = np.median(map_coordinates(grey, (0.5 * there + 0.5 * there.mean(0))[:, ::-1].T, order=1, mode="nearest"))
    lungs, heart = ([grey for name, grey in inner.items() if part in name] for part in ("lung", "heart"))
    if lungs and heart:
        dark, bright = np.mean(lungs), np.mean(heart)
    elif _is_hand(case.anatomy):
        there = points[np.isfinite(points).all(1)]
        dark = np.median(grey[:, [0, -1]])
        bright = np.median(map_coordinates(grey, there[:, ::-1].T, order=1, mode="nearest"))
    else:
        return None
    if not dark > bright + 0.1 * grey.std():
        return None
    return Finding(8.0, case.id, "its image is inverted", "bone shall be bright: save 1 - image")


def _is_hand(anatomy: Anatomy) -> bool:
    """Whether it is a hand, a wrist or a part of one: there is dark air round what the image shows."""
    names = [anatomy.name, *anatomy.names, *(label for *_, label in anatomy.landmark_names)]
    return any(word in OF_HANDS for name in names for word in re.findall(r"[a-z]+", name.lower()))
