"""What the tables of a set say, and what of it is odd: copies, patients in two parts, spacing, units."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd

from denseseg.anatomy import Kind
from denseseg.cases.case_set import CaseSet, names_parts, patient_of, published_part
from denseseg.cases.health.finding import Finding

WIDEST, NARROWEST = 3000.0, 5.0  # mm, of what a radiograph shows
MOST = 0.9  # share of the cases that says what is usual
ENOUGH = 8  # cases, of which one should have each structure


def contents(cases: CaseSet) -> str:
    """Some lines: how many cases, sizes, spacings, parts, patients and masks there are, and which landmarks are missing."""
    anatomy, sizes = cases.anatomy, Counter(f"{case.size[1]} x {case.size[0]}" for case in cases)
    known = sorted({case.spacing for case in cases if case.spacing is not None})
    spacing = "unknown" if not known else f"{known[0]:g} mm" if len(known) == 1 else f"{known[0]:g} to {known[-1]:g} mm"
    without = sum(case.spacing is None for case in cases)
    parts = Counter(published_part(case) for case in cases if "split" in case.metadata)
    patients = {patient_of(case) for case in cases} - {""}
    masks = sum(case.masks is not None for case in cases)
    lines = [
        f"{cases.name}: {len(cases)} cases of the {anatomy.name}, {len(anatomy)} structures, {anatomy.n_landmarks} landmarks",
        f"images:   {_counted(sizes)} pixels" + (f"; spacing {spacing}" + (f", unknown in {without}" if known and without else "")),
        f"parts:    {_counted(parts) or 'none named'}"
        + (f"; {len(patients)} patient{'s' if len(patients) > 1 else ''}" if patients else "; no patients named"),
        f"masks:    {masks} of {len(cases)} cases have their own",
    ]
    missing = np.isnan(cases.landmarks).any(-1)
    for name, own in anatomy.slices.items():
        gone, some = missing[:, own].all(1).sum(), (missing[:, own].any(1) & ~missing[:, own].all(1)).sum()
        if gone or some:
            lines.append(f"missing:  {name}: absent in {gone}, incomplete in {some}")
    return "\n".join(lines)


def _counted(counter: Counter[str], most: int = 4) -> str:
    words = [f"{count} {name}" for name, count in counter.most_common(most)]
    return ", ".join(words) + (f", {len(counter) - most} more kinds" if len(counter) > most else "")


def table_findings(cases: CaseSet) -> Iterator[Finding]:
    yield from _copies(cases)
    yield from _parts(cases)
    yield from _patients(cases)
    yield from _spacing(cases)


def _copies(cases: CaseSet) -> Iterator[Finding]:
    """Images with the same pixels."""
    first: dict[bytes, str] = {}
    for case in cases:
        pixels = np.round(case.image * 255).astype(np.uint8)
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if (other := first.setdefault(digest, case.id)) != case.id and pixels.min() < pixels.max():
            yield Finding(10.0, case.id, f"its image has the same pixels as that of {other}", "remove one of the two")


def _parts(cases: CaseSet) -> Iterator[Finding]:
    """A column `split` with other words than train and test, or with gaps."""
    parts = {case.id: published_part(case) for case in cases}
    odd = [name for name, part in parts.items() if part not in ("train", "test")]
    if odd and names_parts(cases):
        what = f"{len(odd)} of {len(cases)} cases are for neither train nor test: {odd[0]} has {parts[odd[0]]!r}"
        yield Finding(10.0, f"all of {cases.name}", what, "write train or test in the column split of each, or remove it", odd[0])


def _patients(cases: CaseSet) -> Iterator[Finding]:
    """Patients with cases in several parts of the published split."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for case in cases:
        if (patient := patient_of(case)) and not pd.isna(case.metadata.get("split")):
            parts[patient].setdefault(published_part(case), case.id)
    for patient, of_part in parts.items():
        if len(of_part) > 1:
            (part, one), (other_part, other), *_ = of_part.items()
            what = f"its patient {patient} is in {part}, and in {other_part} with {other}"
            yield Finding(5.0, one, what, 'put all cases of a patient into one part, or split by "patients"')


def _spacing(cases: CaseSet) -> Iterator[Finding]:
    """Pixels of another unit, and images of an absurd extent."""
    known = {case.id: case.spacing * max(case.size) for case in cases if case.spacing is not None}
    usual = float(np.median(list(known.values()))) if known else 0.0
    for case, extent in known.items():
        ratio = max(extent / usual, usual / extent)
        if ratio > 5:
            yield Finding(
                ratio / 5,
                case,
                f"its spacing makes the image {extent:.4g} mm long, the others {usual:.4g}",
                "correct its spacing",
            )
    if known and (without := [case.id for case in cases if case.id not in known]):
        what = f"{len(without)} of {len(cases)} cases have no spacing"
        yield Finding(
            10.0, f"all of {cases.name}", what, "fill it in, or leave it empty in all, to be judged in pixels", without[0]
        )
    if known and not NARROWEST < usual < WIDEST:
        what = f"spacings make the images {usual:.4g} mm long"
        yield Finding(5.0, f"all of {cases.name}", what, "spacing is millimetres per pixel: correct it, or leave it empty")


def missing_findings(cases: CaseSet) -> Iterator[Finding]:
    """Landmarks that nearly all others have: a table that ends early, an outline with gaps, a structure that no case has."""
    missing = np.isnan(cases.landmarks).any(-1)
    without = missing.all(1)  # cases with masks only
    known = ~without
    ends = np.cumprod(missing[:, ::-1], axis=1).sum(1)  # missing ones at the end of each case
    for name, own in cases.anatomy.slices.items():
        gone = missing[:, own].all(1)
        if known.sum() >= ENOUGH and gone[known].all():
            yield Finding(10.0, f"all of {cases.name}", f"no case has a {name}", "is a part of landmarks.csv missing?")
    for case, rows, end in zip(cases, missing, ends, strict=True):
        if rows.all():
            continue
        others = known.sum() - 1
        if end and (ends[known] == 0).sum() > MOST * others:
            last = cases.anatomy.landmark_names[len(rows) - end - 1]
            what = f"its landmarks end with {last[1]} of the {last[0]}, the others' do not"
            yield Finding(20.0, case.id, what, "was landmarks.csv cut off? add its rows")
            continue
        for structure, own in zip(cases.anatomy.structures, cases.anatomy.slices.values(), strict=True):
            gaps = missing[:, own].any(1) & ~missing[:, own].all(1)
            if structure.kind != Kind.POINTS and rows[own].any() and not rows[own].all() and gaps.sum() - 1 <= (1 - MOST) * others:
                what = f"its {structure.name} lacks {rows[own].sum()} of {structure.count} landmarks, the others' do not"
                yield Finding(5.0, case.id, what, "add them, or leave all of them out")
                break
