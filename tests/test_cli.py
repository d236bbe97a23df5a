"""The command, as a user types it: what it writes, what it says, how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix import Translator, __version__, cli, cli_translate
from pix2pix.config import ModelConfig
from pix2pix.networks import Generator

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("model"), ModelConfig(width=2, depth=3))


def saved(folder: Path, config: ModelConfig) -> Path:
    torch.manual_seed(0)
    Generator.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """a.png, b.jpg and sub/c.png, beside a note and a hidden picture."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "sub/c.png", ".hidden.png")):
        noise = np.random.default_rng(number).integers(0, 256, (10 + number, 20, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def translate(model, *inputs, output, flags=()) -> int:
    arguments = ["translate", "--model", model, *inputs, "--output", output, "--device", "cpu", *flags]
    return cli.main([str(argument) for argument in arguments])


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_files_and_folders_keep_their_names_and_sizes(model, photos, tmp_path, capsys):
    Image.open(photos / "a.png").save(tmp_path / "single.webp")
    assert translate(model, photos, tmp_path / "single.webp", output=tmp_path / "out") == 0
    assert written(tmp_path / "out") == {"a.png", "b.png", "sub/c.png", "single.png"}
    expected = Translator.from_pretrained(model, device="cpu")(photos / "sub" / "c.png")
    drawn = Image.open(tmp_path / "out" / "sub" / "c.png")
    assert np.array_equal(np.asarray(drawn), np.asarray(expected))
    assert f"{photos / 'b.jpg'} -> {tmp_path / 'out' / 'b.png'}" in capsys.readouterr().out


def test_a_second_run_replaces_the_first_ones_pictures(model, photos, tmp_path):
    assert translate(model, photos, output=photos / "out") == 0
    assert translate(model, photos, output=photos / "out") == 0
    assert written(photos / "out") == {"a.png", "b.png", "sub/c.png"}, "results are not translated again"


def test_a_broken_file_does_not_stop_the_rest(model, photos, tmp_path, capsys):
    (photos / "aa.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (photos / "ab.jpg").write_text("")
    assert translate(model, photos, photos / "gone.png", output=tmp_path / "out") == 1
    assert written(tmp_path / "out") == {"a.png", "b.png", "sub/c.png"}
    said = capsys.readouterr().err
    assert "3 of 6 files could not be translated" in said
    assert all(name in said for name in ("aa.png", "ab.jpg", "gone.png: no such file"))
    assert said.count("aa.png") == 1


def test_a_picture_that_cannot_be_written_leaves_the_old_one(model, photos, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "a.png").write_text("old")

    def full(self, path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert translate(model, photos / "a.png", output=output) == 1
    assert written(output) == {"a.png"}
    assert (output / "a.png").read_text() == "old"
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("no/such/folder", "neither a folder here nor a Hub id"),
        (str(ROOT / "tests"), "is no model: config.json and model.safetensors is missing"),
    ],
)
def test_a_wrong_model_is_told_before_anything_is_written(wrong, message, photos, tmp_path, capsys):
    assert translate(wrong, photos, output=tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert not (tmp_path / "out").exists()


def test_an_unusable_device_is_told(model, photos, tmp_path, capsys):
    assert translate(model, photos, output=tmp_path / "out", flags=["--device", "abacus"]) == 2
    assert "Device 'abacus' cannot be used" in capsys.readouterr().err


def test_two_pictures_of_one_name_are_refused_before_either_is_lost(model, photos, tmp_path, capsys):
    Image.open(photos / "b.jpg").save(photos / "b.png")
    assert translate(model, photos, output=tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert f"{photos / 'b.jpg'} and {photos / 'b.png'} would both become {tmp_path / 'out' / 'b.png'}" in said
    assert not (tmp_path / "out").exists()


def test_the_same_picture_named_twice_is_one(model, photos, tmp_path):
    assert translate(model, photos / "a.png", photos / "a.png", output=tmp_path / "out") == 0
    assert written(tmp_path / "out") == {"a.png"}


def test_inputs_are_never_overwritten(model, photos, capsys):
    before = (photos / "a.png").read_bytes()
    assert translate(model, photos / "a.png", output=photos) == 2
    assert "is an input" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


def test_an_output_that_is_a_file_and_an_empty_folder_are_told(model, photos, tmp_path, capsys):
    assert translate(model, photos, output=photos / "notes.txt") == 2
    assert "notes.txt is a file; name a folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert translate(model, tmp_path / "empty", output=tmp_path / "out") == 2
    assert "There is no picture in" in capsys.readouterr().err


def test_arrays_become_arrays(tmp_path):
    config = ModelConfig(
        width=2, depth=3, in_channels=5, out_channels=2, input_color="raw", output_color="raw"
    )
    model = saved(tmp_path / "model", config)
    np.save(tmp_path / "a.npy", np.zeros((9, 7, 5), np.uint16))
    assert translate(model, tmp_path / "a.npy", output=tmp_path / "out") == 0
    drawn = np.load(tmp_path / "out" / "a.npy")
    assert (drawn.shape, drawn.dtype) == ((9, 7, 2), np.uint16)


def test_the_seed_reaches_a_model_that_leaves_dropout_on(tmp_path, photos):
    model = saved(tmp_path / "model", ModelConfig(width=4, depth=3, inference_dropout=True))
    drawn = []
    for seed in (1, 1, 2):
        assert translate(model, photos / "a.png", output=tmp_path / "out", flags=["--seed", seed]) == 0
        drawn.append((tmp_path / "out" / "a.png").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_interrupt_ends_without_a_traceback(model, photos, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_translate, "translate_file", interrupted)
    assert translate(model, photos, output=tmp_path / "out") == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["translate"], ["translate", "a.png", "--model", "m"]])
def test_a_mistyped_command_shows_its_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: pix2pix" in capsys.readouterr().err


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-X", "importtime", "-m", "pix2pix", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_module_is_the_command_and_help_is_quick():
    shown = run("--version")
    assert (shown.returncode, shown.stdout.strip()) == (0, f"pix2pix {__version__}")
    shown = run("translate", "--help")
    assert shown.returncode == 0
    assert "--model" in shown.stdout
    assert "| torch\n" not in shown.stderr
    assert "| numpy\n" not in shown.stderr


def test_the_command_says_no_traceback_and_ends_with_two(tmp_path):
    shown = run(
        "translate", "--model", str(tmp_path), str(tmp_path / "a.png"), "--output", str(tmp_path / "o")
    )
    assert shown.returncode == 2
    assert "Traceback" not in shown.stderr
    assert "is no model" in shown.stderr


def test_the_installed_command_is_this_one():
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.scripts]\npix2pix = "pix2pix.cli:main"' in text
