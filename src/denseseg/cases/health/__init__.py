"""The health card of a data set: what there is, and what is odd. Nothing here changes a case or refuses one."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"card": ["check_cases"], "finding": ["Finding"], "tables": ["contents"]},
)
