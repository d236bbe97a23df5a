"""Which folder a run has, and that it is its own."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import datasets
import pytest

from pix2pix import run_folder
from pix2pix.errors import UserError
from pix2pix.pairs import Columns, PairSource, Selected
from pix2pix.run_folder import (
    choose_output_dir,
    fingerprint,
    launch_words,
    persistently,
    require_own_checkpoint,
    require_room,
    require_same_run,
    resume_command,
    schedule_changes,
    write_config,
)
from pix2pix.training_config import TrainingConfig


def test_a_folder_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be written to"):
        require_room(tmp_path / "file" / "run", 0)
    assert (tmp_path / "file").read_text() == "mine"


def test_room_is_measured_before_it_is_needed(tmp_path):
    require_room(tmp_path / "run", 1000)
    assert list((tmp_path / "run").iterdir()) == []
    with pytest.raises(UserError, match=r"need about 1000000\.00 GB"):
        require_room(tmp_path / "run", 10**15)


def test_a_refused_write_is_tried_until_it_succeeds(monkeypatch):
    waits: list[float] = []
    said: list[str] = []
    tries = iter([OSError("full"), OSError("full"), None])
    monkeypatch.setattr(run_folder.time, "sleep", waits.append)

    def write():
        error = next(tries)
        if error:
            raise error
        return "written"

    assert persistently("It", write, said.append) == "written"
    assert len(waits) == len(said) == 2


def test_a_write_that_is_refused_for_good_ends_with_a_message(monkeypatch):
    monkeypatch.setattr(run_folder, "PATIENCE", 0.0)

    def write():
        raise OSError("full")

    with pytest.raises(UserError, match=r"full.*--resume_from_checkpoint latest"):
        persistently("It", write, print)


def test_the_resume_command_keeps_the_flags_and_replaces_the_folder(monkeypatch, tmp_path):
    said = "train_accelerate.py --task map --output_dir old --resume_from_checkpoint=x --use_ema"
    monkeypatch.setattr("sys.argv", said.split())
    assert resume_command(tmp_path / "a b") == (
        "accelerate launch train_accelerate.py --task map --use_ema "
        f"--output_dir '{tmp_path}/a b' --resume_from_checkpoint latest"
    )
    assert resume_command(tmp_path, ["torchrun", "--nproc_per_node", "2"]).startswith(
        "torchrun --nproc_per_node 2 train_accelerate.py --task map"
    )


def test_a_run_goes_on_with_as_many_processes():
    assert launch_words(1, "cpu") == launch_words(1, "cuda") == ["accelerate", "launch"]
    assert launch_words(2, "cpu") == ["torchrun", "--nproc_per_node", "2"]
    assert launch_words(2, "cuda") == ["accelerate", "launch", "--multi_gpu", "--num_processes", "2"]


def test_what_a_run_took_outlives_what_it_is_told_anew(tmp_path):
    (tmp_path / "training_config.json").write_text('{"run": {"seconds": 5}, "seed": 1}')
    write_config(tmp_path, TrainingConfig(seed=2))
    written = json.loads((tmp_path / "training_config.json").read_text())
    assert written == TrainingConfig(seed=2).to_dict() | {"run": {"seconds": 5}}


class Pairs(PairSource):
    layout, names = "side_by_side", ("a", "b")


def test_every_difference_of_a_resumed_run_is_named():
    config = TrainingConfig(train_data_dir="x")
    saved = {"config": config.to_dict(), "data": "1", "pairs_per_step": 1}
    require_same_run(saved, config, "1", 1)
    require_same_run(saved, TrainingConfig(train_data_dir="moved", max_train_steps=9), "1", 1)
    with pytest.raises(UserError) as refused:
        require_same_run(saved, TrainingConfig(train_data_dir="x", width=8, seed=3), "2", 4)
    for part in ("--width was 64 and is now 8", "--seed was 0 and is now 3", "pairs are others", "now see 4"):
        assert part in str(refused.value)


def test_the_fingerprint_knows_names_and_sizes_not_places(tmp_path):
    sources = []
    for place, content in (("a", b"12"), ("b", b"12"), ("c", b"123")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1.png").write_bytes(content)
        source = Pairs()
        source.files = [tmp_path / place / "1.png"]
        sources.append(fingerprint(source))
    assert sources[0] == sources[1] != sources[2]


def test_pairs_that_are_held_out_or_no_files_are_known_by_their_content_too(tmp_path):
    path = tmp_path / "1.png"
    found = []
    for content in (b"12", b"123"):
        path.write_bytes(content)
        source = Pairs()
        source.files = [path]
        found.append(fingerprint(Selected(source, [0])))
    assert found[0] != found[1]

    rows = [datasets.Dataset.from_dict({"x": [value]}) for value in (1, 1, 2)]
    columns = [fingerprint(Selected(Columns(row, None, "x"), [0])) for row in rows]
    assert columns[0] == columns[1] != columns[2]


def test_the_fingerprint_of_several_sources_knows_each_of_them():
    one, other = Pairs(), Pairs()
    other.names = ("c", "d")
    found = {fingerprint(one), fingerprint(one, other), fingerprint(other, one), fingerprint(one, one)}
    assert len(found) == 4


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "metrics.json", "checkpoints/"])
def test_a_folder_with_a_model_of_anybody_is_not_overwritten(tmp_path, name):
    config = TrainingConfig(train_data_dir="x", output_dir=str(tmp_path))
    (tmp_path / "notes.txt").write_text("mine")
    assert choose_output_dir(config) == tmp_path
    if name.endswith("/"):
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=f"holds {name}"):
        choose_output_dir(config)
    (tmp_path / "training_config.json").write_text("{}")
    with pytest.raises(UserError, match=f"holds another run .*{name}"):
        choose_output_dir(config)
    resumed = dataclasses.replace(config, resume_from_checkpoint="latest")
    assert choose_output_dir(resumed) == tmp_path


def disk_with(monkeypatch, free):
    monkeypatch.setattr(run_folder.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_room_that_the_checkpoints_have_already_is_not_asked_for_again(tmp_path, monkeypatch):
    for step in (1, 2):
        folder = tmp_path / "checkpoints" / f"step-0000000{step}"
        folder.mkdir(parents=True)
        (folder / "G.pt").write_bytes(bytes(1000))
    disk_with(monkeypatch, 1000)
    require_room(tmp_path, 3000)
    disk_with(monkeypatch, 999)
    for needed in (3000, 0):  # the next one is written before an old one goes
        with pytest.raises(UserError, match=r"0\.0 MB more"):
            require_room(tmp_path, needed)


def test_little_room_is_said_in_megabytes(tmp_path, monkeypatch):
    disk_with(monkeypatch, 16_000_000)
    with pytest.raises(UserError, match=r"16\.0 MB free; .* need about 590\.0 MB\."):
        require_room(tmp_path, 590_000_000)


def test_another_batch_under_batch_norm_is_another_run():
    saved: dict[str, Any] = {
        "config": {"norm": "batch", "train_batch_size": 4},
        "data": "1",
        "pairs_per_step": 4,
    }
    same: dict[str, Any] = {"train_data_dir": "x", "gradient_accumulation_steps": 4}
    with pytest.raises(UserError, match="--train_batch_size was 4 and is now 1: batch norm's statistics"):
        require_same_run(saved, TrainingConfig(norm="batch", **same), "1", 4)
    saved["config"] = {"norm": "instance", "train_batch_size": 4}
    require_same_run(saved, TrainingConfig(**same), "1", 4)


def test_the_precision_in_use_must_be_the_same_wherever_it_was_set():
    config = TrainingConfig(train_data_dir="x")
    saved = {"config": config.to_dict(), "data": "1", "pairs_per_step": 1, "mixed_precision": "bf16"}
    with pytest.raises(UserError, match="--mixed_precision was 'bf16' and is now 'no'"):
        require_same_run(saved, config, "1", 1, "no")
    by_flag = dataclasses.replace(config, mixed_precision="bf16")
    require_same_run(saved, by_flag, "1", 1, "bf16")
    del saved["mixed_precision"]  # a checkpoint of an earlier version
    require_same_run(saved, config, "1", 1, "no")
    with pytest.raises(UserError, match="--mixed_precision was 'no' and is now 'bf16'"):
        require_same_run(saved, by_flag, "1", 1, "bf16")


def test_another_end_of_the_schedule_is_said():
    assert schedule_changes({"total_steps": 4}, 40) == (
        "The schedule now ends at step 40 instead of 4: the learning rate follows it."
    )
    assert schedule_changes({"total_steps": 4}, 4) is None
    assert schedule_changes({}, 4) is None


def test_a_checkpoint_of_another_run_is_refused_with_the_folder_to_give(tmp_path, monkeypatch):
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        (folder / "checkpoints" / "step-00000004").mkdir(parents=True)
    require_own_checkpoint(run / "checkpoints" / "step-00000004", run)
    monkeypatch.chdir(tmp_path)
    require_own_checkpoint("run/checkpoints/step-00000004/", run)
    with pytest.raises(UserError, match=f"by --output_dir {other}"):
        require_own_checkpoint(other / "checkpoints" / "step-00000004", run)
    for given in (run, run / "checkpoints"):
        with pytest.raises(UserError, match=f"Give one of them, such as {run}/checkpoints/step-00000004"):
            require_own_checkpoint(given, run)
    with pytest.raises(UserError, match="is no checkpoint of the run"):
        require_own_checkpoint(tmp_path / "nowhere", run)
