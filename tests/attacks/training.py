# ruff: noqa: E501 (tables: one attack a line)
"""Cases, settings, folders and machines with which no training can begin; told before it begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from attacks.common import CASES, QUICK, SIZE, Attack, copied, holding, nothing, run_in, tiny_method

from denseseg.anatomy import Anatomy, Structure
from denseseg.batch import Batch
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.experiments.experiment import run_experiment
from denseseg.experiments.record import Spec
from denseseg.files import locked
from denseseg.methods import create, load_method
from denseseg.training.loop import train
from denseseg.training.settings import Run

CIRCLE = np.linspace(0, 2 * np.pi, 8, endpoint=False)
RING = 30 + 12 * np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], 1)
SPEC = {"dataset": CASES.name, "method": "mean_shape", "profile": "smoke", "split": "stratified"}


def shaped(*points: np.ndarray, anatomy: str = "shapes") -> CaseSet:
    """Cases of a ring and a second outline, each a little elsewhere."""
    rng, (second,) = np.random.default_rng(0), points
    parts = Anatomy(anatomy, (Structure("ring", 8, "a"), Structure("second", len(second), "a")))
    shapes = [np.concatenate([RING, second]) + rng.normal(0, 1, 2) for _ in range(4)]
    return CaseSet("shapes", parts, [Case(f"c{i}", rng.random(SIZE), shape, parts) for i, shape in enumerate(shapes)])


def fitting(cases: CaseSet, method: str = "denseseg") -> Callable[[Path], Any]:
    return lambda folder: create(method, cases.anatomy, SIZE, channels=(4, 8), training=QUICK).fit(cases, None, run_in())


def changed_after(change: Callable[[Case], Any]) -> CaseSet:
    """Sound cases, one of which is changed after it was checked."""
    cases = CaseSet(
        CASES.name, CASES.anatomy, [copied(case, image=case.image.copy(), landmarks=case.landmarks.copy()) for case in CASES]
    )
    change(cases[2])
    return cases


def lost(structure: str) -> CaseSet:
    """Sound cases, none of which has this structure."""

    def without(case: Case) -> np.ndarray:
        points = case.landmarks.copy()
        points[case.anatomy.slices[structure]] = np.nan
        return points

    return CaseSet(CASES.name, CASES.anatomy, [copied(case, landmarks=without(case)) for case in CASES])


def started(**run: Any) -> Callable[[Path], Any]:
    return lambda folder: tiny_method().fit(CASES, run=Run(**{"progress": False, "device": "cpu", "precision": "32-true"} | run))


def specified(**fields: Any) -> Callable[[Path], Any]:
    return lambda folder: Spec(**(SPEC | fields))


def trained_in(*parts: str) -> Callable[[Path], Any]:
    def asked(folder: Path) -> Any:
        with patch("denseseg.training.loop.PATIENCE", 0.0):
            return tiny_method().fit(CASES, run=run_in(folder.joinpath(*parts)))

    return asked


def while_another(ask: Callable[[Path], Any], name: str = "busy") -> Callable[[Path], Any]:
    """Asks while another program has locked a folder."""
    import subprocess
    import sys

    hold = "import fcntl, os, sys; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()"

    def asked(folder: Path) -> Any:
        (folder / name).mkdir(parents=True, exist_ok=True)
        with subprocess.Popen([sys.executable, "-c", hold, str(folder / name / ".lock")], stdin=-1, stdout=-1) as other:
            other.stdout.readline()
            try:
                return ask(folder)
            finally:
                other.stdin.close()
                other.wait()
                (folder / name / ".lock").unlink(missing_ok=True)

    return asked


def in_a_thread(ask: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Asks in another thread of a program that has locked the folder."""
    from concurrent.futures import ThreadPoolExecutor

    def asked(folder: Path) -> Any:
        with locked(folder / "run"), ThreadPoolExecutor(1) as pool:
            return pool.submit(ask, folder).result()

    return asked


