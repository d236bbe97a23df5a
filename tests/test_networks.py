"""The networks: the published architectures, number by number, and what their users complained about."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pix2pix.networks import (
    DISCRIMINATORS,
    GENERATORS,
    ArticleDiscriminator,
    ArticleUNetGenerator,
    Discriminator,
    Generator,
    MultiscaleDiscriminator,
    PatchDiscriminator,
    ResNetGenerator,
    UNetGenerator,
    build_discriminator,
    build_generator,
    initialize,
)
from pix2pix.normalization import frozen_statistics, per_picture_statistics

NORMS = ("instance", "batch", "none")
TINY: list[Callable[..., Generator]] = [
    functools.partial(UNetGenerator, width=2, depth=3, dropout=0.0),
    functools.partial(UNetGenerator, width=2, depth=3, dropout=0.0, upsample="resize"),
    functools.partial(ArticleUNetGenerator, width=2, depth=3),
    functools.partial(ResNetGenerator, width=2, blocks=2),
    functools.partial(ResNetGenerator, width=2, blocks=2, upsample="resize"),
]
each_generator = pytest.mark.parametrize(
    "build", TINY, ids=["unet", "unet-resize", "article", "resnet", "resnet-resize"]
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """On tensors this small, threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def picture(count: int, height: int, width: int, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, height, width) * 2 - 1


def roughen(module: nn.Module) -> None:
    """Weights large enough, and norms crooked enough, for every layer to leave its mark."""
    for name, parameter in module.named_parameters():
        centre = 1.0 if "norm.weight" in name else 0.0
        nn.init.normal_(parameter, centre, 0.3)


def convolutions(module: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def norms(module: nn.Module) -> list[nn.InstanceNorm2d | nn.BatchNorm2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.InstanceNorm2d | nn.BatchNorm2d)]


# --------------------------------------------------------------------------------------- published parameters

