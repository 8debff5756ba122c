"""Dense landmark detection in radiographs: a mask and a uv map for each anatomical structure, from one network.

The names below are what a user needs to read cases, train, predict and look; each is imported when it is first used, so that
`import denseseg` costs nothing.
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("denseseg")

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "anatomy": ["CHEST", "HAND", "WRIST", "Anatomy", "Structure"],
        "cases.case": ["Case"],
        "cases.case_set": ["CaseSet"],
        "cases.folder": ["read_cases", "write_cases"],
        "errors": ["DataError"],
        "evaluation": ["evaluate", "summarise"],
        "experiments": ["Spec", "evaluate_method", "run_experiment"],
        "methods": ["create", "load_method", "save_method"],
        "prediction": ["Prediction"],
        "phantom": ["chest_phantom", "hand_phantom", "wrist_phantom"],
        "readers.image": ["read_image"],
        "training": ["Run", "TrainingSettings"],
        "viewing.plots": ["overlay"],
        "weights": ["load_pretrained"],
    },
)
