"""Build the book: stage pages and executed notebooks in build/stage, let Jupyter Book make build/book/_build/html of them.

    python -m denseseg.course.staging --profile smoke|course|compact|large|full [--partial] [--build DIR]

The stage is a copy: a banner says in which profile each notebook ran, the results and status pages get their tables, solutions
and the checks of exercises are folded away, and the JavaScript that pages need is put beside them, so that the book can be read
without a network. A page's download button gives its notebook in the learner edition.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from denseseg.course.folders import find_root
from denseseg.course.learner import key_points, learner_edition
from denseseg.course.live_scripts import put_networks
from denseseg.course.notebooks import Status, read_status
from denseseg.course.reading import cells_that_only_draw, reading_time, shows_image
from denseseg.course.results_page import render_results
from denseseg.course.routes import read_routes, render_core, render_routes
from denseseg.course.vendor import vendor
from denseseg.errors import DataError, exit_status
from denseseg.evaluation.tables import as_text

BANNERS = {
    "smoke": """:::{warning}
**Smoke profile: numbers mean nothing.** This page was run on a few small phantoms for a few steps, only to prove that it runs.
:::""",
    "course": """:::{admonition} Course profile
:class: profile-note note
Small images, a small network, and made-up radiographs (phantoms) unless the parameters below name other data. The numbers on this
page teach; they are not results. Those are in {doc}`/book/results`.
:::""",
}
# what a page shows of an exercise only after a click: tag of the cell -> what the click is called
FOLDED = {"solution": "a solution", "solution-check": "its check, and what it says of the solution"}


class StagingError(DataError):
    """The book cannot be built. The message says what is missing and which command makes it."""


def toc_files(toc: dict[str, Any]) -> list[str]:
    """All documents that the table of contents names, in order, without suffix."""
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def stage(root: Path, profile: str, partial: bool = False, folder: Path | None = None) -> Path:
    """Fill build/stage with all that Jupyter Book reads, and return it.

    partial: leave out notebooks that have not been run, and pages not yet written, instead of raising StagingError.
    folder: another one than `build` in the repository, which then also holds the executed notebooks.
    """
    elsewhere, folder = folder, folder or root / "build"
    target, executed = folder / "stage", folder / "executed" / profile
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target / "book", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (target / "notebooks").mkdir()
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    documents = toc_files(toc)
    names = [Path(document).name for document in documents if document.startswith("notebooks/")]
    statuses = [read_status(executed, name) or Status(name, profile, "", "not run") for name in names]
    statuses = [status if is_of_source(root, executed, status) else replace(status, status="not run") for status in statuses]
    missing = [f"notebooks/{status.notebook}" for status in statuses if status.status != "passed"]
    missing += [page for page in documents if not page.startswith("notebooks/") and not (root / f"{page}.md").is_file()]
    for name in (status.notebook for status in statuses if status.status == "passed"):
        notebook = dressed(nbformat.read(executed / f"{name}.ipynb", as_version=4), profile)
        nbformat.write(notebook, target / "notebooks" / f"{name}.ipynb")
    if missing and not partial:
        run = f"python -m denseseg.course.notebooks --profile {profile}" + (f" --build {elsewhere}" if elsewhere else "")
        raise StagingError(
            f"not there, or not run in profile {profile} since it was changed: {', '.join(missing)}; notebooks are run by: {run}"
        )
    fill(target / "book" / "status.md", "<!-- status -->", status_table(statuses))
    fill(
        target / "book" / "results.md",
        "<!-- results -->",
        render_results(root / "results", target / "book" / "_static" / "results.svg"),
    )
    if (root / "book" / "routes.yml").is_file():
        routes, chapters = read_routes(root)
        fill(target / "book" / "introduction.md", "<!-- core path -->", render_core(routes, chapters))
        fill(target / "book" / "instructor.md", "<!-- routes -->", render_routes(routes, chapters))
    write_yaml(target / "_toc.yml", without(toc, missing))
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    numbers = {"recorded": recorded_on(sorted((target / "book").glob("*.md")), root / "results")}
    config.setdefault("parse", {})["myst_substitutions"] = numbers
    fetched = root / "build" / "vendor"  # once for all, but from a read-only repository where it is not there
    if elsewhere and not fetched.is_dir():
        fetched = folder / "vendor"
    config["sphinx"]["config"] |= vendor(fetched, target / "book" / "_static" / "vendor")
    write_yaml(target / "_config.yml", config)
    put_networks(fetched, target / "book" / "_static")
    return target


def is_of_source(root: Path, executed: Path, status: Status) -> bool:
    """Whether the executed copy is whole and was made from the notebook as it is now."""
    copy, source = executed / f"{status.notebook}.ipynb", root / "notebooks" / f"{status.notebook}.ipynb"
    if status.status != "passed" or not copy.is_file() or not source.is_file():
        return False
    try:
        made, now = (nbformat.read(path, as_version=4).cells for path in (copy, source))
    except Exception:  # nbformat raises its own, json's and the operating system's
        return False
    made = [cell for cell in made if "injected-parameters" not in cell.metadata.get("tags", [])]
    return [(cell.cell_type, cell.source) for cell in made] == [(cell.cell_type, cell.source) for cell in now]


def recorded_on(pages: Iterable[Path], results: Path) -> dict[str, Any]:
    """File stem, "_" for "-", -> content of each benchmark and study that a page names, for substitutions such as
    `{{ "%.1f" % recorded.geometry.decoders.affine.ms_per_case }}`. Raises StagingError where there is none of that name."""
    named = {name for page in pages for name in re.findall(r"\brecorded\.(\w+)", page.read_text(encoding="utf-8"))}
    paths = [path for folder in ("benchmarks", "studies") for path in (results / folder).glob("*.json")]
    files = {path.stem.replace("-", "_"): path for path in paths}
    if unknown := sorted(named - set(files)):
        raise StagingError(
            f"a page takes numbers from {', '.join(unknown)}, and {results} holds no benchmark or study of that name"
        )
    return {name: json.loads(files[name].read_text(encoding="utf-8")) for name in sorted(named)}


def dressed(notebook: NotebookNode, profile: str) -> NotebookNode:
    """The executed notebook as a page: banner under the title, no injected parameters; of exercises only the task stands open."""
    for cell in notebook.cells:
        tags = cell.metadata.setdefault("tags", [])
        if "injected-parameters" in tags:
            tags.append("remove-cell")
        if "key-points" in tags:
            cell.source = key_points(cell)
        for tag, what in FOLDED.items():
            if tag in tags and cell.cell_type == "code":
                tags.append("hide-cell")
                cell.metadata["mystnb"] = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if shows_image(cell):
            cell.metadata.setdefault("mystnb", {}).setdefault("image", {}).setdefault("alt", caption(cell, after) or "A figure")
    for cell in cells_that_only_draw(notebook):
        cell.metadata["tags"].append("hide-input")
        cell.metadata.setdefault("mystnb", {}).update(code_prompt_show="Show what draws it", code_prompt_hide="Hide what draws it")
    banner = [BANNERS[profile]] if profile in BANNERS else []
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("\n\n".join([f"*{reading_time(notebook)}.*", *banner])))
    return notebook


def caption(cell: NotebookNode, after: NotebookNode | None) -> str:
    """Plain text of a figure's caption: the markdown cell after it, where that starts with "**Figure", or its metadata's."""
    given = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
    if after is not None and after.cell_type == "markdown" and after.source.startswith("**Figure"):
        given = after.source.split("\n\n")[0]
    return " ".join(re.sub(r"[*`$\\]|\{[a-z:]+\}", "", given).split())


def status_table(statuses: Iterable[Status]) -> str:
    """How each notebook was run: a table with links to pages, and below it the machines and versions that its letters name."""
    machines: dict[str, str] = {}  # device and versions -> letter
    rows = [
        "| notebook | profile | seconds | memory (MiB) | seed | on | status |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for s in statuses:
        link = f"{{doc}}`/notebooks/{s.notebook}`" if s.status == "passed" else s.notebook
        versions = ", ".join(f"{package} {version}" for package, version in s.versions.items())
        letter = machines.setdefault(as_text(f"{s.device}; {versions}"), chr(ord("A") + len(machines))) if s.device else "–"
        memory, seed = ("–" if value is None else f"{value:.0f}" for value in (s.memory_mib, s.seed))
        rows.append(f"| {link} | {s.profile} | {s.seconds:.0f} | {memory} | {seed} | {letter} | {s.status} |")
    return "\n".join([*rows, "", *(f"- **{letter}**: {machine}" for machine, letter in machines.items())])


def fill(page: Path, mark: str, text: str) -> None:
    """Put `text` in the place of the `mark` on a staged page. Raises StagingError where the page has no mark."""
    if not page.is_file():
        return  # a page that is not written yet is reported as missing
    before, found, after = page.read_text(encoding="utf-8").partition(mark)
    if not found:
        raise StagingError(f"{page.name} has no line {mark!r} to say where its table goes")
    page.write_text(before + text + after, encoding="utf-8")


def without(toc: dict[str, Any], missing: Sequence[str]) -> dict[str, Any]:
    """The table of contents without some documents, and without parts that lost all of theirs."""
    parts = [{**part, "chapters": [c for c in part["chapters"] if c["file"] not in missing]} for part in toc["parts"]]
    return {**toc, "parts": [part for part in parts if part["chapters"]]}


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def build(root: Path, profile: str, partial: bool = False, folder: Path | None = None) -> Path:
    """Stage and build the book; return its index.html. Raises StagingError on an error and, unless partial, on a warning."""
    source, output = stage(root, profile, partial, folder), (folder or root / "build") / "book"
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(source), "--path-output", str(output), "--all"]
    if not partial:
        command += ["-W", "--keep-going", "-n"]
    if subprocess.run(command).returncode != 0:
        raise StagingError("Jupyter Book stopped with the warnings or errors above")
    html = output / "_build" / "html"
    give_learner_files(root, html)
    return html / "index.html"


def give_learner_files(root: Path, html: Path) -> None:
    """Put the learner edition where a page's download button finds its notebook, in the place of the one with solutions."""
    for path in (html / "_sources" / "notebooks").glob("*.ipynb"):
        nbformat.write(learner_edition(nbformat.read(root / "notebooks" / path.name, as_version=4), root), path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m denseseg.course.staging", description="Build the book from executed notebooks.")
    parser.add_argument("--profile", default="course", help="course is the default")
    parser.add_argument("--partial", action="store_true", help="leave out what has not been run, and let warnings pass")
    parser.add_argument("--build", type=Path, help="the folder that the runner was given; by default build in the repository")
    options = parser.parse_args(arguments)
    return exit_status(lambda: print(f"\nThe book: {build(find_root(), options.profile, options.partial, options.build)}"))


if __name__ == "__main__":
    sys.exit(main())
