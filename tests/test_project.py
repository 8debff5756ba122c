"""The project around the package: its rooms, what it installs, and what must not be in it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import denseseg

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#"))
PACKAGE = ROOT / "src" / "denseseg"
MODULES = sorted(PACKAGE.rglob("*.py"))

# ground first; a file imports only from floors below its own, or from its own room
FLOORS = (
    {"errors", "names", "networks"},
    {"anatomy", "files"},
    {"pictures"},
    {"geometry"},
    {"cases", "prediction", "heatmaps", "losses"},
    {"readers", "phantom", "evaluation", "batch"},
    {"augment", "viewing", "exchange"},
    {"training"},
    {"methods"},
    {"experiments", "weights"},
    {"studies", "cli"},
    {"course"},
)
# these load no torch
QUICK = ("errors", "names", "files", "pictures", "anatomy", "geometry.frame", "cases.case", "cases.case_set", "cases.folder")


def requirements(*extras: str) -> list[Requirement]:
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return [Requirement(line) for group in groups for line in group]


def imported(path: Path, members: bool = False) -> Iterator[str]:
    """Dotted names of the modules that a file imports anywhere in it; with `members` also of the names it takes from them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if members:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tracked() -> list[Path]:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in files.split("\0") if name and (ROOT / name).is_file()]


def floor(module: str) -> int:
    """The floor of a module's room, 0 for the ground."""
    return next(n for n, rooms in enumerate(FLOORS) if module.split(".")[1] in rooms)


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


# ---- rooms ----------------------------------------------------------------------------------------------------------

ROOM_FILES = [path for path in MODULES if path.parent != PACKAGE or path.stem != "__init__"]


def own_imports(path: Path) -> set[str]:
    """Files of the package that a file imports, also inside functions and for the type checker alone."""
    files = {dotted(module) for module in MODULES}
    names = {".".join(parts) for module in imported(path, members=True) for parts in [module.split(".")] if parts[0] == "denseseg"}
    return {name for name in names if name in files} - {"denseseg", dotted(path)}


@pytest.mark.parametrize("path", ROOM_FILES, ids=dotted)
def test_a_file_imports_only_from_floors_below_or_from_its_own_room(path: Path) -> None:
    name = dotted(path)
    for module in own_imports(path):
        assert module.split(".")[1] == name.split(".")[1] or floor(module) < floor(name), f"{name} imports {module}"


