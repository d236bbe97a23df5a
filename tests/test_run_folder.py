"""Which folder a run has, and that it is its own."""

import pytest

from pix2pix import run_folder
from pix2pix.config import TrainingConfig
from pix2pix.errors import UserError
from pix2pix.pairs import PairSource
from pix2pix.run_folder import fingerprint, persistently, require_room, require_same_run, resume_command


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


class Pairs(PairSource):
    layout, names = "side_by_side", ("a", "b")


def test_every_difference_of_a_resumed_run_is_named():
    config = TrainingConfig(train_data_dir="x")
    saved = {"config": config.to_dict(), "data": "1", "pairs_per_step": 1}
    require_same_run(saved, config, "1", 1)
    require_same_run(saved, TrainingConfig(train_data_dir="moved", max_train_steps=9), "1", 1)
    with pytest.raises(UserError) as refused:
        require_same_run(saved, TrainingConfig(train_data_dir="x", width=8, seed=3), "2", 4)
    for part in ("--width was 64 and is now 8", "--seed was 0 and is now 3", "training pairs", "now see 4"):
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
