"""README and docs/: every command is run, every flag and link is there.

Each command runs in a fresh folder that holds what the reader has at that point: photos, pairs, a model.
What would train for hours is given flags of a few pixels; what needs several GPUs is only parsed.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import tiny_runs
import torch
from accelerate.state import AcceleratorState, GradientState
from original_networks import PortUNet
from trained_folder import trained_folder

import app
import train_accelerate
from pix2pix import cli, toy

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TINY = [*tiny_runs.TINY, "--max_train_steps", "2", "--generator", "unet_128", "--validation_steps", "2"]


def blocks(language: str) -> list[str]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [block for path in DOCUMENTS for block in pattern.findall(path.read_text(encoding="utf-8"))]


def commands() -> list[str]:
    lines = (line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines())
    stripped = (re.sub(r"\s+#\s.*$", "", line).strip() for line in lines)
    return sorted({line for line in stripped if line and not line.startswith("#")})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What a reader has: two folders of pictures, pairs with three splits, a trained model, a foreign one."""
    root = tmp_path_factory.mktemp("reader")
    shutil.copy(ROOT / "requirements.txt", root)
    for side in ("aerial_photos", "maps"):
        (root / side).mkdir()
    for index in range(12):
        for side, picture in zip(("aerial_photos", "maps"), toy.draw_pair("map", index, 32), strict=True):
            picture.save(root / side / f"{index}.png")
    shutil.copytree(root / "aerial_photos", root / "photos")
    shutil.copy(root / "aerial_photos" / "0.png", root / "photo.jpg")
    shutil.copy(root / "aerial_photos" / "0.png", root / "photo.png")
    toy.draw_pair("map", 0, 32)[0].save(root / "photo.jpg")
    tiny_runs.write_pairs(root / "my_pairs")
    shutil.copytree(root / "my_pairs" / "val", root / "my_pairs" / "test")
    trained_folder(root / "runs" / "map", train_data_dir="my_pairs")
    trained_folder(root / "runs" / "sketch", task="sketch")
    trained_folder(root / "models" / "map", train_data_dir="my_pairs")
    torch.save(PortUNet(width=4).state_dict(), root / "latest_net_G.pth")
    return root


@pytest.fixture
def reader(prepared, tmp_path, monkeypatch, loopback):
    """The folder that one command runs in, and the reader's account on the Hub."""
    folder = tmp_path / "reader"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_TOKEN", loopback.add_user("you"))
    yield folder
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("pix2pix ")])
def test_every_pix2pix_command_of_the_documents_works(command, reader, capsys):
    words = shlex.split(command)[1:]
    made = reader / words[words.index("--output") + 1] if "--output" in words else None
    if made and words[0] in ("pair", "release"):
        shutil.rmtree(made, ignore_errors=True)
    if words[0] == "import" and words[1].endswith(".h5"):
        pytest.skip("the notebook's file is made in test_interop_keras.py")
    assert cli.main(words) in ((0, 1) if words[0] == "doctor" else (0,)), capsys.readouterr().err
    assert made is None or made.exists()


@pytest.mark.parametrize("command", [line for line in commands() if "train_accelerate.py" in line])
def test_every_training_command_of_the_documents_is_understood_and_one_process_trains(command, reader):
    words = shlex.split(command)
    flags = words[words.index("train_accelerate.py") + 1 :]
    assert train_accelerate.parse(flags)
    if "--multi_gpu" not in words and "torchrun" not in words and "--dataset_name" not in flags:
        shutil.rmtree(reader / "runs")
        free = [flag for flag in flags if flag not in ("bf16", "--mixed_precision")]
        assert train_accelerate.main([*free, *TINY]) == 0
        assert (reader / "runs/map/model.safetensors").is_file()


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_every_make_command_of_the_documents_has_its_rule(command):
    run = subprocess.run(
        ["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("python app.py")])
def test_every_command_that_starts_the_demo_is_understood(command):
    assert app.parse(shlex.split(command)[2:])


def test_no_command_of_the_documents_is_left_untested():
    known = ("pix2pix ", "make ", "python app.py")
    outside = {"pip install -r requirements.txt", "hf auth login"}
    left = [
        line
        for line in commands()
        if not line.startswith(known) and "train_accelerate.py" not in line and line not in outside
    ]
    assert all(line.startswith("torchrun") and "-m pix2pix translate" in line for line in left), left


@pytest.mark.parametrize("block", blocks("python"))
def test_the_python_of_the_documents_runs(block, reader):
    exec(compile(block, "README", "exec"), {})


def test_every_flag_in_the_tables_exists():
    text = "\n".join(
        re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for path in DOCUMENTS
        if path.name not in ("coming-from.md", "several-machines.md")
    )
    text += "\n".join(
        line.rsplit("|", 2)[1]
        for line in (ROOT / "docs/coming-from.md").read_text().splitlines()
        if "|" in line
    )
    named = set(re.findall(r"(?<![\w-])--([a-z]\w*)", text))
    others = {"multi_gpu", "num_processes", "logdir"}  # of accelerate and tensorboard
    ours = set(train_accelerate.TrainingConfig.__dataclass_fields__)
    ours |= {word[2:] for word in re.findall(r"--[a-z]\w+", all_help())}
    assert named - others <= ours, sorted(named - others - ours)


def all_help() -> str:
    import argparse

    commands = argparse.ArgumentParser().add_subparsers()
    for declare in cli.COMMANDS:
        declare(commands)
    return (
        "\n".join(parser.format_help() for parser in commands.choices.values()) + app.parser().format_help()
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("http") or (document.parent / link).exists(), link
