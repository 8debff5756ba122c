"""The results page, rendered from the records in results/**/*.json: nobody types a result.

    python -m denseseg.course.results_page results out.md

Runs that differ by their seed alone are one row: the mean over the seeds. Published numbers stand beside them as the papers
print them, and toy runs (a phantom, or the smoke or course profile) stand in a section of their own.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from denseseg.errors import DataError, exit_status
from denseseg.evaluation.metrics import METRICS, metric
from denseseg.evaluation.tables import as_text, format_mean_sd, pipe_table
from denseseg.experiments.experiment import is_current
from denseseg.experiments.pooling import without_pooled_folds
from denseseg.experiments.published import published
from denseseg.experiments.record import Numbers, Record, StudyRecord
from denseseg.experiments.store import read_records, read_studies
from denseseg.experiments.tables import method_title
from denseseg.studies import (
    bone_age,
    fine_tuning,
    lung_points,
    mask_and_map,
    prediction_help,
    search,
    shared_error,
    sliding_error,
    spatial_configuration,
    spatial_loss,
    spine_3d,
    transfer,
)
from denseseg.studies.few_shot import few_shot
from denseseg.viewing import plots

COMPARED = ("tre", "asd_one_way_published", "dsc")
FURTHER = ("along", "across", "asd_one_way", "assd", "hd95", "sdr_2", "sdr_4", "sdr_10")
STUDIES = {
    "new landmarks": lung_points.table,
    "bone age": bone_age.table,
    "hyper-parameter search": search.table,
    "spatial configuration": spatial_configuration.table,
    "spatial-configuration loss": spatial_loss.table,
    "mask and map": mask_and_map.table,
    "three dimensions": spine_3d.table,
    "shared error": shared_error.table,
    "sliding error": sliding_error.table,
    "prediction help": prediction_help.table,
    "transfer": transfer.table,
    "transfer on test cases": transfer.table,
    "fine-tuning": fine_tuning.table,
}  # name in the record -> its results as markdown
PUBLISHED_SPLITS = ("paper", "folds")  # as the papers divide their images
TOY = "TOY"
TOY_WARNING = """```{warning}
Toy runs: a phantom, or a small network trained for minutes. They show that the code runs and how methods behave. Never compare \
them with a row above.
```"""
EVERY_RUN = "One line a record; the file holds the rest, library versions included. Data by the first figures of their fingerprint:"


@dataclass(frozen=True)
class PublicDataset:
    """A data set with published results, and what to know beside its tables."""

    name: str  # as its reader gives it, and as `published` has it
    title: str
    remarks: str
    further: tuple[tuple[str, str], ...] = ()  # more published tables: their name in `published`, and what to know of them


PUBLIC_DATASETS = (
    PublicDataset(
        "JSRT",
        "Chest: JSRT",
        "Published: 160 training and 87 test images at 256 × 256 pixels. The public code uses the test part as validation part, "
        "also in its search for loss weights; our runs choose on a validation part of the training part. nnU-Net has no "
        "landmarks, so its distances start from all points of its contour. Averages are means of the three groups, with one "
        "exception in the paper: nnU-Net's distance of 1.6 mm is the mean of the five structures (the groups give 1.8 mm).",
        (
            (
                "JSRT, other splits",
                "**Yardsticks, computed on other test images.** The second observer's Dice is 2 J / (1 + J) of the printed mean "
                "overlap J.",
            ),
        ),
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
        "895 images, 37 landmarks, three folds. The millimetre rests on an assumed wrist width of 50 mm. Mean, SD and "
        "median run over all landmarks of all images. *Beyond 2* is the share of landmarks farther than 2 mm from the truth, "
        "behind their number where it is printed. Our own rows are of 130 of these images, at 152 × 104 pixels: don't set them "
        "beside the published ones.",
        (
            (
                "Digital Hand Atlas, reduced",
                "**Few training images**: 10, 50 or 100 of about 600 in each fold, the same test images; means of three "
                "random choices.",
            ),
            (
                "Digital Hand Atlas, ablations",
                "**Ablations of the spatial-configuration (SC) loss**: maps, temperature β of the softmax, weight γ of the loss. "
                "They were made, the paper says, on validation data.",
            ),
            ("Digital Hand Atlas, other splits", "**Newer**: which images were tested and what the SD runs over is not said."),
        ),
    ),
    PublicDataset(
        "2DSkull (cephalograms)",
        "Skull: cephalograms",
        "400 lateral cephalograms, 19 landmarks, 150 for training; means of the two test sets of 150 and 100. Shares of "
        "landmarks farther than 2, 2.5, 3 and 4 mm from the truth.",
    ),
    PublicDataset(
        "3DHand",
        "Hand in 3-D: MR volumes",
        "60 volumes that are not public, 28 landmarks, five folds of 43 training and 17 test volumes.",
    ),
    PublicDataset(
        "3DSpine Set2-corrected",
        "Spine in 3-D: CT volumes",
        "At most 26 vertebrae a volume. 242 training volumes, and 60 test volumes after three of them, wrongly labelled, were "
        "corrected (Set2-corrected).",
        (
            ("3DSpine Set2-mislabeled", "**The same test volumes as first published** (Set2-mislabeled)."),
            ("3DSpine Set1", "**Two-fold cross-validation on 224 volumes** (Set1)."),
        ),
    ),
)


def render_results(folder: str | Path, picture: Path | None = None) -> str:
    """The body of the results page as MyST markdown, from every record under `folder`.

    picture: an SVG file in a folder beside the page's, which is written and shown first; or None.
    Raises DataError that names the file where a record is broken.
    """
    records, studies, known = read_records(folder), read_studies(folder), {dataset.name for dataset in PUBLIC_DATASETS}
    shown = [run for run in without_pooled_folds(records) if run.spec.train_size is None]
    real, toys = [run for run in shown if not run.toy], [run for run in shown if run.toy]
    others = [run for run in real if run.spec.dataset not in known]
    parts = [] if picture is None else [_picture(shown, picture)]
    parts += [_public(dataset, [run for run in real if run.spec.dataset == dataset.name]) for dataset in PUBLIC_DATASETS]
    parts += ["## Other data sets", _own_table(others, METRICS)] if others else []
    parts += _few(records)
    parts += ["## Studies", *(_study(record) for record in studies)] if studies else []
    parts += [f"## {TOY} runs", TOY_WARNING, _folded(_own_table(toys, METRICS, mark=f"{TOY}: "), toys)] if toys else []
    parts += ["## Every run", EVERY_RUN, _folded(_runs(records), records)] if records else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _folded(table: str, records: list[Record]) -> str:
    """A long table that a click opens."""
    return f":::{{dropdown}} {len(records)} run{'s' * (len(records) > 1)}\n{table}\n:::"


def _picture(records: list[Record], path: Path) -> str:
    """Draw the mean landmark errors of our runs beside the published ones; the picture and its caption as markdown."""
    if not (panels := errors_by_dataset(records)):
        return ""
    figure = plots.plot_ours_and_published(panels)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    caption = (
        "Mean landmark error (TRE) on real images, averaged over the groups of each data set, the smallest on top. Circles: our "
        "runs with our recipe; squares: our runs with a paper's; both with the 95 % bootstrap interval of the mean. Diamonds: as "
        "published; the papers print no interval. Image sizes differ, and on hands the number of images: see the tables below."
    )
    return f"![{caption}]({path.parent.name}/{path.name})\n\n**Figure.** {caption}"


PAPERS_NAMES = {"HeatReg": "heatmap_regression", "HeatRegSeg": "heatmap_segmentation"}  # of methods that we name in words


def errors_by_dataset(records: Iterable[Record]) -> dict[str, pd.DataFrame]:
    """Data set -> rows (method, mean, low, high, unit, kind) of average TRE, for `plot_ours_and_published`.

    Of real data sets, on a published division; without runs that have options or a budget, and without the mean shape, whose error
    is several times that of all others. Runs that differ by their seed are one row, with the means of their limits.
    """
    panels: dict[str, list[dict[str, Any]]] = {}
    for runs in groups_of_runs(records):
        spec, numbers = runs[0].spec, _numbers(runs, "tre")
        alike = spec.split in PUBLISHED_SPLITS and not (spec.options or spec.budget or spec.augmentation)
        if runs[0].toy or not numbers or not alike or spec.method == "mean_shape":
            continue
        unknown = float("nan")
        limits = {k: fmean(unknown if (v := getattr(n, k)) is None else v for n in numbers) for k in ("mean", "low", "high")}
        own = spec.recipe in ("default", "paper")
        title = method_title(spec.method) + ("" if own else f" {spec.recipe}")
        kind = "default" if spec.recipe == "default" else "paper"
        panels.setdefault(spec.dataset, []).append({"method": title, **limits, "unit": numbers[0].unit, "kind": kind})
    for name, rows in panels.items():
        table = published_table(name, "tre")
        for theirs in table[table["group"] == "average"].itertuples():
            title = method_title(PAPERS_NAMES.get(theirs.method, theirs.method))
            rows.append({"method": title, "mean": theirs.mean, "unit": theirs.unit, "kind": "published"})  # without an interval
    order = {dataset.name: place for place, dataset in enumerate(PUBLIC_DATASETS)}
    named = sorted(panels.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))
    return {name.replace("$", r"\$"): pd.DataFrame(rows) for name, rows in named}  # a dollar begins no formula


def groups_of_runs(records: Iterable[Record]) -> list[list[Record]]:
    """Runs that differ only in their seed, together; groups in the order of their average TRE, those without one last."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        same = record.model_dump(mode="json", include={"spec", "size", "n_train", "data_sha256", "recipe_settings"})
        del same["spec"]["seed"]
        groups.setdefault(json.dumps(same, sort_keys=True), []).append(record)
    return sorted(groups.values(), key=lambda runs: fmean([numbers.mean for numbers in _numbers(runs, "tre")] or [math.inf]))