# (inputs, outputs, behind it) of every convolution: a norm has two values a channel, a bias one
PAPER_UNET = [
    (3, 64, "bias"), (64, 128, "norm"), (128, 256, "norm"), (256, 512, "norm"),
    (512, 512, "norm"), (512, 512, "norm"), (512, 512, "norm"), (512, 512, "bias"),
    (512, 512, "norm"), (1024, 512, "norm"), (1024, 512, "norm"), (1024, 512, "norm"),
    (1024, 256, "norm"), (512, 128, "norm"), (256, 64, "norm"), (128, 3, "bias"),
]  # fmt: skip
ARTICLE_UNET = [
    (3, 64, "bias"), (64, 128, "bias norm"), (128, 256, "bias norm"), (256, 512, "bias norm"),
    (512, 512, "bias norm"), (512, 512, "bias norm"), (512, 512, "bias norm"),
    (512, 512, "bias norm"), (1024, 512, "bias norm"), (1024, 512, "bias norm"),
    (1024, 256, "bias norm"), (512, 128, "bias norm"), (256, 64, "bias norm"), (128, 3, "bias"),
]  # fmt: skip
PAPER_DISCRIMINATOR = [
    (6, 64, "bias"), (64, 128, "norm"), (128, 256, "norm"), (256, 512, "norm"), (512, 1, "bias"),
]  # fmt: skip
ARTICLE_DISCRIMINATOR = [
    (6, 64, "bias"), (64, 128, "bias norm"), (128, 256, "bias norm"), (256, 512, "bias norm"),
    (512, 1, "bias"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("build", "layers", "published"),
    [
        (UNetGenerator, PAPER_UNET, 54_414_531),
        (functools.partial(UNetGenerator, norm="batch"), PAPER_UNET, 54_414_531),
        (functools.partial(UNetGenerator, upsample="resize"), PAPER_UNET, 54_414_531),
        (ArticleUNetGenerator, ARTICLE_UNET, 41_834_499),
        (functools.partial(ArticleUNetGenerator, norm="instance"), ARTICLE_UNET, 41_834_499),
        (PatchDiscriminator, PAPER_DISCRIMINATOR, 2_768_705),
        (functools.partial(PatchDiscriminator, norm="batch"), PAPER_DISCRIMINATOR, 2_768_705),
        (ArticleDiscriminator, ARTICLE_DISCRIMINATOR, 2_769_601),
    ],
)
def test_parameters_are_the_published_ones_layer_by_layer(
    build: Callable[[], nn.Module], layers: list[tuple[int, int, str]], published: int
) -> None:
    expected = []
    for inputs, outputs, behind in layers:
        expected.append(16 * inputs * outputs)
        expected += [outputs] * ("bias" in behind) + [outputs, outputs] * ("norm" in behind)
    with torch.device("meta"):
        network = build()
    assert [parameter.numel() for parameter in network.parameters()] == expected
    assert sum(expected) == published


def test_the_other_published_totals_follow_from_their_biases() -> None:
    """The Lua original has every bias; the PyTorch port with batch norm lacks two more than we do."""
    channels_before_norms = sum(outputs for _, outputs, behind in PAPER_UNET if behind == "norm")
    assert 54_414_531 + channels_before_norms == 54_419_459
    assert 54_414_531 - 64 - 512 == 54_413_955


@pytest.mark.parametrize("norm", NORMS)
def test_only_a_convolution_right_before_a_norm_lacks_its_bias(norm: str) -> None:
    for network in (
        UNetGenerator(width=2, norm=norm),
        ResNetGenerator(width=2, norm=norm),
        PatchDiscriminator(6, 2),
    ):
        for block in (m for m in network.modules() if isinstance(m, nn.Sequential)):
            convolution = convolutions(block)[0]
            assert (convolution.bias is None) == bool(norms(block))


def test_resnet_has_the_published_layers() -> None:
    with torch.device("meta"):
        network = ResNetGenerator()
    shapes = [
        (type(c).__name__, c.in_channels, c.out_channels, c.kernel_size[0]) for c in convolutions(network)
    ]
    assert shapes == [
        ("Conv2d", 3, 64, 7),
        ("Conv2d", 64, 128, 3),
        ("Conv2d", 128, 256, 3),
        *[("Conv2d", 256, 256, 3)] * 18,
        ("ConvTranspose2d", 256, 128, 3),
        ("ConvTranspose2d", 128, 64, 3),
        ("Conv2d", 64, 3, 7),
    ]


# ------------------------------------------------------------------------- parity with the published networks


class RecursiveUNet(nn.Module):
    """The PyTorch port's UnetSkipConnectionBlock, with its batch norm or its non-affine instance norm."""

    def __init__(
        self, outer: int, inner: int, norm: type[nn.Module], inputs: int | None = None,
        submodule: nn.Module | None = None, outermost: bool = False, innermost: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.outermost = outermost
        bias = norm is nn.InstanceNorm2d
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=bias)
        downrelu, uprelu = nn.LeakyReLU(0.2, True), nn.ReLU(True)
        if outermost:
            up = nn.ConvTranspose2d(inner * 2, outer, 4, 2, 1)
            layers = [down, submodule or nn.Identity(), uprelu, up, nn.Tanh()]
        elif innermost:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
            layers = [downrelu, down, uprelu, up, norm(outer)]
        else:
            up = nn.ConvTranspose2d(inner * 2, outer, 4, 2, 1, bias=bias)
            layers = [downrelu, down, norm(inner), submodule or nn.Identity(), uprelu, up, norm(outer)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


def recursive_unet(width: int, depth: int, norm: type[nn.Module]) -> nn.Module:
    block = RecursiveUNet(width * 8, width * 8, norm, innermost=True)
    for _ in range(depth - 5):
        block = RecursiveUNet(width * 8, width * 8, norm, submodule=block)
    for factor in (4, 2, 1):
        block = RecursiveUNet(width * factor, width * factor * 2, norm, submodule=block)
    return RecursiveUNet(3, width, norm, inputs=3, submodule=block, outermost=True)


class PortResidual(nn.Module):
    def __init__(self, channels: int, norm: type[nn.Module]):
        super().__init__()
        bias = norm is nn.InstanceNorm2d
        layers = [
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm(channels),
            nn.ReLU(True),
        ]
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def port_resnet(width: int, blocks: int, norm: type[nn.Module]) -> nn.Module:
    bias = norm is nn.InstanceNorm2d
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias), norm(width), nn.ReLU(True)]
    for c in (width, 2 * width):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), norm(2 * c), nn.ReLU(True)]
    layers += [PortResidual(4 * width, norm) for _ in range(blocks)]
    for c in (4 * width, 2 * width):
        up = nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1, bias=bias)
        layers += [up, norm(c // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def port_discriminator(width: int, n: int, norm: type[nn.Module]) -> nn.Module:
    bias = norm is nn.InstanceNorm2d
    layers: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    factors = [min(2**i, 8) for i in range(n + 1)]
    for i in range(1, n + 1):
        conv = nn.Conv2d(width * factors[i - 1], width * factors[i], 4, 2 if i < n else 1, 1, bias=bias)
        layers += [conv, norm(width * factors[i]), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(width * factors[n], 1, 4, 1, 1))


def port_pixel_discriminator(width: int, norm: type[nn.Module]) -> nn.Module:
    bias = norm is nn.InstanceNorm2d
    first, second = nn.Conv2d(6, width, 1), nn.Conv2d(width, 2 * width, 1, bias=bias)
    last = nn.Conv2d(2 * width, 1, 1)
    return nn.Sequential(first, nn.LeakyReLU(0.2), second, norm(2 * width), nn.LeakyReLU(0.2), last)


@torch.no_grad()
def copy_weights(original: nn.Module, ours: nn.Module) -> None:
    """Layer by layer; a bias the original lacks is 0, one that its non-affine norm cancels is dropped."""
    roughen(original)
    for theirs, mine in zip(convolutions(original), convolutions(ours), strict=True):
        mine.weight.copy_(theirs.weight)
        if mine.bias is not None:
            mine.bias.copy_(torch.zeros(len(mine.bias)) if theirs.bias is None else theirs.bias)
    for its, norm in zip(norms(original), norms(ours), strict=True):
        norm.weight.copy_(its.weight if its.affine else torch.ones_like(norm.weight))
        norm.bias.copy_(its.bias if its.affine else torch.zeros_like(norm.bias))


each_norm = pytest.mark.parametrize(
    ("name", "norm"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d)]
)


@each_norm
@pytest.mark.parametrize("depth", [5, 7])
def test_unet_equals_the_recursive_original(name: str, norm: type[nn.Module], depth: int) -> None:
    original, ours = (
        recursive_unet(2, depth, norm),
        UNetGenerator(width=2, depth=depth, norm=name, dropout=0.0),
    )
    copy_weights(original, ours)
    x = picture(2, 128, 128)
    torch.testing.assert_close(ours(x), original(x), atol=1e-5, rtol=0)


@each_norm
def test_resnet_equals_the_original(name: str, norm: type[nn.Module]) -> None:
    original, ours = port_resnet(2, 3, norm), ResNetGenerator(width=2, blocks=3, norm=name)
    copy_weights(original, ours)
    x = picture(2, 32, 48)
    torch.testing.assert_close(ours(x), original(x), atol=1e-5, rtol=0)


@each_norm
@pytest.mark.parametrize("layers", [0, 1, 3, 5])
def test_patch_discriminator_equals_the_original(name: str, norm: type[nn.Module], layers: int) -> None:
    original = port_discriminator(2, layers, norm) if layers else port_pixel_discriminator(2, norm)
    ours = PatchDiscriminator(width=2, layers=layers, norm=name)
    copy_weights(original, ours)
    x, y = picture(2, 128, 128), picture(2, 128, 128)
    torch.testing.assert_close(ours(x, y), original(torch.cat((x, y), 1)), atol=1e-4, rtol=1e-5)


# ------------------------------------------------------------------------------------------------ what D sees


def receptive_field(D: Discriminator, side: int, row: int) -> tuple[int, int]:
    for parameter in D.parameters():
        nn.init.constant_(parameter, 0.1)  # all of one sign: no path cancels another
    x = torch.zeros(1, 1, side, side)
    y = torch.zeros(1, 1, side, side, requires_grad=True)
    D(x, y)[0, 0, row, row].backward()
    assert y.grad is not None
    seen = y.grad[0, 0] != 0
    return int(seen.any(1).sum()), int(seen.any(0).sum())


@pytest.mark.parametrize(("layers", "expected"), list(enumerate([1, 16, 34, 70, 142, 286, 574])))
def test_receptive_fields_are_the_papers(layers: int, expected: int) -> None:
    D = PatchDiscriminator(in_channels=2, width=1, layers=layers, norm="none")
    assert receptive_field(D, 12 * 2**layers, 4) == (expected, expected)


def test_receptive_field_of_the_articles_discriminator_is_94() -> None:
    assert receptive_field(ArticleDiscriminator(in_channels=2, width=1, norm="none"), 160, 4) == (94, 94)


@pytest.mark.parametrize(
    ("build", "grid"),
    [(PatchDiscriminator, 30), (ArticleDiscriminator, 16), (lambda: PatchDiscriminator(layers=0), 256)],
)
def test_grid_of_logits_is_the_published_one(build: Callable[[], nn.Module], grid: int) -> None:
    with torch.device("meta"):
        logits = build()(torch.empty(1, 3, 256, 256), torch.empty(1, 3, 256, 256))
    assert logits.shape == (1, 1, grid, grid)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_features_are_every_block_and_the_logits_last(layers: int) -> None:
    D = PatchDiscriminator(width=2, layers=layers)
    x, y = picture(1, 64, 64), picture(1, 64, 64)
    (activations,) = D.features(x, y)
    assert len(activations) == max(layers, 1) + 2
    assert torch.equal(activations[-1], D(x, y))
    assert torch.equal(activations[0], D.blocks[0](torch.cat((x, y), 1)))


def test_multiscale_judges_the_halved_pair_too() -> None:
    D = MultiscaleDiscriminator(width=2, layers=2, scales=3)
    x, y = picture(2, 64, 48), picture(2, 64, 48)
    logits, features = D(x, y), D.features(x, y)
    assert [len(activations) for activations in features] == [4, 4, 4]
    for i, scale in enumerate(D.scales):
        assert torch.equal(logits[i], scale(x, y))
        assert torch.equal(logits[i], features[i][-1])
        x, y = (nn.functional.avg_pool2d(z, 3, 2, 1, count_include_pad=False) for z in (x, y))


def test_multiscale_pyramid_keeps_a_constant_picture_constant_to_the_border() -> None:
    ones = torch.ones(1, 3, 16, 16)
    seen: list[Tensor] = []
    D = MultiscaleDiscriminator(width=1, layers=0)
    D.get_submodule("scales.1.blocks.0").register_forward_pre_hook(lambda block, inputs: seen.extend(inputs))
    D(ones, ones)
    assert torch.equal(seen[0], torch.ones(1, 6, 8, 8))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "build", [*(functools.partial(PatchDiscriminator, layers=n) for n in range(5)), ArticleDiscriminator,
              functools.partial(MultiscaleDiscriminator, layers=1)]
)  # fmt: skip
def test_a_discriminator_works_at_its_smallest_side(build: Callable[..., Any], norm: str) -> None:
    D = build(width=1, norm=norm)
    x = picture(1, D.smallest, D.smallest)
    outputs = D(x, x)
    for logits in outputs if isinstance(outputs, list) else [outputs]:
        assert logits.shape[:2] == (1, 1)
        assert logits.isfinite().all()


