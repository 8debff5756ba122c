"""The SpatialConfiguration-Net and its parts: sizes, what a place sees, two and three dimensions."""

from __future__ import annotations

import pytest
import torch
from receptive import positive, receptive_field
from torch.nn import functional as F

from denseseg.networks.localization import LearnedWidths, enlarged
from denseseg.networks.localization_unet import LocalizationUNet
from denseseg.networks.spatial_configuration import (
    ConvolvedConfigurationNet,
    LocalAppearance,
    PairwiseConfiguration,
    SpatialConfiguration,
    SpatialConfigurationNet,
    plain_appearance,
)
from denseseg.networks.unet import parameter_count


def scn(landmarks: int, channels: tuple[int, ...], dimensions: int = 2, shrink: int = 16, kernel: int = 11):
    configuration = SpatialConfiguration(landmarks, channels[0], dimensions, shrink, kernel)
    return SpatialConfigurationNet(LocalAppearance(landmarks, channels, dimensions), configuration)


def test_the_sizes_of_the_papers_networks():
    """Counted by hand from Section 3, which prints no numbers of weights; 37 landmarks of the hand, 26 vertebrae."""
    appearance = (9 + 1) * 128 + 11 * (9 * 128 + 1) * 128 + (9 * 128 + 1) * 37
    configuration = (121 * 37 + 1) * 128 + 2 * (121 * 128 + 1) * 128 + (121 * 128 + 1) * 37
    network = scn(37, (128,) * 4)
    assert parameter_count(network.appearance) == appearance == 1_667_365
    assert parameter_count(network.configuration) == configuration == 5_111_461
    volume = scn(26, (64,) * 4, 3, 4, 7)
    appearance = (27 + 1) * 64 + 11 * (27 * 64 + 1) * 64 + (27 * 64 + 1) * 26
    configuration = (343 * 26 + 1) * 64 + 2 * (343 * 64 + 1) * 64 + (343 * 64 + 1) * 26
    assert parameter_count(volume) == appearance + configuration == 5_215_540
    assert parameter_count(plain_appearance(37)) == (25 + 1) * 128 + (25 * 128 + 1) * 128 + (25 * 128 + 1) * 37
    assert parameter_count(PairwiseConfiguration(37)) == 37 * (225 * 37 + 1)
    convolved = ConvolvedConfigurationNet(network.appearance, network.configuration, 37)
    assert parameter_count(convolved.fusion) == (9 * 74 + 1) * 128 + (9 * 128 + 1) * 37


def test_what_a_place_sees():
    """Local appearance a patch, the forerunner's a smaller one, spatial configuration 41 cells of 1/16."""
    assert receptive_field(positive(LocalAppearance(1, (4,) * 4)), 1, 128) == 100
    assert receptive_field(positive(plain_appearance(1, 4)), 1, 32) == 13
    assert receptive_field(positive(LocalizationUNet(1, (2,) * 5)), 1, 288) == 236
    cells = positive(SpatialConfiguration(1, 4, shrink=1))
    assert receptive_field(cells, 1, 64) == 41  # cells: the cubic is the identity at this scale


@pytest.mark.parametrize(("size", "kernel"), [((48, 64), 11), ((50, 33), 11), ((16, 24, 17), 3)])
def test_any_size_in_two_and_three_dimensions(size, kernel):
    dimensions = len(size)
    network = scn(3, (4, 8), dimensions, 4, kernel).eval()
    images = torch.rand(2, 1, *size)
    appearance, configuration = network.components(images)
    assert appearance.shape == configuration.shape == (2, 3, *size)
    torch.testing.assert_close(network(images), appearance * configuration)
    convolved = ConvolvedConfigurationNet(network.appearance, network.configuration, 3, 4, dimensions)
    assert convolved(images).shape == (2, 3, *size)
    pairwise = SpatialConfigurationNet(plain_appearance(3, 4, dimensions), PairwiseConfiguration(3, dimensions, 4, kernel))
    assert pairwise(images).shape == (2, 3, *size)


def test_heatmaps_begin_near_zero_and_configuration_is_bounded():
    torch.manual_seed(0)
    network = scn(5, (16,) * 3, shrink=4)
    appearance, configuration = network.components(torch.randn(1, 1, 64, 64))
    assert 0 < appearance.abs().max() < 0.5
    assert 0 < configuration.abs().max() < 0.1
    assert 0.9 < network.configuration.layers(1e6 * torch.randn(1, 5, 64, 64)).abs().max() <= 1


def test_a_landmark_has_no_say_in_its_own_pairwise_configuration():
    network = PairwiseConfiguration(4, shrink=2)
    appearance = torch.rand(1, 4, 32, 32, requires_grad=True)
    network(appearance)[0, 1].sum().backward()
    seen = appearance.grad[0].abs().amax((1, 2)) > 0
    assert seen.tolist() == [True, False, True, True]


def test_cubic_upsampling_of_volumes_is_that_of_planes_and_of_depth():
    generator = torch.Generator().manual_seed(0)
    plane = torch.rand(2, 3, 5, 6, generator=generator, dtype=torch.double)
    upsampled = F.interpolate(plane, scale_factor=4, mode="bicubic", align_corners=False)
    flat = enlarged(plane[:, :, None].expand(-1, -1, 7, -1, -1), 4)  # the same in all depths
    torch.testing.assert_close(flat, upsampled[:, :, None].expand(-1, -1, 28, -1, -1))
    deep = enlarged(plane[..., None].expand(-1, -1, -1, -1, 7), 4)  # the plane along depth and height
    torch.testing.assert_close(deep, upsampled[..., None].expand(-1, -1, -1, -1, 28))


def test_widths_begin_where_they_are_told_and_are_learned_or_not():
    for learned in (True, False):
        network = LearnedWidths(LocalAppearance(3, (4, 4)), 3, 2.5, learned)
        heatmaps, sigma = network(torch.rand(1, 1, 16, 16))
        assert heatmaps.shape == (1, 3, 16, 16)
        assert sigma.tolist() == [2.5] * 3
        (heatmaps.sum() + sigma.sum()).backward()
        assert (network.sigma.grad is not None) == learned
    with torch.no_grad():
        network.sigma.copy_(torch.tensor([-2.0, 0.0, 3.0]))
    assert network(torch.rand(1, 1, 16, 16))[1].tolist() == [2.0, 0.25, 3.0]


@pytest.mark.parametrize("unit", [1.0, 30.0])
def test_a_larger_unit_lets_adam_move_widths_farther(unit):
    network = LearnedWidths(LocalAppearance(3, (4, 4)), 3, 2.5, unit=unit)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    network.widths.sum().backward()
    optimiser.step()
    torch.testing.assert_close(network.widths, torch.full((3,), 2.5 - 1e-3 * unit))
