"""The generators that others published, in plain PyTorch, with their own nesting and names of weights.

What our imports must draw the same as. Written from the published architectures; `levels` and `width` are
free, so that tests can be small.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = type[nn.Module] | None


def norm_layer(kind: str, channels: int) -> nn.Module:
    """As the PyTorch port builds them: `old` is instance norm with the buffers that PyTorch 0.3 saved."""
    return {
        "batch": lambda: nn.BatchNorm2d(channels),
        "instance": lambda: nn.InstanceNorm2d(channels),
        "affine": lambda: nn.InstanceNorm2d(channels, affine=True),
        "old": lambda: nn.InstanceNorm2d(channels),
        "none": lambda: nn.Identity(),
    }[kind]()


def has_bias(kind: str) -> bool:
    """The port's convolutions have a bias with instance norm alone."""
    return kind in ("instance", "affine", "old")


# ---- pytorch-CycleGAN-and-pix2pix: a U-Net of levels inside each other ------------------------------------


class PortLevel(nn.Module):
    """One level: down, the levels inside, up; its input stands before what comes back."""

    def __init__(self, into, outer, inner, inside=None, norm="batch", dropout=False, outermost=False):
        super().__init__()
        self.outermost, bias = outermost, has_bias(norm)
        down = nn.Conv2d(into, inner, 4, 2, 1, bias=bias)
        leaky, relu = nn.LeakyReLU(0.2, True), nn.ReLU(True)
        both = inner if inside is None else 2 * inner
        if outermost:
            layers = [down, inside, relu, nn.ConvTranspose2d(both, outer, 4, 2, 1), nn.Tanh()]
        else:
            up = nn.ConvTranspose2d(both, outer, 4, 2, 1, bias=bias)
            if inside is None:
                layers = [leaky, down, relu, up, norm_layer(norm, outer)]
            else:
                layers = [leaky, down, norm_layer(norm, inner), inside, relu, up, norm_layer(norm, outer)]
                layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class PortUNet(nn.Module):
    """unet_256 has 8 levels, unet_128 has 7; five is the least."""

    def __init__(self, into=3, out=3, levels=8, width=64, norm="batch", dropout=True):
        super().__init__()
        level = PortLevel(8 * width, 8 * width, 8 * width, None, norm)
        for _ in range(levels - 5):
            level = PortLevel(8 * width, 8 * width, 8 * width, level, norm, dropout)
        for factor in (4, 2, 1):
            level = PortLevel(factor * width, factor * width, 2 * factor * width, level, norm)
        self.model = PortLevel(into, out, width, level, norm, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


# ---- its ResNet -------------------------------------------------------------------------------------------


class PortBlock(nn.Module):
    def __init__(self, channels, norm, dropout):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=has_bias(norm))]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=has_bias(norm))]
        middle = [norm_layer(norm, channels), nn.ReLU(True), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(*half, *middle, *other, norm_layer(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class PortResNet(nn.Module):
    def __init__(self, into=3, out=3, blocks=9, width=64, norm="batch", dropout=False):
        super().__init__()
        bias = has_bias(norm)
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(into, width, 7, bias=bias)]
        layers += [norm_layer(norm, width), nn.ReLU(True)]
        for channels in (width, 2 * width):
            layers += [nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=bias)]
            layers += [norm_layer(norm, 2 * channels), nn.ReLU(True)]
        layers += [PortBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1, bias=bias)]
            layers += [norm_layer(norm, channels // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class PortDiscriminator(nn.Module):
    def __init__(self, into=6, width=4):
        super().__init__()
        layers = [nn.Conv2d(into, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for channels, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(channels, 2 * channels, 4, stride, 1, bias=False)]
            layers += [nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


# ---- HugGAN's script --------------------------------------------------------------------------------------


class HugGANDown(nn.Module):
    def __init__(self, into, out, normalize=True, dropout=0.0):
        super().__init__()
        layers = [nn.Conv2d(into, out, 4, 2, 1, bias=False), *([nn.InstanceNorm2d(out)] if normalize else [])]
        self.model = nn.Sequential(*layers, nn.LeakyReLU(0.2), *([nn.Dropout(dropout)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class HugGANUp(nn.Module):
    def __init__(self, into, out, dropout=0.0):
        super().__init__()
        layers = [nn.ConvTranspose2d(into, out, 4, 2, 1, bias=False), nn.InstanceNorm2d(out), nn.ReLU()]
        self.model = nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat((self.model(x), skip), 1)


class HugGANUNet(nn.Module):
    """down1 to down8, up1 to up7, final: for 256 pixels."""

    def __init__(self, into=3, out=3, width=64):
        super().__init__()
        w = width
        widths = [into, w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w, 8 * w, 8 * w]
        for i in range(1, 9):
            down = HugGANDown(widths[i - 1], widths[i], i not in (1, 8), 0.5 if i > 3 else 0.0)
            setattr(self, f"down{i}", down)
        for i in range(1, 8):
            inputs = widths[8] if i == 1 else 2 * widths[9 - i]
            setattr(self, f"up{i}", HugGANUp(inputs, widths[8 - i], 0.5 if i < 5 else 0.0))
        self.final = nn.Sequential(
            nn.Upsample(scale_factor=2),
            nn.ZeroPad2d((1, 0, 1, 0)),
            nn.Conv2d(2 * w, out, 4, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i in range(1, 9):
            x = getattr(self, f"down{i}")(x)
            skips.append(x)
        for i in range(1, 8):
            x = getattr(self, f"up{i}")(x, skips[7 - i])
        return self.final(x)


# ---- the article's notebook, in Keras's layout of arrays --------------------------------------------------


class KerasUNet:
    """The article's generator as Keras computes it, from arrays named and shaped as Keras keeps them."""

    def __init__(self, into=3, out=3, levels=7, width=64, seed=0):
        draw = torch.Generator().manual_seed(seed)
        widths = [width * min(2**i, 8) for i in range(levels)]
        encoder = list(zip([into, *widths], widths, strict=False))
        decoder = [(widths[-1] if i == 0 else 2 * widths[-1 - i], widths[-2 - i]) for i in range(levels - 1)]
        self.levels, self.arrays = levels, {}
        for i, (inputs, outputs) in enumerate([*encoder, *decoder, (2 * width, out)]):
            name = f"conv2d_{i}" if i else "conv2d"
            scale = (16 * inputs) ** -0.5
            self.arrays[f"{name}/kernel:0"] = torch.randn(4, 4, inputs, outputs, generator=draw) * scale
            self.arrays[f"{name}/bias:0"] = torch.randn(outputs, generator=draw) * 0.1
            if 0 < i < 2 * levels - 1:
                name = f"batch_normalization_{i - 1}" if i > 1 else "batch_normalization"
                for part, centre in (("gamma", 1.0), ("beta", 0.0), ("moving_mean", 0.0)):
                    self.arrays[f"{name}/{part}:0"] = centre + 0.3 * torch.randn(outputs, generator=draw)
                self.arrays[f"{name}/moving_variance:0"] = 0.2 + torch.rand(outputs, generator=draw)

    def _conv(self, x: Tensor, i: int, stride: int) -> Tensor:
        """Keras's "same": as much before as behind, and the odd one behind."""
        name = f"conv2d_{i}" if i else "conv2d"
        short = 4 - stride
        x = F.pad(x, (short // 2, short - short // 2) * 2)
        kernel = self.arrays[f"{name}/kernel:0"].permute(3, 2, 0, 1)
        return F.conv2d(x, kernel, self.arrays[f"{name}/bias:0"], stride)

    def _norm(self, x: Tensor, i: int) -> Tensor:
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        parts = [
            self.arrays[f"{name}/{part}:0"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        ]
        mean, variance, gamma, beta = (part[None, :, None, None] for part in parts)
        return (x - mean) / torch.sqrt(variance + 1e-3) * gamma + beta

    def __call__(self, x: Tensor) -> Tensor:
        skips = []
        for i in range(self.levels):
            x = F.leaky_relu(self._conv(x, i, 2), 0.2)
            x = self._norm(x, i - 1) if i else x
            skips.append(x)
        skips.pop()
        for i in range(self.levels, 2 * self.levels - 1):
            x = F.relu(self._conv(F.interpolate(x, scale_factor=2), i, 1))
            x = torch.cat([self._norm(x, i - 1), skips.pop()], 1)
        return torch.tanh(self._conv(F.interpolate(x, scale_factor=2), 2 * self.levels - 1, 1))
