"""What it is to be a method.

A method learns what it needs from the training cases (`prepare`), turns a batch into targets, its network's outputs and these
targets into named loss terms, and images into predictions. Training, evaluation, tables and notebooks use nothing else, so they
never ask which method they have.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from skimage.transform import resize
from torch import Tensor, nn

from denseseg.anatomy import Anatomy
from denseseg.batch import Batch
from denseseg.cases.case_set import CaseSet
from denseseg.errors import DataError
from denseseg.geometry.frame import Size
from denseseg.geometry.shape_model import ShapeModel, fit_shape_model
from denseseg.geometry.template import Template
from denseseg.prediction import Prediction


@dataclass(frozen=True)
class Recipe:
    """The options of a method, plain values only. Each method has its own subclass and named instances of it."""

    def changed(self, **changes: Any) -> Recipe:
        """This recipe with some options changed. Raises DataError that lists the options where a name is unknown."""
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise DataError(f"{type(self).__name__} has no option {name!r}; it has: {', '.join(known)}")
        return replace(self, **changes)


class Method(ABC):
    """Base class of all methods. A new method is a new file and one line in the registry (`methods/__init__.py`)."""

    name: ClassVar[str]
    recipes: ClassVar[Mapping[str, Recipe]]
    network: nn.Module | None = None

    def __init__(self, anatomy: Anatomy, size: Size, recipe: Recipe):
        self.anatomy = anatomy
        self.size = size
        self.recipe = recipe
        self.template: Template | None = None
        self.shape_model: ShapeModel | None = None

    # ---- what a method must say ---------------------------------------------------------------------------------

    def prepare(self, train: CaseSet) -> None:
        """Learn what is no network weight: here the template and the shape model of the training landmarks."""
        self.template = Template.from_landmarks(train.landmarks, self.anatomy, self.size)
        self.shape_model = fit_shape_model(train.landmarks)

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) images in [0, 1] as the network wants them: zero mean and unit standard deviation each."""
        mean, sd = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
        return (images - mean) / sd.clamp_min(1e-6)

    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """What the network is to produce for this (already augmented) batch."""
        return {}

    def losses(self, outputs: Any, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named loss terms, unweighted scalars."""
        return {}

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss term; training minimises the weighted sum."""
        return {}

    @abstractmethod
    def predict(self, images: Tensor) -> list[Prediction]:
        """Predictions for (B, 1, H, W) images in [0, 1] of the method's `size`."""

    # ---- what every method has ----------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        parameter = None if self.network is None else next(self.network.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    @property
    def fitted_template(self) -> Template:
        """The template. Raises DataError before `prepare` or loading."""
        if self.template is None:
            raise DataError(f"{self.name} has no template yet; train it or load its weights first")
        return self.template

    def predict_image(self, image: np.ndarray) -> Prediction:
        """Prediction for one (H, W) image in [0, 1] of any size of about the method's aspect ratio, in that image's own pixels."""
        image = np.asarray(image, dtype=np.float32)
        if image.ndim != 2 or not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
            raise DataError(
                f"predict_image takes one (H, W) image of grey values in 0..1 without NaN, got shape {image.shape} "
                f"with values {np.nanmin(image):g}..{np.nanmax(image):g}; read it with denseseg.read_image"
            )
        old = (image.shape[0], image.shape[1])
        aspect = old[0] / old[1] * self.size[1] / self.size[0]
        if not 0.8 < aspect < 1.25:
            raise DataError(
                f"the image is {old[0]} x {old[1]} pixels (H x W), the method was made for {self.size[0]} x {self.size[1]}; "
                "crop or pad it to about the same aspect ratio"
            )
        small = image if old == self.size else resize(image, self.size, order=1, anti_aliasing=True)
        tensor = torch.as_tensor(np.clip(small, 0, 1), dtype=torch.float32, device=self.device)[None, None]
        return self.predict(tensor)[0].resized(self.size, old)

    def save(self, path: str | Path) -> Path:
        """Write the method as safetensors with a JSON header that rebuilds it; atomic, nothing is pickled."""
        path = Path(path)
        tensors = {f"network.{k}": v.contiguous().cpu() for k, v in (self.network.state_dict() if self.network else {}).items()}
        tensors |= {f"state.{k}": v.contiguous().cpu() for k, v in self.state().items()}
        header = {
            "method": self.name,
            "anatomy": self.anatomy.name,
            "size": list(self.size),
            "recipe": asdict(self.recipe),
        }
        partial = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, partial, metadata={"denseseg": json.dumps(header)})
            os.replace(partial, path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise DataError(f"{path} could not be written ({error}); free space or choose another folder") from None
        return path

    def state(self) -> dict[str, Tensor]:
        """What was learned beside the network, as tensors."""
        template = torch.as_tensor(self.fitted_template.points)
        shape = {f"shape.{key}": torch.as_tensor(value) for key, value in vars(self.shape_model).items()}
        return {"template": template, **shape}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.template = Template(self.anatomy, state["template"].double().numpy(), self.size)
        mean, modes, variances, residual = (state[f"shape.{f.name}"].numpy() for f in fields(ShapeModel))
        self.shape_model = ShapeModel(mean, modes, variances, float(residual))
