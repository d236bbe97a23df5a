"""Other projects' generators, imported: they draw what the original draws, and nothing hostile is run."""

from __future__ import annotations

import collections
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from original_networks import HugGANUNet, PortDiscriminator, PortResNet, PortUNet
from PIL import Image
from torch import nn

from pix2pix import Translator, UNetGenerator, cli
from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.hub import publish
from pix2pix.interop import import_checkpoint
from pix2pix.networks import Generator

CLOSE = 1e-5


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def roughened(network: Any) -> Any:
    """Weights and statistics under which every layer, and every mistake in its place, leaves a mark."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, 0, 0.2)
        if isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) and layer.weight is not None:
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return network


def saved(network: nn.Module, folder: Path, prefix: str = "", name: str = "latest_net_G.pth") -> Path:
    folder.mkdir(exist_ok=True)
    state = {prefix + key: tensor for key, tensor in network.state_dict().items()}
    torch.save(collections.OrderedDict(state), folder / name)
    return folder / name


def without_dropout(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return network


def difference(network: nn.Module, folder: Path, side: int, channels: int = 3, batch: int = 1) -> float:
    """The largest difference of what both draw from noise, ours loaded from its folder.

    The network as it is stored, and not as it is made quicker (norms folded into convolutions), which rounds
    otherwise: that one must give the same picture, to half an 8-bit level.
    """
    x = torch.randint(-128, 129, (batch, channels, side, side)) / 128  # exact, however often converted
    with torch.no_grad():
        expected = torch.cat([network(one[None]) for one in x]).permute(0, 2, 3, 1).numpy()
    assert expected.std() > 0.02, "a flat picture would prove nothing"
    pictures = list(x.permute(0, 2, 3, 1).numpy())
    quick = Translator.from_pretrained(folder)(pictures)
    assert max(np.abs(a - b).max() for a, b in zip(quick, expected, strict=True)) < 1 / 255
    config = ModelConfig.from_dict(json.loads((folder / "config.json").read_text()))
    drawn = Translator(Generator.from_folder(folder, config), config)(pictures)
    return max(np.abs(a - b).max() for a, b in zip(drawn, expected, strict=True))


UNETS = [
    ("batch", 5, 3, 3, True),
    ("batch", 6, 1, 3, False),
    ("instance", 5, 3, 1, True),
    ("instance", 6, 6, 3, False),
    ("affine", 5, 3, 3, True),
    ("none", 5, 4, 2, True),
]


@pytest.mark.parametrize(("norm", "levels", "into", "out", "dropout"), UNETS)
def test_a_unet_draws_what_its_train_mode_draws(tmp_path, norm, levels, into, out, dropout):
    """The port's own default at test time: statistics of the picture."""
    original = without_dropout(roughened(PortUNet(into, out, levels, 3, norm, dropout)).train())
    checkpoint = saved(original, tmp_path)
    imported = import_checkpoint(checkpoint, tmp_path / "ours", inference_dropout=False)
    assert imported.config.norm == {"affine": "instance"}.get(norm, norm)
    assert (imported.config.width, imported.config.resolved_depth) == (3, levels)
    assert difference(original, tmp_path / "ours", 64, into, batch=2) < CLOSE


@pytest.mark.parametrize("levels", [5, 7])
def test_a_batch_norm_unet_draws_what_its_eval_mode_draws(tmp_path, levels):
    original = roughened(PortUNet(levels=levels, width=2)).eval()
    checkpoint = saved(original, tmp_path)
    imported = import_checkpoint(
        checkpoint, tmp_path / "ours", normalization="running", inference_dropout=False
    )
    assert imported.config.normalization == "running"
    assert difference(original, tmp_path / "ours", 128) < CLOSE


