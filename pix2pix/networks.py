"""The generators and the discriminators: plain modules, built from numbers.

A generator maps [B, in_channels, H, W] in [-1, 1] to [B, out_channels, H, W] in [-1, 1]; a discriminator
judges a pair (x, y), the input and its translation, patch by patch. Weights are torch's until `initialize`.
"""

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pix2pix.config import DiscriminatorConfig, ModelConfig
from pix2pix.pretrained import Pretrained
from pix2pix.resize_convolution import ResizeConv2d

_DEPTHS = {
    "unet_256": 8, "unet_128": 7, "unet_article": 7, "resnet_9blocks": 9, "resnet_6blocks": 6,
    "unet_huggan": 8,
}  # fmt: skip
GENERATORS = tuple(_DEPTHS)
DISCRIMINATORS = ("patch", "pixel", "article", "multiscale")
NORMS = ("instance", "batch", "none")
UPSAMPLES = ("transpose", "resize", "resize_3x3")
DROPOUT_BLOCKS = ("first_three", "after_innermost")


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
    _require_choice("generator", name, GENERATORS)
    depth = _DEPTHS[name] if depth is None else depth
    if name == "unet_article":
        return ArticleUNetGenerator(in_channels, out_channels, width, depth, norm, dropout)
    if name == "unet_huggan":
        return HugGANUNetGenerator(in_channels, out_channels, width, depth, norm, dropout, upsample)
    if name.startswith("resnet"):
        return ResNetGenerator(in_channels, out_channels, width, depth, norm, dropout, upsample)
    return UNetGenerator(in_channels, out_channels, width, depth, norm, dropout, upsample, dropout_blocks)


def build_discriminator(
    name: str, *, in_channels: int, width: int, layers: int, norm: str
) -> "Discriminator | MultiscaleDiscriminator":
    """The discriminator called `name`, one of DISCRIMINATORS, with torch's default weights.

    `in_channels` counts x and y together. `layers` is for patch and multiscale; the others have one depth.
    """
    _require_choice("discriminator", name, DISCRIMINATORS)
    if name == "article":
        return ArticleDiscriminator(in_channels, width, norm)
    if name == "multiscale":
        return MultiscaleDiscriminator(in_channels, width, layers, norm)
    return PatchDiscriminator(in_channels, width, 0 if name == "pixel" else layers, norm)


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


