"""A GPU beside the peer on the same GPU: translating and training, batch 1 and 64.

    python benchmarks/gpu.py [--quick] [--width 64] [--batches 1 64] [--device cuda]

The peer runs as it does by default: float32, eagerly, pictures NCHW. Ours runs as its flags for a GPU say
(channels_last, bf16 where asked for, CUDA graphs through torch.compile), and plainly in float32 as well. The
sides alternate in one process, each timed to the end of its work. A float32 row counts if its picture is
within one 8-bit level of the peer's, a bf16 row within a mean of half a level. `--quick --device cpu` shows
that it runs. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

import peer
import peer_training
from inference import vivid
from training_step import copy_weights, in_order

from pix2pix import training
from pix2pix.networks import build_discriminator, build_generator, initialize
from pix2pix.training_config import TrainingConfig

Work = Callable[[], Tensor | None]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small network, to see that it runs")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured. (--quick --device cpu shows that it runs.)")
        return 0
    if arguments.quick:
        arguments.width, arguments.batches, arguments.rounds = 8, [1, 2], 2
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "a CPU"
    print(f"{name}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}, width {arguments.width}, "
          f"256x256 px, medians of {arguments.rounds} rounds\n")  # fmt: skip
    inference_table(arguments, device)
    training_table(arguments, device)
    return 0


def inference_table(arguments: argparse.Namespace, device: torch.device) -> None:
    torch.manual_seed(0)
    theirs = vivid(peer.UNet256(arguments.width, "instance", dropout=False)).eval()
    ours = build_generator(
        "unet_256", in_channels=3, out_channels=3, width=arguments.width, norm="instance", dropout=0.0
    ).eval()
    x = torch.rand(1, 3, 256, 256) * 2 - 1
    with torch.no_grad():
        copy_weights(in_order(ours, lambda: ours(x)), in_order(theirs, lambda: theirs(x)))
    ours.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    theirs.to(device)
    print("| translating, batch | side | ms a batch | ratio | largest difference, levels | mean |")
    print("|--:|---|--:|--:|--:|--:|")
    for batch in arguments.batches:
        x = torch.rand(batch, 3, 256, 256, device=device) * 2 - 1
        laid = x.to(memory_format=torch.channels_last)
        sides: dict[str, Work] = {
            "peer": lambda x=x: theirs(x),  # type: ignore[misc]
            "ours, fp32": lambda laid=laid: ours(laid),  # type: ignore[misc]
            "ours, bf16": autocast(device, lambda laid=laid: ours(laid)),  # type: ignore[misc]
        }
        if device.type == "cuda":
            graphs = torch.compile(ours, mode="reduce-overhead")
            sides["ours, bf16, CUDA graphs"] = autocast(device, lambda laid=laid, G=graphs: G(laid))  # type: ignore[misc]
        with torch.inference_mode():
            drawn = {side: work().float().clone() for side, work in sides.items()}  # type: ignore[union-attr]
            seconds = in_turns(sides, arguments.rounds, device)
        for side in sides:
            difference = (drawn[side] - drawn["peer"]).abs() * 127.5
            fair = difference.max() <= 1 if "bf16" not in side else difference.mean() <= 0.5
            ratio = seconds["peer"] / seconds[side]
            print(f"| {batch} | {side} | {1000 * seconds[side]:.3f} | {ratio:.2f} | "
                  f"{difference.max():.2g} | {difference.mean():.2g}"
                  f"{'' if fair or side == 'peer' else ' **does not count**'} |", flush=True)  # fmt: skip


def training_table(arguments: argparse.Namespace, device: torch.device) -> None:
    print("\n| training, batch | side | ms a step | ratio |")
    print("|--:|---|--:|--:|")
    for batch in arguments.batches:
        x, real = (torch.rand(batch, 3, 256, 256, device=device) * 2 - 1 for _ in range(2))
        G, D = peer.UNet256(arguments.width, "instance"), peer.PatchGAN(arguments.width, "instance")
        trainer = peer_training.Trainer(G.to(device), D.to(device))
        sides: dict[str, Work] = {
            "peer": lambda x=x, real=real, trainer=trainer: trainer.step(x, real)["D"],  # type: ignore[misc]
            "ours, fp32": our_step(arguments.width, device, x, real),
            "ours, bf16": autocast(device, our_step(arguments.width, device, x, real)),
        }
        if device.type == "cuda":
            step = our_step(arguments.width, device, x, real, compiled=True)
            sides["ours, bf16, --compile_mode reduce-overhead"] = autocast(device, step)
        seconds = in_turns(sides, arguments.rounds, device)
        for side in sides:
            print(f"| {batch} | {side} | {1000 * seconds[side]:.2f} | "
                  f"{seconds['peer'] / seconds[side]:.2f} |", flush=True)  # fmt: skip


def our_step(width: int, device: torch.device, x: Tensor, real: Tensor, compiled: bool = False) -> Work:
    """The script's step, with the wrappings that its flags give."""
    mode = {"compile": True, "compile_mode": "reduce-overhead"} if compiled else {}
    config = TrainingConfig(learning_rate=2e-4, width=width, discriminator_width=width, **mode)  # type: ignore[arg-type]
    plain: list[nn.Module] = [
        build_generator("unet_256", in_channels=3, out_channels=3, width=width, norm="instance", dropout=0.5),
        build_discriminator("patch", in_channels=6, width=width, layers=3, norm="instance"),
    ]
    for network in plain:
        initialize(network)
        network.to(device)
    optimizer_G, optimizer_D = (training.adam(network, config) for network in plain)
    wrap = training.compiler(config)
    G, D = (wrap(network) for network in plain)
    objective = training.Objective.from_config(config)

    def step() -> Tensor:
        if compiled:
            torch.compiler.cudagraph_mark_step_begin()
        losses = training.train_step(G, D, [(x, real)], optimizer_G, optimizer_D, objective, plain_D=plain[1])
        return losses["D"]

    return step


def autocast(device: torch.device, work: Work) -> Work:
    def run() -> Tensor | None:
        context: AbstractContextManager[None] = torch.autocast(device.type, torch.bfloat16)
        with context if device.type != "mps" else nullcontext():
            return work()

    return run


def in_turns(sides: dict[str, Work], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each side, after three runs that warm it up (and record CUDA graphs)."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    for side in sides:
        for _ in range(3):
            sides[side]()
    for _ in range(rounds):
        for side, work in sides.items():
            synchronize(device)
            began = time.perf_counter()
            work()
            synchronize(device)
            found[side].append(time.perf_counter() - began)
    return {side: statistics.median(seconds) for side, seconds in found.items()}


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
