"""Data sets read while training: every row once an epoch, bad ones named, no more of them than allowed."""

import io
from typing import Any

import datasets
import pytest
from accelerate.state import AcceleratorState, GradientState
from tiny_runs import TINY

import train_accelerate
from pix2pix import Translator, toy
from pix2pix.data import PairDataset, close_batches
from pix2pix.errors import DataError
from pix2pix.streaming import StreamedPairs, open_validation, streamed_batches
from pix2pix.training_config import TrainingConfig


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return {"bytes": buffer.getvalue(), "path": None}


BROKEN = {"bytes": b"broken", "path": None}


def write_set(folder, rows=12, bad=(), splits=("train",), shards=1):
    """A parquet data set of the drawn town; the rows numbered in `bad` hold no picture."""
    for split in splits:
        cells = [
            tuple(
                {"bytes": b"broken", "path": None} if i in bad else png(side)
                for side in toy.draw_pair("map", i, 32)
            )
            for i in range(rows)
        ]
        columns = {"imageA": [a for a, _ in cells], "imageB": [b for _, b in cells]}
        features = datasets.Features({name: datasets.Image() for name in columns})
        folder.mkdir(exist_ok=True)
        whole = datasets.Dataset.from_dict(columns, features=features)
        for shard in range(shards):
            part = whole.shard(shards, shard, contiguous=True)
            part.to_parquet(str(folder / f"{split}-{shard:05}-of-{shards:05}.parquet"))
    return folder


def config_for(folder, **more: Any) -> TrainingConfig:
    flags: dict[str, Any] = {
        "streaming": True,
        "max_train_steps": 4,
        "resolution": 32,
        "augment": "none",
        "task": "map",
    }
    return TrainingConfig(dataset_name=str(folder), **(flags | more))


def stream(config, skip=0, rank=0, processes=1):
    return iter(StreamedPairs(config, config.model_config(), skip, 0, rank, processes))


def sums(pairs, count):
    return [round(float(next(pairs)["target"].sum()), 2) for _ in range(count)]


def test_an_epoch_shows_every_row_once_and_the_next_in_another_order(tmp_path):
    pairs = stream(config_for(write_set(tmp_path / "set")))
    first, second = sums(pairs, 12), sums(pairs, 12)
    assert len(set(first)) == 12
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_two_processes_read_different_rows(tmp_path, shards):
    config = config_for(write_set(tmp_path / "set", shards=shards))
    shares = [sums(stream(config, rank=rank, processes=2), 6) for rank in range(2)]
    assert len(set(shares[0]) | set(shares[1])) == 12


def test_bad_rows_are_passed_over_and_named(tmp_path, caplog):
    pairs = stream(config_for(write_set(tmp_path / "set", bad=(2, 5))))
    assert len(set(sums(pairs, 10))) == 10
    next(pairs)
    named = passed_over(caplog)
    assert sorted(line.split(": ")[1].split(",")[0] for line in named) == ["row 2", "row 5"]
    assert "of at most 10" in named[0]


def passed_over(caplog):
    return [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]


@pytest.mark.parametrize("shards", [1, 2])
def test_a_bad_row_counts_once_however_many_epochs_pass_it(tmp_path, caplog, shards):
    config = config_for(write_set(tmp_path / "set", rows=4, bad=(3,), shards=shards), max_bad_rows=1)
    assert len(set(sums(stream(config), 3 * 5))) == 3
    assert len(passed_over(caplog)) == 1


def test_a_bad_row_is_named_by_its_place_in_the_split(tmp_path, caplog):
    next(stream(config_for(write_set(tmp_path / "set", rows=5, bad=(3,))), skip=3))
    assert "row 3," in passed_over(caplog)[0]


@pytest.mark.parametrize("processes", [1, 2])
def test_rows_left_to_validation_are_skipped_across_shards(tmp_path, processes):
    config = config_for(write_set(tmp_path / "set", shards=4))
    every = set(sums(stream(config), 12))
    held = set(sums(stream(config_for(write_set(tmp_path / "first", rows=4))), 4))  # the same four rows
    assert held < every
    read: set[float] = set()
    for rank in range(processes):
        read |= set(sums(stream(config, skip=4, rank=rank, processes=processes), 16))
    assert read == every - held


def test_a_process_without_a_row_says_so(tmp_path):
    config = config_for(write_set(tmp_path / "set", rows=1))
    with pytest.raises(DataError, match="no row left for process 2 of 2"):
        next(stream(config, rank=1, processes=2))


@pytest.mark.parametrize("shards", [1, 2])
def test_workers_read_every_row_even_where_there_are_fewer_shards(tmp_path, shards):
    config = config_for(
        write_set(tmp_path / "set", rows=4, shards=shards), dataloader_num_workers=2, train_batch_size=1
    )
    batches = streamed_batches(config, config.model_config(), 0, 0)
    try:
        assert len(set(sums(batches, 4))) == 4
    finally:
        close_batches(batches)


def test_more_bad_rows_than_allowed_end_the_run(tmp_path):
    pairs = stream(config_for(write_set(tmp_path / "set", bad=(1, 2, 3)), max_bad_rows=2))
    with pytest.raises(DataError, match="more than --max_bad_rows 2"):
        sums(pairs, 12)


def test_a_set_without_one_good_row_ends_the_run(tmp_path):
    pairs = stream(config_for(write_set(tmp_path / "set", rows=2, bad=(0, 1))))
    with pytest.raises(DataError, match="No row"):
        next(pairs)


def test_without_a_validation_split_its_rows_are_not_trained_on(tmp_path):
    config = config_for(write_set(tmp_path / "set"), validation_pairs=3)
    validation, skipped = open_validation(config)
    assert (len(validation.names), skipped) == (3, 3)
    assert open_validation(config_for(tmp_path / "set"))[1] == 3  # a quarter of few
    held = PairDataset(validation, config, config.model_config())
    held_sums = {round(float(held[0, i]["target"].sum()), 2) for i in range(3)}
    assert not held_sums & set(sums(stream(config, skip=skipped), 9))


def test_a_validation_split_is_taken_from_its_beginning(tmp_path):
    config = config_for(write_set(tmp_path / "set", splits=("train", "validation")), validation_pairs=4)
    validation, skipped = open_validation(config)
    assert (len(validation.names), skipped) == (4, 0)


@pytest.fixture
def fresh_accelerate():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def test_a_streamed_run_trains_and_resumes_saying_that_it_is_approximate(tmp_path, capsys, fresh_accelerate):
    flags = [
        *TINY, "--dataset_name", str(write_set(tmp_path / "set")), "--streaming", "--output_dir",
        str(tmp_path / "run"),
    ]  # fmt: skip
    assert train_accelerate.main([*flags, "--max_train_steps", "2"]) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    more = ["--max_train_steps", "4", "--resume_from_checkpoint", "latest"]
    assert train_accelerate.main([*flags, *more]) == 0
    assert "begins again, in another order" in capsys.readouterr().err
    assert Translator.from_pretrained(tmp_path / "run")(toy.draw_pair("map", 0, 32)[0]).size == (32, 32)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--streaming", "--max_train_steps", "2", "--train_data_dir", "x"], "--dataset_name"),
        (["--streaming", "--dataset_name", "x"], "--max_train_steps"),
    ],
)
def test_streaming_says_what_else_it_needs(flags, message, capsys):
    try:
        status: Any = train_accelerate.main(flags)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err
