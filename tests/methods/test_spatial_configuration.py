"""The SpatialConfiguration-Net as a method: its components, its variants, its scale."""

from __future__ import annotations

import pytest
import torch

from denseseg.anatomy import CHEST
from denseseg.augment import Augmentation
from denseseg.methods import create
from denseseg.methods.spatial_configuration import SpatialConfiguration
from denseseg.networks.spatial_configuration import ConvolvedConfigurationNet, PairwiseConfiguration
from denseseg.training.settings import SGD, Steps


def made(recipe: str = "default", size: tuple[int, int] = (64, 64), **changes) -> SpatialConfiguration:
    torch.manual_seed(0)
    return create("spatial_configuration", CHEST, size, recipe, channels=(4, 4), **changes)


@pytest.mark.parametrize(("height", "shrink"), [(512, 16), (256, 8), (128, 4), (96, 4), (64, 2), (30, 1)])
def test_spatial_configuration_sees_about_as_many_cells_at_every_size(height, shrink):
    assert made(size=(height, height)).shrink == shrink
    assert made(size=(height, height), cells=height).shrink == 1


def test_the_product_of_the_components_is_the_heatmap():
    method = made()
    images = torch.rand(2, 1, 64, 64)
    appearance, configuration = method.components(images)
    assert appearance.shape == configuration.shape == (2, 166, 64, 64)
    with torch.no_grad():
        peaks = method.peaks(method.network(method.normalise(images))[1])
        torch.testing.assert_close(method.heatmaps(images) * peaks[:, None, None], appearance * configuration)


def test_the_variants_are_other_networks():
    assert isinstance(made("convolutions").network.network, ConvolvedConfigurationNet)
    forerunner = made("paper_2016")
    assert isinstance(forerunner.network.network.configuration, PairwiseConfiguration)
    assert not forerunner.network.sigma.requires_grad
    assert "sigma" not in forerunner.loss_weights


def test_the_papers_training_is_as_printed():
    """Section 3; lengths are shares of 512 pixels, and the optimiser adds half of the weight decay times |w|^2."""
    method = made("paper", (512, 512))
    training = method.recipe.training
    assert training.optimiser == SGD(1e-6, momentum=0.99, nesterov=True, weight_decay=0.001)
    assert (training.length, training.batch_size) == (Steps(30_000), 1)
    assert method.first_sigma == 2.5
    assert method.loss_weights == {"heatmap": 1.0, "sigma": 20.0}
    ranges: Augmentation = training.augmentation
    assert (ranges.rotation, 512 * ranges.translation, ranges.scale, ranges.elastic_grid) == (15, 20, 0.4, 12)
    assert (ranges.gain, 2 * ranges.offset) == (0.25, 0.25)
