"""The training script, run as a user runs it, on pictures of a few pixels."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from PIL import Image
from tiny_runs import TINY, checkpoints_after, same, tensors, write_pairs

import train_accelerate
from pix2pix import Translator, toy
from pix2pix.networks import JudgesPairs
from pix2pix.results import Record
from pix2pix.run_folder import choose_output_dir

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """Accelerate keeps its state for the life of a process; every run here starts without one."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def train(folder, pairs, *flags, steps=4):
    arguments = [*TINY, "--train_data_dir", str(pairs), "--output_dir", str(folder)]
    return train_accelerate.main([*arguments, "--max_train_steps", str(steps), *map(str, flags)])


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_leaves_a_folder_that_draws_validations_picture(tmp_path, pairs):
    assert train(tmp_path / "run", pairs, "--use_ema") == 0
    for name in ("config.json", "model.safetensors", "metrics.json", "training_config.json", "samples.png"):
        assert (tmp_path / "run" / name).is_file(), name
    translate = Translator.from_pretrained(tmp_path / "run")
    sheet = np.asarray(Image.open(tmp_path / "run" / "samples.png")).astype(int)
    for row, index in enumerate((6, 7)):
        top = sheet.shape[0] - (2 - row) * 40
        shown = sheet[top : top + 32, 48:80]
        picture = Image.open(pairs / "val" / f"{index}.png").crop((0, 0, 32, 32))
        drawn = np.asarray(translate(picture)).astype(int)
        assert np.abs(shown - drawn).max() <= 1
        translate.generator.train()  # nor does the mode of the network matter
    assert JudgesPairs.from_pretrained(tmp_path / "run", subfolder="discriminator").training is False


def test_metrics_json_holds_history_best_and_baselines(tmp_path, pairs):
    assert train(tmp_path, pairs, "--validation_steps", 2, "--best_metric", "l1") == 0
    record = metrics_of(tmp_path)
    assert [entry["step"] for entry in record["history"]] == [2, 4]
    assert record["best"]["l1"] == min(entry["l1"] for entry in record["history"])
    assert set(record["baselines"]) == {"copy_input", "mean_target"}
    assert record["best"]["count"] == 2
    assert len(list((tmp_path / "validation").glob("*.png"))) == 2


def test_the_best_weights_are_published_not_the_last(tmp_path, pairs, monkeypatch):
    def second_is_best(self, step, _):
        self.content["best"] = {"step": 2}
        return step == 2  # whatever was measured

    monkeypatch.setattr(Record, "add", second_is_best)
    flags = ("--validation_steps", 2, "--lr_scheduler", "constant")
    assert train(tmp_path / "both", pairs, *flags) == 0
    assert train(tmp_path / "half", pairs, *flags, steps=2) == 0
    assert same(tensors(tmp_path / "both"), tensors(tmp_path / "half"))


def test_the_moving_average_is_what_is_published(tmp_path, pairs):
    train(tmp_path / "raw", pairs)
    train(tmp_path / "average", pairs, "--use_ema")
    assert not same(tensors(tmp_path / "raw"), tensors(tmp_path / "average"))


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, pairs):
    flags = ("--use_ema", "--checkpointing_steps", 3, "--train_batch_size", 4)  # batches that cross epochs
    assert train(tmp_path / "whole", pairs, *flags, steps=6) == 0
    assert train(tmp_path / "parts", pairs, *flags, steps=6) == 0
    for later in checkpoints_after(tmp_path / "parts", 3):
        shutil.rmtree(later)
    for leftover in ("model.safetensors", "metrics.json"):
        (tmp_path / "parts" / leftover).unlink()
    assert train(tmp_path / "parts", pairs, *flags, "--resume_from_checkpoint", "latest", steps=6) == 0
    assert same(tensors(tmp_path / "whole"), tensors(tmp_path / "parts"))
    assert metrics_of(tmp_path / "whole") == metrics_of(tmp_path / "parts")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path, pairs):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path / name, pairs, "--seed", seed)
    assert same(tensors(tmp_path / "a"), tensors(tmp_path / "b"))
    assert not same(tensors(tmp_path / "a"), tensors(tmp_path / "c"))


def test_accumulating_gradients_equals_a_larger_batch(tmp_path, pairs):
    common = ("--dropout", 0, "--lambda_gan", 0, "--augment", "none")
    train(tmp_path / "batch", pairs, *common, "--train_batch_size", 4, steps=2)
    halves = ("--train_batch_size", 2, "--gradient_accumulation_steps", 2)
    train(tmp_path / "sum", pairs, *common, *halves, steps=2)
    a, b = tensors(tmp_path / "batch"), tensors(tmp_path / "sum")
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 2e-5


@pytest.mark.parametrize("task", ["colorize", "sketch"])
def test_photos_alone_train_the_tasks_that_derive_their_input(tmp_path, task):
    for index in range(3):
        (tmp_path / "photos").mkdir(exist_ok=True)
        toy.draw_pair(task, index, 40)[1].save(tmp_path / "photos" / f"{index}.jpg")
    assert train(tmp_path / "run", tmp_path / "photos", "--task", task) == 0
    drawn = Translator.from_pretrained(tmp_path / "run")(tmp_path / "photos" / "0.jpg")
    assert (drawn.size, drawn.mode) == ((40, 40), "RGB")


def test_without_a_validation_split_the_held_out_pairs_are_said(tmp_path, pairs, capsys):
    assert train(tmp_path / "run", pairs / "train") == 0
    said = capsys.readouterr().err
    assert "5 training pairs" in said
    assert "held out" in said


