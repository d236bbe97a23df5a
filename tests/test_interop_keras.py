"""The article's generator out of Keras's files: HDF5 is only read, and what it draws stays the same."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from original_networks import KerasUNet

from pix2pix import Translator, cli
from pix2pix.config import ModelConfig
from pix2pix.errors import ModelError
from pix2pix.interop import import_checkpoint

h5py = pytest.importorskip("h5py")
CLOSE = 1e-5
SMALL = {"levels": 4, "width": 3}


def arrays_of(network: KerasUNet) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.arrays.items()}


def saved(network: KerasUNet, path: Path, root: str = "", first: int = 0) -> Path:
    """As save_weights writes it, or with root="model_weights/" as save does; layers count from `first`."""
    with h5py.File(path, "w") as file:
        for name, array in arrays_of(network).items():
            layer, part = name.split("/")
            kind = "conv2d" if layer.startswith("conv2d") else "batch_normalization"
            number = int(layer.removeprefix(kind).removeprefix("_") or 0) + first
            layer = f"{kind}_{number}" if number else kind

            file[f"{root}{layer}/{layer}/{part}"] = array
    return path


def difference(network: KerasUNet, folder: Path, side: int, into: int = 3) -> float:
    x = torch.randint(-128, 129, (1, into, side, side)) / 128
    expected = network(x)[0].permute(1, 2, 0).numpy()
    assert expected.std() > 0.02, "a flat picture would prove nothing"
    drawn = Translator.from_pretrained(folder)(x[0].permute(1, 2, 0).numpy())
    return float(np.abs(drawn - expected).max())


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("sizes", "into", "out"),
    [({"levels": 7, "width": 2}, 3, 3), ({"levels": 4, "width": 5}, 1, 3), ({"levels": 5, "width": 3}, 3, 1)],
)
def test_the_articles_generator_draws_what_keras_draws(tmp_path, sizes, into, out):
    network = KerasUNet(into, out, **sizes)
    config = import_checkpoint(saved(network, tmp_path / "generator.h5"), tmp_path / "ours").config
    assert (config.generator, config.width, config.resolved_depth) == (
        "unet_article", sizes["width"], sizes["levels"],
    )  # fmt: skip
    assert (config.norm, config.normalization, config.norm_epsilon) == ("batch", "running", 1e-3)
    assert difference(network, tmp_path / "ours", 256, into) < CLOSE


def test_the_published_count_is_the_articles():
    network = KerasUNet()
    assert sum(tensor.numel() for tensor in network.arrays.values()) == 41_843_331


@pytest.mark.parametrize("first", [5, 96])
def test_layers_count_on_from_whatever_was_built_before(tmp_path, first):
    """The notebook may build its discriminator first; and conv2d_100 comes behind conv2d_99."""
    network = KerasUNet(**SMALL)
    import_checkpoint(saved(network, tmp_path / "generator.h5", first=first), tmp_path / "ours")
    assert difference(network, tmp_path / "ours", 32) < CLOSE


def test_the_order_that_the_file_states_goes_before_names(tmp_path):
    network = KerasUNet(**SMALL)
    names = sorted({name.split("/")[0] for name in network.arrays}, key=lambda name: ("batch" in name, name))
    chosen = {name: f"layer_{chr(97 + (7 * i) % 26)}" for i, name in enumerate(names)}
    with h5py.File(tmp_path / "named.h5", "w") as file:
        for name, array in arrays_of(network).items():
            layer, part = name.split("/")
            file[f"{chosen[layer]}/{chosen[layer]}/{part}"] = array
        order = list(dict.fromkeys(name.split("/")[0] for name in network.arrays))
        file.attrs["layer_names"] = [chosen[layer].encode() for layer in order]
    import_checkpoint(tmp_path / "named.h5", tmp_path / "ours")
    assert difference(network, tmp_path / "ours", 32) < CLOSE


def write_keras_3(network: KerasUNet, target) -> None:
    order = {
        "kernel:0": 0,
        "bias:0": 1,
        "gamma:0": 0,
        "beta:0": 1,
        "moving_mean:0": 2,
        "moving_variance:0": 3,
    }
    with h5py.File(target, "w") as file:
        for name, array in arrays_of(network).items():
            layer, part = name.split("/")
            file[f"layers/{layer}/vars/{order[part]}"] = array
        file["optimizer/vars/0"] = np.float32(3)


def test_weights_of_keras_3_are_read(tmp_path):
    network = KerasUNet(**SMALL)
    write_keras_3(network, tmp_path / "generator.weights.h5")
    import_checkpoint(tmp_path / "generator.weights.h5", tmp_path / "ours")
    assert difference(network, tmp_path / "ours", 32) < CLOSE


def test_a_keras_3_archive_is_read(tmp_path):
    network, weights = KerasUNet(**SMALL), io.BytesIO()
    write_keras_3(network, weights)
    with zipfile.ZipFile(tmp_path / "generator.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", weights.getvalue())
    import_checkpoint(tmp_path / "generator.keras", tmp_path / "ours")
    assert difference(network, tmp_path / "ours", 32) < CLOSE


def described(path: Path, **layers) -> Path:
    with h5py.File(path, "a") as file:
        content = [{"class_name": name, "config": config} for name, config in layers.items()]
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"layers": content}})
    return path


def test_what_a_saved_model_says_of_itself_is_used(tmp_path):
    file = saved(KerasUNet(**SMALL), tmp_path / "generator.h5", "model_weights/")
    with h5py.File(file, "a") as content:
        content["optimizer_weights/Adam/conv2d/kernel/m:0"] = np.ones((4, 4, 3, 3), np.float32)
    described(file, BatchNormalization={"epsilon": 2e-5}, LeakyReLU={"alpha": 0.2}, Dropout={"rate": 0.25})
    config = import_checkpoint(file, tmp_path / "ours").config
    assert (config.norm_epsilon, config.dropout, config.inference_dropout) == (2e-5, 0.25, False)


def test_another_slope_is_refused(tmp_path):
    file = described(saved(KerasUNet(**SMALL), tmp_path / "generator.h5"), LeakyReLU={"negative_slope": 0.3})
    with pytest.raises(ModelError, match=r"slope \{0.3\}; the article's is 0.2"):
        import_checkpoint(file, tmp_path / "ours")


def test_statistics_of_each_picture_are_a_choice(tmp_path):
    file = saved(KerasUNet(**SMALL), tmp_path / "generator.h5")
    flags = ["--output", str(tmp_path / "ours"), "--normalization", "picture", "--json"]
    assert cli.main(["import", str(file), *flags]) == 0
    content = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert ModelConfig.from_dict(content).normalization == "picture"


# ---- what is refused --------------------------------------------------------------------------------------


@pytest.fixture
def generator(tmp_path):
    return saved(KerasUNet(**SMALL), tmp_path / "generator.h5")


def refused(file: Path, message: str) -> None:
    output = file.parent / "ours"
    with pytest.raises(ModelError, match=message):
        import_checkpoint(file, output)
    assert not output.exists()


@pytest.mark.parametrize("link", [h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/conv2d")])
def test_a_link_is_not_followed(generator, link):
    with h5py.File(generator, "a") as file:
        file["conv2d_9"] = link
    refused(generator, "conv2d_9 points elsewhere")


def test_numbers_in_another_file_are_not_read(generator, tmp_path):
    (tmp_path / "other").write_bytes(bytes(64))
    with h5py.File(generator, "a") as file:
        file.create_dataset("conv2d_9/bias:0", (16,), "f4", external=[(str(tmp_path / "other"), 0, 64)])
    refused(generator, "claims .* that the file does not hold")


def test_an_absurd_shape_costs_nothing(generator):
    with h5py.File(generator, "a") as file:
        file.create_dataset("conv2d_9/kernel:0", (4, 4, 1 << 20, 1 << 20), "f4", chunks=(4, 4, 8, 8))
    refused(generator, r"conv2d_9/kernel:0 claims \[4, 4, 1048576, 1048576\]")


def test_groups_inside_themselves_end(generator):
    with h5py.File(generator, "a") as file:
        file["conv2d/again"] = file["conv2d"]
    refused(generator, "convolutions")


def test_a_truncated_file_is_named_damaged(generator):
    content = generator.read_bytes()
    generator.write_bytes(content[: len(content) // 2])
    refused(generator, "damaged")


@pytest.mark.parametrize(
    ("take", "message"),
    [
        ("conv2d_3/conv2d_3/kernel:0", "7 convolutions"),
        ("batch_normalization_2/batch_normalization_2/moving_mean:0", "missing: norm2.running_mean"),
        ("batch_normalization_2", "8 convolutions, 5 norms"),
    ],
)
def test_a_missing_part_is_named(generator, take, message):
    with h5py.File(generator, "a") as file:
        del file[take]
    refused(generator, message)


def test_other_keras_networks_are_named(tmp_path):
    with h5py.File(tmp_path / "tutorial.h5", "w") as file:
        file["conv2d_transpose/conv2d_transpose/kernel:0"] = np.ones((4, 4, 3, 8), np.float32)
    refused(tmp_path / "tutorial.h5", "transposed convolutions")
    with h5py.File(tmp_path / "dense.h5", "w") as file:
        file["dense/dense/kernel:0"] = np.ones((4, 4), np.float32)
    refused(
        tmp_path / "dense.h5",
        "0 convolutions, 0 norms and 1 other layers; the article's",
    )


def test_the_missing_extra_is_named(generator, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(generator, r"pip install \"pix2pix\[keras\]\"")
