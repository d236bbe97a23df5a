"""Process start to picture on disk, beside the peer: every measurement is a new process, in turns.

    python benchmarks/cold_start.py [--quick] [--width 64] [--rounds 5]

Ours is `pix2pix translate`, as a user types it. The peer imports torch, initialises its network as it does,
loads the same weights, and draws the same picture, whose result every row is checked against. Peak memory is
of the whole process. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

SIDES = ("peer", "torch", "onnx", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small network once, to see that it runs")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.width, arguments.rounds = 4, 1
    if arguments.peer:
        draw_as_peer(arguments.peer, arguments.width)
        return
    with tempfile.TemporaryDirectory() as folder:
        table(arguments, Path(folder))


def table(arguments: argparse.Namespace, folder: Path) -> None:
    import inference

    from pix2pix import toy

    # In another process: a child's peak memory starts from its parent's, which must not have torch in it.
    words = [
        "--side",
        "prepare",
        "--folder",
        str(folder),
        "--without_int8",
        "--norms",
        "batch",
        "--width",
        str(arguments.width),
    ]
    subprocess.run([sys.executable, inference.__file__, *words], check=True, stdout=subprocess.DEVNULL)
    assert "torch" not in sys.modules
    toy.draw_pair("map", 7)[0].save(folder / "photo.png")
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in SIDES}
    for _ in range(arguments.rounds):
        for side in SIDES:
            shutil.rmtree(folder / "out", ignore_errors=True)
            found[side].append(measured(side, folder, arguments.width))
            (folder / "out" / "photo.png").rename(folder / f"{side}.png")
    reference = levels(folder / "peer.png")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, "
          f"width {arguments.width}, "
          f"256x256 px, batch norm, median of {arguments.rounds} processes a side\n")  # fmt: skip
    print("| side | seconds | ratio to the peer | peak memory, GB | largest difference, levels |")
    print("|---|---|---|---|---|")
    for side, runs in found.items():
        seconds, memory = (statistics.median(values) for values in zip(*runs, strict=True))
        ratios = [peer[0] / ours[0] for peer, ours in zip(found["peer"], runs, strict=True)]
        difference = np.abs(levels(folder / f"{side}.png") - reference).max()
        print(f"| {side} | {seconds:.2f} | {statistics.median(ratios):.2f} | {memory:.2f} | {difference} |")


def measured(side: str, folder: Path, width: int) -> tuple[float, float]:
    """Seconds from start to end of one new process, and its peak memory in GB."""
    if side == "peer":
        command = [__file__, "--peer", str(folder), "--width", str(width)]
    else:
        command = ["-m", "pix2pix", "translate", "--model", str(folder / "model"), str(folder / "photo.png")]
        command += ["--output", str(folder / "out"), "--device", "cpu", "--backend", side]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{side} ended with status {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit / 1e9


def draw_as_peer(folder: Path, width: int) -> None:
    import peer
    import torch

    G = peer.initialize(peer.UNet256(width, "batch", dropout=False))  # as it does, whatever is loaded then
    G.load_state_dict(torch.load(folder / "peer.pth", weights_only=True))
    G.eval()
    photo = np.asarray(Image.open(folder / "photo.png").convert("RGB"))
    x = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        y = G(x)[0].permute(1, 2, 0).numpy()
    (folder / "out").mkdir()
    Image.fromarray(np.rint((y + 1) * 127.5).clip(0, 255).astype(np.uint8)).save(folder / "out" / "photo.png")


def levels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


if __name__ == "__main__":
    main()
