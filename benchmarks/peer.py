"""The peer's networks, in plain PyTorch: its recursive U-Net and its PatchGAN, as they are built by default.

Written down from the published architecture of junyanz/pytorch-CycleGAN-and-pix2pix: every level of the U-Net
holds the levels inside it, transposed convolutions double the sides, images stay NCHW. `norm` is "batch" (its
default for pix2pix) or "instance" (without scale and shift; convolutions then have a bias).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def norm_layer(norm: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


class UNetLevel(nn.Module):
    """Halves, runs what is inside, doubles; gives its input and the result, concatenated."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, norm: str, dropout: bool = False):
        super().__init__()
        bias = norm == "instance"
        halve = nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)
        double = nn.ConvTranspose2d(2 * inner if inside else inner, outer, 4, 2, 1, bias=bias)
        layers: list[nn.Module] = [nn.LeakyReLU(0.2, True), halve]
        layers += [norm_layer(norm, inner), inside] if inside else []
        layers += [nn.ReLU(True), double, norm_layer(norm, outer)]
        layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1)


class UNet256(nn.Module):
    """`unet_256`: eight levels; 54.4 million parameters at width 64."""

    def __init__(self, width: int = 64, norm: str = "batch", dropout: bool = True, channels: int = 3):
        super().__init__()
        level: nn.Module = UNetLevel(8 * width, 8 * width, None, norm)
        for _ in range(3):
            level = UNetLevel(8 * width, 8 * width, level, norm, dropout)
        for factor in (4, 2, 1):
            level = UNetLevel(factor * width, 2 * factor * width, level, norm)
        first = nn.Conv2d(channels, width, 4, 2, 1, bias=norm == "instance")
        last = nn.ConvTranspose2d(2 * width, channels, 4, 2, 1)
        self.model = nn.Sequential(first, level, nn.ReLU(True), last, nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] in [-1, 1], sides multiples of 256 -> the same shape and range."""
        return self.model(x)


class PatchGAN(nn.Module):
    """The 70x70 discriminator of a pair laid over each other: [B, 6, H, W] -> logits [B, 1, h, w]."""

    def __init__(self, width: int = 64, norm: str = "batch", channels: int = 6):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for factor, stride in ((1, 2), (2, 2), (4, 1)):
            inputs, outputs = factor * width, 2 * factor * width
            layers += [nn.Conv2d(inputs, outputs, 4, stride, 1, bias=norm == "instance")]
            layers += [norm_layer(norm, outputs), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))

    def forward(self, pair: Tensor) -> Tensor:
        return self.model(pair)


def initialize(network: nn.Module) -> nn.Module:
    """Its initial weights: convolutions N(0, 0.02), batch norm N(1, 0.02), biases 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