# ------------------------------------------------------------------------------------------ how G is wired up


@each_generator
@pytest.mark.parametrize("norm", NORMS)
def test_a_generator_keeps_the_shape_and_the_range_from_its_smallest_side_up(
    build: Callable[..., Generator], norm: str
) -> None:
    G = build(in_channels=1, out_channels=4, norm=norm)
    roughen(G)
    for height, width in ((G.smallest, G.smallest), (G.smallest + G.multiple, G.smallest + 2 * G.multiple)):
        y = G(3 * picture(2, height, width, channels=1))
        assert y.shape == (2, 4, height, width)
        assert y.abs().max() <= 1


@pytest.mark.parametrize("build", TINY[:3], ids=["unet", "unet-resize", "article"])
def test_encoder_k_feeds_the_decoder_behind_depth_minus_k(build: Callable[..., Generator]) -> None:
    G = build(depth=4, norm="none")
    assert isinstance(G, UNetGenerator | ArticleUNetGenerator)
    given: dict[str, Tensor] = {}
    taken: dict[int, Tensor] = {}
    for name in ("encoder", "decoder"):
        for i, block in enumerate(getattr(G, name), 1):
            block.register_forward_hook(lambda m, a, output, key=f"{name}{i}": given.update({key: output}))
    for i, block in enumerate(G.decoder, 1):
        block.register_forward_pre_hook(lambda m, inputs, key=i: taken.update({key: inputs[0]}))
    G(picture(1, 16, 32))
    assert torch.equal(taken[1], given["encoder4"])
    for k in (1, 2, 3):  # what encoder k gives joins what decoder 4 - k gives
        assert torch.equal(taken[5 - k], torch.cat((given[f"encoder{k}"], given[f"decoder{4 - k}"]), 1))


