"""Our instance norm is PyTorch's, only faster."""

import pytest
import torch
from torch import nn

from pix2pix.instance_norm import InstanceNorm2d
from pix2pix.layers import norm_layer
from pix2pix.normalization import per_picture_statistics

SHAPES = [(1, 3, 7, 5), (2, 8, 16, 16), (3, 4, 2, 3), (1, 64, 32, 32)]


def two(channels, affine=True):
    """PyTorch's layer and ours, with the same weights."""
    torch.manual_seed(0)
    plain, ours = (kind(channels, affine=affine) for kind in (nn.InstanceNorm2d, InstanceNorm2d))
    if affine:
        nn.init.normal_(plain.weight)
        nn.init.normal_(plain.bias)
    ours.load_state_dict(plain.state_dict(), strict=True)
    return plain, ours


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_gives_what_pytorchs_gives_and_its_gradients(shape, layout, affine):
    layers = two(shape[1], affine)
    pushed = torch.randn(shape)
    x = (3 * torch.randn(shape) + 20).to(memory_format=layout)  # far from 0: a variance taken naively suffers
    found = []
    for layer in layers:
        mine = x.clone().requires_grad_()
        y = layer(mine)
        y.backward(pushed)
        found.append([y.detach(), mine.grad, *(parameter.grad for parameter in layer.parameters())])
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=5e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_nearly_flat_picture_keeps_its_variance(layout):
    torch.manual_seed(0)
    x = (100 + 0.1 * torch.randn(2, 4, 64, 64)).to(memory_format=layout)
    exact = nn.InstanceNorm2d(4)(x.double())
    assert (InstanceNorm2d(4)(x) - exact).abs().max() < 0.01


def test_gradients_of_gradients_are_right_for_the_penalty_of_wgan_gp():
    _, ours = two(2)
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(ours.double(), [x])


def test_channels_last_stays_channels_last():
    x = torch.randn(1, 8, 16, 16).to(memory_format=torch.channels_last)
    y = InstanceNorm2d(8)(x)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_under_autocast_in_bfloat16_it_is_as_near_as_pytorchs():
    plain, ours = two(8)
    x = torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        got, expected = ours(x.bfloat16()), plain(x.bfloat16())
    assert (got.float() - plain(x)).abs().max() <= 2 * (expected.float() - plain(x)).abs().max()


def test_a_single_pixel_has_no_variance():
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        InstanceNorm2d(4)(torch.zeros(1, 4, 1, 1))


def test_a_captured_graph_says_instance_norm():
    _, ours = two(4)
    graph = torch.jit.trace(ours, torch.randn(1, 4, 8, 8)).graph
    kinds = {node.kind() for node in graph.nodes()}
    assert "aten::instance_norm" in kinds
    assert "aten::group_norm" not in kinds


def test_networks_are_made_with_it():
    assert isinstance(norm_layer("instance", 4), InstanceNorm2d)
    assert isinstance(per_picture_statistics(nn.Sequential(nn.BatchNorm2d(4)))[0], InstanceNorm2d)
