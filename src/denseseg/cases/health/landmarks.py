"""Landmarks that are plausible in number and wrong in place: each case against what is normal in its set.

Each usual mistake is undone on trial. Where that makes a case far more ordinary, the mistake is named with its mend; where nothing
does and the case is far from normal, it is listed as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations

import numpy as np

from denseseg.anatomy import Anatomy, Kind
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.health.finding import SURE, Finding
from denseseg.cases.health.norm import Deviation, Norm, aligned_to, distinct, misfit

SHAPE, STRUCTURE = 5.0, 15.0  # how odd a shape, and one structure of it, may be where no mistake explains it
ODD, GAIN = 1.5, 0.62  # a mistake explains a case that is so odd, and falls to this share of it once the mistake is undone
PART_GAIN, PART_ODD = 0.5, 2.5  # the same for single structures, which must be so odd first
SUSPECTS = 6  # single landmarks that may have been exchanged
OWN_GAIN = 0.8  # it must lower the misfit of the structures alone to this share, too
SHARP = 1.3  # misfit of a structure from which on other first landmarks are tried


Mistake = tuple[tuple[int, ...], np.ndarray, str, str]  # structures, the order (N,) of all landmarks without it, what, mend


def landmark_findings(cases: CaseSet, norm: Norm) -> Iterator[Finding]:
    """At most one for each case: the mistake that explains it best, else what is odd about it."""
    for case in cases:
        if distinct(case.landmarks) < 2:
            if np.isfinite(case.landmarks).sum() > 2:
                yield Finding(SURE, case.id, "all its landmarks are in one place", "mark missing landmarks by leaving them out")
            continue
        found = norm.deviation(case.landmarks, case.size, case.id)
        finding = _whole_mistake(case, norm, found) or _part_mistake(case, norm, found) or _unexplained(case, norm, found)
        if finding is not None:
            yield finding


def oddness(found: Deviation) -> float:
    """Of shape and pose; a pose within what is tolerated does not count."""
    return found.shape * max(1.0, found.pose) ** 2


def whole_mistakes(case: Case) -> Iterator[tuple[np.ndarray, str, str]]:
    """All landmarks as they would be if a usual mistake had not been made, the mistake, and its mend."""
    points, (height, width) = case.landmarks, case.size
    yield points[:, ::-1], "x and y of its landmarks are swapped", "exchange the columns x and y of its rows"
    yield (
        points * (-1, 1) + (width - 1, 0),
        "its landmarks are mirrored left to right",
        "mirror them (x = width - 1 - x), or its image",
    )
    yield points * (1, -1) + (0, height - 1), "its landmarks are upside down", "count y from the top (y = height - 1 - y)"
    turned = points * -1 + (width - 1, height - 1)
    yield turned, "its landmarks are turned by 180 degrees", "turn them back (x = width - 1 - x, y = height - 1 - y), or its image"
    if case.spacing is not None and abs(np.log(case.spacing)) > 0.2:
        yield points / case.spacing, "its landmarks are millimetres", f"divide x and y by its spacing ({case.spacing:g})"
    for step in (1, -1):
        shifted = np.concatenate([np.roll(points[own], -step, axis=0) for own in case.anatomy.slices.values()])
        yield (
            shifted,
            "the index of its landmarks is shifted by one",
            f"{'subtract' if step > 0 else 'add'} 1 (indices count from 0)",
        )


def _whole_mistake(case: Case, norm: Norm, found: Deviation) -> Finding | None:
    before = oddness(found)
    if before < ODD:
        return None
    trials = [(oddness(norm.deviation(points, case.size, case.id)), what, mend) for points, what, mend in whole_mistakes(case)]
    after, what, mend = min(trials)
    return Finding(min(before / after, SURE / 2), case.id, what, mend) if after < GAIN * before else None


def part_mistakes(anatomy: Anatomy, sharp: np.ndarray) -> Iterator[Mistake]:
    """Usual mistakes in the numbering of one structure or two; sharp: (C,) as in `Norm`."""
    everything, names = np.arange(anatomy.n_landmarks), anatomy.names
    places = list(anatomy.slices.values())
    for c, (structure, own) in enumerate(zip(anatomy.structures, places, strict=True)):
        if structure.outlined:
            for backwards in (True, False) if sharp[c] > SHARP else (True,):
                for start in range(0 if backwards else 1, structure.count):
                    order = everything.copy()
                    order[own] = np.roll(order[own][::-1] if backwards else order[own], start)
                    what = "runs the other way round" if backwards else f"starts {start} landmarks from where the others' do"
                    yield (c,), order, f"the outline of its {structure.name} {what}", "number its landmarks as in the other cases"
        elif structure.count > 1:
            order = everything.copy()
            order[own] = order[own][::-1]
            yield (c,), order, f"the landmarks of its {structure.name} are in reversed order", "number them as in the other cases"
    for a, b in combinations(range(len(anatomy)), 2):
        if anatomy.counts[a] == anatomy.counts[b]:
            order = everything.copy()
            order[places[a]], order[places[b]] = everything[places[b]], everything[places[a]]
            yield (a, b), order, f"its {names[a]} and {names[b]} are exchanged", "exchange the names of the two"


def label_mistakes(case: Case, norm: Norm) -> Iterator[Mistake]:
    """Two single landmarks of a structure exchanged, of those that lie farthest from where the mean shape has them."""
    apart = np.linalg.norm(aligned_to(norm.mean, case.landmarks)[0] - norm.mean, axis=1)
    for c, (structure, own) in enumerate(zip(case.anatomy.structures, case.anatomy.slices.values(), strict=True)):
        if structure.kind is not Kind.POINTS:
            continue
        farthest = own.start + np.argsort(-np.nan_to_num(apart[own]))[:SUSPECTS]
        for a, b in combinations(sorted(farthest.tolist()), 2):
            order = np.arange(len(apart))
            order[[a, b]] = b, a
            names = [structure.labels[i - own.start] if structure.labels else str(i - own.start) for i in (a, b)]
            yield (c,), order, f"landmarks {' and '.join(names)} of its {structure.name} are exchanged", "exchange the two"


def _part_mistake(case: Case, norm: Norm, found: Deviation) -> Finding | None:
    """The mistake in one structure, or pair of structures, that explains most; further ones are told by their number."""
    if not (found.structures > PART_ODD).any():
        return None
    best: dict[tuple[int, ...], tuple[float, str, str]] = {}
    for parts, order, what, mend in chain(part_mistakes(case.anatomy, norm.sharp), label_mistakes(case, norm)):
        before = _of(found, parts)
        if not before > PART_ODD:
            continue
        after = _of(norm.deviation(case.landmarks[order], case.size, case.id, parts), parts)
        if after < PART_GAIN * before and before / after > best.get(parts, (0.0, "", ""))[0] and _shows(case, norm, parts, order):
            best[parts] = before / after, what, mend
    if not best:
        return None
    (score, what, mend), *others = sorted(best.values(), reverse=True)
    return Finding(score, case.id, what + (f" (and {len(others)} more like this)" if others else ""), mend)


def _shows(case: Case, norm: Norm, parts: tuple[int, ...], order: np.ndarray) -> bool:
    """Whether the shapes of the structures alone, wherever they lie, speak for another order of their landmarks, too."""
    places = [list(case.anatomy.slices.values())[c] for c in parts]
    before, after = (
        sum(misfit(points[own], norm.mean[own]) for own in places) for points in (case.landmarks, case.landmarks[order])
    )
    return after < OWN_GAIN * before


def _of(found: Deviation, parts: tuple[int, ...]) -> float:
    """How odd these structures are together."""
    return float(np.sqrt(np.mean(found.structures[list(parts)] ** 2)))


def _unexplained(case: Case, norm: Norm, found: Deviation) -> Finding | None:
    worst = int(np.nanargmax(np.nan_to_num(found.structures, nan=0.0)))
    if found.pose > 1:
        x, y = (100 * found.offset).round().astype(int)
        place = f"{x} % of the width and {y} % of the height from their place, turned by {found.angle:.0f} degrees"
        what = f"its landmarks lie in the image as no others do: {found.ratio:.2g} times as large, {place}"
        return Finding(found.pose, case.id, what, "are they pixels of another image, or of another size of it?")
    score = max(found.shape / SHAPE, found.structures[worst] / STRUCTURE)
    if not score > 1:
        return None
    what = f"the shape of its {case.anatomy.names[worst]} is {found.structures[worst]:.0f} times as unusual as the others' are"
    return Finding(float(score), case.id, what, "look at its landmarks")
