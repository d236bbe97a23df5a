"""A network on disk: what is saved comes back to the bit, and nothing else is let in."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import safetensors.torch
import torch

from pix2pix import PatchDiscriminator, ResNetGenerator, Translator, UNetGenerator
from pix2pix.config import DiscriminatorConfig, ModelConfig
from pix2pix.errors import ModelError
from pix2pix.networks import Generator, JudgesPairs

TINY = ModelConfig(task="map", width=2, depth=3)


def saved(folder: Path, config: ModelConfig = TINY, half: bool = False) -> Any:
    torch.manual_seed(0)
    G = Generator.from_config(config)
    G.save_pretrained(folder, half)
    return G


def rewrite(folder: Path, **changes) -> None:
    """Change weights of model.safetensors; None takes one away."""
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path) | changes
    safetensors.torch.save_file({name: value for name, value in state.items() if value is not None}, path)


def reconfigure(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def bias(folder: Path) -> torch.Tensor:
    return safetensors.torch.load_file(folder / "model.safetensors")["encoder.0.conv.bias"]


# --------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (UNetGenerator, TINY),
        (ResNetGenerator, ModelConfig(generator="resnet_6blocks", width=2, depth=2)),
        (Generator, ModelConfig(generator="unet_article", width=2, depth=3, norm="batch")),
    ],
)
def test_what_is_saved_comes_back_to_the_bit(tmp_path, kind, config):
    G = saved(tmp_path, config)
    loaded = kind.from_pretrained(tmp_path)
    assert type(loaded) is type(G)
    assert loaded.config == config
    before, after = G.state_dict(), loaded.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    loaded.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_loaded_network_is_ready_to_use_and_to_train(tmp_path):
    saved(tmp_path)
    G = UNetGenerator.from_pretrained(str(tmp_path))
    assert not any(module.training for module in G.modules())
    assert all(value.dtype == torch.float32 and value.device.type == "cpu" for value in G.parameters())
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in G.parameters())
    G(torch.zeros(1, 3, 8, 8)).sum().backward()


def test_half_precision_on_disk_loads_as_float32(tmp_path):
    G = saved(tmp_path / "half", half=True)
    saved(tmp_path / "full")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.7 * sizes[1]
    loaded = UNetGenerator.from_pretrained(tmp_path / "half").state_dict()
    assert all(torch.equal(loaded[name], value.half().float()) for name, value in G.state_dict().items())
    assert bias(tmp_path / "half").dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_float_types_load_as_float32(tmp_path, dtype):
    G = saved(tmp_path)
    rewrite(tmp_path, **{"encoder.0.conv.bias": bias(tmp_path).to(dtype)})
    loaded = UNetGenerator.from_pretrained(tmp_path).state_dict()["encoder.0.conv.bias"]
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, G.encoder[0].conv.bias.to(dtype).float())


def test_a_discriminator_is_loaded_from_its_subfolder(tmp_path):
    saved(tmp_path)
    config = DiscriminatorConfig(width=2, layers=2)
    D = JudgesPairs.from_config(config)
    D.save_pretrained(tmp_path / "discriminator")
    loaded = PatchDiscriminator.from_pretrained(tmp_path, subfolder="discriminator")
    x, y = torch.rand(2, 1, 3, 32, 32)
    assert torch.equal(loaded(x, y), D.eval()(x, y))
    with pytest.raises(ModelError, match=r"no field 'discriminator'"):
        PatchDiscriminator.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no field 'generator'"):
        UNetGenerator.from_pretrained(tmp_path, subfolder="discriminator")


def test_saving_replaces_the_old_model_and_leaves_nothing_else(tmp_path):
    (tmp_path / "README.md").write_text("a card")
    saved(tmp_path, ModelConfig(width=3, depth=4))
    saved(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert UNetGenerator.from_pretrained(tmp_path).config == TINY


def test_a_network_from_bare_numbers_says_how_to_be_saved(tmp_path):
    with pytest.raises(ValueError, match="build it by from_config"):
        UNetGenerator(width=2, depth=3).save_pretrained(tmp_path)


def test_what_nobody_could_load_is_not_saved(tmp_path):
    G = saved(tmp_path)
    good = (tmp_path / "model.safetensors").read_bytes()
    torch.nn.init.constant_(G.encoder[0].conv.bias, 1e6)
    with pytest.raises(ModelError, match=r"encoder\.0\.conv\.bias is too large for half precision"):
        G.save_pretrained(tmp_path, half=True)
    torch.nn.init.constant_(G.encoder[0].conv.bias, float("nan"))
    with pytest.raises(ModelError, match=r"encoder\.0\.conv\.bias is not finite: training has diverged"):
        G.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == good


# ------------------------------------------------------------------------------------- the wrong network


def test_the_wrong_class_names_the_right_one(tmp_path):
    saved(tmp_path, ModelConfig(generator="resnet_6blocks", width=2, depth=2))
    with pytest.raises(ModelError, match=r"a ResNetGenerator, not a UNetGenerator: use .*ResNetGenerator"):
        UNetGenerator.from_pretrained(tmp_path)


def test_missing_and_unknown_and_misshapen_weights_are_named(tmp_path):
    saved(tmp_path)
    extra = {
        "encoder.0.conv.bias": None,
        "encoder.9.bias": torch.zeros(2),
        "encoder.1.conv.weight": torch.zeros(3),
    }
    rewrite(tmp_path, **extra)
    with pytest.raises(ModelError, match=r"does not fit its config\.json in 3 weights") as caught:
        UNetGenerator.from_pretrained(tmp_path)
    assert "missing: encoder.0.conv.bias [2]" in str(caught.value)
    assert "unknown: encoder.9.bias [2]" in str(caught.value)
    assert "shape of encoder.1.conv.weight: [3], the configuration says [4, 2, 4, 4]" in str(caught.value)


def test_many_wrong_weights_are_counted_not_all_listed(tmp_path):
    saved(tmp_path, ModelConfig(width=3, depth=8))
    reconfigure(tmp_path, width=4)
    with pytest.raises(ModelError, match=r"and \d+ more") as caught:
        UNetGenerator.from_pretrained(tmp_path)
    assert len(str(caught.value).splitlines()) < 30


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    saved(tmp_path)
    rewrite(tmp_path, **{"encoder.0.conv.bias": torch.tensor([0, value], dtype=torch.float64)})
    with pytest.raises(ModelError, match=r"encoder\.0\.conv\.bias is not finite"):
        UNetGenerator.from_pretrained(tmp_path)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8, torch.complex64])
def test_weights_of_another_type_are_refused(tmp_path, dtype):
    saved(tmp_path)
    rewrite(tmp_path, **{"encoder.0.conv.bias": torch.zeros(2, dtype=dtype)})
    with pytest.raises(ModelError, match=rf"encoder\.0\.conv\.bias holds {dtype}"):
        UNetGenerator.from_pretrained(tmp_path)


# ------------------------------------------------------------------------------------- damaged and hostile


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:5],
        lambda data: b"",
        lambda data: b"<!DOCTYPE html> 404" * 100,
        lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        lambda data: struct.pack("<Q", 2**63) + data[8:],
        lambda data: data[:8] + b"\xff" * (len(data) - 8),
    ],
    ids=["half", "last-byte", "start", "empty", "web-page", "lfs-pointer", "endless-header", "no-header"],
)
def test_damaged_weights_say_so(tmp_path, spoil):
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ModelError, match="damaged or incomplete: download or copy it again"):
        UNetGenerator.from_pretrained(tmp_path)


class Trap:
    path: ClassVar[Path]

    def __reduce__(self):
        return open, (str(Trap.path), "w")


@pytest.mark.parametrize("write", [lambda path: torch.save({"a": Trap()}, path),
                                   lambda path: path.write_bytes(pickle.dumps(Trap()))])  # fmt: skip
def test_a_pickle_under_a_safetensors_name_is_not_opened(tmp_path, write):
    saved(tmp_path)
    Trap.path = tmp_path / "sprung"
    write(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        Translator.from_pretrained(tmp_path, device="cpu")
    assert not Trap.path.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 10**9}, "width is 1000000000"),
        ({"width": 0}, "width is 0"),
        ({"width": "64"}, "width is '64'"),
        ({"width": True}, "width is True"),
        ({"width": 2.0}, r"width is 2\.0"),
        ({"width": None}, "width is None"),
        ({"depth": 10**6}, "depth is 1000000"),
        ({"depth": -1}, "depth is -1"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"in_channels": 10**7, "input_color": "raw"}, "in_channels is 10000000"),
        ({"in_channels": 4}, "'rgb' has 3 channels, not 4"),
        ({"generator": "os.system"}, r"generator is 'os\.system'"),
        ({"generator": ["unet_256"]}, "generator is"),
        ({"norm": "spectral"}, "norm is 'spectral'"),
        ({"normalization": "running"}, "Only norm 'batch' has running statistics"),
        ({"contract_version": 99}, r"contract version 99; .*pip install -U pix2pix"),
        ({"contract_version": "1"}, "contract version '1'"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(tmp_path, changes, message):
    saved(tmp_path)
    reconfigure(tmp_path, **changes)
    with pytest.raises(ModelError, match=message):
        Translator.from_pretrained(tmp_path, device="cpu")


def test_fields_of_a_later_minor_version_are_ignored(tmp_path):
    saved(tmp_path)
    reconfigure(tmp_path, favourite_colour="green")
    assert Translator.from_pretrained(tmp_path, device="cpu").config == TINY


def test_absurd_numbers_are_refused_before_memory_is_taken(tmp_path):
    """The largest numbers that config.json may hold, beside kilobytes of weights: gigabytes if built."""
    saved(tmp_path)
    reconfigure(tmp_path, width=1024, depth=12)
    code = (
        "import resource, sys; from pix2pix import Translator\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try: Translator.from_pretrained({str(tmp_path)!r}, device='cpu')\n"
        "except ValueError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    *message, grown = run.stdout.splitlines()
    assert "does not fit its config.json" in message[0], run.stderr
    assert int(grown) < 100_000, "kilobytes"


# --------------------------------------------------------------------------------------------- a full disk


def test_a_full_disk_is_an_error_that_the_run_waits_for(tmp_path, monkeypatch):
    saved(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    G = Generator.from_config(TINY)

    def fill(*_, **__):
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", fill)
        with pytest.raises(OSError, match=r"model\.safetensors was not written: .*No space left"):
            G.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_is_full_in_earnest_is_the_same_error(tmp_path):
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting needs root, and Linux")
    try:
        with pytest.raises(OSError, match=r"[Nn]o space left"):
            Generator.from_config(ModelConfig(task="map", width=8, depth=5)).save_pretrained(tmp_path)
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
