"""kill -9 at random moments, then the same command: nothing is lost, and all is as after one run but for times.

Two moments each; as many as one likes with KILLS=20 in the environment.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from attacks.training import LEFT_BEHIND
from hand_files import HandFiles
from helpers import write_notebook
from jsrt_files import radiograph, write_img, write_landmarks
from killed import HOLD, PREPARE, PREPARE_HAND, PREPARE_JSRT, RUNNER, TRAIN, contents, finish, kill_at_random_moments, start

from denseseg.cases.folder import read_cases
from denseseg.course import notebooks
from denseseg.course.notebooks import read_status, run_notebooks
from denseseg.files import locked, read_tensors
from denseseg.training.loop import make_fabric, torchrun_rank
from denseseg.training.settings import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and flock")
TIMES = int(os.environ.get("KILLS", 2))


def test_a_training_that_is_killed_again_and_again_ends_as_one_that_never_was(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    seconds = finish(TRAIN, whole)
    kill_at_random_moments(TRAIN, cut, TIMES, seconds)
    finish(TRAIN, cut)
    assert contents(cut).keys() == contents(whole).keys()
    for name in ("weights.safetensors", "checkpoint.safetensors"):  # their tensors may come in another order
        ours, theirs = (read_tensors(folder / name)[0] for folder in (cut, whole))
        assert ours.keys() == theirs.keys() and all(ours[key].equal(theirs[key]) for key in theirs)
    ours, theirs = (pd.read_csv(folder / "history.csv").filter(regex="epoch|loss|rate|error|steps") for folder in (cut, whole))
    pd.testing.assert_frame_equal(ours, theirs)


def test_a_data_set_whose_making_is_killed_again_and_again_is_the_same(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    seconds = finish(PREPARE, whole)
    kill_at_random_moments(PREPARE, cut, TIMES, seconds)
    finish(PREPARE, cut)
    assert contents(cut) == contents(whole)
    assert not [path for path in cut.iterdir() if path.name[0] == "."]  # nothing of the killed ones stays


@pytest.mark.parametrize("program", [PREPARE_JSRT, PREPARE_HAND], ids=["jsrt", "hand"])
def test_public_files_whose_conversion_is_killed_again_and_again_end_as_the_same_set(tmp_path, program):
    if program == PREPARE_HAND:
        HandFiles(tmp_path / "files").write()
    else:
        (tmp_path / "files" / "images").mkdir(parents=True)
        image = radiograph(2048)
        for number in range(10):
            name = f"JPCLN{number + 1:03d}"
            write_img(tmp_path / "files" / "images" / f"{name}.IMG", image * (1 - number / 100))
            write_landmarks(tmp_path / "files" / "landmarks", name, number)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    seconds = finish(program, whole)
    kill_at_random_moments(program, cut, TIMES, seconds)
    finish(program, cut)
    assert contents(cut) == contents(whole) and len(read_cases(cut, check=False)) >= 9
    assert not [path for path in cut.rglob("*") if path.name[0] == "."]  # nothing of the killed ones stays


def toy_book(root: Path, marks: Path) -> Path:
    """Three notebooks, the last of which needs the first; each tells its kernel and works on for a while."""
    (root / "notebooks").mkdir(parents=True)
    (root / "_toc.yml").write_text("")
    tell = f"import os, pathlib, time; pathlib.Path({str(marks)!r}, str(os.getpid())).touch()"
    for name, needs in (("01_a", ()), ("02_b", ()), ("03_c", ("01_a",))):
        write_notebook(root, name, tell, "time.sleep(0.2); print('done', answer)", needs=needs)
    return root


def living(marks: Path) -> list[int]:
    """The kernels that told their number and have not ended."""
    return [int(path.name) for path in marks.iterdir() if lives(int(path.name))]


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # another system than Linux: it was there a moment ago
    return state != "Z"


def ended(marks: Path, seconds: float = 30) -> bool:
    """Whether every kernel that told its number has ended, or does so soon."""
    until = time.perf_counter() + seconds
    while living(marks) and time.perf_counter() < until:
        time.sleep(0.1)
    return not living(marks)


def test_a_runner_that_is_killed_leaves_no_kernel_and_goes_on(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    root = toy_book(tmp_path / "a {book}", marks)  # braces mean something to papermill
    kill_at_random_moments(RUNNER, root, TIMES, 8.0, root / "build", cwd=root)
    assert ended(marks)
    finish(RUNNER, root, cwd=root)
    executed = root / "build" / "executed" / "smoke"
    assert [read_status(executed, name).status for name in ("01_a", "02_b", "03_c")] == ["passed"] * 3
    assert "done 42" in (executed / "03_c.ipynb").read_text()
    assert not (executed / ".lock").exists()


def hanging_book(tmp_path: Path, *cells: str) -> tuple[Path, Path]:
    marks = tmp_path / "marks"
    marks.mkdir()
    root = tmp_path / "book"
    (root / "notebooks").mkdir(parents=True)
    (root / "_toc.yml").write_text("")
    tell = f"import os, pathlib; pathlib.Path({str(marks)!r}, str(os.getpid())).touch()"
    write_notebook(root, "01_a", tell, *(cells or ("while True: pass",)))
    return root, marks


def test_sigterm_ends_the_runner_its_worker_and_the_kernel(tmp_path):
    root, marks = hanging_book(tmp_path)
    process = start(RUNNER, root, cwd=root)
    until = time.perf_counter() + 60
    while not living(marks) and time.perf_counter() < until:
        time.sleep(0.1)
    assert living(marks)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "run the same command again" in said
    assert ended(marks)
    assert read_status(root / "build" / "executed" / "smoke", "01_a") is None


def test_a_notebook_may_not_take_longer_than_its_limit(tmp_path):
    root, marks = hanging_book(tmp_path)
    (status,) = run_notebooks("smoke", root=root, jobs=1, limit=8)
    assert status.status == "failed" and status.error == "it took longer than 8 s; give it more with --limit"
    assert ended(marks)


def test_a_worker_that_is_killed_is_a_notebook_that_failed(tmp_path):
    root, marks = hanging_book(tmp_path, "import signal; os.kill(os.getppid(), signal.SIGKILL); import time; time.sleep(60)")
    write_notebook(root, "02_b", "x = 1")
    first, second = run_notebooks("smoke", root=root, jobs=1)
    assert (
        first.status == "failed" and "its process was ended (exit status -9), maybe for want of memory; run it again" in first.error
    )
    assert second.status == "passed" and ended(marks)


def test_a_full_disk_is_a_notebook_that_failed(tmp_path, monkeypatch):
    root, _ = hanging_book(tmp_path, "import resource; x = 1")
    folder = root / "build"
    folder.mkdir()

    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papermill.execute_notebook", full)
    status = notebooks.execute(notebooks.find_notebooks(root)["01_a"], folder, "smoke", {}, "print")
    assert status.status == "failed" and "No space left on device" in status.error


def test_who_is_patient_gets_a_lock_when_its_holder_ends(tmp_path):
    process = start(HOLD, tmp_path / "runs")
    with pytest.raises(ValueError, match="being written"), locked(tmp_path / "runs", 0.3):
        pass
    threading.Timer(0.5, process.kill).start()
    with locked(tmp_path / "runs", 60):
        assert process.wait() == -9


def test_a_lock_ends_with_its_holder_and_two_threads_do_not_share_it(tmp_path):
    process = start(HOLD, tmp_path / "runs")
    with pytest.raises(ValueError, match="runs is being written by another program; wait"), locked(tmp_path / "runs"):
        pass
    process.kill()
    process.communicate()
    assert (tmp_path / "runs" / ".lock").exists()  # its file stays, its lock does not
    with locked(tmp_path / "runs"), locked(tmp_path / "runs"):
        pass
    assert not (tmp_path / "runs" / ".lock").exists()


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_a_clusters_variables_do_not_stop_a_training(name, monkeypatch):
    for key, value in LEFT_BEHIND[name].items():
        monkeypatch.setenv(key, value)
    fabric = make_fabric(Run(device="cpu", precision="32-true"))
    assert (torchrun_rank(), fabric.world_size, fabric.global_rank) == (None, 1, 0)


def test_data_that_changed_make_an_executed_copy_stale_and_so_does_damage(tmp_path, capsys):
    root, _ = hanging_book(tmp_path, "x = 1")
    (root / "set").mkdir()
    (root / "set" / "dataset.toml").write_text("a")
    (root / "set" / "landmarks.csv").write_text("1")
    path = root / "notebooks" / "01_a.ipynb"
    path.write_text(path.read_text().replace("answer = 42", "answer = 42\\ndata = 'phantom'"))

    def how(**parameters) -> str:
        capsys.readouterr()
        run_notebooks("smoke", root=root, jobs=1, parameters=parameters)
        return capsys.readouterr().out.splitlines()[-1].split()[0]

    assert how(data="../set") == "passed" and how(data="../set") == "kept"
    (root / "set" / "landmarks.csv").write_text("2")
    assert how(data="../set") == "passed" and how(data="../set") == "kept"
    copy = root / "build" / "executed" / "smoke" / "01_a.ipynb"
    copy.write_bytes(copy.read_bytes()[:-9])
    assert how(data="../set") == "passed"


@pytest.mark.parametrize(("text", "value"), [("2020", "2020"), ("None", "None"), ("1e3", "1e3"), ("data/jsrt", "data/jsrt")])
def test_a_text_stays_a_text(tmp_path, text, value):
    root, _ = hanging_book(tmp_path)
    books = notebooks.find_notebooks(root)
    assert notebooks.given_parameters([("profile", text), ("answer", "7")], books) == {"profile": value, "answer": 7}


def test_a_number_that_is_none_is_told_before_anything_runs(tmp_path):
    root, _ = hanging_book(tmp_path)
    with pytest.raises(notebooks.NotebookError, match=r"-p answer abc: answer is a number, such as"):
        notebooks.given_parameters([("answer", "abc")], notebooks.find_notebooks(root))


def test_make_full_takes_a_folder_with_blanks(tmp_path):
    (tmp_path / "my 'data' {1}").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\nfor word in "$@"; do echo "[$word]"; done\n')
    python.chmod(0o755)
    (tmp_path / ".venv" / "installed").touch()
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".venv" / "installed", (2**31, 2**31))
    makefile = Path(__file__).parents[1] / "Makefile"
    command = ["make", "-s", "-f", str(makefile), "full", "DATA=my 'data' {1}"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "[" + str(tmp_path / "my 'data' {1}") + "]" in said.stdout.splitlines(), said
    said = subprocess.run([*command[:-1], "DATA=nowhere"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 2 and "say where the data set lies" in said.stdout