def test_a_bias_before_batch_norm_moves_into_its_statistics(tmp_path):
    original = roughened(PortUNet(levels=5, width=2, norm="batch"))
    for level in original.modules():
        for layer in level.children():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is None:
                layer.bias = nn.Parameter(torch.randn(layer.out_channels))
    checkpoint = saved(original.eval(), tmp_path)
    config = import_checkpoint(checkpoint, tmp_path / "ours", normalization="running", dropout=0).config
    assert config.norm == "batch"
    assert difference(original, tmp_path / "ours", 32) < CLOSE


@pytest.mark.parametrize(
    ("norm", "blocks", "dropout", "into", "policy"),
    [
        ("batch", 9, True, 3, "picture"),
        ("batch", 6, False, 3, "running"),
        ("batch", 2, True, 1, "running"),
        ("instance", 6, False, 3, "picture"),
        ("affine", 2, True, 5, "picture"),
        ("none", 3, True, 2, "picture"),
    ],
)
def test_a_resnet_draws_what_the_original_draws(tmp_path, norm, blocks, dropout, into, policy):
    original = roughened(PortResNet(into, 3, blocks, 2, norm, dropout)).train(policy == "picture")
    checkpoint = saved(without_dropout(original), tmp_path)
    config = import_checkpoint(checkpoint, tmp_path / "ours", normalization=policy).config
    assert config.resolved_depth == blocks
    assert (config.dropout, config.inference_dropout) == ((0.5, True) if dropout else (0.0, False)), (
        "the places of a ResNet's layers tell its dropout"
    )
    import_checkpoint(checkpoint, tmp_path / "still", normalization=policy, dropout=0)
    assert difference(original, tmp_path / "still", 32, into) < CLOSE


def test_one_channel_to_two_is_lightness_to_hues(tmp_path):
    original = roughened(PortUNet(1, 2, 5, 2, "instance")).eval()
    config = import_checkpoint(saved(original, tmp_path), tmp_path / "ours", dropout=0).config
    assert (config.input_color, config.output_color) == ("l", "ab")
    x = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        assert (Generator.from_pretrained(tmp_path / "ours")(x) - original(x)).abs().max() < CLOSE


def test_huggans_unet_draws_what_the_original_draws(tmp_path):
    original = roughened(HugGANUNet(width=2))
    imported = import_checkpoint(saved(original, tmp_path, name="pytorch_model.bin"), tmp_path / "ours")
    assert (imported.config.generator, imported.config.inference_dropout) == ("unet_huggan", False)
    assert difference(original.eval(), tmp_path / "ours", 256) < CLOSE


class Weighting(nn.Module):
    """Another factor for every channel: no norm behind it takes that back."""

    def forward(self, x):
        return x * torch.linspace(0.2, 2, x.shape[1])[:, None, None]


def with_weighting_dropout(network: nn.Module) -> nn.Module:
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Dropout):
                setattr(parent, name, Weighting())
    return network


@pytest.mark.parametrize(
    "build",
    [
        lambda: PortUNet(levels=8, width=2),
        lambda: PortUNet(levels=7, width=2),
        lambda: PortUNet(levels=6, width=2),
        lambda: PortResNet(blocks=2, width=2, dropout=True),
        lambda: HugGANUNet(width=2),
    ],
    ids=["unet_256", "unet_128", "6 levels", "resnet", "huggan"],
)
def test_dropout_stands_where_the_original_has_it(tmp_path, build):
    """Whatever dropout does there is done at the same places of ours, here something that shows."""
    original = roughened(build()).eval()
    import_checkpoint(saved(original, tmp_path), tmp_path / "ours")
    G = Generator.from_pretrained(tmp_path / "ours")
    x = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        plain = original(x)
        weighted = with_weighting_dropout(original)(x)
        ours = with_weighting_dropout(G)(x)
    assert (weighted - ours).abs().max() < CLOSE
    assert (weighted - plain).abs().max() > 1e-3


