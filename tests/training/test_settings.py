"""How to train: lengths, optimisers, schedules, and what a processor can."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from denseseg.errors import DataError, validated
from denseseg.training.settings import SGD, Adam, Cosine, Drops, Epochs, Run, Steps, TrainingSettings


@pytest.mark.parametrize(
    ("settings", "length", "expected"),
    [
        (TrainingSettings(), 0.25, Epochs(25)),
        (TrainingSettings(length=Epochs(160)), 0.25, Epochs(40)),
        (TrainingSettings(length=Steps(30_000)), 0.1, Steps(3000)),
        (TrainingSettings(length=Epochs(3)), 0.02, Epochs(1)),
    ],
)
def test_a_share_of_the_length_means_something_for_epochs_and_steps(settings, length, expected):
    assert settings.scaled(length, 64).length == expected


@pytest.mark.parametrize(("own", "largest", "expected"), [(8, 4, 4), (1, 4, 1)])
def test_a_profile_only_caps_the_batch_size(own, largest, expected):
    assert TrainingSettings(batch_size=own).scaled(1.0, largest).batch_size == expected


@given(st.floats(0, 0.999), st.floats(1e-6, 1e-1))
def test_the_cosine_falls_from_the_first_rate_to_the_last(progress, first):
    schedule = Cosine(final=1e-7)
    assert schedule.rate(first, 0.0) == pytest.approx(first)
    assert 1e-7 <= schedule.rate(first, progress) <= first
    assert schedule.rate(first, 0.5) == pytest.approx((first + 1e-7) / 2)


def test_drops_multiply_the_rate_at_their_places():
    drops = Drops(at=(500 / 800, 700 / 800))
    rates = [drops.rate(1.0, epoch / 800) for epoch in (0, 499, 500, 699, 700)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert Drops().rate(0.3, 0.9) == 0.3


def test_the_cosine_is_torchs():
    optimiser = Adam(0.5).make(torch.nn.Linear(1, 1))
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=7, eta_min=1e-3)
    for epoch in range(7):
        assert Cosine(1e-3).rate(0.5, epoch / 7) == pytest.approx(theirs.get_last_lr()[0])
        optimiser.step()
        theirs.step()


def test_optimisers_are_torchs_with_their_options():
    network = torch.nn.Linear(2, 2)
    sgd = SGD(1e-6, momentum=0.99, weight_decay=5e-4).make(network).param_groups[0]
    assert (sgd["lr"], sgd["momentum"], sgd["nesterov"], sgd["weight_decay"]) == (1e-6, 0.99, True, 5e-4)
    adam = Adam(1e-3, betas=(0.9, 0.9)).make(network).param_groups[0]
    assert adam["betas"] == (0.9, 0.9)


def test_settings_survive_json():
    settings = TrainingSettings(length=Steps(9), optimiser=SGD(0.1), schedule=Drops((0.5,)), gradient_clip=1e4, patience=5)
    plain = TypeAdapter(TrainingSettings).dump_python(settings, mode="json")
    assert validated(TrainingSettings, plain, "record") == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size must be greater than 0, got 0"),
        ({"batch_size": "8"}, "batch_size must be a valid integer, got '8'"),
        ({"momentum": 1}, "momentum is unknown"),
        ({"ema_decay": 1.5}, "ema_decay must be less than 1"),
        ({"optimiser": {"name": "adamw"}}, "optimiser .*'adam', 'sgd'"),
        ({"augmentation": {"rotation": -1}}, "augmentation.rotation must be greater than or equal to 0"),
    ],
)
def test_a_wrong_field_ends_in_one_line(change, message):
    with pytest.raises(DataError, match=f"run.json: {message}") as caught:
        validated(TrainingSettings, change, "run.json")
    assert "\n" not in str(caught.value)


def test_wrong_settings_cannot_be_made():
    with pytest.raises(DataError, match="Epochs: epochs must be greater than 0, got 0"):
        TrainingSettings(length=Epochs(0))
    with pytest.raises(DataError, match="Run: device must be 'auto', 'cpu' or 'cuda', got 'tpu'"):
        Run(device="tpu")
    with pytest.raises(DataError, match="Run: precision must be 'auto', '32-true', 'bf16-mixed' or '16-mixed', got 'bf16-true'"):
        Run(precision="bf16-true")


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"avx512_bf16": True}, "bf16-mixed"), ({"amx_bf16": True}, "bf16-mixed"), ({"avx2": True}, "32-true"), ({}, "32-true")],
)
def test_bfloat16_only_where_the_processor_has_it(monkeypatch, features, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert Run(device="cpu").resolved_precision == expected
    assert Run(device="cpu", precision="32-true").resolved_precision == "32-true"
    assert Run(device="cpu", precision="16-mixed").resolved_precision == "bf16-mixed"  # what Fabric makes of it
    assert math.isclose(Run().seed, 0)


def test_without_momentum_there_is_plain_gradient_descent():
    network = torch.nn.Linear(1, 1)
    assert SGD(1e-3, momentum=0.0).make(network).defaults["nesterov"] is False
    assert SGD(1e-3).make(network).defaults["nesterov"] is True