def _public(dataset: PublicDataset, records: list[Record]) -> str:
    parts = [f"## {dataset.title}", dataset.remarks]
    if not records:
        parts.append("*No run of ours is recorded yet. The tables below hold the published numbers alone.*")
    parts += _tables(dataset.name, records)
    for name, remark in dataset.further:
        parts += [remark, *_tables(name, [])]
    if records:
        parts += ["**Not in the papers: average over the groups, our runs.**", _own_table(records, FURTHER)]
    return "\n\n".join(part for part in parts if part)


def _tables(name: str, records: list[Record]) -> list[str]:
    """Ours, then published: a table for each metric where structures have groups, else one for all metrics."""
    if set(published_table(name)["group"]) == {"average"}:
        return [_all_metrics(name, records)]
    return [_by_group(key, name, records) for key in COMPARED]


def _by_group(key: str, name: str, records: list[Record]) -> str:
    """One metric: our runs, then the published rows; empty where neither has it."""
    ours = [runs for runs in groups_of_runs(records) if _numbers(runs, key)]
    theirs = published_table(name, key)
    groups = [*theirs["group"].unique(), *(group for runs in ours for group in runs[0].metrics)]
    groups = sorted(dict.fromkeys(groups), key=lambda group: group == "average")
    if not groups:
        return ""
    measure, unit = metric(key), theirs["unit"].iloc[0] if len(theirs) else _numbers(ours[0], key)[0].unit
    rows = [
        [_label(runs), f"ours: {_setting_of_all(runs)}", *(_cell(_numbers(runs, key, group), unit) for group in groups)]
        for runs in ours
    ]
    rows += published_rows(theirs, groups)
    cited = ", and ".join(map(_cited, theirs["source"].unique()))
    source = f" Published rows: {cited}." if cited else ""
    caption = f"**{measure.title}, {unit}; {measure.better} is better.** {measure.words}.{source}"
    return f"{caption}\n\n" + pipe_table(["method", "source", *map(as_text, groups)], rows)


