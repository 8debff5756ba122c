"""Is everything there, and does it work? Run it in this folder, with the Python of the course: python check_installation.py"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSTALL = 'install again, in this folder: python -m pip install -c constraints.txt "./package[book]"'
# name of the installed package -> what is imported
NEEDED = {
    "torch": "torch",
    "monai": "monai",
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "matplotlib": "matplotlib",
    "scikit-image": "skimage",
    "optuna": "optuna",
    "anywidget": "anywidget",
    "jupyterlab": "jupyterlab",
    "ipykernel": "ipykernel",
    "denseseg": "denseseg.course",
}


def tested_versions() -> dict[str, str]:
    lines = (HERE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def problem_with(package: str, tested: str | None) -> str | None:
    """What is wrong with an installed package, or None. Another version than the tested one is only mentioned."""
    try:
        import_module(NEEDED[package])
        version = metadata.version(package)
    except Exception as error:  # whatever a broken installation raises
        return f"{package} does not work ({type(error).__name__}: {error}); {INSTALL}"
    print(f"✓ {package} {version}" + (f" (tested with {tested})" if tested and version.split("+")[0] != tested else ""))
    return None


def problem_with_a_prediction() -> str | None:
    """Let the trained network find the landmarks of a chest that it has not seen."""
    import numpy as np

    from denseseg.methods import load_method
    from denseseg.phantom import PHANTOMS

    weights = next(HERE.glob("learner/runs/chest-phantom_denseseg*/weights.safetensors"), None)
    if weights is None:
        return "learner/runs has no trained network; unpack the zip file again, all of it"
    method = load_method(weights)
    case = PHANTOMS["chest"](1, method.size, 1)[0]
    error = np.linalg.norm(method.predict_image(case.image).landmarks - case.landmarks, axis=1).mean()
    if not error < method.size[0] / 10:  # a NaN is no prediction either
        return f"the trained network's landmarks are off by {error:.1f} pixels; unpack the zip file again, and {INSTALL}"
    print(f"✓ the trained network finds landmarks to {error:.1f} pixels on average")
    return None


def main() -> int:
    print(f"Python {sys.version.split()[0]}: {sys.executable}")
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever has an older one runs this, too)
        print("✗ the course needs Python 3.11 or later: python.org/downloads")
        return 1
    tested = tested_versions()
    problems = [problem for package in NEEDED if (problem := problem_with(package, tested.get(package)))]
    if not problems and (problem := problem_with_a_prediction()):
        problems = [problem]
    for problem in problems:
        print(f"✗ {problem}")
    print("\nSomething is wrong: see above." if problems else "\nAll is well. Start JupyterLab as START_HERE.md says.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
