"""`pix2pix import`: another project's generator becomes a folder of ours."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pix2pix.config import TaskId

if TYPE_CHECKING:
    from pix2pix.interop import Imported

EXAMPLES = """\
examples:
  pix2pix import checkpoints/facades_label2photo/latest_net_G.pth --output models/facades --task facades
  pix2pix import pytorch_model.bin --output models/huggan
  pix2pix import generator.h5 --output models/article      # needs: pip install "pix2pix[keras]"
  pix2pix translate --model models/facades labels.png --output drawn

exit status: 0 imported; 2 nothing was, and why
"""


def declare(commands: Any) -> None:
    parser = commands.add_parser(
        "import",
        help="turn another project's checkpoint into a model of ours",
        description="Turn a generator of pytorch-CycleGAN-and-pix2pix (latest_net_G.pth: U-Net or ResNet),\n"
        "of HugGAN's script, or of the article's Keras notebook (.h5) into a folder that draws the\n"
        "same pictures. The architecture is recognised from names and shapes; weights alone are\n"
        "read, and no pickled code is run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="the generator's file")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="folder to write; a new one"
    )
    parser.add_argument(
        "--task",
        default="custom",
        choices=get_args(TaskId),
        metavar="ID",
        help=f"what it translates: {', '.join(get_args(TaskId))}; default custom",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="N",
        help="side of its training pictures; default: 256 (unet_128: 128)",
    )
    parser.add_argument(
        "--normalization",
        choices=("running", "picture"),
        help="statistics of batch norm: of the training (`--eval`), or of each picture; default: as its own "
        "project draws, picture for .pth, running for .h5",
    )
    parser.add_argument("--dropout", type=float, metavar="P", help="rate; default: its own project's")
    parser.add_argument(
        "--inference_dropout",
        choices=("on", "off"),
        help="whether dropout stays on, seeded, when pictures are drawn; default: as its own project draws",
    )
    parser.add_argument("--half", action="store_true", help="store half precision: half the size, less exact")
    parser.add_argument("--json", action="store_true", help="print what was recognised as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from pix2pix.interop import import_checkpoint

    switch = {"on": True, "off": False, None: None}
    imported = import_checkpoint(
        options.checkpoint,
        options.output,
        task=options.task,
        resolution=options.resolution,
        normalization=options.normalization,
        dropout=options.dropout,
        inference_dropout=switch[options.inference_dropout],
        half=options.half,
    )
    print(json.dumps(imported.to_dict(), indent=2) if options.json else summary(imported))
    return 0


def summary(imported: Imported) -> str:
    """What was recognised, a line each, and which flag changes what names cannot tell."""
    model = imported.config
    unit = "levels" if model.generator.startswith("unet") else "residual blocks"
    size = f"{model.resolved_depth} {unit}, width {model.width}"
    statistics = {"picture": "of each picture", "running": "of its training"}[model.normalization]
    other = {"picture": "running", "running": "picture"}[model.normalization]
    if model.norm == "batch":
        statistics += f"; --normalization {other} for the other kind"
    elif model.norm == "none":
        statistics = "none: there is no norm"
    dropout = "none"
    if model.dropout:
        state = "on, seeded," if model.inference_dropout else "off"
        switch = "off" if model.inference_dropout else "on"
        dropout = f"{model.dropout:g}, {state} when drawing; --inference_dropout {switch} changes it"
    rows = {
        "architecture": f"{model.generator}, {size}, {model.norm} norm",
        "channels": f"{model.in_channels} {model.input_color} to {model.out_channels} {model.output_color}",
        "parameters": f"{imported.parameters:,}",
        "statistics": statistics,
        "dropout": dropout,
        "its own default": imported.policy,
        "task, resolution": f"{model.task}, {model.resolution}; --task, --resolution",
        "SHA-256": imported.sha256,
    }
    lines = [
        f"{imported.source}: {imported.origin}",
        *(f"  {name:16}  {text}" for name, text in rows.items()),
    ]
    lines += [
        f"Saved in {imported.folder}, not measured: pix2pix evaluate does that.",
        "Before you publish it, say in its README.md what it was trained on.",
        f"  pix2pix translate --model {imported.folder} photo.jpg --output translated",
    ]
    return "\n".join(lines)
