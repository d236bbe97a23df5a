"""The translator: one contract for every picture, however it comes and whatever came before."""

from __future__ import annotations

import threading
import warnings
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pix2pix import cielab, images, tiling
from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ImageError, ModelError
from pix2pix.inference import Translator, choose_device
from pix2pix.networks import Generator

KINDS = {
    "unet": {"generator": "unet_256", "depth": 3},
    "unet-resize": {"generator": "unet_128", "depth": 3, "upsample": "resize"},
    "article": {"generator": "unet_article", "depth": 3},
    "resnet": {"generator": "resnet_6blocks", "depth": 2},
}
NORMS = {
    "instance": {"norm": "instance"},
    "batch-running": {"norm": "batch", "normalization": "running"},
    "batch-picture": {"norm": "batch"},
    "none": {"norm": "none"},
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
each_norm = pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)


def contract(**fields) -> ModelConfig:
    return ModelConfig(**({"width": 4, "depth": 3} | fields))


def network(config: ModelConfig, seed: int = 0) -> Any:
    """Weights large enough, and statistics crooked enough, for every layer to leave its mark."""
    G = Generator.from_config(config)
    random = torch.Generator().manual_seed(seed)
    for name, value in G.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=random)
        elif value.is_floating_point():
            value.normal_(1.0 if "norm.weight" in name else 0.0, 0.2, generator=random)
    return G


def translator(**fields) -> Translator:
    config = contract(**fields)
    return Translator(network(config), config, "cpu")


def photo(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Soft blotches, so that neighbouring pixels are alike, as in a photo."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def levels(picture) -> np.ndarray:
    return np.asarray(picture).astype(int)


def same(a, b) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


# ------------------------------------------------------------------------------------- any picture, any size


@each_kind
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3), (17, 31), (64, 64), (97, 40), (700, 9)])
def test_a_picture_of_any_size_keeps_it(kind, size):
    drawn = translator(**kind)(photo(*size))
    assert drawn.size == size
    assert drawn.mode == "RGB"


