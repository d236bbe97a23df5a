"""Pairs of a data set that is larger than the disk: read while training, bad rows counted and named."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pix2pix.columns import open_stream, rows_of_shard
from pix2pix.config import ModelConfig
from pix2pix.data import PairDataset, without_child_signals, without_interrupts
from pix2pix.errors import DataError, ImageError, listed
from pix2pix.interruption import leave_signals_to_parent
from pix2pix.layouts import VALIDATION_NAMES
from pix2pix.pairs import PairSource, Picture, check_pair, decode_cell
from pix2pix.training_config import TrainingConfig

logger = logging.getLogger(__name__)

NumberedRow = tuple[tuple[int, int], dict[str, Any]]
"""((shard, place in it), row)."""

SHUFFLE_ROWS = 256
"""Rows held in memory to be shuffled; their pictures are not decoded yet."""
DEFAULT_VALIDATION = 100
HELD_OUT = 16
"""Training rows that are validated on where there is no validation split."""


class Rows(PairSource):
    """Some rows of a stream, kept undecoded: the validation pairs."""

    layout = "columns"

    def __init__(self, rows: list[dict[str, Any]], columns: tuple[str | None, str]):
        self.rows, self.columns = rows, columns
        self.names = [f"row {index}" for index in range(len(rows))]

    def load(self, index: int) -> tuple[Picture | None, Picture]:
        return decode_row(self.rows[index], self.names[index], self.columns)


class StreamedPairs(IterableDataset[dict[str, Tensor]]):
    """The training pairs of a stream, epoch after epoch, each in another order.

    `skip` rows at its beginning are left to validation. Rows that cannot be used are passed over and named,
    each once however often it comes; more than `max_bad_rows` of them raise DataError.
    """

    def __init__(
        self, config: TrainingConfig, model: ModelConfig, skip: int, start: int, rank: int, processes: int
    ):
        self.config, self.skip, self.start = config, skip, start
        self.rank, self.processes = rank, processes
        self.pairs = PairDataset(Rows([], (None, "")), config, model)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        opened = open_stream(self.config, (self.config.train_split,))
        assert opened is not None  # seen before training
        rows, input_column, target_column = opened
        shards = shards_of(rows.num_shards, self.rank, self.processes)
        worker = get_worker_info()
        if worker is not None:  # always the same shards: a bad row is counted by one worker only
            shards = shards[worker.id :: worker.num_workers]
        skipped = skipped_rows(rows, self.skip)
        bad: dict[tuple[int, int], str] = {}
        epoch = self.start  # a resumed run goes on with an order of its own
        while True:
            seen = 0
            rng = np.random.default_rng((self.config.seed, epoch))
            order = [int(shard) for shard in rng.permutation(shards)]
            for (shard, number), row in shuffled(self._numbered(rows, order, skipped), rng):
                name = f"row {number}" if rows.num_shards == 1 else f"row {number} of shard {shard}"
                try:
                    pair = decode_row(row, name, (input_column, target_column))
                    check_pair(*pair, name)
                    yield self.pairs.example(*pair, epoch, number * rows.num_shards + shard)
                    seen += 1
                except ImageError as error:
                    if (shard, number) not in bad:
                        bad[shard, number] = str(error)
                        self._pass_over(list(bad.values()))
            if seen == 0:
                raise DataError(self._nothing(list(bad.values())))
            epoch += 1

    def _numbered(self, rows: Any, shards: list[int], skipped: dict[int, int]) -> Iterator[NumberedRow]:
        """The rows to train on, named (shard, place in it), which shuffling does not change."""
        by_row = rows.num_shards % self.processes != 0
        for shard in shards:
            for number, row in enumerate(rows_of_shard(rows, shard)):
                mine = not by_row or (number + shard) % self.processes == self.rank
                if mine and number >= skipped.get(shard, 0):
                    yield (shard, number), row

    def _pass_over(self, bad: list[str]) -> None:
        logger.warning("passed over (%d of at most %d): %s", len(bad), self.config.max_bad_rows, bad[-1])
        if len(bad) > self.config.max_bad_rows:
            raise DataError(
                f"{len(bad)} rows of {self.config.dataset_name} cannot be used, more than --max_bad_rows "
                f"{self.config.max_bad_rows}:\n{listed(bad)}"
            )

    def _nothing(self, bad: list[str]) -> str:
        if bad:
            return f"No row of {self.config.dataset_name} can be used:\n{listed(bad)}"
        return (
            f"{self.config.dataset_name} has no row left for process {self.rank + 1} of {self.processes}. "
            "Use fewer processes and --dataloader_num_workers, or more data."
        )


def shards_of(shards: int, rank: int, processes: int) -> list[int]:
    """The shards one of several processes reads: its own or, where they cannot be dealt out evenly, all of
    them, of which it then uses every n-th row.
    """
    return list(range(rank, shards, processes)) if shards % processes == 0 else list(range(shards))


def skipped_rows(rows: Any, skip: int) -> dict[int, int]:
    """How many rows at the beginning of each shard are among the first `skip` of the stream."""
    if rows.num_shards == 1:
        return {0: skip}
    taken: dict[int, int] = {}
    for shard in range(rows.num_shards):
        if skip == 0:
            break
        taken[shard] = sum(1 for _ in islice(rows_of_shard(rows, shard), skip))
        skip -= taken[shard]
    return taken


def shuffled(rows: Iterable[NumberedRow], rng: np.random.Generator) -> Iterator[NumberedRow]:
    """The rows in another order, as far as SHUFFLE_ROWS of them in memory can change it."""
    held: list[NumberedRow] = []
    for row in rows:
        if len(held) < SHUFFLE_ROWS:
            held.append(row)
            continue
        at = int(rng.integers(SHUFFLE_ROWS))
        yield held[at]
        held[at] = row
    for index in rng.permutation(len(held)):
        yield held[index]


def decode_row(
    row: dict[str, Any], name: str, columns: tuple[str | None, str]
) -> tuple[Picture | None, Picture]:
    """Decode the (input, target) pictures of a row; the input is None where the task derives it."""
    input_column, target_column = columns
    target = decode_cell(row, name, target_column)
    return (None if input_column is None else decode_cell(row, name, input_column)), target


def open_validation(config: TrainingConfig) -> tuple[PairSource, int]:
    """Return validation pairs, kept in memory, and how many training rows they take.

    They are the first rows of the validation split or, if there is none, of the training split.
    """
    training = open_stream(config, (config.train_split,))
    if training is None:
        raise DataError(f"{config.dataset_name} has no split {config.train_split!r}; see --train_split.")
    most = config.validation_pairs or DEFAULT_VALIDATION
    opened = open_stream(config, (config.validation_split, *VALIDATION_NAMES))
    if opened is not None:
        rows, input_column, target_column = opened
        return Rows(list(rows.take(most)), (input_column, target_column)), 0
    rows, input_column, target_column = training
    most = min(most, HELD_OUT)
    first = list(rows.take(4 * most))
    taken = min(most, max(1, len(first) // 4))  # of a short stream a quarter: something must be left
    return Rows(first[:taken], (input_column, target_column)), taken


def streamed_batches(
    config: TrainingConfig, model: ModelConfig, skip: int, start: int, rank: int = 0, processes: int = 1
) -> Iterator[dict[str, Tensor]]:
    """Yield batches {input, target: [B, C, S, S]} without end. `start` seeds the order of a resumed run."""
    workers = config.dataloader_num_workers
    if workers > 1:  # a worker reads whole shards, and more workers than shards would find nothing to read
        opened = open_stream(config, (config.train_split,))
        assert opened is not None  # seen before training
        workers = min(workers, len(shards_of(opened[0].num_shards, rank, processes)))
    loader = DataLoader(
        StreamedPairs(config, model, skip, start, rank, processes),
        batch_size=config.train_batch_size,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=leave_signals_to_parent,
    )
    with without_interrupts(), without_child_signals():
        return iter(loader)
