"""A training step beside the peer's: the same mathematics, each side in fresh processes, in turns.

    python benchmarks/training_step.py [--quick] [--widths 64 32] [--batches 1 4] [--norms batch instance]

First both sides do two steps from the same weights on the same pairs, and their losses must agree. Instance
norm has a scale and shift to learn here and none there: before any update D's and L1's losses must agree.
Then every configuration is timed in new processes, since the allocator's setting counts for a whole process,
with dropout as each side has it by default. Prints a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

import peer
import peer_training

from pix2pix import allocator, training
from pix2pix.networks import build_discriminator, build_generator, initialize
from pix2pix.training_config import TrainingConfig

Step = Callable[[Tensor, Tensor], dict[str, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small configuration, to see that it runs")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 32])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--norms", nargs="+", default=["batch", "instance"], choices=["batch", "instance"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="a side's time in a round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", choices=["peer", "ours"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.widths, arguments.batches, arguments.norms = [8], [1], ["batch"]
        arguments.rounds, arguments.seconds = 2, 0.5
    if arguments.side:
        print(json.dumps(timed(arguments)))
        return
    for norm in arguments.norms:
        require_same_step(norm)
    table(arguments)


def table(arguments: argparse.Namespace) -> None:
    print(f"\ntorch {torch.__version__}, {arguments.threads} threads, medians of {arguments.rounds} rounds\n")
    print("| normalization | width | batch | peer, ms a step | ours, ms a step | ratio | by round |")
    print("|---|---|---|---|---|---|---|")
    for norm in arguments.norms:
        for width in arguments.widths:
            for batch in arguments.batches:
                seconds: dict[str, list[float]] = {"peer": [], "ours": []}
                for number in range(arguments.rounds):
                    for side in sorted(seconds, reverse=bool(number % 2)):
                        seconds[side].append(in_fresh_process(arguments, side, norm, width, batch))
                theirs, ours = (statistics.median(seconds[side]) for side in ("peer", "ours"))
                ratios = sorted(p / o for p, o in zip(seconds["peer"], seconds["ours"], strict=True))
                print(
                    f"| {norm} | {width} | {batch} | {1000 * theirs:.0f} | {1000 * ours:.0f} | "
                    f"{theirs / ours:.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |",
                    flush=True,
                )


def in_fresh_process(arguments: argparse.Namespace, side: str, norm: str, width: int, batch: int) -> float:
    """Median seconds of a step."""
    flags = {
        "side": side, "norms": norm, "widths": width, "batches": batch, "threads": arguments.threads,
        "seconds": arguments.seconds,
    }  # fmt: skip
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    run = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(run.stdout.splitlines()[-1]))


def timed(arguments: argparse.Namespace) -> float:
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    norm, width, batch = arguments.norms[0], arguments.widths[0], arguments.batches[0]
    if arguments.side == "ours":
        if not allocator.keep_memory():  # what the training script does first
            print("this system's allocator cannot be told to keep memory", file=sys.stderr)
        step, _, _ = our_step(norm, width, 0.5, batch)
    else:
        G, D = peer.UNet256(width, norm), peer.PatchGAN(width, norm)
        step = peer_training.Trainer(G, D).step
    x, real = (torch.rand(batch, 3, 256, 256) * 2 - 1 for _ in range(2))
    step(x, real)
    until, seconds = time.perf_counter() + arguments.seconds, list[float]()
    while len(seconds) < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        step(x, real)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def our_step(norm: str, width: int, dropout: float, batch: int) -> tuple[Step, nn.Module, nn.Module]:
    config = TrainingConfig(
        learning_rate=2e-4,
        width=width,
        discriminator_width=width,
        norm=norm,  # type: ignore[arg-type]
        train_batch_size=batch,
    )
    G = build_generator("unet_256", in_channels=3, out_channels=3, width=width, norm=norm, dropout=dropout)
    D = build_discriminator("patch", in_channels=6, width=width, layers=3, norm=norm)
    initialize(G)
    initialize(D)
    optimizers = training.adam(G, config), training.adam(D, config)
    objective = training.Objective.from_config(config)

    def step(x: Tensor, real: Tensor) -> dict[str, Tensor]:
        return training.train_step(G, D, [(x, real)], *optimizers, objective)

    return step, G, D


def require_same_step(norm: str, width: int = 8) -> None:
    """Steps from the same weights must report the same losses on both sides."""
    torch.manual_seed(0)
    x, real = (torch.rand(2, 3, 256, 256) * 2 - 1 for _ in range(2))
    step, our_G, our_D = our_step(norm, width, 0.0, 2)
    G, D = peer.UNet256(width, norm, dropout=False), peer.PatchGAN(width, norm)
    with torch.no_grad():
        copy_weights(in_order(our_G, lambda: our_G(x)), in_order(G, lambda: G(x)))
        pair = torch.cat((x, real), 1)
        copy_weights(in_order(our_D, lambda: our_D(x, real)), in_order(D, lambda: D(pair)))
    trainer = peer_training.Trainer(G, D)
    for number in range(2 if norm == "batch" else 1):
        ours, theirs = step(x, real), trainer.step(x, real)
        if norm == "instance":
            del theirs["G_gan"]  # judged by a D that has moved
        for name, value in theirs.items():
            if abs(float(ours[name]) - float(value)) > 1e-3 * abs(float(value)):
                raise SystemExit(
                    f"The sides do not do the same step ({norm} norm, step {number}): {name} is "
                    f"{float(ours[name])} here and {float(value)} there."
                )
    said = ", ".join(
        f"{name} {float(ours[name]):.5g} and {float(value):.5g}" for name, value in theirs.items()
    )
    print(f"{norm} norm, width {width}, the same weights: losses of step {number + 1} here and there: {said}")


def in_order(network: nn.Module, run: Callable[[], object]) -> list[nn.Module]:
    """The layers with weights, in the order in which they are used."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d)
    layers: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: layers.append(module))
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return layers


def copy_weights(ours: list[nn.Module], theirs: list[nn.Module]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        if not isinstance(a, type(b)):  # our instance norm is a kind of theirs
            raise SystemExit(f"The sides differ in their layers: {a} here, {b} there.")
        mine = dict(a.named_parameters())
        for name, parameter in b.named_parameters():
            if name in mine:
                parameter.copy_(mine[name])
            else:
                parameter.zero_()  # a bias before a normalization, which takes it out again
        if isinstance(a, nn.InstanceNorm2d):
            nn.init.ones_(a.weight)
            nn.init.zeros_(a.bias)
        if isinstance(a, nn.BatchNorm2d) and isinstance(b, nn.BatchNorm2d):
            b.load_state_dict(a.state_dict())


if __name__ == "__main__":
    main()
