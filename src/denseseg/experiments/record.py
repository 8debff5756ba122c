"""One JSON file per run: what was run on what, with which result. Pages, tables and tests read these; nobody types a result.

A `Spec` is all that names a run and is known before it starts; a `Record` is a spec with its result. Its metrics are a summary of
`evaluation`:

    {"metrics": {"lungs": {"tre": {"mean": 5.2, "sd": 1.4, "low": 4.9, "high": 5.6, "unit": "mm", ...}, ...}, "average": ...}, ...}

All numbers are finite; sd, median, low and high are null where they are not known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import torch
from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, StringConstraints, model_validator

from denseseg.augment import Augmentation
from denseseg.cases.case_set import CaseSet, Split
from denseseg.errors import STRICT, Checked, validated
from denseseg.evaluation.summary import summarise
from denseseg.experiments.provenance import current_commit, describe_device, installed_versions
from denseseg.experiments.values import Values, rounded
from denseseg.files import plain
from denseseg.names import Name, file_name
from denseseg.training.settings import Epochs, Seconds, Steps

STUDIES, BENCHMARKS = "studies", "benchmarks"  # folders beside those of the data sets
TOY_PROFILES = ("smoke", "course")
Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class Spec(Checked):
    """What names a run.

    dataset: its name. size: (H, W) in pixels that the cases are fitted to, or None for the size they come in, the profile's own.
    method, recipe, profile, split: by name. fold: of the split "folds"; a record that pools them all has none. folds: how many are
    drawn where the data set names none. train_size, draw: how many cases there are to learn from, and which random choice of them;
    see `CaseSet.split`. seed: of the training. options: changes of the recipe. budget: how long is trained, whatever recipe and
    profile say. augmentation: the same for recipes that differ in theirs. Neither means anything to a recipe that trains nothing.
    """

    model_config = ConfigDict(**STRICT, frozen=True)

    dataset: Name
    size: tuple[PositiveInt, PositiveInt] | None = None
    method: Name
    recipe: Name = "default"
    profile: Name
    split: Name = "paper"
    fold: NonNegativeInt | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    train_size: PositiveInt | None = None
    draw: NonNegativeInt | None = None
    seed: int = 0
    options: dict[str, Any] = {}
    budget: Epochs | Steps | Seconds | None = None
    augmentation: Augmentation | None = None

    @model_validator(mode="after")
    def _check(self) -> Spec:
        if self.split != "folds" and (self.fold is not None or self.folds is not None):
            raise ValueError(f"split {self.split!r} has no folds; write split='folds'")
        if (self.train_size is None) != (self.draw is None):
            raise ValueError("train_size and draw say together which few cases there are to learn from; give both or none")
        return self

    @property
    def name(self) -> str:
        """`<method>_<recipe>_<profile>_<split>_<seed>`, and a digest of all the rest where any of it is given."""
        words = [self.method, self.recipe, self.profile, self.split, str(self.seed)]
        said = {"dataset", "method", "recipe", "profile", "split", "seed"}
        rest = self.model_dump(mode="json", exclude=said, exclude_defaults=True)
        if rest:
            words.append(hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:8])
        return file_name("_".join(words))

    @property
    def budget_words(self) -> str:
        """The budget for people, such as "900 steps"; "" for a run as long as recipe and profile say."""
        budget = self.model_dump(mode="json")["budget"]
        return " ".join(f"{value if value % 1 else int(value)} {unit}" for unit, value in (budget or {}).items())

    def path(self, folder: str | Path = "results") -> Path:
        """Where the record of this run lies."""
        name = file_name(self.dataset)
        return Path(folder) / (f"{name}_" if name.lower() in (STUDIES, BENCHMARKS) else name) / f"{self.name}.json"


class Numbers(Checked):
    """One metric of one group, as `summarise` gives it."""

    model_config = STRICT

    mean: float
    sd: float | None
    median: float | None = None
    low: float | None
    high: float | None
    unit: Literal["mm", "px", "%"]
    n: NonNegativeInt | None = None
    missing: NonNegativeInt | None = None
    failures: NonNegativeInt | None = None

    @model_validator(mode="after")
    def _check(self) -> Numbers:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"the interval is upside down, {self.low} to {self.high}")
        return self


class Origin(Checked):
    """Where numbers come from: which files in words, whether they are synthetic, and with what they were computed.

    migrated: what changed when an older file was brought to this version.
    """

    model_config = STRICT

    version: Literal[3] = 3
    source: str
    synthetic: bool = False
    commit: str = Field(default_factory=current_commit)
    device: str
    versions: dict[str, str] = Field(default_factory=installed_versions)
    notes: str = ""
    migrated: str = ""


class Record(Origin):
    """The result of one run.

    size: (H, W) of the images; precision: of the training; failures: structures of test cases with any failed prediction.
    recipe_settings: every option of the method and its training. history: one row per epoch, to five digits.
    n_cases: of the whole data set. parts_sha256: over the ids in each part. steps: of the optimiser, processor_seconds: that they
    took, in all threads, validation apart; seconds_per_step: their ratio, or what a budget of seconds was converted with.
    peak_memory_mib: see `provenance.peak_memory`.
    values: image by image. The last seven are None in older records, and where a method does not tell them.
    """

    spec: Spec
    data_sha256: Hash
    size: tuple[PositiveInt, PositiveInt]
    n_train: NonNegativeInt
    n_validation: NonNegativeInt | None
    n_test: NonNegativeInt
    failures: NonNegativeInt
    precision: str
    parameters: NonNegativeInt
    seconds_train: NonNegativeFloat
    seconds_per_case: NonNegativeFloat
    recipe_settings: dict[str, Any]
    metrics: dict[str, dict[str, Numbers]]
    history: list[dict[str, Any]] = []
    n_cases: NonNegativeInt | None = None
    steps: NonNegativeInt | None = None
    processor_seconds: NonNegativeFloat | None = None
    seconds_per_step: NonNegativeFloat | None = None
    peak_memory_mib: NonNegativeFloat | None = None
    values: Values | None = None
    parts_sha256: Hash | None = None

    @model_validator(mode="after")
    def _check(self) -> Record:
        if "average" not in self.metrics:
            raise ValueError("metrics have no group 'average'; take them from summarise")
        return self

    @property
    def toy(self) -> bool:
        """Whether the numbers teach only: phantoms, or a small profile."""
        return self.synthetic or self.spec.profile in TOY_PROFILES

    def path(self, folder: str | Path = "results") -> Path:
        """Where the record of this run lies."""
        return self.spec.path(folder)


class StudyRecord(Origin):
    """The numbers of one study.

    results: names to numbers or to further mappings. n: cases of each part, such as {"train": 600, "test": 400}.
    settings: what else decides the result.
    """

    study: Name
    dataset: Name
    profile: Name
    seed: int
    n: Annotated[dict[str, NonNegativeInt], Field(min_length=1)]
    data_sha256: Hash | None
    settings: dict[str, Any] = {}
    results: Annotated[dict[str, Any], Field(min_length=1)]

    @property
    def toy(self) -> bool:
        """Whether the numbers teach only: phantoms, or a small profile."""
        return self.synthetic or self.profile in TOY_PROFILES

    def path(self, folder: str | Path = "results") -> Path:
        """Where the record of this study lies."""
        return Path(folder) / STUDIES / f"{file_name(f'{self.dataset} {self.study}')}.json"


def make_record(
    spec: Spec, *, data: CaseSet, split: Split, table: pd.DataFrame, recipe: Mapping[str, Any], history: pd.DataFrame, **more: Any
) -> Record:
    """The record of one run, checked.

    data: all cases, at the size they were used; split: how they were divided. table: of `evaluate` over `split.test`.
    recipe: every option of the method and its training. history: a row per epoch. more: what `Record` has besides: parameters,
    seconds_train, seconds_per_case, precision, notes, device (a torch device), data_sha256 where it is known already, and costs
    that the history does not tell. Raises DataError where the result is no valid record.
    """
    failures = table.groupby(["case", "structure"])["failed"].any().sum()
    more = _costs(history) | more
    more |= {"n_train": len(split.train), "n_validation": len(split.validation), "n_test": len(split.test), "failures": failures}
    more |= {"spec": spec.model_dump(mode="json"), "size": data[0].size, "recipe_settings": recipe, "metrics": metrics_of(table)}
    more |= {"parts_sha256": parts_digest(split), "n_cases": len(data), "values": Values.of(table).model_dump(mode="json")}
    history = history.map(lambda value: rounded(value) if isinstance(value, float) else value)
    return _made(Record, data, history=history.to_dict("records"), **more)


def parts_digest(split: Split) -> str:
    """Of the ids in each part."""
    parts = [split.train.ids, split.validation.ids, split.test.ids]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def metrics_of(table: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """The summary of a table of `evaluate` as a record holds it: group -> metric -> numbers; what nobody annotated is left out."""
    groups = summarise(table).dropna(subset="mean").groupby("group", sort=False)
    return {str(group): part.drop(columns="group").set_index("metric").to_dict("index") for group, part in groups}


def _costs(history: pd.DataFrame) -> dict[str, float]:
    """What the training loop tells of its costs; unknown where an epoch of an older version does not."""
    if not {"steps", "processor_seconds"} <= set(history) or history[["steps", "processor_seconds"]].isna().any(axis=None):
        return {}
    steps, seconds = history["steps"].sum(), history["processor_seconds"].sum()
    return {"steps": round(steps), "processor_seconds": seconds, "seconds_per_step": seconds / steps}


def study_record(study: str, data: CaseSet, results: Mapping[str, Any], **more: Any) -> StudyRecord:
    """The record of one study.

    study: its short name, such as "bone age". data: the cases with images. results: give units in the names, as in `mae_months`;
    NaN becomes null. more: what `StudyRecord` has besides: n, profile, seed, settings, notes, device (a torch device), and source,
    which files in words, by default the data set's own description.
    Raises DataError where a name or the results are empty.
    """
    return _made(StudyRecord, data, study=study, dataset=data.name, results=results, **more)


def _made(kind: type[Origin], data: CaseSet, device: torch.device | str = "cpu", **fields: Any) -> Any:
    source = fields.pop("source", "") or data.info.get("copy") or data.info.get("source") or data.name
    origin = {"source": source, "synthetic": data.info.get("kind") == "phantom", "device": describe_device(device)}
    fields["data_sha256"] = fields.get("data_sha256") or data.fingerprint()
    return validated(kind, plain(origin | fields), "record")
