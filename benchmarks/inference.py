"""Translating beside the peer: the same weights on both sides, each in fresh processes, in turns.

    python benchmarks/inference.py [--quick] [--width 64] [--batches 1 8] [--norms batch instance]

The peer runs eagerly in eval mode: its batch norm by running statistics, its instance norm by each picture's
own. Its picture is the reference: a row of ours within one 8-bit level of it counts, int8 has the gate of
`pix2pix export`. Only the network is timed, from one float array to another. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

SIDES = ("peer", "torch", "onnx", "openvino", "openvino-int8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small configuration, to see that it runs")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--norms", nargs="+", default=["batch", "instance"], choices=["batch", "instance"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="a side's time in a round")
    parser.add_argument("--without_int8", action="store_true", help="do not try int8, which takes a minute")
    parser.add_argument("--side", choices=(*SIDES, "prepare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.width, arguments.batches, arguments.norms = 4, [1, 2], ["batch"]
        arguments.rounds, arguments.seconds = 1, 0.2
    if arguments.side == "prepare":
        prepare(arguments.folder, arguments.norms[0], arguments.width, not arguments.without_int8)
    elif arguments.side:
        print(json.dumps(timed(arguments)))
    if arguments.side:
        return
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, "
    )
    print(f"256x256 px, width {arguments.width}, median of {arguments.rounds} rounds, "
          f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}\n")  # fmt: skip
    print("| norm | batch | side | ms a batch | ratio to the peer | largest difference, levels | mean |")
    print("|---|---|---|---|---|---|---|")
    for norm in arguments.norms:
        with tempfile.TemporaryDirectory() as folder:
            sides = prepare(Path(folder), norm, arguments.width, not arguments.without_int8)
            for batch in arguments.batches:
                rows(arguments, Path(folder), norm, batch, sides)


def prepare(folder: Path, norm: str, width: int, int8: bool = True) -> list[str]:
    """Write the peer's weights, our import of them, and the int8 graph if it is good enough; what can run."""
    import peer
    import torch

    from pix2pix import cli

    torch.manual_seed(0)
    G = vivid(peer.UNet256(width, norm, dropout=False))
    if norm == "batch":  # statistics such as training leaves, not those of no training
        with torch.no_grad():
            for seed in range(4):
                G.train()(torch.from_numpy(pictures(2, seed)).permute(0, 3, 1, 2))
    state = {f"model.{name}": value for name, value in G.state_dict().items()}
    with torch.no_grad():
        drawn = G.eval()(torch.from_numpy(pictures(1, 100)).permute(0, 3, 1, 2)) * 127.5
    if drawn.std() < 10:  # where all is grey any two sides agree, and int8 passes every gate
        raise SystemExit(f"the picture to compare by is flat: {drawn.std():.2g} levels of deviation")
    torch.save(state, folder / "latest_net_G.pth")
    torch.save(G.eval().state_dict(), folder / "peer.pth")
    flags = ["--dropout", "0", *(["--normalization", "running"] if norm == "batch" else [])]
    imported = ["import", str(folder / "latest_net_G.pth"), "--output", str(folder / "model"), *flags]
    if quietly(cli.main, imported) != 0:
        raise SystemExit("the peer's weights could not be imported")
    model = str(folder / "model")
    if quietly(cli.main, ["export", "--model", model, "--output", f"{model}/onnx/model.onnx"]) != 0:
        raise SystemExit("the model could not be exported")
    if not int8:
        return [side for side in SIDES if side != "openvino-int8"]
    flags = ["--output", f"{model}/onnx/model_int8.onnx", "--int8", "--calibration", "toy"]
    kept = quietly(cli.main, ["export", "--model", model, *flags])
    if kept != 0:
        print(f"| {norm} | - | openvino-int8 | not kept by the quality gate | | | |")
    return [side for side in SIDES if side != "openvino-int8" or kept == 0]


def vivid(G: nn.Module) -> nn.Module:
    """Random weights under which every layer keeps the size of what goes through it, and pictures differ."""
    from torch import nn

    for layer in G.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            shared = (
                4 if isinstance(layer, nn.ConvTranspose2d) else 1
            )  # a quarter of its kernel meets a pixel
            nn.init.normal_(layer.weight, 0.0, (2 * shared / (16 * layer.in_channels)) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return G


def quietly(command: Callable[[list[str]], int], words: list[str]) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return command(words)


def rows(arguments: argparse.Namespace, folder: Path, norm: str, batch: int, sides: list[str]) -> None:
    """Every side in a new process, round by round; a row a side."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(arguments.rounds):
        for side in sides:
            words = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--norms", norm]
            words += ["--batches", str(batch), "--seconds", str(arguments.seconds)]
            words += ["--width", str(arguments.width)]
            run = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
            found[side].append(json.loads(run.stdout.splitlines()[-1]))
    reference = np.load(folder / f"peer-{batch}.npy")
    for side, seconds in found.items():
        ratios = sorted(p / s for p, s in zip(found["peer"], seconds, strict=True))
        difference = np.abs(np.load(folder / f"{side}-{batch}.npy") - reference) * 127.5
        fair = side == "openvino-int8" or difference.max() <= 1
        print(
            f"| {norm} | {batch} | {side} | {1000 * statistics.median(seconds):.1f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | "
            f"{difference.max():.2g} | "
            f"{difference.mean():.2g}{'' if fair else ' **does not count**'} |",
            flush=True,
        )


def timed(arguments: argparse.Namespace) -> float:
    """Median seconds a batch of one side, in this process; its drawing is left for the comparison."""
    (batch,), (norm,), folder = arguments.batches, arguments.norms, arguments.folder
    x = pictures(batch, 100)
    draw = (
        peer_draw(folder, arguments.width, norm) if arguments.side == "peer" else our_draw(folder, arguments)
    )
    np.save(folder / f"{arguments.side}-{batch}.npy", draw(x))
    draw(x)
    seconds: list[float] = []
    until = time.monotonic() + arguments.seconds
    while len(seconds) < 3 or time.monotonic() < until:
        began = time.perf_counter()
        draw(x)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peer_draw(folder: Path, width: int, norm: str) -> Callable[[np.ndarray], np.ndarray]:
    import peer
    import torch

    G = peer.UNet256(width, norm, dropout=False)
    G.load_state_dict(torch.load(folder / "peer.pth", weights_only=True))
    G.eval()

    def draw(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            y = G(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
            return y.permute(0, 2, 3, 1).numpy()

    return draw


def our_draw(folder: Path, arguments: argparse.Namespace) -> Callable[[np.ndarray], np.ndarray]:
    from pix2pix.allocator import keep_memory

    if arguments.side == "torch":
        keep_memory()  # as our scripts do
    from pix2pix import Translator

    translate = Translator.from_pretrained(folder / "model", device="cpu", backend=arguments.side)
    return lambda x: translate._draw(x, 0)


def pictures(count: int, first: int) -> np.ndarray:
    """Drawn aerial photos as [B, 256, 256, 3] in [-1, 1]."""
    from pix2pix import images, toy

    return np.stack([images.to_array(toy.draw_pair("map", first + i)[0], "rgb") for i in range(count)])


if __name__ == "__main__":
    main()
