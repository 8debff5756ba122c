"""The results page, rendered from the records in results/**/*.json: nobody types a result.

    python -m denseseg.course.results_page results out.md

Runs that differ by their seed alone are one row: the mean over the seeds. Published numbers stand beside them as the papers
print them, and toy runs (a phantom, or the smoke or course profile) stand in a section of their own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from denseseg.course.studies_page import render_studies
from denseseg.errors import DataError
from denseseg.evaluation.metrics import METRIC_NAMES
from denseseg.evaluation.tables import pipe_table
from denseseg.experiments.published import published
from denseseg.experiments.store import read_records, record_path
from denseseg.experiments.tables import is_toy

Record = dict[str, Any]
Row = Sequence[str]
SAME = ("dataset", "method", "recipe", "profile", "size", "split", "n_train", "data_sha256")
METHOD_NAMES = {
    "mean_shape": "Mean shape",
    "denseseg": "DenseSeg",
    "heatmap_regression": "Heatmap regression",
    "spatial_configuration": "SpatialConfiguration-Net",
}
COMPARED = {
    "tre": "Landmark error (TRE)",
    "asd_one_way_published": "One-way average surface distance, as the authors compute it (their “ASD”)",
    "dsc": "Dice similarity coefficient (DSC)",
}
FURTHER = ("asd_one_way", "assd", "hd95", "sdr_2", "sdr_4", "sdr_10")
TOY = "TOY"


@dataclass(frozen=True)
class Benchmark:
    """A public data set: how its records are recognised, the groups of its table and what was published on it."""

    key: str  # a record belongs to it where the data set's name begins so
    title: str
    unit: str
    groups: tuple[str, ...]
    source: str
    remarks: str


BENCHMARKS = (
    Benchmark(
        "jsrt",
        "Chest: JSRT",
        "mm",
        ("lungs", "heart", "clavicles", "average"),
        "{cite:t}`keuth2025denseseg`, Table 1",
        "Published: 160 training and 87 test images at 256 × 256 pixels. The public code uses the test part as validation part, "
        "also in its search for loss weights; our runs choose on a validation part of the training part. nnU-Net has no "
        "landmarks, so its distances start from all points of its contour. Averages are means of the three groups, with one "
        "exception in the paper: nnU-Net's distance of 1.6 mm is the mean of the five structures (the groups give 1.8 mm).",
    ),
    Benchmark(
        "graz",
        "Wrist: GRAZPEDWRI-DX",
        "px",
        ("carpals", "metacarpals", "ulna/radius", "average"),
        "{cite:t}`keuth2025denseseg`, Table 2",
        "Distances are pixels at 384 × 224, because the pixel spacing is unknown. The paper counts 720 landmarks, the published "
        "annotation files hold 710; the number behind a method is how many it was trained on.",
    ),
    Benchmark(
        "hand",
        "Hand: Digital Hand Atlas",
        "mm",
        ("average",),
        "{cite:t}`payer2019scn`, Table 1, and {cite:t}`ham2023spatial`, Table 2",
        "895 images, three folds. The millimetre rests on an assumed wrist width of 50 mm. Mean and SD run over all landmarks of "
        "all images. Published share of landmarks beyond 2 mm, in the order of the table: 5.14 %, 5.01 % and 3.72 %.",
    ),
)
HAND_TRE = {  # mean and SD of the point-to-point error
    "Localization U-Net": "0.70 ± 2.18",
    "SpatialConfiguration-Net": "0.66 ± 0.74",
    "U-Net with spatial-configuration loss": "0.61 ± 0.61",
}


def render_results(folder: str | Path) -> str:
    """The body of the results page as MyST markdown, from every record under `folder`.

    Raises DataError that names the file where a record is broken.
    """
    records = read_records(folder)
    real = [record for record in records if not is_toy(record)]
    toys = [record for record in records if is_toy(record)]
    parts = [_benchmark(benchmark, [r for r in real if benchmark_of(r) is benchmark]) for benchmark in BENCHMARKS]
    parts += [_others([r for r in real if benchmark_of(r) is None]), render_studies(folder), _toys(toys), _runs(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def benchmark_of(record: Record) -> Benchmark | None:
    """The public data set that the record's data set is named after, or None."""
    return next((b for b in BENCHMARKS if record["dataset"].lower().startswith(b.key)), None)