@each_kind
@each_norm
def test_every_norm_draws_the_smallest_picture(kind, norm):
    drawn = translator(**kind | norm)(photo(3, 1))
    assert drawn.size == (3, 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_a_picture_of_any_mode_is_read_as_what_it_shows(mode):
    translate = translator()
    given = photo(20, 12, mode=mode) if mode != "I;16" else deep_photo(20, 12)
    drawn = translate(given)
    assert (drawn.mode, drawn.size) == ("RGB", (20, 12))
    assert same(drawn, translate(images.to_rgb(given))) or mode in ("I", "F", "I;16")
    assert levels(drawn).std() > 1


def deep_photo(width: int, height: int) -> Image.Image:
    grey = np.asarray(photo(width, height, mode="L")).astype(np.uint16)
    return Image.fromarray(grey * 257 + 100)


def test_a_path_is_read_upright(tmp_path):
    translate = translator()
    picture = photo(30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    picture.save(tmp_path / "a.png", exif=exif)
    drawn = translate(tmp_path / "a.png")
    assert drawn.size == (20, 30)
    assert same(drawn, translate(str(tmp_path / "a.png")))
    assert same(drawn, translate(picture.transpose(Image.Transpose.ROTATE_270)))


def test_a_list_gives_a_list_in_its_order_whatever_is_in_it(tmp_path):
    translate = translator()
    photo(9, 9).save(tmp_path / "a.png")
    array = np.asarray(photo(8, 8, 1))
    given: list[Any] = [photo(20, 10), str(tmp_path / "a.png"), array, photo(8, 8, 2), photo(20, 10, 3)]
    drawn = translate(given)
    assert [type(item).__name__ for item in drawn] == ["Image", "Image", "ndarray", "Image", "Image"]
    assert all(same(many, translate(one)) for many, one in zip(drawn, given, strict=True))
    assert len(translate(tuple(given))) == 5
    assert translate([]) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_an_array_gives_an_array_of_its_type(dtype):
    translate = translator()
    reference = translate(photo(21, 13))
    given = images.to_array(photo(21, 13), "rgb")
    given = given.astype(dtype) if np.dtype(dtype).kind == "f" else images.to_integers(given, dtype)
    before = given.copy()
    drawn = translate(given)
    assert (drawn.dtype, drawn.shape) == (dtype, (13, 21, 3))
    assert np.array_equal(given, before)
    full = {"u": np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1}.get(np.dtype(dtype).kind)
    unit = drawn / full if full else (drawn.astype(np.float32) + 1) / 2
    assert np.abs(unit * 255 - levels(reference)).max() <= 1


def test_arrays_with_many_raw_channels_are_translated_as_they_are():
    translate = translator(in_channels=5, out_channels=7, input_color="raw", output_color="raw")
    given = np.random.default_rng(0).integers(0, 65536, (10, 14, 5), dtype=np.uint16)
    drawn = translate(given)
    assert drawn.shape == (10, 14, 7)
    assert drawn.dtype == np.uint16
    finer = drawn.astype(int) % 257
    assert np.count_nonzero(finer) > 0.9 * finer.size, "sixteen bits, not eight spread over sixteen"
    with pytest.raises(ImageError, match=r"3 channels.*5 are expected"):
        translate(np.zeros((4, 4, 3), np.uint8))


def test_a_picture_for_a_model_that_draws_no_picture_is_refused():
    translate = translator(out_channels=7, output_color="raw")
    with pytest.raises(ImageError, match=r"draws 7 channels, which make no picture.*array"):
        translate(photo(8, 8))
    assert translate(np.asarray(photo(8, 8))).shape == (8, 8, 7)


def test_sixteen_bit_grey_stays_sixteen_bit():
    grey = {"in_channels": 1, "out_channels": 1, "input_color": "grey", "output_color": "grey"}
    translate = translator(**grey)
    given = deep_photo(24, 18)
    drawn = translate(given)
    assert drawn.mode == "I;16"
    values = np.asarray(drawn)
    assert len(np.unique(values)) > 256
    assert np.array_equal(values, translate(np.asarray(given)))
    assert translate(photo(24, 18, mode="L")).mode == "L"


def test_sixteen_bits_reach_the_network():
    """Two pictures that eight bits cannot tell apart give two results; clipped, they were white or black."""
    translate = translator()
    dark, darker = np.full((16, 16), 30000, np.uint16), np.full((16, 16), 30040, np.uint16)
    dark[4:9], darker[4:9] = 20000, 20100
    dark, darker = translate(dark), translate(darker)
    assert not np.array_equal(dark, darker)
    assert 0 < dark.mean() < 65535


def test_a_grey_array_keeps_its_shape():
    grey = {"in_channels": 1, "out_channels": 1, "input_color": "grey", "output_color": "grey"}
    assert translator(**grey)(np.zeros((9, 5), np.uint8)).shape == (9, 5)
    assert translator(**grey)(np.zeros((9, 5, 1), np.uint8)).shape == (9, 5, 1)
    assert translator()(np.zeros((9, 5), np.uint8)).shape == (9, 5, 3)


@pytest.mark.parametrize("wrong", [None, 5, b"", "nowhere.png", np.zeros((0, 4, 3), np.uint8), [[]]])
def test_what_is_no_picture_is_refused(wrong):
    with pytest.raises(ImageError):
        translator()(wrong)


# ----------------------------------------------------------------------- the same picture, whatever happened


@each_kind
@each_norm
def test_a_batch_gives_what_single_calls_give(kind, norm):
    translate = translator(**kind | norm)
    faint, strong = photo(33, 20).point(lambda value: value // 9), photo(33, 20, 1)
    given = [images.to_array(picture, "rgb") for picture in (faint, strong, photo(33, 20, 2)) * 2]
    together = translate(given)
    for one, many in zip(given, together, strict=True):
        assert np.abs(translate(one) - many).max() < 1e-4


@each_kind
@each_norm
def test_neither_the_mode_nor_earlier_calls_matter(kind, norm):
    config = contract(**kind | norm)
    G = network(config)
    given = photo(33, 20)
    translate = Translator(G.eval(), config, "cpu")
    first = translate(given)
    translate(photo(50, 50, 1))
    assert same(translate(given), first)
    assert same(Translator(G.train(), config, "cpu")(given), first)


def test_running_and_picture_statistics_are_two_contracts():
    running = translator(**NORMS["batch-running"])(photo(33, 20))
    assert not same(running, translator(**NORMS["batch-picture"])(photo(33, 20)))


def test_picture_statistics_are_batch_norm_in_train_mode_on_one_picture():
    """The paper's test time (section 3.3), which eval() takes away."""
    config = contract(norm="batch", dropout=0.0)
    G = network(config)
    given = images.to_array(photo(32, 32), "rgb")
    drawn = Translator(G, config, "cpu")(given)
    with torch.no_grad():
        expected = G.train()(torch.from_numpy(given.transpose(2, 0, 1)[None]))[0].permute(1, 2, 0).numpy()
    assert np.abs(drawn - expected).max() < 1e-5


def test_the_callers_network_is_left_alone():
    """Validation runs on the network that is training."""
    config = contract(norm="batch", inference_dropout=True)
    G = network(config).train()
    calls = []
    G.register_forward_hook(lambda *_: calls.append(1))
    G.encoder[0].eval()
    modules, modes = list(G.modules()), [module.training for module in G.modules()]
    weights = {name: value.clone() for name, value in G.state_dict().items()}
    for parameter in list(G.parameters())[:3]:
        parameter.requires_grad_(False)
    gradients = [parameter.requires_grad for parameter in G.parameters()]
    Translator(G, config, "cpu")(photo(20, 20))
    assert [module.training for module in G.modules()] == modes
    assert all(a is b for a, b in zip(G.modules(), modules, strict=True))
    assert [parameter.requires_grad for parameter in G.parameters()] == gradients
    assert all(torch.equal(value, weights[name]) for name, value in G.state_dict().items())
    assert not any(layer.inplace for layer in G.modules() if isinstance(layer, nn.ReLU))
    assert not calls
    x = torch.zeros(1, 3, 8, 8)
    G(x).sum().backward()


def test_weights_are_shared_so_that_a_translator_follows_training():
    config = contract()
    G = network(config)
    translate = Translator(G, config, "cpu")
    before = translate(photo(16, 16))
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.mul_(1.1)
    assert not same(translate(photo(16, 16)), before)
    mine = dict(translate.generator.named_parameters())
    assert all(value.data_ptr() == mine[name].data_ptr() for name, value in G.named_parameters())


def test_mixed_precision_of_the_training_does_not_reach_validation():
    """Accelerate wraps `forward` for the network's life; what is published is drawn in float32."""
    config = contract()
    G = network(config)
    expected = Translator(G, config, "cpu")(photo(16, 16))
    forward = G.forward

    def wrapped(x):
        with torch.autocast("cpu", torch.bfloat16):
            return forward(x)

    G.forward = wrapped
    assert same(Translator(G, config, "cpu")(photo(16, 16)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert same(Translator(network(config), config, "cpu")(photo(16, 16)), expected)


def test_a_network_in_half_precision_is_translated_in_float32():
    config = contract()
    G = network(config).half()
    drawn = Translator(G, config, "cpu")(photo(16, 16))
    assert same(drawn, Translator(network(config).half().float(), config, "cpu")(photo(16, 16)))
    assert all(parameter.dtype == torch.float16 for parameter in G.parameters())


def test_a_network_that_is_not_the_contracts_is_refused():
    with pytest.raises(ModelError, match="not the one its configuration describes"):
        Translator(network(contract(depth=4)), contract(depth=3), "cpu")


def test_broken_weights_are_said_to_be_broken():
    config = contract()
    G = network(config)
    nn.init.constant_(G.decoder[-1].conv.bias, float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        Translator(G, config, "cpu")(np.zeros((8, 8, 3), np.float32))


# ------------------------------------------------------------------------------------------------- dropout


def test_dropout_is_off_unless_the_contract_leaves_it_on():
    translate = translator(dropout=0.5)
    assert same(translate(photo(20, 20), seed=1), translate(photo(20, 20), seed=2))


@pytest.mark.parametrize("kind", [KINDS["unet"], KINDS["resnet"]], ids=["unet", "resnet"])
def test_dropout_of_the_contract_follows_the_seed(kind):
    translate = translator(**kind, dropout=0.5, inference_dropout=True)
    given = [photo(20, 20, 1), photo(20, 20, 2), photo(31, 9), photo(20, 20, 1)]
    alone = [translate(picture, seed=7) for picture in given]
    assert all(same(a, b) for a, b in zip(translate(given, seed=7), alone, strict=True))
    assert same(translate(given[0], seed=7), alone[0])
    assert not same(translate(given[0], seed=8), alone[0])
    assert same(translate(given[0]), translate(given[0], seed=0))
    assert not same(alone[0], translator(**kind, dropout=0.5)(given[0]))


def test_dropout_keeps_the_mean():
    """Inverted dropout: what is kept is scaled up."""
    translate = translator(dropout=0.5, inference_dropout=True)
    layer = next(m for m in translate.generator.modules() if type(m).__name__ == "_SeededDropout")
    kept = layer(torch.ones(1, 64, 64, 64))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert kept.mean() == pytest.approx(1, abs=0.01)


def test_the_callers_random_state_is_left_alone():
    translate = translator(dropout=0.5, inference_dropout=True)
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    translate(photo(20, 20))
    assert torch.equal(torch.rand(4), expected)


def test_several_threads_get_their_own_pictures():
    """Tiles freeze statistics in the network: a small picture beside them must not be normalized by those."""
    translate = small_tiles(translator(dropout=0.5, inference_dropout=True))
    given = [photo(90, 90), photo(20, 20)]
    expected = [translate(picture, seed=3) for picture in given]
    results: dict[int, list] = {0: [], 1: []}

    def work(index):
        for _ in range(8):
            results[index].append(translate(given[index], seed=3))

    threads = [threading.Thread(target=work, args=(index,)) for index in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(drawn, expected[index]) for index in results for drawn in results[index])
    assert len(results[0]) == len(results[1]) == 8


# ----------------------------------------------------------------------------------------------- colorize

COLORIZE = {"in_channels": 1, "out_channels": 2, "input_color": "l", "output_color": "ab"}


def lightness(picture) -> np.ndarray:
    return cielab.rgb_to_lab(np.asarray(picture.convert("RGB"), np.float32) / 255)[..., 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_colorization_keeps_the_lightness_of_every_pixel(mode):
    given = photo(61, 45, mode=mode)
    drawn = translator(**COLORIZE)(given)
    assert (drawn.mode, drawn.size) == ("RGB", (61, 45))
    assert np.abs(lightness(drawn) - lightness(images.to_rgb(given))).max() < 1
    assert np.ptp(levels(drawn), axis=2).max() > 8, "it has colours"


def test_colorization_of_colours_and_of_their_grey_is_the_same():
    translate = translator(**COLORIZE)
    grey = images.to_picture(images.to_array(photo(40, 40), "l"), "l")
    assert np.abs(levels(translate(grey)) - levels(translate(photo(40, 40)))).mean() < 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_arrays_are_colorized_too(dtype):
    translate = translator(**COLORIZE)
    array = images.to_array(photo(20, 30), "rgb")
    given = array if dtype == np.float32 else images.to_integers(array, dtype)
    drawn = translate(given)
    assert (drawn.shape, drawn.dtype) == ((30, 20, 3), dtype)
    assert (
        np.abs(images.to_array(drawn, "rgb") - images.to_array(translate(photo(20, 30)), "rgb")).max() < 0.01
    )
    assert translate(given[..., 0]).shape == (30, 20, 3)


# ------------------------------------------------------------------------------------------- huge pictures


def small_tiles(translate: Translator, whole: int = 64 * 64, tile: int = 48, overlap: int = 16) -> Translator:
    translate.whole_pixels, translate.tile, translate.overlap = whole, tile, overlap
    return translate


@each_kind
@each_norm
@pytest.mark.parametrize("size", [(130, 101), (65, 64), (1, 5000), (3000, 3), (500, 20)])
def test_a_huge_picture_keeps_its_size(kind, norm, size):
    assert small_tiles(translator(**kind | norm))(photo(*size)).size == size


def test_a_tile_draws_what_the_whole_draws_where_it_sees_the_same():
    """Farther from every cut than the network sees, tiles and whole are equal: they lie where they should."""
    translate = translator(generator="resnet_6blocks", depth=2, norm="none")
    given = images.to_array(photo(311, 135), "rgb")
    whole = translate(given)
    tiled = small_tiles(translate, tile=160, overlap=16)(given)
    clear = np.ones((135, 311), bool)
    for axis, side in enumerate(clear.shape):
        for tile in tiling.stretches(side, *translate._grid, 160, 16):
            for end in {tile.place.start, tile.place.stop} - {0, side}:
                clear[(slice(None),) * axis + (slice(max(end - 36, 0), end + 36),)] = False
    assert 0.2 < clear.mean() < 0.9
    assert np.abs(tiled - whole)[clear].max() < 1e-4
    assert np.abs(tiled - whole)[~clear].max() > 1e-2


@pytest.fixture(scope="module", params=["unet", "resnet"])
def trained(request) -> Translator:
    """A network that has learned something simple: random ones draw noise, in which any seam drowns."""
    torch.manual_seed(0)
    config = contract(**KINDS[request.param], width=8, dropout=0.0)
    G = Generator.from_config(config)
    optimizer = torch.optim.Adam(G.parameters(), 2e-3, (0.5, 0.999))
    for step in range(150):
        x = images.to_array(lit_photo(64, 64, step), "rgb").transpose(2, 0, 1)
        x = torch.from_numpy(np.ascontiguousarray(x[None]))
        y = -0.8 * x.flip(1).abs() + 0.4 * (x > 0)
        optimizer.zero_grad()
        (G(x) - y).abs().mean().backward()
        optimizer.step()
    return Translator(G, config, "cpu")


def lit_photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Darker on one side: a tile's own statistics are not the whole picture's."""
    light = np.linspace(0.2, 1, width)[None, :, None]
    return Image.fromarray((levels(photo(width, height, seed)) * light).astype(np.uint8))


def test_a_tiled_picture_is_close_to_the_whole_one(trained):
    """On average 0.6 (U-Net) and 1.6 (ResNet) levels of 255; with each tile's own statistics 8 and 16."""
    given = lit_photo(384, 320)
    trained.whole_pixels = 384 * 320
    whole = levels(trained(given))
    small_tiles(trained, whole=384 * 320 * 4 // 9, tile=96, overlap=32)
    tiled = levels(trained(given))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "_statistics_of", lambda *_: nullcontext())
        naive = levels(trained(given))
    assert np.abs(tiled - whole).mean() < 2
    assert np.abs(tiled - whole).mean() < np.abs(naive - whole).mean() / 3


def seam_ratio(translate: Translator, drawn: np.ndarray) -> float:
    """Mean gradient across the tiles' ends over that inside, at places of the same phase in G's grid."""
    seams, others = [], []
    for axis, side in enumerate(drawn.shape[:2]):
        gradient = np.abs(np.diff(drawn, axis=axis)).mean(axis=(1 - axis, 2))
        cut = tiling.stretches(side, *translate._grid, translate.tile, translate.overlap)
        ends = {end - 1 for tile in cut for end in (tile.place.start, tile.place.stop) if 0 < end < side}
        assert len(ends) >= 3
        alike = {
            place for end in ends for place in range(end % translate._grid[0], side - 1, translate._grid[0])
        }
        seams += [gradient[place] for place in ends]
        others += [gradient[place] for place in alike - ends]
    return float(np.mean(seams) / np.mean(others))


def test_tiles_leave_no_seams(trained):
    """The mean gradient across the tiles' ends is at most 1.05 of that inside."""
    given = [lit_photo(384, 320, seed) for seed in range(4)]
    small_tiles(trained, whole=192 * 192, tile=96, overlap=32)
    ratios = [seam_ratio(trained, levels(trained(picture))) for picture in given]
    assert np.mean(ratios) <= 1.05
    trained.overlap = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "_statistics_of", lambda *_: nullcontext())
        naive = [seam_ratio(trained, levels(trained(picture))) for picture in given]
    assert np.mean(naive) > 1.2, "tiles simply put side by side"


@pytest.mark.parametrize("side", [1, 5, 63, 64, 65, 100, 127, 1000, 1001])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (64, 60), (10, 3), (40, 0)])
def test_weights_of_all_tiles_add_up_to_one(side, tile, overlap):
    total, covered = np.zeros(side), np.zeros(side, int)
    cut = tiling.stretches(side, 8, 16, tile, overlap)
    for stretch in cut:
        assert len(stretch.take) % 8 == 0
        assert len(stretch.take) == len(cut[0].take)
        total[stretch.place] += stretch.weight
        covered[stretch.place] += 1
        places = np.arange(stretch.place.start, stretch.place.stop)
        assert np.array_equal(stretch.take[stretch.inside], places)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert np.all(np.diff([stretch.take[stretch.inside][0] for stretch in cut]) > 0)
    for before, after in pairwise(cut):
        assert before.place.stop - after.place.start >= overlap


def test_a_tile_starts_at_a_multiple_of_the_networks():
    for side in (100, 333, 1000):
        cut = tiling.stretches(side, 32, 32, 96, 32)
        starts = [stretch.place.start - stretch.inside.start for stretch in cut]
        assert all((start - starts[0]) % 32 == 0 for start in starts)


def test_a_network_deeper_than_the_tiles_gets_larger_tiles():
    translate = small_tiles(translator(depth=6, width=2), tile=16, overlap=8)
    assert translate(photo(150, 140)).size == (150, 140)


def test_a_ribbon_costs_no_more_than_its_own_pixels(monkeypatch):
    """Padding a ribbon to the tile's height made it a hundred times as large."""
    translate = small_tiles(translator(), whole=64 * 64, tile=64, overlap=16)
    seen: list[tuple[int, ...]] = []
    tensor = translate._torch._tensor

    def watched(x):
        seen.append(x.shape)
        return tensor(x)

    monkeypatch.setattr(translate._torch, "_tensor", watched)
    assert translate(photo(20000, 5)).size == (20000, 5)
    assert all(shape[1] * shape[2] <= 1.1 * 64 * 64 for shape in seen), "nor does its reduced copy"
    assert sum(shape[1] * shape[2] for shape in seen[1:]) < 2 * 20000 * 8


def test_statistics_come_from_a_copy_that_shows_the_whole_picture():
    array = images.to_array(photo(300, 200), "rgb")
    copy = tiling.reduced_copy(array, 100 * 100, 8)
    assert copy.shape == (82, 122, 3)
    assert np.abs(copy.mean((0, 1)) - array.mean((0, 1))).max() < 0.01
    assert tiling.reduced_copy(array, 300 * 200, 8) is array


def test_dropout_works_on_tiles():
    translate = small_tiles(translator(dropout=0.5, inference_dropout=True))
    assert same(translate(photo(90, 70), seed=4), translate(photo(90, 70), seed=4))
    assert not same(translate(photo(90, 70), seed=4), translate(photo(90, 70), seed=5))


def test_pictures_up_to_4096_are_seen_whole():
    translate = translator(generator="unet_256", depth=8, width=1)
    assert translate._pixels((4096, 4096)) <= translate.whole_pixels < translate._pixels((4096, 4097))


# ------------------------------------------------------------------------------------ loading and devices


def test_a_translator_is_loaded_from_a_folder(tmp_path):
    config = contract(task="map")
    G = network(config)
    G.save_pretrained(tmp_path / "model")
    translate = Translator.from_pretrained(tmp_path / "model", device="cpu", backend="torch")
    assert translate.config == config
    assert same(translate(photo(40, 30)), Translator(G, config, "cpu")(photo(40, 30)))


@pytest.mark.parametrize(
    "fields", [NORMS["batch-running"], NORMS["batch-picture"], COLORIZE, KINDS["article"]]
)
def test_a_loaded_model_draws_the_same(tmp_path, fields):
    """Loaded, its norms are folded and its memory laid out for speed: another order of the same sums."""
    config = contract(**fields)
    G = network(config)
    G.save_pretrained(tmp_path)
    loaded = Translator.from_pretrained(str(tmp_path), device="cpu")
    difference = levels(loaded(photo(40, 30))) - levels(Translator(G, config, "cpu")(photo(40, 30)))
    assert np.abs(difference).max() <= 1
    assert np.abs(difference).mean() < 0.01


def test_the_device_is_found_or_refused():
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    assert choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")
    nonsense: Any
    for nonsense in ("nonsense", "cpu:x", "meta", "", object()):
        with pytest.raises(ConfigError, match=r"cannot be used.*Try auto or cpu"):
            choose_device(nonsense)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="'cuda' cannot be used"):
            choose_device("cuda")


def test_an_unknown_backend_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no backend 'abacus'; the backends are auto, torch, onnx"):
        Translator.from_pretrained(tmp_path, backend="abacus")


def test_translating_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = small_tiles(translator())([photo(80, 80), photo(5, 5), np.zeros((7, 7, 3), np.float32)])
    assert [getattr(picture, "size", 0) for picture in drawn[:2]] == [(80, 80), (5, 5)]