@pytest.mark.parametrize("build", TINY[:3], ids=["unet", "unet-resize", "article"])
def test_every_skip_reaches_the_picture(build: Callable[..., Generator]) -> None:
    G = build(depth=4, norm="none")
    roughen(G)
    x = picture(1, 16, 16)
    for k in (1, 2, 3):
        hook = G.get_submodule(f"decoder.{4 - k}").register_forward_pre_hook(_without_skip)
        muted = G(x)
        hook.remove()
        assert not torch.allclose(muted, G(x), atol=1e-6)


def _without_skip(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    skip, below = inputs[0].chunk(2, 1)
    return torch.cat((torch.zeros_like(skip), below), 1)


def test_unet_has_no_norm_on_the_first_nor_on_the_innermost_level() -> None:
    G = UNetGenerator(width=1, depth=5)
    assert [len(norms(block)) for block in G.encoder] == [0, 1, 1, 1, 0]
    assert [len(norms(block)) for block in G.decoder] == [1, 1, 1, 1, 0]
    assert G.train()(picture(1, 32, 32)).isfinite().all()  # 1x1 at the innermost


def test_article_has_its_norm_behind_the_activation_on_all_levels_but_the_first() -> None:
    G, D = ArticleUNetGenerator(width=1), ArticleDiscriminator(width=1)
    assert [len(norms(block)) for block in G.encoder] == [0, 1, 1, 1, 1, 1, 1]
    assert [len(norms(block)) for block in G.decoder] == [1, 1, 1, 1, 1, 1, 0]
    assert [len(norms(block)) for block in D.blocks] == [0, 1, 1, 1, 0]
    for block in (G.encoder[3], D.blocks[3]):
        assert [name for name, _ in block.named_children()] == ["conv", "activation", "norm"]
    names = [name for name, _ in G.decoder[3].named_children()]
    assert names == ["conv", "activation", "norm"]


def test_a_same_convolution_pads_one_before_and_two_behind() -> None:
    block = ArticleDiscriminator(width=1).get_submodule("blocks.4")
    (convolution,) = convolutions(block)
    initialize(convolution, std=0.0)
    nn.init.ones_(convolution.weight[0, 0, 1, 1])  # the tap that then looks at its own position
    x = picture(1, 6, 6, channels=convolution.in_channels)
    torch.testing.assert_close(block(x)[:, :1], x[:, :1])


def test_every_leak_is_a_fifth() -> None:
    for network in (
        UNetGenerator(width=1),
        ArticleUNetGenerator(width=1),
        PatchDiscriminator(),
        ArticleDiscriminator(),
    ):
        slopes = {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)}
        assert slopes == {0.2}


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (functools.partial(UNetGenerator, width=1, depth=8), [1, 1, 1, 0, 0, 0, 0, 0]),
        (functools.partial(UNetGenerator, width=1, depth=3), [1, 1, 0]),
        (functools.partial(UNetGenerator, width=1, depth=2), [1, 0]),
        (functools.partial(ArticleUNetGenerator, width=1, depth=7, dropout=0.5), [1, 1, 1, 0, 0, 0, 0]),
        (functools.partial(ArticleUNetGenerator, width=1, depth=7), [0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_dropout_is_in_the_first_three_decoder_blocks_and_never_the_last(
    build: Callable[[], Any], expected: list[int]
) -> None:
    G = build()
    drops = [[layer for layer in block if isinstance(layer, nn.Dropout)] for block in G.decoder]
    assert [len(layers) for layers in drops] == expected
    assert not any(isinstance(layer, nn.Dropout) for layer in G.encoder.modules())
    for block in (block for block, layers in zip(G.decoder, drops, strict=True) if layers):
        assert [name for name, _ in block.named_children()][-2:] == ["norm", "dropout"]


def test_resnet_drops_inside_its_residual_blocks_alone() -> None:
    G = ResNetGenerator(width=1, blocks=2, dropout=0.5)
    names = [name for name, layer in G.named_modules() if isinstance(layer, nn.Dropout)]
    assert names == ["blocks.0.first.dropout", "blocks.1.first.dropout"]


def test_names_of_weights_are_stable() -> None:
    """What is published today must load tomorrow, with or without dropout, whichever norm and upsampling."""
    plain = set(UNetGenerator(width=1, depth=3).state_dict())
    assert plain == {
        "encoder.0.conv.weight", "encoder.0.conv.bias",
        "encoder.1.conv.weight", "encoder.1.norm.weight", "encoder.1.norm.bias",
        "encoder.2.conv.weight", "encoder.2.conv.bias",
        "decoder.0.conv.weight", "decoder.0.norm.weight", "decoder.0.norm.bias",
        "decoder.1.conv.weight", "decoder.1.norm.weight", "decoder.1.norm.bias",
        "decoder.2.conv.weight", "decoder.2.conv.bias",
    }  # fmt: skip
    assert set(UNetGenerator(width=1, depth=3, dropout=0.0, upsample="resize").state_dict()) == plain
    assert set(ResNetGenerator(width=1, blocks=1, norm="none", dropout=0.5).state_dict()) == {
        f"{block}.conv.{kind}"
        for block in ("encoder.0", "encoder.1", "encoder.2", "blocks.0.first", "blocks.0.second", "decoder.0",
                      "decoder.1", "decoder.2")
        for kind in ("weight", "bias")
    }  # fmt: skip
    assert set(PatchDiscriminator(width=1, layers=1, norm="none").state_dict()) == {
        f"blocks.{i}.conv.{kind}" for i in range(3) for kind in ("weight", "bias")
    }


# -------------------------------------------------------------- the complaints: modes, batches, checkerboards


@each_generator
def test_a_batch_gives_what_its_pictures_give_alone(build: Callable[..., Generator]) -> None:
    G = build(norm="instance")
    roughen(G)
    x = picture(3, 32, 48)
    alone = torch.cat([G(one[None]) for one in x])
    torch.testing.assert_close(G(x), alone, atol=1e-5, rtol=0)


@each_generator
def test_train_and_eval_mode_agree_without_dropout(build: Callable[..., Generator]) -> None:
    G = build(norm="instance")
    x = picture(2, 32, 32)
    assert torch.equal(G.train()(x), G.eval()(x))


def test_dropout_is_the_only_difference_between_the_modes() -> None:
    G = UNetGenerator(width=2, depth=3, dropout=0.5)
    x = picture(1, 16, 16)
    assert not torch.equal(G(x), G(x))
    assert torch.equal(G.eval()(x), G(x))


@pytest.mark.parametrize(
    "build",
    [
        functools.partial(UNetGenerator, width=2, depth=3),
        functools.partial(ResNetGenerator, width=2, blocks=1),
    ],
    ids=["unet", "resnet"],
)
def test_resizing_leaves_no_checkerboard_where_transposing_does(build: Callable[..., Generator]) -> None:
    deviations = {}
    for upsample in ("resize", "resize_3x3", "transpose"):
        G = build(norm="none", dropout=0.0, upsample=upsample)
        roughen(G)
        y = G(torch.full((1, 3, 64, 64), 0.5)).double()
        interior = y[..., 24:40, 24:40]  # beyond the reach of the border's zeros
        phases = torch.stack([interior[..., i::2, j::2].mean((2, 3)) for i in (0, 1) for j in (0, 1)])
        deviations[upsample] = phases.std(0).max().item()
    assert deviations["resize"] < 1e-6
    assert deviations["resize_3x3"] < 1e-6
    assert deviations["transpose"] > 1e-3


# ----------------------------------------------------------------------------------- normalization statistics

BATCH_NORMED: list[Callable[[], Generator]] = [
    functools.partial(UNetGenerator, width=2, depth=3, norm="batch", dropout=0.0),
    functools.partial(ArticleUNetGenerator, width=2, depth=3),
    functools.partial(ResNetGenerator, width=2, blocks=1, norm="batch"),
]


@pytest.mark.parametrize("build", BATCH_NORMED)
def test_per_picture_statistics_are_batch_norm_in_training_on_one_picture(
    build: Callable[[], Generator],
) -> None:
    G = build()
    roughen(G)
    x = picture(2, 32, 16)
    expected = torch.cat([G.train()(one[None]) for one in x])
    keys = [key for key in G.state_dict() if "running" not in key and "num_batches" not in key]
    parameters = list(G.parameters())

    assert per_picture_statistics(G) is G

    torch.testing.assert_close(G.eval()(x), expected, atol=1e-5, rtol=0)
    assert torch.equal(G.train()(x), G.eval()(x))
    assert list(G.state_dict()) == keys
    assert all(a is b for a, b in zip(G.parameters(), parameters, strict=True))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in G.modules())


def test_per_picture_statistics_keep_eps_and_mode() -> None:
    inner = nn.Sequential(nn.BatchNorm2d(3, eps=0.25), nn.BatchNorm2d(3, affine=False))
    first, second = norms(per_picture_statistics(nn.Sequential(inner).eval()))
    assert (first.eps, first.training, first.affine, second.affine) == (0.25, False, True, False)


def test_per_picture_statistics_leave_other_networks_alone() -> None:
    G = UNetGenerator(width=2, depth=3)
    before = list(G.modules())
    assert all(a is b for a, b in zip(per_picture_statistics(G).modules(), before, strict=True))


def test_frozen_statistics_let_tiles_meet_without_seams() -> None:
    G = ResNetGenerator(width=2, blocks=1)
    roughen(G)
    whole = picture(1, 32, 192) * torch.linspace(0.1, 1, 192)  # the tile's own contrast is not the whole's
    expected = G(whole)
    tile = whole[..., :96]
    with frozen_statistics(G, whole):
        frozen = G(tile)
        torch.testing.assert_close(G(whole), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        frozen[..., :64], expected[..., :64], atol=1e-5, rtol=0
    )  # beyond the cut's reach
    assert not torch.allclose(G(tile)[..., :64], expected[..., :64], atol=1e-3)


def test_frozen_statistics_treat_every_picture_of_a_batch_alike() -> None:
    G = UNetGenerator(width=2, depth=3, dropout=0.0)
    roughen(G)
    x = picture(2, 16, 16)
    with frozen_statistics(G, x[:1]):
        together = G(x)
        torch.testing.assert_close(together[1:], G(x[1:]), atol=1e-5, rtol=0)
    torch.testing.assert_close(together[:1], G(x[:1]), atol=1e-5, rtol=0)
    assert not torch.allclose(together[1:], G(x[1:]), atol=1e-3)


def test_frozen_statistics_work_in_half_precision() -> None:
    G = UNetGenerator(width=2, depth=3, dropout=0.0).bfloat16()
    x = picture(1, 16, 16).bfloat16()
    with frozen_statistics(G, x):
        frozen = G(x)
    assert frozen.dtype == torch.bfloat16
    torch.testing.assert_close(frozen, G(x), atol=0.05, rtol=0)


@pytest.mark.parametrize("where", ["recording", "inside"])
def test_frozen_statistics_are_lifted_when_something_fails(where: str) -> None:
    G = UNetGenerator(width=2, depth=3, dropout=0.0)
    x = picture(1, 16, 16)
    expected = G(x)
    shape = (1, 3, 16, 15) if where == "recording" else (1, 3, 16, 16)
    with pytest.raises(ValueError, match="multiples of 8"), frozen_statistics(G, torch.zeros(shape)):
        G(torch.zeros(1, 3, 8, 9))
    assert torch.equal(G(x), expected)
    for layer in G.modules():
        assert "forward" not in vars(layer)
        assert not layer._forward_pre_hooks


def test_frozen_statistics_put_back_a_forward_that_was_wrapped_before() -> None:
    G = UNetGenerator(width=1, depth=3)
    layer = norms(G)[0]
    wrapped = layer.forward
    vars(layer)["forward"] = wrapped
    with frozen_statistics(G, picture(1, 16, 16)):
        assert vars(layer)["forward"] is not wrapped
    assert vars(layer)["forward"] is wrapped


def test_frozen_statistics_come_from_one_picture() -> None:
    G = UNetGenerator(width=1, depth=3)
    with (
        pytest.raises(ValueError, match=r"x has shape \[2, 3, 16, 16\]; .* one picture: pass \[1, C, H, W\]"),
        frozen_statistics(G, picture(2, 16, 16)),
    ):
        pass


# ---------------------------------------------------------------------------------- building and initializing


def test_initial_weights_are_the_papers() -> None:
    for network in (UNetGenerator(width=8, depth=5), ArticleDiscriminator(width=16)):
        for layer in convolutions(network):
            nn.init.ones_(layer.weight)
        initialize(network)
        weights = torch.cat([layer.weight.flatten() for layer in convolutions(network)])
        scales = torch.cat([layer.weight for layer in norms(network)])
        assert weights.mean().item() == pytest.approx(0, abs=1e-3)
        assert weights.std().item() == pytest.approx(0.02, rel=0.02)
        assert scales.mean().item() == pytest.approx(1, abs=0.01)
        assert scales.std().item() == pytest.approx(0.02, rel=0.3)
        assert all((parameter == 0).all() for name, parameter in network.named_parameters() if "bias" in name)


def test_initial_weights_follow_the_seed_and_std() -> None:
    G = ResNetGenerator(width=4, blocks=1)
    drawn: list[Tensor] = []
    for seed, std in ((1, 0.02), (1, 0.02), (2, 0.02), (1, 0.2)):
        torch.manual_seed(seed)
        initialize(G, std)
        drawn.append(convolutions(G)[1].weight.detach().clone())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    torch.testing.assert_close(drawn[3], 10 * drawn[0])


def build(name: str, depth: int | None = None, **numbers: object) -> Generator:
    settings = {
        "in_channels": 3,
        "out_channels": 3,
        "width": 64,
        "norm": "instance",
        "dropout": 0.0,
    } | numbers
    return build_generator(name, depth=depth, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind", "levels", "multiple", "smallest"),
    [
        ("unet_256", UNetGenerator, 8, 256, 256),
        ("unet_128", UNetGenerator, 7, 128, 128),
        ("unet_article", ArticleUNetGenerator, 7, 128, 256),
        ("resnet_9blocks", ResNetGenerator, 9, 4, 8),
        ("resnet_6blocks", ResNetGenerator, 6, 4, 8),
    ],
)
def test_a_generator_is_built_by_its_name(
    name: str, kind: type[Generator], levels: int, multiple: int, smallest: int
) -> None:
    with torch.device("meta"):
        G = build(name)
    assert type(G) is kind
    assert (G.multiple, G.smallest) == (multiple, smallest)
    assert len(G.blocks if isinstance(G, ResNetGenerator) else G.encoder) == levels  # type: ignore[arg-type]
    assert all(parameter.is_meta for parameter in G.parameters())
    assert name in GENERATORS


@pytest.mark.parametrize("name", GENERATORS)
def test_depth_replaces_the_names_own(name: str) -> None:
    G = build(name, depth=3, width=2, in_channels=2, out_channels=5)
    assert len(G.blocks if isinstance(G, ResNetGenerator) else G.encoder) == 3  # type: ignore[arg-type]
    assert G(picture(1, 16, 16, channels=2)).shape == (1, 5, 16, 16)


def test_upsampling_is_chosen_when_building() -> None:
    for name in GENERATORS:
        G = build(name, depth=2, width=1, upsample="resize")
        assert not any(isinstance(layer, nn.ConvTranspose2d) for layer in G.modules())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("patch", PatchDiscriminator),
        ("pixel", PatchDiscriminator),
        ("article", ArticleDiscriminator),
        ("multiscale", MultiscaleDiscriminator),
    ],
)
def test_a_discriminator_is_built_by_its_name(name: str, kind: type[nn.Module]) -> None:
    with torch.device("meta"):
        D = build_discriminator(name, in_channels=4, width=8, layers=2, norm="instance")
    assert type(D) is kind
    assert (D.in_channels, len(convolutions(D))) == (
        4,
        {"patch": 4, "pixel": 3, "article": 5, "multiscale": 8}[name],
    )
    assert name in DISCRIMINATORS


