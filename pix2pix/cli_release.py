"""`pix2pix release`: a run becomes a small folder to hand on, measured as it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pix2pix.allocator import keep_memory

EXAMPLE = """examples:
  pix2pix release --model runs/map --output models/map --data my_pairs --split test --beside runs/map-l1
  pix2pix release --model runs/map --output models/map-sharper --blend 1.7
"""


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "release",
        help="a small copy of a trained model, measured as it is, with its card",
        description="Write a copy of a trained folder to hand on: weights in half precision, measured again "
        "as they are read back, beside the baselines; card, samples. `pix2pix publish` takes it from there.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", required=True, type=Path, metavar="RUN", help="output folder of a training run"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="new folder to write")
    parser.add_argument("--data", metavar="D", help="where the pairs lie (default: where the run found them)")
    parser.add_argument(
        "--split", metavar="S", help="split to measure on (default: what the run was validated on)"
    )
    parser.add_argument(
        "--beside", type=Path, metavar="M", help="a model trained on L1 alone, for comparison"
    )
    parser.add_argument(
        "--drawn_samples",
        action="store_true",
        help="show drawn pictures in samples.png: those of the data may not be handed on",
    )
    parser.add_argument(
        "--samples",
        metavar="D",
        help="show the pairs of this folder in samples.png, or its photos where inputs are made from them",
    )
    parser.add_argument("--samples_credit", metavar="TEXT", help="whose they are; stands on the card")
    parser.add_argument(
        "--blend",
        type=float,
        metavar="B",
        help="weights on the line from the run's moving average (0) through its last ones (1) and beyond: "
        "more is sharper, and less faithful (default: what the run chose)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from pix2pix.release import release

    keep_memory()
    result = release(
        options.model,
        options.output,
        data=options.data,
        split=options.split,
        beside=options.beside,
        drawn_samples=options.drawn_samples,
        samples=options.samples,
        samples_credit=options.samples_credit,
        blend=options.blend,
    )
    size = (options.output / "model.safetensors").stat().st_size
    values = ", ".join(
        f"{name} {getattr(result.measures, name):.4g}" for name in ("psnr", "ssim", "sharpness", "lab", "swd")
    )
    print(f"{options.model} -> {options.output} ({size:,} bytes of weights)")
    print(f"{len(result.names)} pairs: {values}")
    return 0
