"""Run the book's notebooks with papermill: two at once, each in its own kernel, and only those that changed.

    python -m denseseg.course.notebooks --profile smoke|course|compact|large|full [--only 03 ...] [-p NAME VALUE ...] [--jobs 2]

Executed copies go to build/executed/<profile>/NAME.ipynb, each with a NAME.json that tells how it went. A notebook whose copy
was made from the same source, package and parameters is not run again, so an interrupted run goes on where it stopped.
A notebook that uses what another one wrote says so in its metadata: `"denseseg": {"needs": ["10_training"]}`.

Each notebook runs in a process of its own, which ends, with its kernel, when the runner ends in whatever way; see `Job`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from denseseg.cases.folder import TABLES
from denseseg.course.folders import find_root
from denseseg.errors import DataError
from denseseg.experiments.profiles import PROFILES
from denseseg.experiments.provenance import describe_device, installed_versions, peak_memory_of_programs
from denseseg.files import locked, sha256, write_json
from denseseg.training.settings import Run

LIMITS = {"smoke": 900, "course": 3600}  # seconds for a notebook, after which something hangs; for the others a day
DAY = 24 * 3600


class NotebookError(ValueError):
    """A request that cannot be run. The message says what is wrong and what there is instead."""


@dataclass(frozen=True)
class Notebook:
    """One notebook of the book: its file, its parameters with their defaults (None where that is no plain value), the notebooks
    it needs, and its source."""

    path: Path
    parameters: dict[str, Any]
    needs: tuple[str, ...]
    source: str

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Status:
    """How the run of one notebook ended; kept as JSON beside the executed copy."""

    notebook: str
    profile: str
    fingerprint: str
    status: str  # "passed", "failed" or "not run"
    seconds: float = 0.0
    error: str = ""
    seed: int | None = None
    memory_mib: float | None = None  # the most that its kernel held
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""  # of the executed copy


def read_notebook(path: Path) -> Notebook:
    """Read one notebook. Raises NotebookError where it is not one or has no cell tagged `parameters`."""
    try:
        content = nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises its own, json's and the operating system's
        raise NotebookError(f"{path} is not a notebook that can be read: {error}") from error
    cell = next((c for c in content.cells if "parameters" in c.metadata.get("tags", [])), None)
    if cell is None:
        raise NotebookError(f"{path} has no cell tagged `parameters`; give it one that sets at least `profile`")
    try:
        parameters = ast.parse(cell.source)
    except SyntaxError as error:
        raise NotebookError(f"{path}: its cell of parameters is no Python ({error.msg}, line {error.lineno}); correct it") from None
    needs = content.metadata.get("denseseg", {}).get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        raise NotebookError(f"{path}: `needs` in its metadata must be a list of names; correct it")
    assigned: dict[str, Any] = {}
    for node in ast.walk(parameters):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned.setdefault(node.id, None)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            assigned[node.targets[0].id] = node.value.value if isinstance(node.value, ast.Constant) else None
    source = json.dumps([(c.cell_type, c.source, c.metadata.get("tags", [])) for c in content.cells])
    return Notebook(path, assigned, tuple(needs), source)


def find_notebooks(root: Path) -> dict[str, Notebook]:
    """All notebooks of the book by name. Raises NotebookError where one needs a notebook that does not exist."""
    notebooks = {path.stem: read_notebook(path) for path in sorted((root / "notebooks").glob("*.ipynb"))}
    for notebook in notebooks.values():
        for need in notebook.needs:
            if need not in notebooks:
                raise NotebookError(f"{notebook.name} needs {need!r}, which is none of: {', '.join(notebooks)}")
    return notebooks


def select(notebooks: dict[str, Notebook], only: Iterable[str]) -> list[str]:
    """Names of the notebooks that `only` asks for by number ("03"), name or file; all where it is empty."""
    chosen: set[str] = set()
    for wish in (Path(text).stem for text in only):
        found = {name for name in notebooks if wish in (name, name.split("_")[0])}
        if not found:
            raise NotebookError(f"there is no notebook {wish!r}; there are: {', '.join(notebooks)}")
        chosen |= found
    return [name for name in notebooks if name in chosen or not chosen]


def with_needs(notebooks: dict[str, Notebook], names: Iterable[str]) -> dict[str, Notebook]:
    """The named notebooks and all that they need, directly or not, in the book's order."""
    wanted = list(names)
    for name in wanted:  # the list grows as it is read
        wanted += [need for need in notebooks[name].needs if need not in wanted]
    return {name: notebook for name, notebook in notebooks.items() if name in wanted}


