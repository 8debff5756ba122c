"""The loop below the methods, on a network of one line: what it draws, keeps, resumes and refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from attacks.common import without_the_right_to_read
from lightning.fabric.plugins.precision import MixedPrecision
from torch import nn

from denseseg.augment import NO_AUGMENTATION, Augmentation
from denseseg.batch import Batch
from denseseg.errors import DataError
from denseseg.training import loop
from denseseg.training.loop import CHECKPOINT, mixed, train
from denseseg.training.settings import SGD, Adam, Drops, Epochs, Run, Steps, TrainingSettings


def data(n: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(0)
    return Batch(torch.rand(n, 1, 8, 8, generator=rng), 8 * torch.rand(n, 3, 2, generator=rng))


@dataclass
class Brightness:
    """Learns the mean landmark of each image from its pixels; two terms, one of them only monitored."""

    seed: int = 0
    loss_weights: dict = field(default_factory=lambda: {"square": 2.0})
    seen: list = field(default_factory=list)
    images: list = field(default_factory=list)
    modes: list = field(default_factory=list)

    def __post_init__(self):
        torch.manual_seed(self.seed)
        self.network = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 2))

    def inputs(self, batch, rng):
        self.seen.append(torch.rand(1, generator=rng).item())
        self.images.append(batch.images.clone())
        self.modes.append(self.network.training)
        return (batch.images,)

    def epochs(self, steps):
        """The images that each epoch of so many steps showed."""
        return [torch.cat(self.images[first : first + steps]) for first in range(0, len(self.images), steps)]

    def targets(self, batch):
        assert not torch.is_autocast_enabled("cpu")
        return {"mean": batch.landmarks.mean(1)}

    def losses(self, outputs, targets):
        difference = outputs.float() - targets["mean"]
        return {"square": difference.square().mean(), "size": difference.abs().mean()}


QUICK = TrainingSettings(length=Epochs(4), batch_size=2, validate_every=1, optimiser=Adam(0.05), ema_decay=0.5)
QUIET = Run(progress=False, device="cpu", precision="32-true")


def weights(trainable: Brightness) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainable.network.parameters()])


def run_in(folder, **changes) -> Run:
    return Run(folder=folder, progress=False, device="cpu", precision="32-true", **changes)


# ---- what it does ---------------------------------------------------------------------------------------------------


def test_the_history_tells_each_epoch_and_each_term():
    trainable = Brightness()
    history = train(trainable, data(), QUICK, QUIET, validate=lambda: 1.0)
    counts = ["steps", "processor_seconds", "seconds"]
    assert history.columns.tolist() == ["epoch", "learning_rate", "loss", "square", "size", "validation_error", *counts]
    assert history["steps"].tolist() == [3, 3, 3, 3]
    assert (history["processor_seconds"] > 0).all()
    np.testing.assert_allclose(history["loss"], 2 * history["square"])
    assert (history["size"] > 0).all()
    assert history["learning_rate"].is_monotonic_decreasing
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert not trainable.network.training


def test_a_term_without_a_weight_moves_nothing():
    one, other = Brightness(), Brightness(loss_weights={"square": 2.0, "size": 0.0})
    for trainable in (one, other):
        train(trainable, data(), QUICK, QUIET)
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize(("steps", "rows"), [(3, 1), (4, 2), (7, 3)])
def test_a_number_of_steps_is_kept_exactly(steps, rows):
    trainable = Brightness()
    history = train(trainable, data(), QUICK.changed(length=Steps(steps)), QUIET)
    assert len(trainable.seen) == steps == history["steps"].sum()
    assert len(history) == rows


def test_a_last_smaller_batch_is_left_out():
    trainable = Brightness()
    train(trainable, data(7), QUICK.changed(length=Epochs(1)), QUIET)
    assert len(trainable.seen) == 3


def test_the_gradient_is_clipped():
    settings = QUICK.changed(length=Steps(1), optimiser=SGD(1.0, momentum=0.0, nesterov=False), schedule=Drops(), ema_decay=0.0)
    trainable = Brightness()
    before = weights(trainable)
    train(trainable, data(), settings.changed(gradient_clip=1e-3), QUIET)
    assert (weights(trainable) - before).norm() == pytest.approx(1e-3, rel=1e-2)


def test_the_rate_of_the_history_is_the_one_that_was_used():
    """One clipped step of plain SGD an epoch: its length is the learning rate times the clip."""
    plain_steps = SGD(1.0, momentum=0.0, nesterov=False)
    trainable, at = Brightness(), [weights(Brightness())]
    settings = QUICK.changed(batch_size=6, optimiser=plain_steps, gradient_clip=1e-3, ema_decay=0.0)
    history = train(trainable, data(), settings, QUIET, validate=lambda: at.append(weights(trainable).clone()) or 1.0)
    moved = [float((after - before).norm()) for before, after in pairwise(at)]
    assert history["learning_rate"].nunique() == 4
    np.testing.assert_allclose(moved, 1e-3 * history["learning_rate"], rtol=1e-2)


def test_each_epoch_has_every_case_once_in_a_new_order():
    trainable = Brightness()
    train(trainable, data(), QUICK.changed(augmentation=NO_AUGMENTATION), QUIET)
    cases = data().images.flatten(1)
    orders = [[int((cases - image.flatten()).abs().sum(1).argmin()) for image in epoch] for epoch in trainable.epochs(3)]
    assert [sorted(order) for order in orders] == [list(range(6))] * 4
    assert len({tuple(order) for order in orders}) == 4


def test_the_networks_own_randomness_is_not_that_of_the_order():
    trainable = Brightness()
    train(trainable, data(), QUICK, QUIET)
    first_of_epochs = trainable.seen[::3]
    ordering = [torch.rand(1, generator=torch.Generator().manual_seed(mixed(0, epoch))).item() for epoch in range(4)]
    assert len(first_of_epochs) == 4 and not set(first_of_epochs) & set(ordering)


def test_each_epoch_augments_anew():
    trainable = Brightness()
    train(trainable, data(1), QUICK.changed(batch_size=1, augmentation=Augmentation()), QUIET)
    shown = [epoch[0] for epoch in trainable.epochs(1)]
    assert all(not torch.allclose(one, other, atol=1e-3) for one, other in combinations(shown, 2))


def test_the_network_learns_in_training_mode_and_is_validated_in_the_other():
    trainable, modes = Brightness(), []
    every_third = QUICK.changed(length=Epochs(7), validate_every=3)
    history = train(trainable, data(), every_third, QUIET, validate=lambda: modes.append(trainable.network.training) or 1.0)
    assert set(trainable.modes) == {True} and set(modes) == {False}
    assert history.index[history["validation_error"].notna()].tolist() == [2, 5, 6]  # every third, and the last


def test_seeds_decide_the_run_and_the_callers_random_numbers_are_left_alone():
    def trained(seed):
        trainable = Brightness()
        train(trainable, data(), QUICK, Run(seed=seed, progress=False))
        return weights(trainable)

    first, again, other = trained(0), trained(0), trained(1)
    trainable = Brightness()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(trainable, data(), QUICK, QUIET)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_best_weights_are_kept_and_patience_ends_the_training():
    errors, kept = iter([5.0, 3.0, 4.0, 6.0, 7.0]), []
    trainable = Brightness()

    def validate():
        kept.append(weights(trainable).clone())
        return next(errors)

    history = train(trainable, data(), QUICK.changed(length=Epochs(9), patience=2), QUIET, validate=validate)
    assert history["validation_error"].tolist() == [5.0, 3.0, 4.0, 6.0]
    assert torch.equal(weights(trainable), kept[1])


def test_validation_sees_the_moving_average_and_training_goes_on_without_it():
    seen = []
    plain, averaged = Brightness(), Brightness()
    train(plain, data(), QUICK.changed(length=Steps(3), ema_decay=0.0), QUIET)
    train(averaged, data(), QUICK.changed(ema_decay=0.9), QUIET, validate=lambda: seen.append(weights(averaged).clone()) or 1.0)
    without = Brightness()
    train(without, data(), QUICK.changed(ema_decay=0.9), QUIET)
    assert not torch.allclose(seen[0], weights(plain), atol=1e-3)
    assert torch.allclose(seen[-1], weights(without))  # the last average is what is kept without a validation


# ---- interrupted and resumed ----------------------------------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("optimiser", [Adam(0.05), SGD(0.01)])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, decay, optimiser):
    settings = QUICK.changed(ema_decay=decay, optimiser=optimiser, augmentation=Augmentation(elastic=0.02, noise=0.1))
    whole, cut, resumed = Brightness(), Brightness(), Brightness(seed=3)

    def trained(trainable, folder):
        return train(trainable, data(), settings, run_in(tmp_path / folder), "a", lambda: -float(weights(trainable).norm()))

    expected = trained(whole, "whole")
    monkeypatch.setattr(loop, "SHARE", 1e9)  # a checkpoint after every epoch
    losses, count = cut.losses, iter(range(100))

    def killed(outputs, targets):
        if next(count) == 7:  # in the third epoch
            raise Stop
        return losses(outputs, targets)

    cut.losses = killed
    with pytest.raises(Stop):
        trained(cut, "cut")
    torch.manual_seed(99)  # another process would not have the same random state
    history = trained(resumed, "cut")
    told = ["epoch", "learning_rate", "loss", "square", "size", "validation_error", "steps"]
    pd.testing.assert_frame_equal(history[told], expected[told], check_exact=True)
    assert torch.equal(weights(whole), weights(resumed))


def test_a_resumed_run_scales_its_loss_as_the_stopped_one_did(tmp_path, monkeypatch):
    make = loop.make_fabric

    def in_half_precision(run):  # as Fabric trains on a GPU
        fabric = make(run)
        fabric.strategy.precision = MixedPrecision(
            "16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
        )
        return fabric

    monkeypatch.setattr(loop, "make_fabric", in_half_precision)
    monkeypatch.setattr(loop, "SHARE", 1e9)  # a checkpoint after every epoch
    first = loop._Loop(Brightness(), data(), QUICK, run_in(tmp_path), "a", None)
    first.epoch()
    assert first.scaler.scaler.get_scale() > 8.0
    again = loop._Loop(Brightness(seed=1), data(), QUICK, run_in(tmp_path), "a", None)
    assert again.scaler.scaler.get_scale() == first.scaler.scaler.get_scale()


def test_a_finished_run_is_not_trained_again(tmp_path, capsys):
    train(Brightness(), data(), QUICK, run_in(tmp_path))
    again = Brightness(seed=1)
    assert len(train(again, data(), QUICK, Run(folder=tmp_path, device="cpu", precision="32-true"))) == 4
    assert not again.seen
    assert capsys.readouterr().out == "4 epochs done already: nothing is trained now\n"


@pytest.mark.parametrize(
    "other",
    [
        {"identity": "other cases"},
        {"settings": QUICK.changed(batch_size=3)},
        {"seed": 1},
        {"validate": lambda: 1.0},
        {"precision": "bf16-mixed"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_run_in_the_folder_is_refused(tmp_path, other):
    train(Brightness(), data(), QUICK, run_in(tmp_path), "cases")
    run = Run(folder=tmp_path, progress=False, precision=other.get("precision", "32-true"), device="cpu", seed=other.get("seed", 0))
    with pytest.raises(DataError, match="belongs to a run with another recipe, data, settings, precision or"):
        settings, identity = other.get("settings", QUICK), other.get("identity", "cases")
        train(Brightness(), data(), settings, run, identity, other.get("validate"))


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    train(Brightness(), data(), QUICK, run_in(tmp_path))
    path = tmp_path / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[-3] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"checkpoint\.safetensors.*to train from the start"):
        train(Brightness(), data(), QUICK, run_in(tmp_path))


def test_checkpoints_are_few_where_they_cost_much(tmp_path, monkeypatch):
    """Writing may take a twentieth of the time; the first and the last are always written."""
    written = []
    clock = iter(np.arange(0, 1e6, 1.0))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(loop._Loop, "_save", lambda self, folder: written.append(self.next))
    train(Brightness(), data(), QUICK.changed(length=Epochs(60)), run_in(tmp_path))
    assert written[0] == 1 and written[-1] == 60
    assert 3 <= len(written) < 12  # an epoch takes about three ticks of this clock, a checkpoint one


def test_an_exploding_loss_is_an_error_not_a_result():
    steep = Brightness(loss_weights={"square": 1e30})
    with pytest.raises(DataError, match="lower the learning rate"):
        train(steep, data(), QUICK.changed(optimiser=SGD(1.0), gradient_clip=None, augmentation=NO_AUGMENTATION), QUIET)


def test_a_batch_larger_than_the_set_holds_all_of_it_and_says_so(capsys):
    loud = Run(progress=True, device="cpu", precision="32-true")
    history = train(Brightness(), data(3), QUICK.changed(batch_size=8), loud)
    assert history["steps"].tolist() == [1, 1, 1, 1]
    assert capsys.readouterr().out.startswith("batch_size=8 is larger than the set: each batch holds all 3 cases\n")
    train(Brightness(), data(8), QUICK.changed(batch_size=8), loud)
    assert "larger" not in capsys.readouterr().out


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(tmp_path):
    train(Brightness(), data(), QUICK, run_in(tmp_path))
    before = (tmp_path / CHECKPOINT).read_bytes()
    with without_the_right_to_read(tmp_path / CHECKPOINT), pytest.raises(DataError, match="may not be read") as caught:
        train(Brightness(), data(), QUICK, run_in(tmp_path))
    assert not re.search("damaged|delete|away", str(caught.value))
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert len(train(Brightness(), data(), QUICK, run_in(tmp_path))) == 4