def test_no_circle_of_imports() -> None:
    """Also inside a room, and also where an import is for the type checker alone. A room's __init__ is only its door."""
    doors = {dotted(path) for path in MODULES if path.stem == "__init__"}
    graph = {dotted(path): own_imports(path) - doors for path in ROOM_FILES if path.stem != "__init__"}
    TopologicalSorter(graph).prepare()  # raises CycleError that names the circle


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_name_with_an_underscore_stays_in_its_file(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("denseseg"):
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert not private, f"{dotted(path)} imports {private} from {node.module}"


def test_reading_a_data_set_does_not_load_torch() -> None:
    code = "import sys\n" + "\n".join(f"import denseseg.{name}" for name in QUICK) + "\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_predicting_does_not_load_what_only_training_needs() -> None:
    code = "import sys, denseseg.methods\nheavy = {'monai', 'lightning', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_library_import_is_a_declared_dependency() -> None:
    """No module leans on a package that is only there because another one needs it."""
    declared = {canonicalize_name(requirement.name) for requirement in requirements("book", "medical", "nnunet", "onnx")}
    distributions = packages_distributions()
    hidden = set()
    for path in MODULES:
        for top in {module.split(".")[0] for module in imported(path)} - {"denseseg"} - set(sys.stdlib_module_names):
            if not {canonicalize_name(name) for name in distributions.get(top, [top])} & declared:
                hidden.add(f"{path.name} imports {top}")
    assert not hidden, "declare these in pyproject.toml"


def test_no_module_unpickles() -> None:
    for path in MODULES:
        assert not {"pickle", "joblib", "dill"} & {module.split(".")[0] for module in imported(path)}, path


# ---- what is installed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", requirements("book", "medical", "nnunet", "onnx", "test"), ids=str)
def test_a_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    if requirement.name == "denseseg":
        assert requirement.extras <= set(PROJECT["optional-dependencies"])
        return
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    assert canonicalize_name(requirement.name) in pins
    assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_pins_are_plain_versions() -> None:
    assert all(re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", version) for version in PINS.values())


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert denseseg.__version__ == PROJECT["version"] == citation["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text() and "CC BY 4.0" in (ROOT / "LICENSE-text").read_text()


def test_the_conda_environment_installs_this_package() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    conda = dict(
        re.fullmatch(r"([a-z]+)([<>=].*)?", spec).groups() for spec in environment["dependencies"] if isinstance(spec, str)
    )
    assert SpecifierSet(PROJECT["requires-python"]).contains(conda["python"].lstrip("="))
    assert "pip" in conda
    (pip,) = [spec["pip"] for spec in environment["dependencies"] if isinstance(spec, dict)]
    options = dict(line.split(maxsplit=1) for line in pip)
    assert (ROOT / options["-c"]).is_file()
    extras = re.fullmatch(r"\.\[([a-z,]+)\]", options["-e"]).group(1)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


# ---- make and continuous integration --------------------------------------------------------------------------------


def test_every_make_command_that_is_written_down_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "book").glob("*.md")]
    named = {
        name for page in pages for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"book", "test"} <= named <= targets


@pytest.mark.parametrize(
    "target",
    ["book", "test", "lab", "learner", "lab-learner", "course-zip", "slides", "pdf", "teaching", "bench", "preview", "strip"],
)
def test_a_make_target_sets_itself_up(target: str) -> None:
    """A dry run on a fresh machine would make the environment first, torch before everything else."""
    make = ["make", "--dry-run", "--always-make", target]
    lines = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert lines.index("-m venv") < lines.index(f"install --quiet torch=={PINS['torch']}") < lines.index('-e ".[book,test]"')


def test_setting_up_by_hand_is_what_make_does() -> None:
    page = (ROOT / "book" / "how_to_use.md").read_text(encoding="utf-8")
    by_hand = page[page.index("(by-hand)=") :].split("```")[1]
    package = '-c constraints.txt -e ".[book,test]"'
    assert f"pip install torch=={PINS['torch']}" in by_hand
    assert package in by_hand and package in (ROOT / "Makefile").read_text()


def test_continuous_integration_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[-2:] == ["export DENSESEG_BROWSER=required", "make test"]
    assert "set -euo pipefail" in lines
    assert any(line.endswith("apt-get install -y --no-install-recommends chromium") for line in lines)


@pytest.mark.parametrize(("wish", "outcome"), [("required", "1 failed"), ("", "1 skipped")])
def test_a_missing_browser_fails_the_tests_only_where_one_is_required(tmp_path: Path, wish: str, outcome: str) -> None:
    test = "from browser import command, needs_browser\n\n\n@needs_browser\ndef test_a_page(tmp_path):\n    command(tmp_path)\n"
    (tmp_path / "test_page.py").write_text(test)
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "tests"), "DENSESEG_BROWSER": wish}
    run = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_page.py"]
    told = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout
    assert outcome in told


# ---- what must not be in it -----------------------------------------------------------------------------------------


def test_no_patient_image_and_no_weights_but_those_that_saw_drawings_only() -> None:
    given = ROOT / "src" / "denseseg" / "weights"
    for path in tracked():
        if path.parent == given and path.suffix == ".safetensors":
            assert path.stem in ("chest", "wrist"), path
            continue
        assert not re.search(r"JPC(LN|NN)\d{3}\.", path.name), f"{path.name}: an image of a public data set"
        assert path.suffix not in {".img", ".dcm", ".pt", ".pth", ".ckpt", ".safetensors", ".npz", ".h5"}, path
        assert path.stat().st_size < 2e6, f"{path.name} is large"
    assert sum(path.stat().st_size for path in given.glob("*.safetensors")) < 8e6


def test_nothing_built_is_tracked() -> None:
    built = {"build", "_build", ".venv", "runs", "data", "__pycache__"}
    assert not [path for path in tracked() if set(path.relative_to(ROOT).parts) & built]
