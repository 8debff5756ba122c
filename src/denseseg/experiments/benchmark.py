"""Methods side by side on equal terms: the same images, split, seeds and, where wished, budget, augmentation and decoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.evaluation.metrics import metric as described
from denseseg.evaluation.summary import compare_methods, summarise
from denseseg.experiments.experiment import is_current, run_experiment, split_of
from denseseg.experiments.record import Record, Spec
from denseseg.experiments.store import require_free
from denseseg.methods import get_recipe

METRICS = ("tre", "asd_one_way", "dsc")
DIVIDED = {"dataset", "split", "fold", "folds", "train_size", "draw"}  # what all methods of a table have in common
COSTS = ("parameters", "steps", "seconds_per_step", "processor_seconds", "seconds_train", "seconds_per_case", "peak_memory_mib")


def on_equal_terms(
    methods: Iterable[tuple[str, str]], seeds: Sequence[int] = (0,), options: Mapping[str, Any] | None = None, **shared: Any
) -> list[Spec]:
    """A spec for each method, recipe and seed, with all that is `shared`: dataset, profile, split, budget, augmentation, ...

    options: of recipes, such as {"decoder": "argmax", "test_time_views": 1, "shape_prior": 0.0}; each goes to the recipes that have
        it and know the value (a decoder of heatmaps reads no uv map). Raises DataError where none does.
    """
    pairs, wished = list(methods), dict(options or {})
    own = {pair: {name: value for name, value in wished.items() if _takes(*pair, name, value)} for pair in pairs}
    for name, value in wished.items():
        if not any(name in taken for taken in own.values()):
            raise DataError(f"no recipe has an option {name!r} that can be {value!r}; correct the name or the value")
    return [Spec(method=m, recipe=r, seed=seed, options=own[m, r], **shared) for m, r in pairs for seed in seeds]


def _takes(method: str, name: str, option: str, value: Any) -> bool:
    recipe = get_recipe(method, name)
    if option not in {field.name for field in fields(recipe)}:
        return False
    try:
        recipe.changed(**{option: value})
    except DataError:
        return False
    return True


def benchmark(
    cases: CaseSet,
    specs: Sequence[Spec],
    reference: Spec,
    metrics: Sequence[str] = METRICS,
    *,
    results: str | Path = "results",
    runs: str | Path | None = "runs",
    progress: bool = True,
) -> pd.DataFrame:
    """The table of `benchmark_table` for these specs; what is not recorded in `results` yet is run, in this process, and recorded.

    Many runs are better made by the grid's commands (`experiments.grid`), a process each: then the memory is that of one run, too.
    Raises DataError where a record is of other data, of another division of them or of a recipe that has changed since, before
    anything is run, and as `benchmark_table` does.
    """
    fitted = {size: cases if size is None else cases.fitted(size) for size in {spec.size for spec in specs}}
    digests = {size: own.fingerprint() for size, own in fitted.items()}
    found = [require_free(spec, digests[spec.size], split_of(fitted[spec.size], spec), results) for spec in specs]
    for record in found:
        if record and not is_current(record):
            raise DataError(f"the recipe of {record.path(results)} has changed since; move that file away, so that it is run again")
    records = [
        record or run_experiment(cases, spec, runs, results=results, progress=progress).record
        for spec, record in zip(specs, found, strict=True)
    ]
    return benchmark_table(records, reference, metrics)


def benchmark_table(records: Sequence[Record], reference: Spec, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """One tidy table of many runs: a row for each run, its seeds together, and metric that it has, of the average over groups.

    reference: the run that all others are compared with, image by image; its seed is ignored.
    Several seeds of one run are averaged image by image before the comparison; so it is about these images, and `sd_seeds`, the SD
    of the mean over seeds, tells how far a mean moves by the training alone.
    Columns: run (the name of its spec with seed 0), method, recipe, budget, metric, unit, mean, low, high (95 % bootstrap interval
    over images); difference (minus the reference) with its interval difference_low, difference_high, and the p values of
    `compare_methods` (empty for the reference); n (images), seeds, sd_seeds, failures (structures with any, all seeds together),
    and each of `COSTS` as its mean over seeds.
    Raises DataError where runs do not share data set, split and seeds, as far as records tell, hold no values of single images, or
    have errors in pixels of different sizes; KeyError where a metric is not known.
    """
    runs = _by_run(records)
    key = _key(reference)
    if key not in runs:
        raise DataError(f"there is no record of the reference {reference.name}; run it first")
    tables = {name: averaged(own) for name, own in runs.items()}
    rows: list[dict[str, Any]] = []
    for metric in metrics:
        described(metric)  # or an error that names those that there are
        having = {name: table for name, table in tables.items() if metric in set(table["metric"])}
        compared = compare_methods(having, key, metric) if key in having and len(having) > 1 else pd.DataFrame({"method": []})
        compared = compared.set_index("method").rename(columns={"low": "difference_low", "high": "difference_high"})
        for name, table in having.items():
            paired = compared.loc[name].to_dict() if name in compared.index else {}
            rows.append(_row(runs[name], table, metric, paired))
    return pd.DataFrame(rows)


def averaged(records: Sequence[Record]) -> pd.DataFrame:
    """The mean over the seeds of one run, image by image, as a table of `evaluate`; failed where any seed failed."""
    keys = ["case", "structure", "group", "metric", "unit", "landmark"]
    whole = pd.concat([record.values.table() for record in records if record.values], ignore_index=True)
    return whole.groupby(keys, sort=False, dropna=False, as_index=False).agg({"value": "mean", "n": "max", "failed": "any"})


def _key(spec: Spec) -> str:
    """What a run is called, whatever its seed."""
    return spec.model_copy(update={"seed": 0}).name


def _by_run(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Run -> its records, one for each seed. Raises DataError where they are not comparable."""
    runs: dict[str, list[Record]] = {}
    for record in records:
        if record.values is None:
            raise DataError(f"{record.spec.name} has no values of single images; an older version made it: run it again")
        runs.setdefault(_key(record.spec), []).append(record)
    for own in runs.values():
        first, other = records[0].spec.model_dump(include=DIVIDED), own[0].spec.model_dump(include=DIVIDED)
        differing = [name for name in first if first[name] != other[name]]
        if differing:
            raise DataError(
                f"{own[0].spec.name} has another {differing[0]} than {records[0].spec.name}; compare runs that share it"
            )
    _require_same(records, "with other cases in training, validation or test part", lambda record: record.parts_sha256)
    for size in {record.size for record in records}:  # phantoms are drawn anew, with last bits that depend on the processor
        alike = [record for record in records if record.size == size and not record.synthetic]
        _require_same(alike, "on other data", lambda record: record.data_sha256)
    in_pixels = any("px" in record.values.units.values() for record in records if record.values)
    if in_pixels and len({record.size for record in records}) > 1:
        raise DataError("errors are in pixels, of images of different sizes; compare runs of one size, or give cases a spacing")
    seeds = {name: sorted(record.spec.seed for record in own) for name, own in runs.items()}
    for name, found in seeds.items():
        if found != seeds[_key(records[0].spec)]:
            raise DataError(f"{name} was run with the seeds {found}, others with {seeds[_key(records[0].spec)]}; run the same ones")
    return runs


