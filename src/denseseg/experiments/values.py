"""The values behind a record's means, image by image, in few bytes: enough to compare methods in pairs and to pool folds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, NonNegativeInt, model_validator

from denseseg.errors import STRICT
from denseseg.evaluation.scores import COLUMNS

DIGITS = 5  # significant ones that are kept


def rounded(value: float) -> float:
    """The number with as many significant digits as a record keeps of an image or an epoch."""
    return float(f"{value:.{DIGITS}g}")


class Column(BaseModel):
    """One metric of one structure.

    values: a number for each case, null where there is none; of single landmarks, K numbers for each case.
    n: how many landmarks (or masks) are in each, one count for all or a list. failed: positions where a prediction failed.
    """

    model_config = STRICT

    values: list[float | None]
    n: NonNegativeInt | list[NonNegativeInt]
    failed: list[NonNegativeInt] = []

    @model_validator(mode="after")
    def _check(self) -> Column:
        if (isinstance(self.n, list) and len(self.n) != len(self.values)) or max(self.failed, default=-1) >= len(self.values):
            raise ValueError("counts and failures do not fit the values")
        return self

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Column:
        known = rows["value"].notna()
        values = [rounded(value) if is_known else None for value, is_known in zip(rows["value"], known, strict=True)]
        counts = rows["n"].where(known, 0).astype(int)
        n = int(counts.max()) if (counts[known] == counts.max()).all() else counts.tolist()
        return cls(values=values, n=n, failed=np.flatnonzero(rows["failed"].eq(True)).tolist())


class Values(BaseModel):
    """A table of `evaluate`, rounded to five significant digits and without what the truth lacks.

    cases: ids of the test cases. groups: structure -> group. units: metric -> unit. columns: structure -> metric -> its values. The
    sdr_R of several single landmarks are left out, since they follow from their tre.
    """

    model_config = STRICT

    cases: list[str]
    groups: dict[str, str]
    units: dict[str, Literal["mm", "px", "%"]]
    columns: dict[str, dict[str, Column]]

    @model_validator(mode="after")
    def _check(self) -> Values:
        for structure, metrics in self.columns.items():
            for metric, column in metrics.items():
                if structure not in self.groups or metric not in self.units or len(column.values) % max(1, len(self.cases)):
                    raise ValueError(f"{metric} of {structure} does not fit the cases, groups and units")
        return self

    @classmethod
    def of(cls, table: pd.DataFrame) -> Values:
        """The values of a table of `evaluate` of one method."""
        cases: list[str] = table["case"].drop_duplicates().tolist()
        columns: dict[str, dict[str, Column]] = {}
        for (structure, metric), rows in table.fillna({"landmark": -1}).groupby(["structure", "metric"], sort=False):
            landmarks = sorted(set(rows["landmark"]))
            if len(landmarks) == 1 or not str(metric).startswith("sdr_"):
                everywhere = pd.MultiIndex.from_product([cases, landmarks])
                columns.setdefault(str(structure), {})[str(metric)] = Column.of(
                    rows.set_index(["case", "landmark"]).reindex(everywhere)
                )
        groups, units = (
            dict(zip(table[key], table[value], strict=True)) for key, value in (("structure", "group"), ("metric", "unit"))
        )
        return cls(cases=cases, groups=groups, units=units, columns=columns)

    def table(self) -> pd.DataFrame:
        """The table again, with the columns of `evaluate`."""
        parts = [
            part
            for structure, metrics in self.columns.items()
            for metric, column in metrics.items()
            for part in self._parts(structure, metric, column)
        ]
        whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
        return whole.dropna(subset="value", ignore_index=True)[COLUMNS]

    def _parts(self, structure: str, metric: str, column: Column) -> Iterator[pd.DataFrame]:
        """The rows of one metric, and of the sdr that follow from it."""
        values, each = np.array(column.values, dtype=float), len(column.values) // max(1, len(self.cases))
        failed = np.isin(np.arange(len(values)), column.failed)
        landmark = np.tile(np.arange(each), len(self.cases)) if each > 1 else np.nan
        rows = {"case": np.repeat(self.cases, each), "structure": structure, "group": self.groups[structure]}
        rows |= {"n": column.n, "failed": failed, "landmark": landmark}
        yield pd.DataFrame(rows | {"metric": metric, "value": values, "unit": self.units[metric]})
        if each > 1 and metric == "tre":
            for sdr in (key for key in self.units if key.startswith("sdr_")):
                within = (values <= float(sdr.removeprefix("sdr_"))) & ~failed
                yield pd.DataFrame(rows | {"metric": sdr, "value": np.where(np.isnan(values), np.nan, 100.0 * within), "unit": "%"})
