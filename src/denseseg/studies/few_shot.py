"""How many training images does a method need? The runs of the grids "few" and "draws", read from their records.

Payer et al. (Table 2, Fig. 8) compare the SpatialConfiguration-Net with the Localization U-Net on 10, 50, 100 and all images, as
the mean of three random draws. Here heatmaps and dense maps are beside them, under the same terms.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from denseseg.experiments.record import Record
from denseseg.experiments.tables import method_title


def few_shot(records: Iterable[Record], metric: str = "tre", group: str = "average") -> pd.DataFrame:
    """A row for each data set, profile, budget, method and number of training images, from records of single runs.

    Columns: dataset, profile, budget (in words; "" for the profile's epochs, which are few steps where images are few), method
    (its title), images (all, with validation: what there was to learn from), mean (over draws,
    folds and seeds), sd (between draws, of the mean over folds and seeds; NaN of one draw), lowest and highest draw, draws, unit.
    Only methods that were run with few images are listed; their runs with all images end the curve. Records without the metric are
    left out, and so are pooled ones, since their folds are there.
    """
    rows = [
        {
            "dataset": record.spec.dataset,
            "profile": record.spec.profile,
            "budget": record.spec.budget_words,
            "method": method_title(record.spec.method),
            "few": record.spec.train_size is not None,
            "images": record.spec.train_size or record.n_train + (record.n_validation or 0),
            "draw": record.spec.draw or 0,
            "value": record.metrics[group][metric].mean,
            "unit": record.metrics[group][metric].unit,
        }
        for record in records
        if metric in record.metrics.get(group, {}) and record.spec.recipe == "default" and not _differs(record)
    ]
    columns = ["dataset", "profile", "budget", "method", "images"]
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
    """Whether a run has more that is its own than its training images and budget: options, or that it pools folds."""
    spec = record.spec
    return bool(spec.options or spec.augmentation or (spec.split == "folds" and spec.fold is None))