# ---- names and nestings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [PortUNet, PortResNet, HugGANUNet])
@pytest.mark.parametrize("wrapping", ["module.", "_orig_mod.", "state_dict", "model", "lightning"])
def test_prefixes_and_nesting_are_seen_through(tmp_path, build, wrapping):
    sizes = {PortUNet: {"levels": 5}, PortResNet: {"blocks": 2}, HugGANUNet: {}}[build]
    original = build(width=1, **sizes)
    state = original.state_dict()
    if wrapping == "lightning":
        content = {"netG." + name: tensor for name, tensor in state.items()}
        content |= {"netD." + name: tensor for name, tensor in PortDiscriminator().state_dict().items()}
        content = {"epoch": 7, "state_dict": content, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    elif wrapping.endswith("."):
        content = {wrapping + name: tensor for name, tensor in state.items()}
    else:
        content = {wrapping: state, "epoch": 3}
    torch.save(content, tmp_path / "file.pth")
    torch.save(state, tmp_path / "plain.pth")
    plain = import_checkpoint(tmp_path / "plain.pth", tmp_path / "plain").folder
    wrapped = import_checkpoint(tmp_path / "file.pth", tmp_path / "wrapped").folder
    assert (plain / "model.safetensors").read_bytes() == (wrapped / "model.safetensors").read_bytes()


@pytest.mark.parametrize("build", [PortUNet, PortResNet])
def test_buffers_of_old_instance_norms_are_no_batch_norm(tmp_path, build):
    original = build(width=2, norm="old", **({"levels": 5} if build is PortUNet else {"blocks": 2}))
    state = original.state_dict()
    for name, layer in original.named_modules():
        if isinstance(layer, nn.InstanceNorm2d):
            state |= {f"{name}.running_mean": torch.randn(layer.num_features)}
            state |= {f"{name}.running_var": torch.rand(layer.num_features)}
            state |= {f"{name}.num_batches_tracked": torch.tensor(9)}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)  # a file of that time
    imported = import_checkpoint(tmp_path / "old.pth", tmp_path / "ours", inference_dropout=False)
    assert imported.config.norm == "instance"
    assert difference(original.eval(), tmp_path / "ours", 32) < CLOSE


def test_half_precision_checkpoints_and_safetensors_are_read(tmp_path):
    original = PortUNet(levels=5, width=2).half()
    saved(original, tmp_path)
    safetensors.torch.save_file(original.state_dict(), tmp_path / "model.safetensors")
    a = import_checkpoint(tmp_path / "latest_net_G.pth", tmp_path / "a").folder
    b = import_checkpoint(tmp_path / "model.safetensors", tmp_path / "b").folder
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()


def test_parameters_are_the_published_ones():
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in network.parameters())
            for network in (PortUNet(norm="batch"), PortUNet(norm="instance"))
        ]
    assert counts == [54_413_955, 54_409_603], "the original, as this file builds it"


# ---- the folder -------------------------------------------------------------------------------------------


def test_names_cannot_tell_and_the_flags_can(tmp_path):
    checkpoint = saved(PortUNet(levels=5, width=2), tmp_path)
    default = import_checkpoint(checkpoint, tmp_path / "default").config
    assert (default.normalization, default.dropout, default.inference_dropout) == ("picture", 0.5, True)
    assert default.task == "custom"
    flags = ["--task", "facades", "--resolution", "48", "--normalization", "running", "--dropout", "0.25"]
    flags += ["--inference_dropout", "off"]
    assert cli.main(["import", str(checkpoint), "--output", str(tmp_path / "chosen"), *flags]) == 0
    chosen = Translator.from_pretrained(tmp_path / "chosen").config
    assert (chosen.task, chosen.resolution, chosen.normalization) == ("facades", 48, "running")
    assert (chosen.dropout, chosen.inference_dropout) == (0.25, False)
    assert not import_checkpoint(checkpoint, tmp_path / "dry", dropout=0).config.inference_dropout
    with pytest.raises(ConfigError, match="inference_dropout on"):
        import_checkpoint(checkpoint, tmp_path / "wet", dropout=0, inference_dropout=True)