# -------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: build("unet_512"),
            "generator is 'unet_512'; choose one of unet_256, unet_128, unet_article, resnet_9",
        ),
        (
            lambda: build_discriminator("vgg", in_channels=6, width=8, layers=3, norm="none"),
            "discriminator is 'vgg'; choose one of patch, pixel, article, multiscale",
        ),
        (lambda: UNetGenerator(norm="layer"), "norm is 'layer'; choose one of instance, batch, none"),
        (lambda: PatchDiscriminator(norm="layer"), "norm is 'layer'; choose one of instance, batch, none"),
        (lambda: ArticleDiscriminator(norm="layer"), "norm is 'layer'; choose one of instance, batch, none"),
        (
            lambda: ResNetGenerator(upsample="bilinear"),
            "upsample is 'bilinear'; choose one of transpose, resize, resize_3x3",
        ),
        (lambda: UNetGenerator(dropout=1.0), r"dropout is 1.0; a probability from 0 \(none\) to below 1"),
        (lambda: ArticleUNetGenerator(dropout=-0.1), "dropout is -0.1; a probability"),
        (lambda: ResNetGenerator(width=0), "width is 0; the first level needs at least 1 channel"),
        (lambda: UNetGenerator(depth=1), "depth is 1; a U-Net has at least 2 levels"),
        (lambda: build("unet_article", depth=0), "depth is 0; a U-Net has at least 2 levels"),
        (lambda: ResNetGenerator(blocks=0), "blocks is 0; a residual generator has at least 1"),
        (
            lambda: PatchDiscriminator(layers=-1),
            r"layers is -1; a patch discriminator has 0 \(PixelGAN\) or more",
        ),
        (
            lambda: MultiscaleDiscriminator(scales=0),
            "scales is 0; a multi-scale discriminator has at least 1",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(wrong: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 3, 16, 20),
            r"input is 16x20 \(H x W\); both sides must be multiples of 8 and at least 8: pad it",
        ),
        ((1, 3, 12, 16), r"input is 12x16 \(H x W\); both sides must be multiples of 8"),
        ((1, 1, 16, 16), r"input has shape \[1, 1, 16, 16\]; this generator takes \[B, 3, H, W\]: convert"),
        ((3, 16, 16), r"input has shape \[3, 16, 16\]; this generator takes \[B, 3, H, W\]"),
    ],
)
def test_an_input_the_generator_cannot_take_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNetGenerator(width=1, depth=3)(torch.zeros(shape))