def test_without_data_the_drawn_town_is_learned_and_flags_win():
    config = train_accelerate.parse([])
    assert (config.task, config.resolution, config.use_ema) == ("map", 128, True)
    config = train_accelerate.parse(["--task", "facades", "--width", "7"])
    assert (config.task, config.width, config.resolution) == ("facades", 7, 128)
    assert train_accelerate.parse(["--train_data_dir", "x"]).resolution == 256


@pytest.mark.parametrize("data", [(), ("--train_data_dir", "pairs")])
def test_boolean_flags_work_bare_whatever_the_default_is(data):
    for flag, expected in (("--use_ema", True), ("--no_use_ema", False)):
        assert train_accelerate.parse([flag, *data]).use_ema is expected


def test_a_failing_tracker_does_not_end_training(tmp_path, pairs, monkeypatch, capsys):
    from torch.utils.tensorboard import SummaryWriter

    def refuse(*_, **__):
        raise ConnectionRefusedError("no server")

    monkeypatch.setattr(SummaryWriter, "add_scalars", refuse)
    monkeypatch.setattr(SummaryWriter, "add_scalar", refuse)
    assert train(tmp_path, pairs, "--report_to", "tensorboard") == 0
    assert capsys.readouterr().err.count("Reporting stopped, training goes on") == 1


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_said(tmp_path, pairs, capsys, tracker):
    if importlib.util.find_spec(tracker):
        pytest.skip(f"{tracker} is installed here")
    assert train(tmp_path, pairs, "--report_to", tracker) == 0
    assert f"pip install {tracker}" in capsys.readouterr().err


def test_tensorboard_gets_losses_measures_and_pictures(tmp_path, pairs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(tmp_path, pairs, "--report_to", "tensorboard") == 0
    events = EventAccumulator(str(next((tmp_path / "logs").rglob("events*")).parent))
    events.Reload()
    assert {"D", "G_gan", "G_l1", "learning_rate", "validation/psnr"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["validation"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--train_data_dir", "/nowhere"), "/nowhere"),
        (("--train_split", "nope"), "--train_split"),
        (("--resolution", "40"), "--resolution 40"),
        (("--resume_from_checkpoint", "/nowhere/step-1"), "/nowhere/step-1"),
        (("--learning_rate", "-1"), "learning_rate"),
        (("--load_size", "16"), "--load_size 16"),
        (("--norm", "batch", "--gan_mode", "wgangp"), "--gan_mode wgangp"),
    ],
)
def test_a_users_mistake_gives_one_message_and_status_2(tmp_path, pairs, capsys, flags, message):
    try:
        status = train(tmp_path / "run", pairs, *flags)
    except SystemExit as exit:
        status = exit.code
    said = capsys.readouterr().err
    assert status == 2
    assert message in said
    assert "Traceback" not in said


def test_another_run_is_not_overwritten(tmp_path, pairs, capsys):
    assert train(tmp_path, pairs) == 0
    before = tensors(tmp_path)
    assert train(tmp_path, pairs, "--seed", 5) == 2
    assert "holds another run" in capsys.readouterr().err
    assert same(before, tensors(tmp_path))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory_names_the_flags_to_turn(tmp_path, pairs, capsys, monkeypatch, error):
    def exhausted(*_, **__):
        raise error

    monkeypatch.setattr(train_accelerate.training, "train_step", exhausted)
    assert train(tmp_path, pairs) == 2
    assert "--train_batch_size" in capsys.readouterr().err


def test_a_default_output_folder_is_never_one_in_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = train_accelerate.parse([])
    assert choose_output_dir(config) == Path("runs/toy")
    (tmp_path / "runs/toy").mkdir(parents=True)
    assert choose_output_dir(config) == Path("runs/toy-2")
    (tmp_path / "runs/toy-2").mkdir()
    resuming = train_accelerate.parse(["--resume_from_checkpoint", "latest"])
    assert choose_output_dir(resuming) == Path("runs/toy-2")


def test_accelerate_launch_runs_it(tmp_path, pairs):
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", str(ROOT / "train_accelerate.py"), *TINY,
        "--train_data_dir", str(pairs), "--output_dir", str(tmp_path / "run"), "--max_train_steps", "2",
        "--dataloader_num_workers", "1",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert str(tmp_path / "run" / "samples.png") in result.stderr


def test_every_published_file_may_be_read_by_others(tmp_path, pairs):
    assert train(tmp_path / "run", pairs) == 0
    plain = tmp_path / "plain"
    plain.touch()
    for file in (tmp_path / "run").glob("*.*"):
        assert file.stat().st_mode == plain.stat().st_mode, file


@pytest.mark.parametrize(("asked", "batch", "accumulated"), [(8, 2, 4), (6, 2, 3), (7, 1, 7)])
def test_a_batch_that_fits_is_found_and_the_pairs_per_step_stay(
    tmp_path, pairs, monkeypatch, capsys, asked, batch, accumulated
):
    step = train_accelerate.training.train_step

    def small_memory(G, D, batches, *others, **named):
        if len(batches[0][0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(G, D, batches, *others, **named)

    monkeypatch.setattr(train_accelerate.training, "train_step", small_memory)
    assert train(tmp_path, pairs, "--train_batch_size", asked, "--find_batch_size", steps=1) == 0
    written = json.loads((tmp_path / "training_config.json").read_text())
    assert (written["train_batch_size"], written["gradient_accumulation_steps"]) == (batch, accumulated)
    assert f"--train_batch_size {batch} fits" in capsys.readouterr().err


def test_a_machine_too_small_for_one_pair_says_what_to_turn(tmp_path, pairs, monkeypatch, capsys):
    def no_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(train_accelerate.training, "train_step", no_memory)
    assert train(tmp_path, pairs, "--train_batch_size", 2, "--find_batch_size") == 2
    assert "--resolution" in capsys.readouterr().err
