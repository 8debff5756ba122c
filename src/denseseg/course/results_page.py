"""The results page, rendered from the records in results/**/*.json: nobody types a result.

    python -m denseseg.course.results_page results out.md

Runs that differ by their seed alone are one row: the mean over the seeds. Published numbers stand beside them as the papers
print them, and toy runs (a phantom, or the smoke or course profile) stand in a section of their own.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from denseseg.errors import DataError
from denseseg.evaluation.metrics import METRICS, metric
from denseseg.evaluation.tables import format_mean_sd, pipe_table
from denseseg.experiments.published import published
from denseseg.experiments.record import Record, StudyRecord
from denseseg.experiments.store import read_records, read_studies
from denseseg.experiments.tables import method_title
from denseseg.studies import bone_age, lung_points

COMPARED = ("tre", "asd_one_way_published", "dsc")
FURTHER = ("asd_one_way", "assd", "hd95", "sdr_2", "sdr_4", "sdr_10")
STUDIES = {"new landmarks": lung_points.table, "bone age": bone_age.table}  # name in the record -> its results as markdown
TOY = "TOY"


@dataclass(frozen=True)
class PublicDataset:
    """A public data set with published results: `name` as its reader gives it, and what to know beside its tables.

    digits: of the published numbers, as printed.
    """

    name: str
    title: str
    remarks: str
    digits: int = 1


PUBLIC_DATASETS = (
    PublicDataset(
        "JSRT",
        "Chest: JSRT",
        "Published: 160 training and 87 test images at 256 × 256 pixels. The public code uses the test part as validation part, "
        "also in its search for loss weights; our runs choose on a validation part of the training part. nnU-Net has no "
        "landmarks, so its distances start from all points of its contour. Averages are means of the three groups, with one "
        "exception in the paper: nnU-Net's distance of 1.6 mm is the mean of the five structures (the groups give 1.8 mm).",
    ),
    PublicDataset(
        "GRAZPEDWRI-DX",
        "Wrist: GRAZPEDWRI-DX",
        "Distances are pixels at 384 × 224, because the pixel spacing is unknown. The paper counts 720 landmarks, the published "
        "annotation files hold 710; the number behind a method is how many it was trained on.",
    ),
    PublicDataset(
        "Digital Hand Atlas",
        "Hand: Digital Hand Atlas",
        "895 images, three folds. The millimetre rests on an assumed wrist width of 50 mm. Mean and SD run over all landmarks of "
        "all images.",
        digits=2,
    ),
)


def render_results(folder: str | Path) -> str:
    """The body of the results page as MyST markdown, from every record under `folder`.

    Raises DataError that names the file where a record is broken.
    """
    records = read_records(folder)
    known = {dataset.name for dataset in PUBLIC_DATASETS}
    real = [record for record in records if not record.toy]
    parts = [_public(dataset, [r for r in real if r.spec.dataset == dataset.name]) for dataset in PUBLIC_DATASETS]
    parts += [_others([r for r in real if r.spec.dataset not in known]), render_studies(read_studies(folder))]
    parts += [_toys([record for record in records if record.toy]), _runs(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def groups_of_runs(records: Iterable[Record]) -> list[list[Record]]:
    """Runs that differ only in their seed, together; groups in the order of their average TRE, those without one last."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        same = record.model_dump(mode="json", include={"spec", "size", "n_train", "data_sha256", "recipe_settings"})
        del same["spec"]["seed"]
        groups.setdefault(json.dumps(same, sort_keys=True), []).append(record)
    return sorted(groups.values(), key=lambda runs: min(_values(runs, "average", "tre"), default=math.inf))


# ---- sections -------------------------------------------------------------------------------------------------------


def _public(dataset: PublicDataset, records: list[Record]) -> str:
    parts = [f"## {dataset.title}", dataset.remarks]
    if not records:
        parts.append("*No run of ours is recorded yet. The tables below hold the published numbers alone.*")
    parts += [_compared(key, dataset, records) for key in COMPARED]
    shares = ", ".join(f"{row.mean} % ({row.method})" for row in published_table(dataset.name, "beyond_2").itertuples())
    parts += [f"Published share of landmarks beyond 2 mm: {shares}." if shares else ""]
    if records:
        parts += ["**Not in the papers: average over the groups, our runs.**", _own_table(records, FURTHER)]
    return "\n\n".join(part for part in parts if part)


def _compared(key: str, dataset: PublicDataset, records: list[Record]) -> str:
    """One metric: our runs, then the published rows; empty where neither has it."""
    ours = [runs for runs in groups_of_runs(records) if _values(runs, "average", key)]
    theirs = published_table(dataset.name, key)
    groups = [*theirs["group"].unique(), *(group for runs in ours for group in runs[0].metrics)]
    groups = sorted(dict.fromkeys(groups), key=lambda group: group == "average")
    if not groups:
        return ""
    measure, unit = metric(key), theirs["unit"].iloc[0] if len(theirs) else _unit(ours[0], key)
    rows = [
        [_label(runs), f"ours: {_setting(runs)}", *(_cell(runs, group, key, unit=_unit(runs, key) != unit) for group in groups)]
        for runs in ours
    ]
    rows += published_rows(theirs, groups, dataset.digits)
    source = f" Published rows: {_cited(theirs['source'].unique())}." if len(theirs) else ""
    caption = f"**{measure.title}, {unit}; {measure.better} is better.** {measure.words}.{source}"
    return f"{caption}\n\n" + pipe_table(["method", "source", *groups], rows)


def published_table(dataset: str, key: str) -> pd.DataFrame:
    """The published numbers of a metric; the authors' pixel version is what they print as their one-way distance."""
    printed = "asd_one_way" if key == "asd_one_way_published" else key
    table = published()
    return table[(table["dataset"] == dataset) & (table["metric"] == printed)]


