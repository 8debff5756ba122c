"""The training loop and its settings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loop": ["train"],
        "settings": ["SGD", "Adam", "Cosine", "Drops", "Epochs", "Run", "Seconds", "Steps", "TrainingSettings"],
    },
)
