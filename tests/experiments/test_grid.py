"""Grids of runs: which there are, what is missing, one made by its name, all of them by Snakemake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from records import boxes

from denseseg.cases.folder import write_cases
from denseseg.errors import DataError
from denseseg.experiments import grid, recipe_of
from denseseg.experiments.grid import GRIDS, grid_specs, main, missing, named, pool_one, pools, run_one
from denseseg.experiments.store import read_records, write_record
from denseseg.methods import METHODS

PHANTOMS = ("--profile", "smoke", "--methods", "mean_shape")


# ---- which runs -----------------------------------------------------------------------------------------------------


def test_a_grid_has_each_run_once_of_methods_and_recipes_that_there_are():
    for name in GRIDS:
        specs = grid_specs(name, "toy", "compact", seeds=(0, 1))
        assert len({spec.name for spec in specs}) == len(specs)
        assert all(spec.recipe in METHODS[spec.method].recipes for spec in specs)


def test_cross_validation_and_few_images_are_all_there():
    folds = grid_specs("folds", "toy", "compact", only=["mean_shape"])
    assert [(spec.split, spec.fold, spec.folds) for spec in folds] == [("folds", fold, 3) for fold in range(3)]
    few = GRIDS["few"].specs("toy", "compact", seeds=(0,))
    assert len(few) == len(pools(few)) * 3
    assert {(spec.train_size, spec.draw) for spec in few} == {(n, draw) for n in (10, 50, 100) for draw in range(3)}


def test_a_grid_of_variants_has_no_recipe_twice():
    for name, count in (("components", 5), ("widths", 7), ("filters", 4), ("maps", 4), ("losses", 11)):
        specs = grid_specs(name, "toy", "compact")
        assert len({str(recipe_of(spec)) for spec in specs}) == len(specs) == count


def test_a_grid_takes_a_budget_in_words():
    for words in ("", "900 steps", "90 seconds", "60 epochs"):
        (spec,) = grid_specs("table", "toy", "course", only=["mean_shape"], budget=words)
        assert spec.budget_words == words
    for wrong in ("900", "0 steps", "900 step", "-1 steps"):
        with pytest.raises(DataError, match=f"unknown budget {wrong!r}; write it like"):
            grid_specs("table", "toy", "course", budget=wrong)


def test_nnunet_keeps_no_budget_and_is_left_out_where_there_is_one():
    for budget, there in (("", True), ("900 steps", False)):
        assert ("nnunet" in {spec.method for spec in grid_specs("table", "toy", "course", budget=budget)}) is there


def test_a_grid_can_be_narrowed_to_methods_and_recipes():
    assert {spec.recipe for spec in grid_specs("table", "toy", "full", only=["denseseg:paper", "mean_shape"])} == {
        "paper",
        "default",
    }
    with pytest.raises(DataError, match="the grid 'table' has no method 'denseg'; it has: denseseg:paper, "):
        grid_specs("table", "toy", "full", only=["denseg"])
    with pytest.raises(DataError, match="unknown grid 'tabel'; known: table, folds, few, draws, components, widths, "):
        grid_specs("tabel", "toy", "full")
    with pytest.raises(DataError, match="unknown profile 'ful'"):
        grid_specs("table", "toy", "ful")


# ---- made one by one ------------------------------------------------------------------------------------------------


def test_folds_are_run_by_name_and_pooled(tmp_path, capsys):
    data = str(write_cases(tmp_path / "data", boxes()))
    grid = ["folds", "--data", data, *PHANTOMS, "--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    main([*grid, "--missing"])
    names = capsys.readouterr().out.split()
    assert len(names) == 3
    for name in names:
        main([*grid, "--run", name])
    (pool,) = pools(grid_specs("folds", "toy boxes", "smoke", only=["mean_shape"]))
    main([*grid, "--pool", pool])
    capsys.readouterr()
    main([*grid, "--missing"])
    assert capsys.readouterr().out.strip() == ""
    main(grid)
    assert capsys.readouterr().out.count("recorded") == 3
    kept = read_records(tmp_path / "results")[0]
    write_record(kept.model_copy(update={"recipe_settings": {"shape_prior": 0.5}}), tmp_path / "results")
    main(grid)
    told = capsys.readouterr().out
    assert told.count("outdated  ") == 1 and told.count("recorded") == 2 and "another recipe" in told
    write_record(kept, tmp_path / "results")
    write_cases(tmp_path / "data", [replace(case, spacing=0.5) for case in boxes()], name="toy boxes", anatomy=boxes().anatomy)
    main(grid)
    told = capsys.readouterr().out
    assert told.count("outdated  ") == 3 and "move such records out of" in told and "recorded" not in told
    records = read_records(tmp_path / "results")
    assert sorted(record.n_test for record in records)[-1] == 10 == sum(record.n_test for record in records) / 2


def test_what_is_not_in_the_grid_or_not_there_is_told(tmp_path):
    data = str(write_cases(tmp_path / "data", boxes()))
    specs = grid_specs("folds", "toy boxes", "smoke", only=["mean_shape"])
    with pytest.raises(DataError, match="the grid has no run 'nothing'"):
        named(specs, "nothing")
    with pytest.raises(DataError, match="the grid pools no 'nothing'; it pools: mean_shape_default_smoke_folds_0_"):
        main(["folds", "--data", data, *PHANTOMS, "--pool", "nothing"])
    run_one(specs[0], data, tmp_path, tmp_path / "runs")
    assert missing(specs, tmp_path) == specs[1:]
    with pytest.raises(DataError, match="is missing; run that fold first"):
        pool_one(specs, tmp_path)


# ---- by Snakemake ---------------------------------------------------------------------------------------------------


def snakemake(folder, *more: str) -> list[str]:
    config = [f"data={folder / 'data'}", "grid=folds", "profile=smoke", "methods=mean_shape", "results=results", "runs=runs"]
    return [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(Path(grid.__file__).with_name("Snakefile")),
        "--cores",
        "1",
        *more,
        "--config",
        *config,
    ]


def finished(folder, *more: str) -> None:
    done = subprocess.run(snakemake(folder, *more), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def times(folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "results").rglob("*.json")}


@pytest.mark.skipif(find_spec("snakemake") is None, reason="the extra 'sweep' is not installed")
def test_a_grid_that_was_killed_goes_on_and_a_record_that_was_removed_is_made_again(tmp_path):
    write_cases(tmp_path / "data", boxes())
    with open(tmp_path / "log", "w") as log:
        first = subprocess.Popen(snakemake(tmp_path), cwd=tmp_path, start_new_session=True, stdout=log, stderr=log)
        while not times(tmp_path) and first.poll() is None:
            time.sleep(0.2)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    early = times(tmp_path)
    assert 1 <= len(early) < 4, (tmp_path / "log").read_text()
    finished(tmp_path, "--unlock")
    finished(tmp_path, "--rerun-incomplete")
    whole = times(tmp_path)
    assert len(whole) == 4  # three folds, and all of them pooled
    fold = next(path for path in (tmp_path / "results").rglob("*.json") if json.loads(path.read_text())["spec"]["fold"] == 1)
    fold.unlink()
    finished(tmp_path)
    changed = {name for name, when in times(tmp_path).items() if whole[name] != when}
    (pool,) = pools(grid_specs("folds", "toy boxes", "smoke", only=["mean_shape"]))
    assert changed == {fold.name, f"{pool}.json"}
