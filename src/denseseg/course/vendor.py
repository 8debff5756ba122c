"""The JavaScript that pages need, put beside them so that the book can be read without a network."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

# npm package, exact version, and the parts of it that pages load
VENDORED = {
    "mathjax": ("mathjax@3.2.2", ("es5/tex-mml-chtml.js", "es5/output", "es5/input", "es5/ui", "es5/a11y", "es5/sre")),
    "requirejs": ("requirejs@2.3.7", ("require.js",)),
    "html-manager": ("@jupyter-widgets/html-manager@1.0.15", ("dist/embed-amd.js",)),
}


def vendor(cache: Path, static: Path) -> dict[str, Any]:
    """Copy MathJax, RequireJS and the widget manager to `static` and return the Sphinx settings that use them.

    They are fetched once with npm into `cache`. Where that fails the book is built all the same: it then loads them from public
    servers when it is read, and a notice says so.
    """
    try:
        copy_packages(VENDORED, cache, static)
        copy(anywidget_module(), static / "anywidget.js")
    except (OSError, subprocess.SubprocessError, tarfile.TarError, StopIteration) as error:
        shutil.rmtree(static, ignore_errors=True)
        print(f"note: formulas and widgets of this build need a network to be shown ({type(error).__name__}: {error})")
        return {}
    (static / "paths.js").write_text(REQUIRE_PATHS, encoding="utf-8")
    scripts = ["requirejs/require.js", "paths.js", "html-manager/dist/embed-amd.js"]
    return {
        "mathjax_path": "vendor/mathjax/es5/tex-mml-chtml.js",
        "nb_ipywidgets_js": {f"vendor/{script}": {"defer": "defer"} for script in scripts},
    }


# where RequireJS finds the widgets' module, seen from this very script, whatever folder the page is in
REQUIRE_PATHS = 'require.config({ paths: { anywidget: new URL("anywidget", document.currentScript.src).href } });\n'


def copy_packages(packages: Mapping[str, tuple[str, tuple[str, ...]]], cache: Path, static: Path) -> None:
    """Copy parts of npm packages to `static`, each package to its folder there; raises what `fetch` raises."""
    for folder, (package, parts) in packages.items():
        unpacked = fetch(package, cache / package.replace("/", "+"))
        for part in parts:
            copy(unpacked / part, static / folder / part)


def fetch(package: str, folder: Path) -> Path:
    """Unpack an npm package in `folder`, once, and return where. Raises OSError without npm, SubprocessError offline."""
    unpacked = folder / "package"
    if not unpacked.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as own:  # another process may fetch the same
            command = ["npm", "pack", "--silent", package]
            packed = subprocess.run(command, cwd=own, check=True, capture_output=True, text=True, timeout=300)
            with tarfile.open(Path(own) / packed.stdout.split()[-1]) as tar:
                tar.extractall(own, filter="data")
            try:
                (Path(own) / "package").rename(unpacked)  # all or nothing
            except OSError:
                if not unpacked.is_dir():
                    raise
    return unpacked


def anywidget_module() -> Path:
    """The AMD module that the installed anywidget brings along."""
    files = metadata.files("anywidget") or []
    return Path(str(next(file.locate() for file in files if file.match("nbextensions/anywidget/index.js"))))


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    duplicate = shutil.copytree if source.is_dir() else shutil.copy2
    duplicate(source, target)
