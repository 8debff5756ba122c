"""Grids of runs: which there are, which of them are not recorded yet, and one of them run by its name.

    python -m denseseg.experiments.grid table --data data/jsrt --profile full            # all runs; recorded ones are marked
    python -m denseseg.experiments.grid few --data data/hand --seeds 0 1 2 --missing     # names of those that are missing
    python -m denseseg.experiments.grid folds --data data/hand --run NAME                # make one record
    python -m denseseg.experiments.grid folds --data data/hand --pool NAME               # all folds in one record
    python -m denseseg.experiments.grid table --profile course --budget "900 steps"      # as long for each method

The `Snakefile` beside this file makes all missing records of a grid, on this machine or on many.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from denseseg.errors import DataError, exit_status
from denseseg.experiments.benchmark import on_equal_terms
from denseseg.experiments.experiment import is_current, run_experiment
from denseseg.experiments.pooling import pooled, pooled_spec
from denseseg.experiments.profiles import dataset_name, get_profile, load_cases
from denseseg.experiments.record import Record, Spec
from denseseg.experiments.store import find_record, write_record
from denseseg.methods import get_method
from denseseg.methods.localization import FIXED, SIDE, WEIGHTS
from denseseg.methods.spatial_configuration_loss import BETAS, BOTH, GAMMAS
from denseseg.methods.spatial_configuration_loss import PAPER as LOSS
from denseseg.training.settings import Epochs, Seconds, Steps

Budget = Epochs | Steps | Seconds
COUNTED: dict[str, type[Epochs | Steps]] = {"epochs": Epochs, "steps": Steps}

# every column of the DenseSeg paper's Table 1, its ablations, our recipes, and the methods of the other papers
TABLE = (
    ("denseseg", "paper"), ("denseseg", "released"), ("denseseg", "sparse"), ("denseseg", "sparse_eq4"), ("denseseg", "default"),
    ("heatmap_regression", "paper"), ("heatmap_regression", "default"),
    ("heatmap_segmentation", "paper"), ("heatmap_segmentation", "default"),
    ("spatial_configuration", "default"), ("localization_unet", "default"), ("local_appearance", "default"),
    ("spatial_configuration_loss", "default"), ("shapeformer", "paper"), ("shapeformer", "default"),
    ("mean_shape", "default"), ("plain_unet", "default"), ("nnunet", "default"),
)  # fmt: skip
# the SCN paper's own questions (Section 5), and those of Ham and Oh (Tables 3 to 5)
COMPONENTS = (
    ("spatial_configuration", "paper"), ("spatial_configuration", "convolutions"), ("spatial_configuration", "paper_2016"),
    ("local_appearance", "paper"), ("localization_unet", "paper"),
)  # fmt: skip
MAPS = tuple(("spatial_configuration_loss", recipe) for recipe in ("plain", "cartesian", "polar", "paper"))
WIDTHS: tuple[dict[str, Any], ...] = (  # {}: the recipe as it is
    {},
    *({"options": FIXED | {"sigma": pixels / SIDE}} for pixels in (1.5, 2.5, 5.0, 10.0)),
    *({"options": {"loss_weights": WEIGHTS | {"sigma": alpha}}} for alpha in (5.0, 100.0)),
)
FILTERS = tuple({"options": {"channels": (filters,) * 4}} for filters in (32, 64, 128, 256))
LOSSES: tuple[dict[str, Any], ...] = (
    {},
    *({"options": {"beta": beta}} for beta in BETAS if beta != LOSS.beta),
    *({"options": {"loss_weights": BOTH | {"correlation": gamma}}} for gamma in GAMMAS if gamma != BOTH["correlation"]),
)
# what places single landmarks, as hands have them
HAND = (
    ("spatial_configuration", "default"), ("localization_unet", "default"), ("local_appearance", "default"),
    ("spatial_configuration_loss", "default"), ("heatmap_regression", "default"), ("denseseg", "default"),
    ("mean_shape", "default"),
)  # fmt: skip
# the SCN paper compares the first two where there are few images
FEW = (*HAND[:2], ("heatmap_regression", "default"), ("denseseg", "default"))


@dataclass(frozen=True)
class Grid:
    """Methods with their recipes, and how the cases are divided for them.

    folds: how many there are, each a run of its own; 0 for the published split. sizes, draws: of the training cases, None for all.
    variants: what else a `Spec` may say, such as options of its recipe; each method is run with each.
    """

    purpose: str
    methods: tuple[tuple[str, str], ...]
    folds: int = 0
    sizes: tuple[int | None, ...] = (None,)
    draws: int = 1
    variants: tuple[Mapping[str, Any], ...] = ({},)

    def specs(self, dataset: str, profile: str, seeds: Sequence[int] = (0,), budget: Budget | None = None) -> list[Spec]:
        """Every run of the grid on this data set, by method, variant, size, draw, fold and seed."""
        folds: list[dict[str, Any]] = [{"split": "folds", "folds": self.folds, "fold": fold} for fold in range(self.folds)] or [
            {"split": "paper"}
        ]
        few: list[dict[str, Any]] = [
            {} if size is None else {"train_size": size, "draw": draw}
            for size in self.sizes
            for draw in range(1 if size is None else self.draws)
        ]
        terms = [part | fold | dict(variant) for variant in self.variants for part in few for fold in folds]
        return [
            spec
            for pair in self.methods
            for part in terms
            for spec in on_equal_terms([pair], seeds, dataset=dataset, profile=profile, budget=budget, **part)
        ]


GRIDS = {
    "table": Grid("all methods on the published split (DenseSeg paper, Table 1)", TABLE),
    "folds": Grid("three-fold cross-validation of single landmarks (SCN paper, Table 1; Ham & Oh, Table 2)", HAND, folds=3),
    "few": Grid(
        "few training images, three draws (SCN paper, Table 2 and Fig. 8), and dense maps beside", FEW, 3, (10, 50, 100), 3
    ),
    "draws": Grid("the same on the published split, for sets of some hundred images", FEW, sizes=(10, 30, 50, 100, None), draws=3),
    "components": Grid("the SpatialConfiguration-Net and what it is made of (SCN paper, Section 5)", COMPONENTS),
    "widths": Grid("fixed widths and learned ones (SCN paper, Fig. 7)", COMPONENTS[:1], variants=WIDTHS),
    "filters": Grid("how many filters (SCN paper, Section 5)", COMPONENTS[:1], variants=FILTERS),
    "maps": Grid("feature maps of the spatial-configuration loss (Ham & Oh, Table 3)", MAPS),
    "losses": Grid("its beta and gamma (Ham & Oh, Tables 4 and 5)", MAPS[-1:], variants=LOSSES),
}


def budget_from(words: str) -> Budget | None:
    """The inverse of `Spec.budget_words`. Raises DataError where that is not understood."""
    number, _, unit = words.partition(" ")
    if not words:
        return None
    try:
        return Seconds(float(number)) if unit == "seconds" else COUNTED[unit](int(number))
    except (KeyError, ValueError):  # a DataError where the number is not positive
        raise DataError(f'unknown budget {words!r}; write it like "900 steps", "90 seconds" or "60 epochs"') from None


def grid_specs(
    name: str, dataset: str, profile: str, seeds: Sequence[int] = (0,), only: Sequence[str] | None = None, budget: str = ""
) -> list[Spec]:
    """The runs of a grid by its name.

    only: "method" or "method:recipe", to take no others. budget: such as "900 steps"; by default each recipe's own length. nnU-Net
    keeps none, and is left out where there is one.
    Raises DataError where a name is unknown.
    """
    if name not in GRIDS:
        raise DataError(f"unknown grid {name!r}; known: {', '.join(GRIDS)}")
    get_profile(profile)  # or an error that lists them
    pairs = GRIDS[name].methods
    words = {pair: {pair[0], ":".join(pair)} for pair in pairs}
    for word in only or ():
        if not any(word in own for own in words.values()):
            raise DataError(f"the grid {name!r} has no method {word!r}; it has: {', '.join(':'.join(pair) for pair in pairs)}")
    chosen = tuple(pair for pair in pairs if (words[pair] & set(only) if only else get_method(pair[0]).keeps_terms or not budget))
    return replace(GRIDS[name], methods=chosen).specs(dataset, profile, seeds, budget_from(budget))


def pools(specs: Iterable[Spec]) -> dict[str, list[Spec]]:
    """Name of each pooled record -> the runs of its folds."""
    found: dict[str, list[Spec]] = {}
    for spec in specs:
        if spec.fold is not None:
            found.setdefault(pooled_spec(spec).name, []).append(spec)
    return found


def missing(specs: Iterable[Spec], results: str | Path = "results") -> list[Spec]:
    """Those runs that have no record in `results`."""
    return [spec for spec in specs if not spec.path(results).exists()]


def outdated(specs: Sequence[Spec], data: str, results: str | Path = "results") -> list[Spec]:
    """Those whose record is of a recipe that has changed since, or of other data than the data-set folder `data` holds now.

    A phantom never changes.
    """
    records = [record for spec in specs if (record := find_record(spec, results)) is not None]
    now = load_cases(get_profile(specs[0].profile), data).fingerprint() if records and Path(data).is_dir() else None
    return [record.spec for record in records if now not in (None, record.data_sha256) or not is_current(record)]


def named(specs: Iterable[Spec], name: str) -> Spec:
    """The run of this name. Raises DataError where there is none."""
    for spec in specs:
        if spec.name == name:
            return spec
    raise DataError(f"the grid has no run {name!r}; give the same grid, profile, seeds and methods as when it was listed")


def run_one(spec: Spec, data: str, results: str | Path = "results", runs: str | Path = "runs") -> Record:
    """Make the record of one run and write it down; a run that was stopped goes on where it was."""
    cases = load_cases(get_profile(spec.profile), data, size=spec.size)
    return run_experiment(cases, spec, runs, results=results).record


def pool_one(folds: Sequence[Spec], results: str | Path = "results") -> Record:
    """Make the record of all folds from their records and write it down. Raises DataError where one is missing."""
    found = [find_record(spec, results) for spec in folds]
    for spec, record in zip(folds, found, strict=True):
        if record is None:
            raise DataError(f"{spec.path(results)} is missing; run that fold first")
    whole = pooled([record for record in found if record is not None])
    write_record(whole, results)
    return whole


def listing(specs: Sequence[Spec], data: str, results: str | Path) -> str:
    """A line for each run: whether it is recorded, its name, and what the name holds as a digest."""
    states = dict.fromkeys((spec.name for spec in specs), "recorded")
    states |= {spec.name: "missing " for spec in missing(specs, results)}
    states |= {spec.name: "outdated" for spec in outdated(specs, data, results)}
    rest = [
        spec.model_dump(mode="json", include={"fold", "train_size", "draw", "options"}, exclude_defaults=True) for spec in specs
    ]
    lines = [f"{states[spec.name]}  {spec.name}  {more or ''}".rstrip() for spec, more in zip(specs, rest, strict=True)]
    if "outdated" in states.values():
        lines.append(
            f"outdated: of other data or of another recipe, as they were before a change; move such records out of {results} to "
            "run them again"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", help="; ".join(f"{name}: {grid.purpose}" for name, grid in GRIDS.items()))
    parser.add_argument("--data", default="phantom", help='"phantom" (the default), "wrist phantom", ... or a data-set folder')
    parser.add_argument("--profile", default="compact", help="how large a run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the training (default: 0)")
    parser.add_argument("--budget", default="", help='how long each run trains, such as "900 steps" or "90 seconds"')
    parser.add_argument("--methods", nargs="+", help="method or method:recipe; all that the grid has by default")
    parser.add_argument("--results", default="results", help="folder of the records (default: %(default)s)")
    parser.add_argument("--runs", default="runs", help="where weights are kept (default: %(default)s)")
    parser.add_argument("--missing", action="store_true", help="print the names of missing runs alone")
    parser.add_argument("--run", metavar="NAME", help="make the record of this run")
    parser.add_argument("--pool", metavar="NAME", help="make the record that pools these folds")
    options = parser.parse_args(arguments)
    named_so = options.grid, dataset_name(options.data), options.profile, options.seeds, options.methods, options.budget
    specs = grid_specs(*named_so)
    if options.run:
        run_one(named(specs, options.run), options.data, options.results, options.runs)
    elif options.pool:
        folds = pools(specs)
        if options.pool not in folds:
            raise DataError(f"the grid pools no {options.pool!r}; it pools: {', '.join(folds) or 'nothing'}")
        pool_one(folds[options.pool], options.results)
    elif options.missing:
        print(*(spec.name for spec in missing(specs, options.results)), sep="\n")
    else:
        print(listing(specs, options.data, options.results))


if __name__ == "__main__":
    sys.exit(exit_status(main))
