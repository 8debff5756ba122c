"""nnU-Net, the yardstick of segmentation, through its public package: export, plan, train, import (Isensee et al. 2021).

nnU-Net wants one label a pixel, so structures that overlap go to different nets; as in the paper (Section 3.6), lungs and heart
to one, clavicles to another. What is written to disk has nnU-Net's layout, so that its own commands work on it too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from denseseg.anatomy import Anatomy
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.cases.masks import true_masks
from denseseg.errors import DataError, checked
from denseseg.files import write_json
from denseseg.geometry.frame import Size
from denseseg.methods.method import Recipe
from denseseg.methods.segmentation import MaskMethod, presence
from denseseg.pictures import write_png
from denseseg.prediction import Prediction
from denseseg.training.loop import exclusive
from denseseg.training.settings import Run

ENDING, CONFIGURATION, FOLD = ".png", "2d", "all"
RAW, PREPROCESSED, RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"  # folders, and the variables that name them
PIXELS = {"spacing": (999, 1, 1)}  # what nnU-Net's own reader says of a PNG, which has no spacing


@checked
class NNUNetRecipe(Recipe):
    """Options of nnU-Net; network, patch and batch size are planned from the data, and no profile scales them.

    epochs, steps: how long each net is trained, `steps` to an epoch. mirroring: of images in training, and averaged over when
    predicting. overlap: share of the smaller of two structures up to which it may overlap the other and share a net with it; such
    pixels count as the smaller one's.
    """

    epochs: PositiveInt = 1000
    steps: PositiveInt = 250
    mirroring: bool = False
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.05

    def scaled(self, length: float, width: float, largest_batch: int) -> Self:
        return self.changed(epochs=max(1, round(length * self.epochs)))


@plain_dataclass(frozen=True)
class Net:
    """A trained net: the indices of its structures, nnU-Net's plans and dataset.json, and the network's weights."""

    structures: tuple[int, ...]
    plans: dict[str, Any]
    dataset: dict[str, Any]
    weights: dict[str, Tensor]


class NNUNet(MaskMethod):
    """nnU-Net with its own planning and training, on all training cases (its fold "all", as in the paper). Masks, no landmarks.

    Recipes: "default" (without mirroring), "paper" (with it, as nnU-Net comes), "proof" (150 steps, to see that all works; enough
    for lungs and heart, not for clavicles).

    Switching mirroring off is *our* change, in training and when predicting: a mirrored chest has its left clavicle where the right
    one was, under the name of the left one. nnU-Net knows no validation cases in fold "all", so those given to `fit` only
    tell what is usual (`Method.learn_usual`).

    It needs the package nnunetv2 (`pip install "denseseg[nnunet]"`). Folders of images and logs are kept in `run.folder` where
    there is one. Nothing is pickled: weights are taken from the trained network, and a training always starts from the beginning.
    nnU-Net starts processes of its own, so a script that trains it needs the usual `if __name__ == "__main__":`.
    """

    name = "nnunet"
    title = "nnU-Net"
    keeps_terms = False
    recipes: ClassVar[Mapping[str, Recipe]] = {
        "default": NNUNetRecipe(),
        "paper": NNUNetRecipe(mirroring=True),
        "proof": NNUNetRecipe(epochs=15, steps=10),
    }
    recipe: NNUNetRecipe

    def __init__(self, anatomy: Anatomy, size: Size, recipe: NNUNetRecipe):
        super().__init__(anatomy, size, recipe)
        self.nets: list[Net] = []

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for net in self.nets for weight in net.weights.values())

    def fit(self, train: CaseSet, validation: CaseSet | None = None, run: Run = Run()) -> pd.DataFrame:
        """Export, plan and train each net in turn. The history has a row an epoch of each `net`.

        Raises DataError where nnunetv2 is not installed, the run is to be a fine-tuning, or the cases do not fit the method.
        """
        require_nnunet()
        if run.fine_tune:
            raise DataError(f"{self.name} begins with new weights each time and cannot be fine-tuned; train it without fine_tune")
        self.prepare(train, validation)
        groups = nets_of(overlap_shares(train) > self.recipe.overlap)
        histories, self.nets = [], []
        with exclusive(run), tempfile.TemporaryDirectory() if run.folder is None else nullcontext(run.folder) as folder:
            for number, structures in enumerate(groups, start=1):
                dataset = export(Path(folder) / RAW, train, structures, number)
                with environment(**{name: str(Path(folder) / name) for name in (RAW, PREPROCESSED, RESULTS)}):
                    net, history = train_net(dataset, structures, self.recipe, run)
                self.nets.append(net)
                histories.append(history.assign(net=number))
        self.learn_usual(train, validation)
        return pd.concat(histories, ignore_index=True)

    def predict(self, images: Tensor) -> list[Prediction]:
        """Masks of (B, 1, H, W) images, made on a GPU where there is one. Raises DataError without nnunetv2, or before `fit`."""
        require_nnunet()
        if not self.nets:
            raise DataError(f"{self.name} has no nets yet; train it or load its weights first")
        masks = np.zeros((len(images), len(self.anatomy), *images.shape[-2:]), bool)
        for net in self.nets:
            with redirect_stdout(None):  # a line an image
                labels = predicted_labels(net, images, self.recipe.mirroring)
            masks[:, list(net.structures)] = masks_of(labels, len(net.structures))
        found = presence(torch.from_numpy(masks), self.optional).numpy()
        return [Prediction(self.anatomy, None, mask, presence=there) for mask, there in zip(masks, found, strict=True)]

    def state(self) -> dict[str, Tensor]:
        """Also each net's weights, and as UTF-8 bytes of JSON what nnU-Net needs to build its network again."""
        own = super().state()
        for number, net in enumerate(self.nets):
            text = json.dumps({"structures": net.structures, "plans": net.plans, "dataset": net.dataset}).encode()
            own[f"nets.{number}.description"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
            own |= {f"nets.{number}.weights.{key}": value for key, value in net.weights.items()}
        return own

    def set_state(self, state: dict[str, Tensor]) -> None:
        super().set_state(state)
        self.nets = []
        for number in range(sum(key.endswith(".description") for key in state)):
            content = json.loads(state[f"nets.{number}.description"].numpy().tobytes())
            prefix = f"nets.{number}.weights."
            weights = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            self.nets.append(Net(tuple(content["structures"]), content["plans"], content["dataset"], weights))


# ---- which structures share a net -----------------------------------------------------------------------------------


def overlap_shares(cases: Sequence[Case]) -> np.ndarray:
    """(C, C): the pixels that two structures share in all cases, as a share of the smaller one's; 0 on the diagonal."""
    shared = sum(np.einsum("chw,dhw->cd", m := true_masks(case).astype(float), m) for case in cases)
    areas = np.diag(shared)
    shares = shared / np.maximum(np.minimum(areas[:, None], areas), 1)
    np.fill_diagonal(shares, 0)
    return shares


def nets_of(conflicts: np.ndarray) -> list[tuple[int, ...]]:
    """Structures by net, so that none is with one that it conflicts with, (C, C) bool: greedy colouring in the anatomy's order."""
    nets: list[tuple[int, ...]] = []
    for c in range(len(conflicts)):
        fitting = (i for i, members in enumerate(nets) if not conflicts[c, list(members)].any())
        i = next(fitting, len(nets))
        nets[i : i + 1] = [(*nets[i], c) if i < len(nets) else (c,)]
    return nets


# ---- files in nnU-Net's layout --------------------------------------------------------------------------------------


def label_map(masks: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of (S, H, W) bool masks: 1 to S, 0 where none is; where two overlap, the smaller one."""
    labels = np.zeros(masks.shape[1:], np.uint8)
    for index in np.argsort(-masks.sum((1, 2)), kind="stable"):
        labels[masks[index]] = index + 1
    return labels


def masks_of(labels: np.ndarray, structures: int) -> np.ndarray:
    """The inverse of `label_map`: (..., H, W) labels -> (..., S, H, W) bool masks."""
    return labels[..., None, :, :] == np.arange(1, structures + 1)[:, None, None]


def export(folder: Path, cases: CaseSet, structures: Sequence[int], number: int = 1) -> Path:
    """Write a data set of some structures as nnU-Net reads it, and return its folder, `DatasetNNN_name` in `folder`:

        dataset.json               channels, labels, number of cases, file ending
        imagesTr/CASE_0000.png     16 bit; 0000 is the number of the channel
        labelsTr/CASE.png          8 bit, 0 background, then the structures in their order

    An earlier data set of this name is replaced. Raises DataError where a file cannot be written.
    """
    dataset = folder / f"Dataset{number:03d}_{re.sub('[^A-Za-z0-9]+', '', cases.anatomy.name)}"
    for part in ("imagesTr", "labelsTr"):
        shutil.rmtree(dataset / part, ignore_errors=True)  # nnU-Net trains on every file that lies there
        (dataset / part).mkdir(parents=True)
    for case in cases:
        write_png(dataset / "imagesTr" / f"{case.id}_0000{ENDING}", case.image)
        write_png(dataset / "labelsTr" / f"{case.id}{ENDING}", label_map(true_masks(case)[list(structures)]) / 255, bits=8)
    labels = {cases.anatomy.names[c]: label for label, c in enumerate(structures, start=1)}
    description = {
        "channel_names": {"0": "radiograph"},
        "labels": {"background": 0, **labels},
        "numTraining": len(cases),
        "file_ending": ENDING,
    }
    write_json(dataset / "dataset.json", description)
    return dataset


# ---- the public package ---------------------------------------------------------------------------------------------


def require_nnunet() -> None:
    """Raise DataError that says how to install nnunetv2 where it cannot be imported."""
    try:
        import nnunetv2  # noqa: F401
    except ImportError:
        raise DataError('nnU-Net needs the package nnunetv2; install it with: pip install "denseseg[nnunet]"') from None


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Inside, environment variables have these values: nnU-Net is told by them."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def plan(dataset: Path) -> dict[str, Any]:
    """What nnU-Net decides for an exported data set: the content of its plans file. Images are made ready for training, too.

    dataset: `DatasetNNN_name` in the folder nnUNet_raw, beside which the others are, as the environment has to say.
    """
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    number = int(dataset.name[7:10])
    api.extract_fingerprints([number], num_processes=1, verbose=False, show_progress_bar=False)
    identifier = api.plan_experiments([number])
    api.preprocess([number], identifier, (CONFIGURATION,), (1,), show_progress_bar=False)
    return json.loads((dataset.parents[1] / PREPROCESSED / dataset.name / f"{identifier}.json").read_text())


def train_net(dataset: Path, structures: Sequence[int], recipe: NNUNetRecipe, run: Run) -> tuple[Net, pd.DataFrame]:
    """Plan and train one net on an exported data set (see `plan`). Also its history, a row an epoch."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerNoMirroring import nnUNetTrainerNoMirroring

    kind = nnUNetTrainer if recipe.mirroring else nnUNetTrainerNoMirroring
    log = nullcontext() if run.progress else redirect_stdout(None)
    with log, torch.random.fork_rng():
        plans, description = plan(dataset), json.loads((dataset / "dataset.json").read_text())
        torch.manual_seed(run.seed)
        np.random.seed(run.seed % 2**32)  # nnU-Net's augmentation draws from the global generator
        trainer = kind(plans | {"continue_training": False}, CONFIGURATION, FOLD, description, torch.device(run.resolved_device))
        trainer.num_epochs, trainer.num_iterations_per_epoch = recipe.epochs, recipe.steps
        trainer.num_val_iterations_per_epoch = max(1, recipe.steps // 5)  # nnU-Net's own ratio, 50 to 250
        trainer.disable_checkpointing = True  # they would be pickles
        # without processes for augmentation, which a CPU gains nothing from, a seed means the same each time
        with environment(nnUNet_n_proc_DA="0") if run.resolved_device == "cpu" else nullcontext():
            trainer.run_training()
    network = getattr(trainer.network, "_orig_mod", trainer.network)  # what torch.compile has wrapped
    weights = {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
    return Net(tuple(structures), plans, description, weights), history_of(trainer.logger)


def history_of(logger: Any) -> pd.DataFrame:
    """nnU-Net's log as a history: epoch, learning_rate, loss, validation_dice (of training cases, in fold "all"), seconds."""
    names = {"learning_rate": "lrs", "loss": "train_losses", "validation_dice": "mean_fg_dice"}
    columns = {column: np.asarray(logger.get_value(key, None), float) for column, key in names.items()}
    began, ended = (np.asarray(logger.get_value(f"epoch_{when}_timestamps", None), float) for when in ("start", "end"))
    return pd.DataFrame({"epoch": np.arange(len(began), dtype=float), **columns, "seconds": ended - began})


def predicted_labels(net: Net, images: Tensor, mirroring: bool) -> np.ndarray:
    """(B, H, W) labels of (B, 1, H, W) images."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(net.plans)
    configuration, heads = plans.get_configuration(CONFIGURATION), plans.get_label_manager(net.dataset).num_segmentation_heads
    network = nnUNetTrainer.build_network_architecture(plans, configuration, 1, heads, enable_deep_supervision=False)
    predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device(Run().resolved_device), allow_tqdm=False)
    axes = (0, 1) if mirroring else None
    predictor.manual_initialization(network, plans, configuration, [net.weights], net.dataset, "nnUNetTrainer", axes)
    arrays = images[:, :, None].float().cpu().numpy()  # a slice of a volume, for nnU-Net
    return np.stack([predictor.predict_single_npy_array(one, PIXELS)[0] for one in arrays])