def published_rows(table: pd.DataFrame, groups: Sequence[str], digits: int) -> list[list[str]]:
    """Method, "published" and a cell per group, as printed in the papers."""
    rows = []
    for method, part in table.groupby("method", sort=False):
        cells = {row.group: format_mean_sd(row.mean, row.sd, digits) for row in part.itertuples()}
        rows.append([str(method), "published", *(cells.get(group, "–") for group in groups)])
    return rows


def _cited(sources: Iterable[str]) -> str:
    return ", and ".join("{{cite:t}}`{}`, {}".format(*source.split(", ")) for source in sources)


def _others(records: list[Record]) -> str:
    return "## Other data sets\n\n" + _own_table(records, METRICS) if records else ""


def render_studies(records: Iterable[StudyRecord]) -> str:
    """The section "Studies" as MyST markdown; empty where nothing is recorded. Raises DataError where a study is not known."""
    parts = [_study(record) for record in records]
    return "\n\n".join(["## Studies", *parts]) if parts else ""


def _study(record: StudyRecord) -> str:
    try:
        body = STUDIES[record.study](record.results)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{record.path()} holds no study that this page knows ({error!r}); run the study again or remove it"
        ) from None
    n = ", ".join(f"{count} {part.replace('_', ' ')}" for part, count in record.n.items())
    source = f"{record.source}; {record.profile} profile, seed {record.seed}, {n}; commit `{record.commit[:10]}`"
    toy = "TOY: " if record.toy else ""
    return f"### {toy}{record.study.capitalize()} ({record.dataset})\n\n{body}\n\n{source}. {record.notes}".rstrip()


def _toys(records: list[Record]) -> str:
    if not records:
        return ""
    warning = (
        "```{warning}\nToy runs: a phantom, or a small network trained for minutes. They show that the code runs and how "
        "methods behave. Never compare them with a row above.\n```"
    )
    return f"## {TOY} runs\n\n{warning}\n\n{_own_table(records, METRICS, mark=f'{TOY}: ')}"


def _own_table(records: list[Record], keys: Collection[str], mark: str = "") -> str:
    """Averages of our runs, without published rows; only metrics that one of them has."""
    keys = [key for key in keys if _values(records, "average", key)]
    rows = [
        [mark + _label(runs), runs[0].spec.dataset, _setting(runs), *(_cell(runs, "average", key, unit=True) for key in keys)]
        for runs in groups_of_runs(records)
    ]
    return pipe_table(["method", "data", "setting", *(metric(key).title for key in keys)], rows)


def _runs(records: list[Record]) -> str:
    """Every run with what is needed to make it again."""
    if not records:
        return ""
    rows = [
        [
            ("" if not r.toy else f"{TOY}: ") + _label([r]),
            r.spec.profile,
            str(r.spec.seed),
            _interval(r),
            f"{r.n_train} + {r.n_test}",
            str(r.failures),
            _count(r.parameters),
            _duration(r.seconds_train),
            f"{1000 * r.seconds_per_case:.0f} ms",
            r.device,
            f"`{r.commit[:10]}`" + (" + changes" if r.commit.endswith("+changes") else ""),
            f"{r.source} (`{r.data_sha256[:10]}`)",
            f"`{r.spec.path().as_posix()}`",
            " ".join(text for text in (r.notes, r.migrated and f"Migrated {r.migrated}.") if text),
        ]
        for r in sorted(records, key=lambda r: (r.toy, r.spec.dataset, r.spec.method, r.spec.recipe, r.spec.seed))
    ]
    header = ["method", "profile", "seed", "average TRE [95 % interval]", "training + test cases", "failed structures"]
    header += ["parameters", "training", "a case", "device", "commit", "data", "record", "notes"]
    return "## Every run\n\nOne line a record; the file holds the rest, library versions included.\n\n" + pipe_table(header, rows)


# ---- cells ----------------------------------------------------------------------------------------------------------


def _label(runs: list[Record]) -> str:
    return f"{method_title(runs[0].spec.method)}, *{runs[0].spec.recipe}*"


def _setting(runs: list[Record]) -> str:
    run = runs[0]
    height, width = run.size
    seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
    further = f", fold {run.spec.fold}" if run.spec.fold is not None else ""
    further += f", draw {run.spec.draw}" if run.spec.draw is not None else ""
    further += "".join(f", {name} = {value}" for name, value in run.spec.options.items())
    return f"{run.spec.profile} profile, {height} × {width} px, {run.spec.split} split{further}, {seeds}"


def _values(runs: list[Record], group: str, key: str, statistic: str = "mean") -> list[float]:
    """The statistic of each run that has it."""
    numbers = [run.metrics[group][key] for run in runs if key in run.metrics.get(group, {})]
    return [value for value in (getattr(n, statistic) for n in numbers) if value is not None]


def _unit(runs: list[Record], key: str) -> str:
    return next((run.metrics["average"][key].unit for run in runs if key in run.metrics["average"]), "")


def _cell(runs: list[Record], group: str, key: str, unit: bool = False) -> str:
    """`mean ± SD over images (lowest..highest seed)`, or a dash."""
    means, deviations = _values(runs, group, key), _values(runs, group, key, "sd")
    if not means:
        return "–"
    digits = 1 if _unit(runs, key) == "%" else 2
    text = f"{fmean(means):.{digits}f}"
    if deviations:
        text += f" ± {fmean(deviations):.{digits}f}"
    if len(means) > 1:
        text += f" ({min(means):.{digits}f}..{max(means):.{digits}f})"
    return f"{text} {_unit(runs, key)}".rstrip() if unit else text


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
