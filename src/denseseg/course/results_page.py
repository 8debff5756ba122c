"""The results page, rendered from the records in results/**/*.json: nobody types a result.

    python -m denseseg.course.results_page results out.md

Runs of one method, recipe, profile, image size and split are one row: the mean over their seeds. Published numbers stand
beside them as the papers print them, and toy runs (a phantom, or a profile other than full) stand in a section of their own.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from denseseg.cases import DataError

Record = dict[str, Any]
Row = Sequence[str]

REQUIRED = (
    *("dataset", "copy", "size", "split", "n_train", "n_test", "failures", "method", "recipe", "profile", "seed", "commit"),
    *("device", "versions", "data_sha256", "parameters", "seconds_train", "seconds_per_case", "metrics"),
)
SAME = ("dataset", "method", "recipe", "profile", "size", "split", "n_train", "data_sha256")  # runs that differ by seed alone

NAMES = {
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
FURTHER = {
    "asd_one_way": "one-way ASD, exact",
    "assd": "ASSD",
    "hd95": "HD95",
    "sdr_2": "SDR at 2",
    "sdr_4": "SDR at 4",
    "sdr_10": "SDR at 10",
}
SHORT = {"tre": "TRE", "dsc": "DSC", **FURTHER}
TOY = "🧸 toy"


@dataclass(frozen=True)
class Published:
    """One method's printed numbers: metric -> (mean, SD) per column of the data set's table."""

    method: str
    values: dict[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True)
class Benchmark:
    """A public data set: how its records are recognised, the groups of its table and what was published on it."""

    key: str
    title: str
    unit: str
    groups: tuple[str, ...]
    source: str
    published: tuple[Published, ...]
    remarks: str


JSRT = Benchmark(
    "jsrt",
    "Chest: JSRT",
    "mm",
    ("lungs", "heart", "clavicles", "average"),
    "{cite:t}`keuth2025denseseg`, Table 1",
    (
        Published(
            "ShapeFormer",
            {
                "tre": ((6.0, 2.4), (9.4, 9.3), (5.1, 2.1), (6.8, 4.6)),
                "asd_one_way_published": ((2.7, 1.2), (4.7, 2.3), (3.0, 1.3), (3.5, 1.6)),
                "dsc": ((95.6, 2.0), (92.3, 4.7), (78.9, 9.5), (88.9, 5.4)),
            },
        ),
        Published(
            "HeatReg",
            {
                "tre": ((5.7, 1.5), (8.5, 8.9), (4.2, 1.4), (6.1, 3.9)),
                "asd_one_way_published": ((1.9, 0.6), (3.8, 1.3), (2.4, 0.7), (2.7, 0.9)),
                "dsc": ((97.1, 0.9), (94.2, 2.1), (82.8, 5.3), (91.4, 2.8)),
            },
        ),
        Published(
            "HeatRegSeg",
            {
                "tre": ((5.6, 1.7), (8.4, 9.0), (4.0, 1.4), (6.0, 4.0)),
                "asd_one_way_published": ((1.8, 0.6), (3.8, 1.3), (2.2, 0.7), (2.6, 0.9)),
                "dsc": ((96.8, 1.2), (92.9, 3.5), (78.8, 5.5), (89.5, 3.4)),
            },
        ),
        Published(
            "DenseSeg",
            {
                "tre": ((6.2, 1.8), (8.1, 9.0), (3.2, 1.3), (5.8, 4.0)),
                "asd_one_way_published": ((2.1, 0.6), (3.9, 1.5), (1.7, 0.6), (2.6, 0.9)),
                "dsc": ((96.7, 1.4), (92.7, 2.8), (82.9, 4.9), (90.8, 3.0)),
            },
        ),
        Published(
            "DenseSeg, sparse",
            {
                "tre": ((6.9, 2.8), (9.6, 8.9), (3.2, 1.2), (6.6, 4.3)),
                "asd_one_way_published": ((3.4, 1.1), (5.4, 1.8), (1.9, 0.5), (3.5, 1.1)),
                "dsc": ((96.6, 1.5), (92.6, 2.7), (81.7, 5.4), (90.3, 3.2)),
            },
        ),
        Published(
            "nnU-Net (all contour points)",
            {
                "asd_one_way_published": ((1.4, 0.6), (3.0, 1.2), (1.1, 0.3), (1.6, 1.0)),
                "dsc": ((98.1, 0.8), (95.2, 2.1), (93.4, 2.7), (95.6, 2.9)),
            },
        ),
    ),
    "Published: 160 training and 87 test images at 256 × 256 pixels. The public code uses the test part as validation part, "
    "also in its search for loss weights; our runs choose on a validation part of the training part.",
)

GRAZ = Benchmark(
    "graz",
    "Wrist: GRAZPEDWRI-DX",
    "px",
    ("carpals", "metacarpals", "ulna/radius", "average"),
    "{cite:t}`keuth2025denseseg`, Table 2",
    (
        Published(
            "HeatReg, 720 landmarks",
            {
                "tre": ((2.5, 0.7), (4.8, 1.7), (6.9, 4.6), (4.8, 2.3)),
                "asd_one_way_published": ((1.8, 0.4), (2.0, 0.4), (1.9, 0.6), (1.9, 0.5)),
                "dsc": ((90.1, 5.0), (87.1, 5.3), (87.2, 8.8), (88.1, 6.4)),
            },
        ),
        Published(
            "HeatReg, 178 landmarks",
            {
                "tre": ((2.7, 0.8), (5.6, 1.9), (5.7, 3.2), (4.6, 2.0)),
                "asd_one_way_published": ((1.8, 0.5), (2.0, 0.7), (1.6, 0.4), (1.8, 0.5)),
                "dsc": ((87.0, 5.1), (83.8, 5.2), (81.8, 9.7), (84.2, 6.7)),
            },
        ),
        Published(
            "HeatRegSeg, 720 landmarks",
            {
                "tre": ((2.5, 0.7), (5.0, 1.9), (6.9, 4.3), (4.8, 2.3)),
                "asd_one_way_published": ((1.8, 0.4), (2.0, 0.4), (1.7, 0.6), (1.8, 0.5)),
                "dsc": ((88.0, 7.8), (94.7, 3.0), (94.3, 4.8), (92.3, 5.2)),
            },
        ),
        Published(
            "DenseSeg, 720 landmarks",
            {
                "tre": ((1.7, 0.6), (2.5, 1.5), (3.2, 2.2), (2.5, 1.4)),
                "asd_one_way_published": ((1.0, 0.4), (1.2, 0.9), (1.0, 0.5), (1.1, 0.6)),
                "dsc": ((88.8, 6.9), (94.4, 3.4), (94.4, 4.6), (92.6, 5.0)),
            },
        ),
    ),
    "Distances are pixels at 384 × 224, because the pixel spacing is unknown. The paper counts 720 landmarks, the published "
    "annotation files hold 710.",
)

HAND = Benchmark(
    "hand",
    "Hand: Digital Hand Atlas",
    "mm",
    ("average",),
    "{cite:t}`payer2019scn`, Table 1, and {cite:t}`ham2023spatial`, Table 2",
    (
        Published("Localization U-Net", {"tre": ((0.70, 2.18),)}),
        Published("SpatialConfiguration-Net", {"tre": ((0.66, 0.74),)}),
        Published("U-Net with spatial-configuration loss", {"tre": ((0.61, 0.61),)}),
    ),
    "895 images, three folds. The millimetre rests on an assumed wrist width of 50 mm. Mean and SD run over all landmarks of "
    "all images. Published share of landmarks beyond 2 mm, in the order of the table: 5.14 %, 5.01 % and 3.72 %.",
)

BENCHMARKS = (JSRT, GRAZ, HAND)


def render_results(folder: str | Path) -> str:
    """The body of the results page as MyST markdown, from every record under `folder`.

    Raises DataError that names the file where a record is not JSON or lacks a field.
    """
    records = read(folder)
    real = [record for record in records if not is_toy(record)]
    toys = [record for record in records if is_toy(record)]
    parts = [_benchmark(benchmark, [r for r in real if benchmark_of(r) is benchmark]) for benchmark in BENCHMARKS]
    parts += [_others([r for r in real if benchmark_of(r) is None]), _toys(toys), _runs(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def read(folder: str | Path) -> list[Record]:
    """Every record under `folder`, each with its file's name as `file`. Raises DataError that names a broken file."""
    records = []
    for path in sorted(Path(folder).rglob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path} is not valid JSON ({error}); run the experiment again") from None
        missing = [key for key in REQUIRED if key not in record] if isinstance(record, dict) else REQUIRED
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; run the experiment again to write a whole record")
        records.append(record | {"file": path.relative_to(folder).as_posix()})
    return records


