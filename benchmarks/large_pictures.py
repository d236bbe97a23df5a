"""Large pictures: time and peak memory for 256 to 4096 pixels a side, a new process each, in turns.

    python benchmarks/large_pictures.py [--quick] [--width 64] [--sides 256 512 1024 2048 4096]

Ours by every backend, and the peer, with the same weights; the seconds are of the one picture after a small
one has warmed up, the memory of the whole process. Rows are checked against the peer's picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import inference  # noqa: E402  # with numpy alone

SIDES = ("peer", "torch", "onnx", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two small sizes once, to see that it runs")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.width, arguments.sides, arguments.rounds = 4, [256, 512], 1
    if arguments.run:
        print(json.dumps(measured(arguments)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, "
          f"width {arguments.width}, "
          f"batch norm, median of {arguments.rounds} processes\n")  # fmt: skip
    print("| pixels a side | side | seconds | ratio to the peer | peak memory, GB | largest difference |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        # In another process: a child's peak memory starts from its parent's, which must not have torch in it.
        words = ["--side", "prepare", "--without_int8", "--folder", folder, "--norms", "batch"]
        words += ["--width", str(arguments.width)]
        subprocess.run([sys.executable, inference.__file__, *words], check=True, stdout=subprocess.DEVNULL)
        assert "torch" not in sys.modules
        for side in arguments.sides:
            rows(arguments, Path(folder), side)


def rows(arguments: argparse.Namespace, folder: Path, side: int) -> None:
    found: dict[str, list[list[float]]] = {name: [] for name in SIDES}
    for _ in range(arguments.rounds):
        for name in SIDES:
            words = [sys.executable, __file__, "--run", name, "--folder", str(folder)]
            words += ["--sides", str(side), "--width", str(arguments.width)]
            run = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
            if run.returncode == 0:
                found[name].append(json.loads(run.stdout.splitlines()[-1]))
    for name, runs in found.items():
        if len(runs) < arguments.rounds:
            print(f"| {side} | {name} | out of memory | | | |", flush=True)
            continue
        seconds, memory = (statistics.median(values) for values in zip(*runs, strict=True))
        ratios = [peer[0] / ours[0] for peer, ours in zip(found["peer"], runs, strict=False)]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        reference, drawn = (folder / f"{which}-{side}.npy" for which in ("peer", name))
        worst = f"{np.abs(np.load(drawn) - np.load(reference)).max() * 127.5:.2g}" if ratios else ""
        print(f"| {side} | {name} | {seconds:.2f} | {ratio} | {memory:.2f} | {worst} |", flush=True)


def measured(arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds for one picture, and the process's peak memory in GB."""
    (side,), folder = arguments.sides, arguments.folder
    arguments.side = arguments.run
    draw = (
        inference.peer_draw(folder, arguments.width, "batch")
        if arguments.run == "peer"
        else inference.our_draw(folder, arguments)
    )
    small = inference.pictures(1, 100)
    draw(small)
    x = np.tile(small, (1, side // 256, side // 256, 1))
    began = time.perf_counter()
    drawn = draw(x)
    seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    np.save(folder / f"{arguments.run}-{side}.npy", drawn)
    return seconds, peak


if __name__ == "__main__":
    main()
