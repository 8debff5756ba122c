"""Heatmaps with learned widths: targets, what widths cost, grey values, and four phantoms learned by heart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from denseseg.anatomy import Anatomy, Kind, Structure
from denseseg.augment import NO_AUGMENTATION
from denseseg.batch import Batch
from denseseg.cases.case import Case
from denseseg.cases.case_set import CaseSet
from denseseg.methods import create, get_recipe
from denseseg.methods.localization import ALPHA, FIRST_SIGMA, GAMMA, LocalizationMethod
from denseseg.methods.method import validation_error
from denseseg.phantom import chest_phantom
from denseseg.training.settings import Adam, Run, Steps, TrainingSettings

SIZE = (64, 64)
EVERY = 20  # of the chest's 166 landmarks
POINTS = Anatomy("points", (Structure("points", 9, "points", Kind.POINTS),))


@pytest.fixture(scope="module")
def cases() -> CaseSet:
    """Chest phantoms of single landmarks, all of them in the image."""
    chests = chest_phantom(4, SIZE, seed=4)
    return CaseSet("points", POINTS, [Case(c.id, c.image, c.landmarks[::EVERY].clip(0, 63), POINTS) for c in chests])


def made(cases: CaseSet, name: str = "local_appearance", recipe: str = "default", **changes) -> LocalizationMethod:
    torch.manual_seed(0)
    method = create(name, POINTS, SIZE, recipe, channels=(8, 8), **changes)
    method.prepare(cases)
    return method


class Answer(torch.nn.Module):
    """A network that gives the same heatmaps and widths, whatever it sees."""

    def __init__(self, heatmaps: torch.Tensor, sigma: torch.Tensor):
        super().__init__()
        self.answer = heatmaps, sigma

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.answer


def drawn(method: LocalizationMethod, cases: CaseSet, sigma: torch.Tensor) -> torch.Tensor:
    """What a perfect network would paint: the heatmaps of least loss, found through the loss itself, which is quadratic in them."""
    targets = method.targets(Batch.of(cases))
    heatmaps = torch.zeros(len(cases), POINTS.n_landmarks, *SIZE, requires_grad=True)
    method.losses((heatmaps, sigma), targets)["heatmap"].backward()
    return -heatmaps.grad * len(cases) / 2


def test_a_spot_keeps_its_sum_and_gets_higher_as_it_gets_narrower(cases):
    """Eq. 1 with the paper's gamma, away from the border, where the pixels hold all of it."""
    method = made(cases, recipe="paper")
    middle = cases[0].landmarks.copy()
    middle[:] = np.array([30.3, 31.8]) + 1e-9 * np.arange(POINTS.n_landmarks)[:, None]  # a case has no two in one place
    points = CaseSet("middle", POINTS, [Case("m", cases[0].image, middle, POINTS)])
    sigma = torch.linspace(1.0, 5.0, POINTS.n_landmarks)
    spots = drawn(method, points, sigma)[0]
    torch.testing.assert_close(spots.sum((1, 2)), torch.full((POINTS.n_landmarks,), GAMMA), rtol=1e-3, atol=0)
    torch.testing.assert_close(method.peaks(sigma), GAMMA / (2 * math.pi * sigma**2))


def test_a_perfect_network_costs_only_its_widths_and_its_landmarks_peak_at_one(cases):
    method = made(cases, test_time_views=1, shape_prior=0.0)
    sigma = torch.linspace(1.5, 4.0, POINTS.n_landmarks)
    heatmaps = drawn(method, cases, sigma)
    terms = method.losses((heatmaps, sigma), method.targets(Batch.of(cases)))
    assert float(terms["heatmap"]) == pytest.approx(0, abs=1e-4)
    assert float(terms["sigma"]) == pytest.approx(float(sigma.square().sum()))
    method.network = Answer(heatmaps, sigma)
    peaks = method.heatmaps(Batch.of(cases).images).amax((2, 3))
    assert 0.75 < peaks.min() <= peaks.max() <= 1 + 1e-5  # the brightest pixel is up to 0.7 pixels from the landmark
    # the floor of the decoder, below which no training can come
    assert validation_error(method, cases) < 0.01


def test_widths_of_a_network_that_finds_nothing_rest_where_they_begin_and_without_a_price_they_grow(cases):
    """Eq. 2 of empty heatmaps is gamma^2 / (4 pi sigma^2) + alpha sigma^2, least at (gamma^2 / 4 pi alpha)^(1/4) = 2.51."""
    least = (GAMMA**2 / (4 * math.pi * ALPHA)) ** 0.25
    assert least == pytest.approx(FIRST_SIGMA, rel=0.01)
    method = made(cases, recipe="paper")
    inner = cases[0].landmarks * 0.5 + 16
    points = CaseSet("inner", POINTS, [Case("i", cases[0].image, inner, POINTS)])
    targets, empty = method.targets(Batch.of(points)), torch.zeros(1, POINTS.n_landmarks, *SIZE)
    for width, sign in ((0.8 * least, -1), (least, 0), (1.2 * least, 1)):
        sigma = torch.full((POINTS.n_landmarks,), width, requires_grad=True)
        terms = method.losses((empty, sigma), targets)
        (slope,) = torch.autograd.grad(terms["heatmap"], sigma, retain_graph=True)
        assert (slope < 0).all()  # the trap: alone it is never content
        (slope,) = torch.autograd.grad(terms["heatmap"] + ALPHA * terms["sigma"], sigma)
        assert (slope.sign() == sign).all() if sign else slope.abs().max() < 0.02 * 2 * ALPHA * least


