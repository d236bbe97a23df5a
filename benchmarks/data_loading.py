"""Milliseconds a pair on one core: the peer's loading, ours uncached, ours from the cache of resized pairs.

    python benchmarks/data_loading.py [--quick] [--train_data_dir DIR] [--batch 8]

512x256 JPEG sheets become two 256x256 crops, in turns within one process; a DataLoader without workers
hands out batches. "floats" counts turning the cached bytes into floats on this core as well; training leaves
that to the device. Without a folder the pairs are those of the drawn town. Before timing, the cached crops
are compared with the same pixels made anew from the files.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from training_loop import town_files

sys.path.insert(0, str(Path(__file__).parent.parent))

import peer_training

from pix2pix.data import PairDataset, training_batches
from pix2pix.layouts import find_pairs
from pix2pix.pair_cache import ResizedPairs, as_floats, cached_pairs
from pix2pix.training_config import TrainingConfig

Batches = Iterator[dict[str, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few batches, to see that it runs")
    parser.add_argument("--train_data_dir", type=Path, help="a folder with train/*.jpg, side by side")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="a side's time in a round")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.1
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.train_data_dir or town_files(Path(folder) / "pairs")
        sides = open_sides(data, Path(folder) / "cache", arguments.batch)
        measure(sides, arguments)


def open_sides(data: Path, cache: Path, batch: int) -> dict[str, Callable[[], object]]:
    """What each side does for a batch."""
    config = TrainingConfig(train_data_dir=str(data), task="map", train_batch_size=batch)
    source = find_pairs(config, "train")
    assert source is not None
    plain = PairDataset(source, config, config.model_config())
    kept = cached_pairs(plain, str(cache), print)
    require_same_pixels(kept)
    peer = endless(
        DataLoader(peer_training.Pairs(data / "train"), batch_size=batch, shuffle=True, drop_last=True)
    )
    uncached, cached, levels = (training_batches(pairs, config) for pairs in (plain, kept, kept))
    return {
        "peer": lambda: next(peer),
        "ours, uncached": lambda: next(uncached),
        "ours, cached, floats": lambda: [as_floats(value) for value in next(cached).values()],
        "ours, cached, uint8": lambda: next(levels),
    }


def endless(loader: DataLoader) -> Batches:
    for _ in count():
        yield from loader


def require_same_pixels(kept: ResizedPairs) -> None:
    anew = ResizedPairs(kept.source, kept.config, kept.model)
    for index in range(min(len(kept), 8)):
        a, b = kept[index, index], anew[index, index]
        if kept.store is None or not all(torch.equal(a[side], b[side]) for side in a):
            raise SystemExit(f"pair {index}: the cache gives other pixels than the files, or there is none")


def measure(sides: dict[str, Callable[[], object]], arguments: argparse.Namespace) -> None:
    milliseconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(arguments.rounds + 1):  # the first is to warm up
        for name in sorted(sides, reverse=bool(number % 2)):
            until, batches, began = time.perf_counter() + arguments.seconds, 0, time.perf_counter()
            while batches < 2 or time.perf_counter() < until:
                sides[name]()
                batches += 1
            if number:
                seconds = time.perf_counter() - began
                milliseconds[name].append(1000 * seconds / batches / arguments.batch)
    print(
        f"\ntorch {torch.__version__}, one thread, batches of {arguments.batch}, medians of "
        f"{arguments.rounds} rounds\n"
    )
    print("| loading | ms a pair | ratio to the peer | by round |")
    print("|---|---|---|---|")
    for name, values in milliseconds.items():
        ratios = sorted(p / v for p, v in zip(milliseconds["peer"], values, strict=True))
        print(
            f"| {name} | {statistics.median(values):.3f} | {statistics.median(ratios):.1f} | "
            f"{ratios[0]:.1f} to {ratios[-1]:.1f} |"
        )


if __name__ == "__main__":
    main()
