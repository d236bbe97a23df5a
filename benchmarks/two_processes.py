"""What two training processes of one thread each bring over one: pairs a second in the script's own steps.

    python benchmarks/two_processes.py [--quick] [--width 32] [--batch 1 4]

One process; two that train together (torchrun, gradients averaged); and two that train apart at the same
time, which is the most that two cores and their memory give. Each is started anew and timed between its own
steps, in turns. Pairs are those of the drawn town. Prints a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training_loop import town_files

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny networks, to see that it runs")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="pairs per process and step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each run")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.width, arguments.batch, arguments.rounds, arguments.seconds = 4, [1], 1, 1.0
    if arguments.worker:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = town_files(Path(folder) / "pairs")
        print(f"\none thread a process, width {arguments.width}, medians of {arguments.rounds} rounds\n")
        print("| batch | one, pairs/s | two together | two apart | together over one | over two apart |")
        print("|---|---|---|---|---|---|")
        for batch in arguments.batch:
            print(row(arguments, data, batch), flush=True)


def row(arguments: argparse.Namespace, data: Path, batch: int) -> str:
    speeds: dict[str, list[float]] = {"one": [], "together": [], "apart": []}
    for number in range(arguments.rounds):
        for name in sorted(speeds, reverse=bool(number % 2)):
            runs = [start(arguments, data, batch, name == "together") for _ in range(1 + (name == "apart"))]
            speeds[name].append(sum(finish(run, 2 if name == "together" else 1) for run in runs))
    one, together, apart = (statistics.median(speeds[name]) for name in ("one", "together", "apart"))
    return (
        f"| {batch} | {one:.2f} | {together:.2f} | {apart:.2f} | {together / one:.2f} | "
        f"{together / apart:.2f} |"
    )


def start(arguments: argparse.Namespace, data: Path, batch: int, together: bool) -> subprocess.Popen[str]:
    launch = [sys.executable]
    if together:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launch += ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    flags = {"worker": data, "width": arguments.width, "batch": batch, "seconds": arguments.seconds}
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(
        [*launch, __file__, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(run: subprocess.Popen[str], processes: int) -> float:
    """Pairs a second of a run, which must have been of so many processes."""
    said, errors = run.communicate(timeout=900)
    if run.returncode:
        raise SystemExit(f"a run failed:\n{errors}")
    result = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    if result["processes"] != processes:
        raise SystemExit(f"a run was of {result['processes']} processes, not of {processes}")
    return float(result["speed"])


def work(arguments: argparse.Namespace) -> None:
    """Train for so many seconds, and print the pairs a second of all processes."""
    import torch

    import train_accelerate

    with tempfile.TemporaryDirectory() as folder:
        width = str(arguments.width)
        flags = ["--train_data_dir", str(arguments.worker), "--output_dir", f"{folder}/run", "--task", "map"]
        flags += ["--width", width, "--discriminator_width", width, "--max_train_steps", "1000000"]
        flags += ["--train_batch_size", str(arguments.batch[0]), "--report_to", "none", "--cpu"]
        run = train_accelerate.Run(train_accelerate.parse(flags))
        batches = run.batches()
        for _ in range(2):  # warm up
            run.advance(batches)
        steps, began = 0, time.perf_counter()
        while True:
            for _ in range(4):
                run.advance(batches)
            steps += 4
            seconds = time.perf_counter() - began
            done = torch.tensor(float(seconds >= arguments.seconds))
            if float(run.accelerator.reduce(done, "sum")) > 0:  # all end at the same step
                break
        processes = run.accelerator.num_processes
        if run.accelerator.is_main_process:
            speed = steps * run.pairs_per_step / seconds
            print(json.dumps({"speed": speed, "processes": processes}), flush=True)


if __name__ == "__main__":
    main()