# ------------------------------------------------------------------------------------------------ generators


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
        if _capturing():
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
        _require_numbers(norm, dropout, upsample, depth=depth, width=width)
        _require_choice("dropout_blocks", dropout_blocks, DROPOUT_BLOCKS)
        channels = _level_channels(width, depth)
        bias = norm == "none"  # a norm right behind a convolution takes over its bias

        self.encoder = nn.ModuleList([_block(conv=_halve_4x4(in_channels, width))])  # no norm on the first
        for inputs, outputs in pairwise(channels[:-1]):
            conv, normalize = _halve_4x4(inputs, outputs, bias), _norm(norm, outputs)
            self.encoder.append(_block(activation=nn.LeakyReLU(0.2), conv=conv, norm=normalize))
        conv = _halve_4x4(channels[-2], channels[-1])  # no norm on the innermost: it may be 1x1
        self.encoder.append(_block(activation=nn.LeakyReLU(0.2), conv=conv))

        noisy = range(3) if dropout_blocks == "first_three" else range(1, depth - 4)
        self.decoder = nn.ModuleList()
        inputs = channels[-1]
        for i, outputs in enumerate(reversed(channels[:-1])):
            up = _double(upsample, 4, inputs, outputs, bias)
            drop = _dropout(dropout if i in noisy else 0.0)  # section 3.1: the only noise z
            self.decoder.append(_block(activation=nn.ReLU(), **up, norm=_norm(norm, outputs), dropout=drop))
            inputs = 2 * outputs
        up = _double(upsample, 4, inputs, out_channels)
        self.decoder.append(_block(activation=nn.ReLU(), **up, tanh=nn.Tanh()))


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
        _require_numbers(norm, dropout, depth=depth, width=width)
        channels = _level_channels(width, depth)

        first = _block(conv=_halve_4x4(in_channels, width), activation=nn.LeakyReLU(0.2))
        self.encoder = nn.ModuleList([first])
        for inputs, outputs in pairwise(channels):
            conv, normalize = _halve_4x4(inputs, outputs), _norm(norm, outputs)
            self.encoder.append(_block(conv=conv, activation=nn.LeakyReLU(0.2), norm=normalize))

        self.decoder = nn.ModuleList()
        inputs = channels[-1]
        for i, outputs in enumerate(reversed(channels[:-1])):
            up = _double("resize", 4, inputs, outputs)
            drop = _dropout(dropout if i < 3 else 0.0)
            self.decoder.append(_block(**up, activation=nn.ReLU(), norm=_norm(norm, outputs), dropout=drop))
            inputs = 2 * outputs
        self.decoder.append(_block(**_double("resize", 4, inputs, out_channels), tanh=nn.Tanh()))


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
        _require_numbers(norm, dropout, upsample, depth=depth, width=width)
        channels = _level_channels(width, depth)
        bias = norm == "none"

        self.encoder = nn.ModuleList()
        for i, (inputs, outputs) in enumerate(pairwise([in_channels, *channels])):
            inner = 0 < i < depth - 1  # no norm on the first and the innermost
            conv = _halve_4x4(inputs, outputs, bias or not inner)
            normalize, drop = _norm(norm if inner else "none", outputs), _dropout(dropout if i > 2 else 0.0)
            self.encoder.append(_block(conv=conv, norm=normalize, activation=nn.LeakyReLU(0.2), dropout=drop))

        self.decoder = nn.ModuleList()
        inputs = channels[-1]
        for i, outputs in enumerate(reversed(channels[:-1])):
            up = _double(upsample, 4, inputs, outputs, bias)
            drop = _dropout(dropout if i < 4 else 0.0)
            self.decoder.append(_block(**up, norm=_norm(norm, outputs), activation=nn.ReLU(), dropout=drop))
            inputs = 2 * outputs
        last = nn.Conv2d(inputs, out_channels, 4)
        grown = {"upsample": nn.Upsample(scale_factor=2), "pad": nn.ZeroPad2d((2, 1, 2, 1))}
        self.decoder.append(_block(**grown, conv=last, tanh=nn.Tanh()))


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
        _require_numbers(norm, dropout, upsample, width=width)
        if blocks < 1:
            raise ValueError(f"blocks is {blocks}; a residual generator has at least 1")
        bias = norm == "none"

        conv = nn.Conv2d(in_channels, width, 7, bias=bias)
        first = _block(pad=nn.ReflectionPad2d(3), conv=conv, norm=_norm(norm, width), activation=nn.ReLU())
        self.encoder = nn.ModuleList([first])
        for inputs in (width, 2 * width):
            conv = nn.Conv2d(inputs, 2 * inputs, 3, 2, 1, bias=bias)
            self.encoder.append(_block(conv=conv, norm=_norm(norm, 2 * inputs), activation=nn.ReLU()))
        self.blocks = nn.ModuleList(ResidualBlock(4 * width, norm, dropout) for _ in range(blocks))
        self.decoder = nn.ModuleList()
        for outputs in (2 * width, width):
            up = _double(upsample, 3, 2 * outputs, outputs, bias)
            self.decoder.append(_block(**up, norm=_norm(norm, outputs), activation=nn.ReLU()))
        last = nn.Conv2d(width, out_channels, 7)
        self.decoder.append(_block(pad=nn.ReflectionPad2d(3), conv=last, tanh=nn.Tanh()))

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
        layers = {"pad": nn.ReflectionPad2d(1), "conv": conv, "norm": _norm(norm, channels)}
        self.first = _block(**layers, activation=nn.ReLU(), dropout=_dropout(dropout))
        conv = nn.Conv2d(channels, channels, 3, bias=bias)
        self.second = _block(pad=nn.ReflectionPad2d(1), conv=conv, norm=_norm(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


# -------------------------------------------------------------------------------------------- discriminators


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
        if _capturing():
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
        _require_numbers(norm, width=width)
        if layers < 0:
            raise ValueError(f"layers is {layers}; a patch discriminator has 0 (PixelGAN) or more")
        bias = norm == "none"
        kernel, pad = (4, 1) if layers else (1, 0)
        strides = [2] * layers + [1] if layers else [1, 1]
        channels = _level_channels(width, len(strides))

        first = nn.Conv2d(in_channels, width, kernel, strides[0], pad)
        self.blocks = nn.ModuleList([_block(conv=first, activation=nn.LeakyReLU(0.2))])
        for (inputs, outputs), stride in zip(pairwise(channels), strides[1:], strict=True):
            conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=bias)
            self.blocks.append(_block(conv=conv, norm=_norm(norm, outputs), activation=nn.LeakyReLU(0.2)))
        self.blocks.append(_block(conv=nn.Conv2d(channels[-1], 1, kernel, 1, pad)))


class ArticleDiscriminator(Discriminator):
    """The article's: four halvings and a "same" convolution; 16x16 logits at 256 pixels, each seeing 94."""

    def __init__(self, in_channels: int = 6, width: int = 64, norm: str = "batch"):
        super().__init__(in_channels, smallest=16 if norm == "none" else 32)  # a norm needs 2 positions
        _require_numbers(norm, width=width)
        first = _block(conv=_halve_4x4(in_channels, width), activation=nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleList([first])
        for inputs, outputs in pairwise(_level_channels(width, 4)):
            conv, normalize = _halve_4x4(inputs, outputs), _norm(norm, outputs)
            self.blocks.append(_block(conv=conv, activation=nn.LeakyReLU(0.2), norm=normalize))
        self.blocks.append(_block(pad=_same_4x4(), conv=nn.Conv2d(8 * width, 1, 4)))


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


# ---------------------------------------------------------------------------------------------- their layers


def _block(**layers: nn.Module | None) -> nn.Sequential:
    """The layers in their order under their names, so that leaving one out (None) renames no weight."""
    block = nn.Sequential()
    for name, layer in layers.items():
        if layer is not None:
            block.add_module(name, layer)
    return block


def _norm(norm: str, channels: int) -> nn.Module | None:
    if norm == "none":
        return None
    return nn.InstanceNorm2d(channels, affine=True) if norm == "instance" else nn.BatchNorm2d(channels)


def _dropout(probability: float) -> nn.Module | None:
    return nn.Dropout(probability) if probability > 0 else None


def _halve_4x4(inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias)


def _double(upsample: str, kernel: int, inputs: int, outputs: int, bias: bool = True) -> dict[str, nn.Module]:
    if upsample == "transpose":
        conv = nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=4 - kernel, bias=bias)
        return {"conv": conv}
    if kernel == 4:
        return {"conv": ResizeConv2d(inputs, outputs, 3 if upsample == "resize_3x3" else 4, bias)}
    return {
        "upsample": nn.Upsample(scale_factor=2),
        "pad": nn.ReflectionPad2d(1),
        "conv": nn.Conv2d(inputs, outputs, kernel, bias=bias),
    }


def _same_4x4() -> nn.Module:
    return nn.ZeroPad2d((1, 2, 1, 2))  # "same" for a 4x4 kernel at stride 1: 3 in all, the odd one behind


def _level_channels(width: int, depth: int) -> list[int]:
    return [width * min(2**i, 8) for i in range(depth)]  # C64-C128-C256-C512-C512-...


def _capturing() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _require_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} is {value!r}; choose one of {', '.join(choices)}")


def _require_numbers(
    norm: str, dropout: float = 0.0, upsample: str = "resize", *, width: int, depth: int | None = None
) -> None:
    _require_choice("norm", norm, NORMS)
    _require_choice("upsample", upsample, UPSAMPLES)
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout is {dropout}; a probability from 0 (none) to below 1")
    if width < 1:
        raise ValueError(f"width is {width}; the first level needs at least 1 channel")
    if depth is not None and depth < 2:
        raise ValueError(f"depth is {depth}; a U-Net has at least 2 levels")
