"""The command, as a user types it: what it writes, what it says, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import write_pairs

from pix2pix import Translator, __version__, cli
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
        flags = ["--seed", seed, "--overwrite"]
        assert translate(model, photos / "a.png", output=tmp_path / "out", flags=flags) == 0
        drawn.append(Image.open(tmp_path / "out" / "a.png").tobytes())
    assert drawn[0] == drawn[1] != drawn[2]
    before = times(tmp_path / "out")
    assert translate(model, photos / "a.png", output=tmp_path / "out", flags=["--seed", 3]) == 0
    assert times(tmp_path / "out") != before, "another seed is another picture"


def test_an_interrupt_says_how_far_it_came_and_leaves_no_half_file(
    model, photos, tmp_path, monkeypatch, capsys
):
    save, count = Image.Image.save, []

    def interrupted(self, path, *arguments, **options):
        count.append(path)
        if len(count) == 2:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        save(self, path, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", interrupted)
    assert translate(model, photos, output=tmp_path / "out") == 130
    said = capsys.readouterr().err
    assert "interrupted: 2 of 3 files are not done" in said
    assert "the same command again:\n  pix2pix" in said
    assert written(tmp_path / "out") == {"a.png"}
    monkeypatch.setattr(Image.Image, "save", save)
    assert translate(model, photos, output=tmp_path / "out") == 0
    assert "1 of 3 were done before" in capsys.readouterr().out


# ---- what is done already ---------------------------------------------------------------------------------


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_is_done_is_left_until_told_otherwise(model, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert translate(model, photos, output=out) == 0
    first = times(out)
    assert translate(model, photos, output=out) == 0
    assert times(out) == first
    assert "all were done before" in capsys.readouterr().out
    assert translate(model, photos, output=out, flags=["--overwrite"]) == 0
    assert all(times(out)[name] != time for name, time in first.items())


@pytest.mark.parametrize("change", ["input", "model", "quality", "damaged", "removed"])
def test_another_input_model_or_quality_is_another_picture(change, model, photos, tmp_path):
    out = tmp_path / "out"
    flags: list[object] = ["--format", "jpg"]
    assert translate(model, photos, output=out, flags=flags) == 0
    before = times(out)
    if change == "input":
        Image.new("RGB", (9, 9)).save(photos / "a.png")
    if change == "model":
        torch.manual_seed(1)
        model = tmp_path / "model"
        Generator.from_config(ModelConfig(width=2, depth=3)).save_pretrained(model)
    if change == "quality":
        flags = [*flags, "--quality", 50]
    if change == "damaged":
        (out / "a.jpg").write_bytes(b"")
    if change == "removed":
        (out / "a.jpg").unlink()
    assert translate(model, photos, output=out, flags=flags) == 0
    anew = {name for name, time in times(out).items() if before[name] != time}
    assert anew == ({"a.jpg", "b.jpg", "c.jpg"} if change in ("model", "quality") else {"a.jpg"})


def test_a_done_array_is_known_and_a_changed_one_is_not(tmp_path):
    config = ModelConfig(
        width=2, depth=3, in_channels=2, out_channels=2, input_color="raw", output_color="raw"
    )
    model, out = saved(tmp_path / "model", config), tmp_path / "out"
    np.save(tmp_path / "a.npy", np.zeros((9, 7, 2), np.uint8))
    assert translate(model, tmp_path / "a.npy", output=out) == 0
    first = times(out)
    assert translate(model, tmp_path / "a.npy", output=out) == 0
    assert times(out) == first
    np.save(out / "a.npy", np.zeros((1, 1)))
    assert translate(model, tmp_path / "a.npy", output=out) == 0
    assert np.load(out / "a.npy").shape == (9, 7, 2)


def test_nothing_left_to_do_needs_no_torch(model, photos, tmp_path):
    assert translate(model, photos, output=tmp_path / "out") == 0
    command = ("translate", "--model", str(model), str(photos), "--output", str(tmp_path / "out"))
    shown = run(*command)
    assert shown.returncode == 0
    assert "all were done before" in shown.stdout
    assert "| torch\n" not in shown.stderr


# ---- which files, and how they are written ----------------------------------------------------------------


def test_patterns_find_files_and_keep_sub_folders(model, photos, tmp_path):
    assert translate(model, photos / "**" / "*.png", output=tmp_path / "out") == 0
    assert written(tmp_path / "out") == {"a.png", "sub/c.png"}


def test_a_pattern_that_matches_nothing_is_told(model, tmp_path, capsys):
    assert translate(model, tmp_path / "*.jpg", output=tmp_path / "out") == 2
    assert "There is no picture in" in capsys.readouterr().err


def test_a_file_with_the_signs_of_a_pattern_in_its_name_is_a_file(model, photos, tmp_path):
    (photos / "a.png").rename(photos / "a[1].png")
    assert translate(model, photos / "a[1].png", output=tmp_path / "out") == 0
    assert written(tmp_path / "out") == {"a[1].png"}


def test_a_turned_picture_is_written_upright_without_a_tag_that_turns_it_again(model, tmp_path):
    turned = Image.new("RGB", (20, 10))
    turned.paste((255, 0, 0), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "a.jpg", exif=exif)
    for ending in ("png", "jpg", "webp"):
        out = tmp_path / ending
        assert translate(model, tmp_path / "a.jpg", output=out, flags=["--format", ending]) == 0
        drawn = Image.open(out / f"a.{ending}")
        assert drawn.size == (10, 20)
        assert 0x0112 not in drawn.getexif()


def test_the_format_and_quality_are_those_asked_for(model, photos, tmp_path):
    sizes = {}
    for quality in (10, 95):
        out = tmp_path / str(quality)
        flags = ["--format", "jpg", "--quality", quality]
        assert translate(model, photos / "a.png", output=out, flags=flags) == 0
        assert Image.open(out / "a.jpg").format == "JPEG"
        sizes[quality] = (out / "a.jpg").stat().st_size
    assert sizes[10] < sizes[95]
    assert translate(model, photos / "a.png", output=tmp_path / "w", flags=["--format", "webp"]) == 0
    assert Image.open(tmp_path / "w" / "a.webp").format == "WEBP"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--quality", "90"], "a png loses nothing"),
        (["--format", "jpg", "--quality", "101"], "from 1 to 100"),
        (["--crf", "60"], "from 0 (lossless) to 51"),
        (["--batch_size", "0"], "at least 1"),
        (["--data", "elsewhere"], "one of them"),
    ],
)
def test_a_flag_that_cannot_be_is_told(flags, message, model, photos, tmp_path, capsys):
    assert translate(model, photos, output=tmp_path / "out", flags=flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_batch_gives_what_single_pictures_give_and_a_broken_one_spoils_no_other(model, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    (folder / "1b.png").write_bytes(b"broken")
    assert translate(model, folder, output=tmp_path / "one") == 1
    assert translate(model, folder, output=tmp_path / "many", flags=["--batch_size", 3]) == 1
    assert written(tmp_path / "one") == written(tmp_path / "many")
    for name in written(tmp_path / "one"):
        one, many = (np.asarray(Image.open(tmp_path / run / name), int) for run in ("one", "many"))
        assert np.abs(one - many).max() <= 1
    assert capsys.readouterr().err.count("1 of 5 files could not be translated") == 2


def test_a_picture_that_the_model_cannot_read_fails_alone(tmp_path, capsys):
    config = ModelConfig(width=2, depth=3, in_channels=3, input_color="raw")
    model = saved(tmp_path / "model", config)
    np.save(tmp_path / "a.npy", np.zeros((9, 9, 3), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((9, 9, 4), np.uint8))
    flags = ["--batch_size", 2]
    assert translate(model, tmp_path / "a.npy", tmp_path / "b.npy", output=tmp_path / "out", flags=flags) == 1
    assert "a.npy" in written(tmp_path / "out")
    assert "b.npy: 4 channels" in capsys.readouterr().err


def test_the_inputs_of_a_parquet_data_set_are_translated(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    pictures = {name: [Image.new("RGB", (16, 16), name) for _ in range(2)] for name in ("red", "blue")}
    kinds = datasets.Features({"input": datasets.Image(), "target": datasets.Image()})
    columns = {"input": pictures["red"], "target": pictures["blue"]}
    (tmp_path / "set" / "data").mkdir(parents=True)
    table = datasets.Dataset.from_dict(columns, features=kinds)
    table.to_parquet(str(tmp_path / "set" / "data" / "test-00000.parquet"))
    model, out = saved(tmp_path / "model", ModelConfig(width=2, depth=3)), tmp_path / "out"
    flags = ["--data", tmp_path / "set"]
    assert translate(model, output=out, flags=flags) == 0
    assert written(out) == {"000000.png", "000001.png"}
    expected = Translator.from_pretrained(model, device="cpu")(pictures["red"][0])
    assert np.array_equal(np.asarray(Image.open(out / "000000.png")), np.asarray(expected))
    first = times(out)
    assert translate(model, output=out, flags=flags) == 0
    assert times(out) == first


def test_json_tells_what_became_of_every_file(model, photos, tmp_path, capsys):
    assert translate(model, photos / "a.png", output=tmp_path / "out") == 0
    (photos / "b.jpg").write_text("")
    capsys.readouterr()
    assert translate(model, photos, output=tmp_path / "out", flags=["--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [file["state"] for file in told["files"]] == ["done before", "failed", "translated"]
    assert told["files"][2]["output"].endswith("sub/c.png")
    assert "b.jpg" in told["files"][1]["reason"]


def test_the_inputs_of_a_data_set_are_translated_on_the_side_that_training_read(tmp_path):
    pairs = write_pairs(tmp_path / "pairs")
    model = saved(tmp_path / "model", ModelConfig(task="map", width=2, depth=3))
    (model / "training_config.json").write_text(json.dumps({"direction": "BtoA"}))
    where = ["--data", pairs, "--split", "val"]
    assert translate(model, output=tmp_path / "out", flags=where) == 0
    assert written(tmp_path / "out") == {"6.png", "7.png"}
    right = Image.open(pairs / "val" / "6.png").crop((32, 0, 64, 32))
    expected = np.asarray(Translator.from_pretrained(model, device="cpu")(right))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "6.png")), expected)
    assert translate(model, output=tmp_path / "out", flags=["--data", pairs, "--split", "nope"]) == 2


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
    assert "torchrun --nproc_per_node 4 -m pix2pix translate" in shown.stdout, "an example"


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