@pytest.mark.parametrize(
    ("levels", "name", "side"), [(8, "unet_256", 256), (7, "unet_128", 128), (5, "unet_256", 32)]
)
def test_the_resolution_is_the_networks_own(tmp_path, levels, name, side):
    config = import_checkpoint(saved(PortUNet(levels=levels, width=1), tmp_path), tmp_path / "ours").config
    assert config.resolution == side
    assert config.generator == name


def test_the_card_says_imported_and_not_measured(tmp_path):
    checkpoint = saved(PortUNet(levels=5, width=2), tmp_path / "private place")
    imported = import_checkpoint(checkpoint, tmp_path / "ours")
    card = (tmp_path / "ours" / "README.md").read_text()
    assert "Imported, not trained here, and not measured" in card
    assert imported.sha256 in card
    assert "latest_net_G.pth" in card
    assert "Nothing was measured" in card
    assert "private place" not in card
    assert "drawn town" not in card
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip


def test_an_imported_model_is_published_with_its_origin(loopback, ann, tmp_path):
    folder = import_checkpoint(saved(PortUNet(levels=5, width=2), tmp_path), tmp_path / "ours").folder
    publish(folder, "ann/imported", token=ann)
    card = (folder / "README.md").read_text()
    assert "Imported, not trained here" in card
    assert 'from_pretrained("ann/imported")' in card
    picture = Image.new("RGB", (40, 30), "orange")
    there = Translator.from_pretrained("ann/imported")(picture)
    assert there.tobytes() == Translator.from_pretrained(folder)(picture).tobytes()