def validate(notebooks: Iterable[Notebook], parameters: Iterable[str]) -> None:
    """Raise NotebookError for a parameter that one of the notebooks does not have (papermill would only warn)."""
    for notebook in notebooks:
        for name in parameters:
            if name not in notebook.parameters:
                has = ", ".join(notebook.parameters) or "none"
                raise NotebookError(f"{notebook.name} has no parameter {name!r}; it has: {has}. Choose notebooks with --only.")


def package_hash(root: Path) -> str:
    """Hash of the package's source: a change in it makes every executed copy stale."""
    digest = hashlib.sha256()
    source = root / "src" / "denseseg"
    for path in sorted(p for p in source.rglob("*") if p.suffix in {".py", ".js", ".css"}):
        digest.update(str(path.relative_to(source)).encode() + path.read_bytes())
    return digest.hexdigest()


def fingerprints(notebooks: dict[str, Notebook], parameters: dict[str, dict[str, Any]], root: Path) -> dict[str, str]:
    """Name -> hash of everything its result depends on: source, package, parameters, data, and the same of what it needs."""
    package, prints = package_hash(root), dict[str, str]()
    hash_once = cache(folder_hash)  # most notebooks are given the same data
    for name in TopologicalSorter({n: notebook.needs for n, notebook in notebooks.items()}).static_order():
        parts = [notebooks[name].source, package, parameters[name], [prints[need] for need in notebooks[name].needs]]
        if data := data_folders({**notebooks[name].parameters, **parameters[name]}, notebooks[name].path.parent):
            parts.append([hash_once(place) for place in data])
        prints[name] = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    return prints


def data_folders(parameters: dict[str, Any], folder: Path) -> list[Path]:
    """The data-set folders that are named by a parameter, as seen from `folder`."""
    named = [folder / value for value in parameters.values() if isinstance(value, str) and value and "\0" not in value]
    return [place for place in named if (place / TABLES[0]).is_file()]


def folder_hash(place: Path) -> str:
    """A hash of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in place.rglob("*") if path.is_file() and path.name[0] != "."):
        digest.update(f"{path.relative_to(place).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()


def read_status(folder: Path, name: str) -> Status | None:
    """The status kept in `folder` for a notebook, or None where it never ended there, or its executed copy is not as it was."""
    try:
        status = Status(**json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        whole = not status.sha256 or sha256(folder / f"{name}.ipynb") == status.sha256
        return status if whole else None
    except (OSError, ValueError, TypeError):
        return None


def execute(notebook: Notebook, folder: Path, profile: str, parameters: dict[str, Any], fingerprint: str) -> Status:
    """Execute one notebook, in the folder it lies in, and keep its copy and its status in `folder`."""
    print(f"  start  {notebook.name}", flush=True)
    copy, record = folder / f"{notebook.name}.ipynb", folder / f"{notebook.name}.json"
    start, status, error = time.perf_counter(), "passed", ""
    source, target = (str(path).replace("{", "{{").replace("}", "}}") for path in (notebook.path, copy))  # papermill formats them
    try:
        record.unlink(missing_ok=True)  # no status is left where the run is interrupted
        papermill.execute_notebook(
            source, target, parameters, progress_bar=False, kernel_name="python3", language="python", cwd=notebook.path.parent
        )
    except PapermillExecutionError as failure:
        status, error = "failed", f"In [{failure.exec_count}]: {last_lines(failure.traceback) or failure.evalue}"
    except Exception as failure:  # the kernel died, the notebook is malformed, or the disk is full
        status, error = "failed", f"{type(failure).__name__}: {failure}"
    result = Status(
        notebook.name,
        profile,
        fingerprint,
        status,
        round(time.perf_counter() - start, 1),
        error,
        seed={**notebook.parameters, **parameters}.get("seed"),
        memory_mib=peak_memory_of_programs(),
        device=describe_device(Run().resolved_device),
        versions=installed_versions(),
        sha256=sha256(copy) if status == "passed" else "",
    )
    try:
        write_json(record, asdict(result))
    except DataError as failure:
        return replace(result, status="failed", error=str(failure))
    return result


def _work(answer: Connection, *arguments: Any) -> None:
    """What the process of a notebook does: `execute`, and end at once where the runner ends. Its kernel sees that, and ends too."""

    def follow() -> None:
        runner = parent_process()
        assert runner is not None
        runner.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    with suppress(KeyboardInterrupt):  # the runner was told, too
        answer.send(execute(*arguments))


class Job:
    """The run of one notebook in a process of its own, whose only large program is its kernel: so its memory can be told.

    It may be killed, by a system without memory or by `end`: kernels look once a second whether their parent is there.
    """

    def __init__(self, seconds: float, notebook: Notebook, *more: Any):
        self.notebook, self.seconds, self.began = notebook, seconds, time.perf_counter()
        spawn = get_context("spawn")
        self.answer, sent = spawn.Pipe(duplex=False)
        self.process = spawn.Process(target=_work, args=(sent, notebook, *more))
        self.process.start()
        sent.close()  # the answer then ends where the process does

    @property
    def left(self) -> float:
        """Seconds until its time is over."""
        return max(0.0, self.began + self.seconds - time.perf_counter())

    def end(self) -> None:
        """Kill it, and so its kernel."""
        self.process.kill()
        self.process.join()

    def status(self, profile: str, fingerprint: str) -> Status:
        """How it ended; where its time is over, it is killed first."""
        took = round(time.perf_counter() - self.began, 1)
        if self.answer.poll():
            with suppress(EOFError):
                found: Status = self.answer.recv()
                self.process.join()
                return found
            self.end()
            error = f"its process was ended (exit status {self.process.exitcode}), maybe for want of memory; run it again"
        else:
            self.end()
            error = f"it took longer than {self.seconds:g} s; give it more with --limit"
        return Status(self.notebook.name, profile, fingerprint, "failed", took, error)


def last_lines(traceback: Sequence[str], count: int = 12) -> str:
    """The end of a kernel's traceback, without colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback))
    return "\n".join(plain.strip().splitlines()[-count:])


