"""The networks of shape regression: sizes, receptive field, and attention against a loop over points."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denseseg.networks.shapeformer import STRIDE, DilatedResNet, PointTransformer, VectorAttention
from denseseg.networks.unet import parameter_count


def test_the_backbone_has_the_papers_features_and_resnet18s_weights():
    backbone = DilatedResNet().eval()
    assert backbone(torch.zeros(1, 1, 256, 256)).shape == (1, 64, 32, 32)  # Section 3.6
    dilated = 9 * (128 * 64 + 64 * 64) + 2 * 2 * 64
    # ResNet18's first stages: 9,408 of conv1 for three colours, 128 of bn1, 147,968 and 525,568
    assert parameter_count(backbone) == 9408 // 3 + 128 + 147_968 + 525_568 + dilated == 787_648
    convolutions = [m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 12
    assert [m.dilation for m in convolutions].count((2, 2)) == 2


@pytest.mark.parametrize("size", [(64, 64), (62, 63), (65, 90), (8, 8)])
def test_an_image_of_any_size_has_features(size):
    rows, columns = (-(-side // STRIDE) for side in size)
    assert DilatedResNet((8, 16)).eval()(torch.zeros(1, 1, *size)).shape == (1, 8, rows, columns)


def test_a_feature_sees_163_pixels_round_its_own():
    """Its place and the receptive field, computed from the gradient; weights all one, so that no path is lost."""
    backbone = DilatedResNet((4, 8)).eval()
    for parameter in backbone.parameters():
        torch.nn.init.ones_(parameter)
    image = torch.rand(1, 1, 256, 256).double().requires_grad_()
    backbone.double()(image)[0, 0, 15, 16].backward()
    rows, columns = (image.grad[0, 0].abs().sum(axis).nonzero().flatten() for axis in (1, 0))
    assert (rows[0], rows[-1]) == (8 * 15 - 81, 8 * 15 + 81)
    assert (columns[0], columns[-1]) == (8 * 16 - 81, 8 * 16 + 81)


def test_vector_attention_is_the_papers_equation():
    """Zhao et al., Eq. 3: y_i = sum_j softmax_j(g(q_i - k_j + d_ij)) * (v_j + d_ij), point by point."""
    torch.manual_seed(0)
    layer = VectorAttention(16)
    features, points = torch.randn(2, 7, 16), torch.rand(2, 7, 2)
    neighbours = torch.cdist(points, points).topk(4, largest=False).indices
    found = layer(features, points, neighbours)
    for b in range(2):
        for i in range(7):
            near = neighbours[b, i]
            place = layer.position(points[b, i] - points[b, near])
            weights = layer.weight(layer.query(features[b, i]) - layer.key(features[b, near]) + place).softmax(0)
            assert weights.shape == (4, 2)  # eight features share a weight
            expected = (weights.tile(1, 8) * (layer.value(features[b, near]) + place)).sum(0)
            torch.testing.assert_close(found[b, i], expected)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 30))
def test_the_order_of_the_points_and_a_common_shift_change_nothing(seed, n):
    generator = torch.Generator().manual_seed(seed)
    layer = VectorAttention(8)
    features, points = torch.randn(1, n, 8, generator=generator), torch.rand(1, n, 2, generator=generator)

    def attended(features, points):
        return layer(features, points, torch.cdist(points, points).topk(min(n, 5), largest=False).indices)

    order = torch.randperm(n, generator=generator)
    torch.testing.assert_close(attended(features, points)[:, order], attended(features[:, order], points[:, order]))
    torch.testing.assert_close(attended(features, points), attended(features, points + 0.5), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("points", [1, 5, 40])
def test_the_transformer_begins_with_no_displacement_and_takes_few_points_too(points):
    transformer = PointTransformer(points, 6, 12, blocks=2)  # twelve features: only four of them share a weight
    places = torch.rand(3, points, 2)
    assert not transformer(torch.randn(3, points, 6), places).any()
    torch.nn.init.ones_(transformer.last.weight)
    moved = transformer(torch.randn(3, points, 6), places)
    assert moved.shape == (3, points, 2)
    assert moved.any()
