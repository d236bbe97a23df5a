"""The discriminators, built from numbers: the paper's PatchGAN and PixelGAN, the article's, a pyramid.

A discriminator judges a pair (x, y), the input and its translation, patch by patch.
"""

from itertools import pairwise
from typing import cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pix2pix.capture import capturing
from pix2pix.config import DiscriminatorConfig, DiscriminatorName
from pix2pix.layers import (
    block_of,
    halve_4x4,
    level_channels,
    norm_layer,
    require_choice,
    require_numbers,
    same_4x4,
)
from pix2pix.pretrained import Pretrained

DISCRIMINATORS: tuple[str, ...] = get_args(DiscriminatorName)


def build_discriminator(
    name: str, *, in_channels: int, width: int, layers: int, norm: str
) -> "Discriminator | MultiscaleDiscriminator":
    """The discriminator called `name`, one of DISCRIMINATORS, with torch's default weights.

    `in_channels` counts x and y together. `layers` is for patch and multiscale; the others have one depth.
    """
    require_choice("discriminator", name, DISCRIMINATORS)
    if name == "article":
        return ArticleDiscriminator(in_channels, width, norm)
    if name == "multiscale":
        return MultiscaleDiscriminator(in_channels, width, layers, norm)
    return PatchDiscriminator(in_channels, width, 0 if name == "pixel" else layers, norm)


class JudgesPairs(Pretrained):
    """What every discriminator shares: the configuration that rebuilds it."""

    config_class = DiscriminatorConfig
    smallest: int

    @staticmethod
    def build(config: DiscriminatorConfig) -> "Discriminator | MultiscaleDiscriminator":
        """The discriminator of a configuration, with torch's own weights."""
        return build_discriminator(
            config.discriminator,
            in_channels=config.in_channels,
            width=config.width,
            layers=config.layers,
            norm=config.norm,
        )


class Discriminator(JudgesPairs):
    """A row of blocks over the concatenated pair, the last of which gives one logit a patch."""

    blocks: nn.ModuleList

    def __init__(self, in_channels: int, smallest: int):
        super().__init__()
        self.in_channels = in_channels
        self.smallest = smallest

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x [B, C1, H, W] and y [B, C2, H, W] in [-1, 1], C1 + C2 = in_channels -> logits [B, 1, h, w]."""
        return self.features(x, y)[0][-1]

    def features(self, x: Tensor, y: Tensor) -> list[list[Tensor]]:
        """One list, for its one scale: what every block gives, the logits last."""
        self.require_shapes(x, y)
        h = torch.cat((x, y), 1)  # [B, in_channels, H, W]: D sees the input too, eq. 1
        activations = []
        for block in self.blocks:
            h = block(h)
            activations.append(h)
        return [activations]

    def require_shapes(self, x: Tensor, y: Tensor) -> None:
        """Raises ValueError for a pair that this network cannot judge; silent while a graph is captured."""
        if capturing():
            return
        alike = x.ndim == y.ndim == 4 and x.shape[0] == y.shape[0] and x.shape[2:] == y.shape[2:]
        if not alike or x.shape[1] + y.shape[1] != self.in_channels:
            raise ValueError(
                f"x has shape {list(x.shape)} and y {list(y.shape)}; both must be [B, C, H, W] with the same "
                f"B, H and W, and channels that sum to {self.in_channels}: resize one, or change in_channels"
            )
        if min(x.shape[2:]) < self.smallest:
            raise ValueError(
                f"the pair is {x.shape[2]}x{x.shape[3]} (H x W); this discriminator needs sides of at least "
                f"{self.smallest}: take larger pictures, or fewer layers"
            )


class PatchDiscriminator(Discriminator):
    """The paper's PatchGAN (sections 3.2.2 and 4.4, appendix 6.1.2); by default 2,768,705 parameters.

    `layers` 0 to 6 see patches of 1, 16, 34, 70, 142, 286, 574 pixels: 3 is the paper's, 0 its PixelGAN.
    """

    def __init__(self, in_channels: int = 6, width: int = 64, layers: int = 3, norm: str = "instance"):
        # smallest: each of the last two convolutions takes one position off a side
        super().__init__(in_channels, smallest=3 * 2**layers if layers > 0 else 2)
        require_numbers(norm, width=width)
        if layers < 0:
            raise ValueError(f"layers is {layers}; a patch discriminator has 0 (PixelGAN) or more")
        bias = norm == "none"
        kernel, pad = (4, 1) if layers else (1, 0)
        strides = [2] * layers + [1] if layers else [1, 1]
        channels = level_channels(width, len(strides))

        first = nn.Conv2d(in_channels, width, kernel, strides[0], pad)
        self.blocks = nn.ModuleList([block_of(conv=first, activation=nn.LeakyReLU(0.2))])
        for (inputs, outputs), stride in zip(pairwise(channels), strides[1:], strict=True):
            conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=bias)
            self.blocks.append(
                block_of(conv=conv, norm=norm_layer(norm, outputs), activation=nn.LeakyReLU(0.2))
            )
        self.blocks.append(block_of(conv=nn.Conv2d(channels[-1], 1, kernel, 1, pad)))


class ArticleDiscriminator(Discriminator):
    """The article's: four halvings and a "same" convolution; 16x16 logits at 256 pixels, each seeing 94."""

    def __init__(self, in_channels: int = 6, width: int = 64, norm: str = "batch"):
        super().__init__(in_channels, smallest=16 if norm == "none" else 32)  # a norm needs 2 positions
        require_numbers(norm, width=width)
        first = block_of(conv=halve_4x4(in_channels, width), activation=nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleList([first])
        for inputs, outputs in pairwise(level_channels(width, 4)):
            conv, normalize = halve_4x4(inputs, outputs), norm_layer(norm, outputs)
            self.blocks.append(block_of(conv=conv, activation=nn.LeakyReLU(0.2), norm=normalize))
        self.blocks.append(block_of(pad=same_4x4(), conv=nn.Conv2d(8 * width, 1, 4)))


class MultiscaleDiscriminator(JudgesPairs):
    """Patch discriminators on a pyramid of the pair, finest first (Wang et al. 2018, section 3.2)."""

    def __init__(
        self, in_channels: int = 6, width: int = 64, layers: int = 3, norm: str = "instance", scales: int = 2
    ):
        super().__init__()
        if scales < 1:
            raise ValueError(f"scales is {scales}; a multi-scale discriminator has at least 1")
        self.in_channels = in_channels
        pyramid = [PatchDiscriminator(in_channels, width, layers, norm) for _ in range(scales)]
        self.scales = nn.ModuleList(pyramid)
        self.smallest = pyramid[0].smallest * 2 ** (scales - 1)

    def forward(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """x [B, C1, H, W] and y [B, C2, H, W] in [-1, 1] -> logits [B, 1, h, w], one tensor a scale."""
        return [activations[-1] for activations in self.features(x, y)]

    def features(self, x: Tensor, y: Tensor) -> list[list[Tensor]]:
        """One list a scale: what every block gives, the logits last."""
        features = []
        for i, scale in enumerate(self.scales):
            if i > 0:
                x, y = (F.avg_pool2d(z, 3, 2, 1, count_include_pad=False) for z in (x, y))  # [B, C, H/2, W/2]
            features += cast(PatchDiscriminator, scale).features(x, y)
        return features