def _require_same(records: Sequence[Record], fault: str, told: Callable[[Record], str | None]) -> None:
    """Raises DataError where records tell different digests; one that tells none is let through."""
    known = [(told(record), record.spec.name) for record in records if told(record)]
    for digest, name in known:
        if digest != known[0][0]:
            raise DataError(f"{name} was run {fault} than {known[0][1]}; compare runs that share them, or run one of the two again")


def _row(records: Sequence[Record], table: pd.DataFrame, metric: str, paired: Mapping[str, Any]) -> dict[str, Any]:
    spec, part = records[0].spec, table[table["metric"] == metric]
    summary = summarise(part).set_index("group").loc["average"]
    each = [record.metrics["average"][metric].mean for record in records]
    named = {"run": _key(spec), "method": spec.method, "recipe": spec.recipe, "metric": metric, "unit": summary["unit"]}
    named["budget"] = spec.budget_words or "profile"
    judged = {"mean": summary["mean"], "low": summary["low"], "high": summary["high"], **paired, "n": part["case"].nunique()}
    counts = {"seeds": len(records), "sd_seeds": stdev(each) if len(each) > 1 else float("nan")}
    counts["failures"] = sum(record.failures for record in records)
    return named | judged | counts | {cost: _mean(getattr(record, cost) for record in records) for cost in COSTS}


def _mean(numbers: Iterable[float | None]) -> float:
    known = [number for number in numbers if number is not None]
    return fmean(known) if known else float("nan")