def groups_of_runs(records: Iterable[Record]) -> list[list[Record]]:
    """Runs that differ only in their seed, together; groups in the order of their average TRE, those without one last."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        settings = record.get("settings", {})
        training = {key: value for key, value in settings.get("training", {}).items() if key != "seed"}
        groups.setdefault(repr([*(record[name] for name in SAME), settings.get("recipe"), training]), []).append(record)
    return sorted(groups.values(), key=lambda runs: min(_values(runs, "average", "tre"), default=math.inf))


# ---- sections -------------------------------------------------------------------------------------------------------


def _benchmark(benchmark: Benchmark, records: list[Record]) -> str:
    parts = [f"## {benchmark.title}", benchmark.remarks]
    if not records:
        parts.append("*No run of ours is recorded yet. The tables below hold the published numbers alone.*")
    parts += [_compared(metric, benchmark, records) for metric in COMPARED]
    if records:
        parts += ["**Not in the papers: average over the groups, our runs.**", _own_table(records, FURTHER)]
    return "\n\n".join(part for part in parts if part)


def _compared(metric: str, benchmark: Benchmark, records: list[Record]) -> str:
    """One metric: our runs, then the published rows; empty where neither has it."""
    ours = [runs for runs in groups_of_runs(records) if _mean(runs, "average", metric) is not None]
    theirs = published_rows(benchmark, metric)
    if not ours and not theirs:
        return ""
    rows = [[_label(runs), f"ours: {_setting(runs)}", *(_cell(runs, g, metric) for g in benchmark.groups)] for runs in ours]
    unit = "%" if metric == "dsc" else (_unit(ours[0], metric) if ours else benchmark.unit)
    better = "higher" if metric == "dsc" else "lower"
    source = f" Published rows: {benchmark.source}." if theirs else ""
    caption = f"**{COMPARED[metric]}, {unit}; {better} is better.**{source}"
    return f"{caption}\n\n" + pipe_table(["method", "source", *benchmark.groups], [*rows, *theirs])


def published_rows(benchmark: Benchmark, metric: str) -> list[Row]:
    """Method, "published" and a cell per group, as printed in the papers."""
    if benchmark.key == "hand":
        return [[method, "published", cell] for method, cell in HAND_TRE.items() if metric == "tre"]
    table = published()
    printed = "asd_one_way" if metric == "asd_one_way_published" else metric
    table = table[table["dataset"].str.lower().str.startswith(benchmark.key) & (table["metric"] == printed)]
    rows: list[Row] = []
    for method, part in table.groupby("method", sort=False):
        cells = {row.group: f"{row.mean:.1f} ± {row.sd:.1f}" for row in part.itertuples()}
        rows.append([str(method), "published", *(cells[group] for group in benchmark.groups)])
    return rows


def _others(records: list[Record]) -> str:
    return "## Other data sets\n\n" + _own_table(records, METRIC_NAMES) if records else ""


def _toys(records: list[Record]) -> str:
    if not records:
        return ""
    warning = (
        "```{warning}\nToy runs: a phantom, or a small network trained for minutes. They show that the code runs and how "
        "methods behave. Never compare them with a row above.\n```"
    )
    return f"## {TOY} runs\n\n{warning}\n\n{_own_table(records, METRIC_NAMES, mark=f'{TOY}: ')}"


def _own_table(records: list[Record], metrics: Collection[str], mark: str = "") -> str:
    """Averages of our runs, without published rows."""
    rows = [
        [
            mark + _label(runs),
            runs[0]["dataset"],
            _setting(runs),
            *(_cell(runs, "average", metric, unit=True) for metric in metrics),
        ]
        for runs in groups_of_runs(records)
    ]
    return pipe_table(["method", "data", "setting", *(METRIC_NAMES[metric] for metric in metrics)], rows)


def _runs(records: list[Record]) -> str:
    """Every run with what is needed to make it again."""
    if not records:
        return ""
    rows = [
        [
            ("" if not is_toy(r) else f"{TOY}: ") + _label([r]),
            str(r["profile"]),
            str(r["seed"]),
            _interval(r),
            f"{r['n_train']} + {r['n_test']}",
            str(r["failures"]),
            _count(r["parameters"]),
            _duration(r["seconds_train"]),
            f"{1000 * r['seconds_per_case']:.0f} ms",
            str(r["device"]),
            f"`{r['commit'][:10]}`" + (" + changes" if r["commit"].endswith("+changes") else ""),
            f"{r['copy']} (`{r['data_sha256'][:10]}`)",
            f"`{record_path(r).as_posix()}`",
            r.get("notes", ""),
        ]
        for r in sorted(records, key=lambda r: (is_toy(r), str(r["dataset"]), str(r["method"]), str(r["recipe"]), r["seed"]))
    ]
    header = ["method", "profile", "seed", "average TRE [95 % interval]", "training + test cases", "failed structures"]
    header += ["parameters", "training", "a case", "device", "commit", "data", "record", "notes"]
    return "## Every run\n\nOne line a record; the file holds the rest, library versions included.\n\n" + pipe_table(header, rows)


# ---- cells ----------------------------------------------------------------------------------------------------------


def _label(runs: list[Record]) -> str:
    name = METHOD_NAMES.get(runs[0]["method"], str(runs[0]["method"]).replace("_", " "))
    return f"{name}, *{runs[0]['recipe']}*"


def _setting(runs: list[Record]) -> str:
    run = runs[0]
    height, width = run["size"]
    seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
    return f"{run['profile']} profile, {height} × {width} px, {run['split']} split, {seeds}"


def _values(runs: list[Record], group: str, metric: str, statistic: str = "mean") -> list[float]:
    """The statistic of each run that has it, NaN and null left out."""
    found = (run["metrics"].get(group, {}).get(metric, {}).get(statistic) for run in runs)
    return [float(value) for value in found if value is not None and math.isfinite(value)]


def _mean(runs: list[Record], group: str, metric: str) -> float | None:
    values = _values(runs, group, metric)
    return fmean(values) if values else None


def _unit(runs: list[Record], metric: str) -> str:
    return str(runs[0]["metrics"].get("average", {}).get(metric, {}).get("unit", ""))


def _cell(runs: list[Record], group: str, metric: str, unit: bool = False) -> str:
    """`mean ± SD over images (lowest..highest seed)`, or a dash."""
    means, deviations = _values(runs, group, metric), _values(runs, group, metric, "sd")
    if not means:
        return "–"
    digits = 1 if _unit(runs, metric) == "%" else 2
    text = f"{fmean(means):.{digits}f}"
    if deviations:
        text += f" ± {fmean(deviations):.{digits}f}"
    if len(means) > 1:
        text += f" ({min(means):.{digits}f}..{max(means):.{digits}f})"
    return f"{text} {_unit(runs, metric)}".rstrip() if unit else text


def _interval(run: Record) -> str:
    values = [_values([run], "average", "tre", statistic) for statistic in ("mean", "low", "high")]
    if not values[0]:
        return "–"
    low_high = f" [{values[1][0]:.2f}, {values[2][0]:.2f}]" if values[1] and values[2] else ""
    return f"{values[0][0]:.2f}{low_high} {_unit([run], 'tre')}".rstrip()


def _count(number: int) -> str:
    return f"{number / 1e6:.2f} M" if number >= 1e5 else f"{number:,.0f}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def main(arguments: Sequence[str]) -> int:
    """`results out.md`: write the page's body."""
    if len(arguments) != 2:
        print("usage: python -m denseseg.course.results_page RESULTS_FOLDER OUT.md", file=sys.stderr)
        return 2
    Path(arguments[1]).write_text(render_results(arguments[0]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except DataError as error:
        raise SystemExit(f"error: {error}") from None
