"""The generators, built from numbers: the paper's U-Net, the article's, HugGAN's, and the residual one.

A generator maps [B, in_channels, H, W] in [-1, 1] to [B, out_channels, H, W] in [-1, 1].
"""

from itertools import pairwise
from typing import get_args

import torch
from torch import Tensor, nn

from pix2pix.capture import capturing
from pix2pix.config import DEPTHS, DropoutBlocks, ModelConfig
from pix2pix.layers import (
    block_of,
    double,
    dropout_layer,
    halve_4x4,
    level_channels,
    norm_layer,
    require_choice,
    require_numbers,
    resize_and_convolve,
)
from pix2pix.pretrained import Pretrained

GENERATORS = tuple(DEPTHS)
DROPOUT_BLOCKS: tuple[str, ...] = get_args(DropoutBlocks)


def build_generator(
    name: str,
    *,
    in_channels: int,
    out_channels: int,
    width: int,
    norm: str,
    dropout: float,
    upsample: str = "transpose",
    depth: int | None = None,
    dropout_blocks: str = "first_three",
) -> "Generator":
    """The generator called `name`, one of GENERATORS, with torch's own weights (so it builds on meta too).

    `depth` replaces the name's own number of U-Net levels or residual blocks. unet_article always resizes;
    `dropout_blocks` is for unet_256 and unet_128.
    """
    require_choice("generator", name, GENERATORS)
    depth = DEPTHS[name] if depth is None else depth
    if name == "unet_article":
        return ArticleUNetGenerator(in_channels, out_channels, width, depth, norm, dropout)
    if name == "unet_huggan":
        return HugGANUNetGenerator(in_channels, out_channels, width, depth, norm, dropout, upsample)
    if name.startswith("resnet"):
        return ResNetGenerator(in_channels, out_channels, width, depth, norm, dropout, upsample)
    return UNetGenerator(in_channels, out_channels, width, depth, norm, dropout, upsample, dropout_blocks)


class Generator(Pretrained):
    """What all generators share: the shape they take, and the refusal of any other.

    H and W must be multiples of `multiple` and at least `smallest`.
    """

    config_class = ModelConfig

    @staticmethod
    def build(config: ModelConfig) -> "Generator":
        """The generator of a model's configuration, with torch's own weights."""
        G = build_generator(
            config.generator,
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            width=config.width,
            norm=config.norm,
            dropout=config.dropout,
            upsample=config.upsample,
            depth=config.depth,
            dropout_blocks=config.dropout_blocks,
        )
        for layer in G.modules():
            if isinstance(layer, nn.InstanceNorm2d | nn.BatchNorm2d):
                layer.eps = config.norm_epsilon
        return G

    def __init__(self, in_channels: int, out_channels: int, multiple: int, smallest: int):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.multiple = multiple
        self.smallest = smallest

    def require_shape(self, x: Tensor) -> None:
        """Raises ValueError for an input that this network cannot take; silent while a graph is captured."""
        if capturing():
            return
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"input has shape {list(x.shape)}; this generator takes [B, {self.in_channels}, H, W]: "
                "convert the picture's channels, or build with another in_channels"
            )
        height, width = x.shape[2:]
        if height % self.multiple or width % self.multiple or min(height, width) < self.smallest:
            raise ValueError(
                f"input is {height}x{width} (H x W); both sides must be multiples of {self.multiple} and at "
                f"least {self.smallest}: pad it and crop the result, or build with a smaller depth"
            )


