"""How many training images does a method need? The runs of the grids "few" and "draws", read from their records.

Payer et al. (Table 2, Fig. 8) compare the SpatialConfiguration-Net with the Localization U-Net on 10, 50, 100 and all images, as
the mean of three random draws. Here heatmaps and dense maps are beside them, under the same terms.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from denseseg.experiments.record import Record
from denseseg.experiments.tables import method_title


def few_shot(records: Iterable[Record]) -> pd.DataFrame:
    """A row for each data set, profile, split, budget, method and number of training images, from records of single runs.

    Columns: dataset, profile, split, budget (in words; "" for the profile's epochs, which are few steps where images are few),
    method (its title), images (all, with validation: what there was to learn from), mean (of the average TRE, over draws, folds and
    seeds), sd (between draws, of the mean over folds and seeds; NaN of one draw), lowest and highest draw, draws, unit.
    Only methods that were run with few images are listed; their runs with all images end the curve. Records without a TRE are
    left out, and so are pooled ones, since their folds are there.
    """
    rows = [
        {
            "dataset": record.spec.dataset,
            "profile": record.spec.profile,
            "split": record.spec.split,
            "budget": record.spec.budget_words,
            "method": method_title(record.spec.method),
            "few": record.spec.train_size is not None,
            "images": record.spec.train_size or record.n_train + (record.n_validation or 0),
            "draw": record.spec.draw or 0,
            "value": record.metrics["average"]["tre"].mean,
            "unit": record.metrics["average"]["tre"].unit,
        }
        for record in records
        if "tre" in record.metrics.get("average", {}) and record.spec.recipe == "default" and not _differs(record)
    ]
    columns = ["dataset", "profile", "split", "budget", "method", "images"]
    if not rows:
        return pd.DataFrame(columns=[*columns, "mean", "sd", "lowest", "highest", "draws", "unit"])
    table = pd.DataFrame(rows)
    table = table[table.groupby(columns[:-1])["few"].transform("any")]
    # folds differ by an image or so: one place on the axis
    whole = table.loc[~table["few"]].groupby(columns[:-1])["images"].transform("median").round().astype(int)
    table.loc[~table["few"], "images"] = whole
    draws = table.groupby([*columns, "draw", "unit"], sort=False, as_index=False)["value"].mean()
    named = {"mean": "mean", "sd": "std", "lowest": "min", "highest": "max", "draws": "count"}
    curves = draws.groupby([*columns, "unit"])["value"].agg(**named).reset_index()
    return curves[[*columns, *named, "unit"]].sort_values(columns, ignore_index=True)


def _differs(record: Record) -> bool:
    """Whether a run has more that is its own than its training images and budget: options, a size, or that it pools folds."""
    spec = record.spec
    return bool(spec.options or spec.size or spec.augmentation or (spec.split == "folds" and spec.fold is None))