def _all_metrics(name: str, records: list[Record]) -> str:
    """All published metrics of a data set without groups: our runs, then the published rows, each with its source."""
    theirs = published_table(name)
    units = theirs.drop_duplicates("metric").set_index("metric")["unit"]
    rows = []
    for runs in groups_of_runs(records):
        cells = [_as_published(runs, key, unit) for key, unit in units.items()]
        rows += [[_label(runs), f"ours: {_setting_of_all(runs)}", *cells]] if set(cells) != {"–"} else []
    cells = theirs["printed"] + [_median(value) if value == value else "" for value in theirs["median"]]
    for (method, source), row in theirs.assign(cell=cells).groupby(["method", "source"], sort=False):
        rows.append([method, _cited(source), *row.set_index("metric")["cell"].reindex(units.index).fillna("–")])
    header = [f"{metric(key).title}, {unit}" for key, unit in units.items()]
    return pipe_table(["method", "source", *header], rows)


def _as_published(runs: list[Record], key: str, unit: str) -> str:
    """A metric of ours as papers on single landmarks print it: the TRE with its median, and how many landmarks lie *beyond* a
    radius: of a single run their number, and the share."""
    if key.startswith("beyond_"):
        within = _numbers(runs, key.replace("beyond", "sdr"))
        if not within:
            return "–"
        share, n = 100 - fmean(one.mean for one in within), within[0].n
        return f"{share:.2f}" if n is None or len(within) > 1 else f"{share * n / 100:.0f} ({share:.2f})"
    medians = [one.median for one in _numbers(runs, key) if one.median is not None]
    return _cell(_numbers(runs, key), unit) + (_median(fmean(medians)) if medians and key == "tre" else "")


