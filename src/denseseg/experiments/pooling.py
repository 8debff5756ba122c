"""Cross-validation: the records of its folds, in which each image is tested once, as one record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from denseseg.errors import DataError, validated
from denseseg.experiments.record import Record, Spec, metrics_of
from denseseg.experiments.values import Values
from denseseg.files import plain


def pooled_spec(spec: Spec) -> Spec:
    """The spec of the record that holds all folds of a run's cross-validation."""
    return spec.model_copy(update={"fold": None})


def pooled(records: Sequence[Record]) -> Record:
    """One record of all folds.

    Metrics are those of `summarise` for all images at once, to the five digits that records keep. Costs are summed up, seconds per
    step are the ratio of the sums, seconds per case a mean over the images, n_train and n_validation a mean over the folds, the
    memory is the largest. There is no history.
    Raises DataError where runs of different specs, recipes or data are mixed, an image is tested twice, or one is not tested.
    """
    if not records:
        raise DataError("there are no folds to pool; run them first")
    first = records[0]
    for record in records:
        _check_alike(record, first)
    _check_each_case_once(records)
    records = sorted(records, key=lambda record: record.spec.fold or 0)  # the order of images decides what a bootstrap draws
    table = pd.concat([record.values.table() for record in records if record.values], ignore_index=True)
    metrics, n_test = metrics_of(table), sum(record.n_test for record in records)
    for group, by_metric in metrics.items():
        for metric, numbers in by_metric.items():
            numbers["missing"] = _sum(_missing(record, group, metric) for record in records)
    commits = ", ".join(dict.fromkeys(record.commit for record in records))
    content = first.model_dump(mode="json") | {
        "spec": pooled_spec(first.spec).model_dump(mode="json"),
        "commit": commits,
        "metrics": metrics,
        "values": Values.of(table).model_dump(mode="json"),
        "history": [],
        "parts_sha256": None,
        "n_test": n_test,
        "n_train": round(fmean(record.n_train for record in records)),
        "n_validation": round(fmean(record.n_validation or 0 for record in records)),
        "seconds_per_case": sum(record.seconds_per_case * record.n_test for record in records) / n_test,
        "peak_memory_mib": max(record.peak_memory_mib or 0.0 for record in records) or None,
    }
    sums = {
        name: _sum(getattr(one, name) for one in records) for name in ("failures", "seconds_train", "processor_seconds", "steps")
    }
    seconds, steps = sums["processor_seconds"], sums["steps"]
    sums["seconds_per_step"] = seconds / steps if seconds is not None and steps else None
    return validated(Record, plain(content | sums), "pooled folds")


def without_pooled_folds(records: Sequence[Record]) -> list[Record]:
    """The records but for folds whose cross-validation is there as one record."""
    names = {record.spec.path() for record in records if record.spec.fold is None}
    return [record for record in records if record.spec.fold is None or pooled_spec(record.spec).path() not in names]


def _missing(record: Record, group: str, metric: str) -> int | None:
    """How many values of a metric the truth of a fold lacks: all, where nobody annotated the group."""
    if metric in record.metrics.get(group, {}):
        return record.metrics[group][metric].missing
    assert record.values is not None
    of_group = (record.values.columns.get(name, {}) for name, its in record.values.groups.items() if its == group)
    return sum(len(columns[metric].values) for columns in of_group if metric in columns)


def _sum(numbers: Iterable[Any]) -> Any:
    """The sum; None where one of them is not known."""
    known = list(numbers)
    return None if None in known else sum(known)


def _check_alike(record: Record, first: Record) -> None:
    name = f"fold {record.spec.fold} of {first.spec.name}"
    if record.spec.split != "folds" or record.spec.fold is None:
        raise DataError(f"{record.spec.name} is no fold of a cross-validation; pool runs of the split 'folds' that name their fold")
    if record.values is None:
        raise DataError(f"{name} has no values of single images; an older version made it: run it again")
    for what in ("data_sha256", "size", "precision", "parameters"):
        if getattr(record, what) != getattr(first, what):
            raise DataError(f"{name} has another {what}, {getattr(record, what)}, than fold {first.spec.fold}; pool what is alike")
    if ("presence" in record.metrics["average"]) != ("presence" in first.metrics["average"]):
        raise DataError(f"{name} judges presence and fold {first.spec.fold} does not, or the reverse; run both again")
    if pooled_spec(record.spec) != pooled_spec(first.spec) or _recipe(record) != _recipe(first):
        raise DataError(
            f"{name} has another spec or recipe than fold {first.spec.fold}; pool folds of one run, made by one version"
        )


def _recipe(record: Record) -> dict[str, Any]:
    """The recipe but for the length of its training, which a budget of seconds sets for each fold."""
    training = record.recipe_settings.get("training", {})
    return record.recipe_settings | {"training": {key: value for key, value in training.items() if key != "length"}}


def _check_each_case_once(records: Sequence[Record]) -> None:
    tested = Counter(case for record in records if record.values for case in record.values.cases)
    twice = [case for case, times in tested.items() if times > 1]
    if twice:
        raise DataError(
            f"{records[0].spec.name}: case {twice[0]} is tested in {tested[twice[0]]} of the folds; give each fold once"
        )
    n_cases = records[0].n_cases
    if len(tested) != n_cases:
        folds = ", ".join(str(record.spec.fold) for record in records)
        raise DataError(
            f"{records[0].spec.name}: folds {folds} test {len(tested)} of {n_cases} cases; run the folds that are missing"
        )