class _UNet(Generator):
    """Two lists of equal length and a stack of skips; the subclass fills the lists."""

    encoder: nn.ModuleList
    decoder: nn.ModuleList

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] in [-1, 1] -> [B, out_channels, H, W] in [-1, 1]."""
        self.require_shape(x)
        skips = []
        for encode in self.encoder:
            x = encode(x)  # [B, C, H/2, W/2]
            skips.append(x)
        skips.pop()  # the innermost is the decoder's input, not a skip
        for decode in self.decoder:
            x = decode(x)  # [B, C, 2H, 2W]
            if skips:
                x = torch.cat((skips.pop(), x), 1)  # [B, 2C, H, W]
        return x


class UNetGenerator(_UNet):
    """The paper's U-Net (Isola et al. 2017, section 3.2.1, appendix 6.1.1); by default 54,414,531 parameters.

    `depth` 8 is the paper's for 256 pixels, 7 the one for 128. `upsample="resize"` puts nearest x2 and a 4x4
    convolution in place of the transposed convolution, against checkerboards (Odena et al. 2016);
    "resize_3x3" has a kernel with a middle, and little more than half the weights.
    `dropout_blocks="after_innermost"` moves dropout to where the PyTorch port has it: in all blocks of eight
    times the width but the innermost, which at depth 8 are the second to fourth.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        depth: int = 8,
        norm: str = "instance",
        dropout: float = 0.5,
        upsample: str = "transpose",
        dropout_blocks: str = "first_three",
    ):
        super().__init__(in_channels, out_channels, multiple=2**depth, smallest=2**depth)
        require_numbers(norm, dropout, upsample, depth=depth, width=width)
        require_choice("dropout_blocks", dropout_blocks, DROPOUT_BLOCKS)
        channels = level_channels(width, depth)
        bias = norm == "none"  # a norm right behind a convolution takes over its bias

        self.encoder = nn.ModuleList([block_of(conv=halve_4x4(in_channels, width))])  # no norm on the first
        for inputs, outputs in pairwise(channels[:-1]):
            conv, normalize = halve_4x4(inputs, outputs, bias), norm_layer(norm, outputs)
            self.encoder.append(block_of(activation=nn.LeakyReLU(0.2), conv=conv, norm=normalize))
        conv = halve_4x4(channels[-2], channels[-1])  # no norm on the innermost: it may be 1x1
        self.encoder.append(block_of(activation=nn.LeakyReLU(0.2), conv=conv))

        noisy = range(3) if dropout_blocks == "first_three" else range(1, depth - 4)
        self.decoder = nn.ModuleList()
        inputs = channels[-1]
        for i, outputs in enumerate(reversed(channels[:-1])):
            up, normalize = double(upsample, 4, inputs, outputs, bias), norm_layer(norm, outputs)
            drop = dropout_layer(dropout if i in noisy else 0.0)  # section 3.1: the only noise z
            self.decoder.append(block_of(activation=nn.ReLU(), **up, norm=normalize, dropout=drop))
            inputs = 2 * outputs
        up = double(upsample, 4, inputs, out_channels)
        self.decoder.append(block_of(activation=nn.ReLU(), **up, tanh=nn.Tanh()))


class ArticleUNetGenerator(_UNet):
    """The article's U-Net: resize-convolutions, norm behind the activation; by default 41,834,499 parameters.

    Every level but the first is normalized, the innermost too. A norm over one position is undefined, so the
    smallest side is 2**(depth + 1), 256 at depth 7; without norm it is 2**depth.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        depth: int = 7,
        norm: str = "batch",
        dropout: float = 0.0,
    ):
        smallest = 2**depth if norm == "none" else 2 ** (depth + 1)
        super().__init__(in_channels, out_channels, multiple=2**depth, smallest=smallest)
        require_numbers(norm, dropout, depth=depth, width=width)
        channels = level_channels(width, depth)

        first = block_of(conv=halve_4x4(in_channels, width), activation=nn.LeakyReLU(0.2))
        self.encoder = nn.ModuleList([first])
        for inputs, outputs in pairwise(channels):
            conv, normalize = halve_4x4(inputs, outputs), norm_layer(norm, outputs)
            self.encoder.append(block_of(conv=conv, activation=nn.LeakyReLU(0.2), norm=normalize))

        self.decoder = nn.ModuleList()
        inputs = channels[-1]
        for i, outputs in enumerate(reversed(channels[:-1])):
            up, normalize = double("resize", 4, inputs, outputs), norm_layer(norm, outputs)
            drop = dropout_layer(dropout if i < 3 else 0.0)
            self.decoder.append(block_of(**up, activation=nn.ReLU(), norm=normalize, dropout=drop))
            inputs = 2 * outputs
        self.decoder.append(block_of(**double("resize", 4, inputs, out_channels), tanh=nn.Tanh()))


class HugGANUNetGenerator(_UNet):
    """The U-Net of HugGAN's script: the paper's, but that activations come behind the norms.

    So skips carry LeakyReLU's output, and the last block resizes (nearest x2, 4x4 convolution padded by 2
    before and 1 behind). Dropout is in all levels of eight times the width: encoder 4 to 8, decoder 1 to 4.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        depth: int = 8,
        norm: str = "instance",
        dropout: float = 0.5,
        upsample: str = "transpose",
    ):
        super().__init__(in_channels, out_channels, multiple=2**depth, smallest=2**depth)
        require_numbers(norm, dropout, upsample, depth=depth, width=width)
        channels = level_channels(width, depth)
        bias = norm == "none"

        self.encoder = nn.ModuleList()
        for i, (inputs, outputs) in enumerate(pairwise([in_channels, *channels])):
            inner = 0 < i < depth - 1  # no norm on the first and the innermost
            conv = halve_4x4(inputs, outputs, bias or not inner)
            normalize = norm_layer(norm if inner else "none", outputs)
            drop = dropout_layer(dropout if i > 2 else 0.0)
            self.encoder.append(
                block_of(conv=conv, norm=normalize, activation=nn.LeakyReLU(0.2), dropout=drop)
            )

        self.decoder = nn.ModuleList()
        inputs = channels[-1]
        for i, outputs in enumerate(reversed(channels[:-1])):
            up, normalize = double(upsample, 4, inputs, outputs, bias), norm_layer(norm, outputs)
            drop = dropout_layer(dropout if i < 4 else 0.0)
            self.decoder.append(block_of(**up, norm=normalize, activation=nn.ReLU(), dropout=drop))
            inputs = 2 * outputs
        up = resize_and_convolve(nn.ZeroPad2d((2, 1, 2, 1)), nn.Conv2d(inputs, out_channels, 4))
        self.decoder.append(block_of(**up, tanh=nn.Tanh()))