def _median(value: float) -> str:
    return f", median {value:.2f}"


def published_table(name: str, key: str | None = None) -> pd.DataFrame:
    """The published numbers of a data set, or of one of its metrics."""
    table = published()
    table = table[table["dataset"] == name]
    return table if key is None else table[table["metric"] == key]


def published_rows(table: pd.DataFrame, groups: Sequence[str]) -> list[list[str]]:
    """Method, "published" and a cell per group, as printed in the papers."""
    wide = table.pivot(index="method", columns="group", values="printed").reindex(table["method"].unique(), columns=groups)
    return [[method, "published", *row] for method, *row in wide.fillna("–").itertuples()]


def _cited(source: str) -> str:
    key, place = source.split(", ")
    return f"{{cite:t}}`{key}`, {place}"


def _few(records: list[Record]) -> list[str]:
    """The section on runs with few training images: a row each method, a column each number of images."""
    curves = few_shot(records)
    text = "Mean TRE with its lowest and highest of several random draws of training images; all other terms are equal."
    parts = ["## Few training images", text] if len(curves) else []
    for terms, own in curves.groupby(["dataset", "profile", "split", "budget"]):
        cells = [
            f"{row['mean']:.2f}" + (f" ({row['lowest']:.2f}..{row['highest']:.2f})" if row["draws"] > 1 else "")
            for row in own.to_dict("records")
        ]
        wide = own.assign(cell=cells).pivot(index="method", columns="images", values="cell").fillna("–")
        head = ["method", *(f"{images} images" for images in wide.columns)]
        rows = [[as_text(method), *row] for method, row in zip(wide.index, wide.to_numpy().tolist(), strict=True)]
        parts += [f"{', '.join(as_text(word) for word in terms if word)} ({own['unit'].iloc[0]})", pipe_table(head, rows)]
    return parts


def _study(record: StudyRecord) -> str:
    """One study's section. Raises DataError where the study is not known."""
    try:
        body = STUDIES[record.study](_harmless(record.results))
    except (KeyError, TypeError, AttributeError) as error:
        name = record.path()
        raise DataError(f"{name} holds no study that this page knows ({error!r}); run the study again or remove it") from None
    n = ", ".join(f"{count} {part.replace('_', ' ')}" for part, count in record.n.items())
    profile, commit = as_text(record.profile), as_text(record.commit[:10])
    source = f"{as_text(record.source)}; {profile} profile, seed {record.seed}, {as_text(n)}; commit {commit}"
    toy = f"{TOY}: " if record.toy else ""
    return (
        f"### {toy}{record.study.capitalize()} ({as_text(record.dataset)})\n\n{body}\n\n{source}. {as_text(record.notes)}".rstrip()
    )


def _harmless(results: Any) -> Any:
    """What a study found, its texts without a sign that could be markup; numbers stay."""
    if isinstance(results, dict):
        return {_harmless(key): _harmless(value) for key, value in results.items()}
    if isinstance(results, list):
        return [_harmless(value) for value in results]
    return re.sub(r"[<{`|$\[\]\n]", " ", results) if isinstance(results, str) else results


def _own_table(records: list[Record], keys: Collection[str], mark: str = "") -> str:
    """Averages of our runs, without published rows; only metrics that one of them has."""
    keys = [key for key in keys if _numbers(records, key)]

    def cell(runs: list[Record], key: str) -> str:  # of what is yes or no, an SD says nothing that the share does not
        return _cell([n.model_copy(update={"sd": None}) if key.startswith("sdr_") else n for n in _numbers(runs, key)])

    rows = [
        [mark + _label(runs), as_text(runs[0].spec.dataset), _setting_of_all(runs), *(cell(runs, key) for key in keys)]
        for runs in groups_of_runs(records)
    ]
    return pipe_table(["method", "data", "setting", *(metric(key).title for key in keys)], rows)


