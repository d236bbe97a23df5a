"""What the training script's loop costs beside the same step in a bare PyTorch loop; whether data keep up.

    python benchmarks/training_loop.py [--train_data_dir DIR] [--steps 40] [--rounds 7] [--width 32]

Both sides train the same networks on the same pairs, in turns within one process; medians of the rounds. The
bare loop holds its batch in memory: no data, no rates, no readings, no progress bar. Without a folder the
pairs are those of the drawn town, as files side by side.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import train_accelerate
from pix2pix import toy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train_data_dir", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help="a few steps of tiny networks")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.rounds, arguments.width = 3, 2, 4
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.train_data_dir or town_files(Path(folder) / "pairs")
        width = str(arguments.width)
        flags = ["--train_data_dir", str(data), "--output_dir", f"{folder}/run", "--task", "map"]
        flags += ["--width", width, "--discriminator_width", width, "--max_train_steps", "1000000"]
        run = train_accelerate.Run(train_accelerate.parse(flags))
        measure(run, arguments.steps, arguments.rounds)


def town_files(folder: Path) -> Path:
    """Thirty-two pairs of the drawn town as 512x256 JPEG files."""
    (folder / "train").mkdir(parents=True)
    for index in range(32):
        sheet = Image.new("RGB", (512, 256))
        for column, side in enumerate(toy.draw_pair("map", index, 256)):
            sheet.paste(side, (256 * column, 0))
        sheet.save(folder / "train" / f"{index}.jpg", quality=92)
    return folder


def measure(run: train_accelerate.Run, steps: int, rounds: int) -> None:
    run.reports = train_accelerate.Reports(run.accelerator, "none", "benchmark", {}, run.say)
    batches = run.batches()
    batch = next(batches)
    x, real = batch["input"].to(run.accelerator.device), batch["target"].to(run.accelerator.device)
    sides = {
        "script": lambda: script_loop(run, batches, steps),
        "bare": lambda: bare_loop(run, x, real, steps),
    }
    for side in sides.values():  # warm up
        side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in sorted(sides, reverse=bool(number % 2)):
            began = time.perf_counter()
            sides[name]()
            seconds[name].append((time.perf_counter() - began) / steps)
    began = time.perf_counter()
    for _ in range(steps):
        next(batches)
    loading = (time.perf_counter() - began) / steps
    script, bare = (statistics.median(seconds[name]) for name in ("script", "bare"))
    ratios = sorted(s / b for s, b in zip(seconds["script"], seconds["bare"], strict=True))
    print(f"\ntorch {torch.__version__}, {torch.get_num_threads()} threads, {run.accelerator.device}")
    print(f"bare loop    {1000 * bare:8.1f} ms a step")
    print(f"script       {1000 * script:8.1f} ms a step   {script / bare:.3f} of bare")
    print(f"  by round   {ratios[0]:.3f} to {ratios[-1]:.3f}, median {statistics.median(ratios):.3f}")
    print(f"loading      {1000 * loading:8.1f} ms a batch, {loading / script:.1%} of a step, without workers")


def script_loop(run: train_accelerate.Run, batches: train_accelerate.Iterator, steps: int) -> None:
    with run.bar() as bar:
        for _ in range(steps):
            losses = run.advance(batches)
            bar.update()
            if run.step % run.config.log_steps == 0:
                run.tell(losses, bar)


def bare_loop(run: train_accelerate.Run, x: torch.Tensor, real: torch.Tensor, steps: int) -> None:
    """The paper's step written down plainly: vanilla cGAN + 100 L1, D's loss halved."""
    G, D = run.plain_G, run.plain_D
    optimizer_G, optimizer_D = run.optimizer_G.optimizer, run.optimizer_D.optimizer
    judge = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(steps):
        fake = G(x)
        on_real, on_fake = D(x, real), D(x, fake.detach())
        loss_D = judge(on_real, torch.ones_like(on_real)) + judge(on_fake, torch.zeros_like(on_fake))
        (0.5 * loss_D).backward()
        optimizer_D.step()
        optimizer_D.zero_grad()
        D.requires_grad_(False)
        on_fake = D(x, fake)
        loss_G = judge(on_fake, torch.ones_like(on_fake)) + 100 * torch.nn.functional.l1_loss(fake, real)
        loss_G.backward()
        optimizer_G.step()
        optimizer_G.zero_grad()
        D.requires_grad_(True)


if __name__ == "__main__":
    main()
