"""Programs that are killed with signal 9 at random moments, and then run again."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

TRAIN = """
import sys
from pathlib import Path
from attacks.common import CASES, QUICK, run_in, tiny_method
from denseseg.methods import save_method
from denseseg.training.settings import Epochs

print("begun", flush=True)
folder = Path(sys.argv[1])
method = tiny_method(QUICK.changed(length=Epochs(6)))
method.fit(CASES[:2], CASES[2:], run_in(folder))
save_method(method, folder / "weights.safetensors")
"""
PREPARE = """
import sys
from make_phantom import main

print("begun", flush=True)
sys.exit(main([sys.argv[1], "--n", "30", "--size", "64", "--overwrite"]))
"""
PREPARE_JSRT = """
import sys
from pathlib import Path
from prepare_jsrt import main

print("begun", flush=True)
out, files = Path(sys.argv[1]), Path(sys.argv[1]).parent / "files"
sys.exit(main(["--images", str(files / "images"), "--landmarks", str(files / "landmarks"), "--size", "64", str(out)]))
"""
PREPARE_HAND = """
import sys
from pathlib import Path
from prepare_hand import main

print("begun", flush=True)
out, files = Path(sys.argv[1]), Path(sys.argv[1]).parent / "files"
sys.exit(main(["--images", str(files / "images"), "--setup", str(files / "setup"), "--longest", "64", str(out)]))
"""
HOLD = """
import sys, time
from pathlib import Path
from denseseg.files import locked

with locked(Path(sys.argv[1])):
    print("begun", flush=True)
    time.sleep(60)
"""
RUNNER = """
import sys
from denseseg.course.notebooks import main

print("begun", flush=True)
sys.exit(main(["--profile", "smoke", "--jobs", "2"]))
"""


def environment() -> dict[str, str]:
    """That of the tests, with their modules and the scripts."""
    tests = Path(__file__).parent
    paths = [str(path) for path in (tests.parent / "src", tests, tests.parent / "data_scripts")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def start(program: str, folder: Path, **more) -> subprocess.Popen:
    """Start it, and return when its own work begins."""
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdout=-1, stderr=-2, text=True, env=environment(), **more)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "begun\n", line + process.stdout.read()
    return process


def finish(program: str, folder: Path, **more) -> float:
    """Run it to its end, and return the seconds that it took."""
    process = start(program, folder, **more)
    began = time.perf_counter()
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return time.perf_counter() - began


def kill_at_random_moments(
    program: str, folder: Path, times: int, seconds: float, made: Path | None = None, seed: int = 0, **more
) -> None:
    """Kill it at work so often, each time within `seconds` and from where it stands.

    A start that ended before its kill does not count: what it `made` (by default the folder) goes, and the next has half the time.
    """
    moments, killed = random.Random(seed), 0
    while killed < times:
        process = start(program, folder, **more)
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        said, _ = process.communicate()
        if process.returncode == -9:
            killed += 1
        else:
            assert process.returncode == 0, said
            shutil.rmtree(made or folder)
            seconds /= 2


def contents(folder: Path, *left_out: str) -> dict[str, str]:
    """Path -> checksum of all files but hidden ones and those of these names."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in left_out]
    files = [path for path in files if not any(part[0] == "." for part in path.relative_to(folder).parts)]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