class ResNetGenerator(Generator):
    """The residual generator of Johnson et al. (2016) as CycleGAN has it (Zhu et al. 2017, appendix 7.2).

    c7s1-64, d128, d256, the residual blocks, u128, u64, c7s1-3, with reflection padding. `upsample="resize"`
    puts nearest x2 and a 3x3 convolution in place of the transposed convolution.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        blocks: int = 9,
        norm: str = "instance",
        dropout: float = 0.0,
        upsample: str = "transpose",
    ):
        # smallest: a reflection of 1 needs 2 positions a side, behind two halvings
        super().__init__(in_channels, out_channels, multiple=4, smallest=8)
        require_numbers(norm, dropout, upsample, width=width)
        if blocks < 1:
            raise ValueError(f"blocks is {blocks}; a residual generator has at least 1")
        bias = norm == "none"

        conv, normalize = nn.Conv2d(in_channels, width, 7, bias=bias), norm_layer(norm, width)
        first = block_of(pad=nn.ReflectionPad2d(3), conv=conv, norm=normalize, activation=nn.ReLU())
        self.encoder = nn.ModuleList([first])
        for inputs in (width, 2 * width):
            conv = nn.Conv2d(inputs, 2 * inputs, 3, 2, 1, bias=bias)
            self.encoder.append(block_of(conv=conv, norm=norm_layer(norm, 2 * inputs), activation=nn.ReLU()))
        self.blocks = nn.ModuleList(ResidualBlock(4 * width, norm, dropout) for _ in range(blocks))
        self.decoder = nn.ModuleList()
        for outputs in (2 * width, width):
            up = double(upsample, 3, 2 * outputs, outputs, bias)
            self.decoder.append(block_of(**up, norm=norm_layer(norm, outputs), activation=nn.ReLU()))
        last = nn.Conv2d(width, out_channels, 7)
        self.decoder.append(block_of(pad=nn.ReflectionPad2d(3), conv=last, tanh=nn.Tanh()))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] in [-1, 1] -> [B, out_channels, H, W] in [-1, 1]."""
        self.require_shape(x)
        for encode in self.encoder:
            x = encode(x)  # [B, width, H, W], then [B, 2 width, H/2, W/2], then [B, 4 width, H/4, W/4]
        for block in self.blocks:
            x = block(x)
        for decode in self.decoder:
            x = decode(x)  # [B, 2 width, H/2, W/2], then [B, width, H, W], then [B, out_channels, H, W]
        return x


class ResidualBlock(nn.Module):
    """Two reflected 3x3 convolutions with norm, added to their input; no activation behind the sum."""

    def __init__(self, channels: int, norm: str, dropout: float):
        super().__init__()
        bias = norm == "none"
        conv = nn.Conv2d(channels, channels, 3, bias=bias)
        layers = {"pad": nn.ReflectionPad2d(1), "conv": conv, "norm": norm_layer(norm, channels)}
        self.first = block_of(**layers, activation=nn.ReLU(), dropout=dropout_layer(dropout))
        conv = nn.Conv2d(channels, channels, 3, bias=bias)
        self.second = block_of(pad=nn.ReflectionPad2d(1), conv=conv, norm=norm_layer(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))
