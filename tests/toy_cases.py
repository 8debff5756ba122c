"""Small random cases of the hand anatomy, for the tests of cases and of what reads and writes them."""

from __future__ import annotations

import numpy as np

from denseseg.anatomy import HAND
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet

SIZE = (24, 32)


def make_case(number: int = 0, size: tuple[int, int] = SIZE, **changes) -> Case:
    """A case of the hand anatomy (37 landmarks), small and random but reproducible."""
    rng = np.random.default_rng(number)
    values = {
        "id": f"case{number:03d}",
        "image": rng.random(size, dtype=np.float32),
        "landmarks": rng.random((37, 2)) * (size[1], size[0]),
        "anatomy": HAND,
        "spacing": 0.5,
        "metadata": {"split": "train" if number % 3 else "test", "stratum": "ab"[number % 2], "age": 10.5 + number},
    }
    return Case(**(values | changes))


def make_set(n: int = 6, **changes) -> CaseSet:
    return CaseSet("toy", HAND, [make_case(i, **changes) for i in range(n)], {"source": 'a "quoted"\nname', "licence": "none"})


def of_patients(patients: list[str | None], seed: int = 0) -> CaseSet:
    """A case for each entry, of that patient, or of nobody known; strata and published parts at random."""
    rng = np.random.default_rng(seed)
    cases = make_set(len(patients), size=(8, 8))
    for case, patient in zip(cases, patients, strict=True):
        case.metadata |= {"stratum": str(rng.integers(3)), "split": ["train", "test"][rng.integers(2)]}
        if patient is not None:
            case.metadata["patient"] = patient
    return cases


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array.flat[5] = value
    return array


LANDMARKS = make_case().landmarks
IMAGE = make_case().image
