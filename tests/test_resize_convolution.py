"""Resizing and convolving at once gives the picture of doing one after the other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pix2pix.networks import UNetGenerator
from pix2pix.resize_convolution import ResizeConv2d, _sums, compose_resizes


def one_after_the_other(conv: ResizeConv2d, x: Tensor) -> Tensor:
    """Odena's layer, word for word: nearest x2, "same" padding of a 3x3 or 4x4 kernel, convolution."""
    resized = nn.Upsample(scale_factor=2, mode="nearest")(x)
    padding = {3: (1, 1, 1, 1), 4: (1, 2, 1, 2)}[conv.weight.shape[-1]]
    return F.conv2d(nn.ZeroPad2d(padding)(resized), conv.weight, conv.bias)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (16, 16), (17, 30)], ids=str)
@pytest.mark.parametrize(("side", "bias"), [(3, True), (4, True), (4, False)])
def test_large_and_small_maps_are_those_of_resizing_and_convolving(
    size: tuple[int, int], side: int, bias: bool
) -> None:
    conv, x = ResizeConv2d(3, 5, side, bias), torch.randn(2, 3, *size)
    torch.testing.assert_close(conv(x), one_after_the_other(conv, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(4, 4), (16, 17)], ids=str)
@pytest.mark.parametrize("side", [3, 4])
def test_gradients_are_those_of_resizing_and_convolving(size: tuple[int, int], side: int) -> None:
    conv = ResizeConv2d(2, 3, side).double()
    x = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
    weighting = torch.randn(1, 3, 2 * size[0], 2 * size[1], dtype=torch.float64)
    assert conv.bias is not None
    gradients = [
        torch.autograd.grad((layer(x) * weighting).sum(), (x, conv.weight, conv.bias))
        for layer in (conv, lambda x: one_after_the_other(conv, x))
    ]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("upsample", ["resize", "resize_3x3"])
def test_a_composed_network_draws_the_same_picture_without_a_resize_convolution(upsample: str) -> None:
    G = UNetGenerator(width=2, depth=3, dropout=0.0, upsample=upsample).eval()
    x = torch.rand(1, 3, 40, 48) * 2 - 1
    with torch.no_grad():
        before = G(x)
        compose_resizes(G)
        after = G(x)
    assert not any(isinstance(layer, ResizeConv2d) for layer in G.modules())
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in G.modules()) == 3
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


def test_it_learns_after_it_has_drawn_in_inference_mode() -> None:
    """A run validates before its first step, in a mode whose tensors no gradient may need."""
    _sums.cache_clear()
    conv, x = ResizeConv2d(2, 3, 3), torch.randn(1, 2, 8, 8)
    with torch.inference_mode():
        conv(x)
    conv(x).sum().backward()
    assert conv.weight.grad is not None