def test_a_side_below_the_smallest_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8 and at least 16: pad it and crop the result"):
        ArticleUNetGenerator(width=1, depth=3)(torch.zeros(1, 3, 8, 16))
    with pytest.raises(ValueError, match="multiples of 4 and at least 8"):
        ResNetGenerator(width=1, blocks=1)(torch.zeros(1, 3, 4, 8))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            (1, 3, 32, 32),
            (1, 3, 32, 30),
            r"x has shape \[1, 3, 32, 32\] and y \[1, 3, 32, 30\]; both must be",
        ),
        ((1, 3, 32, 32), (2, 3, 32, 32), "the same B, H and W"),
        ((1, 3, 32, 32), (1, 1, 32, 32), "channels that sum to 6: resize one, or change in_channels"),
        ((3, 32, 32), (3, 32, 32), r"both must be \[B, C, H, W\]"),
        (
            (1, 3, 32, 20),
            (1, 3, 32, 20),
            r"the pair is 32x20 \(H x W\); this discriminator needs sides of at least 24",
        ),
    ],
)
def test_a_pair_the_discriminator_cannot_judge_is_refused(
    x: tuple[int, ...], y: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        PatchDiscriminator(width=1)(torch.zeros(x), torch.zeros(y))


def test_shapes_are_not_checked_while_a_graph_is_captured() -> None:
    G = ResNetGenerator(width=1, blocks=1)
    side = torch.export.Dim("side", min=2, max=64)
    program = torch.export.export(G, (picture(1, 32, 32),), dynamic_shapes=({2: 4 * side, 3: 4 * side},))
    x = picture(1, 48, 48)
    torch.testing.assert_close(program.module()(x), G(x))
