"""The networks: the generators and the discriminators, which everybody imports from here.

They are plain modules, built from numbers. Weights are torch's until `initialize`.
"""

from torch import nn

from pix2pix.discriminators import (
    DISCRIMINATORS,
    ArticleDiscriminator,
    Discriminator,
    JudgesPairs,
    MultiscaleDiscriminator,
    PatchDiscriminator,
    build_discriminator,
)
from pix2pix.generators import (
    DROPOUT_BLOCKS,
    GENERATORS,
    ArticleUNetGenerator,
    Generator,
    HugGANUNetGenerator,
    ResidualBlock,
    ResNetGenerator,
    UNetGenerator,
    build_generator,
)
from pix2pix.layers import NORMS, UPSAMPLES

__all__ = [
    "DISCRIMINATORS",
    "DROPOUT_BLOCKS",
    "GENERATORS",
    "NORMS",
    "UPSAMPLES",
    "ArticleDiscriminator",
    "ArticleUNetGenerator",
    "Discriminator",
    "Generator",
    "HugGANUNetGenerator",
    "JudgesPairs",
    "MultiscaleDiscriminator",
    "PatchDiscriminator",
    "ResNetGenerator",
    "ResidualBlock",
    "UNetGenerator",
    "build_discriminator",
    "build_generator",
    "initialize",
]


def initialize(module: nn.Module, std: float = 0.02) -> None:
    """Draws the paper's initial weights from torch's global generator (section 3.3 and appendix 6.2).

    Convolutions N(0, std), norms N(1, std), every bias 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, std)
        elif isinstance(layer, nn.InstanceNorm2d | nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