LINE = np.stack([np.linspace(10, 50, 6), np.full(6, 20.0)], 1)
FLAT = r"second is an outline, but encloses no area in any case of shapes: .*; correct them, or describe it with kind = \"curve\""
TRAINING = {
    "an outline of one landmark": Attack(nothing, fitting(shaped(np.array([[20.0, 20.0]]))), FLAT),
    "an outline of two landmarks": Attack(nothing, fitting(shaped(LINE[:2])), FLAT),
    "an outline that is level": Attack(nothing, fitting(shaped(LINE)), FLAT),
    "an outline that is upright": Attack(nothing, fitting(shaped(LINE[:, ::-1])), FLAT),
    "an outline that is aslant": Attack(nothing, fitting(shaped(LINE[:, :1].repeat(2, 1))), FLAT),
    "an outline there and back": Attack(nothing, fitting(shaped(np.concatenate([LINE, LINE[::-1]]))), FLAT),
    "a flat outline for heatmaps": Attack(nothing, fitting(shaped(LINE), "heatmap_regression"), FLAT),
    "a structure that no case has": Attack(nothing, fitting(lost("heart"), "heatmap_regression"), "no case of chest phantom has a landmark of its heart; add cases that do, or leave the structure out of the anatomy"),
    "one case": Attack(nothing, lambda f: tiny_method().fit(CASES[:1], None, run_in()), "needs two training cases or more, and was given 1; train with more"),
    "an image of NaN": Attack(nothing, fitting(changed_after(lambda case: case.image.__setitem__((3, 4), np.nan))), "case .*2 was changed, and holds values that are not finite; read it again"),
    "an image of infinity": Attack(nothing, fitting(changed_after(lambda case: case.image.fill(np.inf)), "heatmap_regression"), "case .*2 was changed, .*; read it again"),
    "a landmark at infinity": Attack(nothing, fitting(changed_after(lambda case: case.landmarks.__setitem__(7, np.inf))), "case .*2 was changed, .*; read it again"),
    "a validation image of NaN": Attack(nothing, lambda f: tiny_method().fit(CASES[:2], changed_after(lambda case: case.image.fill(np.nan))[2:], run_in()), "case .*2 was changed, .*; read it again"),
    "a batch with NaN": Attack(nothing, lambda f: train(tiny_method(), Batch.of(changed_after(lambda case: case.image.fill(np.nan))), QUICK, run_in()), "the image of training case number 3 is not finite; read that case again"),
    "validation of another anatomy": Attack(nothing, lambda f: tiny_method().fit(CASES, shaped(RING), run_in()), "shapes shows the shapes, heatmap_regression was made for the chest"),
    "no weight for any loss": Attack(nothing, lambda f: create("denseseg", CASES.anatomy, SIZE, channels=(4, 8), loss_weights={"uv": 0.0}, training=QUICK).fit(CASES, None, run_in()), "no term of the loss has a weight; give loss_weights at least one above 0"),
    "an unknown loss": Attack(nothing, lambda f: create("denseseg", CASES.anatomy, SIZE, loss_weights={"uvv": 1.0}), "denseseg has no loss term 'uvv'; it has: landmarks, segmentation, uv, variation"),
    "an unknown loss to monitor": Attack(nothing, lambda f: create("heatmap_regression", CASES.anatomy, SIZE, monitor=("tre",)), "heatmap_regression has no loss term 'tre'; it has: heatmap"),
    "a GPU that is not there": Attack(nothing, started(device="cuda"), "device 'cuda' cannot be used here .*; take cpu"),
    "a precision that is none": Attack(nothing, started(precision="7-bit"), "precision must be 'auto', '32-true', 'bf16-mixed' or '16-mixed', got '7-bit'"),
    "a seed beyond all numbers": Attack(nothing, started(seed=2**80), "Run: seed must be"),
    "weights for a GPU that is not there": Attack(nothing, lambda f: load_method(f / "weights.safetensors", "cuda"), "device 'cuda' cannot be used here .*; take cpu"),
    "weights for the ninth GPU": Attack(nothing, lambda f: load_method(f / "weights.safetensors", "cuda:9"), "device 'cuda:9' cannot be used here .*; take cpu"),
    "weights for no device": Attack(nothing, lambda f: load_method(f / "weights.safetensors", "gpu0"), "device 'gpu0' cannot be used here .*; take cpu"),
    "weights for a device without memory": Attack(nothing, lambda f: load_method(f / "weights.safetensors", "meta"), "device 'meta' cannot be used here .*; take cpu"),
    "a file for a run's folder": Attack(holding("taken", "text"), trained_in("taken"), "taken cannot be written: it is a file; move it away, or name another folder"),
    "a file above a run's folder": Attack(holding("taken", "text"), trained_in("taken", "runs", "one"), "taken.* cannot be written .*; free space or choose another folder"),
    "a file for the folder of runs": Attack(holding("runs", "text"), lambda f: run_experiment(CASES, Spec(**SPEC), f / "runs"), "runs.* cannot be written .*; free space or choose another folder"),
    "two trainings in a folder": Attack(nothing, while_another(trained_in("busy")), "busy is being written by another program; wait for its end, or name another folder"),
    "two threads in a folder": Attack(nothing, in_a_thread(trained_in("run")), "run is being written by another program; wait"),
    "a size of text": Attack(nothing, specified(size="large"), "Spec: size must be"),
    "a size of one side": Attack(nothing, specified(size=(64,)), "Spec: size"),
    "a misspelt field": Attack(nothing, specified(sede=3), "Spec: sede is unknown; correct the name or remove it"),
    "folds without the split": Attack(nothing, specified(fold=1), "Spec: split 'stratified' has no folds; write split='folds'"),
    "a draw without a number of cases": Attack(nothing, specified(draw=1), "Spec: train_size and draw say together"),
    "no method": Attack(nothing, lambda f: Spec(dataset="a", profile="smoke"), "Spec: method is missing; add it"),
    "predicting in batches of 0": Attack(nothing, lambda f: load_method(f / "weights.safetensors").predict_cases(CASES, 0), "batch_size=0: give a whole number of cases, at least 1"),
    "predicting in batches of 2.5": Attack(nothing, lambda f: load_method(f / "weights.safetensors").predict_cases(CASES, 2.5), "batch_size=2.5: give a whole number"),
    "predicting in batches of -8": Attack(nothing, lambda f: load_method(f / "weights.safetensors").predict_cases(CASES, -8), "batch_size=-8: give a whole number"),
}  # fmt: skip

# what clusters leave in the environment of a process that nobody else joins: one process trains, as if it were not there
LEFT_BEHIND = {
    "torch's number of processes": {"WORLD_SIZE": "4"},
    "torch's numbers, but no address": {"WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"},
    "an address, but no number": {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "WORLD_SIZE": "2"},
    "two tasks of Slurm": {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},
    "the second task of Slurm": {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"},
    "a job of LSF": {"LSB_JOBID": "3", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_SIZE": "2", "JSM_NAMESPACE_RANK": "1", "JSM_NAMESPACE_LOCAL_RANK": "1"},
    "processes of MPI": {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "PMI_SIZE": "2", "PMI_RANK": "1"},
    "words for numbers": {"WORLD_SIZE": "four", "LOCAL_WORLD_SIZE": "two"},
    "a local number of 0": {"LOCAL_WORLD_SIZE": "0"},
    "a node's number": {"NODE_RANK": "3", "GROUP_RANK": "3", "LOCAL_RANK": "1"},
}  # fmt: skip
