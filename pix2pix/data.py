"""From a pair to the tensors that G and D see: one shared crop and mirror, and an order that never forgets.

A sample is named by (epoch, index). What it looks like depends on that and the seed alone, so neither the
number of workers nor an interruption changes it.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pix2pix import images
from pix2pix.config import ModelConfig
from pix2pix.interruption import leave_signals_to_parent
from pix2pix.pairs import PairSource, Picture, crop_resize, picture_size
from pix2pix.tasks import Task, get_task
from pix2pix.training_config import TrainingConfig


@dataclass(frozen=True)
class View:
    """Which part of a pair is seen, and how; the same for both sides."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom as shares of the picture's width and height, in [0, 1]."""
    mirror: bool = False
    gain: float = 1.0
    """Contrast about mid grey, applied to values in [-1, 1]."""
    offset: float = 0.0
    """Brightness added to values in [-1, 1]."""


def choose_view(config: TrainingConfig, size: tuple[int, int], epoch: int, index: int) -> View:
    """Choose the crop of a (width, height) picture for training: a pure function of seed, epoch and index.

    standard: resize to `load_size`, crop `resolution` at random, mirror half of the time
    (paper, appendix 6.2).
    small-data: also zooms in by up to 1/0.6, and changes contrast and brightness a little.
    """
    rng = np.random.default_rng((config.seed, epoch, index))
    if config.augment == "none":
        return centre_view(config, size)
    share = config.resolution / config.resolved_load_size
    if config.augment == "small-data":
        share *= rng.uniform(0.6, 1.0)
    box = _crop_box(config, size, share, rng.random(), rng.random())
    mirror = bool(rng.random() < 0.5)
    if config.augment == "standard":
        return View(box, mirror)
    return View(box, mirror, gain=rng.uniform(0.85, 1.15), offset=rng.uniform(-0.1, 0.1))


def centre_view(config: TrainingConfig, size: tuple[int, int]) -> View:
    """The whole picture; of one that is not square, the central square (or, with --fit squash, all of it)."""
    return View(_crop_box(config, size, 1.0, 0.5, 0.5))


def _crop_box(
    config: TrainingConfig, size: tuple[int, int], share: float, at_x: float, at_y: float
) -> tuple[float, float, float, float]:
    width, height = size
    short = min(size)
    share_x = share if config.fit == "squash" else share * short / width
    share_y = share if config.fit == "squash" else share * short / height
    left, top = (1 - share_x) * at_x, (1 - share_y) * at_y
    return left, top, left + share_x, top + share_y


class PairDataset(Dataset[dict[str, Tensor]]):
    """Pairs as tensors: `input` [C, S, S] and `target` [C, S, S], float32 in [-1, 1], S the resolution.

    Indexed by (epoch, index), for training; `picture_pair(index)` gives the two validation pictures.
    """

    def __init__(self, source: PairSource, config: TrainingConfig, model: ModelConfig):
        self.source, self.config, self.model = source, config, model
        self.task: Task = get_task(config.task)

    def __len__(self) -> int:
        return len(self.source.names)

    def __getitem__(self, sample: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = sample
        return self.example(*self.source.load(index), epoch, index)

    def example(
        self, input_picture: Picture | None, target: Picture, epoch: int, index: int
    ) -> dict[str, Tensor]:
        """The tensors of a pair as sample (epoch, index) shows it."""
        view = choose_view(self.config, picture_size(target), epoch, index)
        x, y = self._seen(input_picture, target, view)
        model = self.model
        return {
            "input": self._tensor(x, model.input_color, model.in_channels, view),
            "target": self._tensor(y, model.output_color, model.out_channels, view),
        }

    def picture_pair(self, index: int) -> tuple[Picture, Picture]:
        """Return (input, target) at the training resolution, not augmented: what validation sees."""
        input_picture, target = self.source.load(index)
        return self._seen(input_picture, target, centre_view(self.config, picture_size(target)))

    def _seen(self, input_picture: Picture | None, target: Picture, view: View) -> tuple[Picture, Picture]:
        y = self._cropped(target, view)
        if input_picture is not None:
            return self._cropped(input_picture, view), y
        # The task draws its input from exactly what is seen of the target.
        assert self.task.derive is not None
        photo = y if isinstance(y, Image.Image) else images.to_picture(images.to_array(y, "rgb"), "rgb")
        return self.task.derive(images.to_rgb(photo)), y

    def _cropped(self, picture: Picture, view: View) -> Picture:
        width, height = picture_size(picture)
        left, top, right, bottom = view.box
        box = (left * width, top * height, right * width, bottom * height)
        side = self.config.resolution
        return crop_resize(picture, (side, side), box)

    def _tensor(self, picture: Picture, color: str, channels: int, view: View) -> Tensor:
        array = images.to_array(picture, color, channels)
        if view.mirror:
            array = array[:, ::-1]
        if color not in ("ab", "raw") and (view.gain != 1.0 or view.offset != 0.0):
            # Both sides of the pair get the same light. Hues have none, and raw numbers may mean anything.
            array = (array * view.gain + view.offset).clip(-1, 1)
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32))


class SampleOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index), without end: every epoch is a permutation drawn from (seed, epoch).

    The epochs follow each other without a seam: a batch may take the last pairs of one and the first of the
    next, so nothing is dropped, padded or repeated, whatever the batch size and the number of processes.
    Batch b of process r holds the samples (b * processes + r) * batch_size and following. Resuming starts
    at any batch, without reading what came before.
    """

    def __init__(
        self, length: int, batch_size: int, seed: int, first: int = 0, rank: int = 0, processes: int = 1
    ):
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.first, self.rank, self.processes = first, rank, processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batch, epoch, order = self.first, -1, np.empty(0, dtype=np.int64)
        while True:
            start = (batch * self.processes + self.rank) * self.batch_size
            samples = []
            for position in range(start, start + self.batch_size):
                if position // self.length != epoch:
                    epoch = position // self.length
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
                samples.append((epoch, int(order[position % self.length])))
            yield samples
            batch += 1


def training_batches(
    dataset: PairDataset, config: TrainingConfig, first: int = 0, rank: int = 0, processes: int = 1
) -> Iterator[dict[str, Tensor]]:
    """Yield batches {input, target: [B, C, S, S]} without end, from batch number `first` on."""
    order = SampleOrder(len(dataset), config.train_batch_size, config.seed, first, rank, processes)
    workers = config.dataloader_num_workers
    loader = DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=workers,
        pin_memory=torch.cuda.is_available() and not config.cpu,
        # The loader's own generator: drawing its seed must not move the one that dropout draws from.
        generator=torch.Generator().manual_seed(config.seed),
        # Forking a process that runs threads can hang, and Windows and macOS spawn anyway (complaint JY#203).
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=bool(workers),
        worker_init_fn=leave_signals_to_parent,
    )
    with without_interrupts(), without_child_signals():
        return iter(loader)


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C: workers import for seconds before they can say so.

    They inherit that this process ignores it for the moment.
    """
    if threading.current_thread() is not threading.main_thread():  # which may not change handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def without_child_signals() -> Iterator[None]:
    """Inside, the end of a child process interrupts nothing; a handler that is set inside is gone afterwards.

    PyTorch's handler of SIGCHLD raises the news of a dead worker wherever the main thread happens to be. If
    that is while a queue is being locked, the lock is never released, and whoever closes the queue waits for
    ever. Without the handler the next batch tells of the dead worker, within five seconds.
    """
    number = getattr(signal, "SIGCHLD", None)  # Windows has none
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before if before is not None else signal.SIG_DFL)


def close_batches(batches: Iterator[dict[str, Tensor]]) -> None:
    """End the workers behind an iterator of batches now, not when it happens to be collected."""
    shut_down = getattr(batches, "_shutdown_workers", None)
    if shut_down is not None:
        with (
            without_child_signals(),
            contextlib.suppress(RuntimeError, OSError),
        ):  # of workers that are dead already
            shut_down()
