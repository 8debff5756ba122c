"""What it is to be a method.

A method learns from training cases (`fit`), turns images into predictions, and gives what it learned as tensors (`state`).
Evaluation, tables, studies and notebooks use nothing else, so they never ask which method they have. How it learns is its own
business: most methods train a network with the loop of this package (`NetworkMethod`), another may call another program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from tqdm.auto import tqdm

from denseseg.anatomy import Anatomy, Kind
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet, require_disjoint
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError, checked
from denseseg.evaluation.metrics import dice, failure_distance
from denseseg.geometry.contour import signed_area
from denseseg.geometry.frame import Frame, Size, Turn
from denseseg.geometry.shape_model import ShapeModel, fit_shape_model
from denseseg.geometry.template import Template
from denseseg.methods.outliers import LEAST, Usual
from denseseg.prediction import Prediction, stacked_landmarks
from denseseg.training.settings import Run

MOST = 50  # training cases that are predicted to learn what is usual
NOISES = (0.0, *(2.0**-k for k in range(10, 4, -1)))  # shares of the image height that a shape prior is chosen from
FLAT = 0.25  # square pixels; a structure that encloses less has no width


@checked
class Recipe:
    """The options of a method, plain values only, at full size. Each method has its own subclass and named instances of it.

    shape_prior: standard deviation of the noise that landmarks read from an image are taken to carry, as a share of the image
        height, or "validation": chosen on the validation cases after the training, see `Method.choose_noise`. The most
        probable shape under it and the shape model of the training cases is predicted; 0 switches it off.
    """

    shape_prior: NonNegativeFloat | Literal["validation"] = 0.0

    def changed(self, **changes: Any) -> Self:
        """This recipe with some options changed. Raises DataError that names the option that is unknown or wrong."""
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise DataError(f"{type(self).__name__} has no option {name!r}; it has: {', '.join(known)}")
        return replace(self, **changes)

    def scaled(self, length: float, width: float, largest_batch: int) -> Self:
        """The recipe for a smaller run: shares of its training and of its network's features, and the largest batch allowed."""
        return self