def set_environment(kernels: Path, jobs: int) -> None:
    """Kernels of this very Python, as many threads each as there are cores for, and figures in the page."""
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(kernels / "kernels" / "python3", extra_arguments=["--log-level=ERROR"])
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(kernels), os.environ.get("JUPYTER_PATH", "")]).strip(os.pathsep)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads))
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"


def run_all(
    notebooks: dict[str, Notebook],
    folder: Path,
    profile: str,
    parameters: dict[str, dict[str, Any]],
    jobs: int,
    root: Path,
    limit: float,
) -> list[Status]:
    """Run what is not fresh, `jobs` at once, each after what it needs; a notebook whose need failed is not run.

    How each ended, in the order of the book.
    """
    prints = fingerprints(notebooks, parameters, root)
    sorter = TopologicalSorter({name: notebook.needs for name, notebook in notebooks.items()})
    sorter.prepare()
    waiting: list[str] = []  # ready, but not yet begun
    running: dict[Any, Job] = {}  # by what its answer comes through
    ended: dict[str, Status] = {}

    def end(status: Status, how: str) -> None:
        ended[status.notebook] = status
        sorter.done(status.notebook)
        print(f"  {how}  {status.notebook}  {status.seconds:.0f} s  [{len(ended)}/{len(notebooks)}]", flush=True)

    with tempfile.TemporaryDirectory() as kernels:
        set_environment(Path(kernels), jobs)
        try:
            while sorter.is_active():
                waiting += sorter.get_ready()
                while waiting and len(running) < jobs:
                    name = waiting.pop(0)
                    kept = read_status(folder, name)
                    broken = [need for need in notebooks[name].needs if ended[need].status != "passed"]
                    if broken:
                        end(Status(name, profile, prints[name], "not run", error=f"needs {', '.join(broken)}"), "not run")
                    elif (
                        kept
                        and (kept.status, kept.fingerprint) == ("passed", prints[name])
                        and (folder / f"{name}.ipynb").is_file()
                    ):
                        end(kept, "kept ")
                    else:
                        job = Job(limit, notebooks[name], folder, profile, parameters[name], prints[name])
                        running[job.answer] = job
                if running:
                    ready = wait(list(running), min(job.left for job in running.values()))
                    for answer, job in list(running.items()):
                        if answer in ready or not job.left:
                            status = job.status(profile, prints[job.notebook.name])
                            del running[answer]
                            end(status, status.status)
        finally:
            for job in running.values():
                job.end()
    return [ended[name] for name in notebooks]