def test_fixed_widths_have_no_price_and_are_not_learned(cases):
    method = made(cases, learned_widths=False, loss_weights={"heatmap": 1.0}, sigma=1.5 / 64)
    assert method.first_sigma == pytest.approx(1.5)
    assert not method.network.sigma.requires_grad
    batch = Batch.of(cases)
    terms = method.losses(method.network(*method.inputs(batch, torch.Generator())), method.targets(batch))
    assert list(terms) == ["heatmap"]
    assert made(cases, sigma=1.5 / 64).first_sigma == FIRST_SIGMA  # learned ones begin no narrower


OWN = [(name, recipe) for name in ("spatial_configuration", "localization_unet") for recipe in ("default", "paper")]


@pytest.mark.parametrize(("name", "recipe"), [*OWN, ("local_appearance", "paper")])
def test_widths_begin_where_the_price_meets_a_network_that_finds_nothing(name, recipe):
    for size in ((64, 48), (128, 128), (512, 384)):
        method = create(name, POINTS, size, get_recipe(name, recipe).scaled(1.0, 1 / 32, 1))
        assert method.first_sigma == pytest.approx(FIRST_SIGMA)
        torch.testing.assert_close(method.network.widths, torch.full((POINTS.n_landmarks,), FIRST_SIGMA))
        assert 2 * math.pi * FIRST_SIGMA**2 * method.recipe.amplitude == pytest.approx(GAMMA)
    assert method.recipe.width_unit == {"paper": 1.0, "default": 30.0}[recipe]  # the paper's steps follow the slope's size


def test_la_net_begins_with_wide_dots():
    for height, width in ((64, 2.5), (128, 4.0), (512, 16.0)):
        method = create("local_appearance", POINTS, (height, 48), get_recipe("local_appearance", "default").scaled(1.0, 1 / 32, 1))
        assert method.first_sigma == pytest.approx(width) and method.recipe.width_unit == 30


def test_the_papers_grey_values_run_from_the_darkest_to_the_brightest_of_all_training_images(cases):
    dim = [Case(c.id, (0.2 + 0.1 * i + 0.4 * (c.image - c.image.min()) / np.ptp(c.image)).astype(np.float32), c.landmarks, POINTS)
           for i, c in enumerate(cases)]  # fmt: skip
    method = made(CaseSet("dim", POINTS, dim), recipe="paper")
    images = torch.tensor([0.2, 0.9])[:, None, None, None].expand(2, 1, *SIZE)
    torch.testing.assert_close(method.normalise(images)[:, 0, 0, 0], torch.tensor([-1.0, 1.0]), atol=1e-5, rtol=0)
    again = made(cases, recipe="paper")
    again.set_state(method.state())
    torch.testing.assert_close(again.normalise(images), method.normalise(images))


@pytest.mark.parametrize(
    ("name", "features", "steps", "rate"),
    [
        ("spatial_configuration", 12, 120, 1e-3),
        ("localization_unet", 24, 300, 1e-3),  # 12 before its 1 x 1 layer: every other seed never finds one of the nine
        ("local_appearance", 12, 400, 2e-3),
    ],
)
def test_four_phantoms_are_learned_by_heart(name, features, steps, rate, cases):
    training = TrainingSettings(length=Steps(steps), batch_size=4, optimiser=Adam(rate), augmentation=NO_AUGMENTATION)
    plain = {"dropout": 0.0, "test_time_views": 1, "shape_prior": 0.0}
    method = create(name, POINTS, SIZE, channels=(features,) * 3, training=training, **plain)
    method.fit(cases, None, Run(progress=False))
    assert validation_error(method, cases) < 0.6  # 0.24 to 0.38 in float32 and bfloat16
    assert method.network.widths.mean() < FIRST_SIGMA  # what is found is painted narrower


def test_a_smaller_u_net_keeps_the_features_before_its_1_x_1_layer():
    """37 heatmaps mixed pixel by pixel from 16 feature maps can't be told apart; larger last kernels know no such limit."""
    names = ("localization_unet", "spatial_configuration")
    small = [get_recipe(name, "default").scaled(1.0, 1 / 8, 4).channels for name in names]
    assert small == [(64, 16, 16, 16, 16), (16, 16, 16, 16)]