def is_toy(record: Record) -> bool:
    """True for a phantom and for every profile but full: such a number teaches, it is no evidence."""
    return record["profile"] != "full" or "phantom" in str(record["dataset"]).lower()


def benchmark_of(record: Record) -> Benchmark | None:
    """The public data set that the record's data set is named after, or None."""
    return next((b for b in BENCHMARKS if str(record["dataset"]).lower().startswith(b.key)), None)


def groups_of_runs(records: Iterable[Record]) -> list[list[Record]]:
    """Runs that differ only in their seed, together; groups in the order of their best average TRE."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        key = tuple(str(record[name]) for name in SAME)
        groups.setdefault(key, []).append(record)
    return sorted(groups.values(), key=lambda runs: _mean(runs, "average", "tre") or math.inf)


# ---- sections -------------------------------------------------------------------------------------------------------


def _benchmark(benchmark: Benchmark, records: list[Record]) -> str:
    parts = [f"## {benchmark.title}", benchmark.remarks]
    if not records:
        parts.append("*No full run of ours is recorded yet. The tables below hold the published numbers alone.*")
    parts += [_compared(metric, benchmark, records) for metric in COMPARED]
    if records:
        parts += ["**Not in the papers: average over the groups, our runs.**", _own_table(records, FURTHER)]
    return "\n\n".join(part for part in parts if part)


def _compared(metric: str, benchmark: Benchmark, records: list[Record]) -> str:
    """One metric: our runs, then the published rows; empty where neither has it."""
    ours = [runs for runs in groups_of_runs(records) if _mean(runs, "average", metric) is not None]
    theirs = [entry for entry in benchmark.published if metric in entry.values]
    if not ours and not theirs:
        return ""
    rows = [[_label(runs), f"ours: {_setting(runs)}", *(_cell(runs, g, metric) for g in benchmark.groups)] for runs in ours]
    digits = 2 if benchmark is HAND else 1
    rows += [
        [entry.method, "published", *(f"{mean:.{digits}f} ± {sd:.{digits}f}" for mean, sd in entry.values[metric])]
        for entry in theirs
    ]
    unit = "%" if metric == "dsc" else (_unit(ours[0], metric) if ours else benchmark.unit)
    better = "higher" if metric == "dsc" else "lower"
    source = f" Published rows: {benchmark.source}." if theirs else ""
    caption = f"**{COMPARED[metric]}, {unit}; {better} is better.**{source}"
    return f"{caption}\n\n" + _table(["method", "source", *benchmark.groups], rows)


def _others(records: list[Record]) -> str:
    return "## Other data sets\n\n" + _own_table(records, SHORT) if records else ""


def _toys(records: list[Record]) -> str:
    if not records:
        return ""
    warning = (
        "```{warning}\nToy runs: a phantom, or a small network trained for minutes. They show that the code runs and how "
        "methods behave. Never compare them with a row above.\n```"
    )
    return f"## {TOY} runs\n\n{warning}\n\n{_own_table(records, SHORT, mark=f'{TOY}: ')}"


def _own_table(records: list[Record], metrics: dict[str, str], mark: str = "") -> str:
    """Averages of our runs, without published rows."""
    rows = [
        [
            mark + _label(runs),
            str(runs[0]["dataset"]),
            str(runs[0]["profile"]),
            _setting(runs),
            *(_cell(runs, "average", metric, unit=True) for metric in metrics),
        ]
        for runs in groups_of_runs(records)
    ]
    return _table(["method", "data", "profile", "setting", *metrics.values()], rows)


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
            f"{r['failures']} of {r['n_test']}",
            _count(r["parameters"]),
            _duration(r["seconds_train"]),
            _milliseconds(r["seconds_per_case"]),
            str(r["device"]),
            f"`{str(r['commit'])[:10]}`",
            f"{r['copy']} (`{str(r['data_sha256'])[:10]}`)",
            f"`{r['file']}`",
        ]
        for r in sorted(records, key=lambda r: (is_toy(r), str(r["dataset"]), str(r["method"]), str(r["recipe"]), r["seed"]))
    ]
    header = ["method", "profile", "seed", "average TRE [95 % interval]", "failures", "parameters", "training", "a case"]
    return "## Every run\n\nOne line a record; the file holds the rest, library versions included.\n\n" + _table(
        [*header, "device", "commit", "data", "record"], rows
    )


# ---- cells ----------------------------------------------------------------------------------------------------------


def _label(runs: list[Record]) -> str:
    name = NAMES.get(runs[0]["method"], str(runs[0]["method"]).replace("_", " "))
    return f"{name}, *{runs[0]['recipe']}*"


def _setting(runs: list[Record]) -> str:
    run = runs[0]
    size = " × ".join(str(n) for n in run["size"]) if isinstance(run["size"], list | tuple) else str(run["size"])
    seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
    return f"{size} px, {run['split']} split, {run['n_train']} + {run['n_test']} cases, {seeds}"


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


def _count(number: float | None) -> str:
    if number is None:
        return "–"
    return f"{number / 1e6:.2f} M" if number >= 1e5 else f"{number:,.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.0f} ms"


def _table(header: Row, rows: Iterable[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


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