class Method(ABC):
    """Base class of all methods. A new one is a file and a line in `methods/__init__.py`, or `register(cls)` in another package.

    name: in records and files; title: in tables; recipes: its named recipes, "default" among them.

    A whole method, which predicts the median instead of the mean of the training shapes:

    >>> class MedianShape(Method):
    ...     name, title, recipes = "median_shape", "Median shape", {"default": Recipe()}
    ...
    ...     def fit(self, train, validation=None, run=Run()):
    ...         self.prepare(train)  # template and shape model, which every method has
    ...         self.median = torch.as_tensor(np.nanmedian(train.landmarks, axis=0))
    ...         return pd.DataFrame()  # nothing was trained, so there is no history
    ...
    ...     def predict(self, images):
    ...         return [Prediction(self.anatomy, self.median.numpy()) for _ in images]
    ...
    ...     def state(self):
    ...         return super().state() | {"median": self.median}
    ...
    ...     def set_state(self, state):
    ...         super().set_state(state)
    ...         self.median = state["median"]
    >>> from denseseg import chest_phantom
    >>> cases = chest_phantom(3, (64, 64))
    >>> method = MedianShape(cases.anatomy, (64, 64), Recipe())
    >>> history = method.fit(cases)
    >>> method.predict_cases(cases)[0].landmarks.shape
    (166, 2)
    """

    name: ClassVar[str]
    title: ClassVar[str]
    recipes: ClassVar[Mapping[str, Recipe]]
    keeps_terms: ClassVar[bool] = True  # False: it trains, but by a length and an augmentation that no `Spec` can set

    def __init__(self, anatomy: Anatomy, size: Size, recipe: Recipe):
        self.anatomy, self.size, self.recipe = anatomy, size, recipe
        self.template: Template | None = None
        self.shape_model: ShapeModel | None = None
        self.usual: Usual | None = None  # None: no limit is known, and nothing is refused
        self.chosen_noise = 0.0  # pixels; of a recipe that asks for it

    # ---- what a method must say ---------------------------------------------------------------------------------

    @classmethod
    def unsupported(cls, anatomy: Anatomy) -> str | None:
        """Why the method cannot work on an anatomy, in words that go on after its title; None where it can."""
        return None

    @abstractmethod
    def fit(self, train: CaseSet, validation: CaseSet | None = None, run: Run = Run()) -> pd.DataFrame:
        """Learn from cases of the method's anatomy and size; `validation` may be None or empty.

        Returns the history, a row an epoch, or an empty table where nothing is trained in epochs.
        """

    @abstractmethod
    def predict(self, images: Tensor) -> list[Prediction]:
        """Predictions for (B, 1, H, W) images in [0, 1] of the method's `size`, on any device, in their pixels."""

    def state(self) -> dict[str, Tensor]:
        """What was learned, as tensors: here template, shape model and, where it is known, what is usual."""
        template = torch.as_tensor(self.fitted_template.points)
        shape = {f"shape.{key}": torch.as_tensor(value) for key, value in vars(self.shape_model).items()}
        usual = {} if self.usual is None else {f"usual.{key}": value for key, value in self.usual.state().items()}
        noise = {"chosen_noise": torch.tensor(self.chosen_noise)} if self.recipe.shape_prior == "validation" else {}
        return {"template": template, **shape, **usual, **noise}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.template = Template(self.anatomy, state["template"].double().numpy(), self.size)
        mean, modes, variances, residual = (state[f"shape.{f.name}"].double().numpy() for f in fields(ShapeModel))
        self.shape_model = ShapeModel(mean, modes, variances, float(residual))
        own = {key.removeprefix("usual."): value for key, value in state.items() if key.startswith("usual.")}
        self.usual = Usual.from_state(own)  # older files have none
        if self.recipe.shape_prior == "validation":
            self.chosen_noise = float(state["chosen_noise"])

    # ---- what every method has ----------------------------------------------------------------------------------

    def prepare(self, train: CaseSet, validation: CaseSet | None = None, keep_shapes: bool = False) -> None:
        """Learn what is no network weight: the template and the shape model of the training landmarks, then `learn_constants`.

        validation: is only looked at, whether it can be used.
        keep_shapes: those that are there stay, since the network to be trained further refers to them.
        """
        self.require(train)
        require_areas(train)
        if validation:
            self.require(validation)
            require_disjoint(training=train, validation=validation)
        elif self.recipe.shape_prior == "validation":
            raise DataError(f"{self.name} has no validation cases to choose a noise on; give it some, or a number as shape_prior")
        if not (keep_shapes and self.template and self.shape_model):
            self.template = Template.from_landmarks(train.landmarks, self.anatomy, self.size)
            self.shape_model = fit_shape_model(train.landmarks)
        self.usual, self.chosen_noise = None, 0.0
        self.learn_constants(train)

    def learn_constants(self, train: CaseSet) -> None:  # noqa: B027  a choice: most methods have nothing more
        """Learn, after template and shape model, what else is no network weight; by default nothing."""

    @property
    def landmark_noise(self) -> float:
        """Standard deviation, pixels, of the noise that the shape prior assumes; 0 without a prior, or before it is chosen."""
        prior = self.recipe.shape_prior
        return self.chosen_noise if prior == "validation" else prior * self.size[0]

    def choose_noise(self, validation: CaseSet | None) -> None:
        """For a recipe whose `shape_prior` is "validation": that of `NOISES` with the smallest `validation_error`.

        By the error itself, so that a shape model that does not fit, such as one of few shapes, is switched off.
        """
        if validation and self.recipe.shape_prior == "validation":
            errors = {}
            for share in NOISES:
                self.chosen_noise = share * self.size[0]
                errors[self.chosen_noise] = validation_error(self, validation)
            self.chosen_noise = min(errors, key=errors.__getitem__)

    def learn_usual(self, train: CaseSet, validation: CaseSet | None) -> None:
        """Learn, after all else, what is usual: see `outliers`. With too few cases no limit is known."""
        if validation is None or len(validation) < LEAST or len(train) < 2:
            return
        some = train[:: -(-len(train) // MOST)]
        usual = [[(case.image, p) for case, p in zip(part, self.predict_cases(part), strict=True)] for part in (some, validation)]
        self.usual = Usual.of(train.images, usual, self.fitted_shape_model, self.fitted_template)

    def _judged(self, images: Tensor) -> list[Prediction]:
        """`predict`, and where it is known what is usual, how far from that image and prediction are."""
        predictions = self.predict(images)
        if self.usual is None:
            return predictions
        shown = images[:, 0].cpu().numpy()
        models = self.fitted_shape_model, self.fitted_template
        return [self.usual.judged(image, one, *models) for image, one in zip(shown, predictions, strict=True)]

    @property
    def fitted_template(self) -> Template:
        """The template. Raises DataError before `fit` or loading."""
        if self.template is None:
            raise DataError(f"{self.name} has no template yet; train it or load its weights first")
        return self.template

    @property
    def fitted_shape_model(self) -> ShapeModel:
        """The shape model. Raises DataError before `fit` or loading."""
        if self.shape_model is None:
            raise DataError(f"{self.name} has no shape model yet; train it or load its weights first")
        return self.shape_model

    @property
    def parameters(self) -> int:
        """Number of trained weights."""
        return 0

    def predict_cases(self, cases: Sequence[Case], batch_size: int = 8, progress: bool = False) -> list[Prediction]:
        """Predictions for cases of any size, each in its own pixels. Raises DataError for a batch size below 1."""
        if not isinstance(batch_size, int) or batch_size < 1:
            raise DataError(f"batch_size={batch_size!r}: give a whole number of cases, at least 1")
        found: list[Prediction] = []
        for start in tqdm(range(0, len(cases), batch_size), desc="predict", disable=not progress):
            fitted = [case.fitted(self.size) for case in cases[start : start + batch_size]]
            images = torch.from_numpy(np.stack([case.image for case, _ in fitted]))[:, None]
            found += [p.restored(frame) for p, (_, frame) in zip(self._judged(images), fitted, strict=True)]
        return found

    def predict_image(self, image: np.ndarray) -> Prediction:
        """Prediction for one (H, W) image of any size, in its own pixels. Raises DataError where its values are not in [0, 1]."""
        image = _grey(image)
        frame = Frame.fit((image.shape[0], image.shape[1]), self.size)
        tensor = torch.from_numpy(np.clip(frame.maps_to_fitted(image), 0, 1))[None, None]
        return self._judged(tensor)[0].restored(frame)

    def predict_any_way(self, image: np.ndarray) -> tuple[Prediction, Turn]:
        """Prediction for an image that may be turned by quarter turns or mirrored, in its own pixels, and the orientation used.

        All eight orientations are tried; the one with the lowest `ood_score` is taken. A patient whose heart is on the right is
        read as a mirrored image. Raises DataError as `predict_image` does, and where the method knows no out-of-distribution score.
        """
        if self.usual is None:
            raise DataError(f"{self.name} cannot tell what it knows; train it again, with {LEAST} validation cases or more")
        image = _grey(image)
        turns = Turn.all((image.shape[0], image.shape[1]))
        tried = [(self.predict_image(turn.maps_to_fitted(image)).restored(turn), turn) for turn in turns]
        return min(tried, key=lambda one: _score(one[0]))

    def require(self, cases: CaseSet) -> None:
        """Raise DataError unless there are cases, all of the method's anatomy and size."""
        if not len(cases):
            raise DataError(f"{cases.name}: no cases to work on; check the split and the data set")
        if cases.anatomy != self.anatomy:
            raise DataError(f"{cases.name} shows the {cases.anatomy.name}, {self.name} was made for the {self.anatomy.name}")
        wrong = next((case for case in cases if case.size != self.size), None)
        if wrong is not None:
            raise DataError(f"case {wrong.id} is {wrong.size}, {self.name} was made for {self.size}; call fitted({self.size})")
        spoilt = next((case for case in cases if not np.isfinite(case.image).all() or np.isinf(case.landmarks).any()), None)
        if spoilt is not None:
            raise DataError(f"case {spoilt.id} was changed, and holds values that are not finite; read it again")


def _score(prediction: Prediction) -> float:
    assert prediction.ood_score is not None
    return prediction.ood_score


def _grey(image: np.ndarray) -> np.ndarray:
    """The (H, W) image as float32. Raises DataError where it is none, or its values are not in 0..1."""
    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 2 or not image.size or not ((image >= 0) & (image <= 1)).all():
        values = f"{np.nanmin(image):g}..{np.nanmax(image):g}" if image.size else "none"
        raise DataError(
            f"give one (H, W) image of grey values in 0..1 without NaN, got shape {image.shape} "
            f"with values {values}; read it with denseseg.read_image"
        )
    return image


def validation_error(method: Method, cases: CaseSet) -> float:
    """What chooses the weights: the mean error in pixels of the landmarks that the images show; small is good.

    A landmark that was not found counts as half the image diagonal. Of a method without landmarks: 100 - DSC (%) over all
    structures that are there.
    """
    return error_of(method.predict_cases(cases), cases, method.size)


def error_of(predictions: Sequence[Prediction], cases: CaseSet, size: Size) -> float:
    """`validation_error` of predictions at hand, of a method for images of this (H, W) size."""
    if predictions[0].landmarks is None:
        found = [mask for p in predictions if p.masks is not None for mask in p.masks]
        true = [mask for case in cases for mask in true_masks(case)]
        return 100 - 100 * float(np.mean([dice(a, b) for a, b in zip(found, true, strict=True) if b.any()]))
    if not cases.shown.any():
        raise DataError(f"{cases.name}: no image shows a landmark, so none can be judged; give other validation cases, or none")
    error = np.linalg.norm(stacked_landmarks(predictions) - cases.landmarks, axis=-1)
    return float(np.where(np.isnan(error), failure_distance(size), error)[cases.shown].mean())


def require_areas(cases: CaseSet) -> None:
    """Raise DataError at a structure without any landmark, and at an outline that encloses nothing in any case."""
    marked = np.isfinite(cases.landmarks).any((0, 2))
    for c, (structure, where) in enumerate(zip(cases.anatomy.structures, cases.anatomy.slices.values(), strict=True)):
        if not marked[where].any():
            fault = f"no case of {cases.name} has a landmark of its {structure.name}"
            raise DataError(f"{fault}; add cases that do, or leave the structure out of the anatomy")
        masked = any(case.masks is not None and case.masks[c].any() for case in cases)
        if structure.kind is Kind.OUTLINE and not masked and not any(_area(case.landmarks[where]) >= FLAT for case in cases):
            fault = f"{structure.name} is an outline, but encloses no area in any case of {cases.name}: its landmarks lie on a line"
            raise DataError(f'{fault}; correct them, or describe it with kind = "curve" or "points" in dataset.toml')


def _area(outline: np.ndarray) -> float:
    """Square pixels that a polygon of (n, 2) points encloses; infinite where that cannot be said, since some are missing."""
    if not np.isfinite(outline).all():
        return np.inf if np.isfinite(outline).all(1).sum() > 2 else 0.0
    return abs(signed_area(outline))
