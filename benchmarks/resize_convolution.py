"""What resizing and convolving costs: one after the other, as one transposed kernel, and plain transposing.

    python benchmarks/resize_convolution.py [--quick] [--width 24] [--rounds 9]

Forward and backward of every decoder layer of unet_256 at batch 1 and 256 px, in turns. The outputs of our
layer and of resizing first must agree before anything is timed. Prints a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from pix2pix.allocator import keep_memory
from pix2pix.resize_convolution import ResizeConv2d

SIDES = ("resized, then 4x4", "resize", "resized, then 3x3", "resize_3x3", "transpose")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small width once, to see that it runs")
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.width, arguments.rounds = 2, 1
    keep_memory()
    width = arguments.width
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {time.strftime('%Y-%m-%d')}, "
          f"ms forward and backward, median of {arguments.rounds}\n")  # fmt: skip
    print("| layer | " + " | ".join(SIDES) + " |\n|---|" + "--:|" * len(SIDES))
    totals = dict.fromkeys(SIDES, 0.0)
    outputs = [8, 8, 8, 8, 4, 2, 1]
    inputs = [8, 16, 16, 16, 16, 8, 4, 2]
    for level, channels in enumerate(inputs):
        drawn = width * outputs[level] if level < len(outputs) else 3
        found = layer(width * channels, drawn, 2**level, arguments.rounds)
        for side in SIDES:
            totals[side] += found[side]
        cells = " | ".join(f"{1000 * found[side]:.1f}" for side in SIDES)
        print(f"| {width * channels} -> {drawn}, {2**level}x{2**level} | {cells} |", flush=True)
    print("| all | " + " | ".join(f"{1000 * totals[side]:.0f}" for side in SIDES) + " |")


def layer(inputs: int, outputs: int, side: int, rounds: int) -> dict[str, float]:
    """Median seconds of each way on a map of `side` pixels."""
    torch.manual_seed(0)
    x = torch.randn(1, inputs, side, side, requires_grad=True)
    four, three = ResizeConv2d(inputs, outputs, 4), ResizeConv2d(inputs, outputs, 3)
    transpose = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "resized, then 4x4": lambda x: first_resized(four, x, (1, 2, 1, 2)),
        "resize": four,
        "resized, then 3x3": lambda x: first_resized(three, x, (1, 1, 1, 1)),
        "resize_3x3": three,
        "transpose": transpose,
    }
    for plain, ours in (("resized, then 4x4", "resize"), ("resized, then 3x3", "resize_3x3")):
        torch.testing.assert_close(ways[ours](x), ways[plain](x), rtol=1e-4, atol=1e-4)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first warms up
        for name, way in ways.items():
            began = time.perf_counter()
            way(x).sum().backward()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(found[1:] or found) for name, found in seconds.items()}


def first_resized(conv: ResizeConv2d, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    return F.conv2d(F.pad(F.interpolate(x, scale_factor=2), padding), conv.weight, conv.bias)


if __name__ == "__main__":
    main()