def test_json_says_what_was_recognised(tmp_path, capsys):
    checkpoint = saved(PortUNet(levels=5, width=2), tmp_path)
    assert cli.main(["import", str(checkpoint), "--output", str(tmp_path / "ours"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["config"]["generator"] == "unet_256"
    assert content["config"]["width"] == 2
    assert content["origin"] == "U-Net of pytorch-CycleGAN-and-pix2pix"
    assert content["parameters"] == sum(p.numel() for p in PortUNet(levels=5, width=2).parameters())


def test_the_summary_names_the_policies_and_their_flags(tmp_path, capsys):
    checkpoint = saved(PortUNet(levels=5, width=2), tmp_path)
    assert cli.main(["import", str(checkpoint), "--output", str(tmp_path / "ours")]) == 0
    said = capsys.readouterr().out
    for words in ("5 levels, width 2, batch norm", "--normalization running", "--inference_dropout off"):
        assert words in said
    assert f"--model {tmp_path / 'ours'}" in said


def test_half_precision_is_stored_on_request_alone(tmp_path):
    checkpoint = saved(PortUNet(levels=5, width=2), tmp_path)
    whole = import_checkpoint(checkpoint, tmp_path / "whole").folder / "model.safetensors"
    half = import_checkpoint(checkpoint, tmp_path / "half", half=True).folder / "model.safetensors"
    assert safetensors.torch.load_file(whole)["encoder.0.conv.weight"].dtype == torch.float32
    assert safetensors.torch.load_file(half)["encoder.0.conv.weight"].dtype == torch.float16


def test_a_model_that_is_there_is_not_overwritten(tmp_path):
    checkpoint = saved(PortUNet(levels=5, width=2), tmp_path)
    import_checkpoint(checkpoint, tmp_path / "ours")
    before = (tmp_path / "ours" / "model.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"holds README.md, config.json, model.safetensors already"):
        import_checkpoint(saved(PortUNet(levels=5, width=3), tmp_path), tmp_path / "ours")
    assert (tmp_path / "ours" / "model.safetensors").read_bytes() == before
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        import_checkpoint(checkpoint, checkpoint)


# ---- what is refused --------------------------------------------------------------------------------------


class Hostile:
    """Unpickled, it would create a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path, capsys, new, nested):
    target = tmp_path / "owned"
    content = {**PortUNet(levels=5, width=1).state_dict(), "opt": Hostile(target)}
    file = tmp_path / "latest_net_G.pth"
    torch.save({"state_dict": content} if nested else content, file, _use_new_zipfile_serialization=new)
    assert cli.main(["import", str(file), "--output", str(tmp_path / "ours")]) == 2
    said = capsys.readouterr().err
    assert "was refused, and nothing of it was run" in said
    assert "open" in said
    assert "weights_only=False" not in said, "nobody is to be told how to run it after all"
    assert not target.exists()
    assert not (tmp_path / "ours").exists()
    torch.load(file, weights_only=False)
    assert target.exists(), "the pickle is a real one"


def test_a_bare_pickle_is_refused_and_never_run(tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Hostile(tmp_path / "owned")))
    with pytest.raises(ModelError, match=r"refused|damaged"):
        import_checkpoint(tmp_path / "evil.pth", tmp_path / "ours")
    assert not (tmp_path / "owned").exists()


def test_a_whole_pickled_network_is_told_how_to_save_its_weights(tmp_path):
    torch.save(PortUNet(levels=5, width=1), tmp_path / "whole.pth")
    with pytest.raises(ModelError, match=r"asks for original_networks.PortUNet.*torch.save\(generator.state"):
        import_checkpoint(tmp_path / "whole.pth", tmp_path / "ours")


@pytest.mark.parametrize("part", [0.99, 0.5, 0.05])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_truncated_file_is_named_damaged(tmp_path, part, new):
    file = tmp_path / "latest_net_G.pth"
    torch.save(PortUNet(levels=5, width=1).state_dict(), file, _use_new_zipfile_serialization=new)
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ModelError, match="damaged"):
        import_checkpoint(file, tmp_path / "ours")


def test_a_zip_that_unpacks_to_far_more_is_refused(tmp_path):
    file = tmp_path / "bomb.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(20_000_000))
    with pytest.raises(ModelError, match="far more than its size"):
        import_checkpoint(file, tmp_path / "ours")


def test_a_shape_without_the_numbers_is_refused(tmp_path):
    state = PortUNet(levels=5, width=1).state_dict()
    state["model.model.0.weight"] = torch.zeros(1).expand(1000, 3, 4, 4)
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(ModelError, match=r"model.model.0.weight claims the shape \[1000, 3, 4, 4\]"):
        import_checkpoint(tmp_path / "file.pth", tmp_path / "ours")


def picture_file(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, "PNG")


def ours(path: Path) -> None:
    safetensors.torch.save_file(UNetGenerator(width=1, depth=3).state_dict(), path)


def written(content: bytes):
    return lambda path: path.write_bytes(content)


def tensors(**content: torch.Tensor):
    return lambda path: torch.save(content, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: torch.save(PortDiscriminator().state_dict(), path), "a discriminator, which judges"),
        (lambda path: torch.save({"model": PortDiscriminator().state_dict()}, path), "a discriminator"),
        (tensors(**{"model.1.weight": torch.ones(4, 3, 7, 7), "model.10.block.1.weight": torch.ones(1)}),
         "PyTorch-GAN's CycleGAN"),
        (tensors(**{"model.1.weight": torch.ones(4, 3, 7, 7), "model.4.filt": torch.ones(1)}), "of CUT"),
        (tensors(**{"model.16.conv_block.1.weight": torch.ones(4, 4, 3, 3)}), "pix2pixHD"),
        (tensors(**{"fc.weight": torch.ones(2, 3)}), r"1 tensors of 6 numbers: fc.weight \[2, 3\]"),
        (lambda path: torch.save([1, 2], path), "holds list and no weights"),
        (lambda path: torch.save({"epoch": 3}, path), "no weights by name"),
        (lambda path: path.mkdir(), "is a folder"),
        (picture_file, "no checkpoint"),
        (ours, "weights of pix2pix itself"),
        (written(b""), "is empty"),
        (written(b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1"), "original Lua code"),
        (written(b"4\n1\n3\nV 1\n13\nnn.Sequential\n"), "original Lua code"),
        (written(b"PK\x03\x04 not really"), "damaged or incomplete"),
        (written(b"\x10\0\0\0\0\0\0\0{not json at all  "), "cannot be read as safetensors"),
        (written(b"\x89HDF\r\n\x1a\n and no more"), "damaged"),
    ],
)  # fmt: skip
def test_other_files_are_named_for_what_they_are(tmp_path, write, message):
    write(tmp_path / "file.pth")
    with pytest.raises(ModelError, match=message):
        import_checkpoint(tmp_path / "file.pth", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_what_is_accepted_is_said(tmp_path):
    picture_file(tmp_path / "file.pth")
    with pytest.raises(ModelError, match=r"latest_net_G.pth.*HugGAN.*\.h5"):
        import_checkpoint(tmp_path / "file.pth", tmp_path / "ours")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        import_checkpoint(tmp_path / "nothing.pth", tmp_path / "ours")


def test_a_folder_tells_what_it_holds(tmp_path):
    saved(PortUNet(levels=5, width=1), tmp_path / "run")
    with pytest.raises(ModelError, match=r"it holds latest_net_G.pth"):
        import_checkpoint(tmp_path / "run", tmp_path / "ours")


def test_a_program_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "scripted.pt", "w") as archive:
        archive.writestr("scripted/data.pkl", b"\x80\x02}.")
        archive.writestr("scripted/constants.pkl", b"\x80\x02).")
    with pytest.raises(ModelError, match="TorchScript"):
        import_checkpoint(tmp_path / "scripted.pt", tmp_path / "ours")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model.model.1.model.1.weight": torch.ones(4, 2, 3, 3)},
            r"1.weight: \[4, 2, 3, 3\]",
        ),
        ({"model.model.1.model.5.weight": None}, "missing: model.model.1.model.5.weight"),
        ({"model.model.9.weight": torch.ones(3)}, r"unknown: model.model.9.weight \[3\]"),
        ({"model.model.3.bias": torch.full((3,), torch.nan)}, "model.model.3.bias is not finite"),
        ({"model.model.3.bias": torch.ones(3, dtype=torch.int64)}, "type of model.model.3.bias: torch.int64"),
        ({"model.model.0.weight": torch.ones(3)}, r"of shape \[3\]"),
        ({"model.model.0.weight": torch.ones(2, 100, 4, 4)}, "in_channels is 100"),
    ],
)
def test_a_network_that_is_not_quite_a_known_one_is_refused(tmp_path, change, message):
    state = PortUNet(levels=5, width=2, norm="instance").state_dict() | change
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "file.pth")
    with pytest.raises(ModelError, match=message):
        import_checkpoint(tmp_path / "file.pth", tmp_path / "ours")


def test_two_generators_in_one_file_are_told_apart_by_the_user(tmp_path):
    state = PortResNet(width=1, blocks=2).state_dict()
    torch.save({"G_A": state, "G_B": state}, tmp_path / "cycle.pth")
    with pytest.raises(ModelError, match="holds 2 generators: 'G_A', 'G_B'"):
        import_checkpoint(tmp_path / "cycle.pth", tmp_path / "ours")


def test_running_statistics_are_for_batch_norm_alone(tmp_path):
    checkpoint = saved(PortUNet(levels=5, width=1, norm="instance"), tmp_path)
    with pytest.raises(ConfigError, match="Only norm 'batch' has running statistics"):
        import_checkpoint(checkpoint, tmp_path / "ours", normalization="running")


@pytest.mark.parametrize("field", [{"norm_epsilon": 0.0}, {"dropout_blocks": "all"}])
def test_the_contracts_fields_for_imports_are_checked(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        ModelConfig(**field)


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        cli.main(["import", "--help"])
    assert "latest_net_G.pth --output" in capsys.readouterr().out
