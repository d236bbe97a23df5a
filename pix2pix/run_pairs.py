"""The pairs of one run: found, checked, split into training and validation, and read in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from tqdm import tqdm

from pix2pix.config import ModelConfig
from pix2pix.data import PairDataset, training_batches
from pix2pix.errors import DataError
from pix2pix.layouts import find_pairs
from pix2pix.pair_cache import cached_pairs
from pix2pix.pairs import PairSource, check_pairs, hold_out
from pix2pix.run_folder import fingerprint
from pix2pix.streaming import open_validation, streamed_batches
from pix2pix.training_config import TrainingConfig


@dataclass
class RunPairs:
    """What a run learns from and is validated on; `training` is None for a stream, which is not at hand."""

    config: TrainingConfig
    model: ModelConfig
    training: PairDataset | None
    validation: PairDataset
    held_out: bool
    """Whether the validation pairs were taken out of the training split."""
    identity: str
    """What a resumed run must have in common."""
    skipped_rows: int = 0

    def total_steps(self, pairs_per_step: int) -> int:
        """Optimizer steps of the run: --max_train_steps, or --num_train_epochs over the pairs, rounded up."""
        if self.config.max_train_steps is not None:
            return self.config.max_train_steps
        assert self.training is not None  # a stream needs --max_train_steps
        return -(-self.config.num_train_epochs * len(self.training) // pairs_per_step)

    def batches(self, step: int, rank: int, processes: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of one process, from an optimizer step on, without end."""
        config = self.config
        if self.training is None:
            return streamed_batches(config, self.model, self.skipped_rows, step, rank, processes)
        first = step * config.gradient_accumulation_steps
        return training_batches(self.training, config, first, rank, processes)


def open_pairs(
    config: TrainingConfig, model: ModelConfig, say: Callable[[str], None], checks: bool = True
) -> RunPairs:
    """Find the pairs and say what was found. With `checks` every picture is decoded once; DataError names
    those that cannot be used.
    """
    if config.streaming:
        return _open_stream(config, model, say, checks)
    train = find_pairs(config, config.train_split)
    if train is None:
        raise DataError(f"There is no split {config.train_split!r}; name another with --train_split.")
    validation = find_pairs(config, config.validation_split)
    for source in (train, validation):
        if source is not None and checks:
            check_pairs(source, _progress(source), model)
    held_out = validation is None
    if validation is None:
        train, validation = hold_out(train)
        say(f"There is no split {config.validation_split!r}: validation pairs are held out of training.")
    say(f"{len(train.names)} training pairs ({train.layout}), {len(validation.names)} to validate on")
    training, held = (PairDataset(source, config, model) for source in (train, validation))
    if config.caches:
        training = cached_pairs(training, config.cache, say)
    return RunPairs(config, model, training, held, held_out, fingerprint(train, validation))


def _open_stream(
    config: TrainingConfig, model: ModelConfig, say: Callable[[str], None], checks: bool
) -> RunPairs:
    validation, skipped = open_validation(config)
    if checks:
        check_pairs(validation, iter, model)
    say(
        f"Streaming {config.dataset_name}; {len(validation.names)} pairs to validate on. A resumed stream "
        "begins again, in another order: it is not the same run to the bit."
    )
    identity = f"{config.dataset_name}@{config.dataset_revision}/{config.train_split}"
    held = PairDataset(validation, config, model)
    return RunPairs(config, model, None, held, skipped > 0, identity, skipped)


def _progress(source: PairSource) -> Callable[[Iterable], Iterable]:
    """A bar for checking the pairs, shown only if that takes a while."""

    def bar(results: Iterable) -> Any:
        return tqdm(
            results, total=len(source.names), desc="checking pairs", unit="pair", delay=2, leave=False
        )

    return bar
