"""Int8 on a trained model, beside fp32 and the peer: whether the quality gate passes, and what it gains.

    python benchmarks/int8.py --model runs/map --calibration my_pairs [--split val] [--rounds 3]

Random weights pass no gate, so this takes yours, an RGB unet_256. The peer has the same width and norm, with
transposed convolutions and weights of its own: its time does not depend on them. Every figure is of a new
process, in turns. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import inference  # noqa: E402  # with numpy alone

SIDES = ("peer", "torch", "openvino", "openvino-int8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="for `make bench`: nothing, without a model")
    parser.add_argument("--model", type=Path, help="folder of a trained U-Net for 256 pixels")
    parser.add_argument("--calibration", help="pairs that it is calibrated and judged on")
    parser.add_argument("--split", default="val")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    arguments = parser.parse_args()
    if arguments.model is None or arguments.calibration is None:
        print("int8 wants a trained model: --model DIR --calibration DATA. Nothing was measured.")
        return
    with tempfile.TemporaryDirectory() as folder:
        table(arguments, Path(folder))


def table(arguments: argparse.Namespace, folder: Path) -> None:
    config = json.loads((arguments.model / "config.json").read_text())
    width, norm = config["width"], config["norm"]
    if (config["generator"], config["in_channels"]) != ("unet_256", 3) or norm == "none":
        raise SystemExit(f"{arguments.model} has no peer here: it must be an RGB unet_256 with norms.")
    shutil.copytree(arguments.model, folder / "model", ignore=shutil.ignore_patterns("checkpoints", "onnx"))
    export(folder / "model", "onnx/model.onnx")
    kept = export(
        folder / "model", "onnx/model_int8.onnx",
        "--int8", "--calibration", arguments.calibration, "--split", arguments.split,
    )  # fmt: skip
    print(f"{platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, 256x256 px, batch 1, "
          f"width {width}, {norm} norm, {config['normalization']} statistics, {config['upsample']}, "
          f"median of {arguments.rounds} processes\n")  # fmt: skip
    if not kept["kept"]:
        print(f"The quality gate does not pass: {kept['reason']}\nThe rows stop at fp32.\n")
    else:
        cost = kept["cost"]
        print(f"The quality gate passes: mean difference from fp32 {cost['mean']:.2f} levels, the largest "
              f"{cost['largest']:.0f}, PSNR {-cost['psnr_loss']:+.3f} dB.\n")  # fmt: skip
    save_peer(folder, width, norm)
    sides = [side for side in SIDES if kept["kept"] or side != "openvino-int8"]
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(arguments.rounds):
        for side in sides:
            found[side].append(seconds(side, folder, width, norm, arguments.seconds))
    print("| side | ms | ratio to the peer | ratio to openvino in fp32 |\n|---|---|---|---|")
    for side, times in found.items():
        ratios = [
            statistics.median(other / own for other, own in zip(found[beside], times, strict=True))
            for beside in ("peer", "openvino")
        ]
        print(f"| {side} | {1000 * statistics.median(times):.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


def export(model: Path, name: str, *flags: str) -> dict:
    """`pix2pix export --json`: what was written, or why nothing was kept."""
    from pix2pix import cli

    output, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(said):
        status = cli.main(["export", "--model", str(model), "--output", str(model / name), "--json", *flags])
    if status == 2:
        raise SystemExit(f"{model.name} could not be exported: {said.getvalue()}")
    return json.loads(output.getvalue())


def save_peer(folder: Path, width: int, norm: str) -> None:
    import peer
    import torch

    torch.save(inference.vivid(peer.UNet256(width, norm, dropout=False)).state_dict(), folder / "peer.pth")


def seconds(side: str, folder: Path, width: int, norm: str, long: float) -> float:
    """Median seconds a picture of one side, in a new process."""
    words = [sys.executable, inference.__file__, "--side", side, "--folder", str(folder), "--norms", norm]
    words += ["--batches", "1", "--width", str(width), "--seconds", str(long)]
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return float(json.loads(run.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
