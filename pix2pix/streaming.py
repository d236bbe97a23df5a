"""Pairs of a data set that is larger than the disk: read while training, bad rows counted and named."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from pix2pix.columns import open_stream, share_of_stream
from pix2pix.config import ModelConfig, TrainingConfig
from pix2pix.data import PairDataset
from pix2pix.errors import DataError, ImageError, listed
from pix2pix.interruption import leave_signals_to_parent
from pix2pix.layouts import VALIDATION_NAMES
from pix2pix.pairs import PairSource, Picture, check_pair, decode_cell

logger = logging.getLogger(__name__)

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

    `skip` rows at its beginning are left to validation. Rows that cannot be used are passed over and named;
    more than `max_bad_rows` of them raise DataError.
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
        rows = share_of_stream(rows.skip(self.skip), self.rank, self.processes)
        bad: list[str] = []
        epoch = self.start  # a resumed run goes on with an order of its own
        while True:
            seen = 0
            for index, row in enumerate(rows.shuffle(self.config.seed + epoch, buffer_size=SHUFFLE_ROWS)):
                name = f"row {index} of epoch {epoch}"
                try:
                    pair = decode_row(row, name, (input_column, target_column))
                    check_pair(*pair, name)
                    yield self.pairs.example(*pair, epoch, index)
                    seen += 1
                except ImageError as error:
                    self._pass_over(str(error), bad)
            if seen == 0:
                raise DataError(f"No row of {self.config.dataset_name} can be used:\n{listed(bad)}")
            epoch += 1

    def _pass_over(self, reason: str, bad: list[str]) -> None:
        bad.append(reason)
        logger.warning("passed over (%d of at most %d): %s", len(bad), self.config.max_bad_rows, reason)
        if len(bad) > self.config.max_bad_rows:
            raise DataError(
                f"{len(bad)} rows of {self.config.dataset_name} cannot be used, more than --max_bad_rows "
                f"{self.config.max_bad_rows}:\n{listed(bad)}"
            )


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
    loader = DataLoader(
        StreamedPairs(config, model, skip, start, rank, processes),
        batch_size=config.train_batch_size,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=leave_signals_to_parent,
    )
    return iter(loader)