def run_notebooks(
    profile: str,
    only: Iterable[str] = (),
    parameters: dict[str, Any] | None = None,
    jobs: int = 2,
    root: Path | None = None,
    build: Path | None = None,
    limit: float | None = None,
) -> list[Status]:
    """Run the book's notebooks in one profile and return how each ended, those that were still fresh included.

    only: numbers, names or files of notebooks; what they need is run too. Empty: all.
    parameters: passed to the chosen notebooks, which must all have them, and to the needed ones that have them.
    build: the folder that gets `executed/<profile>`; by default `build` in the repository. limit: seconds for each notebook; by
        default `LIMITS`.
    Raises NotebookError for an unknown profile, notebook or parameter, before anything runs, and where the folder cannot be
    written or another runner writes into it.
    """
    if jobs < 1:
        raise NotebookError(f"--jobs {jobs}: give the number of notebooks that run at once, at least 1")
    limit = LIMITS.get(profile, DAY) if limit is None else limit
    if not limit > 0:
        raise NotebookError(f"--limit {limit:g}: give the seconds that a notebook may take, more than 0")
    if profile not in PROFILES:
        raise NotebookError(f"there is no profile {profile!r}; there are: {', '.join(PROFILES)}")
    root = find_root() if root is None else root
    notebooks = find_notebooks(root)
    if not notebooks:
        raise NotebookError(f"{root / 'notebooks'} holds no notebooks; run this in the book's repository")
    chosen = select(notebooks, only)
    if parameters and parameters.get("profile", profile) != profile:
        raise NotebookError(f"profile is {profile}, and {parameters['profile']} as a parameter; give it once, as --profile")
    parameters = {**(parameters or {}), "profile": profile}
    notebooks = with_needs(notebooks, chosen)
    validate((notebooks[name] for name in chosen), parameters)
    validate(notebooks.values(), ["profile"])
    folder = (build or root / "build") / "executed" / profile
    given = {name: {k: v for k, v in parameters.items() if k in book.parameters} for name, book in notebooks.items()}
    try:
        with locked(folder):
            return run_all(notebooks, folder, profile, given, jobs, root, limit)
    except DataError as error:
        raise NotebookError(f"{error} (--build names another folder)") from None
    except CycleError as error:
        raise NotebookError(f"notebooks need one another in a circle: {' -> '.join(error.args[1])}") from error


def parse_value(text: str) -> Any:
    """A parameter's value as Python would read it; what Python cannot read is a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def given_parameters(texts: Iterable[Sequence[str]], notebooks: dict[str, Notebook]) -> dict[str, Any]:
    """The parameters as given on the command line; one that is a text by default stays a text: -p data 2020.

    Raises NotebookError where a number is wanted and something else is given.
    """
    defaults = {name: value for book in notebooks.values() for name, value in book.parameters.items()}
    given = {name: text if isinstance(defaults.get(name), str) else parse_value(text) for name, text in texts}
    for name, value in given.items():
        if isinstance(defaults.get(name), int | float) and not isinstance(value, int | float):
            raise NotebookError(f"-p {name} {value}: {name} is a number, such as {defaults[name]}")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m denseseg.course.notebooks", description="Run the book's notebooks.")
    parser.add_argument("--profile", default="course", help=f"{', '.join(PROFILES)}; course is the default")
    parser.add_argument("--only", nargs="+", action="extend", default=[], metavar="NOTEBOOK", help="by number, name or file")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="set a parameter")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at once (default: %(default)s)")
    parser.add_argument(
        "--limit", type=float, help="seconds for each notebook; by default 900 in smoke, 3600 in course, else a day"
    )
    parser.add_argument("--build", type=Path, help="the folder for executed copies; by default build in the repository")
    options = parser.parse_args(arguments)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C, and leaves no kernel that computes on
    start = time.perf_counter()
    try:
        parameters = given_parameters(options.p, find_notebooks(find_root())) if options.p else {}
        more = {"build": options.build, "limit": options.limit}
        statuses = run_notebooks(options.profile, options.only, parameters, options.jobs, **more)
    except (NotebookError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on from here", file=sys.stderr)
        return 130
    failures = [status for status in statuses if status.status != "passed"]
    for status in failures:
        print(f"\n{status.notebook} {status.status}, {status.error}", file=sys.stderr)
    print(f"\n{len(statuses) - len(failures)} of {len(statuses)} notebooks passed in {time.perf_counter() - start:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
