"""The small layers that generators and discriminators are made of, and the checks of their numbers.

A layer that is left out is None, and layers that belong together are a dict by name, for `block_of`: the
names stand in every file of weights.
"""

from typing import get_args

from torch import nn

from pix2pix.config import NormName, UpsampleName
from pix2pix.instance_norm import InstanceNorm2d
from pix2pix.resize_convolution import ResizeConv2d

NORMS: tuple[str, ...] = get_args(NormName)
UPSAMPLES: tuple[str, ...] = get_args(UpsampleName)


def block_of(**layers: nn.Module | None) -> nn.Sequential:
    """The layers in their order under their names, so that leaving one out (None) renames no weight."""
    block = nn.Sequential()
    for name, layer in layers.items():
        if layer is not None:
            block.add_module(name, layer)
    return block


def norm_layer(norm: str, channels: int) -> nn.Module | None:
    if norm == "none":
        return None
    return InstanceNorm2d(channels, affine=True) if norm == "instance" else nn.BatchNorm2d(channels)


def dropout_layer(probability: float) -> nn.Module | None:
    return nn.Dropout(probability) if probability > 0 else None


def halve_4x4(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias)


def double(upsample: str, kernel: int, inputs: int, outputs: int, bias: bool = True) -> dict[str, nn.Module]:
    """What doubles height and width: `upsample` is one of UPSAMPLES, `kernel` 4 in a U-Net, 3 in a ResNet."""
    if upsample == "transpose":
        conv = nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=4 - kernel, bias=bias)
        return {"conv": conv}
    if kernel == 4:
        return {"conv": ResizeConv2d(inputs, outputs, 3 if upsample == "resize_3x3" else 4, bias)}
    return resize_and_convolve(nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, kernel, bias=bias))


def resize_and_convolve(pad: nn.Module, conv: nn.Module) -> dict[str, nn.Module]:
    """Nearest x2, then `pad` and `conv`: the steps that ResizeConv2d takes at once, for other borders."""
    return {"upsample": nn.Upsample(scale_factor=2), "pad": pad, "conv": conv}


def same_4x4() -> nn.Module:
    return nn.ZeroPad2d((1, 2, 1, 2))  # "same" for a 4x4 kernel at stride 1: 3 in all, the odd one behind


def level_channels(width: int, depth: int) -> list[int]:
    return [width * min(2**i, 8) for i in range(depth)]  # C64-C128-C256-C512-C512-...


def require_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} is {value!r}; choose one of {', '.join(choices)}")


def require_numbers(
    norm: str, dropout: float = 0.0, upsample: str = "resize", *, width: int, depth: int | None = None
) -> None:
    require_choice("norm", norm, NORMS)
    require_choice("upsample", upsample, UPSAMPLES)
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout is {dropout}; a probability from 0 (none) to below 1")
    if width < 1:
        raise ValueError(f"width is {width}; the first level needs at least 1 channel")
    if depth is not None and depth < 2:
        raise ValueError(f"depth is {depth}; a U-Net has at least 2 levels")