def _runs(records: list[Record]) -> str:
    """What the runs' data are, then every run with what is needed to make it again."""
    runs = sorted(records, key=lambda run: (run.toy, run.spec.dataset, run.spec.method, run.spec.recipe, run.spec.seed))
    data = dict.fromkeys(f"- `{run.data_sha256[:10]}`: {as_text(run.spec.dataset)}: {as_text(run.source)}" for run in runs)
    rows = [
        {
            "method": (f"{TOY}: " if run.toy else "") + _label([run]),
            "setting": _setting(run),
            "seed": str(run.spec.seed),
            "average TRE [95 % interval]": _interval(run),
            "training + test cases": f"{run.n_train} + {run.n_test}",
            "failed structures": str(run.failures),
            "parameters": f"{run.parameters / 1e6:.2f} M" if run.parameters >= 1e5 else f"{run.parameters:,.0f}",
            "training, processor": _duration(run.processor_seconds) if run.processor_seconds else "–",
            "training, by the clock": _duration(run.seconds_train),
            "a case": f"{1000 * run.seconds_per_case:.0f} ms",
            "memory": "–" if run.peak_memory_mib is None else f"{run.peak_memory_mib:.0f} MiB",
            "device": as_text(run.device),
            "commit": as_text(run.commit[:10]) + (" + changes" if run.commit.endswith("+changes") else ""),
            "data": f"`{run.data_sha256[:10]}`",
            "record": f"`{run.spec.path().as_posix()}`",
            "notes": " ".join(as_text(text) for text in (run.notes, run.migrated and f"Migrated {run.migrated}.") if text),
        }
        for run in runs
    ]
    return "\n".join(data) + "\n\n" + pipe_table(list(rows[0]), [list(row.values()) for row in rows])


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _label(runs: list[Record]) -> str:
    return f"{as_text(method_title(runs[0].spec.method))}, *{as_text(runs[0].spec.recipe)}*"


def _setting(run: Record) -> str:
    spec, (height, width) = run.spec, run.size
    own = {"fold": spec.fold, "draw": spec.draw}
    further = f", {spec.budget_words}" if spec.budget else ""
    further += "".join(f", {name} {value}" for name, value in own.items() if value is not None)
    further += "".join(f", {words}" for words in _options(run))
    return as_text(f"{spec.profile} profile, {height} × {width} px, {spec.split} split{further}")


def _setting_of_all(runs: list[Record]) -> str:
    """The setting of runs that differ by their seed alone, and how many they are."""
    return f"{_setting(runs[0])}, {len(runs)} seed{'s' * (len(runs) > 1)}"


def _options(run: Record) -> list[str]:
    """In words each option of the recipe that the run has changed, and whether the recipe itself is another one today."""

    def words(value: Any) -> str:
        return ", ".join(f"{name} {number}" for name, number in value.items()) if isinstance(value, dict) else str(value)

    own = [f"{name.replace('_', ' ')} {words(value)}" for name, value in run.spec.options.items()]
    return own if is_current(run) else [*own, "recipe changed since"]


def _numbers(runs: Iterable[Record], key: str, group: str = "average") -> list[Numbers]:
    """A metric of a group, of each run that has it."""
    return [run.metrics[group][key] for run in runs if key in run.metrics.get(group, {})]


def _cell(seeds: list[Numbers], unit: str = "") -> str:
    """`mean ± SD over images (lowest..highest seed)`, with the unit where it is not the given one; or a dash."""
    if not seeds:
        return "–"
    own, digits = seeds[0].unit, 1 if seeds[0].unit == "%" else 2
    means, deviations = [one.mean for one in seeds], [one.sd for one in seeds if one.sd is not None]
    text = format_mean_sd(fmean(means), fmean(deviations) if deviations else None, digits)
    if len(means) > 1:
        text += f" ({min(means):.{digits}f}..{max(means):.{digits}f})"
    return text if own == unit else f"{text} {own}"


def _interval(run: Record) -> str:
    tre = run.metrics["average"].get("tre")
    if tre is None:
        return "–"
    interval = f" [{tre.low:.2f}, {tre.high:.2f}]" if tre.low is not None and tre.high is not None else ""
    return f"{tre.mean:.2f}{interval} {tre.unit}"


def main(arguments: Sequence[str]) -> int:
    """`results out.md`: write the page's body."""
    if len(arguments) != 2:
        print("usage: python -m denseseg.course.results_page RESULTS_FOLDER OUT.md", file=sys.stderr)
        return 2
    return exit_status(lambda: Path(arguments[1]).write_text(render_results(arguments[0]), encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
