"""Cases with their ground truth, sets of cases, and the folder that holds a set."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "case": ["Case"],
        "case_set": ["CaseSet", "Split", "patients_in_both"],
        "folder": ["read_cases", "write_cases"],
        "from_masks": ["landmarks_from_masks"],
    },
)
